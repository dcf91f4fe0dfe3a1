//! `select!`: which arm runs, and that nothing is lost in the others.

mod util;

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::{Died, GreenThread, sleep, spawn, spawn_n, timeout, yield_now};
use evy_sync::{
    Case, Event, GetError, Mutex, PutError, Queue, Ready, Receiver, Receiving, RecvError,
    SendError, Sending, TimedOut, TryRecvError, bounded, channel, select, select_timeout,
    try_select,
};
use util::{
    Census, LONG, Log, OnDrop, PATIENCE, SOON, assert_nothing_is_registered, let_patience_end,
    rounds, settle, yields,
};

#[test]
fn the_arm_that_can_be_taken_is_taken() {
    let ((a, from_a), (b, from_b)) = (channel(), channel());
    a.send("a").unwrap();
    for (expected, next) in [("a", Some(&b)), ("b", None)] {
        let got = select! {
            recv(from_a) -> item => item.unwrap(),
            recv(from_b) -> item => item.unwrap(),
        };
        assert_eq!(got, expected);
        next.inspect(|next| next.send("b").unwrap());
    }
    assert!(from_a.is_empty() && from_b.is_empty());
}

#[test]
fn it_waits_for_the_first_of_several() {
    let ((a, from_a), (b, from_b)) = (channel::<u32>(), bounded(0));
    let waits = spawn(move || {
        select! {
            recv(from_a) -> item => ("a", item),
            recv(from_b) -> item => ("b", item),
        }
    });
    settle();
    assert!(!waits.is_finished());
    b.try_send(1).expect("somebody waits");
    assert_eq!(waits.wait().unwrap(), ("b", Ok(1)));
    assert_eq!(a.send(2), Err(SendError(2)), "its receiver is gone");
}

#[test]
fn a_send_is_taken_when_there_is_room_or_somebody_waits() {
    let ((full, from_full), (open, from_open)) = (bounded(1), bounded(1));
    full.send(0).unwrap();
    select! {
        send(full, 1) -> _sent => panic!("it is full"),
        send(open, 2) -> sent => sent.unwrap(),
    }
    assert_eq!(from_open.recv(), Ok(2));
    open.send(0).unwrap();
    let waits = spawn(move || {
        select! {
            send(full, 3) -> sent => ("full", sent),
            send(open, 4) -> sent => ("open", sent),
        }
    });
    settle();
    assert!(!waits.is_finished());
    assert_eq!(from_full.recv(), Ok(0));
    assert_eq!(waits.wait().unwrap(), ("full", Ok(())));
    assert_eq!((from_full.recv(), from_open.recv()), (Ok(3), Ok(0)));
    assert_eq!(from_open.try_recv(), Err(TryRecvError::Disconnected), "4 was not sent");
}

#[test]
fn ends_are_seen_by_who_waits_and_by_who_comes() {
    let ((sender, receiver), (_open, from_open)) = (channel::<u32>(), channel::<u32>());
    let waits = spawn({
        let (receiver, from_open) = (receiver.clone(), from_open.clone());
        move || {
            select! {
                recv(receiver) -> item => item,
                recv(from_open) -> item => item,
            }
        }
    });
    yield_now();
    drop(sender);
    assert_eq!(waits.wait().unwrap(), Err(RecvError));
    let got = select! {
        recv(receiver) -> item => item,
        recv(from_open) -> item => item,
    };
    assert_eq!(got, Err(RecvError));
    let (sender, receiver) = bounded(0);
    let waits = spawn({
        let (sender, from_open) = (sender.clone(), from_open.clone());
        move || {
            select! {
                send(sender, 1) -> sent => sent,
                recv(from_open) -> _item => panic!("nothing comes"),
            }
        }
    });
    yield_now();
    drop(receiver);
    assert_eq!(waits.wait().unwrap(), Err(SendError(1)));
    let sent = select! {
        send(sender, 2) -> sent => sent,
        recv(from_open) -> _item => panic!("nothing comes"),
    };
    assert_eq!(sent, Err(SendError(2)));
}

#[test]
fn default_is_taken_when_no_other_arm_can_be() {
    let (sender, receiver) = bounded(1);
    let look = || {
        select! {
            recv(receiver) -> item => item.ok(),
            default => None,
        }
    };
    assert!(!yields(|| assert_eq!(look(), None)));
    sender.send(1).unwrap();
    assert_eq!(look(), Some(1));
    let first = select! {
        default => "default",
        send(sender, 2) -> sent => { sent.unwrap(); "sent" }
    };
    assert_eq!((first, look()), ("sent", Some(2)));
}

