//! Futures that wait for descriptors: `io::Interest`. All of these run on Linux's driver and again on the
//! portable one.

mod util;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use evy_runtime::io::{Attempt, Direction, GreenFd, Interest};
use evy_runtime::{
    Alarm, Builder, Died, block_on, sleep, spawn, timeout, unblock, wait_readable, yield_now,
};
use util::{OnDrop, Watchdog, assert_nothing_is_registered, rounds};

#[test]
fn the_same_tests_pass_on_the_portable_driver() {
    util::pass_again_on_the_portable_driver();
}

/// A descriptor for futures, and its stakes.
struct Stream {
    fd: Rc<GreenFd>,
    read: Interest,
    write: Interest,
}

/// One read, straight from the system.
fn recv(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is ours during the call.
    let count = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// One write, straight to the system.
fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the bytes live through the call.
    let count = unsafe {
        libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL)
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

impl Stream {
    fn new(fd: impl Into<std::os::fd::OwnedFd>) -> Self {
        let fd = Rc::new(GreenFd::new(fd.into()));
        Self { fd, read: Interest::new(), write: Interest::new() }
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.read.poll_call(context, &self.fd, Direction::Read, |fd| recv(fd, buffer))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write.poll_call(context, &self.fd, Direction::Write, |fd| send(fd, bytes))
    }

    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| self.poll_read(context, buffer)).await
    }

    async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = poll_fn(|context| self.poll_write(context, bytes)).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Reads in the way that parks.
    fn blocking_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fd.call(Attempt::new(Direction::Read), |fd| recv(fd, buffer))
    }
}

/// Our end for futures, and the peer's, which blocks.
fn pair() -> (Stream, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Stream::new(ours), peer)
}

fn tcp_pair() -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_nodelay(true).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Stream::new(ours), peer)
}

