//! `sendfile`: what arrives, what is counted, and what is known when it ends before its time.

mod util;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use evy_green_net::{GreenWrite, Server, TcpStream, UnixStream, listen, sendfile};
use evy_runtime::{sleep, spawn, timeout, yield_now};
use util::{TempPath, let_all_park, pair, soon, unix_pair};

/// A file with bytes that differ from place to place, and the bytes.
fn file(length: usize) -> (File, Vec<u8>) {
    let path = TempPath::new();
    let data: Vec<u8> = (0..length).map(|n| (n >> 9) as u8 ^ n as u8).collect();
    std::fs::write(&path, &data).unwrap();
    (File::open(&path).unwrap(), data)
}

fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// A connection of either kind: our end, with a buffer as small as can be, and what the peer has read
/// when it comes to its end.
fn connections() -> [(Socket, std::thread::JoinHandle<Vec<u8>>); 2] {
    fn collect(mut peer: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
        std::thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            all
        })
    }
    let ((tcp, tcp_peer), (unix, unix_peer)) = (pair(), unix_pair());
    socket2::SockRef::from(&tcp).set_send_buffer_size(4096).unwrap();
    socket2::SockRef::from(&unix).set_send_buffer_size(4096).unwrap();
    [(Socket::Tcp(tcp), collect(tcp_peer)), (Socket::Unix(unix), collect(unix_peer))]
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn send(&self, file: &File, offset: &mut u64, count: u64) -> io::Result<u64> {
        match self {
            Self::Tcp(stream) => sendfile(stream, file, offset, count),
            Self::Unix(stream) => sendfile(stream, file, offset, count),
        }
    }
}

#[test]
fn the_whole_file_arrives_byte_by_byte_the_same() {
    for length in [0, 1, 5000, 1_000_000] {
        let (file, data) = file(length);
        for (socket, peer) in connections() {
            let mut offset = 0;
            let sent = soon(|| socket.send(&file, &mut offset, length as u64)).unwrap();
            assert_eq!((sent, offset), (length as u64, length as u64));
            drop(socket);
            assert!(peer.join().unwrap() == data, "{length} bytes");
        }
    }
}

#[test]
fn it_begins_at_the_offset_and_ends_with_the_count_or_the_file() {
    let (file, data) = file(100_000);
    for (from, count, arrives) in [
        (0, 10, 10),
        (70_000, 20_000, 20_000),
        (70_000, u64::MAX, 30_000),
        (100_000, 5, 0),
        (200_000, 5, 0),
        (5, 0, 0),
    ] {
        for (socket, peer) in connections() {
            let mut offset = from;
            let sent = soon(|| socket.send(&file, &mut offset, count)).unwrap();
            assert_eq!((sent, offset), (arrives, from + arrives), "{count} from {from}");
            drop(socket);
            let wanted = data.iter().skip(from as usize).take(arrives as usize);
            assert!(peer.join().unwrap().iter().eq(wanted));
        }
    }
}

#[test]
fn the_position_of_the_file_stays_where_it_is() {
    let (mut file, data) = file(1000);
    file.seek(io::SeekFrom::Start(7)).unwrap();
    let (ours, mut theirs) = unix_pair();
    sendfile(&ours, &file, &mut 100, 200).unwrap();
    assert_eq!(file.stream_position().unwrap(), 7);
    let mut received = [0; 200];
    theirs.read_exact(&mut received).unwrap();
    assert_eq!(received, data[100..300]);
}

#[test]
fn others_run_while_it_waits_and_after_each_128_operations() {
    let (file, _) = file(1 << 20);
    let (ours, theirs) = unix_pair();
    let turns = Rc::new(Cell::new(0));
    let (start, started) = std::sync::mpsc::channel();
    let drain = std::thread::spawn(move || {
        let mut theirs: StdSocket = started.recv().unwrap();
        io::copy(&mut theirs, &mut io::sink()).unwrap()
    });
    let counter = spawn({
        let turns = Rc::clone(&turns);
        move || {
            // Nobody reads until somebody else has run.
            start.send(theirs).unwrap();
            loop {
                turns.set(turns.get() + 1);
                yield_now();
            }
        }
    });
    soon(|| sendfile(&ours, &file, &mut 0, u64::MAX)).unwrap();
    assert!(turns.get() > 0);
    // Never a full buffer: one byte of the file after the other.
    let before = turns.get();
    for offset in 0..10 * 128 {
        sendfile(&ours, &file, &mut { offset }, 1).unwrap();
    }
    assert!(turns.get() >= before + 9);
    drop(ours);
    assert_eq!(drain.join().unwrap(), (1 << 20) + 10 * 128);
    counter.kill();
}

