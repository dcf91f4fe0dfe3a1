//! Closures that are run on the hub of another OS thread.

mod util;

use std::cell::Cell;
use std::panic::panic_any;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use evy_runtime::{
    Builder, Died, GreenThreadId, Parker, Remote, RemoteThread, WaitList, current, kill, kill_all,
    sleep, spawn, spawn_n, timeout, unblock, yield_now,
};
use util::{
    HOUR, OnDrop, SOMETHING, Watchdog, assert_nothing_is_registered, line, panic_of, rounds, text,
    wait_in,
};

const MOMENT: Duration = Duration::from_millis(2);

/// An OS thread whose own stack sleeps on its hub until this is dropped.
struct Hub {
    remote: Remote,
    stop: Option<evy_runtime::Unparker>,
    thread: Option<JoinHandle<()>>,
}

impl Hub {
    fn new() -> Self {
        let (give, take) = mpsc::channel();
        let thread = thread::spawn(move || {
            let remote = Remote::current();
            let parker = Parker::new();
            give.send((remote, parker.unparker())).unwrap();
            parker.park(SOMETHING, None).unwrap();
        });
        let (remote, stop) = take.recv().unwrap();
        Self { remote, stop: Some(stop), thread: Some(thread) }
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.unpark_once();
            self.thread.take().unwrap().join().unwrap();
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs `f` on an OS thread without a hub, on the own stack of one that has a hub, on a green thread, and
/// on the hub itself.
fn everywhere(remote: &Remote, f: impl Fn(&Remote) + Copy + Send + 'static) {
    let run = |on_hub: fn(Box<dyn FnOnce()>)| {
        let remote = remote.clone();
        thread::spawn(move || on_hub(Box::new(move || f(&remote)))).join().unwrap();
    };
    run(|f| f());
    run(|f| {
        yield_now();
        f();
    });
    run(|f| spawn(f).wait().unwrap());
    let own = remote.clone();
    remote.spawn(move || f(&own)).wait().unwrap();
}

/// Counts drops.
fn counting(drops: &Arc<AtomicUsize>) -> OnDrop<impl FnMut() + Send + use<>> {
    let drops = Arc::clone(drops);
    OnDrop(move || {
        drops.fetch_add(1, Ordering::SeqCst);
    })
}

fn is_killed<T>(result: Result<T, Died>) -> bool {
    matches!(result, Err(Died::Killed))
}

fn has_ended<T>(result: Result<T, Died>) -> bool {
    matches!(result, Err(Died::HubEnded))
}

#[test]
fn results_come_back_to_wherever_they_are_waited_for() {
    let _watchdog = Watchdog::new("a result from another hub");
    let hub = Hub::new();
    let there = hub.thread.as_ref().unwrap().thread().id();
    everywhere(&hub.remote, |remote| {
        let ids: Vec<ThreadId> = (0..3)
            .map(|_| remote.spawn(|| thread::current().id()))
            .map(|thread| thread.wait().unwrap())
            .collect();
        assert!(ids.iter().all(|id| *id == ids[0]));
        // What it makes for itself need not be `Send`, and it may wait.
        let thread = remote.spawn(|| {
            let local = Rc::new(Cell::new(1));
            let neighbour = spawn({
                let local = Rc::clone(&local);
                move || local.set(42)
            });
            sleep(Duration::from_micros(10));
            neighbour.wait().unwrap();
            local.get()
        });
        assert_eq!(thread.wait().unwrap(), 42);
    });
    assert_eq!(hub.remote.spawn(|| thread::current().id()).wait().unwrap(), there);
}

#[test]
fn panics_come_back_with_their_payload() {
    let hub = Hub::new();
    everywhere(&hub.remote, |remote| {
        let Died::Panicked(payload) = remote.spawn(|| panic_any(7_u8)).wait().unwrap_err() else {
            panic!("it panicked");
        };
        assert_eq!(payload.downcast_ref(), Some(&7_u8));
        let died = remote.spawn(|| -> u8 { panic!("out of luck") }).wait().unwrap_err();
        assert_eq!(died.to_string(), "green thread panicked: out of luck");
    });
    assert_eq!(hub.remote.spawn(|| 8).wait().unwrap(), 8);
}

#[test]
fn a_green_thread_that_is_killed_there_says_so() {
    let _watchdog = Watchdog::new("a kill on another hub");
    let (hub, drops) = (Hub::new(), Arc::new(AtomicUsize::new(0)));
    let (give, take) = mpsc::channel::<GreenThreadId>();
    let started = hub.remote.spawn({
        let (give, guard) = (give.clone(), counting(&drops));
        move || {
            let _guard = guard;
            give.send(current()).unwrap();
            sleep(HOUR);
        }
    });
    let id = take.recv().unwrap();
    assert!(!kill(id), "it is out of reach from here");
    assert!(hub.remote.spawn(move || kill(id)).wait().unwrap());
    assert!(is_killed(started.wait()));
    // And before the first run: it is there when the killer runs, which was sent before it.
    let (gate, passes) = mpsc::channel();
    let killer = hub.remote.spawn(move || {
        passes.recv().unwrap();
        // The errands start the next one meanwhile.
        yield_now();
        kill_all();
    });
    let guard = counting(&drops);
    let unstarted = hub.remote.spawn(move || drop(guard));
    gate.send(()).unwrap();
    killer.wait().unwrap();
    match unstarted.wait() {
        Err(Died::Killed) => {}
        // It had its turn in the yield.
        Ok(()) => {}
        Err(died) => panic!("{died}"),
    }
    assert_eq!(drops.load(Ordering::SeqCst), 2);
}

/// Deterministic, on one's own hub.
#[test]
fn killed_before_its_first_run_it_never_runs() {
    let drops = Arc::new(AtomicUsize::new(0));
    let remote = Remote::current();
    let guard = counting(&drops);
    let unstarted = remote.spawn(move || {
        drop(guard);
        unreachable!("it is killed");
    });
    // The errands start it behind this one.
    let killer = spawn(kill_all);
    yield_now();
    killer.wait().unwrap();
    assert!(is_killed(unstarted.wait()));
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert_eq!(remote.spawn(|| 7).wait().unwrap(), 7, "the errands go on");
}

#[test]
fn what_one_os_thread_sends_starts_in_order() {
    let hub = Hub::new();
    let count = rounds(20_000);
    let order = Arc::new(Mutex::new(Vec::new()));
    let senders: Vec<_> = (0..2)
        .map(|sender| {
            let (remote, order) = (hub.remote.clone(), Arc::clone(&order));
            thread::spawn(move || {
                for n in 0..count {
                    let order = Arc::clone(&order);
                    drop(remote.spawn(move || order.lock().unwrap().push((sender, n))));
                }
                remote.spawn(|| ()).wait().unwrap();
            })
        })
        .collect();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let order = order.lock().unwrap();
    for sender in 0..2 {
        let own = order.iter().filter(|(from, _)| *from == sender).map(|(_, n)| *n);
        assert!(own.eq(0..count));
    }
}

/// Semantics E 97; FAULTS row 22: a closure is never slept through.
#[test]
fn fault_22_no_closure_is_lost_on_the_way_to_sleep() {
    let _watchdog = Watchdog::new("a closure or its result was lost");
    let hub = Hub::new();
    everywhere(&hub.remote, |remote| {
        for round in 0..rounds(5_000) {
            let thread = remote.spawn(move || round);
            for _ in 0..round % 200 {
                std::hint::spin_loop();
            }
            assert_eq!(thread.wait().unwrap(), round);
        }
    });
}

/// There and back, and back again.
#[test]
fn hubs_can_ask_each_other_in_turns() {
    let _watchdog = Watchdog::new("hubs that ask each other");
    let hubs = [Hub::new(), Hub::new()];
    fn ask(depth: usize, to: Remote, back: Remote) -> usize {
        if depth == 0 {
            return 0;
        }
        let (next, then) = (back.clone(), to.clone());
        to.spawn(move || ask(depth - 1, next, then)).wait().unwrap() + 1
    }
    assert_eq!(ask(100, hubs[0].remote.clone(), hubs[1].remote.clone()), 100);
    let own = Remote::current();
    assert_eq!(ask(100, own.clone(), own), 100);
}

#[test]
fn a_dropped_handle_detaches_and_the_result_is_dropped_there() {
    let hub = Hub::new();
    // Both end when their handles are gone.
    let (gate, passes) = mpsc::channel();
    let (give, take) = mpsc::channel();
    drop(hub.remote.spawn(move || {
        unblock(move || passes.recv().unwrap());
        OnDrop(move || give.send(thread::current().id()).unwrap())
    }));
    gate.send(()).unwrap();
    assert_eq!(take.recv().unwrap(), hub.thread.as_ref().unwrap().thread().id());
    // A destructor that panics harms nobody.
    let (gate, passes) = mpsc::channel();
    drop(hub.remote.spawn(|| {
        unblock(move || passes.recv().unwrap());
        OnDrop(|| panic!("in the drop of a result"))
    }));
    gate.send(()).unwrap();
    assert_eq!(hub.remote.spawn(|| 7).wait().unwrap(), 7);
}

#[test]
fn whether_it_is_finished_can_be_seen_without_waiting() {
    let (gate, passes) = (Hub::new(), Arc::new(Barrier::new(2)));
    let thread = gate.remote.spawn({
        let passes = Arc::clone(&passes);
        move || {
            passes.wait();
            7
        }
    });
    assert!(!thread.is_finished());
    assert_eq!(format!("{thread:?}"), "RemoteThread { is_finished: false }");
    assert_eq!(format!("{:?}", gate.remote), "Remote { has_ended: false, .. }");
    passes.wait();
    while !thread.is_finished() {
        yield_now();
    }
    assert_eq!(thread.wait().unwrap(), 7);
}

#[test]
fn a_hub_that_has_ended_takes_nothing() {
    let mut hub = Hub::new();
    let before = hub.remote.spawn(|| 7);
    while !before.is_finished() {
        yield_now();
    }
    hub.end();
    let drops = Arc::new(AtomicUsize::new(0));
    let guard = counting(&drops);
    let late = hub.remote.spawn(move || drop(guard));
    assert_eq!(drops.load(Ordering::SeqCst), 1, "at once");
    assert!(late.is_finished() && hub.remote.has_ended());
    assert!(has_ended(late.wait()));
    // What was finished before is there all the same.
    assert_eq!(before.wait().unwrap(), 7);
    thread::spawn(move || assert!(has_ended(hub.remote.spawn(|| ()).wait()))).join().unwrap();
}

/// It ends without having looked at its inbox again.
#[test]
fn what_a_hub_has_not_begun_when_it_ends_is_dropped_once_and_its_waiters_are_woken() {
    let _watchdog = Watchdog::new("who waits for a hub that has ended");
    let drops = Arc::new(AtomicUsize::new(0));
    let (give, take) = mpsc::channel();
    let (end, ends) = mpsc::channel();
    let other = thread::spawn(move || {
        give.send(Remote::current()).unwrap();
        // The hub does not run meanwhile.
        ends.recv().unwrap();
    });
    let remote: Remote = take.recv().unwrap();
    let sent = Arc::new(Barrier::new(4));
    let send = {
        let (drops, sent) = (Arc::clone(&drops), Arc::clone(&sent));
        move || {
            let guards = [(); 3].map(|()| counting(&drops));
            let threads = guards.map(|guard| remote.spawn(move || drop(guard)));
            sent.wait();
            threads.into_iter().all(|thread| has_ended(thread.wait()))
        }
    };
    let on_os_thread = thread::spawn(send.clone());
    let on_main = thread::spawn({
        let send = send.clone();
        move || {
            yield_now();
            send()
        }
    });
    let on_green = thread::spawn(move || spawn(send).wait().unwrap());
    sent.wait();
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    end.send(()).unwrap();
    other.join().unwrap();
    assert!([on_os_thread, on_main, on_green].into_iter().all(|waiter| waiter.join().unwrap()));
    assert_eq!(drops.load(Ordering::SeqCst), 9);
}

/// One that sleeps, one that is parked for ever, one that has not had its turn: they are leaked.
#[test]
fn what_a_hub_has_begun_when_it_ends_never_comes_back() {
    let _watchdog = Watchdog::new("who waits for a hub that has ended");
    let mut hub = Hub::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let guards = [(); 2].map(|()| counting(&drops));
    let [first, second] = guards;
    let sleeps = hub.remote.spawn(move || {
        let _guard = first;
        sleep(HOUR);
    });
    let parks = hub.remote.spawn(move || {
        let _guard = second;
        let (_line, other) = line();
        wait_in(&other);
    });
    let waits = spawn(move || has_ended(sleeps.wait()));
    let on_os_thread = thread::spawn(move || has_ended(parks.wait()));
    hub.remote.spawn(yield_now).wait().unwrap();
    yield_now();
    hub.end();
    assert!(waits.wait().unwrap());
    assert!(on_os_thread.join().unwrap());
    assert_eq!(drops.load(Ordering::SeqCst), 0, "leaked, as all green threads are");
}

/// Whatever the end cuts off: an answer means that it ran, and no answer that the hub has ended.
#[test]
fn a_hub_that_ends_while_it_is_sent_to_answers_all_or_says_so() {
    let _watchdog = Watchdog::new("a hub that ends while it is sent to");
    for round in 0..rounds(500) {
        let mut hub = Hub::new();
        let (ran, drops) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let (remote, drops) = (hub.remote.clone(), Arc::clone(&drops));
                let ran = Arc::clone(&ran);
                thread::spawn(move || {
                    let threads: Vec<_> = (0..50)
                        .map(|n| {
                            let (ran, guard) = (Arc::clone(&ran), counting(&drops));
                            remote.spawn(move || {
                                drop(guard);
                                ran.fetch_add(1, Ordering::SeqCst);
                                n
                            })
                        })
                        .collect();
                    let answers = threads.into_iter().enumerate().map(|(n, thread)| {
                        match thread.wait() {
                            Ok(answer) => assert_eq!(answer, n),
                            Err(Died::HubEnded) => return 0,
                            Err(died) => panic!("{died}"),
                        }
                        1
                    });
                    answers.sum::<usize>()
                })
            })
            .collect();
        for _ in 0..round * 20 {
            std::hint::spin_loop();
        }
        hub.end();
        let answers: usize = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
        assert_eq!(answers, ran.load(Ordering::SeqCst));
        assert!((answers..=100).contains(&drops.load(Ordering::SeqCst)));
    }
}

