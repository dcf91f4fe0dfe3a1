//! Files and folders, shaped like [`std::fs`]: their calls are made on another OS thread, and park the
//! green thread.
//!
//! No OS tells when a file is ready, so each call here is a job for [`evy_runtime::unblock`]: it goes
//! to one of at most 20 OS threads and back.
//!
//! ```
//! use evy_green_os::fs;
//!
//! # let path = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
//! fs::write(&path, "hello")?;
//! assert_eq!(fs::read_to_string(&path)?, "hello");
//! # fs::remove_file(&path)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What it costs
//!
//! Some 20 microseconds a call, where the call itself takes less than one when the file is in memory,
//! and a copy of the data, which the job has to own. So make few large calls: [`read`] and [`write()`] take one
//! trip for a whole file, [`copy`] for a file of any size; put a [`File`] into a
//! [`BufReader`](std::io::BufReader) or [`BufWriter`](std::io::BufWriter) of 64 KiB or more. A file that is
//! known to be small and in memory may well be read by `std::fs`. Calls on a device or a named pipe
//! that never answers hold one of the 20 OS threads; wait for these with
//! [`wait_readable`](evy_runtime::wait_readable).
//!
//! # Who is killed in the middle
//!
//! A green thread that is killed or timed out in one of these calls goes at once. The call itself is not
//! made if it has not begun; one that is under way goes on, and its result is dropped. So a file may be
//! there or gone afterwards, a file that was to be written may have part of it, a position may have moved,
//! and what is called next on the same file may come before it.
//!
//! All of these functions panic when the OS gives no OS thread at all.

mod file;
mod open_options;
mod read_dir;

use std::io;
use std::path::{Path, PathBuf};

use evy_runtime::unblock;

pub use std::fs::{FileTimes, FileType, Metadata, Permissions};

pub use file::File;
pub use open_options::OpenOptions;
pub use read_dir::{DirEntry, ReadDir, read_dir};

/// Does `work` on another OS thread, with a path of its own.
fn with_path<T: Send + 'static>(
    path: impl AsRef<Path>,
    work: impl FnOnce(&Path) -> T + Send + 'static,
) -> T {
    let path = path.as_ref().to_owned();
    unblock(move || work(&path))
}

/// [`with_path`] for two of them.
fn with_paths<T: Send + 'static>(
    one: impl AsRef<Path>,
    other: impl AsRef<Path>,
    work: impl FnOnce(&Path, &Path) -> T + Send + 'static,
) -> T {
    let other = other.as_ref().to_owned();
    with_path(one, move |one| work(one, &other))
}

/// Reads a whole file.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// fs::write(folder.join("file"), "hello")?;
/// assert_eq!(fs::read(folder.join("file"))?, b"hello");
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `NotFound` where there is no such file; those of opening and of reading.
///
/// # Yields
///
/// Until the file is read.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    with_path(path, |path| std::fs::read(path))
}

/// Reads a whole file of text.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// fs::write(folder.join("file"), "hello")?;
/// assert_eq!(fs::read_to_string(folder.join("file"))?, "hello");
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `InvalidData` where it is not UTF-8; those of [`read`].
///
/// # Yields
///
/// Until the file is read.
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    with_path(path, |path| std::fs::read_to_string(path))
}

/// Writes a whole file, in place of one that is there. Copies the contents first.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// fs::write(folder.join("file"), [1, 2, 3])?;
/// assert_eq!(fs::read(folder.join("file"))?, [1, 2, 3]);
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of creating and of writing a file.
///
/// # Yields
///
/// Until the file is written.
pub fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let contents = contents.as_ref().to_vec();
    with_path(path, |path| std::fs::write(path, contents))
}

/// Copies a file, with its permissions, in place of one that is there; returns how many bytes it has.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// fs::write(folder.join("one"), "hello")?;
/// assert_eq!(fs::copy(folder.join("one"), folder.join("two"))?, 5);
/// assert_eq!(fs::read(folder.join("two"))?, b"hello");
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `InvalidInput` where `from` is no file; those of reading and writing.
///
/// # Yields
///
/// Until the file is copied.
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    with_paths(from, to, |from, to| std::fs::copy(from, to))
}

/// Gives a file or folder another name, in place of what has that name.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// fs::write(folder.join("one"), "hello")?;
/// fs::rename(folder.join("one"), folder.join("two"))?;
/// assert_eq!(fs::read(folder.join("two"))?, b"hello");
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `NotFound` where there is no `from`; `CrossesDevices` where `to` is on another file system.
///
/// # Yields
///
/// Until it is done.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    with_paths(from, to, |from, to| std::fs::rename(from, to))
}

/// Removes a file, or a link.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// fs::write(folder.join("file"), "hello")?;
/// fs::remove_file(folder.join("file"))?;
/// assert!(!fs::exists(folder.join("file"))?);
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `NotFound` where there is none; an error where it is a folder.
///
/// # Yields
///
/// Until it is done.
pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    with_path(path, |path| std::fs::remove_file(path))
}

/// Creates a folder.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// fs::create_dir(folder.join("inner"))?;
/// assert!(fs::metadata(folder.join("inner"))?.is_dir());
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `AlreadyExists` where something has that name; `NotFound` where the folder around it is missing.
///
/// # Yields
///
/// Until it is done.
pub fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    with_path(path, |path| std::fs::create_dir(path))
}

