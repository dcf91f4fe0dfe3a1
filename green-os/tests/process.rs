//! Other programs: who waits for one lets the others run, whatever the child does with its pipes.

mod util;

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_green_os::fs;
use evy_green_os::pipe::{PipeReader, PipeWriter, pipe};
use evy_green_os::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use evy_runtime::{Died, kill_all, sleep, spawn, spawn_n, timeout, yield_now};
use util::{
    Folder, HOUR, OnDrop, after_steps, alone, and_all_of_them_again, assert_send_and_sync,
    descriptors, flags, is_child, let_all_park, limit_descriptors, soon, wait_until,
};

/// A shell that runs `script`.
fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// A child that ends, with code 7, when the pipe is closed that comes with it.
fn gated() -> (Child, PipeWriter) {
    let (reader, gate) = pipe().unwrap();
    // A write into the pipe would end it too.
    let child = sh("read line; exit 7").stdin(reader).spawn().unwrap();
    (child, gate)
}

and_all_of_them_again!();

/// How old kernels and other systems see the end of a child.
#[test]
fn the_same_tests_pass_without_descriptors_of_processes() {
    util::again_with("EVY_PIDFD", "0");
}

/// Semantics 100.
#[test]
fn others_run_while_one_waits_for_the_end_of_a_child() {
    let (mut child, gate) = gated();
    let opening = after_steps(move || drop(gate));
    assert_eq!(soon(|| child.wait()).unwrap().code(), Some(7));
    opening.wait().unwrap();
}

#[test]
fn others_run_while_one_waits_for_the_output_of_a_child() {
    let (reader, mut gate) = pipe().unwrap();
    let opening = after_steps(move || gate.write_all(b"hello"));
    let output = soon(|| Command::new("cat").stdin(reader).output()).unwrap();
    assert_eq!(output.stdout, b"hello");
    opening.wait().unwrap().unwrap();
}

#[test]
fn many_children_are_waited_for_at_once_and_in_any_order() {
    let (children, gates): (Vec<_>, Vec<_>) = (0..20).map(|_| gated()).unzip();
    let waiters: Vec<_> =
        children.into_iter().map(|mut child| spawn(move || child.wait())).collect();
    let_all_park();
    for (waiter, gate) in waiters.into_iter().zip(gates).rev() {
        assert!(!waiter.is_finished());
        drop(gate);
        assert_eq!(soon(|| waiter.wait()).unwrap().unwrap().code(), Some(7));
    }
}

#[test]
fn output_gives_both_streams_and_how_it_ended() {
    let output = soon(|| sh("echo out; echo err >&2; exit 3").output()).unwrap();
    assert_eq!((output.stdout, output.stderr), (b"out\n".to_vec(), b"err\n".to_vec()));
    assert_eq!(output.status.code(), Some(3));
    let output = soon(|| sh("kill -TERM $$").output()).unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGTERM));
}

#[test]
fn megabytes_of_both_streams_are_read_whichever_comes_first() {
    const BYTES: usize = 4 << 20;
    let out = format!("head -c {BYTES} /dev/zero");
    for script in [format!("{out}; {out} >&2"), format!("{out} >&2; {out}")] {
        let output = soon(|| sh(&script).output()).unwrap();
        assert!(output.status.success());
        assert_eq!((output.stdout.len(), output.stderr.len()), (BYTES, BYTES));
    }
}

/// Semantics 100.
#[test]
fn megabytes_go_both_ways_at_once() {
    let sent: Vec<u8> = (0..8 << 20).map(|n: u32| (n % 251) as u8).collect();
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let writing = spawn({
        let sent = sent.clone();
        move || input.write_all(&sent)
    });
    let output = soon(|| child.wait_with_output()).unwrap();
    assert!(output.status.success() && output.stdout == sent && output.stderr.is_empty());
    writing.wait().unwrap().unwrap();
}

#[test]
fn one_stream_alone_is_read_too() {
    let child = sh("echo out; echo err >&2").stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let output = soon(|| child.unwrap().wait_with_output()).unwrap();
    assert_eq!((&*output.stdout, &*output.stderr), (&b""[..], &b"err\n"[..]));
    let output = soon(|| sh("echo out").stdout(Stdio::null()).output()).unwrap();
    assert_eq!(output.stdout, b"", "it was chosen");
}

#[test]
fn the_input_is_empty_for_output_alone() {
    let output = soon(|| Command::new("cat").output()).unwrap();
    assert_eq!(output.stdout, b"");
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let stdin = child.as_mut().unwrap().stdin.as_mut().unwrap();
    stdin.write_all(b"hello").unwrap();
    // It closes the rest of the input.
    assert_eq!(soon(|| child.unwrap().wait_with_output()).unwrap().stdout, b"hello");
}