/// Destructors of what was sent run at the end of the OS thread, where there is no hub any more.
#[test]
fn destructors_at_the_end_of_a_hub_may_panic_and_send() {
    let (give, take) = mpsc::channel();
    let (end, ends) = mpsc::channel();
    let other = thread::spawn(move || {
        give.send(Remote::current()).unwrap();
        ends.recv().unwrap();
    });
    let remote: Remote = take.recv().unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let guard = {
        let (remote, count) = (remote.clone(), counting(&drops));
        let mut count = Some(count);
        OnDrop(move || {
            drop(count.take());
            assert!(has_ended(remote.spawn(|| ()).wait()));
            panic!("in the drop of what was sent");
        })
    };
    let first = remote.spawn(move || drop(guard));
    let guard = counting(&drops);
    let second = remote.spawn(move || drop(guard));
    drop(remote);
    end.send(()).unwrap();
    other.join().unwrap();
    assert!(has_ended(first.wait()) && has_ended(second.wait()));
    assert_eq!(drops.load(Ordering::SeqCst), 2);
}

#[test]
fn a_timeout_or_a_kill_ends_the_wait_and_the_answer_comes_to_nothing() {
    let _watchdog = Watchdog::new("a wait that was cut off");
    let (hub, drops) = (Hub::new(), Arc::new(AtomicUsize::new(0)));
    let (gate, passes) = mpsc::channel::<()>();
    let passes = Arc::new(Mutex::new(passes));
    let slow = || -> RemoteThread<_> {
        let (passes, guard) = (Arc::clone(&passes), counting(&drops));
        hub.remote.spawn(move || {
            unblock(move || passes.lock().unwrap().recv().unwrap());
            guard
        })
    };
    let thread = slow();
    assert!(timeout(MOMENT, || thread.wait()).is_err());
    let thread = slow();
    let killed = spawn(move || thread.wait());
    yield_now();
    killed.kill();
    assert!(is_killed(killed.wait()));
    // These are where the killed one was, and wait for something else.
    let (waiting, list) = line();
    let stranger = spawn(move || wait_in(&list));
    yield_now();
    gate.send(()).unwrap();
    gate.send(()).unwrap();
    let start = Instant::now();
    while drops.load(Ordering::SeqCst) < 2 {
        assert!(start.elapsed() < HOUR);
        yield_now();
    }
    hub.remote.spawn(|| ()).wait().unwrap();
    assert_eq!(waiting.len(), 1);
    waiting.wake_one();
    stranger.wait().unwrap();
    drop(hub);
    assert_nothing_is_registered();
}

