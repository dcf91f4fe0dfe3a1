//! How deep the values from a server are nested, told before the parser sees them.
//!
//! The parser calls itself for each level, up to a hundred, and needs 14 KiB of stack for one without
//! optimisation: for all of them more than a green thread has. Usual answers have five levels at the most.

/// Follows the bytes from a server as far as lengths go. Where they make no sense the parser will say so.
pub(super) struct Nesting {
    /// How many values are still to come in each array, map and so on that has begun.
    open: Vec<u64>,
    place: Place,
    /// How many values outside of all others have ended.
    ended: u64,
}

enum Place {
    /// The byte that says what kind of value comes.
    Kind,
    /// The rest of that line: a number, or something that does not matter.
    Line { kind: u8, number: u64, negative: bool },
    /// So many bytes of a text.
    Text(u64),
}

/// Nobody reads values that go so deep.
const DEEPEST: usize = 128;

impl Nesting {
    pub(super) fn new() -> Self {
        Self { open: Vec::new(), place: Place::Kind, ended: 0 }
    }

    pub(super) fn ended(&self) -> u64 {
        self.ended
    }

    pub(super) fn is_between_values(&self) -> bool {
        self.open.is_empty() && matches!(self.place, Place::Kind)
    }

    /// Follows further bytes. Returns how deep they go at the most.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> usize {
        let mut deepest = self.open.len();
        while let [byte, rest @ ..] = bytes {
            bytes = rest;
            match &mut self.place {
                Place::Kind => {
                    self.place = Place::Line { kind: *byte, number: 0, negative: false };
                }
                Place::Line { kind, number, negative } => match byte {
                    b'0'..=b'9' => {
                        let digit = u64::from(byte - b'0');
                        *number = number.saturating_mul(10).saturating_add(digit);
                    }
                    b'-' => *negative = true,
                    b'\n' => {
                        let (kind, number) = (*kind, (!*negative).then_some(*number));
                        self.end_line(kind, number);
                        deepest = deepest.max(self.open.len());
                    }
                    _ => {}
                },
                Place::Text(left) => {
                    // This byte, and as many of the others.
                    let others = usize::try_from(*left - 1).unwrap_or(usize::MAX).min(rest.len());
                    *left -= 1 + others as u64;
                    bytes = &rest[others..];
                    if *left == 0 {
                        self.end_value();
                    }
                }
            }
        }
        deepest
    }

    fn end_line(&mut self, kind: u8, number: Option<u64>) {
        if let (b'$' | b'!' | b'=', Some(length)) = (kind, number) {
            self.place = Place::Text(length.saturating_add(2));
            return;
        }
        let number = number.unwrap_or(0);
        let values = match kind {
            b'*' | b'~' | b'>' => number,
            b'%' => number.saturating_mul(2),
            // Attributes are followed by the value that they belong to.
            b'|' => number.saturating_mul(2).saturating_add(1),
            _ => 0,
        };
        self.place = Place::Kind;
        if values == 0 {
            self.end_value();
        } else if self.open.len() < DEEPEST {
            self.open.push(values);
        }
    }

    fn end_value(&mut self) {
        self.place = Place::Kind;
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.open.pop();
        }
        self.ended += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::Nesting;

    /// How deep it is, and how many values it is, however it is cut.
    fn followed(text: &str) -> (usize, u64) {
        let whole = {
            let mut nesting = Nesting::new();
            let deepest = nesting.follow(text.as_bytes());
            assert!(nesting.is_between_values(), "{text:?}");
            (deepest, nesting.ended())
        };
        for size in 1..text.len() {
            let mut nesting = Nesting::new();
            let pieces = text.as_bytes().chunks(size).map(|piece| nesting.follow(piece));
            assert_eq!(pieces.max(), Some(whole.0), "{text:?} by {size}");
            assert_eq!(nesting.ended(), whole.1, "{text:?} by {size}");
        }
        whole
    }

    #[test]
    fn values_are_counted_and_so_are_their_levels() {
        for (text, expected) in [
            ("+OK\r\n", (0, 1)),
            (":1\r\n-ERR *2\r\n_\r\n", (0, 3)),
            ("$5\r\n*1\r\n*\r\n", (0, 1)),
            ("$0\r\n\r\n$-1\r\n", (0, 2)),
            ("*0\r\n*-1\r\n", (0, 2)),
            ("*2\r\n$1\r\na\r\n:1\r\n", (1, 1)),
            ("*2\r\n*1\r\n:1\r\n*1\r\n*1\r\n+a\r\n", (3, 1)),
            ("%1\r\n+a\r\n~1\r\n:1\r\n+b\r\n", (2, 2)),
            ("|1\r\n+a\r\n:1\r\n*1\r\n:2\r\n", (2, 1)),
            ("=5\r\ntxt:a\r\n>1\r\n!1\r\nE\r\n", (1, 2)),
        ] {
            assert_eq!(followed(text), expected, "{text:?}");
        }
    }

    #[test]
    fn nonsense_takes_neither_time_nor_memory() {
        let mut nesting = Nesting::new();
        assert_eq!(nesting.follow(b"$99999999999999999999999\r\nabc"), 0);
        let mut nesting = Nesting::new();
        assert_eq!(nesting.follow(b"%99999999999999999999999\r\n".repeat(1000).as_slice()), 128);
    }
}
