//! `ResourcePool` against a plain model: very many random steps, and after each of them the two agree on
//! who has which resource, in which order, and on every count.
//!
//! The model has no stacks and no guards: it is a few queues. It knows the order in which green threads
//! run, too, so kills come at every point: before the first run, in line, between hand-off and resume, while
//! a resource is being made, while it is used, and after its user was told to give it back. Timeouts are of
//! zero, which are due at the first park, also one in the middle of making. (Those that come at any time are
//! in `random.rs`: whether they come before or after a hand-off is not for a model to know.)
//!
//! A million steps in a release build, a tenth of that in a debug build. They follow from a seed;
//! `EVY_TEST_SEED` runs another one. A failure is shrunk to the few steps that it takes, and these are
//! printed.

mod util;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::time::Duration;

use evy_pool::{GetError, Pooled, ResourcePool};
use evy_runtime::{GreenThread, WaitList, spawn, yield_now};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use util::{Census, Counted, Random, for_each_seed, rounds, wait_in};

/// How many steps each case has.
const STEPS: usize = 400;

#[derive(Clone, Copy, Debug)]
struct Setup {
    max: usize,
    min: usize,
    lifo: bool,
    keep_on_unwind: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A new user asks for a resource, and holds it until it is told otherwise.
    Get,
    /// The same, with no time to wait.
    GetAtOnce,
    /// The driver takes an idle one and gives it back.
    Try,
    /// One of those that hold a resource is told what to do with it.
    Tell(usize, End),
    /// One of all users is killed.
    Kill(usize),
    /// The next resources are made like this, also those that are in the making.
    Make(How),
    /// The maker that has been held up longest goes on.
    GoOn,
    /// The next resource that is validated is bad.
    Spoil,
    /// The next resource that is recycled is dirty.
    Soil,
    Resize(usize),
    Fill,
    Clear,
    Expire,
    /// All that are ready run once.
    Yield,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Drop,
    Put,
    Discard,
    Detach,
    Panic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Make,
    Fail,
    Panic,
    /// Not before it is told to go on.
    Wait,
}

fn setups() -> impl Strategy<Value = Setup> {
    (0_usize..5, 0_usize..4, any::<bool>(), any::<bool>())
        .prop_map(|(max, min, lifo, keep_on_unwind)| Setup { max, min, lifo, keep_on_unwind })
}

fn steps() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        4 => Just(End::Drop),
        2 => Just(End::Put),
        1 => Just(End::Discard),
        1 => Just(End::Detach),
        1 => Just(End::Panic),
    ];
    let how = prop_oneof![
        4 => Just(How::Make),
        1 => Just(How::Fail),
        1 => Just(How::Panic),
        2 => Just(How::Wait),
    ];
    prop_oneof![
        10 => Just(Step::Get),
        2 => Just(Step::GetAtOnce),
        1 => Just(Step::Try),
        10 => (0_usize..64, end).prop_map(|(who, end)| Step::Tell(who, end)),
        4 => (0_usize..64).prop_map(Step::Kill),
        3 => how.prop_map(Step::Make),
        3 => Just(Step::GoOn),
        1 => Just(Step::Spoil),
        1 => Just(Step::Soil),
        1 => (0_usize..6).prop_map(Step::Resize),
        1 => Just(Step::Fill),
        1 => Just(Step::Clear),
        1 => Just(Step::Expire),
        8 => Just(Step::Yield),
    ]
}

/// What anybody can see happen, by the number of the user and of the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Got(usize, usize),
    Failed(usize),
    TimedOut(usize),
    Tried(Option<usize>),
    Filled(bool),
}

/// Size, idle, free, waiting, and resources that are alive.
type Counts = (usize, usize, isize, usize, isize);

/// The pool, and those who use it.
struct World {
    stage: Rc<Stage>,
    pool: ResourcePool<Resource, Refused>,
    users: Vec<User>,
}

/// What makers, checks and users share.
struct Stage {
    events: RefCell<Vec<Event>>,
    census: Census,
    made: Cell<usize>,
    how: Cell<How>,
    makers: WaitList,
    spoiled: Cell<bool>,
    soiled: Cell<bool>,
}

struct User {
    thread: GreenThread<()>,
    told: Rc<Told>,
}

