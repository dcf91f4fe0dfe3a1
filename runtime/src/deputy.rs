//! What the loop does in a suspended green thread's place.
//!
//! A green thread that does the same small thing whenever its descriptor is ready
//! ([`GreenFd::pump`](crate::io::GreenFd::pump)) need not be switched to for that: it leaves a closure, its
//! deputy, which the loop calls. The frames that it is suspended in stay where they are.
//!
//! ```text
//!   event ──► ready queue ──► loop ── a deputy, and no orders? ── no ──► switch to the green thread
//!                  ▲                        │ yes                              ▲
//!                  └──────── Again ──── call it ─── Resume ────────────────────┘
//!                                           └────── Wait: parked as before
//! ```
//!
//! A deputy runs on the loop's stack, in the name of its green thread, and must not park; one that tries ends
//! the process. A kill or a timeout is for the green thread itself, which is then switched to. While it has a
//! deputy, its [`top`](crate::control::Head::top) is the deputy's address: what is fetched ahead of a switch is
//! then what the deputy needs.

use crate::control::{Orders, State, Thread, Wake};
use crate::park::Reason;
use crate::scheduler::Scheduler;

/// What a deputy has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// There is nothing to do until the next wake.
    Wait,
    /// There is more to do, when the others have had their turn.
    Again,
    /// The green thread has to go on itself.
    Resume,
}

/// Something that the loop can do.
pub(crate) trait Work {
    /// Does what there is to do. It must neither park nor panic.
    fn act(&mut self, scheduler: &Scheduler) -> Next;
}

/// Work that the loop does, in the frame of the green thread that is suspended.
#[repr(C, align(64))]
pub(crate) struct Deputy<W> {
    act: Act,
    pub(crate) work: W,
}

/// A [`Deputy::call`].
///
/// # Safety
///
/// The first argument is the deputy that has this function, and nobody else refers to it during the call.
type Act = unsafe fn(*mut (), &Scheduler) -> Next;

/// Whether the current green thread may leave a deputy: not while it has to see to something at each park.
#[inline(always)]
pub(crate) fn may_have_deputy(thread: Thread) -> bool {
    thread.orders() == Orders::NONE && !std::thread::panicking()
}

impl<W: Work> Deputy<W> {
    pub(crate) fn new(work: W) -> Self {
        Self { act: Self::call, work }
    }

    /// # Safety
    ///
    /// As [`Act`] says.
    unsafe fn call(deputy: *mut (), scheduler: &Scheduler) -> Next {
        // SAFETY: the caller passes the deputy that has this function, which `new` put there for this very
        // type, and nobody else refers to it during the call.
        let deputy = unsafe { &mut *deputy.cast::<Self>() };
        deputy.work.act(scheduler)
    }

    /// Parks `thread`, the current one, which [`may_have_deputy`], until the work comes to [`Next::Resume`]
    /// or somebody wakes it for another cause. `next` is what it has come to before: `Again` puts the green
    /// thread at the back of the ready queue.
    ///
    /// # Panics
    ///
    /// As [`park`](crate::park::park).
    #[inline]
    pub(crate) fn park_behind(
        &mut self,
        scheduler: &Scheduler,
        thread: Thread,
        reason: Reason,
        next: Next,
    ) {
        struct Posted(Thread);

        impl Drop for Posted {
            fn drop(&mut self) {
                self.0.withdraw(Orders::DEPUTY);
            }
        }

        thread.order(Orders::DEPUTY);
        let posted = Posted(thread);
        thread.reason.set(reason);
        put_back(scheduler, thread, next);
        let wake = scheduler.suspend_at(thread, (&raw mut *self).expose_provenance());
        drop(posted);
        if wake >= Wake::Timeout {
            scheduler.throw(thread);
        }
    }
}

/// Leaves `thread`, which was running or whose deputy was, where `next` says.
#[inline(always)]
fn put_back(scheduler: &Scheduler, thread: Thread, next: Next) {
    thread.since.set(scheduler.now());
    thread.state.set(State::Parked);
    if next == Next::Again {
        scheduler.wake(thread, Wake::Run);
    }
}

/// Has the deputy of `thread`, if it has one and no order, do its work; whether `thread` stays suspended. The
/// loop has taken `thread` out of the ready queue.
#[inline(always)]
pub(crate) fn acts_for(scheduler: &Scheduler, thread: Thread) -> bool {
    thread.orders() == Orders::DEPUTY && act(scheduler, thread)
}

#[inline(never)]
fn act(scheduler: &Scheduler, thread: Thread) -> bool {
    debug_assert_eq!(
        thread.wake.get(),
        Wake::Run,
        "other wakes come with an order, or to who has a deadline"
    );
    let deputy = std::ptr::with_exposed_provenance_mut::<()>(thread.top.get());
    let next = scheduler.in_the_name_of(thread, || {
        // SAFETY: a green thread with this order is suspended in `park_behind`, which set `top` to the address
        // of its deputy; that begins with the function, lies in a frame, and is nobody else's until then.
        unsafe { (*deputy.cast::<Act>())(deputy, scheduler) }
    });
    // The work may have brought an order for it.
    let stays = next != Next::Resume && thread.orders() == Orders::DEPUTY;
    if stays {
        put_back(scheduler, thread, next);
    }
    stays
}
