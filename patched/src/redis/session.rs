//! What a connection's commands have changed at the server for whoever uses the connection next.

/// Followed by the names of the commands that go out, so that a pool's connection is cleaned only where
/// there is something to clean.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Session {
    /// Between `MULTI` and `EXEC` or `DISCARD`.
    in_transaction: bool,
    /// `WATCH` was sent, and nothing that ends it.
    watches: bool,
    /// Something else that only `RESET` undoes: another database, user, mode.
    changed: bool,
    /// Something was sent whose answers may still come, or that not even `RESET` undoes.
    out_of_step: bool,
}

impl Session {
    pub(super) fn is_clean(self) -> bool {
        !(self.in_transaction || self.watches || self.changed || self.out_of_step)
    }

    pub(super) fn is_out_of_step(self) -> bool {
        self.out_of_step
    }

    pub(super) fn change(&mut self) {
        self.changed = true;
    }

    pub(super) fn get_out_of_step(&mut self) {
        self.out_of_step = true;
    }

    /// Takes note of packed commands that go out, and for how many answers these are. Returns whether any of
    /// them has to do with all this; if one of their answers is an error, nobody knows where the server stands.
    pub(super) fn note(&mut self, packed: &[u8], answers: usize) -> bool {
        let mut concerned = false;
        let mut commands = 0;
        let mut rest = packed;
        while !rest.is_empty() {
            let Some((name, argument, behind)) = split_command(rest) else {
                // Written by hand: it may be anything.
                self.out_of_step = true;
                return true;
            };
            concerned |= self.note_command(name, argument);
            commands += 1;
            rest = behind;
        }
        self.out_of_step |= commands != answers;
        concerned
    }

    fn note_command(&mut self, name: &[u8], argument: &[u8]) -> bool {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        // All of them are that short, and most commands begin otherwise.
        match name {
            [b'm' | b'M', ..] if is("MULTI") => self.in_transaction = true,
            [b'e' | b'E', ..] if is("EXEC") => self.end_transaction(),
            [b'd' | b'D', ..] if is("DISCARD") => self.end_transaction(),
            [b'w' | b'W', ..] if is("WATCH") => self.watches = true,
            // Inside a transaction it is only put in the queue, and EXEC does the same.
            [b'u' | b'U', ..] if is("UNWATCH") => self.watches &= self.in_transaction,
            // Its other subcommands have nothing to do with the connection.
            [b's' | b'S', ..] if is("SCRIPT") => {
                let debugs = argument.eq_ignore_ascii_case(b"DEBUG");
                self.out_of_step |= debugs;
                return debugs;
            }
            _ if CHANGES.iter().any(|change| is(change)) => self.changed = true,
            _ => return false,
        }
        true
    }

    /// Without a transaction both are errors, and watched keys stay so.
    fn end_transaction(&mut self) {
        self.watches &= !self.in_transaction;
        self.in_transaction = false;
    }
}

/// Commands after which the connection is not what it was.
const CHANGES: [&str; 15] = [
    "ASKING",
    "AUTH",
    "CLIENT",
    "HELLO",
    "MONITOR",
    "PSUBSCRIBE",
    "PSYNC",
    "QUIT",
    "READONLY",
    "READWRITE",
    "RESET",
    "SELECT",
    "SSUBSCRIBE",
    "SUBSCRIBE",
    "SYNC",
];

/// The name of the first command, its first argument, empty if it has none, and what is behind that command.
fn split_command(packed: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (count, rest) = split_number(packed.strip_prefix(b"*")?)?;
    let (name, mut rest) = split_bulk(rest)?;
    let mut first: &[u8] = &[];
    for number in 1..count {
        let (argument, behind) = split_bulk(rest)?;
        if number == 1 {
            first = argument;
        }
        rest = behind;
    }
    Some((name, first, rest))
}

fn split_bulk(packed: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = split_number(packed.strip_prefix(b"$")?)?;
    let (bulk, rest) = rest.split_at_checked(length)?;
    Some((bulk, rest.strip_prefix(b"\r\n")?))
}

