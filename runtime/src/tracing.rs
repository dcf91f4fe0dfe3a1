//! Keeps `tracing`'s spans with their green thread (feature `tracing`).
//!
//! A subscriber keeps the spans that are entered in a stack for each OS thread. Without this, an event of
//! one green thread would be reported under the spans of whichever ran before it.

use tracing_core::dispatcher::get_default;
use tracing_core::span::Id;

/// Spans that are entered in one another, at most.
const DEEPEST: usize = 1 << 12;

/// A [`SwitchHook`](crate::SwitchHook): leaves the spans that are entered, innermost first, and enters
/// them again.
pub(crate) fn keep_spans(switch: &mut dyn FnMut()) {
    let mut left: Vec<Id> = Vec::new();
    let dispatch = get_default(|dispatch| {
        // Bounded, for a subscriber whose `exit` leaves the span where it is.
        while let Some(id) = dispatch.current_span().id()
            && left.len() < DEEPEST
        {
            dispatch.exit(id);
            left.push(id.clone());
        }
        (!left.is_empty()).then(|| dispatch.clone())
    });
    switch();
    // The subscriber that they were entered in, whichever is the default one now.
    if let Some(dispatch) = dispatch {
        for id in left.iter().rev() {
            dispatch.enter(id);
        }
    }
}