/// Creates a folder, and those around it that are missing. One that is there is no error.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// fs::create_dir_all(folder.join("a/b/c"))?;
/// fs::create_dir_all(folder.join("a/b/c"))?;
/// assert!(fs::metadata(folder.join("a/b/c"))?.is_dir());
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`create_dir`], but for folders that are there.
///
/// # Yields
///
/// Until it is done.
pub fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    with_path(path, |path| std::fs::create_dir_all(path))
}

/// Removes an empty folder.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// fs::create_dir(folder.join("inner"))?;
/// fs::remove_dir(folder.join("inner"))?;
/// assert!(!fs::exists(folder.join("inner"))?);
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `DirectoryNotEmpty` where something is in it; `NotFound` where there is none.
///
/// # Yields
///
/// Until it is done.
pub fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    with_path(path, |path| std::fs::remove_dir(path))
}

/// Removes a folder and all that is in it. Links in it are removed, not followed.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// fs::create_dir_all(folder.join("a/b/c"))?;
/// fs::remove_dir_all(folder.join("a"))?;
/// assert!(!fs::exists(folder.join("a"))?);
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `NotFound` where there is none; those of removing what is in it.
///
/// # Yields
///
/// Until it is done.
pub fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    with_path(path, |path| std::fs::remove_dir_all(path))
}

/// Returns what the file system knows of a file or folder, or of what a link leads to.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// fs::write(folder.join("file"), "hello")?;
/// assert_eq!(fs::metadata(folder.join("file"))?.len(), 5);
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `NotFound` where there is none; `PermissionDenied` where a folder on the way must not be looked
/// into.
///
/// # Yields
///
/// Until it is done.
pub fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    with_path(path, |path| std::fs::metadata(path))
}

/// Returns what the file system knows of a file, a folder or a link itself.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// fs::symlink("anywhere", folder.join("link"))?;
/// assert!(fs::symlink_metadata(folder.join("link"))?.is_symlink());
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`metadata`].
///
/// # Yields
///
/// Until it is done.
pub fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    with_path(path, |path| std::fs::symlink_metadata(path))
}

/// Returns the path from the root on, without links, `.` and `..`.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// fs::write(folder.join("file"), "hello")?;
/// fs::symlink("file", folder.join("link"))?;
/// let path = fs::canonicalize(folder.join("link"))?;
/// assert!(path.is_absolute() && path.ends_with("file"));
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `NotFound` where there is nothing; `NotADirectory` where a part on the way is no folder.
///
/// # Yields
///
/// Until it is done.
pub fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    with_path(path, |path| std::fs::canonicalize(path))
}

/// Gives a file a second name.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// fs::write(folder.join("one"), "hello")?;
/// fs::hard_link(folder.join("one"), folder.join("two"))?;
/// assert_eq!(fs::read(folder.join("two"))?, b"hello");
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `NotFound` where there is no `original`; `AlreadyExists` where something is named `link`.
///
/// # Yields
///
/// Until it is done.
pub fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    with_paths(original, link, |original, link| std::fs::hard_link(original, link))
}

/// Creates a link that leads to `original`, which need not be there: `std::os::unix::fs`'s.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// fs::symlink("anywhere", folder.join("link"))?;
/// assert_eq!(fs::read_link(folder.join("link"))?.to_str(), Some("anywhere"));
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `AlreadyExists` where something is named `link`.
///
/// # Yields
///
/// Until it is done.
pub fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    with_paths(original, link, |original, link| std::os::unix::fs::symlink(original, link))
}

/// Returns what a link says.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// fs::symlink("anywhere", folder.join("link"))?;
/// assert_eq!(fs::read_link(folder.join("link"))?.to_str(), Some("anywhere"));
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `InvalidInput` where it is no link; `NotFound` where there is none.
///
/// # Yields
///
/// Until it is done.
pub fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    with_path(path, |path| std::fs::read_link(path))
}

/// Sets who may do what with a file or folder.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// fs::write(folder.join("file"), "hello")?;
/// let mut permissions = fs::metadata(folder.join("file"))?.permissions();
/// permissions.set_readonly(true);
/// fs::set_permissions(folder.join("file"), permissions)?;
/// assert!(fs::metadata(folder.join("file"))?.permissions().readonly());
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `NotFound` where there is none; `PermissionDenied` where it is somebody else's.
///
/// # Yields
///
/// Until it is done.
pub fn set_permissions(path: impl AsRef<Path>, perm: Permissions) -> io::Result<()> {
    with_path(path, |path| std::fs::set_permissions(path, perm))
}

/// Whether there is such a file or folder. A link that leads nowhere counts as none.
///
/// ```
/// use evy_green_os::fs;
///
/// # let folder = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// # fs::create_dir(&folder)?;
/// assert!(fs::exists(&folder)?);
/// assert!(!fs::exists(folder.join("nothing"))?);
/// # fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Where it cannot be told: a folder on the way must not be looked into.
///
/// # Yields
///
/// Until it is done.
pub fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    with_path(path, |path| std::fs::exists(path))
}
