//! Property tests: queues, channels and semaphores against a plain model, with kills and timeouts at
//! random. FAULTS row 53, R13: no item, permit or slot is lost or made, and the order is kept.
//!
//! A case is a list of steps that the OS thread's own stack takes. Some start a green thread that waits
//! in one line or, by a select, in two. Each green thread writes into a log when it begins and when it
//! ends, and after each step the model is led through that log: so it knows who was handed what, also
//! in between the hand-off and the resume, where most of the kills are to land.
//!
//! 1,000,000 steps altogether in a release build, a tenth of them in a debug build, a hundredth under a
//! tool. They follow from a seed; `EVY_TEST_SEED` is another one.

mod util;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::{GreenThread, Selection, sleep, spawn, timeout, yield_now};
use evy_sync::{
    CappedSemaphore, Case, GetError, PutError, Queue, Receive, Receiver, Receiving, RwLock,
    Semaphore, SendError, Sender, Sending, TimedOut, Transmit, bounded, select, select_timeout,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use util::{Census, Counted, OnDrop, Watchdog, assert_nothing_is_registered, rounds};

/// Steps of one case, on average.
const STEPS: usize = 200;

/// Green threads that wait at the same time.
const WAITERS: usize = 12;

/// What a case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Fifo,
    Lifo,
    Priority,
    Channel,
    Capped,
    Semaphore,
}

impl Kind {
    /// Whether its items are all alike.
    fn is_of_units(self) -> bool {
        matches!(self, Self::Capped | Self::Semaphore)
    }

    fn is_queue(self) -> bool {
        matches!(self, Self::Fifo | Self::Lifo | Self::Priority)
    }
}

/// One way to wait, in line 0 or 1.
#[derive(Clone, Copy, Debug)]
enum Way {
    Get(usize),
    Put(usize, u8),
}

#[derive(Clone, Copy, Debug)]
enum Patience {
    Endless,
    /// As the call's own timeout.
    Own(u64),
    /// As a `timeout` around it.
    Around(u64),
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Wait(Way, Option<Way>, Patience),
    TryGet(usize),
    TryPut(usize, u8),
    Kill(usize),
    Yield,
    Sleep(u64),
    Resize(usize, usize),
    Close(usize),
}

/// One case, printed in as many lines as it has steps.
struct Steps(Vec<Step>);

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| f.write_str(&format!("\n    {step:?}")))
    }
}

fn steps() -> impl Strategy<Value = Steps> {
    let way = || {
        prop_oneof![
            (0..2usize).prop_map(Way::Get),
            (0..2usize, 0..4u8).prop_map(|(line, priority)| Way::Put(line, priority)),
        ]
    };
    let patience = prop_oneof![
        3 => Just(Patience::Endless),
        1 => (0..20_000u64).prop_map(Patience::Own),
        1 => (0..20_000u64).prop_map(Patience::Around),
    ];
    let step = prop_oneof![
        12 => (way(), prop::option::of(way()), patience).prop_map(|(one, other, patience)| {
            Step::Wait(one, other, patience)
        }),
        6 => (0..2usize).prop_map(Step::TryGet),
        6 => (0..2usize, 0..4u8).prop_map(|(line, priority)| Step::TryPut(line, priority)),
        8 => (0..WAITERS).prop_map(Step::Kill),
        4 => Just(Step::Yield),
        1 => (0..20_000u64).prop_map(Step::Sleep),
        1 => (0..2usize, capacity()).prop_map(|(line, capacity)| Step::Resize(line, capacity)),
        // Most cases never close.
        1 => (0..400usize).prop_map(|line| if line < 2 { Step::Close(line) } else { Step::Yield }),
    ];
    vec(step, 0..2 * STEPS).prop_map(Steps)
}

fn capacity() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), Just(1), Just(2), Just(5), Just(usize::MAX)]
}

/// What goes through the lines: ordered by its priority alone.
struct Item {
    priority: u8,
    serial: u64,
    _counted: Counted,
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.priority == other.priority
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.priority.cmp(&other.priority)
    }
}

/// What is tested, all by one set of calls.
enum Line {
    Queue(Queue<Item>),
    Channel(Sender<Item>, Receiver<Item>),
    Capped(CappedSemaphore),
    Semaphore(Semaphore),
}