#[test]
fn default_with_a_time_is_taken_when_it_is_over() {
    let (sender, receiver) = channel();
    let begun = Instant::now();
    let late = select! {
        recv(receiver) -> _item => false,
        default(SOON) => true,
    };
    assert!(late && begun.elapsed() >= SOON);
    spawn_n(move || sender.send(1));
    let got = select! {
        recv(receiver) -> item => item.ok(),
        default(LONG) => None,
    };
    assert_eq!(got, Some(1));
    // Nothing is too far away.
    let end = select! {
        default(Duration::MAX) => unreachable!("that is never"),
        recv(receiver) -> item => item,
    };
    assert_eq!(end, Err(RecvError));
    assert_nothing_is_registered();
}

/// Go's and crossbeam's: of those that are ready each has the same chance.
#[test]
fn arms_that_can_all_be_taken_are_taken_alike() {
    let channels = [(); 4].map(|()| channel());
    let times = rounds(100_000);
    for (sender, _) in &channels {
        (0..times).for_each(|n| sender.send(n).unwrap());
    }
    let [(_, a), (_, b), (_, c), (_, d)] = &channels;
    let (_none, never) = channel::<usize>();
    let mut counts = [0; 4];
    for _ in 0..times {
        // Arms that cannot be taken lie between, and must not tip the balance.
        let at = select! {
            recv(a) -> _item => 0,
            recv(never) -> _item => unreachable!(),
            recv(never) -> _item => unreachable!(),
            recv(b) -> _item => 1,
            recv(c) -> _item => 2,
            recv(never) -> _item => unreachable!(),
            recv(d) -> _item => 3,
        };
        counts[at] += 1;
    }
    for count in counts {
        assert!(count * 4 > times * 9 / 10 && count * 4 < times * 11 / 10, "{counts:?}");
    }
    assert_eq!(counts.iter().sum::<usize>(), times);
}

/// crossbeam's `matching`, Go's `TestSelectStackAdjust` and its like.
#[test]
fn rendezvous_by_selects_on_both_sides_pair_up() {
    let (sender, receiver) = bounded(0);
    let threads: Vec<GreenThread<(Option<usize>, usize)>> = (0..44)
        .map(|n| {
            let (sender, receiver) = (sender.clone(), receiver.clone());
            spawn(move || {
                select! {
                    recv(receiver) -> item => (item.ok(), n),
                    send(sender, n) -> sent => {
                        sent.unwrap();
                        (None, n)
                    }
                }
            })
        })
        .collect();
    let ends: Vec<_> = threads.into_iter().map(|thread| thread.wait().unwrap()).collect();
    let mut received: Vec<_> = ends.iter().filter_map(|(item, _)| *item).collect();
    let mut sent: Vec<_> =
        ends.iter().filter(|(item, _)| item.is_none()).map(|(_, n)| *n).collect();
    received.sort_unstable();
    sent.sort_unstable();
    assert_eq!((received.len(), &received), (22, &sent));
    // Nobody sends to himself.
    let alone = select! {
        recv(receiver) -> item => item.ok(),
        send(sender, 7) -> _sent => Some(7),
        default(SOON) => None,
    };
    assert_eq!(alone, None);
}

#[test]
fn arms_run_where_they_stand() {
    let (sender, receiver) = channel();
    (0..10).for_each(|n| sender.send(n).unwrap());
    let odd = |receiver: &Receiver<u32>| -> Result<u32, RecvError> {
        loop {
            select! {
                recv(receiver) -> item => {
                    let item = item?;
                    if item % 2 == 0 {
                        continue;
                    }
                    if item == 9 {
                        return Ok(item);
                    }
                    if item == 3 {
                        break Ok(item);
                    }
                }
                default => return Err(RecvError),
            }
        }
    };
    assert_eq!(odd(&receiver), Ok(3));
    assert_eq!(odd(&receiver), Ok(9));
    assert_eq!(odd(&receiver), Err(RecvError));
    // An arm may end what it waited for.
    select! {
        recv(receiver) -> _item => unreachable!(),
        default => drop(receiver),
    }
    assert!(sender.send(1).is_err());
}

