//! Green sockets behind tokio's `AsyncRead` and `AsyncWrite`, against real peers, without tokio's runtime.

mod util;

use std::cell::Cell;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use evy_green_net::adapt::Async;
use evy_green_net::{TcpListener, TcpStream, connect};
use evy_runtime::{Alarm, Died, block_on, join_all, sleep, spawn, timeout, unblock, yield_now};
use futures_util::future::{Either, join, select};
use futures_util::sink::SinkExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf,
};
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use util::{FOR_EVER, green_pair, pair, soon, wait_until};

util::and_all_of_them_again!();

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n % 251) as u8).collect()
}

/// A connection: our end for futures, and the peer's, which is std's and blocks.
fn async_pair() -> (Async<TcpStream>, std::net::TcpStream) {
    let (ours, peer) = pair();
    (Async::new(ours), peer)
}

/// Sends back what comes, on an OS thread of its own, until the end.
fn echo_on_os_thread(peer: std::net::TcpStream) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        let count = io::copy(&mut &peer, &mut &peer).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        count
    })
}

#[test]
fn megabytes_come_back_byte_by_byte_with_tiny_buffers() {
    for buffer in [1, 7, 1500] {
        let (mut stream, peer) = async_pair();
        let echo = echo_on_os_thread(peer);
        let bytes = bytes(if buffer == 1 { 300_000 } else { 3 << 20 });
        // It writes ahead by more than the system holds: the two directions at once, in one future.
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        let (mut received, mut piece) = (Vec::new(), vec![0; buffer]);
        soon(|| {
            block_on(join(
                async {
                    for piece in bytes.chunks(3001) {
                        writer.write_all(piece).await.unwrap();
                    }
                    writer.shutdown().await.unwrap();
                },
                async {
                    loop {
                        match reader.read(&mut piece).await.unwrap() {
                            0 => break,
                            count => received.extend_from_slice(&piece[..count]),
                        }
                    }
                },
            ))
        });
        assert!(received == bytes);
        assert_eq!(echo.join().unwrap(), bytes.len() as u64);
    }
}

#[test]
fn requests_and_answers_alternate_in_one_future() {
    let (mut stream, peer) = async_pair();
    let echo = echo_on_os_thread(peer);
    let bytes = bytes(300_000);
    soon(|| {
        block_on(async {
            let mut answer = Vec::new();
            for request in bytes.chunks(3001) {
                stream.write_all(request).await.unwrap();
                answer.resize(request.len(), 0);
                stream.read_exact(&mut answer).await.unwrap();
                assert!(answer == request);
            }
            stream.shutdown().await.unwrap();
            assert_eq!(stream.read(&mut answer).await.unwrap(), 0);
        })
    });
    assert_eq!(echo.join().unwrap(), bytes.len() as u64);
}

/// Two futures that each have a waker of their own: the read and the write half.
#[test]
fn two_futures_have_a_direction_each() {
    let (stream, peer) = async_pair();
    let echo = echo_on_os_thread(peer);
    let bytes = Rc::new(bytes(3 << 20));
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut halves = FuturesUnordered::<Pin<Box<dyn Future<Output = ()>>>>::new();
    let sent = Rc::clone(&bytes);
    halves.push(Box::pin(async move {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    }));
    let expected = Rc::clone(&bytes);
    halves.push(Box::pin(async move {
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.unwrap();
        assert!(received == *expected);
    }));
    soon(|| block_on(async { while halves.next().await.is_some() {} }));
    assert_eq!(echo.join().unwrap(), bytes.len() as u64);
}