/// How a wait ends, other than by a kill: in which line, and with the serial of the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Got(usize, u64),
    Put(usize, u64),
    /// The line was closed.
    Closed(usize),
    TimedOut,
    /// By the `timeout` around it.
    CutOff,
}

impl Line {
    fn new(kind: Kind, capacity: usize) -> Self {
        match kind {
            Kind::Fifo => Self::Queue(Queue::bounded(capacity)),
            Kind::Lifo => Self::Queue(Queue::bounded(capacity).lifo()),
            Kind::Priority => Self::Queue(Queue::bounded(capacity).by_priority()),
            Kind::Channel => {
                let (sender, receiver) = bounded(capacity);
                Self::Channel(sender, receiver)
            }
            Kind::Capped => Self::Capped(CappedSemaphore::new(0, capacity)),
            Kind::Semaphore => Self::Semaphore(Semaphore::new(0)),
        }
    }

    fn get(&self, at: usize, own: Option<Duration>) -> End {
        let serial = match (self, own) {
            (Self::Queue(queue), None) => queue.get().map(|item| item.serial),
            (Self::Queue(queue), Some(own)) => queue.get_timeout(own).map(|item| item.serial),
            (Self::Channel(_, receiver), None) => {
                receiver.recv().map(|item| item.serial).map_err(|_| GetError::Closed)
            }
            (Self::Channel(_, receiver), Some(own)) => {
                receiver.recv_timeout(own).map(|item| item.serial).map_err(|_| GetError::Empty)
            }
            (Self::Capped(semaphore), None) => {
                semaphore.acquire();
                Ok(0)
            }
            (Self::Capped(semaphore), Some(own)) => empty(semaphore.acquire_timeout(own)),
            (Self::Semaphore(semaphore), None) => {
                semaphore.acquire().forget();
                Ok(0)
            }
            (Self::Semaphore(semaphore), Some(own)) => {
                empty(semaphore.acquire_timeout(own).map(|permit| permit.forget()))
            }
        };
        match serial {
            Ok(serial) => End::Got(at, serial),
            Err(GetError::Closed) => End::Closed(at),
            Err(GetError::Empty) => End::TimedOut,
        }
    }

    fn put(&self, at: usize, item: Item, own: Option<Duration>) -> End {
        let serial = item.serial;
        let put = match (self, own) {
            (Self::Queue(queue), None) => queue.put(item),
            (Self::Queue(queue), Some(own)) => queue.put_timeout(item, own),
            (Self::Channel(sender, _), None) => {
                sender.send(item).map_err(|error| PutError::Closed(error.into_inner()))
            }
            (Self::Channel(sender, _), Some(own)) => {
                sender.send_timeout(item, own).map_err(|error| PutError::Full(error.into_inner()))
            }
            (Self::Capped(semaphore), None) => {
                semaphore.release();
                Ok(())
            }
            (Self::Capped(semaphore), Some(own)) => {
                semaphore.release_timeout(own).map_err(|TimedOut| PutError::Full(item))
            }
            (Self::Semaphore(semaphore), _) => {
                semaphore.release();
                Ok(())
            }
        };
        match put {
            Ok(()) => End::Put(at, serial),
            Err(PutError::Closed(_)) => End::Closed(at),
            Err(PutError::Full(_)) => End::TimedOut,
        }
    }

    fn try_get(&self, at: usize) -> Option<End> {
        let serial = match self {
            Self::Queue(queue) => queue.try_get().map(|item| item.serial),
            Self::Channel(_, receiver) => {
                receiver.try_recv().map(|item| item.serial).map_err(|_| GetError::Empty)
            }
            Self::Capped(semaphore) => {
                semaphore.try_acquire().map(|()| 0).map_err(|_| GetError::Empty)
            }
            Self::Semaphore(semaphore) => {
                let acquired = semaphore.try_acquire().map(|permit| permit.forget());
                acquired.map(|()| 0).map_err(|_| GetError::Empty)
            }
        };
        match serial {
            Ok(serial) => Some(End::Got(at, serial)),
            Err(GetError::Closed) => Some(End::Closed(at)),
            Err(GetError::Empty) => None,
        }
    }

