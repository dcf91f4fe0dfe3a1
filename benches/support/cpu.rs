//! What a process costs: time on a CPU, memory, mappings; and on which core it may run.

use std::fs;
use std::io;

/// Nanoseconds that the threads of `pid` have spent on a CPU so far; ended threads are not counted.
pub(crate) fn on_cpu_nanos(pid: u32) -> io::Result<u64> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        total += first_number(&text)
            .ok_or_else(|| io::Error::other("schedstat does not begin with a number"))?;
    }
    Ok(total)
}

/// The memory of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// `VmRSS`: pages that are in memory now, in bytes.
    pub(crate) resident: u64,
    /// `VmHWM`: the most that `resident` has ever been.
    pub(crate) resident_peak: u64,
    /// `VmPTE`: page tables, in bytes.
    pub(crate) page_tables: u64,
    /// Lines of `/proc/PID/maps`; the kernel allows 65,530 by default.
    pub(crate) mappings: u64,
}

impl Memory {
    /// Returns what the process `pid` uses at this moment.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
        Ok(Self {
            resident: kibibytes(&status, "VmRSS:")?,
            resident_peak: kibibytes(&status, "VmHWM:")?,
            page_tables: kibibytes(&status, "VmPTE:")?,
            mappings: maps.lines().count() as u64,
        })
    }
}

/// Lets the calling thread, and those that it will start, run on `core` only.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    // SAFETY: a `cpu_set_t` is an array of integers, for which zeroes are a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `core` comes from `cores`, so it lies within the set.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: `set` is as large as is said, and 0 names the calling thread.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The cores for server and client: the first two that this process may use, or twice the only one.
pub(crate) fn cores() -> io::Result<(usize, usize)> {
    // SAFETY: as in `pin`.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most the size that is said.
    if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the range ends where the set does.
    let mut usable =
        (0..libc::CPU_SETSIZE as usize).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) });
    let server = usable.next().ok_or_else(|| io::Error::other("no core to run on"))?;
    Ok((server, usable.next().unwrap_or(server)))
}

/// The value of a line such as `VmRSS:    1234 kB`, in bytes.
fn kibibytes(status: &str, name: &str) -> io::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(first_number);
    value.map(|v| v * 1024).ok_or_else(|| io::Error::other(format!("no {name} in status")))
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}
