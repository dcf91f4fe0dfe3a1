//! No memory for one more task: an error, and nothing lost.

mod util;

use std::io::ErrorKind;
use std::process::Command;

use evy_pool::{DagPool, GreenPool};
use evy_runtime::{Builder, GreenThread, kill_all, sleep, spawn};
use util::{Census, Child, HOUR, is_child, is_slow, panic_of, payload_of, text};

/// Green threads until there is no memory for another.
fn exhaust() -> Vec<GreenThread<()>> {
    let mut hoard = Vec::with_capacity(100_000);
    while let Ok(thread) = Builder::new().spawn(|| sleep(HOUR)) {
        hoard.push(thread);
    }
    hoard
}

/// FAULTS row 32: the test runs itself with little address space.
#[test]
fn fault_32_a_spawn_without_memory_is_an_error_and_gives_its_slot_back() {
    const NAME: &str = "fault_32_a_spawn_without_memory_is_an_error_and_gives_its_slot_back";
    if is_child(NAME) {
        return without_memory();
    }
    if is_slow() {
        // The tools want terabytes of address space.
        return;
    }
    let mut child = Child::new(NAME);
    child.command = with_little_memory(&child.command);
    let ended = child.run();
    assert!(ended.status.success(), "{ended:?}");
}

/// The same command, with 300 MB of address space.
fn with_little_memory(command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v 300000 && exec \"$0\" \"$@\""]);
    limited.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited
}

fn drop_and<T, R>(what: T, result: R) -> R {
    drop(what);
    result
}

fn without_memory() {
    let (pool, census) = (GreenPool::new(2), Census::new());
    let mut map = pool.imap(|n| n, 0..2);
    let hoard = exhaust();
    assert!(hoard.len() > 500, "{}", hoard.len());

    let captured = census.one();
    let error = pool.try_spawn(move || drop(captured)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    assert_eq!(pool.try_spawn_n(|| ()).unwrap_err().kind(), ErrorKind::OutOfMemory);
    assert_eq!(census.alive(), 0);
    let expected = format!("cannot spawn a green thread: {error}");
    assert_eq!(panic_of(|| pool.spawn(|| ())), expected);
    assert_eq!(panic_of(|| pool.spawn_n(|| ())), expected);
    assert_eq!(panic_of(|| pool.imap(|n| n, 0..2)), expected);
    assert_eq!((pool.running(), pool.free()), (0, 2));
    // A node that cannot be started leaves nothing behind.
    let dag = DagPool::new([("a", 1)]);
    let captured = census.one();
    let spawned = panic_of(|| dag.spawn("b", ["a", "c"], move |_| drop_and(captured, 2)));
    assert_eq!(spawned, expected);
    let depends = [("b", vec!["c"]), ("c", vec![])];
    assert_eq!(panic_of(|| dag.spawn_many(depends, |_| 2)), expected);
    assert_eq!((dag.running(), dag.waiting(), census.alive()), (0, 0, 0));
    assert_eq!(dag.waitall().unwrap().len(), 1);
    dag.post("b", 2).unwrap();

    // A map whose feeder lives ends with the error.
    assert_eq!(text(&*payload_of(|| map.next())), expected);
    assert_eq!(map.next(), None);
    assert_eq!((pool.running(), pool.free()), (0, 2));
    pool.waitall();

    // The feeder's stack is free again. A member that cannot spawn stays a member.
    let task = pool.spawn({
        let pool = pool.clone();
        move || {
            assert!(pool.try_spawn(|| ()).is_err());
            assert_eq!((pool.running(), pool.free()), (1, 1));
            panic_of(|| pool.waitall())
        }
    });
    let text = task.wait().unwrap();
    assert!(text.starts_with("a task of a GreenPool cannot wait"), "{text}");

    kill_all();
    assert_eq!(pool.imap(|n| n, 0..10).sum::<u32>(), 45);
    assert_eq!(spawn(|| 7).wait().unwrap(), 7);
}
