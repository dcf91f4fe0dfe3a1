//! Who gets which resource, and who may make one.
//!
//! A slot is the right that one resource exists. Whoever has a resource has its slot; so has whoever is
//! making one, or is getting rid of one that is worn. A slot comes back when its resource is gone, so
//! that no more than `max` exist at once, and whichever way that happens: it is a value whose drop does it.
//!
//! ```text
//!   idle ────── check ──────► in use ── given back ───────────► idle
//!   free slot ─ create ─────►   │    ── dropped, or not made ─► free slot
//!                               │
//!                               ▼ where somebody waits, either goes there instead:
//!                            handed
//!                               ├─ the one who was woken goes on ─► in use (check, or create)
//!                               └─ is killed before ──────────────► the next in line, or else back
//! ```
//!
//! What comes back while somebody waits goes into `handed`, a resource as well as a bare slot, and the
//! first in line is woken. Between its wake and its resume nobody else can take what lies there: there is
//! one thing for each that was woken. It does not matter who of them takes which. The bad interleaving is
//! "woken, then killed before it goes on": its wait then takes one thing back and gives it to the next.
//!
//! What always holds while no code of this file runs:
//!
//! ```text
//!   somebody is in line       =>  nothing is idle, and size >= max
//!   something is idle         =>  size <= max
//!   woken, not gone on yet    ==  handed.len()
//! ```
//!
//! Code of users (`validate`, `recycle`, destructors) may park, panic, be killed or use the pool. It runs
//! while nothing here is borrowed and all of the above holds.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::thread::panicking;
use std::time::{Duration, Instant};

use evy_runtime::{Reason, TimedOut, WaitList};

const RESOURCE: Reason = Reason::new(&"a resource of a ResourcePool");

/// What the handles of one pool and its resources share.
pub(super) struct Stock<R: 'static> {
    max: Cell<usize>,
    /// Slots that are taken.
    size: Cell<usize>,
    /// Resources that nobody uses, the one that was given back first in front.
    idle: RefCell<VecDeque<Entry<R>>>,
    /// Who waits for a resource.
    line: WaitList,
    /// What those who were woken will take: resources, and the right to make one (`None`).
    handed: RefCell<VecDeque<Option<Entry<R>>>>,
    /// How often the pool was cleared. A resource of an older generation is not kept.
    generation: Cell<u64>,
    rules: Rules<R>,
}

/// Looks at a resource, and says whether it is fit for the next one.
pub(super) type Check<R> = Box<dyn Fn(&mut R) -> bool>;

/// What the builder of a pool was told.
pub(super) struct Rules<R> {
    pub(super) min: usize,
    pub(super) lifo: bool,
    pub(super) max_idle: Option<Duration>,
    pub(super) max_age: Option<Duration>,
    pub(super) validate: Option<Check<R>>,
    pub(super) recycle: Option<Check<R>>,
    pub(super) keep_on_unwind: bool,
}

impl<R> Default for Rules<R> {
    fn default() -> Self {
        Self {
            min: 0,
            lifo: false,
            max_idle: None,
            max_age: None,
            validate: None,
            recycle: None,
            keep_on_unwind: false,
        }
    }
}

impl<R> Rules<R> {
    /// The time, if anything depends on it.
    fn now(&self) -> Option<Instant> {
        (self.max_idle.is_some() || self.max_age.is_some()).then(Instant::now)
    }
}

/// A resource and what is known of it.
struct Entry<R> {
    resource: R,
    /// `None` where nothing depends on it.
    made: Option<Instant>,
    /// When it was given back. `None` where nothing depends on it, and where it never was.
    idle_since: Option<Instant>,
    generation: u64,
}

impl<R> Entry<R> {
    fn is_expired(&self, rules: &Rules<R>, now: Option<Instant>) -> bool {
        let is_past = |limit: Option<Duration>, since: Option<Instant>| match (limit, since, now) {
            (Some(limit), Some(since), Some(now)) => now.saturating_duration_since(since) >= limit,
            _ => false,
        };
        is_past(rules.max_idle, self.idle_since) || is_past(rules.max_age, self.made)
    }
}

/// What a `get` has to go on with.
pub(super) enum Ticket<R: 'static> {
    Lease(Lease<R>),
    /// There is none: it may make one.
    Slot(Slot<R>),
}

