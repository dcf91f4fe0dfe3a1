//! `copy`: what it copies, what it counts, and that the buffer which all of them share stays theirs
//! only between two parks.

mod util;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use evy_green_net::{TcpStream, copy};
use evy_runtime::{GreenThread, spawn};
use util::{let_all_park, pair, soon};

/// Bytes that differ from place to place and from seed to seed.
fn pattern(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2 * seed + 1) >> 3) as u8 ^ seed as u8).collect()
}

fn echo(stream: TcpStream) -> GreenThread<std::io::Result<u64>> {
    spawn(move || copy(&stream, &stream))
}

#[test]
fn megabytes_come_back_to_a_slow_reader_byte_by_byte_the_same() {
    const ALL: usize = 8 << 20;
    let (ours, theirs) = pair();
    let echo = echo(ours);
    let data = pattern(1, ALL);
    let writer = std::thread::spawn({
        let (mut theirs, data) = (theirs.try_clone().unwrap(), data.clone());
        move || {
            theirs.write_all(&data).unwrap();
            theirs.shutdown(Shutdown::Write).unwrap();
        }
    });
    // It reads only when nothing more goes in: what the copy has read and cannot write is boxed.
    let reader = std::thread::spawn(move || {
        let (mut theirs, mut all) = (theirs, Vec::new());
        for size in (1..).map(|n| (n * 7919) % 100_000 + 1) {
            let mut buffer = vec![0; size];
            match theirs.read(&mut buffer).unwrap() {
                0 => break,
                count => all.extend_from_slice(&buffer[..count]),
            }
        }
        all
    });
    assert_eq!(soon(|| echo.wait()).unwrap().unwrap(), ALL as u64);
    writer.join().unwrap();
    assert!(reader.join().unwrap() == data);
}

#[test]
fn many_share_the_buffer_and_no_byte_goes_astray() {
    const STREAMS: usize = 50;
    const EACH: usize = 200_000;
    let clients: Vec<_> = (0..STREAMS)
        .map(|n| {
            let (ours, theirs) = pair();
            // Full at once, so that most writes leave a rest.
            socket2::SockRef::from(&ours).set_send_buffer_size(4096).unwrap();
            let theirs = TcpStream::from_std(theirs).unwrap();
            let echo = echo(ours);
            let theirs = Rc::new(theirs);
            let writer = spawn({
                let theirs = Rc::clone(&theirs);
                move || {
                    (&*theirs).write_all(&pattern(n, EACH)).unwrap();
                    theirs.shutdown(Shutdown::Write).unwrap();
                }
            });
            let reader = spawn(move || {
                let mut all = Vec::new();
                (&*theirs).read_to_end(&mut all).unwrap();
                assert!(all == pattern(n, EACH), "stream {n}");
            });
            (echo, writer, reader)
        })
        .collect();
    for (echo, writer, reader) in clients {
        soon(|| writer.wait()).unwrap();
        soon(|| reader.wait()).unwrap();
        assert_eq!(soon(|| echo.wait()).unwrap().unwrap(), EACH as u64);
    }
}

#[test]
fn it_goes_from_one_socket_to_another_and_counts() {
    let (from, mut source) = pair();
    let (to, mut sink) = pair();
    let relay = spawn(move || copy(&from, &to));
    for part in ["in ", "three ", "parts"] {
        let_all_park();
        source.write_all(part.as_bytes()).unwrap();
    }
    drop(source);
    assert_eq!(soon(|| relay.wait()).unwrap().unwrap(), 14);
    let mut all = String::new();
    sink.read_to_string(&mut all).unwrap();
    assert_eq!(all, "in three parts");
}

#[test]
fn nothing_is_copied_from_a_stream_that_has_ended() {
    let (ours, theirs) = pair();
    theirs.shutdown(Shutdown::Write).unwrap();
    assert_eq!(soon(|| copy(&ours, &ours)).unwrap(), 0);
    assert_eq!(soon(|| copy(&ours, &ours)).unwrap(), 0);
}

