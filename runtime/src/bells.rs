//! How an event reaches a future: by a bell, which the loop rings.
//!
//! A future waits by its waker, not by a park, so that any number of them can wait on one green thread. A
//! [`Bell`] is the place where it leaves the waker; the bell, not a green thread, stands in the hub for one
//! descriptor and direction, or one deadline, until the event comes. What a wait costs depends neither on
//! how many others the green thread has nor on how many futures are around one another.
//!
//! ```text
//!   poll                        loop                              after the turn
//!   waker into the bell         event: take the waker out         bells that were rung leave the
//!   bell into the hub's line    block_on's: call it               line; who came behind is told
//!                               another one: an errand            errands start
//! ```
//!
//! No code of users runs inside the loop, so a waker that is not [`block_on`](crate::block_on)'s own is
//! called by the errand green thread. For the same reason a bell is left in a consistent state whenever a
//! waker is cloned or dropped, and the last look at the readiness comes behind that.
//!
//! A bell that rang leaves the line by itself: nobody may ever poll that future again, and others wait
//! behind it. It is in no line then, and the next poll decides.
//!
//! Bells belong to a hub, but futures may move from one OS thread to another: a [`Bell`] is a number, and
//! whoever drops it elsewhere sends the hub a message.

use std::cell::{Cell, RefCell};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Waker};

use evy_hub::{Busy, Company, Direction, Owner, Remote, SourceKey, TimerKey};

use crate::block_on::is_ours;
use crate::control::Thread;
use crate::deadlock;
use crate::green_thread::GreenThreadId;
use crate::io::invite_next;
use crate::on_exit::drop_quietly;
use crate::scheduler::{Scheduler, current_scheduler};

/// Marks the word of a bell where the hub's owners are green threads, frames of `timeout`, or bells.
const TAG: usize = 2;

/// Marks a message to the hub that a bell was dropped elsewhere.
const GONE: u64 = 1 << 62;

/// Slots beyond which the memory is given back when none is in use: a burst is over.
const MANY: usize = 1024;

/// The end of the list of free slots.
const NONE: u32 = u32::MAX;

/// Where a future leaves its waker for one event at a time.
#[derive(Debug)]
pub(crate) struct Bell {
    hub: Arc<Remote>,
    index: u32,
}

/// All bells of one scheduler.
pub(crate) struct Bells {
    slots: RefCell<Vec<Slot>>,
    /// The first free slot.
    free: Cell<u32>,
    in_use: Cell<usize>,
    /// What is left to do once the hub's turn is over.
    notes: RefCell<Vec<Note>>,
    /// A bell was rung or dropped elsewhere since it was tidied up.
    untidy: Cell<bool>,
}

/// One bell, on the hub's side.
#[derive(Default)]
struct Slot {
    /// Whom to call. None once it was rung, or while it is being replaced.
    waker: Option<Waker>,
    place: Place,
    /// Who polled the future when it was left to wait.
    polled_by: Option<GreenThreadId>,
}

/// Where a bell is in the hub.
#[derive(Debug, Default)]
enum Place {
    #[default]
    Nowhere,
    /// In the line of a descriptor that is registered for good.
    Line(SourceKey, Direction),
    /// Alone with a one-shot registration of its own copy of the descriptor.
    OneShot(SourceKey, Direction, OwnedFd),
    /// Among the deadlines.
    Timer(TimerKey),
    /// It is none; the next one that is none.
    Free(u32),
}

/// What has happened to a bell during a turn, when the hub was busy.
enum Note {
    Rung(u32),
    Gone(u32),
}

