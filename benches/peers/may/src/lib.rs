//! What may's programs have in common: how they begin.

#![forbid(unsafe_code)]

use std::panic;
use std::process;

use may::go;

/// Runs `main` as a coroutine, with so many workers.
///
/// Whatever panics ends the process: may's workers go on without the coroutine otherwise, and whoever waits
/// for it waits for ever. Without memory for another stack there is such a panic.
pub fn run<F>(workers: usize, main: F)
where
    F: FnOnce() + Send + 'static,
{
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        hook(panic);
        process::exit(101);
    }));
    may::config().set_workers(workers);
    let main = go!(main);
    // A panic has ended the process.
    let _ = main.join();
}
