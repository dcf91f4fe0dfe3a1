//! Who writes the requests of a connection: its client, or where that might wait, a pump.

use std::io;
use std::rc::Rc;

use crate::connection::Connection;
use crate::pump::{Pump, is_gone};
use crate::script::Script;

/// Up to so many bytes in flight are written by the green thread that reads: the server's receive
/// buffer holds them, also when it does not read.
const ALWAYS_FITS: usize = 16 << 10;

/// Who writes the requests.
pub(crate) enum Sender {
    /// With what it has failed by.
    Here(Script, Option<io::Error>),
    /// When they are large.
    Pump(Pump),
}

impl Sender {
    /// For a connection on which at most so many bytes are in flight.
    pub(crate) fn new(connection: &Rc<Connection>, script: Script, window: usize) -> Self {
        match window > ALWAYS_FITS {
            true => Self::Pump(Pump::start(Rc::clone(connection), script)),
            false => Self::Here(script, None),
        }
    }

    /// Sends so many bytes more, of whole requests.
    pub(crate) fn send(&mut self, connection: &Connection, bytes: usize) -> io::Result<()> {
        match self {
            Self::Here(_, Some(_)) => Ok(()),
            Self::Here(script, failure) => match script.write(connection, bytes) {
                Err(error) if is_gone(&error) => {
                    // What the server has said before may be there, and may be that it goes.
                    *failure = Some(error);
                    Ok(())
                }
                result => result,
            },
            Self::Pump(pump) => {
                pump.send(bytes);
                Ok(())
            }
        }
    }

    /// What has gone wrong while something was written.
    pub(crate) fn failure(&mut self) -> Option<io::Error> {
        match self {
            Self::Here(_, failure) => failure.take(),
            Self::Pump(pump) => pump.failure(),
        }
    }
}
