//! What monoio's programs have in common: the runtime they ask for.

#![forbid(unsafe_code)]

use std::future::Future;

use monoio::{FusionDriver, RuntimeBuilder};

/// Runs `main` on the driver that monoio chooses itself: io_uring, or epoll where there is none. It is a task:
/// what is given to `block_on` itself is polled before all tasks, and yields to nobody.
///
/// # Panics
///
/// When `main` panics, or the OS gives no descriptors.
pub fn run(main: impl Future<Output = ()> + 'static) {
    let builder = RuntimeBuilder::<FusionDriver>::new().enable_timer();
    builder.build().expect("a runtime").block_on(async { monoio::spawn(main).await });
}

/// Which driver that is.
#[must_use]
pub fn driver() -> &'static str {
    if monoio::utils::detect_uring() { "io_uring" } else { "no io_uring here: epoll" }
}