/// FAULTS row 30.
#[test]
fn fault_30_a_wait_is_a_deadlock_when_the_last_remote_is_gone() {
    let _watchdog = Watchdog::new("a deadlock was not seen");
    // One from here that goes elsewhere, with a clone.
    let remote = Remote::current();
    let other = thread::spawn(move || {
        let clone = remote.clone();
        drop(remote);
        let start = Instant::now();
        while start.elapsed() < 5 * MOMENT {
            std::hint::spin_loop();
        }
        // It can still be of use.
        let answer = clone.spawn(|| 7).wait().unwrap();
        while start.elapsed() < 10 * MOMENT {
            std::hint::spin_loop();
        }
        drop(clone);
        (start, answer)
    });
    let (_line, list) = line();
    let text = panic_of(|| wait_in(&list));
    assert!(text.starts_with("deadlock: "), "{text}");
    let (start, answer) = other.join().unwrap();
    assert!(start.elapsed() >= 10 * MOMENT, "not before");
    assert_eq!(answer, 7);
    assert_nothing_is_registered();
}

/// Two that go at once: where both saw the other one, the hub slept for ever.
#[test]
fn fault_30_remotes_that_go_at_the_same_time_hide_no_deadlock() {
    let _watchdog = Watchdog::new("a deadlock was not seen");
    let gate = Arc::new(Barrier::new(2));
    let (give, take): (Vec<_>, Vec<_>) = [(); 2].map(|()| mpsc::channel()).into_iter().unzip();
    let droppers: Vec<_> = take
        .into_iter()
        .map(|take| {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                for remote in take {
                    gate.wait();
                    drop::<Remote>(remote);
                }
            })
        })
        .collect();
    let (_line, list) = line();
    for _ in 0..rounds(1_000) {
        let remote = Remote::current();
        let remotes = [remote.clone(), remote];
        give.iter().zip(remotes).for_each(|(give, remote)| give.send(remote).unwrap());
        let text = panic_of(|| wait_in(&list));
        assert!(text.starts_with("deadlock: "), "{text}");
    }
    drop(give);
    droppers.into_iter().for_each(|dropper| dropper.join().unwrap());
}