/// One green thread serves them all, each by a future that is polled when it was told.
#[test]
fn a_thousand_connections_in_one_green_thread() {
    const CLIENTS: usize = 1000;
    const ROUNDS: usize = 10;
    util::limit_descriptors(4096);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            spawn(move || {
                let mut stream = connect(address).unwrap();
                let mut answer = [0; 16];
                for round in 0..ROUNDS {
                    let request = format!("{n:8}{round:8}");
                    stream.write_all(request.as_bytes()).unwrap();
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(answer, request.as_bytes());
                }
            })
        })
        .collect();
    let server = spawn(move || {
        let connections = FuturesUnordered::new();
        for _ in 0..CLIENTS {
            let mut stream = Async::new(listener.accept().unwrap().0);
            connections.push(async move {
                let (mut buffer, mut total) = ([0; 64], 0);
                loop {
                    let count = stream.read(&mut buffer).await.unwrap();
                    if count == 0 {
                        return total;
                    }
                    stream.write_all(&buffer[..count]).await.unwrap();
                    total += count;
                }
            });
        }
        block_on(connections.fold(0, async |sum, count| sum + count))
    });
    soon(|| join_all(clients)).into_iter().for_each(|client| client.unwrap());
    assert_eq!(soon(|| server.wait()).unwrap(), CLIENTS * ROUNDS * 16);
}

#[test]
fn a_shutdown_ends_one_direction() {
    let (mut stream, mut peer) = async_pair();
    let other = std::thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        peer.write_all(b"and the answer").unwrap();
        all
    });
    let answer = soon(|| {
        block_on(async {
            stream.write_all(b"the question").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            // Once more, and now that the peer is gone.
            stream.shutdown().await.unwrap();
            let error = stream.write_all(b"too late").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            answer
        })
    });
    assert_eq!(answer, "and the answer");
    assert_eq!(other.join().unwrap(), b"the question");
}

/// FAULTS row 11.
#[test]
fn fault_11_a_reset_ends_a_pending_read() {
    let (mut stream, peer) = async_pair();
    let reader = spawn(move || {
        let read = block_on(stream.read(&mut [0; 8]));
        (read.map_err(|error| error.kind()), stream)
    });
    util::let_all_park();
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    let (read, mut stream) = soon(|| reader.wait()).unwrap();
    assert_eq!(read, Err(ErrorKind::ConnectionReset));
    let write = block_on(stream.write_all(b"x")).map_err(|error| error.kind());
    assert_eq!(write, Err(ErrorKind::BrokenPipe));
    block_on(stream.shutdown()).unwrap();
}

/// FAULTS row 11: while a write waits for room.
#[test]
fn fault_11_a_reset_ends_a_pending_write() {
    let (mut stream, peer) = async_pair();
    let writer = spawn(move || {
        let bytes = vec![0; 64 << 20];
        block_on(stream.write_all(&bytes)).map_err(|error| error.kind())
    });
    util::let_all_park();
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    let write = soon(|| writer.wait()).unwrap();
    assert!(matches!(write, Err(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)), "{write:?}");
}

