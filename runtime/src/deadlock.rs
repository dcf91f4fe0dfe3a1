//! What is known of every green thread, in words: the report of a deadlock.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::time::Duration;

use crate::GreenThreadId;
use crate::control::{State, Thread};
use crate::scheduler::Scheduler;

/// A green thread's id, name and place of spawn: `green thread #7 'fetch', spawned at src/main.rs:3:9`.
pub(crate) fn describe(thread: Thread) -> String {
    let mut text = format!("green thread {}", GreenThreadId::of(thread));
    let name = thread.look_at_extras(|extras| extras.name.clone()).flatten();
    if let Some(name) = name {
        write!(text, " '{name}'").expect("writing to a String");
    }
    write!(text, ", spawned at {}", thread.spawned_at).expect("writing to a String");
    text
}

/// Writes a line to standard error, if that is possible: a closed one must not make a panic of it.
pub(crate) fn tell(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The message of the panic with which the OS thread's own stack ends when nothing can wake it.
#[cold]
pub(crate) fn report(scheduler: &Scheduler) -> String {
    let main = scheduler.main();
    let mut text = format!(
        "deadlock: this OS thread's own stack waits for {}, and nothing can wake it: no green thread \
         is ready, no descriptor or deadline is waited for",
        main.reason.get()
    );
    let parked: Vec<_> = scheduler.blocks.live();
    match parked.len() {
        0 => text.push_str(", and no green thread lives"),
        count => write!(text, ".\nGreen threads that are parked: {count}").expect("to a String"),
    }
    for thread in parked.into_iter().filter(|thread| thread.state.get() == State::Parked) {
        let since = scheduler.now().saturating_sub(thread.since.get());
        let since = Duration::from_nanos(since);
        write!(
            text,
            "\n  {}: waits for {}, for {:.3} s",
            describe(thread),
            thread.reason.get(),
            since.as_secs_f64()
        )
        .expect("writing to a String");
    }
    text
}