/// A waker that counts its calls.
#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn new() -> (Arc<Self>, Waker) {
        let count = Arc::new(Self::default());
        (Arc::clone(&count), Waker::from(count))
    }

    fn calls(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Lets the hub look at the system, and everybody who is due run.
fn settle() {
    for _ in 0..3 {
        (0..10).for_each(|_| yield_now());
        sleep(Duration::from_micros(10));
    }
}

#[test]
fn a_read_waits_for_data() {
    let (mut stream, mut peer) = pair();
    let reader = spawn(move || {
        let mut buffer = [0; 8];
        let mut all = Vec::new();
        block_on(async {
            loop {
                match stream.read(&mut buffer).await {
                    Ok(0) => return Ok(all),
                    Ok(count) => all.extend_from_slice(&buffer[..count]),
                    Err(error) => return Err(error),
                }
            }
        })
    });
    for part in ["he", "llo, ", "world of futures"] {
        settle();
        peer.write_all(part.as_bytes()).unwrap();
    }
    drop(peer);
    assert_eq!(reader.wait().unwrap().unwrap(), b"hello, world of futures");
    assert_nothing_is_registered();
}

#[test]
fn a_write_waits_for_room() {
    let (mut stream, mut peer) = pair();
    let bytes: Vec<u8> = (0..1 << 20).map(|n| (n % 251) as u8).collect();
    let sent = bytes.clone();
    let writer = spawn(move || block_on(stream.write_all(&sent)));
    settle();
    assert!(!writer.is_finished());
    let mut received = vec![0; bytes.len()];
    let received = unblock(move || peer.read_exact(&mut received).map(|()| received)).unwrap();
    assert!(received == bytes);
    writer.wait().unwrap().unwrap();
    assert_nothing_is_registered();
}

/// The waits of both directions in one future, and a deadline: "several descriptors, a deadline and a
/// waker in one wait".
#[test]
fn one_future_waits_for_several_descriptors_and_a_deadline() {
    let (mut first, mut first_peer) = pair();
    let (mut second, mut second_peer) = pair();
    let either = spawn(move || {
        let mut deadline = Alarm::after(Duration::from_millis(20));
        let (mut seen, mut buffer) = (Vec::new(), [0; 8]);
        block_on(poll_fn(|context| {
            for (name, stream) in [("first", &mut first), ("second", &mut second)] {
                while let Poll::Ready(result) = stream.poll_read(context, &mut buffer) {
                    seen.push((name, result.unwrap()));
                }
            }
            let deadline = Future::poll(pin!(&mut deadline), context);
            deadline.map(|()| std::mem::take(&mut seen))
        }))
    });
    settle();
    second_peer.write_all(b"12").unwrap();
    settle();
    first_peer.write_all(b"123").unwrap();
    assert_eq!(either.wait().unwrap(), [("second", 2), ("first", 3)]);
    assert_nothing_is_registered();
}

#[test]
fn one_future_reads_and_writes_at_once() {
    let (mut stream, peer) = pair();
    let bytes = vec![7; 1 << 20];
    let echo = std::thread::spawn(move || {
        let (mut reader, mut writer) = (peer.try_clone().unwrap(), peer);
        io::copy(&mut reader, &mut writer).unwrap()
    });
    let (mut sent, mut received, mut buffer) = (0, 0, vec![0; 8192]);
    block_on(poll_fn(|context| {
        while sent < bytes.len()
            && let Poll::Ready(count) = stream.poll_write(context, &bytes[sent..])
        {
            sent += count.unwrap();
        }
        while received < bytes.len() {
            match stream.poll_read(context, &mut buffer) {
                Poll::Ready(count) => received += count.unwrap(),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }));
    assert_eq!((sent, received), (bytes.len(), bytes.len()));
    drop(stream);
    assert_eq!(echo.join().unwrap(), 1 << 20);
    assert_nothing_is_registered();
}

/// FAULTS row 3.
#[test]
fn fault_03_a_future_and_a_green_thread_that_read_one_descriptor_are_both_named() {
    // The future was first.
    let (mut stream, mut peer) = pair();
    let fd = Rc::clone(&stream.fd);
    let future = Builder::new()
        .name("future")
        .spawn(move || block_on(async { stream.read(&mut [0; 8]).await }));
    let future = future.unwrap();
    settle();
    let second = Builder::new()
        .name("blocking")
        .spawn(move || fd.call(Attempt::new(Direction::Read), |fd| recv(fd, &mut [0; 8])));
    let error = second.unwrap().wait().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    let text = error.to_string();
    let name = format!("a future of green thread {} 'future', spawned at ", future.id());
    assert!(text.contains(&name) && text.contains("'blocking', spawned at "), "{text}");
    peer.write_all(b"x").unwrap();
    assert_eq!(future.wait().unwrap().unwrap(), 1);

    // The green thread was first.
    let (mut stream, mut peer) = pair();
    let fd = Rc::clone(&stream.fd);
    let blocking = Builder::new()
        .name("blocking")
        .spawn(move || fd.call(Attempt::new(Direction::Read), |fd| recv(fd, &mut [0; 8])));
    let blocking = blocking.unwrap();
    settle();
    let error = block_on(stream.read(&mut [0; 8])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    let text = error.to_string();
    let name = format!("green thread {} 'blocking', spawned at ", blocking.id());
    assert!(text.contains(&name) && text.contains("; a future of green thread "), "{text}");
    peer.write_all(b"x").unwrap();
    assert_eq!(blocking.wait().unwrap().unwrap(), 1);
    assert_nothing_is_registered();
}

/// FAULTS row 3: two futures, by stakes of their own.
#[test]
fn fault_03_two_futures_that_read_one_descriptor_are_both_named() {
    let (mut stream, mut peer) = pair();
    let fd = Rc::clone(&stream.fd);
    let first = spawn(move || block_on(async { stream.read(&mut [0; 8]).await }));
    settle();
    let mut interest = Interest::new();
    let mut second = |context: &mut Context<'_>| {
        interest.poll_call(context, &fd, Direction::Read, |fd| recv(fd, &mut [0; 8]))
    };
    let error = block_on(poll_fn(&mut second)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    assert_eq!(error.to_string().matches("a future of green thread ").count(), 2, "{error}");
    peer.write_all(b"x").unwrap();
    assert_eq!(first.wait().unwrap().unwrap(), 1);
    // The line is free again.
    peer.write_all(b"x").unwrap();
    assert_eq!(block_on(poll_fn(&mut second)).unwrap(), 1);
    assert_nothing_is_registered();
}

/// FAULTS row 3: who polled the holder has ended; the stake is what waits.
#[test]
fn fault_03_the_name_of_one_that_has_ended_is_not_given_to_another() {
    let (stream, _peer) = pair();
    let fd = Rc::clone(&stream.fd);
    let stream = Rc::new(RefCell::new(stream));
    let polled = spawn({
        let stream = Rc::clone(&stream);
        move || {
            let poll = |context: &mut Context<'_>| {
                Poll::Ready(stream.borrow_mut().poll_read(context, &mut [0; 8]).is_pending())
            };
            block_on(poll_fn(poll))
        }
    });
    let id = polled.id();
    assert!(polled.wait().unwrap());
    // It has the stack of the one before.
    let error = spawn(move || fd.call(Attempt::new(Direction::Read), |fd| recv(fd, &mut [0; 8])));
    let error = error.wait().unwrap().unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("a future of green thread {id}, which has ended")), "{text}");
}

/// A future that was given up leaves its stake in the line. Who gave it up may read in the blocking way.
#[test]
fn the_green_thread_that_polled_a_future_may_then_block() {
    let (mut stream, mut peer) = pair();
    let (count, waker) = Count::new();
    // Given up: polled once, and never again.
    let poll = stream.poll_read(&mut Context::from_waker(&waker), &mut [0; 8]);
    assert!(poll.is_pending());
    drop(waker);
    evy_runtime::spawn_n(move || {
        settle();
        peer.write_all(b"hello").unwrap();
    });
    assert_eq!(stream.blocking_read(&mut [0; 8]).unwrap(), 5);
    // It is told to look again, in case that somebody still wants it.
    settle();
    assert_eq!(count.calls(), 1);
    assert_nothing_is_registered();
}

/// FAULTS row 2.
#[test]
fn fault_02_a_descriptor_is_closed_under_a_future() {
    for with_own_waker in [true, false] {
        let (mut stream, _peer) = pair();
        let (fd, (count, waker)) = (Rc::clone(&stream.fd), Count::new());
        let waiter = spawn(move || {
            block_on(poll_fn(|context| {
                if with_own_waker {
                    return stream.poll_read(context, &mut [0; 8]);
                }
                stream.poll_read(&mut Context::from_waker(&waker), &mut [0; 8])
            }))
        });
        settle();
        fd.close(|fd| {
            // SAFETY: it is open.
            unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_RDWR) };
        });
        if with_own_waker {
            (0..3).for_each(|_| yield_now());
            let error = waiter.wait().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotConnected);
        } else {
            (0..3).for_each(|_| yield_now());
            assert_eq!(count.calls(), 1);
            waiter.kill();
        }
        assert_nothing_is_registered();
    }
}