#[derive(Default)]
struct Told {
    end: Cell<Option<End>>,
    line: WaitList,
}

struct Resource {
    number: usize,
    _alive: Counted,
}

#[derive(Debug)]
struct Refused;

/// Panics that are part of the test: not printed.
struct OnPurpose;

impl Stage {
    fn make(&self) -> Result<Resource, Refused> {
        while self.how.get() == How::Wait {
            wait_in(&self.makers);
        }
        match self.how.get() {
            How::Fail => Err(Refused),
            How::Panic => panic_any(OnPurpose),
            How::Make | How::Wait => {
                self.made.set(self.made.get() + 1);
                Ok(Resource { number: self.made.get(), _alive: self.census.one() })
            }
        }
    }

    fn note(&self, event: Event) {
        self.events.borrow_mut().push(event);
    }
}

impl World {
    fn new(setup: Setup) -> Self {
        let stage = Rc::new(Stage {
            events: RefCell::default(),
            census: Census::new(),
            made: Cell::new(0),
            how: Cell::new(How::Make),
            makers: WaitList::new(),
            spoiled: Cell::new(false),
            soiled: Cell::new(false),
        });
        let [makes, validates, recycles] = [(); 3].map(|()| Rc::clone(&stage));
        let mut builder = ResourcePool::builder(move || makes.make())
            .min(setup.min)
            .max(setup.max)
            .validate(move |_| !validates.spoiled.replace(false))
            .recycle(move |_| !recycles.soiled.replace(false));
        if setup.lifo {
            builder = builder.lifo();
        }
        if setup.keep_on_unwind {
            builder = builder.keep_on_unwind();
        }
        let pool = builder.build().expect("it makes what it is to make");
        Self { stage, pool, users: Vec::new() }
    }

    fn step(&mut self, step: Step, model: &Model) {
        match step {
            Step::Get => self.add_user(false),
            Step::GetAtOnce => self.add_user(true),
            Step::Try => {
                let tried = self.pool.try_get();
                self.stage.note(Event::Tried(tried.as_ref().map(|resource| resource.number)));
            }
            Step::Tell(who, end) => {
                if let Some(who) = model.holder(who) {
                    self.users[who].told.end.set(Some(end));
                    assert!(self.users[who].told.line.wake_one());
                }
            }
            Step::Kill(who) => {
                if let Some(who) = model.living(who) {
                    self.users[who].thread.kill();
                    assert!(self.users[who].thread.is_finished());
                }
            }
            Step::Make(how) => self.stage.how.set(how),
            Step::GoOn => _ = self.stage.makers.wake_one(),
            Step::Spoil => self.stage.spoiled.set(true),
            Step::Soil => self.stage.soiled.set(true),
            Step::Resize(max) => self.pool.resize(max),
            Step::Fill => self.fill(),
            Step::Clear => self.pool.clear(),
            Step::Expire => self.pool.expire(),
            Step::Yield => yield_now(),
        }
    }

    fn fill(&self) {
        // The driver must not wait: nobody would tell its maker to go on.
        if matches!(self.stage.how.get(), How::Make | How::Fail) {
            self.stage.note(Event::Filled(self.pool.fill().is_ok()));
        }
    }

    fn add_user(&mut self, at_once: bool) {
        let (number, told) = (self.users.len(), Rc::new(Told::default()));
        let user = Using {
            number,
            stage: Rc::clone(&self.stage),
            pool: self.pool.clone(),
            told: Rc::clone(&told),
        };
        self.users.push(User { thread: spawn(move || user.run(at_once)), told });
    }

    fn counts(&self) -> Counts {
        let pool = &self.pool;
        (pool.size(), pool.idle(), pool.free(), pool.waiting(), self.stage.census.alive())
    }
}

impl Drop for World {
    /// Also after a failure: nobody may stay in the next case's way.
    fn drop(&mut self) {
        for user in &self.users {
            // A pool that is broken may panic here.
            let _ = catch_unwind(AssertUnwindSafe(|| user.thread.kill()));
        }
    }
}

/// A user on its green thread.
struct Using {
    number: usize,
    stage: Rc<Stage>,
    pool: ResourcePool<Resource, Refused>,
    told: Rc<Told>,
}