#[test]
fn what_stands_in_the_arms_is_evaluated_once() {
    let log = Log::new();
    let (sender, receiver) = bounded(0);
    let named = |name: &str| {
        log.add(name);
        (sender.clone(), receiver.clone())
    };
    let item = || {
        log.add("item");
        1
    };
    select! {
        recv(named("recv").1) -> _item => unreachable!(),
        send(named("send").0, item()) -> _sent => unreachable!(),
        default({ log.add("time"); SOON }) => log.add("default"),
    }
    assert_eq!(log.take(), ["recv", "send", "item", "time", "default"]);
}

#[test]
fn an_item_that_is_not_sent_is_dropped_or_given_back() {
    let (census, (sender, receiver)) = (Census::new(), bounded(0));
    select! {
        send(sender, census.one()) -> _sent => unreachable!(),
        default => assert_eq!(census.alive(), 0),
    }
    let mut sending = Sending::new(&sender, census.one());
    assert_eq!(select_timeout(&mut [&mut sending], SOON), Err(TimedOut));
    let item = sending.into_item().expect("it was not sent");
    assert_eq!(census.alive(), 1);
    drop(receiver);
    let mut sending = Sending::new(&sender, item);
    select(&mut [&mut sending]);
    assert!(matches!(sending.into_result(), Some(Err(SendError(_)))));
    assert_eq!(census.alive(), 0);
}

#[test]
fn cases_can_be_chosen_at_run_time() {
    let channels: Vec<_> = (0..20).map(|_| channel()).collect();
    let mut cases: Vec<_> = channels.iter().map(|(_, receiver)| Receiving::new(receiver)).collect();
    {
        let mut all: Vec<&mut dyn Case> = cases.iter_mut().map(|case| case as _).collect();
        assert!(!try_select(&mut all));
        assert_eq!(select_timeout(&mut all, SOON), Err(TimedOut));
        let sender = channels[13].0.clone();
        spawn_n(move || sender.send("hello"));
        select(&mut all);
    }
    let results: Vec<_> = cases.into_iter().map(Receiving::into_result).collect();
    for (at, result) in results.into_iter().enumerate() {
        assert_eq!(result, (at == 13).then_some(Ok("hello")));
    }
}

#[test]
fn queues_and_events_are_received_from_too() {
    let (queue, event) = (Rc::new(Queue::bounded(1)), Rc::new(Event::new()));
    let wait = || {
        let (queue, event) = (Rc::clone(&queue), Rc::clone(&event));
        let thread = spawn(move || {
            select! {
                recv(queue) -> item => Ok(item),
                recv(event) -> text => Err(text),
            }
        });
        yield_now();
        thread
    };
    let waits = wait();
    queue.put(1).unwrap();
    assert_eq!(waits.wait().unwrap(), Ok(Ok(1)));
    let [waits, other] = [wait(), wait()];
    event.send("event").unwrap();
    event.reset();
    assert_eq!(waits.wait().unwrap(), Err("event"));
    assert_eq!(other.wait().unwrap(), Err("event"));
    event.send("again").unwrap();
    assert_eq!(wait().wait().unwrap(), Err("again"));
    event.reset();
    queue.close();
    assert_eq!(wait().wait().unwrap(), Ok(Err(GetError::Closed)));
    let sent = select! {
        send(queue, 1) -> sent => sent,
        recv(&event) -> _text => unreachable!(),
    };
    assert_eq!(sent, Err(PutError::Closed(1)));
}

#[test]
fn a_queue_by_priority_is_received_from_in_its_order() {
    let (queue, (_sender, never)) = (Queue::unbounded().by_priority(), channel::<u32>());
    [3, 1, 2].into_iter().for_each(|n| queue.put(n).unwrap());
    let next = || {
        select! {
            recv(queue) -> item => item.unwrap(),
            recv(never) -> _item => unreachable!(),
        }
    };
    assert_eq!([next(), next(), next()], [1, 2, 3]);
}

