//! Pipes: what is written arrives, whole and in order, and who waits lets the others run.

mod util;

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::rc::Rc;
use std::time::Duration;

use evy_green_os::pipe::{PipeReader, PipeWriter, pipe};
use evy_runtime::{Died, kill, spawn, spawn_n, timeout, yield_now};
use util::{
    Child, FOR_EVER, Folder, Log, after_steps, alone, and_all_of_them_again, assert_send_and_sync,
    descriptors, flags, is_child, is_close_on_exec, let_all_park, soon,
};

/// Bytes whose order can be checked.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

/// Fills a pipe and returns how much that was.
fn fill(writer: &PipeWriter) -> usize {
    let mut total = 0;
    loop {
        match writer.try_write(&[0; 4096]) {
            Ok(count) => total += count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return total;
            }
        }
    }
}

and_all_of_them_again!();

/// Semantics 91.
#[test]
fn ten_megabytes_arrive_whole_and_in_order() {
    let (mut reader, mut writer) = pipe().unwrap();
    let sent = pattern(10 << 20);
    let writing = spawn({
        let sent = sent.clone();
        move || writer.write_all(&sent)
    });
    let mut received = Vec::new();
    soon(|| reader.read_to_end(&mut received)).unwrap();
    assert!(received == sent, "{} bytes of {}", received.len(), sent.len());
    writing.wait().unwrap().unwrap();
}

#[test]
fn others_run_while_a_reader_waits_for_data() {
    let (mut reader, mut writer) = pipe().unwrap();
    let writing = after_steps(move || writer.write_all(b"hello"));
    let mut text = String::new();
    soon(|| reader.read_to_string(&mut text)).unwrap();
    assert_eq!(text, "hello");
    writing.wait().unwrap().unwrap();
}

#[test]
fn others_run_while_a_writer_waits_for_room() {
    let (mut reader, mut writer) = pipe().unwrap();
    let full = fill(&writer);
    let reading = after_steps(move || {
        let mut received = vec![0; full];
        reader.read_exact(&mut received).unwrap();
        reader
    });
    soon(|| writer.write_all(b"more")).unwrap();
    drop(writer);
    let mut text = String::new();
    soon(|| reading.wait().unwrap().read_to_string(&mut text)).unwrap();
    assert_eq!(text, "more");
}

#[test]
fn the_end_comes_when_the_last_writer_is_closed() {
    let (mut reader, writer) = pipe().unwrap();
    let clone = writer.try_clone().unwrap();
    let reading = spawn(move || reader.read(&mut [0; 8]));
    let_all_park();
    drop(writer);
    let_all_park();
    assert!(!reading.is_finished(), "a clone can still write");
    drop(clone);
    assert_eq!(soon(|| reading.wait()).unwrap().unwrap(), 0);
}

