//! Connections that the peer resets: FAULTS row 11.

mod util;

use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use evy_green_net::TcpStream;
use evy_runtime::{GreenThread, spawn};
use util::{let_all_park, pair, soon};

/// Ends the connection with a RST instead of a FIN.
fn reset(stream: std::net::TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

fn is_gone(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

fn spawn_on<T: 'static>(
    stream: &Rc<TcpStream>,
    call: impl FnOnce(&TcpStream) -> io::Result<T> + 'static,
) -> GreenThread<io::Result<T>> {
    let stream = Rc::clone(stream);
    spawn(move || call(&stream))
}

#[test]
fn fault_11_a_reset_at_every_byte_of_a_message_is_one_error_and_then_the_end() {
    const MESSAGE: usize = 64;
    for offset in 0..MESSAGE {
        let (ours, mut theirs) = pair();
        let ours = Rc::new(ours);
        let reader = spawn_on(&ours, |mut stream| stream.read_exact(&mut [0; MESSAGE]));
        let_all_park();
        theirs.write_all(&[1; MESSAGE][..offset]).unwrap();
        // Half of them are read before the reset comes, half find both at once.
        if offset % 2 == 0 {
            evy_runtime::sleep(Duration::ZERO);
        }
        reset(theirs);
        let error = soon(|| reader.wait()).unwrap().unwrap_err();
        // Data that the reset has overtaken is gone, with both systems' sockets.
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "at byte {offset}");
        for _ in 0..3 {
            assert_eq!(soon(|| (&*ours).read(&mut [0; 8])).unwrap(), 0, "it was said once");
        }
        assert_eq!(soon(|| (&*ours).write(b"x")).unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}

#[test]
fn fault_11_a_reset_wakes_the_reader_and_the_writer() {
    for drained in [0, 1 << 16] {
        let (ours, mut theirs) = pair();
        let ours = Rc::new(ours);
        let reader = spawn_on(&ours, |mut stream| stream.read(&mut [0; 8]));
        let writer = spawn_on(&ours, |mut stream| stream.write_all(&vec![0; 64 << 20]));
        let_all_park();
        theirs.read_exact(&mut vec![0; drained]).unwrap();
        reset(theirs);
        let write = soon(|| writer.wait()).unwrap().unwrap_err();
        assert!(is_gone(write.kind()), "{write}");
        // Whoever came first was told of the reset, the other finds the connection gone.
        match soon(|| reader.wait()).unwrap() {
            Ok(count) => assert_eq!((count, write.kind()), (0, ErrorKind::ConnectionReset)),
            Err(read) => assert_eq!(
                (read.kind(), write.kind()),
                (ErrorKind::ConnectionReset, ErrorKind::BrokenPipe)
            ),
        }
    }
}

#[test]
fn fault_11_a_reset_in_the_middle_of_a_long_write_ends_it() {
    for drained in [1, 1_000, 100_000, 3 << 20] {
        let (ours, mut theirs) = pair();
        let peer = std::thread::spawn(move || {
            theirs.read_exact(&mut vec![0; drained]).unwrap();
            reset(theirs);
        });
        let error = soon(|| (&ours).write_all(&vec![0; 64 << 20])).unwrap_err();
        assert!(is_gone(error.kind()), "{error}");
        peer.join().unwrap();
    }
}

#[test]
fn fault_11_a_copy_ends_with_the_reset() {
    let (ours, mut theirs) = pair();
    let ours = Rc::new(ours);
    let copy = spawn_on(&ours, |stream| evy_green_net::copy(stream, stream));
    let_all_park();
    theirs.write_all(b"there and back").unwrap();
    soon(|| evy_runtime::wait_readable(&theirs, None)).unwrap();
    reset(theirs);
    assert_eq!(soon(|| copy.wait()).unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn fault_11_a_connection_that_was_reset_costs_nothing_while_nobody_asks() {
    let (ours, theirs) = pair();
    let ours = Rc::new(ours);
    let reader = spawn_on(&ours, |mut stream| stream.read(&mut [0; 8]));
    let_all_park();
    reset(theirs);
    assert!(soon(|| reader.wait()).unwrap().is_err());
    let before = util::cpu_time();
    evy_runtime::sleep(Duration::from_millis(100));
    let spent = util::cpu_time() - before;
    assert!(spent < Duration::from_millis(30), "it spun for {spent:?} of 100 ms");
    drop(ours);
}

/// FAULTS rows 11 and 13: what the peer's kernel has answered with a reset because data came after
/// its close.
#[test]
fn fault_11_data_for_a_peer_that_has_closed_brings_a_reset() {
    let (ours, theirs) = pair();
    drop(theirs);
    assert_eq!(soon(|| (&ours).read(&mut [0; 8])).unwrap(), 0);
    // The first goes out, the reset comes back.
    soon(|| (&ours).write_all(b"still there?")).unwrap();
    let later = soon(|| (0..).find_map(|_: u64| (&ours).write(b"?").err())).unwrap();
    assert!(is_gone(later.kind()), "{later}");
}

util::and_all_of_them_again!();