/// D8: the line is the same as that of a plain `recv`.
#[test]
fn selects_and_plain_waits_stand_in_one_line() {
    let (sender, receiver) = channel();
    let (_open, from_open) = channel::<u32>();
    let log = Log::new();
    for n in 0..6 {
        let (receiver, from_open, log) = (receiver.clone(), from_open.clone(), log.clone());
        spawn_n(move || {
            let item = if n % 2 == 0 {
                receiver.recv()
            } else {
                select! {
                    recv(from_open) -> item => item,
                    recv(receiver) -> item => item,
                }
            };
            log.add(format!("{n} {}", item.unwrap()));
        });
        yield_now();
    }
    (0..6).for_each(|n| sender.send(n).unwrap());
    settle();
    assert_eq!(log.take(), ["0 0", "1 1", "2 2", "3 3", "4 4", "5 5"]);
}

/// One that was served by one line is passed over by the others, before it goes on, too.
#[test]
fn only_one_line_serves_it() {
    let ((a, from_a), (b, from_b)) = (bounded(0), bounded(0));
    let wait = || {
        let (from_a, from_b) = (from_a.clone(), from_b.clone());
        let thread = spawn(move || {
            select! {
                recv(from_a) -> item => item,
                recv(from_b) -> item => item,
            }
        });
        yield_now();
        thread
    };
    let waits = wait();
    a.try_send("a").unwrap();
    assert!(b.try_send("b").is_err(), "it has what it waited for");
    assert!(a.try_send("a").is_err());
    assert_eq!(waits.wait().unwrap(), Ok("a"));
    let [one, other] = [wait(), wait()];
    b.try_send("b").unwrap();
    a.try_send("a").unwrap();
    assert_eq!((one.wait().unwrap(), other.wait().unwrap()), (Ok("b"), Ok("a")));
}

/// FAULTS 53.
#[test]
fn fault_53_what_a_killed_select_was_handed_goes_to_the_next() {
    let ((a, from_a), (_b, from_b)) = (channel(), channel());
    let event = Rc::new(Event::<u32>::new());
    let wait = || {
        let (from_a, from_b, event) = (from_a.clone(), from_b.clone(), Rc::clone(&event));
        let thread = spawn(move || {
            select! {
                recv(from_b) -> item => item,
                recv(from_a) -> item => item,
                recv(event) -> item => Ok(item),
            }
        });
        yield_now();
        thread
    };
    let [waiting, handed, next] = [wait(), wait(), wait()];
    waiting.kill();
    a.send(1).unwrap();
    handed.kill();
    assert_eq!(next.wait().unwrap(), Ok(1));
    let last = wait();
    a.send(2).unwrap();
    a.send(3).unwrap();
    last.kill();
    assert_eq!(from_a.try_iter().collect::<Vec<_>>(), [2, 3], "back where it stood");
    for killed in [waiting, handed, last] {
        assert!(matches!(killed.wait(), Err(Died::Killed)));
    }
    let cut_off = timeout(SOON, || {
        select! {
            recv(from_a) -> _item => unreachable!(),
            recv(event) -> _item => unreachable!(),
        }
    });
    assert!(cut_off.is_err());
    a.send(4).unwrap();
    assert_eq!(from_a.try_recv(), Ok(4), "nobody stands in line any more");
    assert_nothing_is_registered();
}

/// FAULTS 53: the other direction.
#[test]
fn fault_53_the_item_of_a_killed_select_is_sent_or_dropped_and_never_both() {
    let (census, (sender, receiver)) = (Census::new(), bounded(0));
    let (_open, from_open) = channel::<u32>();
    let wait = || {
        let (sender, from_open) = (sender.clone(), from_open.clone());
        let item = census.one();
        let thread = spawn(move || {
            select! {
                recv(from_open) -> _item => unreachable!(),
                send(sender, item) -> sent => drop(sent),
            }
        });
        yield_now();
        thread
    };
    let [killed, taken] = [wait(), wait()];
    killed.kill();
    assert_eq!(census.alive(), 1);
    let item = receiver.try_recv().expect("that of the second");
    taken.kill();
    assert_eq!(census.alive(), 1);
    drop(item);
    assert_eq!(census.alive(), 0);
    assert!(receiver.try_recv().is_err());
}

/// FAULTS 53: the deadline and the hand-off in one turn.
#[test]
fn fault_53_an_item_sent_in_the_turn_of_the_deadline_is_received() {
    let (sender, receiver) = channel();
    let waits = spawn(move || {
        select! {
            recv(receiver) -> item => item.ok(),
            default(PATIENCE) => None,
        }
    });
    yield_now();
    let_patience_end();
    sender.send(1).unwrap();
    assert_eq!(waits.wait().unwrap(), Some(1));
}

