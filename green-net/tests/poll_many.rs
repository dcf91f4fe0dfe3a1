//! `poll_many`: several descriptors of whoever at once.

mod util;

use std::cell::Cell;
use std::fs::File;
use std::io::{ErrorKind, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_green_net::UdpSocket;
use evy_runtime::io::Direction::{self, Read as R, Write as W};
use evy_runtime::{GreenThread, poll_many, sleep, spawn, timeout, wait_readable, yield_now};
use util::{TempPath, let_all_park, soon, unix_pair};

/// A deadline in so many milliseconds.
fn within(milliseconds: u64) -> Option<Instant> {
    Some(Instant::now() + Duration::from_millis(milliseconds))
}

fn pairs(count: usize) -> (Vec<StdUnixStream>, Vec<StdUnixStream>) {
    (0..count).map(|_| StdUnixStream::pair().unwrap()).unzip()
}

fn readable(streams: &[StdUnixStream]) -> Vec<(BorrowedFd<'_>, Direction)> {
    streams.iter().map(|stream| (stream.as_fd(), R)).collect()
}

/// A green thread that polls the streams for data.
fn spawn_poll(
    streams: &Rc<Vec<StdUnixStream>>,
    deadline: Option<Instant>,
) -> GreenThread<Vec<usize>> {
    let streams = Rc::clone(streams);
    spawn(move || poll_many(&readable(&streams), deadline).unwrap())
}

#[test]
fn what_is_ready_is_returned_at_once_in_the_order_of_the_entries() {
    let (ours, mut theirs) = pairs(4);
    theirs[3].write_all(b"x").unwrap();
    theirs[1].write_all(b"x").unwrap();
    for deadline in [None, within(60_000), Some(Instant::now())] {
        assert_eq!(soon(|| poll_many(&readable(&ours), deadline)).unwrap(), [1, 3]);
    }
    let mixed = [(ours[0].as_fd(), R), (ours[0].as_fd(), W), (ours[3].as_fd(), R)];
    assert_eq!(soon(|| poll_many(&mixed, None)).unwrap(), [1, 2]);
}

#[test]
fn it_parks_until_the_first_of_them_is_ready() {
    for first in 0..3 {
        let (ours, mut theirs) = pairs(3);
        let poll = spawn_poll(&Rc::new(ours), None);
        let_all_park();
        assert!(!poll.is_finished());
        theirs[first].write_all(b"x").unwrap();
        assert_eq!(soon(|| poll.wait()).unwrap(), [first]);
    }
}

#[test]
fn nothing_is_ready_at_the_deadline_and_not_before_it() {
    let (ours, _theirs) = pairs(3);
    let start = Instant::now();
    assert!(soon(|| poll_many(&readable(&ours), within(20))).unwrap().is_empty());
    assert!(start.elapsed() >= Duration::from_millis(20));
    // One that is over is a look.
    assert!(poll_many(&readable(&ours), Some(start)).unwrap().is_empty());
}

#[test]
fn without_descriptors_it_sleeps_until_the_deadline() {
    let start = Instant::now();
    assert!(soon(|| poll_many(&[], within(20))).unwrap().is_empty());
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert!(poll_many(&[], Some(start)).unwrap().is_empty());
    let for_ever = spawn(|| poll_many(&[], None));
    let_all_park();
    assert!(!for_ever.is_finished());
    for_ever.kill();
}

#[test]
fn others_run_meanwhile() {
    let (ours, mut theirs) = pairs(2);
    let turns = Rc::new(Cell::new(0));
    let counter = spawn({
        let turns = Rc::clone(&turns);
        move || loop {
            turns.set(turns.get() + 1);
            if turns.get() == 1000 {
                theirs[0].write_all(b"x").unwrap();
            }
            yield_now();
        }
    });
    assert_eq!(soon(|| poll_many(&readable(&ours), None)).unwrap(), [0]);
    assert!(turns.get() >= 1000);
    counter.kill();
}

#[test]
fn one_descriptor_may_stand_there_several_times() {
    let (ours, mut theirs) = unix_pair();
    let fill = || while ours.try_write(&[0; 1 << 12]).is_ok() {};
    fill();
    let fd = ours.as_fd();
    let entries = [(fd, R), (fd, W), (fd, R), (fd, W)];
    assert!(soon(|| poll_many(&entries, within(5))).unwrap().is_empty());
    theirs.write_all(b"x").unwrap();
    assert_eq!(soon(|| poll_many(&entries, None)).unwrap(), [0, 2]);
    // Parked in both directions, it is woken by either.
    (&ours).read_exact(&mut [0]).unwrap();
    let drain = std::thread::spawn(move || {
        theirs.set_nonblocking(true).unwrap();
        while theirs.read(&mut [0; 1 << 16]).is_ok() {}
        theirs
    });
    assert_eq!(soon(|| poll_many(&entries, None)).unwrap(), [1, 3]);
    let mut theirs = drain.join().unwrap();
    fill();
    let sender = spawn(move || {
        yield_now();
        theirs.write_all(b"y").unwrap();
        theirs
    });
    assert_eq!(soon(|| poll_many(&entries, None)).unwrap(), [0, 2]);
    drop(soon(|| sender.wait()).unwrap());
}

#[test]
fn an_error_and_a_hang_up_are_ready_in_both_directions() {
    let (ours, theirs) = StdUnixStream::pair().unwrap();
    drop(theirs);
    let both = [(ours.as_fd(), R), (ours.as_fd(), W)];
    assert_eq!(soon(|| poll_many(&both, None)).unwrap(), [0, 1]);
    let (reader, writer) = std::io::pipe().unwrap();
    let waits = spawn(move || poll_many(&[(reader.as_fd(), R)], None).unwrap());
    let_all_park();
    assert!(!waits.is_finished());
    drop(writer);
    assert_eq!(soon(|| waits.wait()).unwrap(), [0]);
}

/// FAULTS row 49: the system has no events for regular files, which are always ready.
#[test]
fn fault_49_a_regular_file_is_always_ready() {
    let path = TempPath::new();
    std::fs::write(&path, "").unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let folder = File::open("/tmp").unwrap();
    let (ours, _theirs) = StdUnixStream::pair().unwrap();
    let entries = [(ours.as_fd(), R), (file.as_fd(), R), (file.as_fd(), W), (folder.as_fd(), R)];
    assert_eq!(soon(|| poll_many(&entries, None)).unwrap(), [1, 2, 3]);
    soon(|| wait_readable(&file, None)).unwrap();
    soon(|| evy_runtime::wait_writable(&file, None)).unwrap();
}

/// FAULTS row 49: what has no events of its own (epoll says so) never has to be waited for.
#[test]
fn fault_49_pipes_and_devices_are_waited_for_like_sockets() {
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    assert_eq!(soon(|| poll_many(&[(null.as_fd(), R), (null.as_fd(), W)], None)).unwrap(), [0, 1]);
    let (reader, mut writer): (_, PipeWriter) = std::io::pipe().unwrap();
    let (other_reader, _other_writer) = std::io::pipe().unwrap();
    let waits =
        spawn(move || poll_many(&[(other_reader.as_fd(), R), (reader.as_fd(), R)], None).unwrap());
    let_all_park();
    assert!(!waits.is_finished());
    writer.write_all(b"x").unwrap();
    assert_eq!(soon(|| waits.wait()).unwrap(), [1]);
    // One that is full is not writable until somebody reads.
    let (mut reader, writer) = std::io::pipe().unwrap();
    // SAFETY: fcntl with this takes a number, and the descriptor is open.
    let size = unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&writer), libc::F_GETPIPE_SZ) };
    (&writer).write_all(&vec![0; size as usize]).unwrap();
    let waits = spawn(move || poll_many(&[(writer.as_fd(), W)], None).map(|ready| (ready, writer)));
    let_all_park();
    assert!(!waits.is_finished());
    reader.read_exact(&mut vec![0; size as usize]).unwrap();
    assert_eq!(soon(|| waits.wait()).unwrap().unwrap().0, [0]);
}

