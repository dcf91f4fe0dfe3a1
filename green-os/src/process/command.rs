//! A program that is to be started, and with what.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};

use super::Child;

/// A program that is to be started: [`std::process::Command`], but that [`output`](Self::output) and
/// [`status`](Self::status) park the green thread, and a [`Child`]'s pipes do.
///
/// ```
/// use evy_green_os::process::Command;
///
/// let output = Command::new("echo").arg("hello").output()?;
/// assert!(output.status.success());
/// assert_eq!(output.stdout, b"hello\n");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// What only some systems have (`uid`, `process_group`, `pre_exec`) is set by
/// [`as_std_mut`](Self::as_std_mut).
pub struct Command {
    command: std::process::Command,
    /// Which of the three streams were chosen; std's own note of it cannot be read.
    chosen: Chosen,
}

#[derive(Clone, Copy, Default)]
struct Chosen {
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

impl From<std::process::Command> for Command {
    /// Takes over a command of std. [`output`](Self::output) does not see which streams were chosen on
    /// it: choose them here.
    fn from(command: std::process::Command) -> Self {
        Self { command, chosen: Chosen::default() }
    }
}

impl Command {
    /// A command that starts `program`, looked for in `PATH`, without arguments, and with the
    /// environment and the folder of this process.
    ///
    /// ```
    /// use evy_green_os::process::Command;
    ///
    /// assert!(Command::new("true").status()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[doc(alias = "Popen")]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        std::process::Command::new(program).into()
    }