    fn try_put(&self, at: usize, item: Item) -> Option<End> {
        let serial = item.serial;
        let put = match self {
            Self::Queue(queue) => queue.try_put(item),
            Self::Channel(sender, _) => {
                sender.try_send(item).map_err(|error| PutError::Full(error.into_inner()))
            }
            Self::Capped(semaphore) => semaphore.try_release().map_err(|_| PutError::Full(item)),
            Self::Semaphore(semaphore) => {
                semaphore.release();
                Ok(())
            }
        };
        match put {
            Ok(()) => Some(End::Put(at, serial)),
            Err(PutError::Closed(_)) => Some(End::Closed(at)),
            Err(PutError::Full(_)) => None,
        }
    }
}

fn empty(acquired: Result<(), TimedOut>) -> Result<u64, GetError> {
    acquired.map(|()| 0).map_err(|TimedOut| GetError::Empty)
}

impl Receive for Line {
    type Output = Option<Item>;

    fn try_receive(&self) -> Option<Option<Item>> {
        match self {
            Self::Queue(queue) => queue.try_receive().map(Result::ok),
            Self::Channel(_, receiver) => receiver.try_receive().map(Result::ok),
            _ => unreachable!("a semaphore is no case of a select"),
        }
    }

    fn receive_in(&self, selection: &Selection, inside: &mut dyn FnMut()) -> Option<Option<Item>> {
        match self {
            Self::Queue(queue) => queue.receive_in(selection, inside).map(Result::ok),
            Self::Channel(_, receiver) => receiver.receive_in(selection, inside).map(Result::ok),
            _ => unreachable!("a semaphore is no case of a select"),
        }
    }
}

impl Transmit<Item> for Line {
    type Error = ();

    fn try_transmit(&self, item: Item) -> Result<Result<(), ()>, Item> {
        match self {
            Self::Queue(queue) => queue.try_transmit(item).map(|put| put.map_err(drop)),
            Self::Channel(sender, _) => {
                sender.try_transmit(item).map(|sent| sent.map_err(|SendError(item)| drop(item)))
            }
            _ => unreachable!("a semaphore is no case of a select"),
        }
    }

    fn transmit_in(
        &self,
        selection: &Selection,
        item: Item,
        inside: &mut dyn FnMut(),
    ) -> Result<(), Item> {
        match self {
            Self::Queue(queue) => queue.transmit_in(selection, item, inside),
            Self::Channel(sender, _) => sender.transmit_in(selection, item, inside),
            _ => unreachable!("a semaphore is no case of a select"),
        }
    }
}

/// A case of a select, whichever.
enum Half<'a> {
    Get(usize, Receiving<'a, Line>),
    Put(usize, u64, Sending<'a, Line, Item>),
}

impl<'a> Half<'a> {
    fn new(lines: &'a [Line; 2], way: Way, item: Option<Item>) -> Self {
        match way {
            Way::Get(at) => Self::Get(at, Receiving::new(&lines[at])),
            Way::Put(at, _) => {
                let item = item.expect("there is one to put");
                Self::Put(at, item.serial, Sending::new(&lines[at], item))
            }
        }
    }

    fn as_case(&mut self) -> &mut dyn Case {
        match self {
            Self::Get(_, case) => case,
            Self::Put(_, _, case) => case,
        }
    }

    fn end(self) -> Option<End> {
        Some(match self {
            Self::Get(at, case) => match case.into_result()? {
                Some(item) => End::Got(at, item.serial),
                None => End::Closed(at),
            },
            Self::Put(at, serial, case) => match case.into_result()? {
                Ok(()) => End::Put(at, serial),
                Err(()) => End::Closed(at),
            },
        })
    }
}

fn wait_in_two(
    lines: &[Line; 2],
    ways: [Way; 2],
    items: [Option<Item>; 2],
    own: Option<Duration>,
) -> End {
    let [one, other] = items;
    let (mut one, mut other) = (Half::new(lines, ways[0], one), Half::new(lines, ways[1], other));
    let mut cases = [one.as_case(), other.as_case()];
    match own {
        None => select(&mut cases),
        Some(own) if select_timeout(&mut cases, own).is_err() => return End::TimedOut,
        Some(_) => {}
    }
    let (one, other) = (one.end(), other.end());
    assert!(one.is_none() || other.is_none(), "only one of them is done");
    one.or(other).expect("one of them is done")
}

/// What the log has: green threads begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Begins(usize),
    Ends(usize, End),
}

