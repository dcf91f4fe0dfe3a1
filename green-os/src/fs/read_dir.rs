//! What is in a folder, some entries at a time.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{FileType, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use evy_runtime::unblock;

use super::with_path;

/// Entries that one trip to another OS thread fetches.
const BATCH: usize = 128;

/// Lists what is in a folder, in no order, without `.` and `..`.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// fs::write(folder.join("file"), "hello")?;
/// for entry in fs::read_dir(&folder)? {
///     let entry = entry?;
///     assert_eq!(entry.file_name(), "file");
///     assert_eq!(entry.metadata()?.len(), 5);
/// }
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `NotFound` where there is no such folder; `NotADirectory`; `PermissionDenied` where it must not be
/// read.
///
/// # Yields
///
/// Until the first entries are there.
pub fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    with_path(path, |path| {
        let mut entries =
            Entries { fetched: VecDeque::new(), source: Some(std::fs::read_dir(path)?) };
        entries.fetch();
        Ok(ReadDir { entries: Arc::new(Mutex::new(entries)) })
    })
}

/// The entries of a folder: [`std::fs::ReadDir`], but that `next` parks the green thread, once in 128
/// times.
///
/// A green thread that is killed or timed out in `next` loses no entry: who goes on with it gets them.
///
/// ```
/// use evy_green_os::fs;
///
/// let entries: fs::ReadDir = fs::read_dir("/")?;
/// assert!(entries.count() > 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct ReadDir {
    /// Locked for long only by a job; a job that was left alone by its caller may still have it.
    entries: Arc<Mutex<Entries>>,
}

struct Entries {
    fetched: VecDeque<io::Result<DirEntry>>,
    /// `None` at the end.
    source: Option<std::fs::ReadDir>,
}

impl Entries {
    /// Fetches more, unless there are some. Blocks.
    fn fetch(&mut self) {
        while let Some(source) = &mut self.source
            && self.fetched.len() < BATCH
        {
            match source.next() {
                Some(entry) => self.fetched.push_back(entry.map(DirEntry::new)),
                None => self.source = None,
            }
        }
    }
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        loop {
            let entries = match self.entries.try_lock() {
                Ok(entries) => Some(entries),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            };
            if let Some(mut entries) = entries {
                match entries.fetched.pop_front() {
                    None if entries.source.is_some() => {}
                    entry => return entry,
                }
            }
            let entries = Arc::clone(&self.entries);
            unblock(move || entries.lock().unwrap_or_else(PoisonError::into_inner).fetch());
        }
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir").finish_non_exhaustive()
    }
}

/// One thing in a folder: [`std::fs::DirEntry`], but that [`metadata`](Self::metadata) parks the green
/// thread.
///
/// ```
/// use evy_green_os::fs;
///
/// let mut folders = 0;
/// for entry in fs::read_dir("/")? {
///     folders += usize::from(entry?.file_type()?.is_dir());
/// }
/// assert!(folders > 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct DirEntry {
    entry: Arc<std::fs::DirEntry>,
    /// Where the file system said so by itself.
    file_type: Option<FileType>,
}

impl DirEntry {
    /// Blocks where the file system does not say by itself what kind of thing it is.
    fn new(entry: std::fs::DirEntry) -> Self {
        let file_type = entry.file_type().ok();
        Self { entry: Arc::new(entry), file_type }
    }

    /// Returns the folder's path, as it was given, with the name behind it.
    ///
    /// ```
    /// for entry in evy_green_os::fs::read_dir("/")? {
    ///     assert!(entry?.path().is_absolute());
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn path(&self) -> PathBuf {
        self.entry.path()
    }

    /// Returns the name alone.
    ///
    /// ```
    /// for entry in evy_green_os::fs::read_dir("/")? {
    ///     assert_ne!(entry?.file_name(), "..");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn file_name(&self) -> OsString {
        self.entry.file_name()
    }

    /// Returns what the file system knows of it; of a link itself, not of what it leads to.
    ///
    /// ```
    /// for entry in evy_green_os::fs::read_dir("/")? {
    ///     println!("{:?}", entry?.metadata()?.permissions());
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `NotFound` when it has been removed since.
    ///
    /// # Yields
    ///
    /// Until it is done.
    pub fn metadata(&self) -> io::Result<Metadata> {
        let entry = Arc::clone(&self.entry);
        unblock(move || entry.metadata())
    }

    /// Returns whether it is a file, a folder, a link or something else.
    ///
    /// ```
    /// for entry in evy_green_os::fs::read_dir("/")? {
    ///     println!("{}", if entry?.file_type()?.is_dir() { "a folder" } else { "something else" });
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Where the file system did not say so with the entry: those of [`metadata`](Self::metadata).
    ///
    /// # Yields
    ///
    /// Where the file system did not say so with the entry, until it is done.
    pub fn file_type(&self) -> io::Result<FileType> {
        match self.file_type {
            Some(file_type) => Ok(file_type),
            None => {
                let entry = Arc::clone(&self.entry);
                unblock(move || entry.file_type())
            }
        }
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.entry, f)
    }
}