/// What has been sent when it ends is known to the byte: the rest goes on from there.
#[test]
fn a_timeout_a_kill_and_a_close_lose_nothing_that_was_not_said() {
    let (file, data) = file(2_000_000);
    for (name, way) in [("timeout", 0), ("kill", 1), ("write timeout", 2)] {
        let (ours, mut theirs) = unix_pair();
        let (ours, file) = (Rc::new(ours), Rc::new(file.try_clone().unwrap()));
        let offset = Rc::new(Cell::new(0));
        let send = {
            let (ours, offset) = (Rc::clone(&ours), Rc::clone(&offset));
            move || {
                struct Noted<'a>(&'a Cell<u64>, u64);
                impl Drop for Noted<'_> {
                    fn drop(&mut self) {
                        self.0.set(self.1);
                    }
                }
                let mut noted = Noted(&offset, 0);
                sendfile(&*ours, &*file, &mut noted.1, u64::MAX)
            }
        };
        match way {
            0 => assert!(timeout(Duration::from_millis(5), send).is_err()),
            1 => {
                let victim = spawn(send);
                let_all_park();
                assert!(!victim.is_finished());
                victim.kill();
            }
            _ => {
                ours.set_write_timeout(Some(Duration::from_millis(5))).unwrap();
                assert_eq!(kind(soon(send)), Some(ErrorKind::TimedOut));
            }
        }
        let sent = offset.get() as usize;
        assert!(sent > 0 && sent < data.len(), "{name}: {sent}");
        ours.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).unwrap();
        assert!(received == data[..sent], "{name}");
    }
}

/// FAULTS rows 11 and 16.
#[test]
fn fault_11_a_peer_that_goes_ends_it() {
    let (file, data) = file(2_000_000);
    for taken in [0, 1, 100_000] {
        let (ours, mut theirs) = unix_pair();
        let (tcp, mut tcp_peer) = pair();
        let peer = std::thread::spawn(move || {
            theirs.read_exact(&mut vec![0; taken]).unwrap();
            drop(theirs);
            tcp_peer.read_exact(&mut vec![0; taken]).unwrap();
            socket2::SockRef::from(&tcp_peer).set_linger(Some(Duration::ZERO)).unwrap();
        });
        let gone =
            |error| matches!(error, Some(ErrorKind::BrokenPipe | ErrorKind::ConnectionReset));
        let mut offset = 0;
        assert!(gone(kind(soon(|| sendfile(&ours, &file, &mut offset, u64::MAX)))));
        assert!(offset >= taken as u64 && offset < data.len() as u64);
        let mut whole = 0;
        while !gone(kind(soon(|| sendfile(&tcp, &file, &mut 0, u64::MAX)))) {
            whole += 1;
            assert!(whole < 100, "the peer has gone");
        }
        peer.join().unwrap();
    }
}

/// FAULTS row 2.
#[test]
fn fault_02_a_close_wakes_who_waits() {
    let (file, _) = file(2_000_000);
    let (ours, _theirs) = unix_pair();
    let ours = Rc::new(ours);
    let waiter = spawn({
        let (ours, file) = (Rc::clone(&ours), file.try_clone().unwrap());
        move || sendfile(&*ours, &file, &mut 0, u64::MAX)
    });
    let_all_park();
    ours.close();
    yield_now();
    assert!(waiter.is_finished());
    assert_eq!(kind(waiter.wait().unwrap()), Some(ErrorKind::NotConnected));
    assert_eq!(kind(sendfile(&*ours, &file, &mut 0, 1)), Some(ErrorKind::NotConnected));
}