/// An item as the model knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token {
    number: u64,
    priority: u8,
    serial: u64,
}

#[derive(Debug)]
struct ModelLine {
    kind: Kind,
    capacity: usize,
    stored: Vec<Token>,
    getters: VecDeque<usize>,
    putters: VecDeque<(usize, Token)>,
    accepted: u64,
    closed: bool,
}

/// A green thread, as the model knows it.
#[derive(Debug)]
struct Waiter {
    ways: Vec<(Way, Token)>,
    patience: Patience,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unborn,
    Waiting,
    /// It will end so, if nothing comes between; with the token that it was handed.
    Served(End, Option<Token>),
    /// A select whose send was refused: it tries everything once more.
    Retries,
}

#[derive(Debug)]
struct Model {
    lines: [ModelLine; 2],
    waiters: BTreeMap<usize, Waiter>,
}

impl Model {
    /// The first who waits in a line; those who were served elsewhere are passed over.
    fn first_getter(&mut self, at: usize) -> Option<usize> {
        loop {
            let id = self.lines[at].getters.pop_front()?;
            if self.waiters[&id].state == State::Waiting {
                return Some(id);
            }
        }
    }

    fn take_from_putter(&mut self, at: usize) -> Option<Token> {
        loop {
            let (id, token) = self.lines[at].putters.pop_front()?;
            if self.waiters[&id].state == State::Waiting {
                self.serve(id, End::Put(at, token.serial), None);
                return Some(self.accept(at, token));
            }
        }
    }

    fn serve(&mut self, id: usize, end: End, token: Option<Token>) {
        self.waiters.get_mut(&id).expect("it waits").state = State::Served(end, token);
    }

    fn accept(&mut self, at: usize, token: Token) -> Token {
        let line = &mut self.lines[at];
        line.accepted += 1;
        Token { number: line.accepted, ..token }
    }

    /// Hands an accepted token to a getter, or stores it.
    fn hand_or_store(&mut self, at: usize, token: Token) {
        match self.first_getter(at) {
            Some(id) => self.serve(id, End::Got(at, token.serial), Some(token)),
            None => self.lines[at].stored.push(token),
        }
    }

    /// `None` where it has to wait.
    fn put(&mut self, at: usize, token: Token) -> Option<End> {
        if self.lines[at].closed {
            return Some(End::Closed(at));
        }
        let getter = self.first_getter(at);
        let line = &mut self.lines[at];
        if getter.is_none() && line.stored.len() >= line.capacity {
            return None;
        }
        let token = self.accept(at, token);
        match getter {
            Some(id) => self.serve(id, End::Got(at, token.serial), Some(token)),
            None => self.lines[at].stored.push(token),
        }
        Some(End::Put(at, token.serial))
    }

    fn get(&mut self, at: usize) -> Option<End> {
        let line = &mut self.lines[at];
        let kind = line.kind;
        let next = (0..line.stored.len()).min_by_key(|index| {
            let Token { number, priority, .. } = line.stored[*index];
            match kind {
                Kind::Priority => (u64::from(priority), number),
                Kind::Lifo => (0, u64::MAX - number),
                _ => (0, number),
            }
        });
        if let Some(next) = next {
            let token = line.stored.swap_remove(next);
            self.admit(at);
            return Some(End::Got(at, token.serial));
        }
        match self.take_from_putter(at) {
            Some(token) => Some(End::Got(at, token.serial)),
            None => self.lines[at].closed.then_some(End::Closed(at)),
        }
    }

    fn admit(&mut self, at: usize) {
        while self.lines[at].stored.len() < self.lines[at].capacity {
            let Some(token) = self.take_from_putter(at) else { return };
            self.lines[at].stored.push(token);
        }
    }

    fn go(&mut self, way: Way, token: Token) -> Option<End> {
        match way {
            Way::Get(at) => self.get(at),
            Way::Put(at, _) => self.put(at, token),
        }
    }