/// FAULTS row 2: the peer goes.
#[test]
fn fault_02_the_peers_end_wakes_a_future() {
    let (mut stream, peer) = tcp_pair();
    let waiter = spawn(move || block_on(async { stream.read(&mut [0; 8]).await }));
    settle();
    peer.shutdown(Shutdown::Both).unwrap();
    assert_eq!(waiter.wait().unwrap().unwrap(), 0);
    assert_nothing_is_registered();
}

/// FAULTS row 1: the number of the descriptor is used again, the stake is that of the old one.
#[test]
fn fault_01_a_stake_in_a_descriptor_that_is_gone_gets_nobody_elses_events() {
    for _ in 0..rounds(300) {
        let (mut stream, peer) = pair();
        let (count, waker) = Count::new();
        let mut context = Context::from_waker(&waker);
        assert!(stream.poll_read(&mut context, &mut [0; 8]).is_pending());
        let Stream { fd, read: mut stake, .. } = stream;
        let number = BorrowedFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&*fd));
        drop((fd, peer));
        let (mut new, mut peer) = pair();
        let same_number = std::os::fd::AsFd::as_fd(&*new.fd).as_raw_fd() == number;
        let reader = spawn(move || {
            let count = block_on(new.read(&mut [0; 8]));
            (count, new)
        });
        settle();
        peer.write_all(b"12").unwrap();
        let (read, new) = reader.wait().unwrap();
        assert_eq!(read.unwrap(), 2);
        assert_eq!(count.calls(), 0, "the same number: {same_number}");
        // It moves on to the new one.
        let poll = |context: &mut Context<'_>| {
            stake.poll_call(context, &new.fd, Direction::Read, |fd| recv(fd, &mut [0; 8]))
        };
        peer.write_all(b"345").unwrap();
        assert_eq!(block_on(poll_fn(poll)).unwrap(), 3);
    }
    assert_nothing_is_registered();
}

