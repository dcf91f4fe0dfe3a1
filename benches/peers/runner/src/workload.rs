//! What is measured: figures of programs that do the same work, round by round.

/// Failures after which a contender is left alone: each may take seconds of patience.
const FAILURES_MAX: usize = 2;

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

type Run = Box<dyn Fn() -> Result<Vec<f64>, String>>;

/// One program.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    run: Run,
    /// Its figures, round by round; `None` where it failed.
    pub(crate) rounds: Vec<Option<Vec<f64>>>,
    /// Why it failed the last time.
    pub(crate) error: Option<String>,
}

impl Contender {
    pub(crate) fn new(
        name: &'static str,
        run: impl Fn() -> Result<Vec<f64>, String> + 'static,
    ) -> Self {
        Self { name, run: Box::new(run), rounds: Vec::new(), error: None }
    }

    pub(crate) fn has_figures(&self) -> bool {
        self.rounds.iter().any(Option::is_some)
    }

    /// Rounds without figures.
    pub(crate) fn failures(&self) -> usize {
        self.rounds.iter().filter(|round| round.is_none()).count()
    }

    fn play(&mut self) {
        if self.failures() >= FAILURES_MAX {
            self.rounds.push(None);
            return;
        }
        let figures = (self.run)().inspect_err(|error| {
            eprintln!("{}: {error}", self.name);
            self.error = Some(error.clone());
        });
        self.rounds.push(figures.ok());
    }
}
