//! Who is always ready does not keep the others waiting: FAULTS rows 15 and 16, Semantics E 89 and 90.

mod util;

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_green_net::UnixStream;
use evy_runtime::{sleep, spawn, yield_now};
use util::{green_pair, let_all_park, pair, soon};

/// Echoes of one byte through two ends in the same hands: no call of it ever has to wait.
fn flood(rounds: impl Iterator) {
    let (ours, theirs) = green_pair();
    let mut byte = [7];
    for _ in rounds {
        (&ours).write_all(&byte).unwrap();
        (&theirs).read_exact(&mut byte).unwrap();
    }
}

#[test]
fn fault_15_every_128_operations_the_others_get_their_turn() {
    const TURNS: u64 = 200;
    let turns = Rc::new(Cell::new(0));
    let over = Rc::new(Cell::new(false));
    let counter = spawn({
        let (turns, over) = (Rc::clone(&turns), Rc::clone(&over));
        move || {
            while !over.get() {
                turns.set(turns.get() + 1);
                yield_now();
            }
        }
    });
    let flooder = spawn(|| flood(0..TURNS * 128 / 2));
    flooder.wait().unwrap();
    over.set(true);
    counter.wait().unwrap();
    assert!(turns.get() >= TURNS - 1, "{} turns in {TURNS} times 128 operations", turns.get());
}

#[test]
fn fault_15_where_calls_move_much_the_others_get_their_turn_sooner() {
    const CALLS: usize = 260;
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut buffer = vec![0; 1 << 16];
    let count = (&theirs).write(&buffer).unwrap();
    let turns = Rc::new(Cell::new(0));
    let counter = spawn({
        let turns = Rc::clone(&turns);
        move || {
            loop {
                turns.set(turns.get() + 1);
                yield_now();
            }
        }
    });
    for _ in 0..CALLS {
        // Never drained, so it never waits.
        assert_eq!(ours.peek(&mut buffer).unwrap(), count);
    }
    counter.kill();
    let weight = 1 + count / (16 << 10);
    assert!(weight > 1, "{count}");
    assert!(turns.get() >= CALLS * weight / 129 - 1, "{} turns", turns.get());
}

/// Semantics E 89: a timer is not late beside them. Counted in what the flood does meanwhile, for the
/// machine may be busy with other things.
#[test]
fn fault_15_a_timer_that_is_due_comes_before_a_few_hundred_more_operations() {
    let due: Rc<Cell<Option<Instant>>> = Rc::default();
    let late_by = Rc::new(Cell::new(0));
    let flooder = spawn({
        let (due, late_by) = (Rc::clone(&due), Rc::clone(&late_by));
        let is_late = move || due.get().is_some_and(|due| Instant::now() >= due);
        move || {
            flood((0..2_000_000).inspect(|_| late_by.set(late_by.get() + 2 * u32::from(is_late()))))
        }
    });
    let mut late: Vec<u32> = (0..20)
        .map(|_| {
            late_by.set(0);
            due.set(Some(Instant::now() + Duration::from_millis(10)));
            sleep(Duration::from_millis(10));
            due.set(None);
            late_by.get()
        })
        .collect();
    assert!(!flooder.is_finished());
    flooder.kill();
    late.sort();
    assert!(late[10] <= 2 * 128, "late by so many operations: {late:?}");
}

/// FAULTS R10. Counted in turns of the worker, for the machine may be busy with other things.
#[test]
fn fault_15_a_timer_that_is_due_waits_for_few_turns_of_one_that_works_and_yields() {
    let due: Rc<Cell<Option<Instant>>> = Rc::default();
    let late_by = Rc::new(Cell::new(0));
    let worker = spawn({
        let (due, late_by) = (Rc::clone(&due), Rc::clone(&late_by));
        move || loop {
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_micros(10) {}
            late_by.set(late_by.get() + u32::from(due.get().is_some_and(|due| begin >= due)));
            yield_now();
        }
    });
    let mut late: Vec<u32> = (0..40)
        .map(|n| {
            let time = Duration::from_micros(3_000 + 37 * n);
            late_by.set(0);
            due.set(Some(Instant::now() + time));
            sleep(time);
            due.set(None);
            late_by.get()
        })
        .collect();
    worker.kill();
    late.sort();
    // 200 µs are 20 of them; with a look every 256 switches the median was over 100.
    assert!(late[20] <= 40, "late by so many turns: {late:?}");
}

/// They run in the order in which they became ready, as far as the hub can know it.
#[test]
fn fault_15_sockets_that_are_ready_all_get_their_turn_in_one_round_of_many_that_work_and_yield() {
    const WORKERS: usize = 64;
    let turns = Rc::new(Cell::new(0));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let turns = Rc::clone(&turns);
            spawn(move || {
                loop {
                    let begin = Instant::now();
                    while begin.elapsed() < Duration::from_micros(100) {}
                    turns.set(turns.get() + 1);
                    yield_now();
                }
            })
        })
        .collect();
    let (ours, theirs): (Vec<_>, Vec<_>) = (0..400).map(|_| pair()).unzip();
    let readers: Vec<_> = ours
        .into_iter()
        .map(|mut ours| spawn(move || ours.read_exact(&mut [0]).unwrap()))
        .collect();
    // All of them wait, and the hub has seen more than 256 turns of workers, and knows their pace.
    (0..8).for_each(|_| yield_now());
    theirs.iter().for_each(|mut theirs| theirs.write_all(b"x").unwrap());
    turns.set(0);
    readers.into_iter().for_each(|reader| reader.wait().unwrap());
    assert!(turns.get() <= 2 * WORKERS, "the last one after {} turns of workers", turns.get());
    workers.iter().for_each(evy_runtime::GreenThread::kill);
}

