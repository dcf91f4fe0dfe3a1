//! Counts instructions of processes of this executable, by callgrind.
//!
//! Callgrind follows calls and returns by the stack pointer, and takes a switch to a stack at a higher
//! address for the return of everything on those below. So its sums over callees may be wrong where they
//! switch; its counts of instructions are right. Cachegrind, which knows nothing of calls, counts the same
//! within 0.01 % where no clock is read. Where one is, callgrind repeats better, as it is slower: the
//! scheduler looks at the clock every 256 switches, or so many fewer as take 200 µs, and polls where 50 µs have
//! passed. Under callgrind they always have, under cachegrind mostly, which makes 0.5 % of a switch. How often
//! it looks depends on how fast the machine is, under callgrind too: that makes up to 0.6 % between an idle
//! machine and one where three others want the two cores.
//!
//! Valgrind 3.19 does not know `epoll_pwait2`, so what is counted waits by `epoll_wait`.

use std::env;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// The version, as valgrind says it.
pub(crate) fn version() -> io::Result<String> {
    let output = Command::new("valgrind").arg("--version").output().map_err(|error| {
        let text = format!("this bench needs valgrind (apt-get install valgrind): {error}");
        io::Error::new(error.kind(), text)
    })?;
    said(&output)
}

/// What this executable prints when it runs under valgrind, whose CPU is not quite the machine's.
pub(crate) fn output_of(args: &[&str]) -> io::Result<String> {
    said(&valgrind(&["--tool=none", "-q"], args)?.output()?)
}

fn said(output: &Output) -> io::Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() { Ok(text) } else { Err(failure(&output.stderr)) }
}

fn failure(stderr: &[u8]) -> io::Error {
    io::Error::other(format!("valgrind failed:\n{}", String::from_utf8_lossy(stderr)))
}

/// A process of this executable whose instructions are being counted.
#[derive(Debug)]
pub(crate) struct Count(Child);

impl Count {
    /// Starts it; the profile goes to `profile`.
    pub(crate) fn start(args: &[&str], profile: &Path) -> io::Result<Self> {
        let file = format!("--callgrind-out-file={}", profile.display());
        let mut command = valgrind(&["--tool=callgrind", &file], args)?;
        let streams = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        streams.spawn().map(Self)
    }

    /// Waits until it has ended.
    pub(crate) fn instructions(mut self) -> io::Result<u64> {
        let mut stderr = Vec::new();
        let pipe = self.0.stderr.as_mut().expect("it was asked for");
        pipe.read_to_end(&mut stderr)?;
        let counted = collected(&String::from_utf8_lossy(&stderr));
        let ended_well = self.0.wait()?.success();
        counted.filter(|_| ended_well).ok_or_else(|| failure(&stderr))
    }
}

/// An environment of its own, so that nothing on the machine changes what is counted. Without the spin,
/// which goes by the clock.
fn valgrind(options: &[&str], args: &[&str]) -> io::Result<Command> {
    let mut command = Command::new("valgrind");
    command.env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path))).env("EVY_SPIN", "0");
    command.args(options).arg(env::current_exe()?).args(args);
    Ok(command)
}

/// The number in callgrind's `==123== Collected : 4567`.
pub(crate) fn collected(stderr: &str) -> Option<u64> {
    let line =
        stderr.lines().find(|line| line.starts_with("==") && line.contains(" Collected :"))?;
    line.split_once(" Collected :")?.1.trim().parse().ok()
}