#[test]
fn fault_12_a_write_that_nobody_can_read_is_an_error() {
    let (reader, mut writer) = pipe().unwrap();
    let clone = reader.try_clone().unwrap();
    drop(reader);
    writer.write_all(b"x").unwrap();
    drop(clone);
    assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn fault_12_a_writer_that_waits_for_room_is_told_when_nobody_reads_any_more() {
    let (reader, mut writer) = pipe().unwrap();
    fill(&writer);
    let writing = spawn(move || writer.write(b"x"));
    let_all_park();
    assert!(!writing.is_finished());
    drop(reader);
    let error = soon(|| writing.wait()).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

/// It is as the module's page says: only Rust's ignoring SIGPIPE makes an error of it.
#[test]
fn fault_12_with_sigpipe_at_its_default_a_write_ends_the_process_as_stds_does() {
    const NAME: &str = "fault_12_with_sigpipe_at_its_default_a_write_ends_the_process_as_stds_does";
    if is_child(NAME) {
        // SAFETY: SIG_DFL is no function of ours.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let use_std = std::env::var_os("EVY_TEST_STD").is_some();
        if use_std {
            let (reader, mut writer) = std::io::pipe().unwrap();
            drop(reader);
            let _ = writer.write(b"x");
        } else {
            let (reader, mut writer) = pipe().unwrap();
            drop(reader);
            let _ = writer.write(b"x");
        }
        return;
    }
    assert_eq!(Child::new(NAME).run().status.signal(), Some(libc::SIGPIPE));
    let with_std = Child::new(NAME).env("EVY_TEST_STD", "1").run();
    assert_eq!(with_std.status.signal(), Some(libc::SIGPIPE));
}

#[test]
fn lines_of_several_writers_stay_whole() {
    const WRITERS: usize = 8;
    const LINES: usize = 500;
    let (mut reader, writer) = pipe().unwrap();
    let writer = Rc::new(writer);
    for n in 0..WRITERS {
        let writer = Rc::clone(&writer);
        // Longer than a write takes at once together, each shorter than PIPE_BUF.
        let line = format!("{}\n", n.to_string().repeat(1000));
        spawn_n(move || {
            for _ in 0..LINES {
                assert_eq!((&*writer).write(line.as_bytes()).unwrap(), 1001);
            }
        });
    }
    drop(writer);
    let mut text = String::new();
    soon(|| reader.read_to_string(&mut text)).unwrap();
    let mut counts = [0; WRITERS];
    for line in text.lines() {
        let n = usize::from(line.as_bytes()[0] - b'0');
        assert_eq!(line, n.to_string().repeat(1000));
        counts[n] += 1;
    }
    assert_eq!(counts, [LINES; WRITERS]);
}

#[test]
fn readers_are_served_in_the_order_in_which_they_came() {
    let (reader, mut writer) = pipe().unwrap();
    let (reader, log) = (Rc::new(reader), Log::new());
    for n in 0..5 {
        let (reader, log) = (Rc::clone(&reader), log.clone());
        spawn_n(move || {
            let mut byte = [0];
            (&*reader).read_exact(&mut byte).unwrap();
            log.add(format!("{n}: {}", byte[0]));
        });
        let_all_park();
    }
    for byte in 10..15 {
        writer.write_all(&[byte]).unwrap();
    }
    soon(let_all_park);
    assert_eq!(log.take(), ["0: 10", "1: 11", "2: 12", "3: 13", "4: 14"]);
}

#[test]
fn a_reader_that_is_killed_or_timed_out_leaves_the_data_to_the_next() {
    let (reader, mut writer) = pipe().unwrap();
    let reader = Rc::new(reader);
    let waiting = spawn({
        let reader = Rc::clone(&reader);
        move || (&*reader).read(&mut [0; 8]).map(drop)
    });
    let_all_park();
    waiting.kill();
    assert!(matches!(waiting.wait(), Err(Died::Killed)));
    assert!(timeout(Duration::from_millis(1), || (&*reader).read(&mut [0; 8])).is_err());
    writer.write_all(b"data").unwrap();
    let mut buffer = [0; 8];
    assert_eq!(soon(|| (&*reader).read(&mut buffer)).unwrap(), 4);
    assert_eq!(&buffer[..4], b"data");
}

#[test]
fn fault_53_a_reader_that_is_woken_and_then_killed_passes_the_data_on() {
    let (first_reader, mut first_writer) = pipe().unwrap();
    let (reader, mut writer) = pipe().unwrap();
    let reader = Rc::new(reader);
    let [one, two] = [(); 2].map(|()| {
        let reader = Rc::clone(&reader);
        let waiting = spawn(move || {
            let mut buffer = [0; 8];
            let count = (&*reader).read(&mut buffer).unwrap();
            buffer[..count].to_vec()
        });
        let_all_park();
        waiting
    });
    // It is woken in the same turn as the first reader, and behind it: events come in their order.
    let victim = one.id();
    let killer = spawn(move || {
        (&first_reader).read_exact(&mut [0]).unwrap();
        kill(victim)
    });
    let_all_park();
    first_writer.write_all(b"x").unwrap();
    writer.write_all(b"data").unwrap();
    assert!(soon(|| killer.wait()).unwrap(), "it killed one that was alive");
    assert!(matches!(one.wait(), Err(Died::Killed)));
    assert_eq!(soon(|| two.wait()).unwrap(), b"data");
}

#[test]
fn a_pipe_that_is_always_ready_lets_the_others_run() {
    let (mut reader, writer) = pipe().unwrap();
    fill(&writer);
    let other = spawn(|| ());
    yield_now();
    let steps = Rc::new(std::cell::Cell::new(0));
    spawn_n({
        let steps = Rc::clone(&steps);
        move || {
            loop {
                steps.set(steps.get() + 1);
                yield_now();
            }
        }
    });
    for _ in 0..10_000 {
        reader.read_exact(&mut [0]).unwrap();
    }
    assert!(other.is_finished());
    // Once in 128 reads.
    assert!(steps.get() > 70, "{} steps", steps.get());
}

#[test]
fn trying_never_waits() {
    let (reader, writer) = pipe().unwrap();
    assert_eq!(reader.try_read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(writer.try_write(b"hello").unwrap(), 5);
    assert_eq!(reader.try_read(&mut [0; 8]).unwrap(), 5);
    assert!(fill(&writer) >= 4096);
    assert_eq!(writer.try_write(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(writer);
    while reader.try_read(&mut [0; 65536]).unwrap() > 0 {}
}

#[test]
fn nothing_is_read_and_written_at_once() {
    let (mut reader, mut writer) = pipe().unwrap();
    assert_eq!(reader.read(&mut []).unwrap(), 0);
    assert_eq!(reader.read_vectored(&mut [IoSliceMut::new(&mut [])]).unwrap(), 0);
    fill(&writer);
    assert_eq!(writer.write(&[]).unwrap(), 0);
    assert_eq!(writer.write_vectored(&[]).unwrap(), 0);
}

#[test]
fn several_buffers_go_in_one_call() {
    let (mut reader, mut writer) = pipe().unwrap();
    let parts = [IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"two")];
    assert_eq!(writer.write_vectored(&parts).unwrap(), 6);
    let (mut first, mut second) = ([0; 4], [0; 4]);
    let mut buffers = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
    assert_eq!(reader.read_vectored(&mut buffers).unwrap(), 6);
    assert_eq!((&first, &second), (b"onet", b"wo\0\0"));
    // More than the system takes at once.
    let many: Vec<_> = (0..3000).map(|_| IoSlice::new(b"x")).collect();
    assert_eq!(writer.write_vectored(&many).unwrap(), 1024);
}

#[test]
fn both_ends_are_non_blocking_and_close_on_exec() {
    let (reader, writer) = pipe().unwrap();
    let clones = (reader.try_clone().unwrap(), writer.try_clone().unwrap());
    for fd in [reader.as_fd(), writer.as_fd(), clones.0.as_fd(), clones.1.as_fd()] {
        assert_ne!(flags(fd) & libc::O_NONBLOCK, 0);
        assert!(is_close_on_exec(fd));
    }
}

#[test]
fn they_become_and_come_from_those_of_std() {
    let (reader, writer) = std::io::pipe().unwrap();
    let (mut reader, mut writer) = (PipeReader::from(reader), PipeWriter::from(writer));
    let reading = spawn(move || reader.read(&mut [0; 8]).map(|count| (count, reader)));
    yield_now();
    writer.write_all(b"hello").unwrap();
    let (count, reader) = soon(|| reading.wait()).unwrap().unwrap();
    assert_eq!(count, 5);
    // It was registered with the hub, and may be again.
    let number = reader.as_raw_fd();
    let mut reader: std::io::PipeReader = reader.into();
    assert_eq!(reader.as_raw_fd(), number);
    assert_eq!(reader.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut reader = PipeReader::from(OwnedFd::from(reader));
    let closing = after_steps(move || drop(writer));
    assert_eq!(soon(|| reader.read(&mut [0; 8])).unwrap(), 0);
    closing.wait().unwrap();
}

#[test]
fn they_may_move_to_another_os_thread_and_wait_there() {
    assert_send_and_sync::<PipeReader>();
    assert_send_and_sync::<PipeWriter>();
    let (mut reader, mut writer) = pipe().unwrap();
    // Registered with the hub of this OS thread.
    assert!(timeout(Duration::from_millis(1), || reader.read(&mut [0; 8])).is_err());
    let thread = std::thread::spawn(move || {
        let mut received = Vec::new();
        timeout(FOR_EVER, || reader.read_to_end(&mut received)).unwrap().unwrap();
        received
    });
    let sent = pattern(1 << 20);
    soon(|| writer.write_all(&sent)).unwrap();
    drop(writer);
    assert!(thread.join().unwrap() == sent);
}

#[test]
fn fault_49_a_file_in_the_place_of_a_pipe_is_always_ready() {
    // epoll refuses it, and nobody has to wait for it.
    let folder = Folder::new("file_as_pipe");
    std::fs::write(folder.join("file"), "hello").unwrap();
    let file = std::fs::File::open(folder.join("file")).unwrap();
    let mut reader = PipeReader::from(OwnedFd::from(file));
    let mut text = String::new();
    soon(|| reader.read_to_string(&mut text)).unwrap();
    assert_eq!(text, "hello");
    let file = std::fs::File::create(folder.join("file")).unwrap();
    soon(|| PipeWriter::from(OwnedFd::from(file)).write_all(&pattern(1 << 20))).unwrap();
    assert!(std::fs::read(folder.join("file")).unwrap() == pattern(1 << 20));
}

#[test]
fn fault_49_the_wrong_end_is_an_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut wrong = PipeReader::from(OwnedFd::from(writer));
    assert_eq!(wrong.read(&mut [0; 8]).unwrap_err().raw_os_error(), Some(libc::EBADF));
    let mut writer = PipeWriter::from(OwnedFd::from(reader));
    assert_eq!(writer.write(b"x").unwrap_err().raw_os_error(), Some(libc::EBADF));
}

#[test]
fn fault_49_no_descriptor_is_left_behind() {
    alone("fault_49_no_descriptor_is_left_behind", || {
        yield_now();
        let before = descriptors();
        for _ in 0..100 {
            let (reader, mut writer) = pipe().unwrap();
            let clone = reader.try_clone().unwrap();
            let waiting = spawn(move || (&clone).read(&mut [0; 8]).map(drop));
            let_all_park();
            waiting.kill();
            fill(&writer);
            assert!(timeout(Duration::from_nanos(1), || writer.write(b"x")).is_err());
            drop(reader);
        }
        assert_eq!(descriptors(), before);
    });
}
