//! Stacks: their guards, their sizes, what they cost, and what happens when there are no more.

mod util;

use std::hint::black_box;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::{
    Builder, GreenThread, WaitList, join_all, kill_all, sleep, spawn, spawn_n, yield_now,
};
use util::{Child, Ended, is_asan, is_child, is_slow, line, wait_in};

/// Uses a stack until it is over, a kilobyte a frame.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 128]);
    if depth == u64::MAX {
        return 0;
    }
    recurse(depth + 1) + frame[depth as usize % 128]
}

/// Touches `bytes` of the stack.
#[inline(never)]
fn touch<const BYTES: usize>() -> u8 {
    let mut frame = [0_u8; BYTES];
    for byte in black_box(&mut frame).iter_mut().step_by(1024) {
        *byte = 1;
    }
    frame.iter().step_by(1024).fold(0, |sum, byte| sum ^ byte)
}

fn assert_killed_by(ended: &Ended, signal: i32) {
    assert_eq!(ended.status.signal(), Some(signal), "{ended:?}");
}

/// FAULTS row 8: both kinds of guard, on the main OS thread and on another one.
#[test]
fn fault_08_an_overflow_names_the_green_thread_and_its_stack() {
    const NAME: &str = "fault_08_an_overflow_names_the_green_thread_and_its_stack";
    if is_child(NAME) {
        // Some that come and go before, and neighbours.
        join_all((0..300).map(|_| spawn(yield_now)));
        for _ in 0..10 {
            spawn_n(|| sleep(Duration::MAX));
        }
        let builder = Builder::new().name("deep-7").stack_size(64 * 1024);
        let (line, thread) = (line!(), builder.spawn(|| recurse(0)).unwrap());
        eprintln!(
            "expected: green thread {} 'deep-7', spawned at {}:{line}, ",
            thread.id(),
            file!()
        );
        let _ = thread.wait();
        unreachable!("it aborts");
    }
    if is_asan() {
        // AddressSanitizer catches the fault itself, and reports it in its own way.
        return;
    }
    for guard in ["advised", "mprotect"] {
        for on_main in [true, false] {
            let mut child = Child::new(NAME).env("EVY_GUARD", guard);
            if on_main {
                child = child.on_main_thread();
            }
            let ended = child.run();
            assert_killed_by(&ended, libc::SIGABRT);
            let expected = ended.stderr.lines().find_map(|line| line.strip_prefix("expected: "));
            let message = format!("{}has overflowed its stack (64 KiB)", expected.unwrap());
            assert!(ended.stderr.contains(&message), "{message} is not in {}", ended.stderr);
        }
    }
}

/// FAULTS row 8: one without a name, on a stack of the default size, that a finished one had before.
#[test]
fn fault_08_an_overflow_on_a_recycled_stack_is_caught_too() {
    const NAME: &str = "fault_08_an_overflow_on_a_recycled_stack_is_caught_too";
    if is_child(NAME) {
        // Far more than stay warm: most are given back to the system before they are used again.
        join_all((0..2_000).map(|_| spawn(yield_now)));
        sleep(Duration::from_millis(5));
        let threads: Vec<_> = (0..2_000).map(|_| spawn(yield_now)).collect();
        let deep = spawn(|| recurse(0));
        join_all(threads);
        let _ = deep.wait();
        unreachable!("it aborts");
    }
    if is_asan() {
        // As above.
        return;
    }
    let ended = Child::new(NAME).run();
    assert_killed_by(&ended, libc::SIGABRT);
    assert!(ended.stderr.contains("has overflowed its stack (196 KiB)"), "{ended:?}");
}

/// FAULTS row 8: the own stack of an OS thread is std's business, and stays it.
#[test]
fn fault_08_the_overflow_of_a_normal_stack_is_reported_by_std() {
    const NAME: &str = "fault_08_the_overflow_of_a_normal_stack_is_reported_by_std";
    if is_child(NAME) {
        let thread = std::thread::Builder::new().name("plain".into());
        let thread = thread.spawn(|| {
            yield_now();
            recurse(0)
        });
        let _ = thread.unwrap().join();
        unreachable!("it aborts");
    }
    if is_asan() {
        // As above.
        return;
    }
    let ended = Child::new(NAME).run();
    assert_killed_by(&ended, libc::SIGABRT);
    assert!(ended.stderr.contains("thread 'plain'"), "{ended:?}");
    assert!(ended.stderr.contains("has overflowed its stack"), "{ended:?}");
    assert!(!ended.stderr.contains("green thread"), "{ended:?}");
}