#[test]
fn what_was_not_chosen_is_inherited_again_after_output() {
    const NAME: &str = "what_was_not_chosen_is_inherited_again_after_output";
    if is_child(NAME) {
        let mut command = sh("cat; echo from the child");
        assert_eq!(soon(|| command.output()).unwrap().stdout, b"from the child\n");
        assert!(soon(|| command.status()).unwrap().success());
        return;
    }
    let mut command = util::Child::new(NAME).command;
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Command::from(command).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"from the input\n").unwrap();
    let output = soon(|| child.wait_with_output()).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches("from the child").count(), 1, "{text}");
    assert_eq!(text.matches("from the input").count(), 1, "{text}");
}

#[test]
fn a_wait_with_a_timeout_ends_in_time_or_with_the_child() {
    let (mut child, gate) = gated();
    let start = Instant::now();
    for milliseconds in [0, 1, 20] {
        let timeout = Duration::from_millis(milliseconds);
        assert_eq!(soon(|| child.wait_timeout(timeout)).unwrap(), None);
    }
    assert!(start.elapsed() >= Duration::from_millis(21));
    let opening = after_steps(move || drop(gate));
    let status = soon(|| child.wait_timeout(Duration::MAX)).unwrap();
    assert_eq!(status.and_then(|status| status.code()), Some(7));
    assert_eq!(child.wait_timeout(Duration::ZERO).unwrap(), status);
    opening.wait().unwrap();
}

#[test]
fn how_it_ended_is_known_for_good() {
    let (mut child, gate) = gated();
    assert_eq!(child.try_wait().unwrap(), None);
    drop(gate);
    let status = soon(|| child.wait()).unwrap();
    assert_eq!(child.try_wait().unwrap(), Some(status));
    assert_eq!(child.wait().unwrap(), status);
    child.kill().unwrap();
    assert_eq!(child.wait_with_output().unwrap().status, status);
}

#[test]
fn a_child_that_is_killed_has_ended_by_that_signal() {
    let (mut child, _gate) = gated();
    let id = child.id();
    spawn_n(move || {
        // SAFETY: it takes no pointer.
        assert_eq!(unsafe { libc::kill(id.cast_signed(), libc::SIGTERM) }, 0);
    });
    assert_eq!(soon(|| child.wait()).unwrap().signal(), Some(libc::SIGTERM));
    let (mut child, _gate) = gated();
    child.kill().unwrap();
    assert_eq!(soon(|| child.wait()).unwrap().signal(), Some(libc::SIGKILL));
}

#[test]
fn wait_closes_the_input_first() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    assert!(soon(|| child.wait()).unwrap().success());
    assert!(child.stdin.is_none());
}

#[test]
fn who_is_killed_in_wait_leaves_the_child_running() {
    let (child, gate) = gated();
    let child = Rc::new(RefCell::new(child));
    let waiting = spawn({
        let child = Rc::clone(&child);
        move || child.borrow_mut().wait().map(drop)
    });
    let_all_park();
    waiting.kill();
    assert!(matches!(waiting.wait(), Err(Died::Killed)));
    let mut child = child.borrow_mut();
    assert!(timeout(Duration::from_millis(1), || child.wait()).is_err());
    assert_eq!(child.try_wait().unwrap(), None);
    drop(gate);
    assert_eq!(soon(|| child.wait()).unwrap().code(), Some(7));
}

#[test]
fn who_is_killed_in_output_leaves_the_child_running() {
    let folder = Folder::new("killed_in_output");
    let file = folder.join("file");
    let (reader, mut gate) = pipe().unwrap();
    let mut command = sh("read line; echo $line > $0.new; mv $0.new $0");
    command.arg(&file).stdin(reader);
    let waiting = spawn(move || command.output().map(drop));
    let_all_park();
    waiting.kill();
    assert!(matches!(waiting.wait(), Err(Died::Killed)));
    gate.write_all(b"alive\n").unwrap();
    wait_until(|| std::fs::read(&file).is_ok_and(|text| text == b"alive\n"));
}

#[test]
fn a_child_that_is_dropped_goes_on() {
    let (reader, mut gate) = pipe().unwrap();
    let (mut words, writer) = pipe().unwrap();
    drop(sh("read line; echo $line").stdin(reader).stdout(writer).spawn().unwrap());
    gate.write_all(b"alive\n").unwrap();
    let mut text = String::new();
    soon(|| words.read_to_string(&mut text)).unwrap();
    assert_eq!(text, "alive\n");
}

/// The flags of the streams that a child sees.
const SHOW_FLAGS: &str = "for n in 0 1 2; do grep flags: /proc/self/fdinfo/$n; done";

