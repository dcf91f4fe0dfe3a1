//! A short read spares the one that would say `WouldBlock`, and no reader ever hangs for it: urgent
//! data, an end that comes with data, readers of every size (DESIGN section 3).

mod util;

use std::io::{IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;

use evy_green_net::TcpStream;
use evy_runtime::{spawn, yield_now};
use socket2::SockRef;
use util::{green_pair, let_all_park, pair, soon};

/// A pair whose green end the hub knows, with nothing to read.
fn known_pair() -> (TcpStream, std::net::TcpStream) {
    let (ours, mut theirs) = pair();
    let reader = spawn(move || {
        let mut buffer = [0; 8];
        assert_eq!((&ours).read(&mut buffer).unwrap(), 2);
        ours
    });
    let_all_park();
    theirs.write_all(b"hi").unwrap();
    (soon(|| reader.wait()).unwrap(), theirs)
}

/// Reads to the end with a buffer of this size.
fn read_all(mut stream: &TcpStream, size: usize) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; size]);
    loop {
        match soon(|| stream.read(&mut buffer)).unwrap() {
            0 => return all,
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

#[test]
fn an_end_that_comes_in_one_segment_with_data_is_seen() {
    for (reader_first, size) in [(true, 3), (true, 100), (false, 3), (false, 100)] {
        let (ours, theirs) = known_pair();
        // Corked, the data waits for the end and goes with it.
        SockRef::from(&theirs).set_tcp_cork(true).unwrap();
        (&theirs).write_all(b"last words").unwrap();
        if reader_first {
            let reader = spawn(move || read_all(&ours, size));
            let_all_park();
            theirs.shutdown(Shutdown::Write).unwrap();
            assert_eq!(soon(|| reader.wait()).unwrap(), b"last words");
        } else {
            theirs.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_all(&ours, size), b"last words");
        }
    }
}

#[test]
fn an_end_that_comes_between_two_reads_is_seen() {
    let (ours, mut theirs) = known_pair();
    theirs.write_all(b"data").unwrap();
    assert_eq!(soon(|| (&ours).read(&mut [0; 100])).unwrap(), 4);
    drop(theirs);
    assert_eq!(soon(|| (&ours).read(&mut [0; 100])).unwrap(), 0);
    assert_eq!(soon(|| (&ours).read(&mut [0; 100])).unwrap(), 0);
}

/// FAULTS row 50: a read stops before the urgent byte although more lies behind it.
#[test]
fn fault_50_urgent_data_hides_nothing_behind_it() {
    for size in [1, 2, 5, 100] {
        for reader_first in [true, false] {
            let (ours, theirs) = known_pair();
            let send = move || {
                (&theirs).write_all(b"before").unwrap();
                assert_eq!(SockRef::from(&theirs).send_out_of_band(b"!").unwrap(), 1);
                (&theirs).write_all(b"behind").unwrap();
                theirs
            };
            let reader = move || {
                let (mut all, mut buffer) = (Vec::new(), vec![0; size]);
                // The urgent byte itself is none of the stream's.
                while all.len() < 12 {
                    let count = (&ours).read(&mut buffer).unwrap();
                    all.extend_from_slice(&buffer[..count]);
                }
                (all, ours)
            };
            let _theirs;
            let reader = if reader_first {
                let reader = spawn(reader);
                let_all_park();
                _theirs = send();
                reader
            } else {
                _theirs = send();
                spawn(reader)
            };
            let (all, _ours) = soon(|| reader.wait()).unwrap();
            assert_eq!(all, b"beforebehind", "size {size}, reader first: {reader_first}");
        }
    }
}

/// FAULTS row 50.
#[test]
fn fault_50_urgent_data_alone_wakes_nobody_for_nothing_and_data_after_it_is_read() {
    let (ours, theirs) = known_pair();
    let reader = spawn(move || {
        let mut buffer = [0; 8];
        (&ours).read(&mut buffer).map(|count| buffer[..count].to_vec())
    });
    let_all_park();
    SockRef::from(&theirs).send_out_of_band(b"!").unwrap();
    evy_runtime::sleep(std::time::Duration::from_millis(5));
    assert!(!reader.is_finished());
    (&theirs).write_all(b"text").unwrap();
    assert_eq!(soon(|| reader.wait()).unwrap().unwrap(), b"text");
}

/// FAULTS row 50: in the stream (`SO_OOBINLINE`), the urgent byte is read in its place.
#[test]
fn fault_50_urgent_data_in_line_is_read_in_line() {
    for size in [1, 100] {
        let (ours, theirs) = known_pair();
        SockRef::from(&ours).set_out_of_band_inline(true).unwrap();
        let reader = spawn(move || read_all(&ours, size));
        let_all_park();
        (&theirs).write_all(b"one").unwrap();
        SockRef::from(&theirs).send_out_of_band(b"!").unwrap();
        (&theirs).write_all(b"two").unwrap();
        drop(theirs);
        assert_eq!(soon(|| reader.wait()).unwrap(), b"one!two");
    }
}

#[test]
fn a_read_of_exactly_what_is_there_is_followed_by_one_that_parks() {
    let (ours, mut theirs) = known_pair();
    for _ in 0..10 {
        theirs.write_all(b"12345678").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(soon(|| (&ours).read(&mut buffer)).unwrap(), 8);
        assert_eq!(ours.try_read(&mut buffer).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
    let ours = Rc::new(ours);
    let reader = spawn({
        let ours = Rc::clone(&ours);
        move || (&*ours).read(&mut [0; 8])
    });
    let_all_park();
    assert!(!reader.is_finished());
    theirs.write_all(b"1").unwrap();
    assert_eq!(soon(|| reader.wait()).unwrap().unwrap(), 1);
}

#[test]
fn a_reader_of_single_bytes_sees_them_all() {
    let (ours, mut theirs) = known_pair();
    let writer = std::thread::spawn(move || {
        for round in 0..100_u8 {
            theirs.write_all(&vec![round; 1 + usize::from(round)]).unwrap();
        }
    });
    let all = read_all(&ours, 1);
    writer.join().unwrap();
    let wanted: Vec<u8> = (0..100_u8).flat_map(|n| vec![n; 1 + usize::from(n)]).collect();
    assert!(all == wanted);
}

/// FAULTS row 50: a read that fills all the buffers which the system takes in one call is no short
/// one, though there were more buffers.
#[test]
fn fault_50_a_vectored_read_with_too_many_buffers_is_not_taken_for_a_short_one() {
    let (ours, mut theirs) = known_pair();
    theirs.write_all(&[7; 2 * 1024 + 1]).unwrap();
    let mut read = 0;
    while read < 2 * 1024 + 1 {
        let mut parts = vec![[0; 2]; 3000];
        let mut buffers: Vec<_> = parts.iter_mut().map(|part| IoSliceMut::new(part)).collect();
        let count = soon(|| (&ours).read_vectored(&mut buffers)).unwrap();
        assert!(parts.concat()[..count].iter().all(|byte| *byte == 7));
        read += count;
    }
}

#[test]
fn peeks_and_reads_in_turn_lose_nothing() {
    let (ours, mut theirs) = known_pair();
    let writer = std::thread::spawn(move || {
        for n in 0..200_u8 {
            theirs.write_all(&[n; 3]).unwrap();
        }
    });
    let (mut all, mut buffer) = (Vec::new(), [0; 100]);
    loop {
        let size = 1 + all.len() % 7;
        let peeked = soon(|| ours.peek(&mut buffer[..size])).unwrap();
        let seen = buffer[..peeked].to_vec();
        // A peek may have found less than there is by now, never anything else.
        let read = soon(|| (&ours).read(&mut buffer)).unwrap();
        assert_eq!(seen, buffer[..peeked]);
        if read == 0 {
            break;
        }
        all.extend_from_slice(&buffer[..read]);
    }
    writer.join().unwrap();
    assert_eq!(all, (0..200_u8).flat_map(|n| [n; 3]).collect::<Vec<_>>());
}

/// Semantics E 79.
#[test]
fn one_green_thread_reads_while_another_writes_far_more_than_the_buffers_hold() {
    const ALL: usize = 4 << 20;
    let bytes =
        |seed: u8| (0..ALL).map(move |n| (n as u8).wrapping_mul(seed).wrapping_add(n as u8 >> 3));
    let (ours, theirs) = green_pair();
    let mut threads = Vec::new();
    for (stream, sends, gets) in [(ours, 3, 5), (theirs, 5, 3)] {
        let stream = Rc::new(stream);
        threads.push(spawn({
            let stream = Rc::clone(&stream);
            move || {
                (&*stream).write_all(&bytes(sends).collect::<Vec<_>>()).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            }
        }));
        threads.push(spawn(move || {
            let mut all = Vec::new();
            (&*stream).read_to_end(&mut all).unwrap();
            assert!(all.into_iter().eq(bytes(gets)));
        }));
    }
    soon(|| threads.into_iter().for_each(|thread| thread.wait().unwrap()));
}

/// Semantics E 81.
#[test]
fn every_size_goes_through_tiny_buffers_byte_by_byte_the_same() {
    // The smallest buffers that the system gives make it wait for its own timers with each segment.
    let tiny = [1_000, 1_023, 4_096].map(|size| (size, 2_048));
    let small = [4_096, 65_537, 1_000_000].map(|size| (size, 16_384));
    for (size, receive_buffer) in tiny.into_iter().chain(small) {
        let (ours, theirs) = green_pair();
        SockRef::from(&theirs).set_recv_buffer_size(receive_buffer).unwrap();
        SockRef::from(&ours).set_send_buffer_size(2_048).unwrap();
        let data: Vec<u8> = (0..size).map(|n| (n % 253) as u8).collect();
        let writer = spawn({
            let data = data.clone();
            move || (&ours).write_all(&data).unwrap()
        });
        let reader = spawn(move || {
            let mut all = Vec::new();
            (&theirs).read_to_end(&mut all).unwrap();
            all
        });
        soon(|| writer.wait()).unwrap();
        assert!(soon(|| reader.wait()).unwrap() == data, "{size} bytes");
    }
}

/// FAULTS row 50: no single call can write it, and the counts are exact.
#[test]
fn fault_50_a_write_of_more_than_the_buffers_is_partial_and_counted() {
    let (ours, mut theirs) = pair();
    let block = vec![9; 64 << 20];
    let written = soon(|| (&ours).write(&block)).unwrap();
    assert!(written > 0 && written < block.len());
    drop(ours);
    let mut all = Vec::new();
    theirs.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), written);
    yield_now();
}

util::and_all_of_them_again!();
