//! The deadlock report: FAULTS row 30. What the process does with it is in `exit.rs`.

mod util;

use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::{
    Builder, Reason, WaitList, kill_all, sleep, spawn, spawn_n, timeout, unblock, wait_readable,
    wait_writable, yield_now,
};
use util::{HOUR, OnDrop, Watchdog, line, panic_of, wait_in};

const MOMENT: Duration = Duration::from_millis(2);

/// The report that the OS thread's own stack gets when it waits for ever.
fn report() -> String {
    let _watchdog = Watchdog::new("a deadlock was not seen");
    panic_of(|| wait_in(&WaitList::new()))
}

/// FAULTS row 30: a list with name, reason, age and place of spawn.
#[test]
fn fault_30_it_names_everybody_who_is_parked() {
    const QUEUE: Reason = Reason::new(&"an item in a queue");
    let list = Rc::new(WaitList::new());
    let other = Rc::clone(&list);
    let line = line!() + 1;
    spawn_n(move || other.wait(QUEUE, None, || ()));
    let builder = Builder::new().name("fetch");
    let (named_line, named) = (line!(), builder.spawn(|| sleep(Duration::MAX)).unwrap());
    let name = format!("green thread {} 'fetch', spawned at {}:{named_line}:", named.id(), file!());
    let waits_for = named.id();
    let joins = spawn(move || named.wait().is_ok());
    let text = report();

    assert!(text.starts_with("deadlock: "), "{text}");
    assert!(text.contains("own stack waits for something"), "{text}");
    assert!(text.contains("parked: 3"), "{text}");
    let entry = |start: &str| {
        let entry = text.lines().find(|entry| entry.contains(start));
        entry.unwrap_or_else(|| panic!("{start} is not in {text}"))
    };
    let place = format!("spawned at {}:{line}:", file!());
    assert!(entry(&place).contains("waits for an item in a queue, for 0."), "{text}");
    assert!(entry(&name).contains("waits for the end of a sleep, for 0."), "{text}");
    let joiner = entry(&format!("green thread {},", joins.id()));
    assert!(joiner.contains(&format!("waits for the end of green thread {waits_for}, ")), "{text}");
    assert!(entry(&place).ends_with(" s"), "{text}");
    kill_all();
}

/// FAULTS row 30: with nobody else there, and for each way of waiting.
#[test]
fn fault_30_the_own_stack_alone_is_a_deadlock_too() {
    let text = report();
    assert!(text.contains("no green thread lives"), "{text}");
    let text = panic_of(|| sleep(Duration::MAX));
    assert!(text.contains("waits for the end of a sleep"), "{text}");
    let never = spawn(|| sleep(Duration::MAX));
    let id = never.id();
    let text = panic_of(|| never.wait());
    assert!(text.contains(&format!("waits for the end of green thread {id}, ")), "{text}");
    kill_all();
    assert!(report().contains("no green thread lives"));
}

/// Evy and eventlet hang there, D10.
#[test]
fn fault_30_two_that_wait_for_each_other_are_named() {
    let locks = [Rc::new(WaitList::new()), Rc::new(WaitList::new())];
    let threads: Vec<_> = (0..2)
        .map(|n| {
            let (own, other) = (Rc::clone(&locks[n]), Rc::clone(&locks[1 - n]));
            Builder::new()
                .name(["left", "right"][n])
                .spawn(move || {
                    wait_in(&other);
                    own.wake_one();
                })
                .unwrap()
        })
        .collect();
    let text = panic_of(|| evy_runtime::join_all(threads));
    assert!(text.contains("'left'") && text.contains("'right'"), "{text}");
    kill_all();
}

