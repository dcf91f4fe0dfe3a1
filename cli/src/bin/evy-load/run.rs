//! One run of load, as its clients, its clock and its report see it.

use std::cell::Cell;
use std::time::Duration;

use crate::connection::Target;
use crate::options::Options;
use crate::pace::Pace;
use crate::ramp::Ramp;
use crate::speech::Speech;
use crate::tally::Tally;
use crate::view::View;

/// What all clients share.
pub(crate) struct Run {
    pub(crate) target: Target,
    pub(crate) speech: Speech,
    pub(crate) pipeline: usize,
    /// Requests on one connection.
    pub(crate) per_connection: usize,
    pub(crate) timeout: Duration,
    pub(crate) ramp: Ramp,
    /// With a rate, from the start on.
    pub(crate) pace: Cell<Option<Pace>>,
    /// No request is sent any more.
    pub(crate) stopped: Cell<bool>,
    pub(crate) tally: Tally,
    pub(crate) view: View,
}

impl Run {
    pub(crate) fn new(options: &Options, target: Target) -> Self {
        Self {
            target,
            speech: Speech::new(options),
            pipeline: options.pipeline,
            per_connection: options.per_connection(),
            timeout: options.timeout,
            ramp: Ramp::new(options.ramp),
            pace: Cell::new(None),
            stopped: Cell::new(false),
            tally: Tally::new(),
            view: View::new(options.duration),
        }
    }
}
