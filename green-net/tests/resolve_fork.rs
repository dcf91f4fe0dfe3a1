//! Lookups in a forked child: alone in a program, for the pool is the whole process's, and so that no other
//! test runs at the fork.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::mpsc::channel;
use std::time::Duration;

use evy_green_net::lookup_host;
use evy_runtime::{GreenThread, spawn, threadpool, timeout, unblock, yield_now};

/// Enough for a resolver that has nobody to ask.
const PATIENCE: Duration = Duration::from_secs(60);

fn look_up(name: &'static str) -> GreenThread<io::Result<()>> {
    spawn(move || lookup_host((name, 0)).map(drop))
}

/// Whether it has an answer in time, whatever that is.
fn is_answered(lookup: GreenThread<io::Result<()>>) -> bool {
    let answer = timeout(PATIENCE, || lookup.wait());
    matches!(answer, Ok(Ok(Err(error))) if !error.to_string().contains("no OS thread"))
}

#[test]
fn fault_35_a_forked_child_does_not_wait_for_lookups_of_the_parent() {
    threadpool::set_size(1);
    let (end, wait) = channel::<()>();
    let (begin, begun) = channel();
    let busy = spawn(move || {
        unblock(move || {
            begin.send(()).unwrap();
            wait.recv()
        })
    });
    yield_now();
    begun.recv().unwrap();
    // The first has the only place, and waits for the OS thread; the second waits for a place.
    let lookups = ["one.invalid", "two.invalid"].map(look_up);
    yield_now();
    // SAFETY: no other OS thread holds a lock that the child needs: libtest's waits for this test, and the
    // pool's for a message. The child ends by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: takes no pointer. It is for a child that hangs.
        unsafe { libc::alarm(90) };
        let names = ["one.invalid", "two.invalid", "three.invalid"];
        let fails = names.map(look_up).into_iter().position(|lookup| !is_answered(lookup));
        // SAFETY: it never returns.
        unsafe { libc::_exit(fails.map_or(0, |number| 10 + number as i32)) };
    }
    let status = std::thread::spawn(move || {
        let mut status = 0;
        // SAFETY: the child is ours, and the status lives through the call.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        ExitStatus::from_raw(status)
    });
    // The pool's only OS thread is busy.
    let status = status.join().unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
    // The parent's have not noticed.
    assert!(lookups.iter().all(|lookup| !lookup.is_finished()));
    end.send(()).unwrap();
    busy.wait().unwrap().unwrap();
    assert!(lookups.into_iter().all(is_answered));
}
