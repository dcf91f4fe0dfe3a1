//! Whether to spin a little before sleeping.
//!
//! Where the answer to what was just sent comes within 60 µs, polling without waiting beats a
//! sleep: 3.2 times the requests of raw blocking epoll at one connection, for less CPU, since the
//! halt and the wake of a virtual core cost more than the spin. Three spins that found nothing turn
//! it off; a sleep that lasted under 100 µs turns it on again, so an idle process costs nothing.

use std::sync::LazyLock;

/// How long a spin lasts at most, in nanoseconds.
const SPIN: u64 = 60_000;

/// A sleep shorter than this says that a spin would have paid.
const SHORT_SLEEP: u64 = 100_000;

/// Spins without success after which it is turned off.
const PATIENCE: u32 = 3;

/// Off with `EVY_SPIN=0`, and where no other core could bring the answer meanwhile.
static ENABLED: LazyLock<bool> = LazyLock::new(|| {
    std::env::var_os("EVY_SPIN").is_none_or(|value| value != "0") && online_cores() > 1
});

/// Whether anything of evy spins before it sleeps: not with `EVY_SPIN=0`, and not on a single core.
///
/// ```
/// let is_off = std::env::var_os("EVY_SPIN").is_some_and(|value| value == "0");
/// assert!(!(is_off && evy_hub::may_spin()));
/// ```
pub fn may_spin() -> bool {
    *ENABLED
}

fn online_cores() -> libc::c_long {
    // SAFETY: sysconf takes no pointers. Online cores, not the affinity mask: a pinned hub's peers
    // run elsewhere.
    unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }
}

#[derive(Debug)]
pub(crate) struct Spin {
    /// Spins in a row that found nothing.
    failures: u32,
    enabled: bool,
}

impl Spin {
    pub(crate) fn new() -> Self {
        // The first sleep decides whether to begin.
        Self { failures: PATIENCE, enabled: may_spin() }
    }

    #[cfg(test)]
    pub(crate) fn disabled() -> Self {
        Self { failures: PATIENCE, enabled: false }
    }

    /// When a spin that begins now has to end; `None`: do not spin.
    pub(crate) fn until(&self, now: u64) -> Option<u64> {
        (self.enabled && self.failures < PATIENCE).then(|| now + SPIN)
    }

    pub(crate) fn paid(&mut self) {
        self.failures = 0;
    }

    pub(crate) fn failed(&mut self) {
        self.failures += 1;
    }

    /// A sleep of this many nanoseconds is over.
    pub(crate) fn slept(&mut self, nanoseconds: u64) {
        if nanoseconds < SHORT_SLEEP {
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_spins_in_vain_turn_it_off_and_a_short_sleep_turns_it_on() {
        let mut spin = Spin { failures: 0, enabled: true };
        for _ in 0..PATIENCE {
            assert_eq!(spin.until(5), Some(5 + SPIN));
            spin.failed();
        }
        assert_eq!(spin.until(5), None);
        spin.slept(SHORT_SLEEP);
        assert_eq!(spin.until(5), None);
        spin.slept(SHORT_SLEEP - 1);
        assert_eq!(spin.until(5), Some(5 + SPIN));
        spin.failed();
        spin.failed();
        spin.paid();
        spin.failed();
        spin.failed();
        assert!(spin.until(5).is_some());
    }

    #[test]
    fn a_disabled_spin_never_begins() {
        assert_eq!(Spin { failures: 0, enabled: false }.until(5), None);
    }
}
