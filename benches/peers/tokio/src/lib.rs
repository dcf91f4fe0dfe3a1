//! What tokio's programs have in common: the runtime they ask for.

#![forbid(unsafe_code)]

use std::future::Future;

use tokio::runtime::Builder;

/// What a runtime asks the kernel for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drivers {
    /// As `#[tokio::main]` has it.
    All,
    Time,
    /// For tasks that do nothing but talk to each other. It is the faster choice: with a driver, the
    /// runtime asks the kernel whenever nobody but those who yield is ready.
    None,
}

/// Runs `main` as a task: what is given to `block_on` itself is no task, and is slower to wake.
///
/// With 0 workers the runtime is current_thread, otherwise multi_thread. The tasks are `Send`, as usually
/// written.
///
/// # Panics
///
/// When `main` panics, or the OS gives no descriptors.
pub fn run(workers: f64, drivers: Drivers, main: impl Future<Output = ()> + Send + 'static) {
    let mut builder = match workers as usize {
        0 => Builder::new_current_thread(),
        workers => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(workers);
            builder
        }
    };
    match drivers {
        Drivers::All => builder.enable_all(),
        Drivers::Time => builder.enable_time(),
        Drivers::None => &mut builder,
    };
    let runtime = builder.build().expect("a runtime");
    runtime.block_on(async { tokio::spawn(main).await }).expect("it does not panic");
}