impl Bell {
    /// The bell in `kept`, which is one of this hub afterwards.
    #[inline(always)]
    pub(crate) fn of<'a>(kept: &'a mut Option<Self>, scheduler: &Scheduler) -> &'a Self {
        let is_here = kept.as_ref().is_some_and(|bell| bell.is_here(scheduler));
        if !is_here {
            let hub = Arc::clone(scheduler.remote());
            *kept = Some(Self { hub, index: scheduler.bells.take_slot() });
        }
        kept.as_ref().expect("it is there now")
    }

    #[inline]
    pub(crate) fn is_here(&self, scheduler: &Scheduler) -> bool {
        Arc::ptr_eq(&self.hub, scheduler.remote())
    }

    fn owner(&self) -> Owner {
        owner_of(self.index)
    }

    /// Takes the waker out if it is that of `context`, or gets a new one. The bell has none then: what
    /// comes next is one of the calls that leave it there.
    #[inline]
    pub(crate) fn waker(&self, scheduler: &Scheduler, context: &Context<'_>) -> Waker {
        let old = scheduler.bells.slots.borrow_mut()[self.index as usize].waker.take();
        match old {
            Some(old) if old.will_wake(context.waker()) => old,
            // The old one is dropped outside of the borrow: both are code of users, and may even park.
            _ => context.waker().clone(),
        }
    }

    /// Whether it stands anywhere.
    #[inline]
    pub(crate) fn is_standing(&self, scheduler: &Scheduler) -> bool {
        let slots = scheduler.bells.slots.borrow();
        !matches!(slots[self.index as usize].place, Place::Nowhere)
    }

    /// Leaves `waker` and stands alone in the line of a descriptor, if it does not already.
    pub(crate) fn stand_in_line(
        &self,
        scheduler: &Scheduler,
        key: SourceKey,
        direction: Direction,
        waker: Waker,
    ) -> Result<(), Busy> {
        let polled_by = GreenThreadId::of(scheduler.current());
        // The hub runs no code of users. If there is no place, the waker is dropped behind the borrow.
        let mut slots = scheduler.bells.slots.borrow_mut();
        let slot = &mut slots[self.index as usize];
        match slot.place {
            Place::Line(of, half) if of == key && half == direction => {}
            Place::Nowhere => {
                scheduler.hub.borrow_mut().wait(key, direction, self.owner(), Company::Alone)?;
                slot.place = Place::Line(key, direction);
            }
            _ => {
                drop(slots);
                self.leave(scheduler);
                return self.stand_in_line(scheduler, key, direction, waker);
            }
        }
        slot.polled_by = Some(polled_by);
        slot.waker = Some(waker);
        Ok(())
    }

    /// Leaves `waker` and waits for a descriptor that another hub owns, of which it gets a copy.
    #[cold]
    pub(crate) fn stand_alone(
        &self,
        scheduler: &Scheduler,
        fd: OwnedFd,
        direction: Direction,
        waker: Waker,
    ) -> std::io::Result<()> {
        self.leave(scheduler);
        let key = scheduler.hub.borrow_mut().wait_foreign(fd.as_fd(), direction, self.owner())?;
        let slot = &mut scheduler.bells.slots.borrow_mut()[self.index as usize];
        slot.place = Place::OneShot(key, direction, fd);
        slot.polled_by = Some(GreenThreadId::of(scheduler.current()));
        slot.waker = Some(waker);
        Ok(())
    }

    /// Leaves `waker` and waits for a deadline; it stands nowhere yet.
    pub(crate) fn stand_by(&self, scheduler: &Scheduler, deadline: u64, waker: Waker) {
        let key = scheduler.hub.borrow_mut().add_deadline(deadline, self.owner());
        let slot = &mut scheduler.bells.slots.borrow_mut()[self.index as usize];
        slot.place = Place::Timer(key);
        slot.waker = Some(waker);
    }

    /// Leaves `waker` where it stands.
    pub(crate) fn leave_waker(&self, scheduler: &Scheduler, waker: Waker) {
        scheduler.bells.slots.borrow_mut()[self.index as usize].waker = Some(waker);
    }

    /// Stands nowhere from now on, and drops the waker.
    #[inline]
    pub(crate) fn leave(&self, scheduler: &Scheduler) {
        if self.is_standing(scheduler) {
            scheduler.bells.leave(scheduler, self.index);
            let waker = scheduler.bells.slots.borrow_mut()[self.index as usize].waker.take();
            // Code of users, outside of the borrow.
            drop(waker);
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        match current_scheduler() {
            Some(scheduler) if self.is_here(scheduler) => {
                let waker = scheduler.bells.give_back(scheduler, self.index);
                // Code of users, and everything else is done.
                drop(waker);
            }
            _ => self.hub.wake(GONE | u64::from(self.index)),
        }
    }
}

/// Whether the hub's owner is a bell.
#[inline(always)]
pub(crate) fn is_bell(owner: Owner) -> bool {
    owner.0.get() & TAG != 0
}

fn owner_of(index: u32) -> Owner {
    let word = (index as usize) << 2 | TAG;
    Owner(NonZeroUsize::new(word).expect("it is tagged"))
}

fn index_of(owner: Owner) -> u32 {
    (owner.0.get() >> 2) as u32
}

impl Bells {
    pub(crate) fn new() -> Self {
        Self {
            slots: RefCell::default(),
            free: Cell::new(NONE),
            in_use: Cell::new(0),
            notes: RefCell::default(),
            untidy: Cell::new(false),
        }
    }

    fn take_slot(&self) -> u32 {
        let mut slots = self.slots.borrow_mut();
        self.in_use.set(self.in_use.get() + 1);
        let free = self.free.get();
        if let Some(slot) = slots.get_mut(free as usize) {
            if let Place::Free(next) = std::mem::take(&mut slot.place) {
                self.free.set(next);
            }
            return free;
        }
        let index = u32::try_from(slots.len()).ok().filter(|index| *index != NONE);
        slots.push(Slot::default());
        index.expect("fewer futures than that at once")
    }