#[test]
fn a_stake_may_go_from_one_descriptor_to_another_while_it_waits() {
    let (first, mut first_peer) = pair();
    let (second, mut second_peer) = pair();
    let (count, waker) = Count::new();
    let mut context = Context::from_waker(&waker);
    let mut stake = Interest::new();
    let mut poll = |stream: &Stream| {
        let call = |fd: BorrowedFd<'_>| recv(fd, &mut [0; 8]);
        stake.poll_call(&mut context, &stream.fd, Direction::Read, call)
    };
    assert!(poll(&first).is_pending());
    assert!(poll(&second).is_pending());
    first_peer.write_all(b"1").unwrap();
    settle();
    assert_eq!(count.calls(), 0);
    second_peer.write_all(b"22").unwrap();
    settle();
    assert_eq!(count.calls(), 1);
    assert!(matches!(poll(&second), Poll::Ready(Ok(2))));
    assert!(matches!(poll(&first), Poll::Ready(Ok(1))));
    assert_nothing_is_registered();
}

#[test]
fn only_the_waker_of_the_newest_poll_is_called_and_that_once() {
    let (mut stream, mut peer) = pair();
    let ((old, old_waker), (new, new_waker)) = (Count::new(), Count::new());
    assert!(stream.poll_read(&mut Context::from_waker(&old_waker), &mut [0; 8]).is_pending());
    assert!(stream.poll_read(&mut Context::from_waker(&new_waker), &mut [0; 8]).is_pending());
    assert_eq!((Arc::strong_count(&old), Arc::strong_count(&new)), (2, 3));
    peer.write_all(b"1").unwrap();
    settle();
    // Nobody polls it: what comes next is not told again.
    peer.write_all(b"2").unwrap();
    settle();
    assert_eq!((old.calls(), new.calls()), (0, 1));
    assert_eq!(Arc::strong_count(&new), 2);
    assert_nothing_is_registered();
}

/// A stake whose future nobody polls any more does not keep others from their events.
#[test]
fn who_waits_behind_a_future_that_was_given_up_is_told() {
    let _watchdog = Watchdog::new("who waits behind a future is not told");
    let (mut stream, mut peer) = pair();
    let (count, waker) = Count::new();
    assert!(stream.poll_read(&mut Context::from_waker(&waker), &mut [0; 8]).is_pending());
    let fd = Rc::clone(&stream.fd);
    let others: Vec<_> = (0..3)
        .map(|_| {
            let fd = Rc::clone(&fd);
            spawn(move || wait_readable(&*fd, None))
        })
        .collect();
    settle();
    assert!(!others.iter().any(|other| other.is_finished()));
    peer.write_all(b"x").unwrap();
    for other in others {
        other.wait().unwrap().unwrap();
    }
    assert_eq!(count.calls(), 1);
    assert_nothing_is_registered();
}