fn flags_of(text: &str) -> Vec<i32> {
    let numbers = text.lines().map(|line| line.split_whitespace().last().unwrap());
    let flags: Vec<_> = numbers.map(|octal| i32::from_str_radix(octal, 8).unwrap()).collect();
    assert_eq!(flags.len(), 3, "{text}");
    flags
}

#[test]
fn the_child_gets_streams_that_block() {
    // Pipes of std's making.
    let mut command = sh(SHOW_FLAGS);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    for fd in [
        child.stdin.as_ref().unwrap().as_fd(),
        child.stdout.as_ref().unwrap().as_fd(),
        child.stderr.as_ref().unwrap().as_fd(),
    ] {
        assert_ne!(flags(fd) & libc::O_NONBLOCK, 0, "ours does not");
    }
    let output = soon(|| child.wait_with_output()).unwrap();
    for flags in flags_of(str::from_utf8(&output.stdout).unwrap()) {
        assert_eq!(flags & libc::O_NONBLOCK, 0);
    }

    // Green ones.
    let (input, _gate) = pipe().unwrap();
    let (mut words, output) = pipe().unwrap();
    let mut command = sh(SHOW_FLAGS);
    command.stdin(input).stdout(output.try_clone().unwrap()).stderr(output);
    assert!(soon(|| command.status()).unwrap().success());
    drop(command);
    let mut text = String::new();
    soon(|| words.read_to_string(&mut text)).unwrap();
    for flags in flags_of(&text) {
        assert_eq!(flags & libc::O_NONBLOCK, 0);
    }
}

#[test]
fn what_cannot_be_opened_again_becomes_blocking() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut words = PipeReader::from(OwnedFd::from(ours));
    let theirs = PipeWriter::from(OwnedFd::from(theirs));
    assert_ne!(flags(&theirs) & libc::O_NONBLOCK, 0);
    let mut command = sh(SHOW_FLAGS);
    command.stdout(theirs);
    assert!(soon(|| command.status()).unwrap().success());
    drop(command);
    let mut text = String::new();
    soon(|| words.read_to_string(&mut text)).unwrap();
    assert_eq!(flags_of(&text)[1] & libc::O_NONBLOCK, 0);
}

#[test]
fn a_clone_of_what_the_child_got_goes_on_parking() {
    let (mut reader, writer) = pipe().unwrap();
    let mut clone = writer.try_clone().unwrap();
    let (mut child, gate) = gated();
    let mut other = sh("exit 0").stdout(writer).spawn().unwrap();
    assert_ne!(flags(&clone) & libc::O_NONBLOCK, 0);
    let bytes = vec![7; 1 << 20];
    let writing = spawn(move || clone.write_all(&bytes));
    let mut received = Vec::new();
    soon(|| reader.read_to_end(&mut received)).unwrap();
    assert_eq!(received.len(), 1 << 20);
    writing.wait().unwrap().unwrap();
    drop(gate);
    soon(|| child.wait()).unwrap();
    soon(|| other.wait()).unwrap();
}

#[test]
fn the_output_of_one_child_is_the_input_of_another() {
    let mut first = sh("echo two; echo one").stdout(Stdio::piped()).spawn().unwrap();
    let words = first.stdout.take().unwrap();
    let second = soon(|| Command::new("sort").stdin(words).output()).unwrap();
    assert_eq!(second.stdout, b"one\ntwo\n");
    assert!(soon(|| first.wait()).unwrap().success());
}

#[test]
fn files_are_streams_too() {
    let folder = Folder::new("files_as_streams");
    let (one, two) = (folder.join("one"), folder.join("two"));
    fs::write(&one, "hello").unwrap();
    let mut command = Command::new("cat");
    command.stdin(fs::File::open(&one).unwrap()).stdout(fs::File::create(&two).unwrap());
    assert!(soon(|| command.status()).unwrap().success());
    assert_eq!(fs::read(&two).unwrap(), b"hello");
    let file = std::fs::File::open(&two).unwrap();
    assert_eq!(soon(|| Command::new("cat").stdin(file).output()).unwrap().stdout, b"hello");
}

#[test]
fn the_child_inherits_no_descriptor_of_ours() {
    alone("the_child_inherits_no_descriptor_of_ours", || {
        // Whoever runs the tests may have left some open.
        let mut command = Command::new("ls");
        command.arg("/proc/self/fd");
        let before = command.as_std_mut().output().unwrap().stdout;
        yield_now();
        let _pipe = pipe().unwrap();
        let _file = fs::File::open("/dev/null").unwrap();
        let _child = gated();
        let output = soon(|| command.output()).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        assert_eq!(text(output.stdout), text(before));
    });
}

