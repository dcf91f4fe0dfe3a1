//! One turn after the other, driven by hand: no stacks, no sleeping, every driver.

use super::*;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

fn hubs() -> Vec<Hub> {
    let mut hubs: Vec<_> = Driver::all().into_iter().map(Hub::with_driver).collect();
    // Some of these tests count polls.
    hubs.iter_mut().for_each(|hub| hub.spin = Spin::disabled());
    hubs
}

fn owner(n: usize) -> Owner {
    Owner(NonZeroUsize::new(n).unwrap())
}

/// Turns without waiting.
fn poll(hub: &mut Hub) -> Vec<Due> {
    let mut due = Vec::new();
    hub.turn(false, &mut |item| due.push(item)).unwrap();
    due
}

/// Turns until something is due.
fn block(hub: &mut Hub) -> Vec<Due> {
    let mut due = Vec::new();
    while due.is_empty() {
        hub.turn(true, &mut |item| due.push(item)).unwrap();
    }
    due
}

#[test]
fn a_descriptor_registered_once_reports_every_edge() {
    for mut hub in hubs() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let key = hub.register(ours.as_fd()).unwrap();
        for round in 1..=3 {
            hub.wait(key, Direction::Read, owner(round), Company::Alone).unwrap();
            assert!(!poll(&mut hub).contains(&Due::Ready(owner(round))), "{hub:?}");
            theirs.write_all(b"x").unwrap();
            assert_eq!(block(&mut hub), [Due::Ready(owner(round))], "{hub:?}");
            assert!(hub.readiness(key).intersects(Readiness::READABLE));
            hub.unwait(key, Direction::Read, owner(round));
            hub.clear_readiness(key, Readiness::READABLE);
            assert_eq!(ours.read(&mut [0; 8]).unwrap(), 1);
        }
        hub.deregister(key);
        assert_eq!((hub.sources(), hub.waiting()), (0, 0));
    }
}

/// Except with polling, which takes as many as its list holds.
#[test]
fn a_turn_at_most_leaves_the_other_events_for_the_next_ones_in_their_order() {
    for mut hub in hubs() {
        let mut pairs: Vec<_> = (1..=10).map(|_| UnixStream::pair().unwrap()).collect();
        let keys: Vec<_> =
            pairs.iter().map(|(ours, _)| hub.register(ours.as_fd()).unwrap()).collect();
        // They are writable from the start.
        assert_eq!(poll(&mut hub), []);
        for (n, (key, (_, theirs))) in (1..).zip(keys.into_iter().zip(&mut pairs)) {
            hub.wait(key, Direction::Read, owner(n), Company::Alone).unwrap();
            theirs.write_all(b"x").unwrap();
        }
        hub.add_deadline(hub.clock().read(), owner(99));
        let mut turns = Vec::new();
        while turns.iter().map(Vec::len).sum::<usize>() < 11 {
            let mut due = Vec::new();
            hub.turn_at_most(4, &mut |item| due.push(item)).unwrap();
            turns.push(due);
        }
        assert!(turns[0].contains(&Due::Deadline(owner(99))), "deadlines always come: {turns:?}");
        turns[0].pop();
        if !matches!(hub.events, Buffer::Portable(_)) {
            assert_eq!(turns.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2], "{hub:?}");
            let expected: Vec<_> = (1..=10).map(|n| Due::Ready(owner(n))).collect();
            assert_eq!(turns.concat(), expected);
        }
    }
}

/// FAULTS row 1: the number of a closed descriptor is reused while its event is in the batch.
#[test]
fn fault_01_an_event_of_a_closed_descriptor_wakes_nobody_who_got_its_number() {
    for mut hub in hubs() {
        let (first, mut first_peer) = UnixStream::pair().unwrap();
        let (second, mut second_peer) = UnixStream::pair().unwrap();
        let number = second.as_raw_fd();
        let first_key = hub.register(first.as_fd()).unwrap();
        let second_key = hub.register(second.as_fd()).unwrap();
        poll(&mut hub);
        hub.wait(first_key, Direction::Read, owner(1), Company::Alone).unwrap();
        hub.wait(second_key, Direction::Read, owner(2), Company::Alone).unwrap();
        first_peer.write_all(b"x").unwrap();
        second_peer.write_all(b"x").unwrap();
        // The batch of events is fetched; before it is looked at, the second one is closed.
        hub.poll(BATCH, Some(Duration::ZERO)).unwrap();
        hub.deregister(second_key);
        let (next, _peer) = UnixStream::pair().unwrap();
        // SAFETY: both descriptors are open and ours. This closes `second`'s socket and gives its
        // number to `next`'s in one step, so that no other test can get the number in between.
        assert_eq!(unsafe { libc::dup2(next.as_raw_fd(), number) }, number);
        let reused = second;
        let reused_key = hub.register(reused.as_fd()).unwrap();
        hub.wait(reused_key, Direction::Read, owner(3), Company::Alone).unwrap();
        let mut due = Vec::new();
        hub.hand_over_events(&mut |item| due.push(item));
        assert_eq!(due, [Due::Ready(owner(1))]);
        assert!(hub.stale_events() >= 1);
        assert_eq!(hub.waiting(), 2);
    }
}