#[test]
fn a_stake_that_is_dropped_while_it_waits_leaves_nothing_behind() {
    let (mut stream, _peer) = pair();
    let (count, waker) = Count::new();
    assert!(stream.poll_read(&mut Context::from_waker(&waker), &mut [0; 8]).is_pending());
    assert_eq!(Arc::strong_count(&count), 3);
    stream.read = Interest::new();
    assert_eq!(Arc::strong_count(&count), 2);
    assert_nothing_is_registered();
    // The line is free.
    let late = timeout(Duration::from_millis(1), || stream.blocking_read(&mut [0; 8]));
    assert!(late.is_err());
    // The other way round: the descriptor goes first.
    let (mut stream, _peer) = pair();
    assert!(stream.poll_read(&mut Context::from_waker(&waker), &mut [0; 8]).is_pending());
    let Stream { fd, read, .. } = stream;
    drop(fd);
    assert_nothing_is_registered();
    drop(read);
    assert_eq!(Arc::strong_count(&count), 2);
}

/// FAULTS row 7.
#[test]
fn fault_07_a_kill_of_one_that_waits_by_a_future_leaves_nothing_behind() {
    for told in [false, true] {
        let (mut stream, mut peer) = pair();
        let fd = Rc::clone(&stream.fd);
        let waiter = spawn(move || block_on(async { stream.read(&mut [0; 8]).await }));
        settle();
        if told {
            peer.write_all(b"x").unwrap();
        }
        waiter.kill();
        assert!(matches!(waiter.wait(), Err(Died::Killed)));
        assert_nothing_is_registered();
        peer.write_all(b"y").unwrap();
        let read = fd.call(Attempt::new(Direction::Read), |fd| recv(fd, &mut [0; 8]));
        assert_eq!(read.unwrap(), if told { 2 } else { 1 });
    }
}

/// FAULTS row 23: data and a deadline in one turn.
#[test]
fn fault_23_data_and_a_deadline_at_once_lose_nothing() {
    let (mut stream, mut peer) = pair();
    let mut received = 0;
    for _ in 0..rounds(2000) {
        let mut deadline = Alarm::after(Duration::from_micros(30));
        let start = Instant::now();
        let mut sent = false;
        let outcome = block_on(poll_fn(|context| {
            if !std::mem::replace(&mut sent, true) {
                assert!(stream.poll_read(context, &mut [0; 8]).is_pending());
                let _ = Future::poll(pin!(&mut deadline), context);
                // Both are due in the next turn.
                peer.write_all(b"x").unwrap();
                while start.elapsed() < Duration::from_micros(30) {}
                return Poll::Pending;
            }
            if Future::poll(pin!(&mut deadline), context).is_ready() {
                return Poll::Ready(0);
            }
            stream.poll_read(context, &mut [0; 8]).map(Result::unwrap)
        }));
        received += outcome;
        if outcome == 0 {
            received += block_on(stream.read(&mut [0; 8])).unwrap();
        }
    }
    assert_eq!(received, rounds(2000));
    assert_nothing_is_registered();
}

/// FAULTS row 6.
#[test]
fn fault_06_a_future_that_would_wait_during_an_unwind_gets_an_error() {
    let (mut stream, mut peer) = pair();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let unlucky = spawn({
        let seen = Rc::clone(&seen);
        move || {
            let _on_drop = OnDrop(|| {
                let read = block_on(stream.read(&mut [0; 8]));
                seen.borrow_mut().push(read.map_err(|error| error.kind()));
                peer.write_all(b"x").unwrap();
                let read = block_on(stream.read(&mut [0; 8]));
                seen.borrow_mut().push(read.map_err(|error| error.kind()));
            });
            panic!("and its destructor reads");
        }
    });
    assert!(unlucky.wait().is_err());
    // The second time it is known that nothing was there, until the hub has looked.
    let seen = seen.take();
    assert_eq!(seen[0], Err(ErrorKind::WouldBlock));
    assert!(matches!(seen[1], Ok(1) | Err(ErrorKind::WouldBlock)), "{seen:?}");
    assert_nothing_is_registered();
}