impl Using {
    fn run(self, at_once: bool) {
        let got = if at_once {
            self.pool.get_timeout(Duration::ZERO)
        } else {
            self.pool.get().map_err(GetError::Create)
        };
        match got {
            Ok(resource) => self.hold(resource),
            Err(GetError::Create(Refused)) => self.stage.note(Event::Failed(self.number)),
            Err(GetError::TimedOut) => self.stage.note(Event::TimedOut(self.number)),
        }
    }

    fn hold(&self, resource: Pooled<Resource>) {
        self.stage.note(Event::Got(self.number, resource.number));
        wait_in(&self.told.line);
        match self.told.end.get().expect("it was told") {
            End::Drop => drop(resource),
            End::Put => self.pool.put(resource),
            End::Discard => resource.discard(),
            End::Detach => drop(resource.detach()),
            End::Panic => panic_any(OnPurpose),
        }
    }
}

/// A resource: its number, and the generation that it was made in.
type Entry = (usize, usize);

/// The pool as it ought to be.
struct Model {
    setup: Setup,
    max: usize,
    size: usize,
    generation: usize,
    idle: VecDeque<Entry>,
    line: VecDeque<usize>,
    /// Resources (`Some`) and slots for who was woken.
    handed: VecDeque<Option<Entry>>,
    users: Vec<State>,
    /// Who runs next.
    ready: VecDeque<usize>,
    /// Users that are held up in the middle of making.
    makers: VecDeque<usize>,
    made: usize,
    how: How,
    spoiled: bool,
    soiled: bool,
    events: Vec<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New {
        at_once: bool,
    },
    InLine,
    Woken,
    /// Since which generation.
    Making(usize),
    Holding(Entry),
    Told(Entry, End),
    Ended,
}

impl Model {
    fn new(setup: Setup) -> Self {
        let mut model = Self {
            setup,
            max: setup.max,
            size: 0,
            generation: 0,
            idle: VecDeque::new(),
            line: VecDeque::new(),
            handed: VecDeque::new(),
            users: Vec::new(),
            ready: VecDeque::new(),
            makers: VecDeque::new(),
            made: 0,
            how: How::Make,
            spoiled: false,
            soiled: false,
            events: Vec::new(),
        };
        model.fill();
        model.events.clear();
        model
    }

    fn those(&self, which: impl Fn(&State) -> bool) -> Vec<usize> {
        (0..self.users.len()).filter(|&user| which(&self.users[user])).collect()
    }

    fn one_of(&self, n: usize, which: impl Fn(&State) -> bool) -> Option<usize> {
        let those = self.those(which);
        those.get(n % those.len().max(1)).copied()
    }

    fn holder(&self, n: usize) -> Option<usize> {
        self.one_of(n, |state| matches!(state, State::Holding(_)))
    }