    /// Adds an argument.
    ///
    /// ```
    /// # use evy_green_os::process::Command;
    /// let output = Command::new("echo").arg("one").arg("two").output()?;
    /// assert_eq!(output.stdout, b"one two\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    ///
    /// ```
    /// # use evy_green_os::process::Command;
    /// let output = Command::new("echo").args(["one", "two"]).output()?;
    /// assert_eq!(output.stdout, b"one two\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn args(&mut self, args: impl IntoIterator<Item: AsRef<OsStr>>) -> &mut Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of the environment.
    ///
    /// ```
    /// # use evy_green_os::process::Command;
    /// let output = Command::new("sh").args(["-c", "echo $COLOUR"]).env("COLOUR", "red").output()?;
    /// assert_eq!(output.stdout, b"red\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.command.env(key, value);
        self
    }

    /// Sets variables of the environment.
    ///
    /// ```
    /// # use evy_green_os::process::Command;
    /// let variables = [("FIRST", "1"), ("SECOND", "2")];
    /// let output = Command::new("sh").args(["-c", "echo $FIRST$SECOND"]).envs(variables).output()?;
    /// assert_eq!(output.stdout, b"12\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        &mut self,
        vars: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Self {
        self.command.envs(vars);
        self
    }

    /// Takes a variable out of the environment.
    ///
    /// ```
    /// # use evy_green_os::process::Command;
    /// let output = Command::new("sh").args(["-c", "echo ${HOME-none}"]).env_remove("HOME").output()?;
    /// assert_eq!(output.stdout, b"none\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Self {
        self.command.env_remove(key);
        self
    }

    /// Takes all variables out of the environment.
    ///
    /// ```
    /// # use evy_green_os::process::Command;
    /// let output = Command::new("/usr/bin/env").env_clear().env("ONLY", "this").output()?;
    /// assert_eq!(output.stdout, b"ONLY=this\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn env_clear(&mut self) -> &mut Self {
        self.command.env_clear();
        self
    }

    /// Sets the folder that the child works in.
    ///
    /// ```
    /// # use evy_green_os::process::Command;
    /// let output = Command::new("pwd").current_dir("/").output()?;
    /// assert_eq!(output.stdout, b"/\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn current_dir(&mut self, dir: impl AsRef<Path>) -> &mut Self {
        self.command.current_dir(dir);
        self
    }

    /// Sets the child's standard input: a [`Stdio`], a file, an end of a pipe (of std or green), or the
    /// output of another child. By default it is this process's; with [`output`](Self::output) it is
    /// empty.
    ///
    /// ```
    /// use std::io::Write;
    /// use evy_green_os::{pipe::pipe, process::Command};
    ///
    /// let (reader, mut writer) = pipe()?;
    /// writer.write_all(b"hello")?;
    /// drop(writer);
    /// assert_eq!(Command::new("cat").stdin(reader).output()?.stdout, b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn stdin(&mut self, cfg: impl Into<Stdio>) -> &mut Self {
        self.chosen.stdin = true;
        self.command.stdin(cfg);
        self
    }

    /// Sets the child's standard output. By default it is this process's; with
    /// [`output`](Self::output) it is read.
    ///
    /// ```
    /// use evy_green_os::process::{Command, Stdio};
    ///
    /// assert!(Command::new("echo").stdout(Stdio::null()).status()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn stdout(&mut self, cfg: impl Into<Stdio>) -> &mut Self {
        self.chosen.stdout = true;
        self.command.stdout(cfg);
        self
    }

    /// Sets the child's standard error. By default it is this process's; with
    /// [`output`](Self::output) it is read.
    ///
    /// ```
    /// use std::io::Read;
    /// use evy_green_os::{pipe::pipe, process::Command};
    ///
    /// // Both into one pipe. The command holds its ends until it is dropped.
    /// let (mut reader, writer) = pipe()?;
    /// let mut command = Command::new("sh");
    /// command.args(["-c", "echo out; echo err >&2"]).stdout(writer.try_clone()?).stderr(writer);
    /// assert!(command.status()?.success());
    /// drop(command);
    /// let mut text = String::new();
    /// reader.read_to_string(&mut text)?;
    /// assert_eq!(text, "out\nerr\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn stderr(&mut self, cfg: impl Into<Stdio>) -> &mut Self {
        self.chosen.stderr = true;
        self.command.stderr(cfg);
        self
    }

    /// Starts the program.
    ///
    /// It is started in place, as by std: the OS thread waits until the program has been loaded
    /// ([more](super#what-blocks-all-the-same)).
    ///
    /// ```
    /// use evy_green_os::process::Command;
    ///
    /// let mut child = Command::new("true").spawn()?;
    /// assert!(child.wait()?.success());
    /// let error = Command::new("/no/such/program").spawn().unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `NotFound` where there is no such program, `PermissionDenied` where it must not be run, and when
    /// no descriptor or process is left.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn spawn(&mut self) -> io::Result<Child> {
        self.command.spawn().map(Child::from)
    }

    /// Starts the program, reads all that it writes, waits until it has ended, and returns both.
    ///
    /// Streams that were not chosen: output and errors are read (at the same time), the input is empty.
    ///
    /// ```
    /// use evy_green_os::process::Command;
    ///
    /// let output = Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"]).output()?;
    /// assert_eq!(output.stdout, b"one\n");
    /// assert_eq!(output.stderr, b"two\n");
    /// assert_eq!(output.status.code(), Some(3));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`spawn`](Self::spawn) and of [`Child::wait_with_output`].
    ///
    /// # Yields
    ///
    /// Until the child's outputs are closed and it has ended.
    pub fn output(&mut self) -> io::Result<Output> {
        self.set_others(Stdio::null, Stdio::piped);
        let child = self.spawn();
        // As they were, for a later `spawn`.
        self.set_others(Stdio::inherit, Stdio::inherit);
        child?.wait_with_output()
    }

    /// Sets the streams that were not chosen.
    fn set_others(&mut self, input: fn() -> Stdio, output: fn() -> Stdio) {
        let Self { command, chosen } = self;
        if !chosen.stdin {
            command.stdin(input());
        }
        if !chosen.stdout {
            command.stdout(output());
        }
        if !chosen.stderr {
            command.stderr(output());
        }
    }

    /// Starts the program, waits until it has ended, and returns how.
    ///
    /// ```
    /// use evy_green_os::process::Command;
    ///
    /// assert!(!Command::new("false").status()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`spawn`](Self::spawn) and of [`Child::wait`].
    ///
    /// # Yields
    ///
    /// Until it has ended.
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// The command of std within, to ask what it will start.
    ///
    /// ```
    /// let mut command = evy_green_os::process::Command::new("echo");
    /// command.arg("hello");
    /// assert_eq!(command.as_std().get_program(), "echo");
    /// assert_eq!(command.as_std().get_args().count(), 1);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn as_std(&self) -> &std::process::Command {
        &self.command
    }

    /// The command of std within, for what only some systems have. [`output`](Self::output) does not
    /// see which streams are chosen on it.
    ///
    /// ```
    /// use std::os::unix::process::CommandExt;
    ///
    /// let mut command = evy_green_os::process::Command::new("sh");
    /// command.args(["-c", "echo $0"]).as_std_mut().arg0("-sh");
    /// # command.as_std_mut().arg0("sh");
    /// assert!(command.output()?.status.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.command
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.command, f)
    }
}