/// FAULTS row 1, the long form: random opens, writes and closes never wake the wrong owner.
#[test]
fn fault_01_a_million_random_steps_never_wake_the_wrong_owner() {
    const STEPS: usize = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    for mut hub in hubs() {
        struct Live {
            _socket: UnixStream,
            peer: UnixStream,
            key: SourceKey,
            owner: usize,
            written: bool,
        }
        let mut live: Vec<Live> = Vec::new();
        let mut owners = 0;
        for _ in 0..STEPS {
            match next(8) {
                0 if live.len() < 16 => {
                    let (socket, peer) = UnixStream::pair().unwrap();
                    let key = hub.register(socket.as_fd()).unwrap();
                    owners += 1;
                    hub.wait(key, Direction::Read, owner(owners), Company::Alone).unwrap();
                    live.push(Live { _socket: socket, peer, key, owner: owners, written: false });
                }
                1 if !live.is_empty() => {
                    let gone = live.swap_remove(next(live.len()));
                    hub.deregister(gone.key);
                }
                2 | 3 if !live.is_empty() => {
                    let index = next(live.len());
                    live[index].peer.write_all(b"x").unwrap();
                    live[index].written = true;
                }
                4 => hub.poll(BATCH, Some(Duration::ZERO)).unwrap(),
                _ => {
                    let mut due = Vec::new();
                    hub.hand_over_events(&mut |item| due.push(item));
                    for item in due {
                        let Due::Ready(Owner(woken)) = item else { panic!("{item:?}") };
                        let at = live.iter().position(|live| live.owner == woken.get());
                        let woken = &mut live[at.expect("a closed socket's owner was woken")];
                        assert!(woken.written, "woken without data");
                        let gone = live.swap_remove(at.unwrap());
                        hub.deregister(gone.key);
                    }
                    hub.poll(BATCH, Some(Duration::ZERO)).unwrap();
                }
            }
        }
    }
}

/// FAULTS row 36: a closed duplicate neither silences nor haunts the other.
#[test]
fn fault_36_a_closed_duplicate_leaves_no_ghost() {
    for mut hub in hubs() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let copy = ours.try_clone().unwrap();
        let key = hub.register(ours.as_fd()).unwrap();
        let copy_key = hub.register(copy.as_fd()).unwrap();
        poll(&mut hub);
        hub.deregister(copy_key);
        drop(copy);
        hub.wait(key, Direction::Read, owner(1), Company::Alone).unwrap();
        theirs.write_all(b"x").unwrap();
        assert_eq!(block(&mut hub), [Due::Ready(owner(1))]);
        let stale = hub.stale_events();
        for _ in 0..100 {
            assert_eq!(poll(&mut hub), []);
        }
        assert_eq!(hub.stale_events(), stale);
    }
}

/// FAULTS row 37: a hang-up with nobody waiting is reported at most once, and does not spin.
#[test]
fn fault_37_a_hang_up_that_nobody_waits_for_does_not_spin() {
    for mut hub in hubs() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let key = hub.register(ours.as_fd()).unwrap();
        poll(&mut hub);
        drop(theirs);
        let deadline = hub.clock().after(Duration::from_millis(20)).unwrap();
        hub.add_deadline(deadline, owner(1));
        let before = hub.polls();
        assert_eq!(block(&mut hub), [Due::Deadline(owner(1))]);
        assert!(hub.polls() - before < 10, "{} polls", hub.polls() - before);
        assert!(hub.readiness(key).intersects(Readiness::READABLE));
    }
}

#[test]
fn a_foreign_descriptor_is_registered_for_as_long_as_somebody_waits() {
    for mut hub in hubs() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let key = hub.wait_foreign(ours.as_fd(), Direction::Read, owner(1)).unwrap();
        let same = hub.wait_foreign(ours.as_fd(), Direction::Write, owner(2)).unwrap();
        assert_eq!(key, same);
        assert_eq!(block(&mut hub), [Due::Ready(owner(2))]);
        hub.unwait_foreign(key, Direction::Write, owner(2));
        assert_eq!(hub.sources(), 1);
        theirs.write_all(b"x").unwrap();
        assert_eq!(block(&mut hub), [Due::Ready(owner(1))]);
        hub.unwait_foreign(key, Direction::Read, owner(1));
        assert_eq!((hub.sources(), hub.waiting()), (0, 0));
    }
}

#[test]
fn a_foreign_wait_on_a_registered_descriptor_uses_its_registration() {
    for mut hub in hubs() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let key = hub.register(ours.as_fd()).unwrap();
        assert_eq!(hub.wait_foreign(ours.as_fd(), Direction::Read, owner(1)).unwrap(), key);
        theirs.write_all(b"x").unwrap();
        assert_eq!(block(&mut hub), [Due::Ready(owner(1))]);
        hub.unwait_foreign(key, Direction::Read, owner(1));
        assert_eq!((hub.sources(), hub.waiting()), (1, 0));
    }
}

