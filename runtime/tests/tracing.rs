//! Feature `tracing`: spans stay with their green thread.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evy_runtime::{sleep, spawn, yield_now};
use tracing::{info, info_span};

/// What the subscriber wrote.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output {
    /// The lines so far, from the level on.
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }
}

/// One subscriber for the whole process: one that is set for an OS thread alone cannot be told apart by
/// green threads.
fn with_output(f: impl FnOnce()) -> Vec<String> {
    let output = Output::default();
    let writer = output.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .finish();
    tracing::subscriber::with_default(subscriber, f);
    output.lines()
}

#[test]
fn an_event_is_reported_under_the_spans_of_its_own_green_thread() {
    let lines = with_output(|| {
        let threads = ["a", "b"].map(|name| {
            spawn(move || {
                let _outer = info_span!("outer", name).entered();
                yield_now();
                let _inner = info_span!("inner").entered();
                yield_now();
                info!("from {name}");
                sleep(Duration::from_millis(1));
                info!("again from {name}");
            })
        });
        for thread in threads {
            thread.wait().unwrap();
        }
        info!("from outside");
    });
    assert_eq!(
        lines,
        [
            "INFO outer{name=\"a\"}:inner: from a",
            "INFO outer{name=\"b\"}:inner: from b",
            "INFO outer{name=\"a\"}:inner: again from a",
            "INFO outer{name=\"b\"}:inner: again from b",
            "INFO from outside",
        ]
    );
}

#[test]
fn a_green_thread_does_not_inherit_the_spans_of_its_spawner_and_the_spawner_keeps_them() {
    let lines = with_output(|| {
        let _span = info_span!("spawner").entered();
        spawn(|| info!("from the child")).wait().unwrap();
        info!("from the spawner");
    });
    assert_eq!(lines, ["INFO from the child", "INFO spawner: from the spawner"]);
}

#[test]
fn a_green_thread_that_is_killed_leaves_its_spans() {
    let lines = with_output(|| {
        let sleeper = spawn(|| {
            let _span = info_span!("killed").entered();
            struct Says;
            impl Drop for Says {
                fn drop(&mut self) {
                    info!("from a destructor");
                }
            }
            let _says = Says;
            sleep(Duration::MAX);
        });
        yield_now();
        sleeper.kill();
        info!("from outside");
    });
    assert_eq!(lines, ["INFO killed: from a destructor", "INFO from outside"]);
}
