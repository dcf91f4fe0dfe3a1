//! A stack overflow that says whose it was.
//!
//! A green thread that runs off its stack hits the guard of its slot and gets SIGSEGV. std's handler
//! knows the guards of OS threads only, so the process would end without a word. Ours runs before it,
//! on the alternate signal stack: if the address lies in one of our guards it names the green thread
//! and ends the process; any other fault goes to the handler that was there before.
//!
//! Inside the handler nothing is allocated and no lock is taken.

use std::cell::Cell;
use std::ptr;
use std::sync::OnceLock;

use crate::control::Thread;
use crate::scheduler::{Scheduler, current_scheduler, scheduler_of_parent};

/// The handlers that were there before ours, for SIGSEGV and SIGBUS.
static PREVIOUS: OnceLock<[libc::sigaction; 2]> = OnceLock::new();

const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Bytes of the alternate stack that an OS thread gets which has none.
const ALTERNATE: usize = 64 * 1024;

/// Puts the handler up, once a process, and sees that this OS thread has an alternate stack.
pub(crate) fn install() {
    PREVIOUS.get_or_init(|| SIGNALS.map(install_for));
    provide_alternate_stack();
}

fn install_for(signal: libc::c_int) -> libc::sigaction {
    // SAFETY: an all-zero sigaction is a valid one; both structs live through the call. The handler
    // is async-signal-safe: see there.
    unsafe {
        let mut ours: libc::sigaction = std::mem::zeroed();
        let mut previous: libc::sigaction = std::mem::zeroed();
        ours.sa_sigaction = handle as *const () as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut ours.sa_mask);
        libc::sigaction(signal, &raw const ours, &raw mut previous);
        previous
    }
}

/// Threads that std did not make have no alternate stack, and a handler cannot run on the stack that
/// has just overflowed. It is leaked with its OS thread.
fn provide_alternate_stack() {
    thread_local! { static DONE: Cell<bool> = const { Cell::new(false) }; }
    if DONE.replace(true) {
        return;
    }
    // SAFETY: the struct lives through the calls; the mapping is new, and ours for good.
    unsafe {
        let mut present: libc::stack_t = std::mem::zeroed();
        libc::sigaltstack(ptr::null(), &raw mut present);
        if present.ss_flags & libc::SS_DISABLE == 0 {
            return;
        }
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let stack = libc::mmap(ptr::null_mut(), ALTERNATE, protection, flags, -1, 0);
        if stack != libc::MAP_FAILED {
            let alternate = libc::stack_t { ss_sp: stack, ss_flags: 0, ss_size: ALTERNATE };
            libc::sigaltstack(&raw const alternate, ptr::null_mut());
        }
    }
}

extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid siginfo to a handler with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() }.addr();
    // The green thread that faulted is this OS thread's current one: the fault is synchronous, so
    // nothing else runs on this OS thread, and its scheduler is not in the middle of changing what is
    // read here (the loop runs on the OS thread's own stack, whose guard is not ours).
    // In a child that a green thread has forked, its stack is one of the parent's.
    for scheduler in [current_scheduler(), scheduler_of_parent()].into_iter().flatten() {
        if let Ok(stacks) = scheduler.stacks().try_borrow()
            && stacks.is_guard(address)
        {
            tell(scheduler, scheduler.current());
            // SAFETY: abort is async-signal-safe.
            unsafe { libc::abort() };
        }
    }
    pass_on(signal, info, context);
}

/// Gives a fault that is not ours to the handler that was there before.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let index = usize::from(signal == SIGNALS[1]);
    let Some(previous) = PREVIOUS.get().map(|previous| &previous[index]) else { return };
    // SAFETY: the previous handler is called as the kernel would have called it; the default action
    // is put back for the instruction to fault again.
    unsafe {
        match previous.sa_sigaction {
            libc::SIG_DFL | libc::SIG_IGN => {
                let mut default: libc::sigaction = std::mem::zeroed();
                default.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &raw const default, ptr::null_mut());
            }
            handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    std::mem::transmute(handler);
                handler(signal, info, context);
            }
            handler => {
                let handler: extern "C" fn(libc::c_int) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}

/// Writes the message piece by piece.
fn tell(scheduler: &Scheduler, thread: Thread) {
    write(b"\ngreen thread ");
    if let Some(block) = thread.block() {
        write(b"#");
        write_number(block.id.get());
    }
    thread.look_at_extras(|extras| {
        if let Some(name) = &extras.name {
            write(b" '");
            write(name.as_bytes());
            write(b"'");
        }
    });
    write(b", spawned at ");
    write(thread.spawned_at.file().as_bytes());
    write(b":");
    write_number(thread.spawned_at.line().into());
    write(b", has overflowed its stack (");
    let usable = scheduler.stacks().try_borrow().map_or(0, |stacks| stacks.usable(thread.class));
    write_number((usable / 1024) as u64);
    write(b" KiB)\n");
}

fn write(bytes: &[u8]) {
    // SAFETY: write is async-signal-safe and reads the bytes that it is given.
    unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
}

fn write_number(number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    write(&digits[start..]);
}
