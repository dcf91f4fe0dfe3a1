//! How a file is opened.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{File, with_path};

/// How a file is opened: [`std::fs::OpenOptions`], but that [`open`](Self::open) parks the green thread.
///
/// std's `OpenOptionsExt` (`mode`, `custom_flags`) works on it too.
///
/// ```
/// use std::io::Write;
/// use evy_green_os::fs::{self, OpenOptions};
///
/// # let path = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// for line in ["one\n", "two\n"] {
///     let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
///     file.write_all(line.as_bytes())?;
/// }
/// assert_eq!(fs::read(&path)?, b"one\ntwo\n");
/// # fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    options: std::fs::OpenOptions,
}

/// Those of the switches, which differ in a word.
macro_rules! switches {
    ($($(#[doc = $doc:literal])* $name:ident: $example:literal)*) => {
        $(
            $(#[doc = $doc])*
            ///
            /// ```
            /// # use evy_green_os::fs::{self, OpenOptions};
            /// # let path = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
            /// # fs::write(&path, "hello")?;
            #[doc = $example]
            /// # fs::remove_file(&path)?;
            /// # Ok::<(), std::io::Error>(())
            /// ```
            ///
            /// # Yields
            ///
            /// Never.
            pub fn $name(&mut self, $name: bool) -> &mut Self {
                self.options.$name($name);
                self
            }
        )*
    };
}

impl OpenOptions {
    /// Options that are all off.
    ///
    /// ```
    /// use evy_green_os::fs::OpenOptions;
    ///
    /// assert!(OpenOptions::new().open("/dev/null").is_err(), "not even to be read");
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    #[expect(clippy::new_without_default, reason = "std's has no default either")]
    pub fn new() -> Self {
        Self { options: std::fs::OpenOptions::new() }
    }

    switches! {
        /// To be read.
        read: "OpenOptions::new().read(true).open(&path)?;"
        /// To be written to.
        write: "OpenOptions::new().write(true).open(&path)?;"
        /// To be written to, always at its end.
        append: "OpenOptions::new().append(true).open(&path)?;"
        /// To be emptied first; it has to be opened for writing.
        truncate: "OpenOptions::new().write(true).truncate(true).open(&path)?;"
        /// To be created where there is none; it has to be opened for writing or appending.
        create: "OpenOptions::new().append(true).create(true).open(&path)?;"
        /// To be created; one that is there is an error.
        create_new: "assert!(OpenOptions::new().write(true).create_new(true).open(&path).is_err());"
    }

    /// Opens a file in this way.
    ///
    /// ```
    /// use evy_green_os::fs::OpenOptions;
    ///
    /// let file = OpenOptions::new().read(true).open("/dev/null")?;
    /// assert!(!file.metadata()?.is_file());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `NotFound`, `AlreadyExists`, `PermissionDenied`, `InvalidInput` for options that contradict each
    /// other, and when no descriptor is left.
    ///
    /// # Yields
    ///
    /// Until it is open.
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let options = self.options.clone();
        with_path(path, move |path| options.open(path)).map(File::from)
    }
}

impl OpenOptionsExt for OpenOptions {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.options.mode(mode);
        self
    }

    fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.options.custom_flags(flags);
        self
    }
}

impl From<std::fs::OpenOptions> for OpenOptions {
    fn from(options: std::fs::OpenOptions) -> Self {
        Self { options }
    }
}