impl<R: 'static> Stock<R> {
    pub(super) fn new(max: usize, rules: Rules<R>) -> Self {
        Self {
            max: Cell::new(max),
            size: Cell::new(0),
            idle: RefCell::default(),
            line: WaitList::new(),
            handed: RefCell::default(),
            generation: Cell::new(0),
            rules,
        }
    }

    pub(super) fn max(&self) -> usize {
        self.max.get()
    }

    pub(super) fn size(&self) -> usize {
        self.size.get()
    }

    pub(super) fn idle(&self) -> usize {
        self.idle.borrow().len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.line.len()
    }

    /// An idle resource, or else a slot that is free. `None`: all are out.
    pub(super) fn take(self: &Rc<Self>) -> Option<Ticket<R>> {
        self.take_idle().map(Ticket::Lease).or_else(|| self.take_slot().map(Ticket::Slot))
    }

    pub(super) fn take_idle(self: &Rc<Self>) -> Option<Lease<R>> {
        let mut idle = self.idle.borrow_mut();
        let entry = if self.rules.lifo { idle.pop_back() } else { idle.pop_front() }?;
        Some(Lease { entry, slot: self.slot_taken() })
    }

    /// A slot, if one is free.
    fn take_slot(self: &Rc<Self>) -> Option<Slot<R>> {
        (self.size.get() < self.max.get()).then(|| {
            self.size.set(self.size.get() + 1);
            self.slot_taken()
        })
    }

    /// A slot for a resource that is made ahead, if there are fewer than promised.
    pub(super) fn take_slot_ahead(self: &Rc<Self>) -> Option<Slot<R>> {
        (self.size.get() < self.rules.min).then(|| self.take_slot())?
    }

    pub(super) fn min(&self) -> usize {
        self.rules.min
    }

    /// The value that stands for a slot which counts as taken already.
    fn slot_taken(self: &Rc<Self>) -> Slot<R> {
        Slot { stock: Rc::clone(self), is_held: true }
    }

    /// Waits in line.
    pub(super) fn wait(self: &Rc<Self>, timeout: Option<Duration>) -> Result<Ticket<R>, TimedOut> {
        self.line.wait(RESOURCE, timeout, || self.take_back())?;
        let handed = self.handed.borrow_mut().pop_front();
        let slot = self.slot_taken();
        Ok(match handed.expect("there is one thing for each that was woken") {
            Some(entry) => Ticket::Lease(Lease { entry, slot }),
            None => self.instead(slot),
        })
    }

    /// Gives what one was handed that will not go on to the next.
    #[cold]
    fn take_back(self: &Rc<Self>) {
        let handed = {
            let mut handed = self.handed.borrow_mut();
            // Those who go on rather keep resources than make some.
            let at = handed.iter().position(Option::is_none).unwrap_or(0);
            handed.remove(at).expect("there is one thing for each that was woken")
        };
        let slot = self.slot_taken();
        if let Some(entry) = handed {
            Lease { entry, slot }.store();
        }
    }

    /// What to go on with where a slot has no resource any more.
    pub(super) fn instead(self: &Rc<Self>, slot: Slot<R>) -> Ticket<R> {
        match self.take_idle() {
            // That one has a slot of its own.
            Some(lease) => Ticket::Lease(lease),
            None => Ticket::Slot(slot),
        }
    }

    /// Puts a resource, whose slot stays taken, to the first in line or to the idle ones.
    fn put(&self, entry: Entry<R>) {
        if self.line.is_empty() {
            self.idle.borrow_mut().push_back(entry);
        } else {
            self.hand_over(Some(entry));
        }
    }

    fn hand_over(&self, thing: Option<Entry<R>>) {
        self.handed.borrow_mut().push_back(thing);
        let is_woken = self.line.wake_one();
        debug_assert!(is_woken, "the caller has seen somebody in line");
    }

    /// Gives a slot to the first in line, or frees it.
    fn release(&self) {
        if self.size.get() <= self.max.get() && !self.line.is_empty() {
            self.hand_over(None);
        } else {
            self.size.set(self.size.get() - 1);
        }
    }

    pub(super) fn resize(self: &Rc<Self>, max: usize) {
        self.max.set(max);
        while self.size.get() < max && !self.line.is_empty() {
            self.size.set(self.size.get() + 1);
            self.hand_over(None);
        }
        let surplus = self.size.get().saturating_sub(max);
        let surplus = self.remove_idle(|at, _| at < surplus);
        // Their slots are gone at once: what is still out must not seem one too many because of them.
        drop_all(surplus.into_iter().map(|Lease { entry, .. }| entry).collect());
    }

    /// Drops what is idle, and sees to it that what is not is dropped when it comes back.
    pub(super) fn clear(self: &Rc<Self>) {
        self.generation.set(self.generation.get() + 1);
        drop_all(self.remove_idle(|_, _| true));
    }

    /// Drops what is idle and has expired.
    pub(super) fn expire(self: &Rc<Self>) {
        let now = self.rules.now();
        drop_all(self.remove_idle(|_, entry| entry.is_expired(&self.rules, now)));
    }

    /// Drops what has been idle for too long, which lies in front, and what is too old along with it.
    pub(super) fn sweep(self: &Rc<Self>) {
        let Some(now) = self.rules.now() else { return };
        let is_expired = |entry: &Entry<R>| entry.is_expired(&self.rules, Some(now));
        let count = self.idle.borrow().iter().take_while(|entry| is_expired(entry)).count();
        if count > 0 {
            drop_all(self.remove_idle(|at, _| at < count));
        }
    }

    fn remove_idle(self: &Rc<Self>, which: impl Fn(usize, &Entry<R>) -> bool) -> Vec<Lease<R>> {
        let mut idle = self.idle.borrow_mut();
        let (mut kept, mut removed) = (VecDeque::with_capacity(idle.len()), Vec::new());
        for (at, entry) in idle.drain(..).enumerate() {
            if which(at, &entry) {
                removed.push(Lease { entry, slot: self.slot_taken() });
            } else {
                kept.push_back(entry);
            }
        }
        *idle = kept;
        removed
    }
}