/// FAULTS row 2: also where the future is one of many, with a waker of its own.
#[test]
fn fault_02_close_ends_what_waits_in_both_directions() {
    for with_own_wakers in [false, true] {
        let (stream, _peer) = pair();
        let stream = Arc::new(stream);
        let (mut reader, mut writer) =
            (Async::new(Arc::clone(&stream)), Async::new(Arc::clone(&stream)));
        let waiter = spawn(move || {
            let bytes = vec![0; 64 << 20];
            let read = async { reader.read(&mut [0; 8]).await.map(drop).unwrap_err().kind() };
            let write = async { writer.write_all(&bytes).await.unwrap_err().kind() };
            if !with_own_wakers {
                return block_on(join(read, write));
            }
            let mut both = FuturesUnordered::<Pin<Box<dyn Future<Output = ErrorKind> + '_>>>::new();
            both.push(Box::pin(read));
            both.push(Box::pin(write));
            block_on(async { (both.next().await.unwrap(), both.next().await.unwrap()) })
        });
        util::let_all_park();
        assert!(!waiter.is_finished());
        stream.close();
        let expected = (ErrorKind::NotConnected, ErrorKind::NotConnected);
        assert_eq!(soon(|| waiter.wait()).unwrap(), expected);
        let error = block_on(Async::new(&*stream).read(&mut [0; 8])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
    }
}

/// FAULTS row 3: two futures of two handles; one waits, the other is told so.
#[test]
fn fault_03_two_futures_that_read_one_socket() {
    let (stream, mut peer) = pair();
    let stream = Arc::new(stream);
    let (mut first, mut second) =
        (Async::new(Arc::clone(&stream)), Async::new(Arc::clone(&stream)));
    let (mut here, mut there) = ([0; 8], [0; 8]);
    let (first, second) = soon(|| {
        block_on(join(first.read(&mut here), async {
            let second = second.read(&mut there).await;
            peer.write_all(b"hello").unwrap();
            second
        }))
    });
    let error = second.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    assert!(error.to_string().contains("two green threads read from one socket"), "{error}");
    assert_eq!(first.unwrap(), 5);
}

/// FAULTS row 6: what a destructor sends while its green thread unwinds goes, if there is room.
#[test]
fn fault_06_a_destructor_that_uses_futures_during_an_unwind() {
    struct Goodbye(Async<TcpStream>, Rc<Cell<Option<ErrorKind>>>);

    impl Drop for Goodbye {
        fn drop(&mut self) {
            block_on(async {
                self.0.write_all(b"goodbye").await.unwrap();
                let error = self.0.read(&mut [0; 8]).await.unwrap_err();
                self.1.set(Some(error.kind()));
            });
        }
    }

    let (stream, mut peer) = async_pair();
    let seen = Rc::new(Cell::new(None));
    let goodbye = Goodbye(stream, Rc::clone(&seen));
    let unlucky = spawn(move || {
        let _goodbye = goodbye;
        panic!("but not without a word");
    });
    assert!(matches!(soon(|| unlucky.wait()), Err(Died::Panicked(_))));
    assert_eq!(seen.get(), Some(ErrorKind::WouldBlock));
    let mut text = String::new();
    peer.read_to_string(&mut text).unwrap();
    assert_eq!(text, "goodbye");
}

/// FAULTS row 7: the future and its connection are gone when the kill returns.
#[test]
fn fault_07_a_kill_closes_the_connections_of_a_future() {
    let (mut stream, mut peer) = async_pair();
    let waiter = spawn(move || block_on(stream.read(&mut [0; 8])));
    util::let_all_park();
    waiter.kill();
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
    assert!(matches!(waiter.wait(), Err(Died::Killed)));
}

/// FAULTS row 15: peers that never stop sending.
#[test]
fn fault_15_flooded_connections_leave_time_for_the_others() {
    let floods: Vec<_> = (0..3).map(|_| async_pair()).collect();
    let (streams, peers): (Vec<_>, Vec<_>) = floods.into_iter().unzip();
    let senders: Vec<_> = peers
        .into_iter()
        .map(|mut peer| {
            std::thread::spawn(move || {
                let bytes = vec![0; 1 << 16];
                while peer.write_all(&bytes).is_ok() {}
            })
        })
        .collect();
    let total = Rc::new(Cell::new(0));
    let drain = spawn({
        let total = Rc::clone(&total);
        move || {
            let mut connections = FuturesUnordered::new();
            for mut stream in streams {
                let total = Rc::clone(&total);
                connections.push(async move {
                    let mut buffer = [0; 512];
                    loop {
                        total.set(total.get() + stream.read(&mut buffer).await.unwrap());
                    }
                });
            }
            block_on(async { while connections.next().await.is_some() {} })
        }
    });
    wait_until(|| total.get() > 1 << 20);
    let mut worst = Duration::ZERO;
    for _ in 0..50 {
        let start = Instant::now();
        sleep(Duration::from_millis(1));
        worst = worst.max(start.elapsed());
    }
    drain.kill();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    // It is a matter of 100 µs; a busy machine may take the processor away for much longer.
    assert!(worst < Duration::from_secs(1), "{worst:?}");
}

/// FAULTS row 23: a deadline around a read; what came with it is there for the next one.
#[test]
fn fault_23_a_read_that_is_given_up_loses_nothing() {
    let (mut stream, mut peer) = async_pair();
    let mut received = Vec::new();
    for n in 0..200_u8 {
        let mut buffer = [0; 8];
        let alarm = Alarm::after(Duration::from_micros(50));
        let read = std::pin::pin!(stream.read(&mut buffer));
        let start = Instant::now();
        let outcome = block_on(async {
            let mut sent = false;
            let both = select(read, alarm);
            let mut both = std::pin::pin!(both);
            std::future::poll_fn(|context| {
                let poll = both.as_mut().poll(context);
                if !std::mem::replace(&mut sent, true) {
                    peer.write_all(&[n]).unwrap();
                    while start.elapsed() < Duration::from_micros(u64::from(n)) {}
                }
                poll
            })
            .await
        });
        let count = match outcome {
            Either::Left((count, _)) => count.unwrap(),
            Either::Right(((), _read)) => 0,
        };
        received.extend_from_slice(&buffer[..count]);
        if count == 0 {
            let count = soon(|| block_on(stream.read(&mut buffer))).unwrap();
            received.extend_from_slice(&buffer[..count]);
        }
    }
    assert_eq!(received, (0..200).collect::<Vec<u8>>());
}

/// FAULTS row 50: urgent data stops a read at its mark, and the end may come with the last byte; a
/// short read must not count as the last one there.
#[test]
fn fault_50_nothing_is_left_behind_by_a_short_read() {
    for _ in 0..100 {
        let (mut stream, peer) = async_pair();
        let reader = spawn(move || {
            let mut all = Vec::new();
            block_on(async {
                let mut buffer = [0; 64];
                loop {
                    match stream.read(&mut buffer).await.unwrap() {
                        0 => return all,
                        count => all.extend_from_slice(&buffer[..count]),
                    }
                }
            })
        });
        yield_now();
        let socket = socket2::SockRef::from(&peer);
        socket.send(b"before ").unwrap();
        socket.send_out_of_band(b"!").unwrap();
        socket.send(b"behind").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(soon(|| reader.wait()).unwrap(), b"before behind");
    }
}

#[test]
fn a_buffer_that_is_partly_filled_gets_the_rest() {
    let (mut stream, mut peer) = async_pair();
    peer.write_all(b"hello").unwrap();
    let mut memory = [MaybeUninit::uninit(); 8];
    let mut buffer = ReadBuf::uninit(&mut memory);
    buffer.put_slice(b"> ");
    let mut poll = |buffer: &mut ReadBuf<'_>| {
        soon(|| {
            block_on(std::future::poll_fn(|context| {
                AsyncRead::poll_read(Pin::new(&mut stream), context, buffer)
            }))
        })
    };
    poll(&mut buffer).unwrap();
    assert_eq!((buffer.filled(), buffer.remaining()), (&b"> hello"[..], 1));
    peer.write_all(b"!?").unwrap();
    poll(&mut buffer).unwrap();
    assert_eq!(buffer.filled(), b"> hello!");
    // There is no room: nothing is read, and that at once.
    poll(&mut buffer).unwrap();
    buffer.clear();
    poll(&mut buffer).unwrap();
    assert_eq!((buffer.filled(), buffer.initialized().len()), (&b"?"[..], 8));
}