    /// The event of a bell has come. For the loop, also while the hub is busy; [`tidy`](Self::tidy)
    /// follows.
    #[inline]
    pub(crate) fn ring(&self, scheduler: &Scheduler, owner: Owner) {
        let index = index_of(owner);
        self.untidy.set(true);
        let waker = {
            let slot = &mut self.slots.borrow_mut()[index as usize];
            match slot.place {
                // The hub has handed it back, so it is not there any more.
                Place::Timer(_) => slot.place = Place::Nowhere,
                _ => self.notes.borrow_mut().push(Note::Rung(index)),
            }
            slot.waker.take()
        };
        match waker {
            Some(waker) if is_ours(&waker) => waker.wake(),
            Some(waker) => scheduler.errands.add_waker(waker),
            // Rung already, or about to look by itself.
            None => {}
        }
    }

    /// Another OS thread has sent this message: handles it if it is of a bell. [`tidy`](Self::tidy)
    /// follows.
    pub(crate) fn take_message(&self, word: u64) -> bool {
        if word & GONE == 0 {
            return false;
        }
        self.untidy.set(true);
        self.notes.borrow_mut().push(Note::Gone((word & !GONE) as u32));
        true
    }

    /// Does what had to wait for the end of the hub's turn.
    #[inline]
    pub(crate) fn tidy(&self, scheduler: &Scheduler) {
        if self.untidy.replace(false) {
            self.tidy_up(scheduler);
        }
    }

    fn tidy_up(&self, scheduler: &Scheduler) {
        loop {
            let note = self.notes.borrow_mut().pop();
            match note {
                Some(Note::Rung(index)) => self.leave(scheduler, index),
                Some(Note::Gone(index)) => {
                    // The loop must not drop it; to call it does no harm.
                    if let Some(waker) = self.give_back(scheduler, index) {
                        scheduler.errands.add_waker(waker);
                    }
                }
                None => break,
            }
        }
        scheduler.run_errands();
    }

    /// Takes a bell out of where it stands. Runs no code of users.
    fn leave(&self, scheduler: &Scheduler, index: u32) {
        let owner = owner_of(index);
        let place = match self.slots.borrow_mut().get_mut(index as usize) {
            // A note may be older than the end of its bell.
            None | Some(Slot { place: Place::Free(_), .. }) => return,
            Some(slot) => std::mem::take(&mut slot.place),
        };
        match place {
            Place::Line(key, direction) => {
                scheduler.hub.borrow_mut().unwait(key, direction, owner);
                invite_next(scheduler, key, direction);
            }
            // The copy is closed behind it.
            Place::OneShot(key, direction, _fd) => {
                scheduler.hub.borrow_mut().unwait_foreign(key, direction, owner);
            }
            Place::Timer(key) => {
                scheduler.hub.borrow_mut().cancel_deadline(key);
            }
            Place::Nowhere | Place::Free(_) => {}
        }
    }

    /// Takes a bell back and gives out what waker it had. Runs no code of users.
    fn give_back(&self, scheduler: &Scheduler, index: u32) -> Option<Waker> {
        self.leave(scheduler, index);
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots[index as usize];
        slot.place = Place::Free(self.free.replace(index));
        let waker = slot.waker.take();
        self.in_use.set(self.in_use.get() - 1);
        if self.in_use.get() == 0 && slots.capacity() > MANY {
            *slots = Vec::new();
            self.free.set(NONE);
        }
        waker
    }

    /// Makes room for `thread`, which is about to park in the line where `holder` stands: a future that
    /// it polled itself cannot go on meanwhile, and is told to look again afterwards.
    pub(crate) fn give_way(&self, scheduler: &Scheduler, holder: Owner, thread: Thread) -> bool {
        if !is_bell(holder) {
            return false;
        }
        let polled_by = self.slots.borrow()[index_of(holder) as usize].polled_by;
        let gives_way = polled_by == Some(GreenThreadId::of(thread));
        if gives_way {
            self.ring(scheduler, holder);
            self.tidy(scheduler);
        }
        gives_way
    }

    /// Who waits by the bell `holder`, in words.
    pub(crate) fn describe(&self, scheduler: &Scheduler, holder: Owner) -> String {
        let polled_by = self.slots.borrow()[index_of(holder) as usize].polled_by;
        let id = polled_by.expect("it stands in a line");
        let own_stack = scheduler.main();
        let is_own_stack = id == GreenThreadId::of(own_stack);
        match if is_own_stack { Some(own_stack) } else { id.find(scheduler) } {
            Some(thread) => describe_future(thread),
            None => format!("a future of green thread {id}, which has ended"),
        }
    }

    /// The OS thread ends: drops the wakers, while there is no scheduler any more.
    pub(crate) fn end(&self) {
        for slot in self.slots.take() {
            drop_quietly(slot.waker);
        }
    }
}

/// A future that `thread` polls, in words.
pub(crate) fn describe_future(thread: Thread) -> String {
    format!("a future of {}", deadlock::describe(thread))
}