/// Faults that are nobody's stack go where they went before.
#[test]
fn fault_08_any_other_fault_ends_the_process_by_its_signal() {
    const NAME: &str = "fault_08_any_other_fault_ends_the_process_by_its_signal";
    if is_child(NAME) {
        let faults = spawn(|| {
            // SAFETY: none; the fault is the point. Page 1 is never mapped.
            unsafe { std::ptr::with_exposed_provenance::<u8>(4096).read_volatile() }
        });
        let _ = faults.wait();
        unreachable!("it is killed");
    }
    if is_asan() {
        // As above.
        return;
    }
    let ended = Child::new(NAME).run();
    assert_killed_by(&ended, libc::SIGSEGV);
    assert!(!ended.stderr.contains("overflowed"), "{ended:?}");
}

/// A handler that the program had before ours is called for what is not ours.
#[test]
fn fault_08_the_handler_of_the_program_still_gets_its_faults() {
    const NAME: &str = "fault_08_the_handler_of_the_program_still_gets_its_faults";
    extern "C" fn leave(_: libc::c_int) {
        // SAFETY: _exit is async-signal-safe.
        unsafe { libc::_exit(7) };
    }
    if is_child(NAME) {
        // SAFETY: the struct lives through the call, and the handler is async-signal-safe.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = leave as *const () as usize;
            libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut());
        }
        let faults = spawn(|| {
            // SAFETY: none; the fault is the point.
            unsafe { std::ptr::with_exposed_provenance::<u8>(4096).read_volatile() }
        });
        let _ = faults.wait();
        unreachable!("the handler leaves");
    }
    if is_asan() {
        // As above.
        return;
    }
    let ended = Child::new(NAME).run();
    assert_eq!(ended.status.code(), Some(7), "{ended:?}");
}

#[test]
fn a_builder_gives_the_stack_that_it_was_asked_for() {
    // Instrumented frames are larger; what is asked for is not all for the program then.
    const DEEP: usize = 900 * 1024;
    let threads = [
        Builder::new().stack_size(1024 * 1024).spawn(touch::<DEEP>),
        Builder::new().stack_size(8 * 1024 * 1024).spawn(touch::<{ 7 * 1024 * 1024 }>),
        Builder::new().stack_size(32 * 1024).spawn(touch::<{ 20 * 1024 }>),
        Builder::new().stack_size(1).spawn(touch::<{ 20 * 1024 }>),
        Builder::new().stack_size(196 * 1024).spawn(touch::<{ 180 * 1024 }>),
        Builder::new().spawn(touch::<{ 180 * 1024 }>),
        Builder::new().stack_size(100_001).spawn(touch::<{ 90 * 1024 }>),
    ];
    assert!(join_all(threads.map(Result::unwrap)).iter().all(Result::is_ok));
    for too_large in [usize::MAX, usize::MAX / 2, (4 << 30) + 1] {
        let error = Builder::new().stack_size(too_large).spawn(|| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&too_large.to_string()), "{error}");
    }
    // More classes than there are numbers for: an error, and those that exist go on.
    let results: Vec<_> = (0..300)
        .map(|n| {
            Builder::new().stack_size(32 * 1024 + n * 4096).spawn(|| ()).map(GreenThread::wait)
        })
        .collect();
    assert!(results[..200].iter().all(Result::is_ok));
    assert!(results[299].is_err());
    assert!(Builder::new().stack_size(1024 * 1024).spawn(|| ()).unwrap().wait().is_ok());
}

/// The smallest stack has room for a panic with std's hook and ours, and for a backtrace.
#[test]
fn the_smallest_stack_survives_a_panic() {
    const NAME: &str = "the_smallest_stack_survives_a_panic";
    if is_child(NAME) {
        let panics = Builder::new().name("small").stack_size(1).spawn(|| panic!("on purpose"));
        assert!(panics.unwrap().wait().is_err());
        return;
    }
    if is_asan() {
        // The frames of instrumented code are several times as large.
        return;
    }
    for backtrace in ["0", "1"] {
        let ended = Child::new(NAME).env("RUST_BACKTRACE", backtrace).run();
        assert!(ended.status.success(), "{ended:?}");
        assert!(ended.stderr.contains("on purpose") && ended.stderr.contains("'small'"));
        assert_eq!(ended.stderr.contains("stack backtrace"), backtrace == "1", "{ended:?}");
    }
}

/// Bytes of memory that this process uses.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Sleeps until all that is free has been given back, a millisecond of it before each sleep of the hub:
/// until it does not become less any more.
fn settle() {
    let mut before = usize::MAX;
    while resident() < before {
        before = resident();
        sleep(Duration::from_millis(100));
    }
}

const MIB: usize = 1024 * 1024;

