//! Futures in the background: one green thread of the hub polls them all.
//!
//! A future that has a green thread of its own costs it a stack and two switches a poll. Where there are
//! very many, connections of an async crate for one, they share this one:
//!
//! ```text
//!   waker (socket, alarm, anybody)      ready: numbers       driver green thread
//!   signal of the task ───────────────► 7, 3, …  ──────────► takes a number out, polls that future;
//!                                                            lets others run; nothing ready: parks
//! ```
//!
//! Their wakers are [`block_on`](crate::block_on)'s, so the loop may call them. Each future has its own
//! share of I/O calls a poll. Those that are ready at the beginning of the driver's turn are polled in it,
//! as they would have run before whoever is ready behind them if they were green threads; then the others
//! run. One that blocks (in the green way) holds up the others, and nobody else.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::Builder;
use crate::block_on::Lent;
use crate::control::{Thread, Wake};
use crate::deadlock::tell;
use crate::kill::Killed;
use crate::on_exit::drop_quietly;
use crate::park::{Reason, park};
use crate::scheduler::{Scheduler, current_scheduler, scheduler};

const WAKERS: Reason = Reason::new(&"the wakers of futures in the background");

/// Slots beyond which the memory is given back when none is in use: a burst is over.
const MANY: usize = 1024;

/// Polls `future` in the background, to its end.
///
/// All futures of an OS thread that were spawned so are polled by one green thread of it, each when its
/// waker was called, wherever from. It is the way for very many futures that wait, such as connections of
/// an async crate: they cost no stack and no switch each. One that blocks, which it may do in the green
/// way, holds up the others; what blocks belongs on a green thread, by [`spawn`](crate::spawn), or by
/// [`block_on`](crate::block_on).
///
/// A future that panics is dropped; std's hook reports it, and nobody else is harmed.
/// [`kill_all`](crate::kill_all) drops them all.
///
/// ```
/// use std::time::Duration;
/// use evy_runtime::{Alarm, sleep, spawn_future};
///
/// let count = std::rc::Rc::new(std::cell::Cell::new(0));
/// for _ in 0..1000 {
///     let count = count.clone();
///     spawn_future(async move {
///         Alarm::after(Duration::from_millis(1)).await;
///         count.set(count.get() + 1);
///     });
/// }
/// while count.get() < 1000 {
///     sleep(Duration::from_millis(1));
/// }
/// ```
///
/// # Panics
///
/// Where there is no memory for a stack, as [`spawn`](crate::spawn), or the OS gives no descriptors for a
/// hub.
///
/// # Yields
///
/// Never: the future is polled for the first time when the calling green thread parks or yields.
#[doc(alias = "spawn_local")]
#[doc(alias = "ensure_future")]
#[track_caller]
pub fn spawn_future(future: impl Future<Output = ()> + 'static) {
    let scheduler = scheduler();
    if let Err(error) = scheduler.tasks.start_driver() {
        crate::spawn::refuse(&error);
    }
    scheduler.tasks.add(scheduler, Box::pin(future), Location::caller());
}

type Background = Pin<Box<dyn Future<Output = ()>>>;

/// All futures in the background of one scheduler.
#[derive(Default)]
pub(crate) struct Tasks {
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<u32>>,
    /// The numbers of those to be polled, each once, in the order in which they were woken.
    ready: RefCell<VecDeque<u32>>,
    live: Cell<usize>,
    /// The green thread that polls them is there.
    is_driven: Cell<bool>,
    /// That green thread, during its own park and no other.
    parked: Cell<Option<Thread>>,
}

#[derive(Default)]
struct Slot {
    is_ready: bool,
    /// `None` when there is none, and while it is polled.
    task: Option<Task>,
}

/// In the order of their end: destructors of the future may use its waker.
struct Task {
    future: Background,
    waker: Waker,
    signal: Lent<'static>,
    spawned_at: &'static Location<'static>,
}

