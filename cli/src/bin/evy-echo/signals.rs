//! SIGTERM and SIGINT: the first one asks to stop, the second one ends the process.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

const SIGNALS: [i32; 2] = [SIGTERM, SIGINT];

/// What the shell says of a process that a signal has ended, and we of one that a second one has.
const ENDED_BY_SIGNAL: i32 = 128;

/// Whether somebody has asked to stop.
#[derive(Debug)]
pub(crate) struct Signals {
    came: Arc<AtomicBool>,
}

impl Signals {
    pub(crate) fn catch() -> io::Result<Self> {
        let came = Arc::new(AtomicBool::new(false));
        for signal in SIGNALS {
            // In this order: the first one finds the flag unset, and sets it. The second one ends the
            // process in the signal handler, however busy its hubs are.
            flag::register_conditional_shutdown(
                signal,
                ENDED_BY_SIGNAL + signal,
                Arc::clone(&came),
            )?;
            flag::register(signal, Arc::clone(&came))?;
        }
        Ok(Self { came })
    }

    /// For one hub.
    pub(crate) fn listen(&self) -> io::Result<Notice> {
        let (notified, notifier) = UnixStream::pair()?;
        notified.set_nonblocking(true)?;
        for signal in SIGNALS {
            pipe::register(signal, notifier.try_clone()?)?;
        }
        // One that came before the pipe was there has set the flag.
        Ok(Notice { pipe: notified, came: self.came.load(Ordering::SeqCst) })
    }
}

/// What tells one hub that it is to stop.
#[derive(Debug)]
pub(crate) struct Notice {
    pipe: UnixStream,
    came: bool,
}

impl Notice {
    /// Waits for a signal.
    pub(crate) fn wait(mut self) -> io::Result<()> {
        while !self.came {
            evy::wait_readable(&self.pipe, None)?;
            self.came = self.pipe.read(&mut [0]).is_ok();
        }
        Ok(())
    }
}