    fn living(&self, n: usize) -> Option<usize> {
        self.one_of(n, |state| *state != State::Ended)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Get => self.add_user(false),
            Step::GetAtOnce => self.add_user(true),
            Step::Try => self.try_get(),
            Step::Tell(who, end) => {
                if let Some(who) = self.holder(who) {
                    let State::Holding(entry) = self.users[who] else { unreachable!() };
                    self.users[who] = State::Told(entry, end);
                    self.ready.push_back(who);
                }
            }
            Step::Kill(who) => {
                if let Some(who) = self.living(who) {
                    self.kill(who);
                }
            }
            Step::Make(how) => self.how = how,
            Step::GoOn => self.ready.extend(self.makers.pop_front()),
            Step::Spoil => self.spoiled = true,
            Step::Soil => self.soiled = true,
            Step::Resize(max) => self.resize(max),
            Step::Fill if matches!(self.how, How::Make | How::Fail) => self.fill(),
            Step::Clear => {
                self.generation += 1;
                self.size -= self.idle.len();
                self.idle.clear();
            }
            Step::Yield => {
                for _ in 0..self.ready.len() {
                    let user = self.ready.pop_front().expect("it was counted");
                    self.run(user);
                }
            }
            Step::Fill | Step::Expire => {}
        }
    }

    fn add_user(&mut self, at_once: bool) {
        self.ready.push_back(self.users.len());
        self.users.push(State::New { at_once });
    }

    fn run(&mut self, user: usize) {
        match self.users[user] {
            State::New { at_once } => self.get(user, at_once),
            State::Woken => match self.handed.pop_front().expect("one for each") {
                Some(entry) => self.check(user, entry, false),
                None => self.instead(user, false),
            },
            State::Making(generation) => self.make(user, generation, false),
            State::Told(entry, end) => {
                self.users[user] = State::Ended;
                match end {
                    End::Drop | End::Put => self.give_back(entry),
                    End::Panic if self.setup.keep_on_unwind => self.give_back(entry),
                    End::Discard | End::Detach | End::Panic => self.release(),
                }
            }
            State::InLine | State::Holding(_) | State::Ended => unreachable!("it is not ready"),
        }
    }

    fn get(&mut self, user: usize, at_once: bool) {
        if let Some(entry) = self.pop_idle() {
            self.check(user, entry, at_once);
        } else if self.size < self.max {
            self.size += 1;
            self.make(user, self.generation, at_once);
        } else if at_once {
            self.end(user, Event::TimedOut(user));
        } else {
            self.users[user] = State::InLine;
            self.line.push_back(user);
        }
    }

    fn pop_idle(&mut self) -> Option<Entry> {
        if self.setup.lifo { self.idle.pop_back() } else { self.idle.pop_front() }
    }

    fn check(&mut self, user: usize, entry: Entry, at_once: bool) {
        if std::mem::take(&mut self.spoiled) {
            self.instead(user, at_once);
        } else {
            self.hold(user, entry);
        }
    }

    /// Goes on with a slot.
    fn instead(&mut self, user: usize, at_once: bool) {
        match self.pop_idle() {
            Some(entry) => {
                self.release();
                self.check(user, entry, at_once);
            }
            None => self.make(user, self.generation, at_once),
        }
    }

    fn make(&mut self, user: usize, generation: usize, at_once: bool) {
        match self.how {
            How::Make => {
                self.made += 1;
                self.hold(user, (self.made, generation));
            }
            How::Fail => {
                self.release();
                self.end(user, Event::Failed(user));
            }
            How::Panic => {
                self.release();
                self.users[user] = State::Ended;
            }
            How::Wait if at_once => {
                self.release();
                self.end(user, Event::TimedOut(user));
            }
            How::Wait => {
                self.users[user] = State::Making(generation);
                self.makers.push_back(user);
            }
        }
    }

    fn hold(&mut self, user: usize, entry: Entry) {
        self.users[user] = State::Holding(entry);
        self.events.push(Event::Got(user, entry.0));
    }

    fn end(&mut self, user: usize, event: Event) {
        self.users[user] = State::Ended;
        self.events.push(event);
    }

    fn try_get(&mut self) {
        let mut tried = None;
        while let Some(entry) = self.pop_idle() {
            if std::mem::take(&mut self.spoiled) {
                self.release();
            } else {
                tried = Some(entry);
                break;
            }
        }
        self.events.push(Event::Tried(tried.map(|(number, _)| number)));
        if let Some(entry) = tried {
            self.give_back(entry);
        }
    }

    fn fill(&mut self) {
        let mut is_filled = true;
        while is_filled && self.size < self.setup.min.min(self.max) {
            is_filled = self.how == How::Make;
            if is_filled {
                self.size += 1;
                self.made += 1;
                self.put((self.made, self.generation));
            }
        }
        self.events.push(Event::Filled(is_filled));
    }

    fn resize(&mut self, max: usize) {
        self.max = max;
        while self.size < max && !self.line.is_empty() {
            self.size += 1;
            self.hand_over(None);
        }
        while self.size > max && self.idle.pop_front().is_some() {
            self.size -= 1;
        }
    }

    fn give_back(&mut self, entry: Entry) {
        let is_wanted = self.size <= self.max && entry.1 == self.generation;
        if is_wanted && !std::mem::take(&mut self.soiled) {
            self.put(entry);
        } else {
            self.release();
        }
    }

    fn put(&mut self, entry: Entry) {
        if self.line.is_empty() {
            self.idle.push_back(entry);
        } else {
            self.hand_over(Some(entry));
        }
    }

    fn release(&mut self) {
        if self.size <= self.max && !self.line.is_empty() {
            self.hand_over(None);
        } else {
            self.size -= 1;
        }
    }

    fn hand_over(&mut self, thing: Option<Entry>) {
        let first = self.line.pop_front().expect("somebody is in line");
        self.handed.push_back(thing);
        self.users[first] = State::Woken;
        self.ready.push_back(first);
    }

    fn kill(&mut self, user: usize) {
        self.ready.retain(|other| *other != user);
        self.line.retain(|other| *other != user);
        self.makers.retain(|other| *other != user);
        match std::mem::replace(&mut self.users[user], State::Ended) {
            State::New { .. } | State::InLine => {}
            State::Woken => self.take_back(),
            State::Making(_) => self.release(),
            State::Holding(entry) | State::Told(entry, _) => {
                if self.setup.keep_on_unwind {
                    self.give_back(entry);
                } else {
                    self.release();
                }
            }
            State::Ended => unreachable!("it lives"),
        }
    }

    fn take_back(&mut self) {
        let at = self.handed.iter().position(Option::is_none).unwrap_or(0);
        match self.handed.remove(at).expect("one for each") {
            Some(entry) if self.size <= self.max && entry.1 == self.generation => self.put(entry),
            Some(_) | None => self.release(),
        }
    }

    fn counts(&self) -> Counts {
        let idle = self.idle.len();
        let held = self.those(|state| matches!(state, State::Holding(_) | State::Told(..))).len();
        let alive = idle + self.handed.iter().flatten().count() + held;
        let free = self.max as isize - (self.size - idle) as isize;
        (self.size, idle, free, self.line.len(), alive as isize)
    }

    /// What the pool promises, whatever happened.
    fn check_promises(&self) {
        assert!(self.line.is_empty() || self.idle.is_empty(), "who waits beside an idle resource?");
        assert!(self.line.is_empty() || self.size >= self.max, "who waits beside a free slot?");
        assert!(self.idle.is_empty() || self.size <= self.max, "what is too much is not idle");
        let woken = self.those(|state| *state == State::Woken).len();
        assert_eq!(woken, self.handed.len());
    }
}