#[test]
fn an_error_of_either_side_ends_it() {
    let (from, mut source) = pair();
    let (to, sink) = pair();
    drop(sink);
    let relay = spawn(move || copy(&from, &to));
    let error = loop {
        let_all_park();
        if relay.is_finished() {
            break soon(|| relay.wait()).unwrap().unwrap_err();
        }
        source.write_all(b"for nobody").unwrap();
    };
    assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset));

    let (from, _source) = pair();
    let (to, _sink) = pair();
    from.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    assert_eq!(soon(|| copy(&from, &to)).unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn a_write_timeout_counts_for_the_rest_that_waits() {
    let (from, mut source) = pair();
    let (to, _sink) = pair();
    to.set_write_timeout(Some(Duration::from_millis(10))).unwrap();
    let feeder = std::thread::spawn(move || while source.write_all(&[0; 1 << 16]).is_ok() {});
    assert_eq!(soon(|| copy(&from, &to)).unwrap_err().kind(), ErrorKind::TimedOut);
    drop(from);
    feeder.join().unwrap();
}

#[test]
fn one_that_is_killed_in_the_middle_leaves_the_buffer_to_the_others() {
    let mut survivors = Vec::new();
    let mut victims = Vec::new();
    for n in 0..10 {
        // These park with a rest to write, those for data.
        let (ours, mut theirs) = pair();
        theirs.set_nonblocking(true).unwrap();
        let victim = echo(ours);
        if n % 2 == 0 {
            let mut all = 0;
            while all < 64 << 20 {
                match theirs.write(&[n; 1 << 16]) {
                    Ok(count) => all += count,
                    Err(_) => break,
                }
                let_all_park();
            }
        }
        victims.push((victim, theirs));
        let (ours, theirs) = pair();
        survivors.push((echo(ours), theirs));
    }
    let_all_park();
    for (victim, _) in &victims {
        assert!(!victim.is_finished());
        victim.kill();
    }
    for (n, (echo, mut theirs)) in survivors.into_iter().enumerate() {
        let message = pattern(n, 1000);
        theirs.write_all(&message).unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        assert_eq!(soon(|| echo.wait()).unwrap().unwrap(), 1000);
        let mut back = vec![0; 1000];
        theirs.read_exact(&mut back).unwrap();
        assert!(back == message);
    }
}

#[test]
fn a_stream_that_does_not_block_says_so_in_a_copy_too() {
    let (ours, _theirs) = pair();
    ours.set_nonblocking(true).unwrap();
    assert_eq!(copy(&ours, &ours).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_read_timeout_that_is_set_while_it_copies_counts_from_the_next_read_on() {
    let (from, mut source) = pair();
    let (to, _sink) = pair();
    let from = Rc::new(from);
    let relay = spawn({
        let from = Rc::clone(&from);
        move || copy(&*from, &to)
    });
    // Two, so that the loop copies by then and not the green thread itself.
    for _ in 0..2 {
        source.write_all(b"part").unwrap();
        let_all_park();
    }
    from.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    source.write_all(b"part").unwrap();
    assert_eq!(soon(|| relay.wait()).unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn an_end_that_comes_in_one_segment_with_data_is_seen() {
    let (ours, mut theirs) = pair();
    let (to, mut sink) = pair();
    let relay = spawn(move || copy(&ours, &to));
    // Two, so that the loop copies by then and not the green thread itself.
    for _ in 0..2 {
        theirs.write_all(b"more and ").unwrap();
        let_all_park();
    }
    // Corked, the data waits for the end and goes with it.
    socket2::SockRef::from(&theirs).set_tcp_cork(true).unwrap();
    theirs.write_all(b"last words").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    assert_eq!(soon(|| relay.wait()).unwrap().unwrap(), 28);
    let mut all = String::new();
    sink.read_to_string(&mut all).unwrap();
    assert_eq!(all, "more and more and last words");
}

#[test]
fn fault_50_urgent_data_holds_up_no_copy() {
    let (ours, mut theirs) = pair();
    let (to, mut sink) = pair();
    let relay = spawn(move || copy(&ours, &to));
    for part in [b"ab", b"cd", b"ef"] {
        theirs.write_all(part).unwrap();
        let_all_park();
        socket2::SockRef::from(&theirs).send_out_of_band(b"!").unwrap();
        theirs.write_all(b"-").unwrap();
        let_all_park();
    }
    drop(theirs);
    assert_eq!(soon(|| relay.wait()).unwrap().unwrap(), 9);
    let mut all = String::new();
    sink.read_to_string(&mut all).unwrap();
    assert_eq!(all, "ab-cd-ef-");
}

util::and_all_of_them_again!();