impl Tasks {
    fn add(
        &self,
        scheduler: &'static Scheduler,
        future: Background,
        spawned_at: &'static Location<'static>,
    ) {
        let signal = Lent::new(scheduler);
        let task = Task { future, waker: signal.waker(), signal, spawned_at };
        let mut slots = self.slots.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(Slot::default());
            u32::try_from(slots.len() - 1).expect("fewer futures than that at once")
        });
        task.signal.stand_for(index);
        slots[index as usize].task = Some(task);
        drop(slots);
        self.live.set(self.live.get() + 1);
        self.make_ready(scheduler, index);
    }

    /// Has the future `index` polled, if it is not about to be. For the loop, too.
    #[inline]
    pub(crate) fn make_ready(&self, scheduler: &Scheduler, index: u32) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(index as usize)
            && !mem::replace(&mut slot.is_ready, true)
        {
            self.ready.borrow_mut().push_back(index);
            if let Some(thread) = self.parked.get() {
                scheduler.wake(thread, Wake::Run);
            }
        }
    }

    /// Sees to it that there is a driver. Without memory for one, the futures that are there are dropped.
    #[track_caller]
    fn start_driver(&self) -> io::Result<()> {
        if self.is_driven.replace(true) {
            return Ok(());
        }
        let driving = Driving;
        let driver = Builder::new().name("futures").spawn(move || {
            let _driving = driving;
            drive(scheduler());
        })?;
        drop(driver);
        Ok(())
    }

    fn next(&self) -> Option<(u32, Option<Task>)> {
        let index = self.ready.borrow_mut().pop_front()?;
        let slot = &mut self.slots.borrow_mut()[index as usize];
        slot.is_ready = false;
        Some((index, slot.task.take()))
    }

    fn put_back(&self, index: u32, task: Task) {
        self.slots.borrow_mut()[index as usize].task = Some(task);
    }

    /// The future `index` has ended, and was taken out.
    fn retire(&self, index: u32) {
        self.live.set(self.live.get() - 1);
        self.free.borrow_mut().push(index);
        let mut slots = self.slots.borrow_mut();
        if self.live.get() == 0 && slots.len() > MANY {
            *slots = Vec::new();
            *self.free.borrow_mut() = Vec::new();
            *self.ready.borrow_mut() = VecDeque::new();
        }
    }

    /// Parks the driver until one is ready.
    fn park(&self, scheduler: &Scheduler) {
        let thread = scheduler.current();
        self.parked.set(Some(thread));
        let _parked = Parked(self);
        park(scheduler, thread, WAKERS);
    }

    /// How many are to be polled.
    pub(crate) fn ready(&self) -> usize {
        self.ready.borrow().len()
    }

    /// In a forked child: none of them is polled there.
    pub(crate) fn forget_ready(&self) {
        self.ready.borrow_mut().clear();
    }

    /// Drops every future that is there. That may run code of users, which may add some: these stay.
    fn drop_all(&self) {
        let all: Vec<u32> = {
            let slots = self.slots.borrow();
            let there = slots.iter().enumerate().filter(|(_, slot)| slot.task.is_some());
            there.map(|(index, _)| index as u32).collect()
        };
        for index in all {
            let task = self.slots.borrow_mut()[index as usize].task.take();
            if let Some(task) = task {
                self.retire(index);
                drop_quietly(task);
            }
        }
    }
}

/// The driver: polls what is ready, until there are no futures left.
fn drive(scheduler: &'static Scheduler) {
    let tasks = &scheduler.tasks;
    while tasks.live.get() > 0 {
        let batch = tasks.ready();
        if batch == 0 {
            tasks.park(scheduler);
        } else {
            poll_some(scheduler, batch);
            if scheduler.somebody_waits_for_a_turn() {
                scheduler.yield_current();
            }
        }
    }
}

/// Polls the first `batch` of those that are ready; fewer where it is time to look at the clock.
fn poll_some(scheduler: &'static Scheduler, batch: usize) {
    for _ in 0..batch {
        match scheduler.tasks.next() {
            Some((index, Some(task))) => poll(scheduler, index, task),
            // It has ended since it was woken.
            Some((_, None)) => {}
            None => return,
        }
        scheduler.renew_operations();
        // A poll is a turn like any other: one that makes no I/O calls is no reason never to look.
        scheduler.count_turn();
        if scheduler.is_time_to_look() {
            return;
        }
    }
}

fn poll(scheduler: &'static Scheduler, index: u32, mut task: Task) {
    let polled = Polled { tasks: &scheduler.tasks, index };
    task.signal.see_wakes();
    let result = catch_unwind(AssertUnwindSafe(|| {
        task.future.as_mut().poll(&mut Context::from_waker(&task.waker))
    }));
    match result {
        Ok(Poll::Pending) => {
            scheduler.tasks.put_back(index, task);
            mem::forget(polled);
        }
        Ok(Poll::Ready(())) => drop_quietly(task),
        // The driver itself was killed.
        Err(payload) if payload.is::<Killed>() => {
            drop_quietly(task);
            std::panic::resume_unwind(payload);
        }
        // It was reported where it happened, as one of the driver.
        Err(payload) => {
            tell(format_args!("in a future in the background, spawned at {}", task.spawned_at));
            drop_quietly(payload);
            drop_quietly(task);
        }
    }
}

/// A future is being polled, and ends unless this is forgotten.
struct Polled<'a> {
    tasks: &'a Tasks,
    index: u32,
}

impl Drop for Polled<'_> {
    fn drop(&mut self) {
        self.tasks.retire(self.index);
    }
}

/// The driver is parked in its own park, until this is dropped.
struct Parked<'a>(&'a Tasks);

impl Drop for Parked<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.parked.set(None);
    }
}

/// The driver is there. However it ends, also unstarted, the futures end with it, and the next one that is
/// spawned gets a new one.
struct Driving;

impl Drop for Driving {
    fn drop(&mut self) {
        let Some(scheduler) = current_scheduler() else { return };
        scheduler.tasks.drop_all();
        scheduler.tasks.is_driven.set(false);
        if scheduler.tasks.live.get() > 0 {
            // Some were added meanwhile. Without memory this is called again by the driver that does not
            // start, and drops them.
            let _ = scheduler.tasks.start_driver();
        }
    }
}
