//! A function over many items, on the green threads of a pool.
//!
//! ```text
//!   items ──► feeder ──► tasks in slots of the pool ──► results ──► next()
//!              ▲                                                      │
//!              └────────── room for one more ◄────────────────────────┘
//! ```
//!
//! The feeder is a green thread of its own, so that the consumer may be slow or wait elsewhere. It takes
//! an item only while fewer than the pool's size and one are between it and the consumer.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::rc::Rc;

use evy_runtime::{Died, GreenThread, Killed, Reason, WaitList, kill, spawn};

use crate::green_pool::{Shared, Task};

const RESULT: Reason = Reason::new(&"a result of imap");
const ROOM: Reason = Reason::new(&"the consumer of imap to take a result");

/// The results of [`GreenPool::imap`](crate::GreenPool::imap), in the order of the items.
#[must_use = "dropping it kills the tasks"]
pub struct Imap<T: 'static>(Map<T, InOrder<T>>);

/// The results of [`GreenPool::imap_unordered`](crate::GreenPool::imap_unordered), as they are done.
#[must_use = "dropping it kills the tasks"]
pub struct ImapUnordered<T: 'static>(Map<T, AsDone<T>>);

macro_rules! iterator {
    ($name:ident) => {
        impl<T: 'static> $name<T> {
            #[track_caller]
            pub(crate) fn start<S: Iterator + 'static>(
                pool: &Rc<Shared>,
                f: impl Fn(S::Item) -> T + 'static,
                items: S,
            ) -> Self {
                Self(Map::start(pool, f, items))
            }
        }

        impl<T: 'static> Iterator for $name<T> {
            type Item = T;

            /// The next result.
            ///
            /// # Panics
            ///
            /// With the panic of that task, or of the source; with
            /// [`Died::Killed`] where the task was killed.
            ///
            /// # Yields
            ///
            /// Until it is there.
            fn next(&mut self) -> Option<T> {
                self.0.next()
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let ahead = self.0.line.ahead.get();
                f.debug_struct(stringify!($name)).field("ahead", &ahead).finish_non_exhaustive()
            }
        }
    };
}

iterator!(Imap);
iterator!(ImapUnordered);

/// One call of `imap`, seen by its consumer.
struct Map<T: 'static, R: Results<T> + 'static> {
    line: Rc<Line<T, R>>,
    feeder: GreenThread<()>,
}

/// What feeder, tasks and consumer of one call share.
struct Line<T, R> {
    results: RefCell<R>,
    /// Items taken from the source whose results the consumer has not got.
    ahead: Cell<usize>,
    /// The feeder has ended.
    fed: Cell<bool>,
    /// What the source panicked with.
    panic: RefCell<Option<Box<dyn Any + Send>>>,
    /// The consumer has gone.
    closed: Cell<bool>,
    /// Where the consumer waits.
    arrived: WaitList,
    /// Where the feeder waits.
    room: WaitList,
    result: std::marker::PhantomData<T>,
}

impl<T: 'static, R: Results<T> + 'static> Map<T, R> {
    #[track_caller]
    fn start<S: Iterator + 'static>(
        pool: &Rc<Shared>,
        f: impl Fn(S::Item) -> T + 'static,
        items: S,
    ) -> Self {
        let line = Rc::new(Line {
            results: RefCell::default(),
            ahead: Cell::new(0),
            fed: Cell::new(false),
            panic: RefCell::new(None),
            closed: Cell::new(false),
            arrived: WaitList::new(),
            room: WaitList::new(),
            result: std::marker::PhantomData,
        });
        // The consumer holds one of the slots that the items would wait for.
        let over_limit = pool.is_member();
        let feeder = spawn({
            let (line, pool) = (Rc::clone(&line), Rc::clone(pool));
            move || line.feed(&pool, over_limit, Rc::new(f), items)
        });
        Self { line, feeder }
    }

    fn next(&mut self) -> Option<T> {
        let line = &self.line;
        loop {
            let result = line.results.borrow_mut().take();
            if let Some(result) = result {
                line.ahead.set(line.ahead.get() - 1);
                line.room.wake_one();
                return Some(deliver(result));
            }
            if line.fed.get() && line.ahead.get() == 0 {
                let panic = line.panic.take();
                return panic.map(|payload| resume_unwind(payload));
            }
            // The result stays where it is until it is taken: nothing to pass on.
            let woken = line.arrived.wait(RESULT, None, || ());
            debug_assert!(woken.is_ok(), "a wait without a deadline ends by being woken");
        }
    }
}

fn deliver<T>(result: Result<T, Died>) -> T {
    match result {
        Ok(value) => value,
        Err(Died::Panicked(payload)) => resume_unwind(payload),
        Err(died) => panic_any(died),
    }
}

impl<T: 'static, R: Results<T> + 'static> Drop for Map<T, R> {
    fn drop(&mut self) {
        self.line.closed.set(true);
        self.feeder.kill();
        let tasks = self.line.results.borrow().running();
        for task in tasks {
            kill(task);
        }
        // Values of users go when nothing is borrowed.
        let results = self.line.results.take();
        drop(results);
    }
}

