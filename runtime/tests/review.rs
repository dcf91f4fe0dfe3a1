//! Mistakes that were found by reading: each test tells the story of one.

mod util;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use evy_runtime::{Died, GreenThread, sleep, spawn, yield_now};
use util::{HOUR, OnDrop, wait_in};

fn caught(f: impl FnOnce()) {
    drop(catch_unwind(AssertUnwindSafe(f)));
}

/// One that waits in a destructor while it unwinds, until `line` is woken.
fn suspended_in_an_unwind() -> (GreenThread<()>, std::rc::Rc<evy_runtime::WaitList>) {
    let (line, waiting) = util::line();
    let thread = spawn(move || {
        let _waits = OnDrop(move || wait_in(&waiting));
        panic!("and waits in a destructor");
    });
    yield_now();
    (thread, line)
}

/// It was woken with a kill that was then given up, took its wait for over, and gave the block of the
/// living one to the next, whose result was of another type.
#[test]
fn one_whose_kill_is_given_up_goes_on_waiting_for_what_it_waited_for() {
    let (unwinding, line) = suspended_in_an_unwind();
    let stubborn = spawn(|| {
        for _ in 0..9 {
            caught(|| sleep(HOUR));
        }
        caught(|| panic!("caught"));
        let number = spawn(|| {
            sleep(Duration::from_millis(20));
            7_usize
        });
        let number = number.wait().expect("a number");
        let text = spawn(|| {
            sleep(Duration::from_millis(20));
            String::from("hello")
        });
        (number, text.wait().expect("a text"))
    });
    yield_now();
    stubborn.kill();
    line.wake_all();
    assert!(matches!(unwinding.wait(), Err(Died::Panicked(_))));
    assert_eq!(stubborn.wait().expect("it lives on"), (7, "hello".to_owned()));
}

/// A count of eight bits overflowed.
#[test]
fn a_result_that_holds_a_handle_that_holds_a_handle_is_dropped_however_deep() {
    let mut innermost: Box<dyn Any> = Box::new(());
    for _ in 0..300 {
        let inner = std::mem::replace(&mut innermost, Box::new(()));
        let thread = spawn(move || inner);
        yield_now();
        assert!(thread.is_finished());
        innermost = Box::new(thread);
    }
    drop(innermost);
}

/// A panic that goes on here after it was caught elsewhere runs no hook: it was taken for none, and a
/// kill thrown into it.
#[test]
fn a_kill_is_not_thrown_into_one_that_goes_on_with_the_panic_of_a_job() {
    let (first, line) = suspended_in_an_unwind();
    let second = spawn({
        let (_, waiting) = util::line();
        let own = std::rc::Rc::clone(&line);
        move || {
            let _waits = OnDrop(move || wait_in(&own));
            let _unused = waiting;
            evy_runtime::unblock(|| resume_unwind(Box::new("a job")));
        }
    });
    while line.len() < 2 {
        sleep(Duration::from_millis(1));
    }
    second.kill();
    line.wake_all();
    assert!(matches!(first.wait(), Err(Died::Panicked(_))));
    assert!(second.wait().is_err());
}

/// The hub could not be made any more, and the panic of that ended the process.
#[test]
fn a_handle_in_a_thread_local_may_be_killed_in_its_destructor() {
    struct Kills(GreenThread<()>);
    impl Drop for Kills {
        fn drop(&mut self) {
            self.0.kill();
            assert_eq!(evy_runtime::current(), evy_runtime::current());
        }
    }
    thread_local!(static HANDLE: std::cell::RefCell<Option<Kills>> = const { std::cell::RefCell::new(None) });
    let ended = std::thread::spawn(|| {
        // Registered before the hub, and so destroyed after it.
        HANDLE.with(|_| ());
        HANDLE.set(Some(Kills(spawn(|| sleep(HOUR)))));
        yield_now();
    });
    assert!(ended.join().is_ok());
}
