//! What single operations cost in instructions, and whether one has become dearer.
//!
//! ```text
//! make bench-check                            # builds this, counts everything, compares: half a minute
//! make bench-check ARGS="http-1 echo"         # only these
//! make bench-check ARGS=--bless               # counts everything and writes the baseline anew
//! ```
//!
//! Nanoseconds depend on the machine and on what else it does; instructions hardly do. Each operation is
//! done N times in one process under callgrind and 2N times in another. The difference over N is what one
//! costs: the start of the process and whatever is made once cancel out.
//!
//! The figures are compared with the baseline in this folder. An operation that costs more than 5 % more
//! fails the check. Where the compiler, its flags, libc, valgrind or the CPU that it shows to programs are
//! others than the baseline's, the figures are only printed: all of these change what is counted.
//!
//! The profiles are kept in `target/tmp/counts`: `callgrind_annotate FILE` says where the instructions are.

mod baseline;
#[path = "../support/report.rs"]
#[allow(dead_code, reason = "there are no series here")]
mod report;
mod valgrind;
mod workloads;

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

use baseline::{Baseline, Comparison, Cost, Machine};
use report::Table;
use valgrind::Count;
use workloads::{WORKLOADS, Workload};

/// The first argument of a process that does an operation: `--do NAME TIMES`.
const DO: &str = "--do";

/// The only argument of a process that says on which machine it runs.
const DESCRIBE: &str = "--describe";

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/counts/baseline.txt");

/// Where the profiles go.
const PROFILES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/counts");

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        [DO, name, times] => repeat(name, times),
        [DESCRIBE] => {
            describe();
            Ok(())
        }
        ["--bless"] => bless(),
        _ => check(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("counts: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does an operation in this process, which is being counted.
fn repeat(name: &str, times: &str) -> io::Result<()> {
    let times = times.parse().map_err(io::Error::other)?;
    workload(name)?.run(times)?;
    // What is still open or parked is not to be taken down, and counted.
    std::process::exit(0)
}

fn workload(name: &str) -> io::Result<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name).ok_or_else(|| {
        let names: Vec<_> = WORKLOADS.iter().map(|workload| workload.name).collect();
        let text = format!("what is {name:?}? There is: --bless, {}", names.join(", "));
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

/// Prints what the counts depend on and can be seen from within the process.
fn describe() {
    println!("{}", libc_version());
    println!("{}", cpu_features().join(" "));
}

/// Counts all and writes that down.
fn bless() -> io::Result<()> {
    let machine = machine()?;
    let costs = WORKLOADS.iter().map(count).collect::<io::Result<_>>()?;
    let text = Baseline { machine, costs }.to_string();
    fs::write(BASELINE, &text)?;
    println!("{text}\nwritten to {BASELINE}");
    Ok(())
}

/// Counts the operations of these names, or all, and compares them with the baseline.
fn check(names: &[&str]) -> io::Result<()> {
    let machine = machine()?;
    let mut baseline = Baseline::parse(&fs::read_to_string(BASELINE)?)
        .map_err(|error| io::Error::other(format!("{BASELINE}: {error}")))?;
    let workloads = if names.is_empty() {
        WORKLOADS.iter().collect()
    } else {
        baseline.costs.retain(|cost| names.contains(&cost.operation.as_str()));
        names.iter().map(|name| workload(name)).collect::<io::Result<Vec<_>>>()?
    };
    let costs = workloads.into_iter().map(count).collect::<io::Result<Vec<_>>>()?;
    tell(&baseline.compare(&machine, &costs))
}

/// Prints the figures and what follows from them; an error if an operation costs too much.
fn tell(comparison: &Comparison) -> io::Result<()> {
    let mut table = Table::new(&["operation", "baseline", "instructions", "change"]);
    for row in &comparison.rows {
        let cell = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        table.row([
            row.operation.clone(),
            cell(row.before.map(|before| format!("{before:.1}"))),
            format!("{:.1}", row.now),
            cell(row.growth().map(|growth| format!("{:+.2} %", 100.0 * growth))),
        ]);
    }
    println!("instructions of one operation, by callgrind\n\n{table}");

    if !comparison.differences().is_empty() {
        println!("the baseline is of another machine or compiler, and nothing was compared:");
        comparison.differences().iter().for_each(|difference| println!("  {difference}"));
    }
    for improvement in comparison.improvements() {
        println!("{improvement}; `make bench-check ARGS=--bless` writes that down");
    }
    let complaints = comparison.complaints();
    if complaints.is_empty() {
        return Ok(());
    }
    let hint = "what was changed on purpose is written down by `make bench-check ARGS=--bless`";
    Err(io::Error::other(format!("{}\n{hint}", complaints.join("\ncounts: "))))
}

/// Instructions of one operation. Both processes run at the same time.
fn count(workload: &Workload) -> io::Result<Cost> {
    let (name, times) = (workload.name, workload.times);
    eprintln!("counting {name}");
    fs::create_dir_all(PROFILES)?;
    let start = |times: u64| {
        let profile = Path::new(PROFILES).join(format!("{name}-{times}.callgrind"));
        Count::start(&[DO, name, &times.to_string()], &profile)
    };
    let (once, twice) = (start(times)?, start(2 * times)?);
    let (once, twice) = (once.instructions()?, twice.instructions()?);
    let instructions = (twice as f64 - once as f64) / times as f64;
    Ok(Cost { operation: name.to_owned(), instructions })
}

/// All that the counts depend on beside our sources and `Cargo.lock`.
fn machine() -> io::Result<Machine> {
    let valgrind = valgrind::version()?;
    let described = valgrind::output_of(&[DESCRIBE])?;
    let (libc, cpu) = described.split_once('\n').unwrap_or((&described, ""));
    let parts = [
        ("rustc", rustc_version()?),
        ("target", format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)),
        ("flags", compiler_flags().join(" ")),
        ("libc", libc.to_owned()),
        ("valgrind", valgrind.trim_start_matches("valgrind-").to_owned()),
        ("cpu", cpu.to_owned()),
    ];
    Ok(Machine(parts.map(|(name, value)| (name.to_owned(), value)).into()))
}

fn rustc_version() -> io::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.trim().trim_start_matches("rustc ").to_owned())
}