    fn close(&mut self, at: usize) {
        self.lines[at].closed = true;
        while let Some((id, _)) = self.lines[at].putters.pop_front() {
            let waiter = self.waiters.get_mut(&id).expect("it waits");
            if waiter.state == State::Waiting {
                let is_select = waiter.ways.len() > 1;
                waiter.state =
                    if is_select { State::Retries } else { State::Served(End::Closed(at), None) };
            }
        }
        while self.lines[at].stored.is_empty()
            && let Some(id) = self.first_getter(at)
        {
            self.serve(id, End::Closed(at), None);
        }
    }

    /// It leaves the lines, killed or not; what it was handed in vain is passed on.
    fn leave(&mut self, id: usize, in_vain: bool) {
        for line in &mut self.lines {
            line.getters.retain(|other| *other != id);
            line.putters.retain(|(other, _)| *other != id);
        }
        let waiter = self.waiters.remove(&id).expect("it is known");
        if let State::Served(End::Got(at, _), Some(token)) = waiter.state
            && in_vain
        {
            self.hand_or_store(at, token);
        }
    }

    /// It begins: it is served at once, or waits. `end` is what it ends with at once, if it does.
    fn begin(&mut self, id: usize, end: Option<End>) {
        let ways = self.waiters[&id].ways.clone();
        if let ([_, _], Some(end)) = (ways.as_slice(), end) {
            return self.retry(id, end);
        }
        for (way, token) in &ways {
            if let Some(end) = self.go(*way, *token) {
                assert_eq!(ways.len(), 1, "a select that could do something waits");
                // What it has taken nobody hands it: it is its own.
                return self.serve(id, end, None);
            }
        }
        self.waiters.get_mut(&id).expect("it is known").state = State::Waiting;
        for (way, token) in ways {
            match way {
                Way::Get(at) => self.lines[at].getters.push_back(id),
                Way::Put(at, _) => self.lines[at].putters.push_back((id, token)),
            }
        }
    }

    /// A select has done one of its ways: which one is its own choice.
    fn retry(&mut self, id: usize, end: End) {
        let did = |(way, token): &&(Way, Token)| match (*way, end) {
            (Way::Get(line), End::Got(at, _)) => line == at,
            (Way::Put(line, _), End::Put(at, serial)) => line == at && token.serial == serial,
            (Way::Get(line) | Way::Put(line, _), End::Closed(at)) => line == at,
            _ => false,
        };
        let way = self.waiters[&id].ways.iter().find(did).copied();
        let (way, token) = way.unwrap_or_else(|| panic!("{id} was not to end with {end:?}"));
        assert_eq!(self.go(way, token), Some(end));
        self.serve(id, end, None);
    }

    fn end(&mut self, id: usize, end: End) {
        let Waiter { state, patience, .. } = &self.waiters[&id];
        match (*state, end, *patience) {
            (State::Served(expected, _), end, _) if end == expected => self.leave(id, false),
            (State::Waiting, End::TimedOut, Patience::Own(_)) => self.leave(id, false),
            (
                State::Waiting | State::Served(..) | State::Retries,
                End::CutOff,
                Patience::Around(_),
            ) => {
                self.leave(id, true);
            }
            (State::Retries, end, _) => {
                self.retry(id, end);
                self.leave(id, false);
            }
            (state, end, _) => panic!("{id} was {state:?} and ended with {end:?}"),
        }
    }
}

/// The lines, the green threads, and what the model says about them.
struct Run {
    kind: Kind,
    census: Census,
    lines: Rc<[Line; 2]>,
    log: Rc<RefCell<VecDeque<Event>>>,
    threads: BTreeMap<usize, GreenThread<()>>,
    model: Model,
    next_id: usize,
    next_serial: u64,
}

impl Run {
    fn new(kind: Kind, capacities: [usize; 2]) -> Self {
        let capacities = if kind == Kind::Semaphore { [usize::MAX; 2] } else { capacities };
        Self {
            kind,
            census: Census::new(),
            lines: Rc::new(capacities.map(|capacity| Line::new(kind, capacity))),
            log: Rc::default(),
            threads: BTreeMap::new(),
            model: Model {
                lines: capacities.map(|capacity| ModelLine {
                    kind,
                    capacity,
                    stored: Vec::new(),
                    getters: VecDeque::new(),
                    putters: VecDeque::new(),
                    accepted: 0,
                    closed: false,
                }),
                waiters: BTreeMap::new(),
            },
            next_id: 0,
            next_serial: 0,
        }
    }

