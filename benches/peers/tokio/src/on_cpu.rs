//! How long this process was on a CPU.

use std::{fs, io};

/// Nanoseconds that the threads of this process have spent on a CPU so far.
pub(crate) fn nanos() -> io::Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let nanos = text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok());
        sum += nanos.ok_or_else(|| io::Error::other("schedstat without a number"))?;
    }
    Ok(sum)
}