#[test]
fn a_child_that_no_longer_reads_is_an_error_and_no_signal() {
    let mut child = sh("exec <&-; read line <&0; exit 7").stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = vec![0; 1 << 20];
    let error = soon(|| input.write_all(&bytes)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_eq!(soon(|| child.wait()).unwrap().code(), Some(7));
}

#[test]
fn what_cannot_be_started_is_the_error_that_std_gives() {
    for program in ["/no/such/program", "/", "/dev/null", ""] {
        let ours = util::seen(Command::new(program).spawn().map(drop));
        let stds = util::seen(std::process::Command::new(program).spawn().map(drop));
        assert!(ours.is_err());
        assert_eq!(ours, stds, "{program:?}");
        assert_eq!(util::seen(Command::new(program).output().map(drop)), stds);
    }
}

#[test]
fn a_child_that_somebody_else_has_waited_for_is_an_error() {
    let (mut child, gate) = gated();
    drop(gate);
    let id = child.id().cast_signed();
    // SAFETY: a null pointer asks for no status.
    assert_eq!(unsafe { libc::waitpid(id, std::ptr::null_mut(), 0) }, id);
    assert_eq!(soon(|| child.wait()).unwrap_err().raw_os_error(), Some(libc::ECHILD));
}

#[test]
fn a_child_may_move_to_another_os_thread() {
    assert_send_and_sync::<Child>();
    assert_send_and_sync::<(ChildStdin, ChildStdout, ChildStderr)>();
    let (mut child, gate) = gated();
    assert!(timeout(Duration::from_millis(1), || child.wait()).is_err());
    let thread = std::thread::spawn(move || soon(|| child.wait()));
    drop(gate);
    assert_eq!(thread.join().unwrap().unwrap().code(), Some(7));
}

#[test]
fn in_the_middle_of_an_unwind_a_wait_that_would_park_is_an_error() {
    let (child, _gate) = gated();
    let child = Rc::new(RefCell::new(child));
    let seen = Rc::new(RefCell::new(None));
    let waiting = spawn({
        let (child, seen) = (Rc::clone(&child), Rc::clone(&seen));
        move || {
            let _wait = OnDrop(|| {
                let waited = child.borrow_mut().wait_timeout(Duration::from_millis(50));
                seen.replace(Some(waited.map_err(|error| error.kind())));
            });
            sleep(HOUR);
        }
    });
    let_all_park();
    waiting.kill();
    let_all_park();
    // Without a descriptor to wait for it is like a wait for a green thread, which does park.
    let by_clock = !cfg!(feature = "signal") && std::env::var("EVY_PIDFD").is_ok();
    wait_until(|| seen.borrow().is_some());
    let expected = if by_clock { Ok(None) } else { Err(ErrorKind::WouldBlock) };
    assert_eq!(seen.take(), Some(expected));
    child.borrow_mut().kill().unwrap();
    soon(|| child.borrow_mut().wait()).unwrap();
}

#[test]
fn a_kill_of_all_others_ends_output_with_an_error() {
    let (reader, gate) = pipe().unwrap();
    spawn_n(|| {
        let_all_park();
        kill_all();
    });
    // Both its streams are read, the errors by a green thread that is killed.
    let mut command = sh("exec >&-; read line");
    let error = soon(|| command.stdin(reader).output()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other, "{error}");
    drop(gate);
}

#[test]
fn with_no_descriptor_left_a_child_is_waited_for_all_the_same() {
    alone("with_no_descriptor_left_a_child_is_waited_for_all_the_same", || {
        let (mut child, gate) = gated();
        yield_now();
        // None above 2: neither a descriptor of the process nor a socket pair can be had.
        limit_descriptors(3);
        assert!(pipe().is_err());
        let opening = after_steps(move || drop(gate));
        assert_eq!(soon(|| child.wait()).unwrap().code(), Some(7));
        opening.wait().unwrap();
    });
}

#[test]
fn no_descriptor_is_left_behind() {
    alone("no_descriptor_is_left_behind", || {
        yield_now();
        let before = descriptors();
        for _ in 0..10 {
            soon(|| sh("echo out; echo err >&2").output()).unwrap();
            assert!(Command::new("/no/such/program").output().is_err());
            let (mut child, gate) = gated();
            assert!(timeout(Duration::from_millis(1), || child.wait()).is_err());
            let waiting = spawn(move || child.wait().map(drop));
            let_all_park();
            waiting.kill();
            drop(gate);

            let (reader, gate) = pipe().unwrap();
            let waiting = spawn(|| sh("read line").stdin(reader).output().map(drop));
            let_all_park();
            waiting.kill();
            let_all_park();
            drop(gate);
        }
        assert_eq!(descriptors(), before);
    });
}