/// FAULTS row 6: what does not wait goes on, although a green thread that unwinds cannot yield.
#[test]
fn fault_06_a_future_that_never_waits_during_an_unwind_ends() {
    let (mut stream, _peer) = pair();
    let calls = Rc::new(Cell::new(0));
    let unlucky = spawn({
        let calls = Rc::clone(&calls);
        move || {
            let _on_drop = OnDrop(|| {
                block_on(async {
                    for _ in 0..1000 {
                        let call = |_: BorrowedFd<'_>| Ok(());
                        let write = poll_fn(|context| {
                            stream.write.poll_call(context, &stream.fd, Direction::Write, call)
                        });
                        write.await.unwrap();
                        calls.set(calls.get() + 1);
                    }
                });
            });
            panic!("and its destructor writes");
        }
    });
    let _watchdog = Watchdog::new("a future that unwinds and never waits");
    assert!(unlucky.wait().is_err());
    assert_eq!(calls.get(), 1000);
    assert_nothing_is_registered();
}

/// FAULTS row 15: one future whose descriptor is always ready.
#[test]
fn fault_15_a_future_that_never_waits_lets_the_others_run() {
    let (mut stream, _peer) = pair();
    let calls = Rc::new(Cell::new(0));
    let busy = spawn({
        let calls = Rc::clone(&calls);
        move || {
            block_on(async move {
                loop {
                    poll_fn(|context| {
                        stream.write.poll_call(context, &stream.fd, Direction::Write, |_| Ok(()))
                    })
                    .await
                    .unwrap();
                    calls.set(calls.get() + 1);
                }
            });
        }
    });
    yield_now();
    assert_eq!(calls.get(), 128);
    yield_now();
    assert_eq!(calls.get(), 256);
    // And the hub, too.
    sleep(Duration::from_millis(1));
    busy.kill();
    assert_nothing_is_registered();
}

/// FAULTS row 15: many in one green thread, of which there is always one that could go on.
#[test]
fn fault_15_futures_that_never_wait_in_turn_let_the_others_run() {
    let streams: Vec<_> = (0..10).map(|_| pair()).collect();
    let calls = Rc::new(Cell::new(0));
    let busy = spawn({
        let calls = Rc::clone(&calls);
        move || {
            let (mut streams, _peers): (Vec<_>, Vec<_>) = streams.into_iter().unzip();
            block_on(poll_fn(|context| -> Poll<()> {
                // It goes on as long as one of them does.
                loop {
                    let mut pending = 0;
                    for stream in &mut streams {
                        let poll =
                            stream
                                .write
                                .poll_call(context, &stream.fd, Direction::Write, |_| Ok(()));
                        match poll {
                            Poll::Ready(result) => {
                                calls.set(calls.get() + result.map_or(0, |()| 1))
                            }
                            Poll::Pending => pending += 1,
                        }
                    }
                    if pending == streams.len() {
                        return Poll::Pending;
                    }
                }
            }));
        }
    });
    yield_now();
    assert_eq!(calls.get(), 128);
    busy.kill();
    assert_nothing_is_registered();
}

/// A read that does not fill its buffer has emptied a TCP stream: no second call says so.
#[test]
fn a_short_read_saves_a_call() {
    let polling = std::env::var_os("EVY_DRIVER").is_some();
    let (mut stream, mut peer) = tcp_pair();
    let calls = Rc::new(Cell::new(0));
    let reader = spawn({
        let calls = Rc::clone(&calls);
        move || {
            for _ in 0..10 {
                let count = block_on(poll_fn(|context| {
                    let read = |fd: BorrowedFd<'_>| {
                        calls.set(calls.get() + 1);
                        recv(fd, &mut [0; 8])
                    };
                    let direction = Direction::Read;
                    stream.read.poll_call_draining(context, &stream.fd, direction, read, |n| *n < 8)
                }));
                assert_eq!(count.unwrap(), 5);
            }
        }
    });
    for _ in 0..10 {
        settle();
        peer.write_all(b"hello").unwrap();
    }
    reader.wait().unwrap();
    // The first call is made before anything is known.
    assert_eq!(calls.get(), if polling { 20 } else { 11 });
    assert_nothing_is_registered();
}

