//! What a core's services have in common, whatever is spoken: an end to wait for, and a way to stop.

use std::io;
use std::time::Duration;

use evy::{RunningServer, ServerCounters, Stopped};

/// Something that serves until it is told to stop.
pub(crate) trait Serving {
    fn wait(&self) -> io::Result<()>;

    fn stop(&self, grace: Duration) -> Stopped;

    fn counters(&self) -> Option<ServerCounters>;
}

impl<A> Serving for RunningServer<A> {
    fn wait(&self) -> io::Result<()> {
        self.wait()
    }

    fn stop(&self, grace: Duration) -> Stopped {
        self.stop(grace)
    }

    fn counters(&self) -> Option<ServerCounters> {
        Some(self.counters())
    }
}
