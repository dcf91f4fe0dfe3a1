//! What an answer's reader makes of the bytes of one read.

use crate::failure::Failure;

/// What was found in bytes that came.
#[derive(Default)]
pub(crate) struct Found {
    /// Answers that are complete by them.
    pub(crate) answers: usize,
    /// How many of the bytes are done with. The others are wanted once more, with what follows them.
    pub(crate) taken: usize,
    /// What is wrong behind these answers.
    pub(crate) failure: Option<Failure>,
}