/// Starts `test` again in a process of its own, whose memory no other test uses. Not under a tool: that
/// keeps memory of its own.
fn measured_alone(test: &str) {
    if is_slow() {
        return;
    }
    let ended = Child::new(test).run();
    assert!(ended.status.success(), "{ended:?}");
}

/// FAULTS row 33: deep once, then idle.
#[test]
fn fault_33_what_deep_calls_touched_is_given_back() {
    const NAME: &str = "fault_33_what_deep_calls_touched_is_given_back";
    if !is_child(NAME) {
        return measured_alone(NAME);
    }
    let count = 10_000;
    join_all((0..count).map(|_| spawn(yield_now)));
    settle();
    let before = resident();
    let (gate, line) = line();
    let threads: Vec<_> = (0..count)
        .map(|_| {
            let line = Rc::clone(&line);
            spawn(move || {
                touch::<{ 48 * 1024 }>();
                wait_in(&line);
            })
        })
        .collect();
    yield_now();
    let peak = resident();
    assert!(peak - before > count * 48 * 1024, "{before} -> {peak}");
    gate.wake_all();
    join_all(threads);
    settle();
    let after = resident();
    let (growth, peak_growth) = (after.saturating_sub(before), peak - before);
    assert!(growth < peak_growth / 10, "{before} -> {peak} -> {after}");
    // The warm ones are not hidden reserves: 256 of them keep their topmost pages only.
    assert!(growth < 8 * MIB, "{before} -> {peak} -> {after}");
}

/// FAULTS row 33: few deep ones, below the number that stays warm, are trimmed too.
#[test]
fn fault_33_warm_stacks_keep_no_depths() {
    const NAME: &str = "fault_33_warm_stacks_keep_no_depths";
    if !is_child(NAME) {
        return measured_alone(NAME);
    }
    let round = |deep: bool| {
        join_all((0..200).map(|_| {
            spawn(move || {
                if deep {
                    touch::<{ 150 * 1024 }>();
                }
                yield_now();
            })
        }));
        settle();
        resident()
    };
    let before = round(false);
    let after = round(true);
    assert!(after < before + 4 * MIB, "{before} -> {after}");
}

/// Semantics B 47.
#[test]
fn a_hundred_thousand_spawns_leave_memory_as_it_was() {
    const NAME: &str = "a_hundred_thousand_spawns_leave_memory_as_it_was";
    if !is_child(NAME) {
        return measured_alone(NAME);
    }
    // One after the other: one stack, used again and again.
    let in_a_row = || {
        for n in 0..100_000_usize {
            assert_eq!(spawn(move || n).wait().unwrap(), n);
        }
        for _ in 0..100_000 {
            spawn_n(|| ());
            yield_now();
        }
        settle();
        resident()
    };
    in_a_row();
    let before = resident();
    let after = in_a_row();
    assert!(after < before + MIB, "{before} -> {after}");
    // All at once, twice: the second round takes the memory of the first.
    let at_once = || {
        let results = join_all((0..util::at_once(100_000)).map(|n| spawn(move || n)));
        assert!(results.into_iter().enumerate().all(|(n, result)| result.unwrap() == n));
        settle();
        resident()
    };
    let first = at_once();
    let second = at_once();
    assert!(second < first + 4 * MIB, "{first} -> {second}");
    // What was for a hundred thousand stacks has gone but for page tables and control blocks.
    assert!(first < before + 64 * MIB, "{before} -> {first}");
}

/// A parked one costs its one page and little else.
#[test]
fn parked_ones_are_cheap() {
    const NAME: &str = "parked_ones_are_cheap";
    if !is_child(NAME) {
        return measured_alone(NAME);
    }
    if cfg!(debug_assertions) {
        // The frames of a debug build take more than a page.
        return;
    }
    let before = resident();
    let list = Rc::new(WaitList::new());
    let count = 20_000;
    for _ in 0..count {
        let list = Rc::clone(&list);
        spawn_n(move || wait_in(&list));
    }
    yield_now();
    assert_eq!(list.len(), count);
    let each = (resident() - before) / count;
    assert!(each < 4_096 + 700, "{each} bytes each");
}

/// How many green threads can be spawned, all of them parked, until an error comes.
fn spawn_until_refused(most: usize) -> (Vec<GreenThread<()>>, Option<std::io::Error>) {
    // No growth of the test's own while memory is short.
    let mut threads = Vec::with_capacity(most);
    while threads.len() < most {
        match Builder::new().stack_size(32 * 1024).spawn(|| sleep(Duration::MAX)) {
            Ok(thread) => threads.push(thread),
            Err(error) => return (threads, Some(error)),
        }
        if threads.len() % 100 == 0 {
            yield_now();
        }
    }
    (threads, None)
}

