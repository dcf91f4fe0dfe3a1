//! The course of a run: opens the connections, starts the clock, and brings everything to its end.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy::GreenThread;
use evy::signal::{SIGINT, SIGTERM, Signals};
use evy::sync::{Event, Receiver, RecvTimeoutError, Sender, WaitGroup, unbounded};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::client::Client;
use crate::connection::{Connection, Target};
use crate::failure::Failure;
use crate::options::Options;
use crate::pace::Pace;
use crate::patience::{self, Waiting};
use crate::report::{Report, Span};
use crate::run::Run;
use crate::tally::add;
use crate::tls::Tls;

/// How long answers may still come after an interrupt.
const GRACE: Duration = Duration::from_secs(1);
/// By when clients have ended by themselves, beyond their timeout.
const MARGIN: Duration = Duration::from_secs(1);

/// What the run waits for.
enum News {
    Interrupt,
    /// Every client has its first connection, or has failed to get it.
    Opened,
    /// Every client has ended.
    Ended,
}

struct Worker {
    thread: GreenThread<()>,
    waiting: Rc<Waiting>,
}

/// Runs the load that `options` ask for.
///
/// # Errors
///
/// When the server cannot be reached at all, or there is something wrong with what TLS is to trust.
pub(crate) fn run(options: &Options) -> io::Result<Report> {
    let (news, inbox) = unbounded();
    raise_limit();
    let (target, first) = find(options)?;
    tell_interrupts(Signals::new([SIGINT, SIGTERM])?, news.clone());
    let run = Rc::new(Run::new(options, target));
    add(&run.tally.opened, 1);
    let start = Rc::new(Event::new());
    let workers = spawn_clients(&run, options.connections, first, &start, news);
    watch(&workers, options.timeout);
    let mut interrupted = !have_opened(&run, options.connections, &inbox);
    let (begin, cpu) = (Instant::now(), own_cpu());
    run.pace.set(options.rate.map(|rate| Pace::new(begin, options.connections, rate)));
    if !interrupted {
        let _ = start.send(());
        let view = show(&run, move |run| run.view.running(&run.tally, begin));
        // Nobody ends before the stop: what comes is an interrupt.
        interrupted = inbox.recv_timeout(options.duration).is_ok();
        view.kill();
    }
    let (stop, cpu) = (Instant::now(), own_cpu().saturating_sub(cpu));
    let span = Span { begin, stop, cpu, answered: run.tally.answered.get() };
    run.stopped.set(true);
    let grace = if interrupted { GRACE } else { run.timeout + MARGIN };
    let unfinished = wind_up(&workers, &inbox, grace);
    run.view.clear();
    Ok(Report::new(options, &run, &span, interrupted, unfinished))
}

/// The server's address, and the first connection to it.
fn find(options: &Options) -> io::Result<(Target, Connection)> {
    let tls = options.tls().map(|(trust, name)| Tls::new(trust, name, options.protocol()));
    Target::find(&options.address.name, tls.transpose()?, options.timeout)
        .map_err(|failure| unreachable(options, &failure))
}

fn unreachable(options: &Options, failure: &Failure) -> io::Error {
    let address = options.shown_address();
    io::Error::other(match failure {
        Failure::Connect(error) => format!("cannot connect to {address}: {error}"),
        failure => format!("{address}: {failure}"),
    })
}

/// Waits until every client has its first connection, or has failed to get it; `false` when an interrupt
/// comes before.
fn have_opened(run: &Rc<Run>, connections: usize, inbox: &Receiver<News>) -> bool {
    let view = show(run, move |run| run.view.opening(&run.tally, connections));
    let news = inbox.recv();
    view.kill();
    matches!(news, Ok(News::Opened))
}

/// Takes all the descriptors that the system lets this process have: every connection is one. Where
/// they are too few, the connections say so.
fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// The time that this process has been on a CPU.
fn own_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

fn tell_interrupts(mut signals: Signals, news: Sender<News>) {
    evy::spawn_n(move || while signals.wait().is_ok() && news.send(News::Interrupt).is_ok() {});
}

fn show(run: &Rc<Run>, shown: impl FnOnce(&Run) + 'static) -> GreenThread<()> {
    let run = Rc::clone(run);
    evy::spawn(move || shown(&run))
}

/// Spawns the clients; each opens its first connection, and waits for the start.
fn spawn_clients(
    run: &Rc<Run>,
    clients: usize,
    first: Connection,
    start: &Rc<Event<()>>,
    news: Sender<News>,
) -> Vec<Worker> {
    let (opening, living) = (WaitGroup::new(), WaitGroup::new());
    let mut first = Some(first);
    let spawn = |number| {
        let waiting = Rc::new(Waiting::new());
        let client = Client::new(Rc::clone(run), number, Rc::clone(&waiting));
        let (start, first) = (Rc::clone(start), first.take());
        let (opening, living) = (opening.clone(), living.clone());
        let thread = evy::spawn(move || {
            let _living = living;
            let connection = client.open(first);
            drop(opening);
            start.wait();
            client.work(connection);
        });
        Worker { thread, waiting }
    };
    let workers = (0..clients).map(spawn).collect();
    evy::spawn_n(move || {
        opening.wait();
        let _ = news.send(News::Opened);
        living.wait();
        let _ = news.send(News::Ended);
    });
    workers
}

/// Ends connections on which no answer comes, to the end of the run.
fn watch(workers: &[Worker], timeout: Duration) {
    let all: Vec<_> = workers.iter().map(|worker| Rc::clone(&worker.waiting)).collect();
    evy::spawn_n(move || patience::watch(&all, timeout));
}

/// Ends the clients with nothing in flight at once, and the others when their answers have come, or
/// after `grace`, or at an interrupt. How many requests were then still in flight.
fn wind_up(workers: &[Worker], inbox: &Receiver<News>, grace: Duration) -> usize {
    for idle in workers.iter().filter(|worker| worker.waiting.in_flight() == 0) {
        idle.thread.kill();
    }
    let end = Instant::now() + grace;
    loop {
        match inbox.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(News::Opened) => {}
            Ok(News::Ended) => return 0,
            Ok(News::Interrupt)
            | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                break;
            }
        }
    }
    let unfinished = workers.iter().map(|worker| worker.waiting.in_flight()).sum();
    for worker in workers {
        worker.thread.kill();
    }
    unfinished
}
