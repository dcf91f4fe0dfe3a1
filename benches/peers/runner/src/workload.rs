//! What is measured: figures of programs that do the same work, round by round.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Failures after which a contender is left alone: each may take seconds of patience.
const FAILURES_MAX: usize = 2;

/// What a contender may take for one workload in all its rounds; whoever has taken more is not run again.
/// There are peers that take a minute for a million of what others do in a second.
const TIME_MAX: Duration = Duration::from_secs(15);

/// Programs that do the same work.
pub(crate) struct Workload {
    /// What that is: the heading of its table.
    pub(crate) title: String,
    /// What each round tells of each program.
    pub(crate) figures: &'static [&'static str],
    /// The first one is what the others are compared with.
    pub(crate) contenders: Vec<Contender>,
}

impl Workload {
    pub(crate) fn run(&mut self, rounds: usize) {
        for round in 1..=rounds {
            eprintln!("{}: round {round} of {rounds}", self.title);
            for contender in &mut self.contenders {
                contender.play();
            }
        }
    }
}

/// What a program says about itself when it runs.
pub(crate) type Note = Rc<OnceCell<String>>;

type Run = Box<dyn Fn() -> Result<Vec<f64>, String>>;

/// One program.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// `None` where the peer has nothing that does this work.
    run: Option<Run>,
    pub(crate) note: Note,
    /// Its figures, round by round; `None` where it failed.
    pub(crate) rounds: Vec<Option<Vec<f64>>>,
    /// Why it failed the last time.
    pub(crate) error: Option<String>,
    /// What its rounds took.
    spent: Duration,
}

impl Contender {
    pub(crate) fn new(
        name: &'static str,
        run: impl Fn() -> Result<Vec<f64>, String> + 'static,
    ) -> Self {
        let note = Note::default();
        Self {
            name,
            run: Some(Box::new(run)),
            note,
            rounds: Vec::new(),
            error: None,
            spent: Duration::ZERO,
        }
    }

    /// A peer that does not do this work, and why: a row of dashes.
    pub(crate) fn absent(name: &'static str, why: &str) -> Self {
        let note = Note::from(OnceCell::from(why.to_owned()));
        Self { name, run: None, note, rounds: Vec::new(), error: None, spent: Duration::ZERO }
    }

    /// The same with what will have been said in `note`.
    pub(crate) fn with_note(mut self, note: Note) -> Self {
        self.note = note;
        self
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.run.is_none()
    }

    pub(crate) fn has_figures(&self) -> bool {
        self.rounds.iter().any(Option::is_some)
    }

    /// Rounds without figures.
    pub(crate) fn failures(&self) -> usize {
        self.rounds.iter().filter(|round| round.is_none()).count()
    }

    /// Whether it has been left out of the last rounds because it takes too long.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.spent >= TIME_MAX && self.rounds.last().is_some_and(Option::is_none)
    }

    fn is_tried(&self) -> bool {
        let failures = if self.error.is_some() { self.failures() } else { 0 };
        failures < FAILURES_MAX && self.spent < TIME_MAX
    }

    fn play(&mut self) {
        let run = match &self.run {
            Some(run) if self.is_tried() => run,
            _ => {
                self.rounds.push(None);
                return;
            }
        };
        let start = Instant::now();
        let figures = run().inspect_err(|error| {
            eprintln!("{}: {error}", self.name);
            self.error = Some(error.clone());
        });
        self.spent += start.elapsed();
        self.rounds.push(figures.ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_contender_that_takes_too_long_is_not_run_again_and_says_so() {
        let mut contender = Contender::new("slow", || Ok(vec![1.0]));
        contender.play();
        contender.spent = TIME_MAX;
        assert!(!contender.is_cut_short(), "it has been run in every round");
        contender.play();
        assert!(contender.is_cut_short());
        assert_eq!((contender.rounds.len(), contender.failures()), (2, 1));
    }

    #[test]
    fn a_contender_that_fails_twice_is_left_alone() {
        let runs = Rc::new(Cell::new(0));
        let counted = Rc::clone(&runs);
        let fails = Contender::new("fails", move || {
            counted.set(counted.get() + 1);
            Err("it does not run".to_owned())
        });
        let contenders = vec![Contender::new("runs", || Ok(vec![1.0])), fails];
        let mut workload = Workload { title: String::new(), figures: &["ns"], contenders };
        workload.run(5);
        assert_eq!(runs.get(), FAILURES_MAX);
        assert_eq!(workload.contenders[1].failures(), 5);
        assert!(workload.contenders[0].has_figures() && !workload.contenders[1].has_figures());
        assert_eq!(workload.contenders[1].error.as_deref(), Some("it does not run"));
    }
}