#[test]
fn a_wake_from_another_thread_ends_a_sleep_and_none_is_lost() {
    const THREADS: u64 = 4;
    const WAKES: u64 = if cfg!(debug_assertions) { 20_000 } else { 200_000 };
    for mut hub in hubs() {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let remote = Arc::clone(hub.remote());
                std::thread::spawn(move || {
                    for n in 0..WAKES {
                        remote.wake(thread << 32 | n);
                    }
                })
            })
            .collect();
        let mut next = [0; THREADS as usize];
        while next.iter().sum::<u64>() < THREADS * WAKES {
            for item in block(&mut hub) {
                let Due::Remote(word) = item else { panic!("{item:?}") };
                assert_eq!(word & 0xffff_ffff, next[(word >> 32) as usize]);
                next[(word >> 32) as usize] += 1;
            }
        }
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

#[test]
fn a_socket_released_on_another_thread_frees_its_slot() {
    for mut hub in hubs() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let key = hub.register(ours.as_fd()).unwrap();
        let remote = Arc::clone(hub.remote());
        std::thread::spawn(move || remote.forget(key, ours.as_fd())).join().unwrap();
        poll(&mut hub);
        assert_eq!(hub.sources(), 0);
    }
}

#[test]
fn a_deadline_is_never_early_and_a_cancelled_one_never_comes() {
    for mut hub in hubs() {
        let deadline = hub.clock().after(Duration::from_millis(3)).unwrap();
        let cancelled = hub.add_deadline(deadline - 1_000_000, owner(1));
        hub.add_deadline(deadline, owner(2));
        assert!(hub.cancel_deadline(cancelled));
        assert!(!hub.cancel_deadline(cancelled));
        assert_eq!(block(&mut hub), [Due::Deadline(owner(2))]);
        assert!(hub.clock().read() >= deadline);
        assert_eq!(hub.deadlines(), 0);
    }
}

/// FAULTS row 25: durations that overflow are "for ever", not a panic.
#[test]
fn fault_25_a_timeout_that_overflows_has_no_deadline() {
    let hub = Hub::new().unwrap();
    assert_eq!(hub.clock().after(Duration::MAX), None);
    assert!(hub.clock().after(Duration::ZERO).is_some());
}

/// FAULTS row 35: the child does to its copy of a hub all that can be done.
#[test]
fn fault_35_what_a_forked_child_does_does_not_reach_the_parent() {
    for mut hub in hubs() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let key = hub.register(ours.as_fd()).unwrap();
        poll(&mut hub);
        hub.clear_readiness(key, Readiness::READABLE);
        hub.wait(key, Direction::Read, owner(1), Company::Alone).unwrap();
        let polls = hub.polls();

        // SAFETY: the child does what one that was forked off several OS threads may do, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            hub.remote().wake(7);
            let is_parents = hub.remote().has_ended()
                && hub.turn(false, &mut |_| ()).is_err()
                && hub.register(theirs.as_fd()).is_err();
            hub.remote().forget(key, ours.as_fd());
            hub.deregister(key);
            drop(hub);
            drop(ours);
            // SAFETY: it never returns.
            unsafe { libc::_exit(i32::from(!is_parents)) };
        }
        let mut status = 1;
        // SAFETY: the status lives through the call.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);

        assert!(!hub.remote().has_ended());
        assert_eq!(hub.polls(), polls);
        assert_eq!(poll(&mut hub), []);
        theirs.write_all(b"x").unwrap();
        assert_eq!(block(&mut hub), [Due::Ready(owner(1))], "{hub:?}");
        // Nor was anything taken out that other OS threads need.
        let remote = Arc::clone(hub.remote());
        let waker = std::thread::spawn(move || remote.wake(8));
        assert_eq!(block(&mut hub), [Due::Remote(8)], "{hub:?}");
        waker.join().unwrap();
        hub.unwait(key, Direction::Read, owner(1));
    }
}

/// FAULTS row 35: a program that is started has none of the hub's descriptors.
#[test]
fn fault_35_a_hubs_descriptors_are_closed_on_exec() {
    fn open() -> BTreeSet<i32> {
        let numbers = std::fs::read_dir("/proc/self/fd").unwrap();
        let numbers = numbers.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        numbers.map(|number| number.parse().unwrap()).collect()
    }

    for driver in 0..hubs().len() {
        let before = open();
        let hub = hubs().swap_remove(driver);
        for fd in open().difference(&before) {
            // SAFETY: takes no pointer; a number that is not open any more gives an error.
            let flags = unsafe { libc::fcntl(*fd, libc::F_GETFD) };
            assert!(flags == -1 || flags & libc::FD_CLOEXEC != 0, "descriptor {fd} of {hub:?}");
        }
    }
}
