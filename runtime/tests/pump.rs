//! `GreenFd::pump`: steps that the loop makes in a green thread's place. All of these run on Linux's driver and
//! again on the portable one.

mod util;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::panic::{catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::panicking;
use std::time::Duration;

use evy_runtime::io::{Attempt, Direction, GreenFd, Step, count};
use evy_runtime::{
    Died, GreenThread, add_switch_hook, current, kill, sleep, spawn, timeout, wait_readable,
    yield_now,
};
use util::{
    Child, HOUR, Log, OnDrop, Watchdog, assert_nothing_is_registered, is_asan, is_child, text,
};

#[test]
fn the_same_tests_pass_on_the_portable_driver() {
    util::pass_again_on_the_portable_driver();
}

/// Our end, whose reads park, and the peer's, which blocks.
struct Ours {
    socket: UnixStream,
    fd: GreenFd,
}

fn pair() -> (Rc<Ours>, UnixStream) {
    let (socket, peer) = UnixStream::pair().unwrap();
    socket.set_nonblocking(true).unwrap();
    let fd = GreenFd::new(OwnedFd::from(socket.try_clone().unwrap()));
    (Rc::new(Ours { socket, fd }), peer)
}

impl Ours {
    /// Gives each byte but [`FIRST`] to `take` until the end, and says how many there were.
    fn each_byte(&self, mut take: impl FnMut(u8)) -> io::Result<usize> {
        let mut total = 0;
        self.fd.pump(Direction::Read, |_| {
            let mut byte = [0];
            if (&self.socket).read(&mut byte)? == 0 {
                return Ok(Step::Done(total));
            }
            if byte != FIRST {
                total += 1;
                take(byte[0]);
            }
            Ok(Step::More)
        })
    }
}

/// For the first step, which the green thread makes by itself.
const FIRST: [u8; 1] = *b"-";

/// Has a green thread give each byte to `take`, from its second step on, which is the loop's.
fn pumping(
    ours: &Rc<Ours>,
    peer: &mut UnixStream,
    take: impl FnMut(u8) + 'static,
) -> GreenThread<io::Result<usize>> {
    let ours = Rc::clone(ours);
    let thread = spawn(move || ours.each_byte(take));
    let_the_loop_see_to_it();
    peer.write_all(&FIRST).unwrap();
    let_the_loop_see_to_it();
    assert!(!thread.is_finished());
    thread
}

/// Has the hub polled, and what it found run.
fn let_the_loop_see_to_it() {
    for _ in 0..10 {
        sleep(Duration::from_micros(100));
    }
}

#[test]
fn the_loop_makes_the_steps_in_the_name_of_the_green_thread() {
    let (ours, mut peer) = pair();
    let main = own_stack();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let thread = pumping(&ours, &mut peer, {
        let seen = Rc::clone(&seen);
        move |_| seen.borrow_mut().push((current(), is_near(main) || is_asan()))
    });
    for n in 1..=5 {
        peer.write_all(b"x").unwrap();
        let_the_loop_see_to_it();
        assert_eq!(*seen.borrow(), vec![(thread.id(), true); n]);
    }
    drop(peer);
    assert_eq!(thread.wait().unwrap().unwrap(), 5);
    drop(ours);
    assert_nothing_is_registered();
}

/// Roughly where the stack is that this runs on; AddressSanitizer has locals elsewhere.
fn own_stack() -> usize {
    let local = 0_u8;
    (&raw const *std::hint::black_box(&local)).addr()
}

/// Whether this runs on the stack on which that address is: two stacks have at least a guard in between.
fn is_near(stack: usize) -> bool {
    own_stack().abs_diff(stack) < 64 << 10
}

#[test]
fn who_parks_after_a_pump_is_switched_to_as_ever() {
    let (ours, mut peer) = pair();
    let thread = spawn({
        let ours = Rc::clone(&ours);
        move || {
            let count = ours.each_byte(|_| ()).unwrap();
            let deep = std::hint::black_box([7_u8; 4096]);
            for _ in 0..3 {
                yield_now();
                sleep(Duration::from_micros(1));
            }
            count + deep.iter().filter(|byte| **byte != 7).count()
        }
    });
    let_the_loop_see_to_it();
    for _ in 0..3 {
        peer.write_all(b"x").unwrap();
        let_the_loop_see_to_it();
    }
    drop(peer);
    assert_eq!(thread.wait().unwrap(), 3);
}

#[test]
fn a_step_that_says_drained_is_not_made_again_before_an_event() {
    if std::env::var_os("EVY_DRIVER").is_some() {
        // That driver hears nothing of the peer's end, so it believes no such thing.
        return;
    }
    let (ours, mut peer) = pair();
    let steps = Rc::new(Cell::new(0));
    let thread = spawn({
        let (ours, steps) = (Rc::clone(&ours), Rc::clone(&steps));
        move || {
            ours.fd.pump(Direction::Read, |_| {
                steps.set(steps.get() + 1);
                let count = (&ours.socket).read(&mut [0; 8])?;
                Ok(if count == 0 { Step::Done(()) } else { Step::Drained })
            })
        }
    });
    let_the_loop_see_to_it();
    // The first one found nothing.
    for n in 2..=6 {
        peer.write_all(b"x").unwrap();
        let_the_loop_see_to_it();
        assert_eq!(steps.get(), n);
    }
    drop(peer);
    thread.wait().unwrap().unwrap();
}

#[test]
fn who_waits_for_the_same_descriptor_is_told_by_each_event() {
    let (ours, mut peer) = pair();
    let thread = pumping(&ours, &mut peer, |_| ());
    for _ in 0..3 {
        let other = spawn({
            let ours = Rc::clone(&ours);
            move || wait_readable(&ours.fd, None).unwrap()
        });
        let_the_loop_see_to_it();
        assert!(!other.is_finished());
        peer.write_all(b"x").unwrap();
        other.wait().unwrap();
    }
    drop(peer);
    assert_eq!(thread.wait().unwrap().unwrap(), 3);
    drop(ours);
    assert_nothing_is_registered();
}

#[test]
fn others_have_their_turn_after_each_step() {
    let (ours, mut peer) = pair();
    let log = Log::new();
    let thread = pumping(&ours, &mut peer, {
        let log = log.clone();
        move |_| log.add("step")
    });
    peer.write_all(b"xxx").unwrap();
    let other = spawn({
        let log = log.clone();
        move || {
            while log.take().is_empty() {
                yield_now();
            }
            for _ in 0..2 {
                log.add("other");
                yield_now();
            }
        }
    });
    other.wait().unwrap();
    assert_eq!(log.take(), ["other", "step", "other", "step"]);
    drop(peer);
    assert_eq!(thread.wait().unwrap().unwrap(), 3);
}

#[test]
fn the_os_threads_own_stack_can_pump() {
    let (ours, mut peer) = pair();
    let feeder = spawn(move || {
        for _ in 0..3 {
            let_the_loop_see_to_it();
            peer.write_all(b"xy").unwrap();
        }
    });
    let mut all = Vec::new();
    assert_eq!(ours.each_byte(|byte| all.push(byte)).unwrap(), 6);
    assert_eq!(all, b"xyxyxy");
    feeder.wait().unwrap();
    drop(ours);
    assert_nothing_is_registered();
}

#[test]
fn a_kill_unwinds_the_green_thread_and_frees_its_place() {
    let log = Log::new();
    let (ours, mut peer) = pair();
    let pump = || {
        let (ours, log) = (Rc::clone(&ours), log.clone());
        let thread = spawn(move || {
            let _guard = log.on_drop("unwound");
            ours.each_byte(|_| log.add("step"))
        });
        let_the_loop_see_to_it();
        thread
    };
    // Parked.
    let thread = pump();
    thread.kill();
    assert_eq!(log.take(), ["unwound"]);
    assert!(matches!(thread.wait(), Err(Died::Killed)));

    // In the ready queue, with more to do: what it has not read stays.
    let thread = pump();
    peer.write_all(b"xxxx").unwrap();
    while log.len() == 0 {
        yield_now();
    }
    thread.kill();
    let (steps, rest) = (log.len() - 1, ours.socket.try_clone().unwrap());
    assert_eq!(log.take().pop().unwrap(), "unwound");
    assert!(steps < 4, "it was killed before it had read all");
    assert_eq!((&rest).read(&mut [0; 8]).unwrap(), 4 - steps);
    assert!(matches!(thread.wait(), Err(Died::Killed)));

    drop(peer);
    assert_eq!(ours.each_byte(|_| ()).unwrap(), 0);
    drop(ours);
    assert_nothing_is_registered();
}

#[test]
fn a_kill_that_a_step_orders_for_its_own_green_thread_ends_it() {
    let (ours, mut peer) = pair();
    let thread = pumping(&ours, &mut peer, |_| {
        kill(current());
    });
    let _watchdog = Watchdog::new("a pump that has killed itself");
    peer.write_all(b"x").unwrap();
    assert!(matches!(thread.wait(), Err(Died::Killed)));

    // Where the step catches it, it comes again.
    let thread = spawn({
        let ours = Rc::clone(&ours);
        move || {
            ours.fd.pump(Direction::Read, |_| {
                let count = (&ours.socket).read(&mut [0; 8])?;
                drop(catch_unwind(|| kill(current())));
                Ok(if count == 0 { Step::Done(()) } else { Step::Drained })
            })
        }
    });
    let_the_loop_see_to_it();
    peer.write_all(b"x").unwrap();
    assert!(matches!(thread.wait(), Err(Died::Killed)));
    drop(ours);
    assert_nothing_is_registered();
}

#[test]
fn in_a_destructor_of_one_that_unwinds_it_does_not_park() {
    let (ours, mut peer) = pair();
    let thread = pumping(&ours, &mut peer, |_| ());
    thread.kill();
    let kind = Rc::new(Cell::new(None));
    let thread = spawn({
        let (ours, kind) = (Rc::clone(&ours), Rc::clone(&kind));
        move || {
            let _guard =
                OnDrop(|| kind.set(ours.each_byte(|_| ()).err().map(|error| error.kind())));
            // Of this one evy has no note.
            resume_unwind(Box::new("on its way"));
        }
    });
    let _watchdog = Watchdog::new("a pump in a destructor");
    assert!(matches!(thread.wait(), Err(Died::Panicked(_))));
    assert_eq!(kind.get(), Some(ErrorKind::WouldBlock));
}

#[test]
fn many_ready_calls_in_a_step_are_no_yield() {
    let (ours, mut peer) = pair();
    let thread = pumping(&ours, &mut peer, |_| (0..1000).for_each(|_| count()));
    peer.write_all(b"xx").unwrap();
    drop(peer);
    assert_eq!(thread.wait().unwrap().unwrap(), 2);
}

#[test]
fn a_child_that_a_step_forks_ends_with_the_step() {
    let (ours, mut peer) = pair();
    let child = Rc::new(Cell::new(0));
    let thread = pumping(&ours, &mut peer, {
        let child = Rc::clone(&child);
        move |_| {
            if child.get() == 0 {
                // SAFETY: the child does nothing but return to the loop, which ends it.
                child.set(unsafe { libc::fork() });
            }
        }
    });
    peer.write_all(b"xxxx").unwrap();
    drop(peer);
    assert_eq!(thread.wait().unwrap().unwrap(), 4, "the child has read none of them");
    let mut status = 0;
    // SAFETY: it is our child, and `status` a place for how it ended.
    assert_eq!(unsafe { libc::waitpid(child.get(), &mut status, 0) }, child.get());
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) != 0, "{status}");
}

