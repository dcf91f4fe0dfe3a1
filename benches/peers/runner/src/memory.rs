//! What a parked green thread, task or goroutine holds: resident memory and page tables.

use std::fs;

use crate::program::{Program, Running, SERVER_CORE};
use crate::workload::{Contender, Workload};

/// How many are parked.
pub(crate) fn counts(quick: bool) -> &'static [usize] {
    if quick { &[1, 1_000, 10_000] } else { &[1, 10, 100, 1_000, 10_000, 100_000, 1_000_000] }
}

pub(crate) fn title(count: usize) -> String {
    format!("memory of a parked green thread or task, parked: {count}")
}

pub(crate) fn workloads(quick: bool) -> impl Iterator<Item = Workload> {
    counts(quick).iter().map(|&count| workload(count))
}

fn workload(count: usize) -> Workload {
    let with = |name, program: Program| {
        let program = program.with([count]);
        Contender::new(name, move || measure(&program, count))
    };
    let contender = |name, peer| with(name, Program::new(peer, "memory"));
    let tokio = |name, workers: u32| with(name, Program::new("tokio", "memory").with([workers]));
    Workload {
        title: title(count),
        figures: &["RSS + page tables, B each", "page tables, B each", "ns to spawn and park"],
        contenders: vec![
            contender("evy", "evy"),
            Contender::absent("raw", "no tasks"),
            tokio("tokio current_thread", 0),
            tokio("tokio multi_thread, 1 worker", 1),
            contender("may, 1 worker", "may"),
            contender("smol, LocalExecutor", "smol"),
            contender("monoio", "monoio"),
            contender("Go, GOMAXPROCS=1", "go"),
            contender("gevent", "gevent"),
            contender("eventlet", "eventlet"),
        ],
    }
}

/// Looks at the process before the first is spawned, and when all are parked.
fn measure(program: &Program, count: usize) -> Result<Vec<f64>, String> {
    let mut running = Running::start(SERVER_CORE, program)?;
    running.line()?;
    let before = Memory::of(running.pid())?;
    running.go_on()?;
    let nanos = running.line()?;
    let after = Memory::of(running.pid())?;
    let nanos: f64 = nanos.parse().map_err(|_| format!("it printed {nanos:?}"))?;
    let count = count as f64;
    let page_tables = (after.page_tables - before.page_tables) / count;
    let resident = (after.resident - before.resident) / count;
    Ok(vec![resident + page_tables, page_tables, nanos / count])
}

/// Of a process, in bytes.
struct Memory {
    resident: f64,
    page_tables: f64,
}

impl Memory {
    fn of(pid: u32) -> Result<Self, String> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"));
        Self::parse(&status.map_err(|error| error.to_string())?)
    }

    fn parse(status: &str) -> Result<Self, String> {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            kib.map(|kib| kib * 1024.0).ok_or_else(|| format!("there is no {name}"))
        };
        Ok(Self { resident: bytes("VmRSS:")?, page_tables: bytes("VmPTE:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_read_from_the_kernels_status_in_bytes() {
        let memory = Memory::parse("Name:\tx\nVmRSS:\t 8 kB\nVmPTE:\t 3 kB\n").unwrap();
        assert_eq!((memory.resident, memory.page_tables), (8_192.0, 3_072.0));
        assert!(Memory::parse("VmRSS:\t 8 kB\n").is_err());
    }
}