fn split_number(packed: &[u8]) -> Option<(usize, &[u8])> {
    let digits = packed.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = packed[..digits].iter().try_fold(0_usize, |number, digit| {
        number.checked_mul(10)?.checked_add(usize::from(digit - b'0'))
    });
    Some((number?, packed[digits..].strip_prefix(b"\r\n")?))
}

#[cfg(test)]
mod tests {
    use ::redis::{Cmd, cmd, pipe};

    use super::Session;

    fn after(commands: &[Cmd]) -> Session {
        let mut session = Session::default();
        for command in commands {
            session.note(&command.get_packed_command(), 1);
        }
        session
    }

    fn with(name: &str, argument: &str) -> Cmd {
        cmd(name).arg(argument).clone()
    }

    #[test]
    fn most_commands_leave_nothing_behind() {
        let commands =
            [with("GET", "a"), cmd("set").arg("MULTI").arg("SELECT").clone(), cmd("PING")];
        assert!(after(&commands).is_clean());
        assert!(after(&[]).is_clean());
    }

    #[test]
    fn a_transaction_is_clean_when_it_has_ended() {
        assert!(!after(&[cmd("MULTI")]).is_clean());
        assert!(!after(&[with("watch", "a")]).is_clean());
        assert!(!after(&[with("WATCH", "a"), cmd("MULTI")]).is_clean());
        assert!(after(&[with("WATCH", "a"), cmd("multi"), cmd("EXEC")]).is_clean());
        assert!(after(&[with("WATCH", "a"), cmd("MULTI"), cmd("DISCARD")]).is_clean());
        assert!(after(&[with("WATCH", "a"), cmd("UNWATCH")]).is_clean());
    }

    #[test]
    fn what_ends_no_transaction_ends_no_watch() {
        assert!(!after(&[with("WATCH", "a"), cmd("EXEC")]).is_clean());
        assert!(!after(&[with("WATCH", "a"), cmd("DISCARD")]).is_clean());
        assert!(!after(&[with("WATCH", "a"), cmd("MULTI"), cmd("UNWATCH")]).is_clean());
    }

    #[test]
    fn another_database_or_mode_is_not_clean() {
        for name in ["SELECT", "select", "Subscribe", "CLIENT", "HELLO", "MONITOR"] {
            assert!(!after(&[with(name, "1")]).is_clean(), "{name}");
        }
    }

    #[test]
    fn a_command_in_the_middle_of_a_pipeline_counts() {
        let mut session = Session::default();
        let pipeline = pipe().get("a").cmd("SELECT").arg(1).get("b").get_packed_pipeline();
        assert!(session.note(&pipeline, 3));
        assert!(!session.is_clean());

        let mut session = Session::default();
        let pipeline = pipe().atomic().set("a", 1).get("a").get_packed_pipeline();
        assert!(session.note(&pipeline, 4));
        assert!(session.is_clean());
    }

    /// Scripts run under a debugger from then on, which `RESET` does not end.
    #[test]
    fn a_session_in_which_scripts_are_debugged_is_not_kept() {
        assert!(
            after(&[with("SCRIPT", "LOAD"), with("script", "exists"), cmd("SCRIPT")]).is_clean()
        );
        assert!(after(&[with("SCRIPT", "DEBUG")]).is_out_of_step());
        assert!(after(&[cmd("script").arg("debug").arg("SYNC").clone()]).is_out_of_step());
    }

    #[test]
    fn each_command_has_one_answer_to_be_read() {
        let pipeline = pipe().get("a").get("b").get_packed_pipeline();
        for (answers, is_clean) in [(0, false), (1, false), (2, true), (3, false)] {
            let mut session = Session::default();
            session.note(&pipeline, answers);
            assert_eq!(session.is_clean(), is_clean, "{answers}");
            assert_eq!(session.is_out_of_step(), !is_clean, "{answers}");
        }
    }

    #[test]
    fn what_was_not_packed_by_redis_is_not_trusted() {
        for bytes in [
            "PING\r\n",
            "*1\r\n$4\r\nPI",
            "*1\r\n$99999999999999999999999\r\n",
            "*2\r\n$1\r\na\r\n",
        ] {
            let mut session = Session::default();
            assert!(session.note(bytes.as_bytes(), 1), "{bytes:?}");
            assert!(!session.is_clean(), "{bytes:?}");
        }
    }
}