/// A descriptor that is ready counts more than a deadline, until the select goes on.
#[test]
fn a_socket_that_becomes_readable_after_the_deadline_is_seen() -> io::Result<()> {
    let (ours, mut theirs) = socket_pair()?;
    let waits = spawn(move || {
        select! {
            readable(ours) -> result => result.map(|()| "readable"),
            default(PATIENCE) => Ok("late"),
        }
    });
    yield_now();
    let_patience_end();
    theirs.write_all(b"x")?;
    assert_eq!(waits.wait().unwrap()?, "readable");
    Ok(())
}

/// FAULTS 2.2.
#[test]
fn it_waits_while_it_unwinds() {
    let (sender, receiver) = channel();
    let got = Rc::new(Cell::new(None));
    let dies = spawn({
        let got = Rc::clone(&got);
        let (_open, from_open) = channel::<u32>();
        move || {
            let _waits = OnDrop(|| {
                let item = select! {
                    recv(receiver) -> item => item.ok(),
                    recv(from_open) -> _item => None,
                };
                got.set(item);
            });
            let _open = &_open;
            panic!("on purpose");
        }
    });
    settle();
    assert!(!dies.is_finished());
    sender.send(7).unwrap();
    assert!(dies.wait().is_err());
    assert_eq!(got.get(), Some(7));
}

/// A non-blocking pair, as sockets of evy are inside.
fn socket_pair() -> io::Result<(UnixStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    Ok((ours, theirs))
}

#[test]
fn a_socket_that_becomes_readable_ends_the_wait() -> io::Result<()> {
    let (ours, mut theirs) = socket_pair()?;
    let (_sender, receiver) = channel::<u32>();
    spawn_n(move || {
        sleep(SOON);
        theirs.write_all(b"hello")?;
        sleep(LONG);
        io::Result::Ok(())
    });
    let mut text = [0; 5];
    select! {
        recv(receiver) -> _item => unreachable!(),
        readable(ours) -> result => {
            result?;
            (&ours).read_exact(&mut text)?;
        }
    }
    assert_eq!(&text, b"hello");
    let got = select! {
        recv(receiver) -> _item => unreachable!(),
        readable(ours) -> _result => unreachable!("it is read"),
        default(SOON) => "nothing",
    };
    assert_eq!(got, "nothing");
    Ok(())
}

#[test]
fn a_socket_is_one_thing_among_others() -> io::Result<()> {
    let (ours, theirs) = socket_pair()?;
    let (sender, receiver) = channel();
    let waits = spawn({
        let ours = ours.try_clone()?;
        move || {
            select! {
                readable(&ours) -> _result => None,
                recv(receiver) -> item => item.ok(),
            }
        }
    });
    settle();
    assert!(!waits.is_finished());
    sender.send(1).unwrap();
    assert_eq!(waits.wait().unwrap(), Some(1));
    assert_nothing_is_registered();
    // The peer's end is readable, too.
    drop(theirs);
    select! {
        readable(ours) -> result => result?,
        default(LONG) => unreachable!(),
    }
    Ok(())
}

