//! What the OS says of a descriptor ([`Readiness`]) and which half of it somebody waits for ([`Direction`]).

use std::fmt;
use std::ops::BitOr;

/// One half of a descriptor: what a green thread can wait for.
///
/// ```
/// use evy_hub::Direction;
///
/// assert_eq!(Direction::BOTH, [Direction::Read, Direction::Write]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Data, a connection to accept, or the end of the stream.
    Read,
    /// Room to write, or the end of a connect.
    Write,
}

impl Direction {
    /// Both directions, reading first.
    pub const BOTH: [Self; 2] = [Self::Read, Self::Write];

    /// The readiness bit that ends a wait in this direction.
    ///
    /// ```
    /// use evy_hub::{Direction, Readiness};
    ///
    /// assert_eq!(Direction::Read.bit(), Readiness::READABLE);
    /// ```
    pub fn bit(self) -> Readiness {
        match self {
            Self::Read => Readiness::READABLE,
            Self::Write => Readiness::WRITABLE,
        }
    }
}

/// A set of readiness bits.
///
/// ```
/// use evy_hub::Readiness;
///
/// let mut seen = Readiness::READABLE | Readiness::HANGUP;
/// assert!(seen.intersects(Readiness::READABLE));
/// seen.clear(Readiness::READABLE);
/// assert_eq!(seen, Readiness::HANGUP);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing is known to be ready.
    pub const NONE: Self = Self(0);
    /// A read may succeed.
    pub const READABLE: Self = Self(1);
    /// A write may succeed.
    pub const WRITABLE: Self = Self(2);
    /// Urgent data was reported: a read stops at its mark, so a short one does not mean drained.
    pub const URGENT: Self = Self(4);
    /// The peer's end, a hang-up or an error was reported, or the driver cannot tell: the end of
    /// the stream comes without a further event, so a short read does not mean drained.
    pub const HANGUP: Self = Self(8);

    /// Whether any bit of `other` is set here.
    ///
    /// ```
    /// # use evy_hub::Readiness;
    /// let both = Readiness::READABLE | Readiness::WRITABLE;
    /// assert!(both.intersects(Readiness::WRITABLE));
    /// assert!(!both.intersects(Readiness::URGENT));
    /// ```
    #[inline]
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Adds the bits of `other`.
    ///
    /// ```
    /// # use evy_hub::Readiness;
    /// let mut seen = Readiness::READABLE;
    /// seen.set(Readiness::HANGUP);
    /// assert_eq!(seen, Readiness::READABLE | Readiness::HANGUP);
    /// ```
    #[inline]
    pub fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Takes the bits of `other` away.
    ///
    /// ```
    /// # use evy_hub::Readiness;
    /// let mut seen = Readiness::READABLE | Readiness::HANGUP;
    /// seen.clear(Readiness::HANGUP);
    /// assert_eq!(seen, Readiness::READABLE);
    /// ```
    #[inline]
    pub fn clear(&mut self, other: Self) {
        self.0 &= !other.0;
    }
}

impl BitOr for Readiness {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::READABLE, "READABLE"),
            (Self::WRITABLE, "WRITABLE"),
            (Self::URGENT, "URGENT"),
            (Self::HANGUP, "HANGUP"),
        ];
        f.debug_set()
            .entries(names.iter().filter(|(bit, _)| self.intersects(*bit)).map(|(_, name)| name))
            .finish()
    }
}