    fn token(&mut self, way: Way) -> Token {
        let Way::Put(_, priority) = way else { return Token { number: 0, priority: 0, serial: 0 } };
        if self.kind.is_of_units() {
            return Token { number: 0, priority: 0, serial: 0 };
        }
        self.next_serial += 1;
        Token { number: 0, priority, serial: self.next_serial }
    }

    fn item(&self, token: Token) -> Item {
        let Token { priority, serial, .. } = token;
        Item { priority, serial, _counted: self.census.one() }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Wait(one, other, patience) if self.threads.len() < WAITERS => {
                // Which of two sends into one line stands in front is chance.
                let both_put = |other: &Way| matches!((one, other), (Way::Put(a, _), Way::Put(b, _)) if a == *b);
                let other = other.filter(|other| !self.kind.is_of_units() && !both_put(other));
                self.start([Some(one), other].into_iter().flatten().collect(), patience);
                yield_now();
            }
            Step::TryGet(at) => {
                let got = self.lines[at].try_get(at);
                assert_eq!(got, self.model.get(at).filter(|end| self.tells_end(*end)));
            }
            Step::TryPut(at, priority) => {
                let token = self.token(Way::Put(at, priority));
                let put = self.lines[at].try_put(at, self.item(token));
                assert_eq!(put, self.model.put(at, token));
            }
            Step::Kill(n) if !self.threads.is_empty() => {
                let id = *self.threads.keys().nth(n % self.threads.len()).expect("so many");
                self.threads.remove(&id).expect("it is there").kill();
                self.model.leave(id, true);
            }
            Step::Sleep(nanos) => sleep(Duration::from_nanos(nanos)),
            Step::Resize(at, capacity) if self.kind.is_queue() => {
                if let Line::Queue(queue) = &self.lines[at] {
                    queue.resize((capacity < usize::MAX).then_some(capacity));
                }
                self.model.lines[at].capacity = capacity;
                self.model.admit(at);
            }
            Step::Close(at) if self.kind.is_queue() => {
                if let Line::Queue(queue) = &self.lines[at] {
                    queue.close();
                }
                self.model.close(at);
            }
            _ => yield_now(),
        }
        self.follow();
        self.check();
    }

    fn tells_end(&self, end: End) -> bool {
        self.kind.is_queue() || !matches!(end, End::Closed(_))
    }

    fn start(&mut self, ways: Vec<Way>, patience: Patience) {
        let id = self.next_id;
        self.next_id += 1;
        let ways: Vec<_> = ways.into_iter().map(|way| (way, self.token(way))).collect();
        let mut items =
            ways.iter().map(|(way, token)| matches!(way, Way::Put(..)).then(|| self.item(*token)));
        let items = [items.next().flatten(), items.next().flatten()];
        let (lines, log) = (Rc::clone(&self.lines), Rc::clone(&self.log));
        let body = {
            let ways: Vec<_> = ways.iter().map(|(way, _)| *way).collect();
            move || {
                log.borrow_mut().push_back(Event::Begins(id));
                let (own, around) = match patience {
                    Patience::Endless => (None, None),
                    Patience::Own(nanos) => (Some(Duration::from_nanos(nanos)), None),
                    Patience::Around(nanos) => (None, Some(Duration::from_nanos(nanos))),
                };
                let wait = || {
                    let [one, other] = items;
                    match (ways.as_slice(), one) {
                        ([Way::Get(at)], _) => lines[*at].get(*at, own),
                        ([Way::Put(at, _)], Some(item)) => lines[*at].put(*at, item, own),
                        ([a, b], one) => wait_in_two(&lines, [*a, *b], [one, other], own),
                        _ => unreachable!("one way or two, with what they need"),
                    }
                };
                let end = match around {
                    None => wait(),
                    Some(around) => timeout(around, wait).unwrap_or(End::CutOff),
                };
                log.borrow_mut().push_back(Event::Ends(id, end));
            }
        };
        self.model.waiters.insert(id, Waiter { ways, patience, state: State::Unborn });
        self.threads.insert(id, spawn(body));
    }

    /// Leads the model through what has happened.
    fn follow(&mut self) {
        loop {
            let event = self.log.borrow_mut().pop_front();
            match event {
                None => return,
                Some(Event::Begins(id)) => {
                    let at_once = match self.log.borrow().front() {
                        Some(Event::Ends(other, end)) if *other == id => Some(*end),
                        _ => None,
                    };
                    self.model.begin(id, at_once);
                }
                Some(Event::Ends(id, end)) => {
                    self.model.end(id, end);
                    self.threads.remove(&id);
                }
            }
        }
    }

    fn check(&self) {
        for (line, model) in self.lines.iter().zip(&self.model.lines) {
            let (stored, getters, putters) =
                (model.stored.len(), model.getters.len(), model.putters.len());
            match line {
                Line::Queue(queue) => {
                    let counts = (queue.len(), queue.getting(), queue.putting());
                    assert_eq!(counts, (stored, getters, putters));
                }
                Line::Channel(sender, receiver) => {
                    assert_eq!((sender.len(), receiver.len()), (stored, stored));
                }
                Line::Capped(semaphore) if model.capacity < usize::MAX => {
                    let room = model.capacity.saturating_sub(stored);
                    let balance = (stored + putters) as isize - (room + getters) as isize;
                    assert_eq!(semaphore.balance(), balance);
                }
                Line::Capped(_) => {}
                Line::Semaphore(semaphore) => {
                    assert_eq!(semaphore.balance(), stored as isize - getters as isize);
                }
            }
            let waits = |id: &usize| self.model.waiters[id].state == State::Waiting;
            let anybody_gets = model.getters.iter().any(waits);
            assert!(!anybody_gets || stored == 0, "nobody waits beside an item");
            let anybody_puts = model.putters.iter().any(|(id, _)| waits(id));
            assert!(!anybody_puts || stored >= model.capacity, "nobody waits beside room");
        }
    }

    /// Ends everybody, and takes out what is left.
    fn end(mut self) {
        for (id, thread) in std::mem::take(&mut self.threads) {
            thread.kill();
            self.model.leave(id, true);
        }
        self.check();
        for at in 0..2 {
            while !self.model.lines[at].stored.is_empty() {
                assert_eq!(self.lines[at].try_get(at), self.model.get(at));
            }
            self.check();
        }
        assert!(Rc::into_inner(self.lines).is_some(), "nobody holds on to the lines");
        assert_eq!(self.census.alive(), 0);
    }
}