/// A descriptor that another hub owns: with a copy, so that it may be closed at any time.
#[test]
fn a_descriptor_of_another_hub_is_waited_for_too() {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let fd = Arc::new(GreenFd::new(ours.into()));
    let (done, keep) = mpsc::channel::<()>();
    let (registered, is_registered) = mpsc::channel();
    let owner = std::thread::spawn({
        let fd = Arc::clone(&fd);
        move || {
            let attempt = Attempt {
                timeout: Some(Duration::from_millis(1)),
                ..Attempt::new(Direction::Read)
            };
            let error = fd.call(attempt, |fd| recv(fd, &mut [0; 8])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            registered.send(()).unwrap();
            unblock(move || keep.recv().unwrap_err());
        }
    });
    is_registered.recv().unwrap();
    let reader = spawn({
        let fd = Arc::clone(&fd);
        move || {
            let mut interest = Interest::new();
            let mut all = Vec::new();
            block_on(poll_fn(|context| {
                loop {
                    let mut buffer = [0; 8];
                    let call = |fd: BorrowedFd<'_>| recv(fd, &mut buffer);
                    match interest.poll_call(context, &fd, Direction::Read, call) {
                        Poll::Ready(Ok(0)) => return Poll::Ready(Ok(std::mem::take(&mut all))),
                        Poll::Ready(Ok(count)) => all.extend_from_slice(&buffer[..count]),
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            }))
        }
    });
    for part in ["across ", "the ", "hubs"] {
        settle();
        peer.write_all(part.as_bytes()).unwrap();
    }
    settle();
    drop(peer);
    assert_eq!(reader.wait().unwrap().unwrap(), b"across the hubs");
    drop(done);
    owner.join().unwrap();
    assert_nothing_is_registered();
}

/// A descriptor whose hub has ended.
fn of_another_hub(fd: UnixStream) -> GreenFd {
    let fd = GreenFd::new(fd.into());
    let fd = std::thread::spawn(move || {
        let attempt =
            Attempt { timeout: Some(Duration::from_millis(1)), ..Attempt::new(Direction::Read) };
        fd.call(attempt, |fd| recv(fd, &mut [0; 8])).unwrap_err();
        fd
    });
    fd.join().unwrap()
}

#[test]
fn a_poll_that_is_ready_before_it_was_told_leaves_nothing_behind() {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let fd = of_another_hub(ours);
    let (count, waker) = Count::new();
    let mut context = Context::from_waker(&waker);
    let (mut interest, call) = (Interest::new(), |fd: BorrowedFd<'_>| recv(fd, &mut [0; 8]));
    assert!(interest.poll_call(&mut context, &fd, Direction::Read, call).is_pending());
    assert_eq!(Arc::strong_count(&count), 3);
    peer.write_all(b"x").unwrap();
    // The hub has not looked since.
    let poll = interest.poll_call(&mut context, &fd, Direction::Read, call);
    assert!(matches!(poll, Poll::Ready(Ok(1))), "{poll:?}");
    assert_eq!((count.calls(), Arc::strong_count(&count)), (0, 2));
    assert_nothing_is_registered();
    // Nor a copy of the descriptor: the peer sees the end.
    drop(fd);
    peer.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
}

/// FAULTS row 1: the descriptor is closed while its copy is waited for; the number is free at once.
#[test]
fn fault_01_a_descriptor_of_another_hub_goes_while_it_is_waited_for() {
    let (ours, peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let fd = of_another_hub(ours);
    let (count, waker) = Count::new();
    let mut context = Context::from_waker(&waker);
    let mut interest = Interest::new();
    let call = |fd: BorrowedFd<'_>| recv(fd, &mut [0; 8]);
    assert!(interest.poll_call(&mut context, &fd, Direction::Read, call).is_pending());
    assert!(interest.poll_call(&mut context, &fd, Direction::Read, call).is_pending());
    drop(fd);
    // The copy keeps the connection: its end is told when the peer goes.
    let (mut new, mut new_peer) = pair();
    let reader = spawn(move || block_on(async { new.read(&mut [0; 8]).await }));
    settle();
    new_peer.write_all(b"x").unwrap();
    assert_eq!(reader.wait().unwrap().unwrap(), 1);
    assert_eq!(count.calls(), 0);
    drop(peer);
    settle();
    assert_eq!(count.calls(), 1);
    drop(interest);
    assert_nothing_is_registered();
}

/// A stake is `Send`: polled on one hub, then on another, and dropped on a third.
#[test]
fn a_stake_may_move_from_hub_to_hub() {
    let _watchdog = Watchdog::new("a stake that moved is not told");
    let (ours, mut peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let (fd, mut interest) = (GreenFd::new(ours.into()), Interest::new());
    let (count, waker) = Count::new();
    let call = |fd: BorrowedFd<'_>| recv(fd, &mut [0; 8]);
    let poll = interest.poll_call(&mut Context::from_waker(&waker), &fd, Direction::Read, call);
    assert!(poll.is_pending());
    let there = std::thread::spawn(move || {
        let read = block_on(poll_fn(|context| {
            let poll = interest.poll_call(context, &fd, Direction::Read, call);
            if poll.is_pending() {
                peer.write_all(b"hello").unwrap();
            }
            poll
        }));
        assert_eq!(read.unwrap(), 5);
        let mut context = Context::from_waker(Waker::noop());
        assert!(interest.poll_call(&mut context, &fd, Direction::Read, call).is_pending());
        (fd, interest, peer)
    });
    let (fd, interest, peer) = there.join().unwrap();
    // It left this hub when it was polled there, and said so to the waker or was told before.
    settle();
    assert_eq!((count.calls(), Arc::strong_count(&count)), (1, 2));
    std::thread::spawn(move || drop((interest, fd, peer))).join().unwrap();
    assert_nothing_is_registered();
}

/// A stake that waits here is dropped elsewhere, its descriptor too, in either order.
#[test]
fn a_stake_may_be_dropped_on_another_os_thread_while_it_waits() {
    for first in ["stake", "descriptor"] {
        let (ours, mut peer) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (fd, mut interest) = (GreenFd::new(ours.into()), Interest::new());
        let (count, waker) = Count::new();
        let call = |fd: BorrowedFd<'_>| recv(fd, &mut [0; 8]);
        let mut context = Context::from_waker(&waker);
        assert!(interest.poll_call(&mut context, &fd, Direction::Read, call).is_pending());
        drop(waker);
        let other = std::thread::spawn(move || match first {
            "stake" => {
                drop(interest);
                drop(fd);
            }
            _ => {
                drop(fd);
                drop(interest);
            }
        });
        other.join().unwrap();
        let _ = peer.write_all(b"x");
        while Arc::strong_count(&count) > 1 {
            sleep(Duration::from_micros(100));
        }
        assert_nothing_is_registered();
    }
}

/// FAULTS row 30: a future that waits for a descriptor is hope, one that was told is not.
#[test]
fn fault_30_a_stake_that_waits_is_no_deadlock() {
    let _watchdog = Watchdog::new("a deadlock was not seen");
    let (mut stream, mut peer) = pair();
    let other = std::thread::spawn(move || {
        util::pause(Duration::from_millis(10));
        peer.write_all(b"x").unwrap();
        peer
    });
    assert_eq!(block_on(stream.read(&mut [0; 8])).unwrap(), 1);
    let mut peer = other.join().unwrap();
    let text = util::panic_of(|| {
        block_on(poll_fn(|context| -> Poll<()> {
            if stream.poll_read(context, &mut [0; 8]).is_pending() {
                peer.write_all(b"x").unwrap();
            }
            Poll::Pending
        }));
    });
    // At the second poll it has read, and kept no waker.
    assert!(text.starts_with("deadlock: "), "{text}");
}