#[test]
fn a_socket_that_is_writable_ends_the_wait() -> io::Result<()> {
    let (mut ours, mut theirs) = socket_pair()?;
    let (_sender, receiver) = channel::<u32>();
    let is_writable = |ours: &UnixStream| {
        select! {
            writable(ours) -> result => result.is_ok(),
            recv(receiver) -> _item => unreachable!(),
            default => false,
        }
    };
    assert!(is_writable(&ours));
    let full = loop {
        if let Err(error) = ours.write(&[0; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    assert!(!is_writable(&ours));
    let reads = spawn(move || {
        sleep(SOON);
        while theirs.read(&mut [0; 4096]).is_ok() {}
        theirs
    });
    select! {
        writable(ours) -> result => result?,
        recv(receiver) -> _item => unreachable!(),
    }
    assert!(is_writable(&ours));
    drop(reads.wait().unwrap());
    Ok(())
}

/// Several wait for one descriptor, each in both directions, and one is killed.
#[test]
fn sockets_may_be_waited_for_by_several() -> io::Result<()> {
    let (ours, mut theirs) = socket_pair()?;
    while (&ours).write(&[0; 4096]).is_ok() {}
    let ours = Rc::new(ours);
    let wait = || {
        let ours = Rc::clone(&ours);
        let thread = spawn(move || {
            select! {
                readable(ours) -> result => result.map(|()| "readable"),
                writable(ours) -> result => result.map(|()| "writable"),
            }
        });
        yield_now();
        thread
    };
    let [killed, one, other] = [wait(), wait(), wait()];
    killed.kill();
    theirs.write_all(b"x")?;
    assert_eq!(one.wait().unwrap()?, "readable");
    assert_eq!(other.wait().unwrap()?, "readable");
    assert_nothing_is_registered();
    Ok(())
}

/// A descriptor only wakes. What parks in between, in a clone or in a destructor during a kill, is not
/// to be woken by it.
#[test]
fn fault_53_a_socket_wakes_nothing_but_the_select() -> io::Result<()> {
    struct Parks(Rc<Mutex<()>>);
    impl Clone for Parks {
        fn clone(&self) -> Self {
            drop(self.0.lock());
            Self(Rc::clone(&self.0))
        }
    }
    impl Drop for Parks {
        fn drop(&mut self) {
            drop(self.0.lock());
        }
    }
    for _ in 0..20 {
        let (ours, mut theirs) = socket_pair()?;
        let (mutex, event) = (Rc::new(Mutex::new(())), Rc::new(Event::new()));
        let (sender, _receiver) = bounded(0);
        let wait = || {
            let (ours, event, sender) = (ours.try_clone(), Rc::clone(&event), sender.clone());
            let item = Parks(Rc::clone(&mutex));
            let thread = spawn(move || {
                let ours = ours.unwrap();
                select! {
                    readable(ours) -> _result => unreachable!("nothing comes before the others"),
                    recv(event) -> value => drop(value),
                    send(sender, item) -> _sent => unreachable!("nobody receives"),
                }
            });
            yield_now();
            thread
        };
        let [killed, gets] = [wait(), wait()];
        let guard = mutex.lock();
        killed.kill();
        event.send(Parks(Rc::clone(&mutex))).ok().unwrap();
        settle();
        // Both are in their locks; now the descriptor becomes ready.
        theirs.write_all(b"x")?;
        sleep(SOON);
        assert!(!killed.is_finished() && !gets.is_finished());
        drop(guard);
        assert!(matches!(killed.wait(), Err(Died::Killed)));
        gets.wait().unwrap();
    }
    Ok(())
}

/// What epoll refuses is an error of that arm; poll(2), which looks first, finds a file ready.
#[test]
fn a_descriptor_that_cannot_be_waited_for_does_not_hang() -> io::Result<()> {
    let file = std::fs::File::open("/proc/self/status")?;
    let (_sender, receiver) = channel::<u32>();
    select! {
        readable(file) -> result => result?,
        recv(receiver) -> _item => unreachable!(),
    }
    let mut ready = Ready::to_read(&file);
    assert!(try_select(&mut [&mut ready]));
    assert!(ready.into_result().is_some_and(|result| result.is_ok()));
    Ok(())
}

/// While it unwinds it may not wait for a descriptor (FAULTS 2.2): that arm fails.
#[test]
fn fault_06_a_socket_is_not_waited_for_in_an_unwind() -> io::Result<()> {
    let (ours, _theirs) = socket_pair()?;
    let (_sender, receiver) = channel::<u32>();
    let kind = Rc::new(Cell::new(None));
    let dies = spawn({
        let kind = Rc::clone(&kind);
        move || {
            let _waits = OnDrop(|| {
                select! {
                    readable(ours) -> result => kind.set(result.err().map(|error| error.kind())),
                    recv(receiver) -> _item => unreachable!(),
                }
            });
            panic!("on purpose");
        }
    });
    assert!(dies.wait().is_err());
    assert_eq!(kind.get(), Some(ErrorKind::WouldBlock));
    Ok(())
}

#[test]
fn the_last_item_of_a_killed_receiver_goes_to_a_select_that_was_told_of_the_end() {
    let (sender, receiver) = channel();
    let first = spawn({
        let receiver = receiver.clone();
        move || receiver.recv()
    });
    let second = spawn(move || select! { recv(receiver) -> item => item });
    yield_now();
    sender.send("last").unwrap();
    drop(sender);
    first.kill();
    assert_eq!(second.wait().unwrap(), Ok("last"));
}
