//! How far a server is with stopping, and what has become of its connections.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use evy_runtime::{GreenThread, Reason, WaitList};

const STOPPED: Reason = Reason::new(&"the end of a server that stops");

/// What became of the connections of a server that was stopped.
///
/// ```
/// use std::time::Duration;
/// use evy_green_net::{Server, Stopped, listen};
///
/// let server = Server::new(listen("127.0.0.1:0")?, |_, _| Ok(())).start()?;
/// let Stopped { finished, killed, .. } = server.stop(Duration::from_secs(5));
/// assert_eq!((finished, killed), (0, 0));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// Those whose handler has ended by itself within the grace.
    pub finished: usize,
    /// Those that were cut off when the grace was over.
    pub killed: usize,
}

/// How far a server is with stopping.
#[derive(Default)]
pub(super) struct Stopping {
    /// When the grace ends; the outer `None` is before the first stop, the inner one for ever.
    deadline: Cell<Option<Option<Instant>>>,
    stopper: RefCell<Option<GreenThread<()>>>,
    /// Set at the end.
    report: Cell<Option<Stopped>>,
    done: WaitList,
}

impl Stopping {
    pub(super) fn has_begun(&self) -> bool {
        self.deadline.get().is_some()
    }

    /// When the grace ends; `None` is for ever.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline.get().flatten()
    }

    /// Sets the end of the grace, unless it ends earlier already; returns whether this is the first stop.
    pub(super) fn shorten(&self, deadline: Option<Instant>) -> bool {
        let before = self.deadline.get();
        let earlier = match before.flatten() {
            Some(before) => Some(deadline.map_or(before, |deadline| deadline.min(before))),
            None => deadline,
        };
        self.deadline.set(Some(earlier));
        before.is_none()
    }

    /// The green thread that stops the server.
    pub(super) fn set_stopper(&self, stopper: GreenThread<()>) {
        *self.stopper.borrow_mut() = Some(stopper);
    }

    /// Waits until the server has stopped.
    pub(super) fn wait(&self) -> Stopped {
        loop {
            match self.report.get() {
                Some(report) => return report,
                None => self.done.wait(STOPPED, None, || ()).expect("there is no deadline"),
            }
        }
    }

    /// Whoever waits waits no longer.
    pub(super) fn kill(&self) {
        let stopper = self.stopper.take();
        if let Some(stopper) = stopper {
            stopper.kill();
        }
    }

    pub(super) fn end(&self, report: Stopped) {
        if self.report.get().is_none() {
            self.report.set(Some(report));
        }
        self.done.wake_all();
    }
}
