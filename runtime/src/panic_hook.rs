//! What is printed when a green thread panics.
//!
//! std's hook prints as ever; ours, behind it, adds one line that names the green thread and where it
//! was spawned. It also notes that the current green thread has panicked: where another one is
//! suspended in the middle of unwinding, `panicking()` is true for all, and this note tells who is.

use std::panic;
use std::sync::Once;
use std::thread::panicking;

use crate::control::Orders;
use crate::deadlock;
use crate::scheduler::current_scheduler;

static INSTALL: Once = Once::new();

/// Puts our hook behind the one that is there; once a process.
pub(crate) fn install() {
    if panicking() || INSTALL.is_completed() {
        return;
    }
    INSTALL.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            previous(info);
            note_panic();
        }));
    });
}

fn note_panic() {
    let Some(scheduler) = current_scheduler() else { return };
    let thread = scheduler.current();
    thread.order(Orders::PANICKED);
    if thread != scheduler.main() {
        deadlock::tell(format_args!("in {}", deadlock::describe(thread)));
    }
}
