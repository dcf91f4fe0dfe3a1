//! Runs the peers by turns and prints what each costs, with its ratio to evy in the same round.
//!
//! ```text
//! make bench-peers                      # builds all, then this
//! target/release/peers-runner channel   # from benches/peers, once they are built
//! ```
//!
//! Each round starts every program once, pinned to one core, so that whatever slows the machine for longer
//! than a round cancels out of the ratios. A peer that is not there is reported as such.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Starts of each program.
const ROUNDS: usize = 15;

/// One program that is measured, with its arguments.
struct Contender {
    name: &'static str,
    program: PathBuf,
    /// The capacity of its channels, and its round trips: about a tenth of a second.
    arguments: [&'static str; 2],
    laps: f64,
    /// Nanoseconds for one, round by round.
    nanos: Vec<f64>,
}

fn main() -> ExitCode {
    let what = std::env::args().nth(1).unwrap_or_else(|| "channel".to_owned());
    if what != "channel" {
        eprintln!("peers-runner: there is no workload {what:?}; there is: channel");
        return ExitCode::FAILURE;
    }
    let mut contenders = channel();
    for round in 1..=ROUNDS {
        eprintln!("channel, round {round} of {ROUNDS}");
        for contender in &mut contenders {
            match contender.run() {
                Ok(nanos) => contender.nanos.push(nanos),
                Err(error) if round == 1 => eprintln!("{} does not run: {error}", contender.name),
                Err(_) => {}
            }
        }
    }
    print(&contenders);
    if contenders[0].nanos.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The first one is what the others are compared with.
fn channel() -> Vec<Contender> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let contender = |name, program: &str, arguments: [&'static str; 2]| Contender {
        name,
        program: built.join(program),
        arguments,
        laps: arguments[1].parse().expect("a number"),
        nanos: Vec::new(),
    };
    vec![
        contender("evy, rendezvous", "release/evy-channel", ["0", "3000000"]),
        contender("evy, bounded(1)", "release/evy-channel", ["1", "3000000"]),
        contender("tokio mpsc(1), current_thread", "release/tokio-channel", ["1", "300000"]),
        contender("Go, unbuffered, GOMAXPROCS=1", "go/channel", ["0", "300000"]),
        contender("Go, buffered(1), GOMAXPROCS=1", "go/channel", ["1", "300000"]),
    ]
}

impl Contender {
    fn run(&self) -> Result<f64, String> {
        let output = Command::new("taskset")
            .args(["-c", "0"])
            .arg(&self.program)
            .args(self.arguments)
            .output()
            .map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let nanos: f64 = text.trim().parse().map_err(|_| format!("it printed {text:?}"))?;
        Ok(nanos / self.laps)
    }
}

fn print(contenders: &[Contender]) {
    println!("| round trip of two over two channels | ns, median (quartiles) | / evy, rendezvous |");
    println!("|---|---:|---:|");
    let base = &contenders[0].nanos;
    for contender in contenders {
        if contender.nanos.is_empty() {
            println!("| {} | not built | – |", contender.name);
            continue;
        }
        let ratios: Vec<f64> =
            contender.nanos.iter().zip(base).map(|(nanos, base)| nanos / base).collect();
        println!(
            "| {} | {} | {} |",
            contender.name,
            with_quartiles(&contender.nanos),
            with_quartiles(&ratios)
        );
    }
}

/// `median (lower quartile–upper quartile)`.
fn with_quartiles(figures: &[f64]) -> String {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part).round() as usize];
    format!("**{:.1}** ({:.1}–{:.1})", at(0.5), at(0.25), at(0.75))
}
