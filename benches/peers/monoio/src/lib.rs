//! What monoio's programs have in common: the runtime they ask for, and what it lacks.

#![forbid(unsafe_code)]

use std::future::{Future, poll_fn};
use std::task::Poll;

use monoio::{FusionDriver, RuntimeBuilder};

/// Runs `main` on the driver that monoio chooses itself: io_uring, or epoll where there is none.
///
/// # Panics
///
/// When `main` panics, or the OS gives no descriptors.
pub fn run(main: impl Future<Output = ()>) {
    let builder = RuntimeBuilder::<FusionDriver>::new().enable_timer();
    builder.build().expect("a runtime").block_on(main);
}

/// Which driver that is.
#[must_use]
pub fn driver() -> &'static str {
    if monoio::utils::detect_uring() { "io_uring" } else { "no io_uring here: epoll" }
}

/// To the end of the queue.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