/// FAULTS row 12: the system's call would raise it, and a file is sent without that call then.
#[test]
fn fault_12_a_dead_peer_is_an_error_even_where_sigpipe_kills() {
    util::alone("fault_12_a_dead_peer_is_an_error_even_where_sigpipe_kills", || {
        // SAFETY: the default action needs no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let (file, data) = file(1_000_000);
        for (socket, peer) in connections() {
            let mut offset = 100;
            let sent = soon(|| socket.send(&file, &mut offset, u64::MAX)).unwrap();
            assert_eq!((sent, offset), (999_900, 1_000_000));
            drop(socket);
            assert!(peer.join().unwrap() == data[100..]);
        }
        let ((unix, unix_peer), (tcp, tcp_peer)) = (unix_pair(), pair());
        drop((unix_peer, tcp_peer));
        assert_eq!(kind(sendfile(&unix, &file, &mut 0, 1)), Some(ErrorKind::BrokenPipe));
        let send = |_| kind(soon(|| sendfile(&tcp, &file, &mut 0, 1000)));
        let error = (0..1000).find_map(send).expect("it has gone");
        assert!(matches!(error, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset));
        assert_eq!(send(0), Some(ErrorKind::BrokenPipe));
    });
}

/// FAULTS row 49: what is no file with places in it is an error, and one of the system's is sent.
#[test]
fn fault_49_what_has_no_places_is_an_error_and_odd_files_are_sent() {
    let (ours, mut theirs) = unix_pair();
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(b"from a pipe").unwrap();
    let error = sendfile(&ours, &reader, &mut 0, 5).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ESPIPE));
    let other = StdSocket::pair().unwrap().0;
    assert!(sendfile(&ours, &other, &mut 0, 5).is_err());
    assert!(sendfile(&ours, File::open("/tmp").unwrap(), &mut 0, 5).is_err());
    let write_only = File::options().write(true).open("/dev/null").unwrap();
    assert!(sendfile(&ours, &write_only, &mut 0, 5).is_err());
    let (file, _) = file(10);
    assert_eq!(
        kind(sendfile(&ours, &file, &mut u64::MAX.clone(), 5)),
        Some(ErrorKind::InvalidInput)
    );
    for odd in ["/proc/self/status", "/sys/kernel/mm/transparent_hugepage/enabled"] {
        let Ok(file) = File::open(odd) else { continue };
        let sent = soon(|| sendfile(&ours, &file, &mut 0, 10)).unwrap();
        let mut received = vec![0; sent as usize];
        theirs.read_exact(&mut received).unwrap();
        assert!(std::fs::read(odd).unwrap().starts_with(&received) && sent > 0, "{odd}");
    }
    theirs.set_nonblocking(true).unwrap();
    assert_eq!(kind(theirs.read(&mut [0])), Some(ErrorKind::WouldBlock), "nothing of the rest");
}

type StdSocket = std::os::unix::net::UnixStream;

#[test]
fn it_takes_whatever_a_copy_takes() {
    fn greet(socket: &impl GreenWrite, file: &File) -> io::Result<u64> {
        sendfile(socket, file, &mut 0, u64::MAX)
    }
    let (file, data) = file(100);
    let (ours, mut theirs) = pair();
    assert_eq!(greet(&ours, &file).unwrap(), 100);
    let mut received = [0; 100];
    theirs.read_exact(&mut received).unwrap();
    assert_eq!(received, data[..]);
}

/// Under a server it is a write like any other: it counts, and is told what the server has done.
#[test]
fn in_a_server_it_is_told_when_the_connection_has_no_more_time() {
    let (file, _) = file(64 << 20);
    let told = Rc::new(Cell::new(None));
    let server = Server::new(listen("127.0.0.1:0").unwrap(), {
        let told = Rc::clone(&told);
        move |client, _| {
            told.set(kind(sendfile(&client, &file, &mut 0, u64::MAX)));
            Ok(())
        }
    });
    let server = server.idle_timeout(Duration::from_millis(40)).start().unwrap();
    // It does not read, so that nothing passes any more.
    let client = std::net::TcpStream::connect(server.local_addr()).unwrap();
    soon(|| {
        while told.get().is_none() {
            sleep(Duration::from_millis(1));
        }
    });
    assert_eq!(told.get(), Some(ErrorKind::TimedOut));
    drop(client);
}

#[test]
fn a_stream_that_does_not_block_says_so() {
    let (file, data) = file(2_000_000);
    let (ours, mut theirs) = unix_pair();
    ours.set_nonblocking(true).unwrap();
    let mut offset = 0;
    let error = kind(sendfile(&ours, &file, &mut offset, u64::MAX));
    assert_eq!(error, Some(ErrorKind::WouldBlock));
    let mut received = vec![0; offset as usize];
    theirs.read_exact(&mut received).unwrap();
    assert!(offset > 0 && received == data[..offset as usize]);
}

util::and_all_of_them_again!();