#[test]
fn a_timeout_around_it_ends_it_also_while_bytes_keep_coming() {
    let (ours, mut peer) = pair();
    let feeder = spawn(move || {
        loop {
            peer.write_all(b"x").unwrap();
            yield_now();
        }
    });
    let _watchdog = Watchdog::new("a pump under a timeout");
    let over = spawn(move || timeout(Duration::from_millis(5), || ours.each_byte(|_| ())).is_err());
    assert!(over.wait().unwrap());
    feeder.kill();
    assert_nothing_is_registered();
}

#[test]
fn a_timeout_that_is_due_in_the_same_turn_as_an_event_is_carried_out() {
    const SHORT: Duration = Duration::from_millis(10);
    let _watchdog = Watchdog::new("a pump under a timeout");
    let (ours, mut peer) = pair();
    let under = Rc::clone(&ours);
    let over = spawn(move || timeout(SHORT, || under.each_byte(|_| ())).is_err());
    peer.write_all(&FIRST).unwrap();
    let_the_loop_see_to_it();
    peer.write_all(b"x").unwrap();
    // Both are due by then, and nobody has looked.
    util::pause(SHORT * 2);
    assert!(over.wait().unwrap());
    drop(ours);
    assert_nothing_is_registered();
}

#[test]
fn a_panic_in_a_step_of_the_loop_goes_on_in_the_green_thread() {
    let (ours, mut peer) = pair();
    let thread = pumping(&ours, &mut peer, |_| panic!("mine"));
    peer.write_all(b"x").unwrap();
    let Err(Died::Panicked(payload)) = thread.wait() else { panic!("it panicked") };
    assert_eq!(text(&*payload), "mine");
    // The hub lives, and so does the descriptor.
    peer.write_all(b"y").unwrap();
    drop(peer);
    assert_eq!(ours.each_byte(|byte| assert_eq!(byte, b'y')).unwrap(), 1);
}

