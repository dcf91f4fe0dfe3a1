//! The benches' command line: numbers that select, and `--name value` that sets.

use std::io;

/// What stands behind `cargo bench --bench NAME --`.
#[derive(Debug)]
pub(crate) struct Args(Vec<String>);

impl Args {
    /// Takes this process's arguments; the `--bench` that Cargo adds is left out.
    pub(crate) fn from_env() -> Self {
        Self(std::env::args().skip(1).filter(|arg| arg != "--bench").collect())
    }

    /// Takes the flag `name` out, and returns whether it was there.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|arg| arg != name);
        self.0.len() < before
    }

    /// Takes `name` and the number behind it out; `default` when it is not there.
    pub(crate) fn number(&mut self, name: &str, default: f64) -> io::Result<f64> {
        let Some(at) = self.0.iter().position(|arg| arg == name) else { return Ok(default) };
        let value = self.0.get(at + 1).and_then(|value| value.parse().ok());
        self.0.drain(at..(at + 2).min(self.0.len()));
        value.ok_or_else(|| usage(&format!("{name} needs a number")))
    }

    /// Takes `name` and the text behind it out; empty when it is not there.
    pub(crate) fn text(&mut self, name: &str) -> String {
        let Some(at) = self.0.iter().position(|arg| arg == name) else { return String::new() };
        let text = self.0.get(at + 1).cloned().unwrap_or_default();
        self.0.drain(at..(at + 2).min(self.0.len()));
        text
    }

    /// Takes the next argument out, numbers between commas; `default` when there is none.
    pub(crate) fn list(&mut self, default: &[usize]) -> io::Result<Vec<usize>> {
        if self.0.is_empty() {
            return Ok(default.to_vec());
        }
        let text = self.0.remove(0);
        let numbers: Result<_, _> = text.split(',').map(str::parse).collect();
        numbers.map_err(|_| usage(&format!("{text:?} is not a list of numbers")))
    }

    /// Complains about what nobody has taken out.
    pub(crate) fn end(self) -> io::Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some(arg) => Err(usage(&format!("{arg:?} is not an argument of this bench"))),
        }
    }
}

fn usage(complaint: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, complaint)
}