#[test]
fn green_sockets_are_waited_for_too_and_work_as_before() {
    let (unix, mut unix_peer) = unix_pair();
    let (udp, udp_peer) = util::udp_pair();
    // Both are known to the hub.
    for round in 0..3 {
        udp.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert_eq!(udp.recv(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        unix.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert_eq!((&unix).read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        let entries = [(unix.as_fd(), R), (udp.as_fd(), R)];
        assert!(soon(|| poll_many(&entries, within(1))).unwrap().is_empty());
        match round {
            0 => unix_peer.write_all(b"x").unwrap(),
            1 => drop(udp_peer.send(b"x").unwrap()),
            _ => {
                unix_peer.write_all(b"x").unwrap();
                udp_peer.send(b"x").unwrap();
            }
        }
        let ready = soon(|| poll_many(&entries, None)).unwrap();
        assert_eq!(ready, [&[0][..], &[1], &[0, 1]][round]);
        if ready.contains(&0) {
            assert_eq!(soon(|| (&unix).read(&mut [0; 8])).unwrap(), 1);
        }
        if ready.contains(&1) {
            assert_eq!(soon(|| udp.recv(&mut [0; 8])).unwrap(), 1);
        }
    }
}

#[test]
fn one_that_only_looks_leaves_the_datagram_to_those_in_line() {
    let (udp, peer) = util::udp_pair();
    let udp = Rc::new(udp);
    let on = |f: fn(&UdpSocket) -> usize| {
        let udp = Rc::clone(&udp);
        let thread = spawn(move || f(&udp));
        let_all_park();
        thread
    };
    let first = on(|udp| udp.recv(&mut [0; 8]).unwrap());
    let looks = on(|udp| poll_many(&[(udp.as_fd(), R)], None).unwrap().len());
    let last = on(|udp| udp.recv(&mut [0; 8]).unwrap());
    for length in 1..=2 {
        peer.send(&[0; 8][..length]).unwrap();
    }
    assert_eq!(soon(|| first.wait()).unwrap(), 1);
    assert_eq!(soon(|| looks.wait()).unwrap(), 1);
    assert_eq!(soon(|| last.wait()).unwrap(), 2);
}

#[test]
fn several_green_threads_wait_for_the_same_descriptors() {
    let (ours, mut theirs) = pairs(2);
    let ours = Rc::new(ours);
    let polls: Vec<_> = (0..5).map(|_| spawn_poll(&ours, None)).collect();
    let_all_park();
    theirs[1].write_all(b"x").unwrap();
    for poll in polls {
        assert_eq!(soon(|| poll.wait()).unwrap(), [1]);
    }
}

#[test]
fn one_that_is_killed_or_timed_out_leaves_no_trace() {
    let (ours, mut theirs) = pairs(3);
    let ours = Rc::new(ours);
    let killed = spawn_poll(&ours, None);
    let stays = spawn_poll(&ours, None);
    let_all_park();
    killed.kill();
    assert!(timeout(Duration::from_millis(1), || poll_many(&readable(&ours), None)).is_err());
    assert!(!stays.is_finished());
    theirs[2].write_all(b"x").unwrap();
    assert_eq!(soon(|| stays.wait()).unwrap(), [2]);
    drop(theirs);
    util::costs_nothing();
}

#[test]
fn a_hang_up_that_nobody_asks_for_costs_nothing_between_two_polls() {
    let (ours, theirs) = pairs(2);
    assert!(soon(|| poll_many(&readable(&ours), within(1))).unwrap().is_empty());
    drop(theirs);
    util::costs_nothing();
    assert_eq!(soon(|| poll_many(&readable(&ours), None)).unwrap(), [0, 1]);
}

#[test]
fn data_that_somebody_else_takes_first_does_not_end_the_wait() {
    let (ours, mut theirs) = pairs(1);
    let ours = Rc::new(ours);
    let thief = spawn({
        let ours = Rc::clone(&ours);
        move || {
            wait_readable(&ours[0], None).unwrap();
            (&ours[0]).read_exact(&mut [0]).unwrap();
        }
    });
    let_all_park();
    let poll = spawn_poll(&ours, within(100));
    let_all_park();
    theirs[0].write_all(b"x").unwrap();
    soon(|| thief.wait()).unwrap();
    let_all_park();
    assert!(!poll.is_finished());
    assert!(soon(|| poll.wait()).unwrap().is_empty());
}

#[test]
fn a_few_hundred_are_possible_and_too_many_are_an_error() {
    let (ours, mut theirs) = pairs(200);
    theirs[177].write_all(b"x").unwrap();
    assert_eq!(soon(|| poll_many(&readable(&ours), None)).unwrap(), [177]);
    (&ours[177]).read_exact(&mut [0]).unwrap();
    let ours = Rc::new(ours);
    let poll = spawn_poll(&ours, None);
    let_all_park();
    theirs[33].write_all(b"x").unwrap();
    assert_eq!(soon(|| poll.wait()).unwrap(), [33]);
    let limit = util::limit_descriptors(u64::MAX);
    let too_many = vec![(ours[0].as_fd(), R); limit as usize + 1];
    assert_eq!(poll_many(&too_many, None).unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// FAULTS row 6: where it would have to park, it says so instead.
#[test]
fn fault_06_while_a_green_thread_unwinds_it_does_not_wait() {
    struct Polls(StdUnixStream, Rc<Cell<Option<(ErrorKind, ErrorKind, usize)>>>);
    impl Drop for Polls {
        fn drop(&mut self) {
            let entry = [(self.0.as_fd(), R)];
            let parked = poll_many(&entry, None).unwrap_err().kind();
            let slept = poll_many(&[], within(60_000)).unwrap_err().kind();
            let ready = poll_many(&[(self.0.as_fd(), W)], None).unwrap().len();
            self.1.set(Some((parked, slept, ready)));
        }
    }
    let (ours, _theirs) = StdUnixStream::pair().unwrap();
    let seen = Rc::new(Cell::new(None));
    let victim = spawn({
        let polls = Polls(ours, Rc::clone(&seen));
        move || {
            let _polls = polls;
            sleep(Duration::MAX);
        }
    });
    let_all_park();
    victim.kill();
    assert_eq!(seen.get(), Some((ErrorKind::WouldBlock, ErrorKind::WouldBlock, 1)));
}

#[test]
fn the_deadlock_report_says_what_it_waits_for() {
    let name = "the_deadlock_report_says_what_it_waits_for";
    util::alone(name, || {
        let stuck = std::panic::catch_unwind(|| poll_many(&[], None));
        let report = stuck.unwrap_err();
        let text = report.downcast_ref::<String>().map(String::as_str).unwrap_or_default();
        assert!(text.contains("the end of a sleep"), "{text}");
    });
}

util::and_all_of_them_again!();
