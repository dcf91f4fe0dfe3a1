//! What becomes of green threads in a forked child.
//!
//! Of all stacks only the one that called `fork` goes on in the child. It is the OS thread's own stack
//! there, be it the parent's or one of a green thread, and the first call that needs one makes a hub:
//!
//! ```text
//!   parent                        child, after its first call
//!   scheduler ─ main              scheduler of the parent, leaked: it never runs anything again
//!             ─ #1
//!             ─ #2: fork()  ────► new scheduler ─ main: the stack of #2
//! ```
//!
//! * The other green threads do not exist in the child. They run no more code, not even destructors, and
//!   whoever waits for one there gets [`Died::HubEnded`].
//! * Nothing that the child does reaches the parent's hub: neither its wakes nor the drop of its sockets.
//! * A child that was forked by a green thread ends when that green thread would: there is nothing to
//!   return to.
//! * The pool of OS threads is empty in the child, and starts again with the next job.
//!
//! The handler below does what must be done at once; the rest is done by the first call ([`inherit`]), so
//! that a child that only starts another program costs nothing.
//!
//! What remains as it is with std: other OS threads do not exist in the child, and the locks that they
//! held stay locked, as do those that the lost green threads held. A child of a program with several OS
//! threads had better `exec` soon.

use std::fmt;
use std::process::exit;

use evy_hub::{Generation, InChild};

use crate::control::{Orders, Outcome, State, Thread};
use crate::green_thread::{Died, Storage};
use crate::scheduler::{self, Scheduler, current_scheduler};
use crate::threadpool;

/// Calls [`leave_parent`] in every child. Installed with the first scheduler.
pub(crate) static IN_CHILD: InChild = InChild::new(leave_parent);

/// What a child ends with that has nothing to return to; as for a panic.
const CODE: i32 = 101;

extern "C" fn leave_parent() {
    scheduler::leave_parent();
    threadpool::leave_parent();
}

/// Has `heir`, which is new, take over from the scheduler that was current at the fork: the blocks, for
/// handles refer to them, and what is known of the stack that goes on.
pub(crate) fn inherit(heir: &Scheduler, parent: &Scheduler) {
    let (own, forked) = (heir.main(), parent.current());
    own.order(forked.orders().only(Orders::UNWINDS));
    own.thrown.set(forked.thrown.get());
    let locals = forked.look_at_extras(|extras| std::mem::take(&mut extras.locals));
    if let Some(locals) = locals {
        own.with_extras(|extras| extras.locals = locals);
    }
    heir.blocks.take_over(&parent.blocks);
    heir.blocks.live().into_iter().for_each(lose);
    if forked != parent.main() {
        lose(parent.main());
        forked.with_extras(|extras| extras.forked = true);
    }
}

/// Ends a green thread that does not exist in this process: nobody wakes it, and who waits for it hears
/// what has become of it.
fn lose(thread: Thread) {
    thread.state.set(State::Finished);
    let Some(block) = thread.block() else { return };
    block.thread.set(None);
    // Nobody gives the block of a detached one back: its stack, and so its scheduler, stay for ever.
    if !block.detached.get() {
        Storage::<Died>::new(block).put(Died::HubEnded);
        block.outcome.set(Outcome::Died);
    }
}

/// A green thread is about to end: if it forked this process, that ends with it.
#[cold]
pub(crate) fn end_with(thread: Thread) {
    // Without a scheduler this child has not called anything of evy before.
    let has_forked = current_scheduler().is_none()
        || thread.look_at_extras(|extras| extras.forked).unwrap_or_default();
    if has_forked {
        end_child(format_args!(
            "the green thread spawned at {}, which has forked this process, has ended",
            thread.spawned_at
        ));
    }
}

/// A job of the pool has ended, which began in `generation`: if it forked this process, that ends with it.
pub(crate) fn end_with_job(generation: Generation) {
    if generation.is_over() {
        end_child(format_args!(
            "the job on another OS thread that has forked this process has ended"
        ));
    }
}

/// Ends a child that has nothing to return to.
#[cold]
pub(crate) fn end_child(why: fmt::Arguments<'_>) -> ! {
    let text = format!("evy: {why}, and the process ends with it\n");
    // Not by std: another OS thread of the parent may have held the lock of its stream.
    // SAFETY: as many bytes are read as the text has.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    exit(CODE)
}