/// What the last one has sent is run before anything is called a deadlock.
#[test]
fn fault_30_what_the_last_remote_sent_is_no_deadlock() {
    thread_local! { static LIST: WaitList = const { WaitList::new() }; }

    let _watchdog = Watchdog::new("a closure of the last remote was lost");
    for round in 0..rounds(1_000) {
        let remote = Remote::current();
        let other = thread::spawn(move || {
            for _ in 0..round % 300 {
                std::hint::spin_loop();
            }
            drop(remote.spawn(|| assert!(LIST.with(WaitList::wake_one))));
        });
        LIST.with(wait_in);
        other.join().unwrap();
    }
}

/// A remote that a green thread of the same hub holds can send as well as any other, as far as the hub
/// knows; when the last one is dropped here, the hub looks by itself.
#[test]
fn fault_30_a_remote_that_is_dropped_at_home_is_seen_to_be_gone() {
    let remote = Remote::current();
    spawn_n(move || {
        yield_now();
        drop(remote);
    });
    let (_line, list) = line();
    let text = panic_of(|| wait_in(&list));
    assert!(text.starts_with("deadlock: "), "{text}");
}

/// The report names the line that sent it.
#[test]
fn a_green_thread_that_was_sent_knows_where_from() {
    let (_line, list) = line();
    let remote = Remote::current();
    let (place, sent) = (line!(), remote.spawn(|| sleep(Duration::MAX)));
    yield_now();
    drop(remote);
    let text = panic_of(|| wait_in(&list));
    assert!(text.contains(&format!("spawned at {}:{place}:", file!())), "{text}");
    kill_all();
    assert!(is_killed(sent.wait()));
}

