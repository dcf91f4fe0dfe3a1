//! Panics: who learns of them, what is printed, and that nobody else is harmed.

mod util;

use std::cell::Cell;
use std::panic::panic_any;
use std::rc::Rc;
use std::thread::panicking;
use std::time::Duration;

use evy_runtime::{
    Builder, Died, GreenThread, join_all, sleep, spawn, spawn_n, timeout, yield_now,
};
use util::{Census, Child, OnDrop, assert_nothing_is_registered, is_child};

/// A value whose destructor panics.
struct Bomb(Rc<Cell<u32>>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        panic!("in a destructor");
    }
}

/// FAULTS row 4.
#[test]
fn fault_04_wait_gives_the_payload() {
    let text = spawn(|| panic!("a {}", "text"));
    let Err(Died::Panicked(payload)) = text.wait() else { panic!("it panicked") };
    assert_eq!(util::text(&*payload), "a text");
    let number = spawn(|| panic_any(7_u64));
    let Err(Died::Panicked(payload)) = number.wait() else { panic!("it panicked") };
    assert_eq!(payload.downcast_ref(), Some(&7_u64));
    let resumed = spawn(|| std::panic::resume_unwind(Box::new("quiet")));
    let Err(Died::Panicked(payload)) = resumed.wait() else { panic!("it panicked") };
    assert_eq!(util::text(&*payload), "quiet");
    assert!(!panicking());
}

/// Semantics B 45; FAULTS row 4: one in a hundred of very many.
#[test]
fn fault_04_everybody_else_goes_on() {
    let census = Census::new();
    let count = util::rounds(100_000);
    let handler = |n: usize| {
        let counted = census.one();
        move || {
            let _counted = counted;
            yield_now();
            assert_ne!(n % 100, 7, "on purpose");
            yield_now();
            n
        }
    };
    // Quiet: a thousand reports tell no more than one.
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let sleeper = spawn(|| sleep(Duration::from_millis(1)));
    let mut failed = 0;
    for from in (0..count).step_by(1_000) {
        let end = count.min(from + 1_000);
        for (n, result) in (from..end).zip(join_all((from..end).map(|n| spawn(handler(n))))) {
            match result {
                Ok(value) => assert_eq!(value, n),
                Err(_) => failed += 1,
            }
        }
    }
    std::panic::set_hook(previous);
    assert_eq!(failed, count.div_ceil(100));
    sleeper.wait().unwrap();
    assert_eq!(census.alive(), 0);
    assert!(!panicking());
    assert_nothing_is_registered();
}

/// FAULTS row 4: std's hook prints it once, where it happens, and one line of ours follows.
#[test]
fn fault_04_it_is_printed_once_with_the_name_and_the_place_of_its_spawn() {
    const NAME: &str = "fault_04_it_is_printed_once_with_the_name_and_the_place_of_its_spawn";
    if is_child(NAME) {
        let line = line!() + 1;
        let named = Builder::new().name("worker-7").spawn(|| panic!("of the named one"));
        let named: GreenThread<()> = named.unwrap();
        let id = named.id();
        assert!(named.wait().is_err());
        eprintln!("expected: in green thread {id} 'worker-7', spawned at {}:{line}:", file!());
        let line = line!() + 1;
        spawn_n(|| panic!("of the nameless one"));
        yield_now();
        eprintln!("expected: , spawned at {}:{line}:", file!());
        // Neither kills nor timeouts are panics.
        let killed = spawn(|| sleep(Duration::MAX));
        yield_now();
        killed.kill();
        assert!(killed.wait().is_err());
        assert!(timeout(Duration::ZERO, yield_now).is_err());
        // That of the OS thread's own stack is std's alone.
        assert!(std::panic::catch_unwind(|| panic!("of the own stack")).is_err());
        return;
    }
    let ended = Child::new(NAME).run();
    assert!(ended.status.success(), "{ended:?}");
    let printed = &ended.stderr;
    for what in ["of the named one", "of the nameless one", "of the own stack"] {
        assert_eq!(printed.matches(what).count(), 1, "{printed}");
    }
    assert_eq!(printed.matches("panicked at").count(), 3, "{printed}");
    assert_eq!(printed.lines().filter(|line| line.starts_with("in green thread")).count(), 2);
    for line in printed.lines() {
        if let Some(expected) = line.strip_prefix("expected: ") {
            assert_eq!(printed.matches(expected).count(), 2, "{expected}\nin\n{printed}");
        }
    }
}

/// A hook that was there before keeps its say.
#[test]
fn the_hook_of_the_program_is_called_first() {
    const NAME: &str = "the_hook_of_the_program_is_called_first";
    if is_child(NAME) {
        std::panic::set_hook(Box::new(|_| eprintln!("the program's own hook")));
        assert!(spawn(|| panic!("on purpose")).wait().is_err());
        return;
    }
    let ended = Child::new(NAME).run();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stderr.matches("the program's own hook\nin green thread").count(), 1);
    assert!(!ended.stderr.contains("on purpose"), "{ended:?}");
}

/// Semantics A 31: of a detached one nobody is told, and nobody harmed.
#[test]
fn fault_04_a_panic_of_a_detached_one_harms_nobody() {
    spawn_n(|| panic!("on purpose"));
    drop(spawn(|| panic!("on purpose")));
    assert_eq!(spawn(|| 7).wait().unwrap(), 7);
    assert!(!panicking());
}