#[test]
fn several_buffers_are_written_in_one_call() {
    let (mut stream, mut peer) = async_pair();
    assert!(stream.is_write_vectored());
    let parts = [IoSlice::new(b"hello"), IoSlice::new(b""), IoSlice::new(b", world")];
    let mut context = Context::from_waker(Waker::noop());
    let poll = AsyncWrite::poll_write_vectored(Pin::new(&mut stream), &mut context, &parts);
    assert!(matches!(poll, Poll::Ready(Ok(12))), "{poll:?}");
    let nothing = [IoSlice::new(b""), IoSlice::new(b"")];
    let poll = AsyncWrite::poll_write_vectored(Pin::new(&mut stream), &mut context, &nothing);
    assert!(matches!(poll, Poll::Ready(Ok(0))), "{poll:?}");
    let poll = AsyncWrite::poll_write(Pin::new(&mut stream), &mut context, b"");
    assert!(matches!(poll, Poll::Ready(Ok(0))), "{poll:?}");
    drop(stream);
    let mut text = String::new();
    peer.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello, world");
}

/// A proxy by tokio's own helpers.
#[test]
fn copy_bidirectional_makes_a_proxy() {
    let (client, inner) = green_pair();
    let (outer, server) = green_pair();
    let proxy = spawn(move || {
        let (mut inner, mut outer) = (Async::new(inner), Async::new(outer));
        block_on(tokio::io::copy_bidirectional(&mut inner, &mut outer))
    });
    let echo = spawn(move || {
        let mut server = Async::new(server);
        block_on(async {
            let (mut reader, mut writer) = tokio::io::split(&mut server);
            let count = tokio::io::copy(&mut reader, &mut writer).await?;
            writer.shutdown().await?;
            io::Result::Ok(count)
        })
    });
    let bytes = bytes(2 << 20);
    let sent = bytes.clone();
    let client = Arc::new(client);
    let writer = spawn({
        let client = Arc::clone(&client);
        move || {
            (&*client).write_all(&sent).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        }
    });
    let mut received = Vec::new();
    soon(|| (&*client).read_to_end(&mut received)).unwrap();
    assert!(received == bytes);
    let count = bytes.len() as u64;
    assert_eq!(soon(|| proxy.wait()).unwrap().unwrap(), (count, count));
    assert_eq!(echo.wait().unwrap().unwrap(), count);
    writer.wait().unwrap();
}