#[test]
fn a_step_that_parks_aborts_the_process_and_says_so() {
    const NAME: &str = "a_step_that_parks_aborts_the_process_and_says_so";
    if is_child(NAME) {
        let (ours, mut peer) = pair();
        let thread = pumping(&ours, &mut peer, |_| yield_now());
        peer.write_all(b"x").unwrap();
        let _ = thread.wait();
        unreachable!("it aborts");
    }
    let ended = Child::new(NAME).run();
    assert_eq!(ended.status.signal(), Some(libc::SIGABRT));
    assert!(
        ended.stderr.contains("a step of `GreenFd::pump` has tried to park"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_close_ends_it() {
    let (ours, mut peer) = pair();
    let thread = pumping(&ours, &mut peer, |_| ());
    ours.fd.close(|_| ());
    assert_eq!(thread.wait().unwrap().unwrap_err().kind(), ErrorKind::NotConnected);
    drop(ours);
    assert_nothing_is_registered();
}

#[test]
fn an_error_of_a_step_ends_it() {
    let (ours, mut peer) = pair();
    let thread = spawn({
        let ours = Rc::clone(&ours);
        move || {
            let mut steps = 0;
            ours.fd.pump(Direction::Read, |_| {
                steps += 1;
                if steps > 2 {
                    return Err(ErrorKind::InvalidData.into());
                }
                (&ours.socket).read(&mut [0; 8]).map(|_| Step::<()>::More)
            })
        }
    });
    let_the_loop_see_to_it();
    peer.write_all(b"x").unwrap();
    assert_eq!(thread.wait().unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
}

#[test]
fn a_second_reader_is_told_who_is_there() {
    let (ours, mut peer) = pair();
    let thread = pumping(&ours, &mut peer, |_| ());
    let error = ours.each_byte(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    let call = |_: std::os::fd::BorrowedFd<'_>| (&ours.socket).read(&mut [0; 8]);
    let error = ours.fd.call(Attempt::new(Direction::Read), call).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    thread.kill();
}

#[test]
fn it_works_on_another_os_thread_than_the_owners() {
    let (socket, mut peer) = UnixStream::pair().unwrap();
    socket.set_nonblocking(true).unwrap();
    let fd = GreenFd::new(OwnedFd::from(socket.try_clone().unwrap()));
    // The first wait makes this OS thread's hub the owner.
    let attempt =
        Attempt { timeout: Some(Duration::from_millis(1)), ..Attempt::new(Direction::Read) };
    let error = fd.call(attempt, |_| (&socket).read(&mut [0; 8])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let (sender, receiver) = mpsc::channel();
    let elsewhere = std::thread::spawn(move || {
        let ours = Ours { socket, fd };
        ours.each_byte(|_| sender.send(()).unwrap())
    });
    for _ in 0..3 {
        peer.write_all(b"x").unwrap();
        receiver.recv_timeout(Duration::from_secs(60)).unwrap();
    }
    drop(peer);
    assert_eq!(elsewhere.join().unwrap().unwrap(), 3);
}

#[test]
fn with_switch_hooks_the_green_thread_makes_the_steps_itself() {
    if is_asan() {
        return;
    }
    let (ours, mut peer) = pair();
    let on_main = Rc::new(Cell::new(None));
    let main = own_stack();
    let thread = pumping(&ours, &mut peer, {
        let on_main = Rc::clone(&on_main);
        move |_| on_main.set(Some(is_near(main)))
    });
    // Also where it is suspended when the first hook comes.
    for expected in [true, false, false] {
        peer.write_all(b"x").unwrap();
        let_the_loop_see_to_it();
        assert_eq!(on_main.take(), Some(expected));
        add_switch_hook(|switch| switch());
    }
    drop(peer);
    assert_eq!(thread.wait().unwrap().unwrap(), 3);
}

/// One whose destructor waits, until this is dropped.
fn suspended_while_it_unwinds() -> impl Drop {
    let sleeper = Rc::new(spawn(|| sleep(HOUR)));
    let slow = spawn({
        let sleeper = Rc::clone(&sleeper);
        move || {
            let _guard = OnDrop(|| sleeper.wait_until_finished());
            panic!("its destructor waits");
        }
    });
    yield_now();
    OnDrop(move || {
        assert!(!slow.is_finished());
        sleeper.kill();
    })
}

#[test]
fn beside_one_that_is_suspended_while_it_unwinds_steps_go_on() {
    let (ours, mut peer) = pair();
    let steps = Rc::new(Cell::new(0));
    let pump = |ours: &Rc<Ours>, peer: &mut UnixStream| {
        let steps = Rc::clone(&steps);
        pumping(ours, peer, move |_| {
            assert!(panicking(), "of somebody else");
            steps.set(steps.get() + 1);
        })
    };
    let before = pump(&ours, &mut peer);
    let slow = suspended_while_it_unwinds();
    let (others, mut other_peer) = pair();
    let meanwhile = pump(&others, &mut other_peer);
    for n in 1..=3 {
        peer.write_all(b"x").unwrap();
        other_peer.write_all(b"x").unwrap();
        let_the_loop_see_to_it();
        assert_eq!(steps.get(), 2 * n);
    }
    drop((peer, other_peer));
    assert_eq!(before.wait().unwrap().unwrap(), 3);
    assert_eq!(meanwhile.wait().unwrap().unwrap(), 3);
    drop(slow);
}

#[test]
fn a_panic_in_a_step_beside_one_that_unwinds_is_that_green_threads_own() {
    let (ours, mut peer) = pair();
    let thread = pumping(&ours, &mut peer, |_| panic!("mine"));
    let slow = suspended_while_it_unwinds();
    peer.write_all(b"x").unwrap();
    let Err(Died::Panicked(payload)) = thread.wait() else { panic!("it panicked") };
    assert_eq!(text(&*payload), "mine");
    // The OS thread's own stack is not taken for one that unwinds.
    assert!(timeout(Duration::from_millis(1), || sleep(HOUR)).is_err());
    drop(slow);
}