impl<T: 'static, R: Results<T> + 'static> Line<T, R> {
    /// The feeder's work.
    fn feed<S: Iterator>(
        self: &Rc<Self>,
        pool: &Rc<Shared>,
        over_limit: bool,
        f: Rc<impl Fn(S::Item) -> T + 'static>,
        items: S,
    ) where
        S::Item: 'static,
    {
        let _end = End(self);
        let fed = catch_unwind(AssertUnwindSafe(|| {
            let mut items = items;
            loop {
                while self.ahead.get() > pool.size() {
                    let woken = self.room.wait(ROOM, None, || ());
                    debug_assert!(woken.is_ok(), "a wait without a deadline ends by being woken");
                }
                let Some(item) = items.next() else { return };
                let ticket = Ticket::new(self);
                let slot = if over_limit { pool.take_slot_now() } else { pool.take_slot() };
                let (f, place) = (Rc::clone(&f), ticket.place);
                match slot.spawn(move || ticket.run(|| f(item))) {
                    Ok(task) => self.results.borrow_mut().started(place, task.id()),
                    Err(error) => panic!("cannot spawn a green thread: {error}"),
                }
            }
        }));
        match fed {
            Err(payload) if payload.is::<Killed>() => resume_unwind(payload),
            Err(payload) => *self.panic.borrow_mut() = Some(payload),
            Ok(()) => {}
        }
    }

    fn put(&self, place: u64, result: Result<T, Died>) {
        if !self.closed.get() {
            self.results.borrow_mut().put(place, result);
            self.arrived.wake_one();
        }
    }
}

/// Tells the consumer that no more items come, however the feeder ends.
struct End<'a, T, R>(&'a Line<T, R>);

impl<T, R> Drop for End<'_, T, R> {
    fn drop(&mut self) {
        self.0.fed.set(true);
        self.0.arrived.wake_one();
    }
}

/// The duty to give one result: fulfilled by running, or by saying that the task was killed.
struct Ticket<T: 'static, R: Results<T> + 'static> {
    line: Rc<Line<T, R>>,
    place: u64,
    fulfilled: bool,
}

impl<T: 'static, R: Results<T> + 'static> Ticket<T, R> {
    fn new(line: &Rc<Line<T, R>>) -> Self {
        line.ahead.set(line.ahead.get() + 1);
        let place = line.results.borrow_mut().announce();
        Self { line: Rc::clone(line), place, fulfilled: false }
    }

    fn run(mut self, f: impl FnOnce() -> T) {
        let result = match catch_unwind(AssertUnwindSafe(f)) {
            Ok(value) => Ok(value),
            // The drop says so.
            Err(payload) if payload.is::<Killed>() => resume_unwind(payload),
            Err(payload) => Err(Died::Panicked(payload)),
        };
        self.fulfilled = true;
        self.line.put(self.place, result);
    }
}

impl<T: 'static, R: Results<T> + 'static> Drop for Ticket<T, R> {
    fn drop(&mut self) {
        if !self.fulfilled {
            self.line.put(self.place, Err(Died::Killed));
        }
    }
}

/// Results that the consumer has not taken, and the tasks that will give more.
trait Results<T>: Default {
    /// A place for the next item's result.
    fn announce(&mut self) -> u64;
    fn started(&mut self, place: u64, task: Task);
    fn put(&mut self, place: u64, result: Result<T, Died>);
    fn take(&mut self) -> Option<Result<T, Died>>;
    fn running(&self) -> Vec<Task>;
}

/// One item, between the feeder and the consumer.
enum Entry<T> {
    Announced,
    Running(Task),
    Done(Result<T, Died>),
}

/// Results by the order of their items.
struct InOrder<T> {
    entries: VecDeque<Entry<T>>,
    /// The place of the first entry.
    first: u64,
}

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), first: 0 }
    }
}

impl<T> InOrder<T> {
    fn entry(&mut self, place: u64) -> &mut Entry<T> {
        &mut self.entries[(place - self.first) as usize]
    }
}

impl<T> Results<T> for InOrder<T> {
    fn announce(&mut self) -> u64 {
        self.entries.push_back(Entry::Announced);
        self.first + self.entries.len() as u64 - 1
    }

    fn started(&mut self, place: u64, task: Task) {
        *self.entry(place) = Entry::Running(task);
    }

    fn put(&mut self, place: u64, result: Result<T, Died>) {
        *self.entry(place) = Entry::Done(result);
    }

    fn take(&mut self) -> Option<Result<T, Died>> {
        if !matches!(self.entries.front(), Some(Entry::Done(_))) {
            return None;
        }
        let Some(Entry::Done(result)) = self.entries.pop_front() else { return None };
        self.first += 1;
        Some(result)
    }

    fn running(&self) -> Vec<Task> {
        let task = |entry: &Entry<T>| match entry {
            Entry::Running(task) => Some(*task),
            _ => None,
        };
        self.entries.iter().filter_map(task).collect()
    }
}

/// Results as they are done.
struct AsDone<T> {
    done: VecDeque<Result<T, Died>>,
    /// Tasks by place; places are used again.
    tasks: Vec<Option<Task>>,
    free: Vec<u64>,
}

impl<T> Default for AsDone<T> {
    fn default() -> Self {
        Self { done: VecDeque::new(), tasks: Vec::new(), free: Vec::new() }
    }
}

impl<T> Results<T> for AsDone<T> {
    fn announce(&mut self) -> u64 {
        self.free.pop().unwrap_or_else(|| {
            self.tasks.push(None);
            self.tasks.len() as u64 - 1
        })
    }

    fn started(&mut self, place: u64, task: Task) {
        self.tasks[place as usize] = Some(task);
    }

    fn put(&mut self, place: u64, result: Result<T, Died>) {
        self.tasks[place as usize] = None;
        self.free.push(place);
        self.done.push_back(result);
    }

    fn take(&mut self) -> Option<Result<T, Died>> {
        self.done.pop_front()
    }

    fn running(&self) -> Vec<Task> {
        self.tasks.iter().flatten().copied().collect()
    }
}