/// tokio-util's frames, and buffered lines.
#[test]
fn frames_and_lines_go_over_a_socket() {
    let (ours, theirs) = green_pair();
    let server = spawn(move || {
        let mut frames = Framed::new(Async::new(theirs), LengthDelimitedCodec::new());
        block_on(async {
            while let Some(frame) = frames.next().await {
                frames.send(frame.unwrap().freeze()).await.unwrap();
            }
        });
    });
    let mut frames = Framed::new(Async::new(ours), LengthDelimitedCodec::new());
    soon(|| {
        block_on(async {
            for size in [0, 1, 100, 100_000] {
                let frame = bytes::Bytes::from(bytes(size));
                frames.send(frame.clone()).await.unwrap();
                assert_eq!(frames.next().await.unwrap().unwrap(), frame);
            }
        })
    });
    drop(frames);
    soon(|| server.wait()).unwrap();

    let (stream, mut peer) = async_pair();
    peer.write_all(b"one\ntwo\nthree").unwrap();
    drop(peer);
    let mut lines = BufReader::new(stream).lines();
    let mut seen = Vec::new();
    soon(|| {
        block_on(async {
            while let Some(line) = lines.next_line().await.unwrap() {
                seen.push(line);
            }
        })
    });
    assert_eq!(seen, ["one", "two", "three"]);
}

/// Crates that want a `Send` stream get one; it may also go to another hub, after it has waited here.
#[test]
fn a_socket_for_futures_may_move_to_another_os_thread() {
    fn is_send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    is_send_and_sync::<Async<TcpStream>>();
    is_send_and_sync::<Async<Arc<TcpStream>>>();

    let (mut stream, mut peer) = async_pair();
    peer.write_all(b"here").unwrap();
    let mut buffer = [0; 8];
    assert_eq!(soon(|| block_on(stream.read(&mut buffer))).unwrap(), 4);
    let waits = timeout(Duration::from_millis(1), || block_on(stream.read(&mut buffer)));
    assert!(waits.is_err());
    let elsewhere = std::thread::spawn(move || {
        let mut buffer = [0; 8];
        let count = block_on(stream.read(&mut buffer)).unwrap();
        block_on(stream.write_all(&buffer[..count])).unwrap();
        let bytes = vec![1; 16 << 20];
        block_on(stream.write_all(&bytes)).unwrap();
    });
    sleep(Duration::from_millis(2));
    peer.set_read_timeout(Some(FOR_EVER)).unwrap();
    peer.write_all(b"there").unwrap();
    let all = unblock(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).map(|_| all)
    });
    let all = all.unwrap();
    assert_eq!(&all[..5], b"there");
    assert_eq!(all.len(), 5 + (16 << 20));
    elsewhere.join().unwrap();
}

/// The socket's timeouts are for calls that park.
#[test]
fn the_timeouts_of_the_socket_do_not_count() {
    let (stream, mut peer) = pair();
    stream.set_read_timeout(Some(Duration::from_nanos(1))).unwrap();
    let mut stream = Async::new(stream);
    let reader = spawn(move || block_on(async { stream.read(&mut [0; 8]).await }));
    sleep(Duration::from_millis(2));
    peer.write_all(b"x").unwrap();
    assert_eq!(soon(|| reader.wait()).unwrap().unwrap(), 1);
}
