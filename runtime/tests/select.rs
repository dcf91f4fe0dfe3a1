//! A `Selection` belongs to the green thread that made it.

use std::cell::Cell;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::io::{Direction, ready_in};
use evy_runtime::{HandOver, Selection, WaitList, sleep, spawn, yield_now};

/// It is safe to give a selection away, also beyond the end of the green thread that made it. Whoever
/// stood in a line with it then had that one woken: memory that is no green thread's any more, or the
/// next one on the same stack, in the middle of whatever it waited for.
#[test]
fn a_selection_of_another_green_thread_stands_in_no_line() {
    let selection = spawn(Selection::new).wait().unwrap();
    let overslept = Rc::new(Cell::new(true));
    let sleeper = spawn({
        let overslept = Rc::clone(&overslept);
        move || {
            sleep(Duration::MAX);
            overslept.set(false);
        }
    });
    yield_now();
    let (line, list) = (HandOver::new(), WaitList::new());
    let (socket, _peer) = UnixStream::pair().unwrap();
    is_refused(|| _ = line.receive_in(&selection, |_| (), || line.hand(1).unwrap()));
    is_refused(|| _ = line.offer_in(&selection, 1, || _ = line.take()));
    is_refused(|| _ = list.wait_in(&selection, || (), || _ = list.wake_one()));
    is_refused(|| _ = ready_in(&selection, &socket, Direction::Write, || ()));
    yield_now();
    assert!(line.is_empty() && list.is_empty());
    assert!(overslept.get(), "it was woken from a sleep that lasts for ever");
    sleeper.kill();
}

fn is_refused(f: impl FnOnce()) {
    let panic = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"a selection belongs to its green thread"));
}