fn agree(setup: Setup, steps: &[Step]) {
    let (mut world, mut model) = (World::new(setup), Model::new(setup));
    for step in steps {
        both(&mut world, &mut model, *step);
    }
    // To rest: everybody gets what it waits for, and gives it back.
    for step in [Step::Make(How::Make), Step::Resize(3)] {
        both(&mut world, &mut model, step);
    }
    while model.living(0).is_some() {
        for step in [Step::GoOn, Step::Tell(0, End::Drop), Step::Yield] {
            both(&mut world, &mut model, step);
        }
    }
    let (size, idle, free, waiting, alive) = world.counts();
    assert_eq!((idle, free, waiting, alive), (size, 3, 0, size as isize));
    let stage = Rc::clone(&world.stage);
    drop(world);
    assert_eq!(stage.census.alive(), 0);
    assert!(Rc::into_inner(stage).is_some(), "nobody holds on to the pool");
}

fn both(world: &mut World, model: &mut Model, step: Step) {
    world.step(step, model);
    model.step(step);
    model.check_promises();
    assert_eq!(world.stage.events.take(), std::mem::take(&mut model.events), "after {step:?}");
    assert_eq!(world.counts(), model.counts(), "after {step:?}");
}

fn runner(random: &Random, cases: usize) -> TestRunner {
    let config = Config {
        cases: u32::try_from(cases).expect("few cases"),
        failure_persistence: None,
        ..Config::default()
    };
    // In a debug build ChaCha would take longer than all the steps.
    let seed = std::array::from_fn::<u8, 16, _>(|_| random.below(256) as u8);
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::XorShift, &seed))
}

/// FAULTS rows 41 and 53.
#[test]
fn fault_53_the_pool_and_a_plain_model_agree_at_every_step() {
    for_each_seed(|random| {
        // A quarter of all for each of the four seeds.
        let cases = (rounds(1_000_000) / STEPS / 4).max(1);
        let strategy = (setups(), prop::collection::vec(steps(), STEPS));
        let result = runner(&random, cases).run(&strategy, |(setup, steps)| {
            agree(setup, &steps);
            Ok(())
        });
        if let Err(failure) = result {
            panic!("{failure}");
        }
    });
}
