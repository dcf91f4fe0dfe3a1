//! What smol's programs have in common: the executor they run on.

#![forbid(unsafe_code)]

use std::future::Future;

use smol::LocalExecutor;

/// An executor for one OS thread, which lives as long as the process does.
pub type Executor = &'static LocalExecutor<'static>;

/// Runs `main` as a task: what is given to `block_on` itself is none, and is slower to wake.
pub fn run<F: Future<Output: 'static> + 'static>(main: impl FnOnce(Executor) -> F) -> F::Output {
    let executor: Executor = Box::leak(Box::new(LocalExecutor::new()));
    smol::block_on(executor.run(executor.spawn(main(executor))))
}