/// FAULTS row 5: a panic in `Drop` outside of unwinding is like any other.
#[test]
fn fault_05_a_panic_in_a_destructor_is_a_panic() {
    let drops = Rc::new(Cell::new(0));
    let bomb = || Bomb(Rc::clone(&drops));
    let at_its_end = spawn({
        let bomb = bomb();
        move || {
            let _bomb = bomb;
            7
        }
    });
    let Err(Died::Panicked(payload)) = at_its_end.wait() else { panic!("it panicked") };
    assert_eq!(util::text(&*payload), "in a destructor");
    assert_eq!(drops.get(), 1);
}

/// FAULTS row 5: of results that nobody wants, whoever drops them.
#[test]
fn fault_05_a_result_whose_drop_panics_is_contained() {
    let drops = Rc::new(Cell::new(0));
    let bomb = || {
        let bomb = Bomb(Rc::clone(&drops));
        move || bomb
    };
    // Dropped by the green thread, detached; by spawn_n; by the handle.
    drop(spawn(bomb()));
    spawn_n(bomb());
    yield_now();
    assert_eq!(drops.get(), 2);
    let finished = spawn(bomb());
    yield_now();
    drop(finished);
    assert_eq!(drops.get(), 3);
    assert_eq!(spawn(|| 7).wait().unwrap(), 7);
    assert!(!panicking());
    assert_nothing_is_registered();
}

/// FAULTS row 5: dropped by a handle in the middle of an unwind it would be the second panic.
#[test]
fn fault_05_a_handle_that_is_dropped_by_an_unwind_contains_its_result() {
    let drops = Rc::new(Cell::new(0));
    let bomb = Bomb(Rc::clone(&drops));
    let finished = spawn(move || bomb);
    yield_now();
    let unwinds = spawn(move || {
        let _finished = finished;
        panic!("on purpose");
    });
    let Err(Died::Panicked(payload)) = unwinds.wait() else { panic!("it panicked") };
    assert_eq!(util::text(&*payload), "on purpose");
    assert_eq!(drops.get(), 1);
}

/// FAULTS row 5: a payload whose destructor panics, and one whose payload's destructor does as well.
#[test]
fn fault_05_a_payload_whose_drop_panics_is_contained() {
    struct Payload;
    struct Twice;
    impl Drop for Payload {
        fn drop(&mut self) {
            panic!("in a payload's destructor");
        }
    }
    impl Drop for Twice {
        fn drop(&mut self) {
            panic_any(Payload);
        }
    }
    drop(spawn(|| panic_any(Payload)));
    drop(spawn(|| panic_any(Twice)));
    spawn_n(|| panic_any(Twice));
    yield_now();
    for payload in [spawn(|| panic_any(Payload)), spawn(|| panic_any(Twice))] {
        yield_now();
        drop::<GreenThread<()>>(payload);
    }
    let hooked = spawn(|| 7);
    hooked.on_exit(|_| panic_any(Twice));
    assert_eq!(hooked.wait().unwrap(), 7);
    assert!(!panicking());
    assert_nothing_is_registered();
}

/// FAULTS row 5: captures of a hook, and of a closure that is killed before its start.
#[test]
fn fault_05_captures_whose_drop_panics_are_contained() {
    let drops = Rc::new(Cell::new(0));
    let bomb = || Bomb(Rc::clone(&drops));
    let hooked = spawn(|| 7);
    hooked.on_exit({
        let bomb = bomb();
        move |_| drop(bomb)
    });
    hooked.on_exit({
        let bomb = bomb();
        move |_| {
            let _bomb = bomb;
        }
    });
    assert_eq!(hooked.wait().unwrap(), 7);
    assert_eq!(drops.get(), 2);
    let unstarted = spawn({
        let bomb = bomb();
        move || drop(bomb)
    });
    unstarted.kill();
    assert_eq!(drops.get(), 3);
    assert!(unstarted.wait().is_err());
}

/// FAULTS row 5: a real double panic ends the process, with both messages and our line.
#[test]
fn fault_05_a_panic_in_a_destructor_during_an_unwind_aborts_with_both_messages() {
    const NAME: &str =
        "fault_05_a_panic_in_a_destructor_during_an_unwind_aborts_with_both_messages";
    if is_child(NAME) {
        let double = Builder::new().name("twice").spawn(|| {
            let _guard = OnDrop(|| panic!("the second"));
            panic!("the first");
        });
        let _ = double.unwrap().wait();
        unreachable!("it aborts");
    }
    let ended = Child::new(NAME).run();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended.status), Some(libc::SIGABRT));
    for what in ["the first", "the second", "'twice', spawned at"] {
        assert!(ended.stderr.contains(what), "{what} in {}", ended.stderr);
    }
}

/// A panic that passes through a timeout and a join of the OS thread's own stack is the user's.
#[test]
fn a_panic_passes_through_timeout_as_it_is() {
    let text = util::panic_of(|| timeout(Duration::from_secs(60), || panic!("mine")));
    assert_eq!(text, "mine");
    assert!(!panicking());
    assert_nothing_is_registered();
}