/// One that is suspended in a destructor has its place in the list.
#[test]
fn fault_30_it_names_one_that_is_suspended_while_it_unwinds() {
    let (gate, line) = line();
    let killed = Builder::new().name("unwinds").spawn(move || {
        let _guard = OnDrop(|| wait_in(&line));
        sleep(HOUR);
    });
    let killed = killed.unwrap();
    yield_now();
    killed.kill();
    assert!(report().contains("'unwinds'"));
    gate.wake_one();
    assert!(killed.wait().is_err());
}

/// A deadline of anybody can change everything.
#[test]
fn fault_30_a_deadline_is_no_deadlock() {
    let (gate, line) = line();
    spawn_n(move || {
        sleep(MOMENT);
        gate.wake_one();
    });
    wait_in(&line);
    assert!(timeout(MOMENT, || wait_in(&WaitList::new())).is_err());
    evy_runtime::spawn_after(MOMENT, || ()).wait().unwrap();
    let list = WaitList::new();
    assert!(list.wait(util::SOMETHING, Some(MOMENT), || ()).is_err());
    assert!(report().starts_with("deadlock"));
}

/// So can a descriptor that somebody waits for.
#[test]
fn fault_30_a_descriptor_that_is_waited_for_is_no_deadlock() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (gate, line) = line();
    spawn_n(move || {
        wait_readable(&ours, None).unwrap();
        gate.wake_one();
    });
    let writer = std::thread::spawn(move || {
        let start = Instant::now();
        while start.elapsed() < 10 * MOMENT {
            std::hint::spin_loop();
        }
        std::io::Write::write_all(&mut &theirs, b"x").unwrap();
    });
    wait_in(&line);
    writer.join().unwrap();
    assert!(report().starts_with("deadlock"));
}

/// And a job on another OS thread.
#[test]
fn fault_30_a_running_job_is_no_deadlock() {
    let (gate, line) = line();
    spawn_n(move || {
        unblock(|| {
            let start = Instant::now();
            while start.elapsed() < 10 * MOMENT {
                std::hint::spin_loop();
            }
        });
        gate.wake_one();
    });
    wait_in(&line);
    assert!(report().starts_with("deadlock"));
}

/// Registrations that nobody waits for do not hide it.
#[test]
fn fault_30_idle_descriptors_do_not_hide_it() {
    use evy_runtime::io::{Attempt, Direction, GreenFd};

    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let green = Rc::new(GreenFd::new(ours.try_clone().unwrap().into()));
    let reader = spawn({
        let green = Rc::clone(&green);
        move || {
            let read =
                |_: std::os::fd::BorrowedFd<'_>| std::io::Read::read(&mut &ours, &mut [0; 8]);
            green.call(Attempt::new(Direction::Read), read)
        }
    });
    yield_now();
    std::io::Write::write_all(&mut &theirs, b"x").unwrap();
    assert_eq!(reader.wait().unwrap().unwrap(), 1);
    // Registered for good now, and nobody waits for it.
    assert!(report().starts_with("deadlock"));
    // Nor do descriptors that were waited for once.
    wait_writable(&theirs, None).unwrap();
    let killed = spawn(move || wait_readable(&theirs, None));
    yield_now();
    killed.kill();
    assert!(report().starts_with("deadlock"));
    drop(green);
}

/// The panic is one that can be caught, and everything works afterwards.
#[test]
fn fault_30_the_hub_works_on_after_a_report() {
    let (gate, line) = line();
    let parked = spawn(move || {
        wait_in(&line);
        sleep(MOMENT);
        7
    });
    for _ in 0..3 {
        assert!(report().starts_with("deadlock"));
    }
    gate.wake_one();
    assert_eq!(parked.wait().unwrap(), 7);
    assert!(timeout(MOMENT, || sleep(HOUR)).is_err());
}

/// With more finished stacks than are trimmed in one go, it is seen all the same.
#[test]
fn fault_30_trimming_does_not_hide_it() {
    let threads: Vec<_> = (0..util::at_once(50_000)).map(|_| spawn(|| ())).collect();
    evy_runtime::join_all(threads);
    assert!(report().starts_with("deadlock"));
}