/// FAULTS row 6: destructors may send and wait while their green thread unwinds.
#[test]
fn fault_06_a_destructor_may_ask_another_hub_while_its_green_thread_unwinds() {
    let _watchdog = Watchdog::new("a remote in a destructor");
    let (hub, answer) = (Hub::new(), Rc::new(Cell::new(0)));
    let killed = spawn({
        let (remote, answer) = (hub.remote.clone(), Rc::clone(&answer));
        move || {
            let _guard = OnDrop(|| answer.set(remote.spawn(|| 7).wait().unwrap()));
            sleep(HOUR);
        }
    });
    yield_now();
    killed.kill();
    assert!(is_killed(killed.wait()));
    assert_eq!(answer.get(), 7);
}

/// Nothing of the runtime's own way of starting it is the user's business: names and panics are as ever.
#[test]
fn it_may_do_there_all_that_a_green_thread_may() {
    let hub = Hub::new();
    let answers = hub.remote.spawn(|| {
        let named = Builder::new().name("there").spawn(|| 1).unwrap();
        let panicked = spawn(|| panic!("in a neighbour")).wait().unwrap_err();
        let Died::Panicked(payload) = panicked else { panic!("{panicked}") };
        let own = Remote::current().spawn(|| 3).wait().unwrap();
        (named.wait().unwrap(), text(&*payload), unblock(|| 2), own)
    });
    assert_eq!(answers.wait().unwrap(), (1, "in a neighbour".to_owned(), 2, 3));
}

#[test]
fn remotes_go_everywhere_and_handles_of_what_is_send_too() {
    fn everywhere<T: Send + Sync + Clone + 'static>() {}
    fn sendable<T: Send + 'static>() {}
    everywhere::<Remote>();
    sendable::<RemoteThread<Cell<u8>>>();
    let hub = Hub::new();
    let thread = hub.remote.spawn(|| Cell::new(7));
    assert_eq!(thread::spawn(move || thread.wait().unwrap().get()).join().unwrap(), 7);
}