/// The right that one resource exists. Its drop gives it back.
pub(super) struct Slot<R: 'static> {
    stock: Rc<Stock<R>>,
    is_held: bool,
}

impl<R> Slot<R> {
    pub(super) fn generation(&self) -> u64 {
        self.stock.generation.get()
    }

    /// Puts a resource into the slot, made since `generation`.
    pub(super) fn fill(self, resource: R, generation: u64) -> Lease<R> {
        let made = self.stock.rules.max_age.map(|_| Instant::now());
        Lease { entry: Entry { resource, made, idle_since: None, generation }, slot: self }
    }

    /// Leaves the slot to a resource that is in the stock.
    fn leave(mut self) -> Rc<Stock<R>> {
        self.is_held = false;
        Rc::clone(&self.stock)
    }
}

impl<R> Drop for Slot<R> {
    fn drop(&mut self) {
        if self.is_held {
            self.stock.release();
        }
    }
}

/// A resource that is out of the stock, and its slot. Dropped, both are gone, the resource first.
pub(super) struct Lease<R: 'static> {
    entry: Entry<R>,
    slot: Slot<R>,
}

impl<R> Lease<R> {
    pub(super) fn resource(&self) -> &R {
        &self.entry.resource
    }

    pub(super) fn resource_mut(&mut self) -> &mut R {
        &mut self.entry.resource
    }

    /// Takes the resource out of the pool, and frees its slot.
    pub(super) fn detach(self) -> R {
        self.entry.resource
    }

    /// Checks a resource before it is handed out. One that fails is dropped, and leaves its slot.
    pub(super) fn check(mut self) -> Result<Self, Slot<R>> {
        let rules = &self.slot.stock.rules;
        let is_fit = !self.entry.is_expired(rules, rules.now())
            && rules.validate.as_ref().is_none_or(|validate| validate(&mut self.entry.resource));
        if is_fit {
            return Ok(self);
        }
        let Self { entry, slot } = self;
        drop(entry);
        Err(slot)
    }

    /// Takes a resource back from who used it, and keeps it if it is fit.
    pub(super) fn give_back(mut self) {
        let stock = Rc::clone(&self.slot.stock);
        self.entry.idle_since = stock.rules.now();
        if self.is_wanted() && self.recycle() {
            self.store();
        } else {
            self.end();
        }
        // No destructors of others in the middle of an unwind: one that panics would end the process.
        if !panicking() {
            stock.sweep();
        }
    }

    /// What becomes of a resource that its user's guard drops.
    pub(super) fn give_back_or_discard(self) {
        // Where it is another green thread that unwinds, this costs a resource. The other mistake would
        // cost more: what is left of somebody's half-done work must not get to the next.
        if panicking() && !self.slot.stock.rules.keep_on_unwind {
            self.end();
        } else {
            self.give_back();
        }
    }

    /// Whether the pool would keep the resource if it is fit.
    fn is_wanted(&self) -> bool {
        let stock = &self.slot.stock;
        stock.size.get() <= stock.max.get()
            && self.entry.generation == stock.generation.get()
            && !self.entry.is_expired(&stock.rules, self.entry.idle_since)
    }

    fn recycle(&mut self) -> bool {
        let Some(recycle) = &self.slot.stock.rules.recycle else { return true };
        let resource = &mut self.entry.resource;
        if panicking() {
            // A second unwind out of a destructor would abort the process.
            catch_unwind(AssertUnwindSafe(|| recycle(resource))).unwrap_or(false)
        } else {
            recycle(resource)
        }
    }

    /// Keeps the resource, which is fit, if it is still wanted.
    pub(super) fn store(mut self) {
        // `recycle` may have parked.
        self.entry.idle_since = self.slot.stock.rules.now();
        if !self.is_wanted() {
            return self.end();
        }
        let Self { entry, slot } = self;
        slot.leave().put(entry);
    }

    /// Drops the resource, and then frees its slot.
    pub(super) fn end(self) {
        let Self { entry, slot } = self;
        if slot.stock.size.get() > slot.stock.max.get() {
            // The slot is gone already: whether another resource is one too many does not depend on
            // how long this one takes to go.
            drop(slot);
            drop(entry);
        } else {
            drop(entry);
            drop(slot);
        }
    }
}

/// Drops them one after the other, and all of them, also if a destructor panics or is killed.
fn drop_all<T>(doomed: Vec<T>) {
    let mut first: Option<Box<dyn Any + Send>> = None;
    for one in doomed {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(one))) {
            first.get_or_insert(payload);
        }
    }
    if let Some(payload) = first {
        resume_unwind(payload);
    }
}
