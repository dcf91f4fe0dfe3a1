//! Round trips of two green threads, tasks or goroutines over two channels.

use crate::program::{Program, SERVER_CORE};
use crate::workload::{Contender, Workload};

pub(crate) fn workload() -> Workload {
    Workload {
        title: "round trip of two over two channels".to_owned(),
        figures: &["ns"],
        contenders: vec![
            contender("evy, rendezvous", "evy", 0, 3_000_000),
            contender("evy, bounded(1)", "evy", 1, 3_000_000),
            contender("tokio mpsc(1), current_thread", "tokio", 1, 300_000),
            contender("Go, unbuffered, GOMAXPROCS=1", "go", 0, 300_000),
            contender("Go, buffered(1), GOMAXPROCS=1", "go", 1, 300_000),
        ],
    }
}

/// One with channels of this capacity; its round trips take about a tenth of a second.
fn contender(name: &'static str, peer: &'static str, capacity: u32, laps: u32) -> Contender {
    let program = Program::new(peer, "channel");
    Contender::new(name, move || {
        let nanos = program.figures(SERVER_CORE, &[capacity.to_string(), laps.to_string()])?;
        Ok(nanos.iter().map(|nanos| nanos / f64::from(laps)).collect())
    })
}