/// Variables by which somebody may have had this compiled otherwise, as `NAME=value`.
fn compiler_flags() -> Vec<String> {
    let matters = |name: &str| name.ends_with("RUSTFLAGS") || name.starts_with("CARGO_PROFILE_");
    let variables = std::env::vars().filter(|(name, value)| matters(name) && !value.is_empty());
    let mut flags: Vec<_> = variables.map(|(name, value)| format!("{name}={value}")).collect();
    flags.sort();
    flags
}

#[cfg(target_env = "gnu")]
fn libc_version() -> String {
    // SAFETY: it returns a text that ends with a zero and stays where it is.
    let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
    format!("glibc {}", version.to_string_lossy())
}

#[cfg(not(target_env = "gnu"))]
fn libc_version() -> String {
    "another".to_owned()
}

/// By which of these CPU features libc and the crates choose between versions of a function.
fn cpu_features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        let features = [
            ("ssse3", has!("ssse3")),
            ("sse4.1", has!("sse4.1")),
            ("sse4.2", has!("sse4.2")),
            ("popcnt", has!("popcnt")),
            ("pclmulqdq", has!("pclmulqdq")),
            ("avx", has!("avx")),
            ("avx2", has!("avx2")),
            ("bmi1", has!("bmi1")),
            ("bmi2", has!("bmi2")),
            ("lzcnt", has!("lzcnt")),
            ("movbe", has!("movbe")),
            ("ermsb", has!("ermsb")),
            ("rtm", has!("rtm")),
            ("avx512vl", has!("avx512vl")),
        ];
        features.iter().filter(|(_, there)| *there).map(|&(name, _)| name).collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}
