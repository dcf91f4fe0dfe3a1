//! Green threads that are killed, or whose time is over, while they wait for a socket.

mod util;

use std::io::{Read, Write};
use std::rc::Rc;
use std::time::Duration;

use evy_green_net::{TcpListener, TcpStream, connect};
use evy_runtime::{Died, GreenThread, spawn, timeout};
use util::{let_all_park, pair, soon};

/// Ends a green thread that waits, in one of the ways there are.
type End = fn(Wait) -> ();
type Wait = Box<dyn FnOnce()>;

const ENDS: [(&str, End); 3] = [
    ("killed from outside", |wait| {
        let thread: GreenThread<()> = spawn(wait);
        let_all_park();
        assert!(!thread.is_finished());
        thread.kill();
        assert!(matches!(thread.wait(), Err(Died::Killed)));
    }),
    ("killed with its data there", |wait| {
        let thread = spawn(wait);
        let_all_park();
        let id = thread.id();
        let killer = spawn(move || evy_runtime::kill(id));
        assert!(killer.wait().unwrap());
        assert!(thread.is_finished());
    }),
    ("timed out", |wait| {
        assert!(soon(|| timeout(Duration::from_millis(1), wait)).is_err());
    }),
];

#[test]
fn a_reader_that_ends_leaves_the_data_to_the_next() {
    for (name, end) in ENDS {
        let (ours, mut theirs) = pair();
        let ours = Rc::new(ours);
        let dropped = Rc::downgrade(&ours);
        end({
            let ours = Rc::clone(&ours);
            Box::new(move || drop((&*ours).read(&mut [0; 8])))
        });
        assert_eq!(dropped.strong_count(), 1, "{name}: its destructors have run");
        theirs.write_all(b"data").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(soon(|| (&*ours).read(&mut buffer)).unwrap(), 4, "{name}");
        assert_eq!(&buffer[..4], b"data");
    }
}

#[test]
fn a_writer_that_ends_leaves_the_room_to_the_next() {
    for (name, end) in ENDS {
        let (ours, mut theirs) = pair();
        let ours = Rc::new(ours);
        end({
            let ours = Rc::clone(&ours);
            Box::new(move || (&*ours).write_all(&vec![1; 64 << 20]).unwrap())
        });
        let reader = std::thread::spawn(move || {
            let mut last = 0;
            let mut buffer = vec![0; 1 << 16];
            loop {
                match theirs.read(&mut buffer).unwrap() {
                    0 => return last,
                    count => last = buffer[count - 1],
                }
            }
        });
        soon(|| (&*ours).write_all(&[2])).unwrap();
        drop(ours);
        assert_eq!(reader.join().unwrap(), 2, "{name}");
    }
}

#[test]
fn an_acceptor_that_ends_leaves_the_connection_to_the_next() {
    for (name, end) in ENDS {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        end({
            let listener = Rc::clone(&listener);
            Box::new(move || drop(listener.accept()))
        });
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_, from) = soon(|| listener.accept()).unwrap();
        assert_eq!(from, client.local_addr().unwrap(), "{name}");
    }
}

#[test]
fn one_that_ends_while_it_connects_leaves_nothing() {
    for (_, end) in ENDS {
        let hole = util::blackhole();
        let address = hole.address;
        end(Box::new(move || drop(connect(address))));
        drop(hole);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        soon(|| connect(listener.local_addr().unwrap())).unwrap();
    }
}

/// The event that woke it is not lost with it.
#[test]
fn a_reader_that_is_killed_between_its_wake_and_its_read_leaves_the_data() {
    let (ours, mut theirs) = pair();
    let ours = Rc::new(ours);
    let victim = spawn({
        let ours = Rc::clone(&ours);
        move || (&*ours).read(&mut [0; 8])
    });
    let (signal, mut give_signal) = pair();
    let killer = spawn(move || {
        (&signal).read_exact(&mut [0]).unwrap();
        victim.kill();
        assert!(matches!(victim.wait(), Err(Died::Killed)));
    });
    let_all_park();
    // One turn of the hub wakes both, in the order in which things happened.
    give_signal.write_all(b"x").unwrap();
    theirs.write_all(b"data").unwrap();
    soon(|| killer.wait()).unwrap();
    assert_eq!(soon(|| (&*ours).read(&mut [0; 8])).unwrap(), 4);
}

/// A stream that dies with the green thread that waits for it is closed.
#[test]
fn the_streams_of_one_that_is_killed_are_closed() {
    let (ours, mut theirs) = pair();
    let owner = spawn(move || (&ours).read(&mut [0; 8]));
    let_all_park();
    owner.kill();
    assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0);
}

/// FAULTS row 4, as far as sockets go.
#[test]
fn fault_04_the_streams_of_one_that_panics_are_closed() {
    let (ours, mut theirs) = pair();
    let owner = spawn(move || {
        (&ours).read_exact(&mut [0; 1]).unwrap();
        panic!("on purpose");
    });
    let_all_park();
    theirs.write_all(b"x").unwrap();
    assert!(matches!(soon(|| owner.wait()), Err(Died::Panicked(_))));
    assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0);
}

/// FAULTS row 6: a destructor may write to a socket that takes it at once, and is told `WouldBlock`
/// where it would have to park; the others never notice.
#[test]
fn fault_06_sockets_in_a_destructor_during_a_kill() {
    struct SaysGoodbye(TcpStream);

    impl Drop for SaysGoodbye {
        fn drop(&mut self) {
            (&self.0).write_all(b"goodbye").unwrap();
            let error = (&self.0).read(&mut [0; 8]).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        }
    }

    let (ours, mut theirs) = pair();
    let owner = spawn(move || {
        let ours = SaysGoodbye(ours);
        (&ours.0).read(&mut [0; 8]).map(drop)
    });
    let_all_park();
    owner.kill();
    assert!(matches!(owner.wait(), Err(Died::Killed)));
    let mut text = String::new();
    theirs.read_to_string(&mut text).unwrap();
    assert_eq!(text, "goodbye");
}

util::and_all_of_them_again!();
