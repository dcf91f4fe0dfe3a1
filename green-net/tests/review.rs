//! Mistakes that were found by reading: each test tells the story of one.

use std::io::{self, IoSliceMut, Read, Write};
use std::rc::Rc;

use evy_green_net::{connect, listen, serve};
use evy_runtime::{sleep, spawn, wait_readable, yield_now};

/// The registration of the foreign wait was in the way, and the read failed.
#[test]
fn a_socket_can_be_read_after_somebody_has_waited_for_its_descriptor() {
    let listener = listen("127.0.0.1:0").unwrap();
    let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    let stream = Rc::new(stream);
    // It parks for writing first, so that the one who waits does not stand in the reader's line.
    let waiter = spawn({
        let stream = Rc::clone(&stream);
        move || wait_readable(&*stream, None)
    });
    yield_now();
    let writer = spawn({
        let stream = Rc::clone(&stream);
        // More than the buffers hold: it has to wait, and so registers the socket.
        move || (&*stream).write_all(&vec![b'x'; 32 << 20])
    });
    yield_now();
    peer.write_all(b"hello").unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).map(|_| all.len())
    });
    waiter.wait().unwrap().unwrap();
    let mut text = [0; 5];
    (&*stream).read_exact(&mut text).unwrap();
    assert_eq!(&text, b"hello");
    writer.wait().unwrap().unwrap();
    drop(stream);
    assert_eq!(reader.join().unwrap().unwrap(), 32 << 20);
}

/// It waited for data that it would not have taken.
#[test]
fn reading_into_nothing_returns_at_once_as_with_std() {
    let listener = listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let silent = spawn(move || connect(address));
    let (mut stream, _) = listener.accept().unwrap();
    let _silent = silent.wait().unwrap().unwrap();
    for _ in 0..2 {
        assert_eq!(stream.read(&mut []).unwrap(), 0);
        assert_eq!(stream.peek(&mut []).unwrap(), 0);
        assert_eq!(stream.read_vectored(&mut [IoSliceMut::new(&mut [])]).unwrap(), 0);
        // The second time the socket is registered.
        stream.set_read_timeout(Some(std::time::Duration::from_millis(1))).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}

/// The second error was dropped while the first one's place was borrowed.
#[test]
fn errors_of_handlers_whose_destructors_park_harm_nobody() {
    #[derive(Debug)]
    struct Parks;
    impl std::fmt::Display for Parks {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("parks in its destructor")
        }
    }
    impl std::error::Error for Parks {}
    impl Drop for Parks {
        fn drop(&mut self) {
            yield_now();
        }
    }
    let listener = listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let clients: Vec<_> = (0..4).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let served = Rc::new(std::cell::Cell::new(0));
    let serving = spawn({
        let served = Rc::clone(&served);
        move || {
            serve(listener, move |mut client, _| {
                served.set(served.get() + 1);
                let _ = client.read(&mut [0]);
                Err(io::Error::other(Parks))
            })
        }
    });
    while served.get() < 4 {
        sleep(std::time::Duration::from_millis(1));
    }
    drop(clients);
    assert_eq!(serving.wait().unwrap().unwrap_err().to_string(), "parks in its destructor");
    for _ in 0..10 {
        yield_now();
    }
}