fn seed() -> u64 {
    let given = std::env::var("EVY_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or(20_260_101)
}

/// A runner for so many cases; what it finds out follows from the seed.
fn runner(cases: usize) -> TestRunner {
    let cases = cases.max(1) as u32;
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut seeds = [0; 32];
    seeds[..8].copy_from_slice(&seed().to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seeds))
}

fn check_against_the_model(kind: Kind) {
    let _watchdog = Watchdog::new("random steps");
    // Six kinds, and the locks.
    let mut runner = runner(rounds(1_000_000) / 7 / STEPS);
    let cases = ([capacity(), capacity()], steps());
    let result = runner.run(&cases, |(capacities, steps)| {
        let mut run = Run::new(kind, capacities);
        steps.0.into_iter().for_each(|step| run.step(step));
        run.end();
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("with EVY_TEST_SEED={}: {error}", seed()));
    assert_nothing_is_registered();
}

#[test]
fn fault_53_a_queue_is_as_its_model() {
    check_against_the_model(Kind::Fifo);
}

#[test]
fn fault_53_a_lifo_queue_is_as_its_model() {
    check_against_the_model(Kind::Lifo);
}

#[test]
fn fault_53_a_queue_by_priority_is_as_its_model() {
    check_against_the_model(Kind::Priority);
}

#[test]
fn fault_53_a_channel_is_as_its_model() {
    check_against_the_model(Kind::Channel);
}

#[test]
fn fault_53_a_capped_semaphore_is_as_its_model() {
    check_against_the_model(Kind::Capped);
}

#[test]
fn fault_53_a_semaphore_is_as_its_model() {
    check_against_the_model(Kind::Semaphore);
}

/// Who comes to a lock: whether to write, how long it stays, and for how long it waits.
type Visit = (bool, u8, Patience);

#[derive(Clone, Copy, Debug)]
enum LockStep {
    Visit(Visit),
    Kill(usize),
    Yield,
    Sleep(u64),
}

fn lock_steps() -> impl Strategy<Value = Vec<LockStep>> {
    let patience = prop_oneof![
        3 => Just(Patience::Endless),
        1 => (0..20_000u64).prop_map(Patience::Own),
        1 => (0..20_000u64).prop_map(Patience::Around),
    ];
    let step = prop_oneof![
        6 => (any::<bool>(), 0..4u8, patience).prop_map(LockStep::Visit),
        3 => (0..WAITERS).prop_map(LockStep::Kill),
        3 => Just(LockStep::Yield),
        1 => (0..20_000u64).prop_map(LockStep::Sleep),
    ];
    vec(step, 0..2 * STEPS)
}

/// Who is in a lock, and who came when.
#[derive(Default)]
struct Visits {
    lock: RwLock<()>,
    readers: Cell<u32>,
    writers: Cell<u32>,
    next_number: Cell<u64>,
    /// The highest numbers of those who have been in.
    last_in: Cell<Option<u64>>,
    last_writer: Cell<Option<u64>>,
}

impl Visits {
    fn visit(&self, (writes, stays, patience): Visit) {
        let number = self.next_number.replace(self.next_number.get() + 1);
        let inside = if writes { &self.writers } else { &self.readers };
        let stay = || {
            // Readers that are let in together go on in any order.
            let before = if writes { &self.last_in } else { &self.last_writer };
            assert!(before.get() < Some(number), "in order of arrival");
            self.last_in.set(self.last_in.get().max(Some(number)));
            if writes {
                self.last_writer.set(Some(number));
            }
            inside.set(inside.get() + 1);
            let _leaves = OnDrop(|| inside.set(inside.get() - 1));
            for _ in 0..=stays {
                let is_alone = self.writers.get() == 1 && self.readers.get() == 0;
                assert!(self.writers.get() == 0 || is_alone);
                yield_now();
            }
        };
        let enter = |own| match (writes, own) {
            (true, None) => drop((self.lock.write(), stay()).0),
            (false, None) => drop((self.lock.read(), stay()).0),
            (true, Some(own)) => drop(self.lock.write_timeout(own).map(|guard| (stay(), guard).1)),
            (false, Some(own)) => drop(self.lock.read_timeout(own).map(|guard| (stay(), guard).1)),
        };
        match patience {
            Patience::Endless => enter(None),
            Patience::Own(nanos) => enter(Some(Duration::from_nanos(nanos))),
            Patience::Around(nanos) => {
                let _ = timeout(Duration::from_nanos(nanos), || enter(None));
            }
        }
    }
}

#[test]
fn fault_53_a_lock_lets_readers_and_writers_in_by_turns() {
    let _watchdog = Watchdog::new("random steps");
    let result = runner(rounds(1_000_000) / 7 / STEPS).run(&lock_steps(), |steps| {
        let visits = Rc::new(Visits::default());
        let mut threads: VecDeque<GreenThread<()>> = VecDeque::new();
        for step in steps {
            match step {
                LockStep::Visit(visit) if threads.len() < WAITERS => {
                    let visits = Rc::clone(&visits);
                    threads.push_back(spawn(move || visits.visit(visit)));
                }
                LockStep::Kill(n) if !threads.is_empty() => {
                    let at = n % threads.len();
                    threads.remove(at).expect("so many").kill();
                }
                LockStep::Sleep(nanos) => sleep(Duration::from_nanos(nanos)),
                _ => yield_now(),
            }
            while let Some(at) = threads.iter().position(GreenThread::is_finished) {
                threads.remove(at).expect("it is there").wait().expect("no panic inside");
            }
        }
        for thread in threads {
            thread.wait().expect("no panic inside, and nobody waits for ever");
        }
        assert!(visits.lock.try_write().is_ok(), "everybody has left");
        assert_eq!((visits.readers.get(), visits.writers.get()), (0, 0));
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("with EVY_TEST_SEED={}: {error}", seed()));
    assert_nothing_is_registered();
}
