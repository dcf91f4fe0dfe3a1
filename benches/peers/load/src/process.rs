//! What a process costs: time on a CPU, and memory.

use std::fs;
use std::io;

/// Nanoseconds that the threads of `pid` have spent on a CPU so far.
pub(crate) fn on_cpu_nanos(pid: u32) -> io::Result<u64> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = match fs::read_to_string(thread?.path().join("schedstat")) {
            // It has ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            text => text?,
        };
        let nanos = text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok());
        total += nanos.ok_or_else(|| io::Error::other("schedstat does not begin with a number"))?;
    }
    Ok(total)
}

/// The memory of a process, in bytes.
pub(crate) struct Memory {
    /// Pages that are in memory now.
    pub(crate) resident: f64,
    /// The same, of shared pages only its part.
    pub(crate) share: f64,
    pub(crate) page_tables: f64,
}

impl Memory {
    /// What the process `pid` uses at this moment.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let maps = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        Ok(Self {
            resident: bytes(&status, "VmRSS:")?,
            share: bytes(&maps, "Pss:")?,
            page_tables: bytes(&status, "VmPTE:")?,
        })
    }
}

/// The value of a line such as `VmRSS:    1234 kB`.
fn bytes(text: &str, name: &str) -> io::Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    value.map(|kib| kib * 1024.0).ok_or_else(|| io::Error::other(format!("there is no {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_kibibytes_is_read_as_bytes() {
        let status = "VmPeak:\t  99 kB\nVmRSS:\t    12 kB\nVmPTE:\t 3 kB\n";
        assert_eq!(bytes(status, "VmRSS:").unwrap(), 12.0 * 1024.0);
        assert!(bytes(status, "Pss:").is_err());
    }

    #[test]
    fn this_process_has_been_on_a_cpu_and_has_memory() {
        let pid = std::process::id();
        assert!(on_cpu_nanos(pid).unwrap() > 0);
        let memory = Memory::of(pid).unwrap();
        assert!(memory.resident > 0.0 && memory.share > 0.0 && memory.page_tables > 0.0);
    }
}