#[test]
fn fault_15_a_socket_that_becomes_ready_is_noticed_beside_an_echo_that_is_always_ready() {
    let flooder = spawn(|| flood(0..2_000_000));
    let (ours, mut theirs) = pair();
    let peer = std::thread::spawn(move || {
        for n in 0..100 {
            theirs.write_all(&[n]).unwrap();
            theirs.read_exact(&mut [0]).unwrap();
        }
    });
    soon(|| evy_green_net::copy(&ours, &ours)).unwrap();
    peer.join().unwrap();
    assert!(!flooder.is_finished());
    flooder.kill();
}

/// Semantics E 89.
#[test]
fn clients_that_push_hard_at_one_server_all_get_on() {
    const CLIENTS: usize = 5;
    const ENOUGH: usize = 4 << 20;
    let received: Rc<[Cell<usize>]> = (0..CLIENTS).map(|_| Cell::new(0)).collect();
    let mut threads = Vec::new();
    for n in 0..CLIENTS {
        let (client, server) = green_pair();
        threads.push(spawn(move || {
            let block = [0; 1 << 14];
            while (&client).write_all(&block).is_ok() {}
        }));
        let received = Rc::clone(&received);
        threads.push(spawn(move || {
            let mut buffer = [0; 1 << 14];
            loop {
                let count = (&server).read(&mut buffer).unwrap();
                received[n].set(received[n].get() + count);
            }
        }));
    }
    let counts = || received.iter().map(Cell::get);
    soon(|| {
        while counts().max() < Some(ENOUGH) {
            yield_now();
        }
    });
    let least = counts().min().unwrap();
    assert!(least >= ENOUGH / 8, "one got {least} of {ENOUGH}: {:?}", counts().collect::<Vec<_>>());
    threads.iter().for_each(|thread| thread.kill());
}

/// Semantics E 90.
#[test]
fn a_loop_of_yields_does_not_starve_sockets() {
    let (ours, mut theirs) = pair();
    let reader = spawn(move || (&ours).read(&mut [0; 8]).unwrap());
    let_all_park();
    let waiting = Rc::new(reader);
    theirs.write_all(b"x").unwrap();
    let start = Instant::now();
    while !waiting.is_finished() {
        yield_now();
        assert!(start.elapsed() < util::FOR_EVER, "it is never looked at");
    }
}

/// Semantics E 90: nor do many of them.
#[test]
fn many_loops_of_yields_do_not_starve_sockets_and_timers() {
    let over = Rc::new(Cell::new(false));
    let loops: Vec<_> = (0..100)
        .map(|_| {
            let over = Rc::clone(&over);
            spawn(move || {
                while !over.get() {
                    yield_now();
                }
            })
        })
        .collect();
    let (ours, mut theirs) = pair();
    let echo = spawn(move || evy_green_net::copy(&ours, &ours));
    let peer = std::thread::spawn(move || {
        for n in 0..50 {
            theirs.write_all(&[n]).unwrap();
            theirs.read_exact(&mut [0]).unwrap();
        }
    });
    assert_eq!(soon(|| echo.wait()).unwrap().unwrap(), 50);
    soon(|| sleep(Duration::from_millis(1)));
    peer.join().unwrap();
    over.set(true);
    loops.into_iter().for_each(|each| each.wait().unwrap());
}

/// FAULTS row 16: writers to peers that do not read park, and what they hold is bounded.
#[test]
fn fault_16_peers_that_stop_reading_hold_up_nobody_else() {
    const SLOW: usize = 200;
    assert!(util::limit_descriptors(20_000) > 1_000);
    let mut peers = Vec::new();
    let writers: Vec<_> = (0..SLOW)
        .map(|_| {
            let (ours, theirs) = pair();
            socket2::SockRef::from(&ours).set_send_buffer_size(4096).unwrap();
            peers.push(theirs);
            spawn(move || {
                ours.set_write_timeout(Some(Duration::from_millis(50)))?;
                let block = [0; 4096];
                (0..).try_for_each(|_: u64| (&ours).write_all(&block))
            })
        })
        .collect();
    let_all_park();
    let (ours, mut theirs) = pair();
    let echo = spawn(move || evy_green_net::copy(&ours, &ours));
    let client = std::thread::spawn(move || {
        for _ in 0..100 {
            theirs.write_all(b"ping").unwrap();
            theirs.read_exact(&mut [0; 4]).unwrap();
        }
    });
    assert_eq!(soon(|| echo.wait()).unwrap().unwrap(), 400);
    client.join().unwrap();
    for writer in writers {
        let error = soon(|| writer.wait()).unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    }
}

util::and_all_of_them_again!();