/// FAULTS row 32: a limit on address space. No panic, no abort, and it recovers.
#[test]
fn fault_32_without_memory_spawn_gives_an_error_and_recovers() {
    const NAME: &str = "fault_32_without_memory_spawn_gives_an_error_and_recovers";
    if is_child(NAME) {
        let bytes = std::env::var("EVY_TEST_LIMIT").unwrap().parse().unwrap();
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: the struct lives through the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
        let (mut threads, error) = spawn_until_refused(100_000);
        let error = error.expect("300 MiB are not enough for 100,000 stacks");
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        let count = threads.len();
        assert!(count > 500, "{count}");
        assert_eq!(Builder::new().spawn(|| ()).unwrap_err().kind(), ErrorKind::OutOfMemory);
        let text = util::panic_of(|| spawn(|| ()));
        assert!(text.starts_with("cannot spawn a green thread: "), "{text}");
        // The captures of one that is refused are dropped.
        let census = util::Census::new();
        let counted = census.one();
        assert!(Builder::new().spawn(move || drop(counted)).is_err());
        assert_eq!(census.alive(), 0);
        // All of them can be woken and killed without memory, and their stacks used again.
        for thread in threads.drain(count / 2..) {
            thread.kill();
        }
        for _ in 0..3 {
            let (again, error) = spawn_until_refused(count - count / 2);
            assert!(error.is_none(), "{error:?}");
            drop(again);
            for thread in &threads {
                thread.kill();
            }
            let (refilled, error) = spawn_until_refused(count / 2);
            assert!(error.is_none(), "{error:?}");
            kill_all();
            threads = refilled;
        }
        assert_eq!(spawn(|| 7).wait().unwrap(), 7);
        return;
    }
    if is_asan() {
        // AddressSanitizer wants terabytes of address space.
        return;
    }
    // The memory ends at another place each time: at a stack, a control block, the ready queue.
    for step in 0..16 {
        let guard = if step % 2 == 0 { "advised" } else { "mprotect" };
        let limit = (300 << 20) + step * (1 << 20 | 12 << 10);
        let mut child = Child::new(NAME).env("EVY_GUARD", guard);
        if step >= 2 {
            // There the allocator has nothing in reserve.
            child = child.on_main_thread();
        }
        let ended = child.env("EVY_TEST_LIMIT", &limit.to_string()).run();
        assert!(ended.status.success(), "at {limit} bytes: {ended:?}");
    }
}

/// FAULTS row 32: vm.max_map_count, which ends guards by mprotect.
#[test]
fn fault_32_at_the_mapping_limit_spawn_gives_an_error_and_recovers() {
    const NAME: &str = "fault_32_at_the_mapping_limit_spawn_gives_an_error_and_recovers";
    if is_child(NAME) {
        let (threads, error) = spawn_until_refused(200_000);
        let error = error.expect("two mappings a stack");
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        let text = error.to_string();
        assert!(text.contains("vm.max_map_count"), "{text}");
        let count = threads.len();
        eprintln!("stacks: {count}");
        drop(threads);
        kill_all();
        let (threads, error) = spawn_until_refused(count);
        assert!(error.is_none(), "{error:?}");
        assert!(Builder::new().spawn(|| ()).is_err());
        kill_all();
        assert!(threads.iter().all(GreenThread::is_finished));
        return;
    }
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    if limit > 200_000 || is_asan() {
        // Too many stacks for a test; AddressSanitizer needs mappings of its own.
        return;
    }
    let ended = Child::new(NAME).env("EVY_GUARD", "mprotect").run();
    assert!(ended.status.success(), "{ended:?}");
    let count = ended.stderr.lines().find_map(|line| line.strip_prefix("stacks: ")).unwrap();
    let count: usize = count.parse().unwrap();
    assert!(count > limit / 2 - 1_000 && count <= limit / 2, "{count} of {limit} mappings");
}

/// FAULTS 0.6: with the better guards the limit is far away.
#[test]
fn fault_32_more_stacks_than_mappings_have_guards() {
    const NAME: &str = "fault_32_more_stacks_than_mappings_have_guards";
    if is_child(NAME) {
        let (threads, error) = spawn_until_refused(50_000);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(threads.len(), 50_000);
        let mappings = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
        assert!(mappings < 1_000, "{mappings} mappings");
        return;
    }
    if is_asan() || !util::has_cheap_guards() {
        // AddressSanitizer keeps books on each stack; an older kernel has no such guards.
        return;
    }
    let ended = Child::new(NAME).run();
    assert!(ended.status.success(), "{ended:?}");
}
