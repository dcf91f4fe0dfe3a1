//! An open file.

use std::fmt;
use std::fs::{FileTimes, Metadata, Permissions};
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evy_runtime::{sleep, unblock};

use super::OpenOptions;

/// Bytes of one read or write at most: so much memory does the job own.
const MOST: usize = 1 << 20;

/// An open file: [`std::fs::File`], but that its calls are made on another OS thread and park the green
/// thread.
///
/// Each read and each write is a trip to that OS thread, with at most 1 MiB; `read_to_end` and
/// `read_to_string` are one trip altogether. Read or write in large pieces, or through a
/// [`BufReader`](std::io::BufReader::with_capacity) or [`BufWriter`](std::io::BufWriter::with_capacity).
///
/// It is `Send` and `Sync`, and its position is one for all who use it and its clones, as with std. A
/// green thread that is killed in a read or write may have moved the position; std's `FileExt`
/// (`read_at`, `write_at`) leaves it alone. The file is closed by the drop, and in place; after a kill,
/// when the call that goes on has ended.
///
/// ```
/// use std::io::{Read, Seek, Write};
/// use evy_green_os::fs::File;
///
/// # let path = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
/// let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
/// file.write_all(b"hello")?;
/// file.rewind()?;
/// let mut text = String::new();
/// file.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct File {
    /// Shared with the job that is at work on it, if any.
    file: Arc<std::fs::File>,
}

impl File {
    /// Does `work` on another OS thread.
    fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&std::fs::File) -> T + Send + 'static,
    ) -> T {
        let file = Arc::clone(&self.file);
        unblock(move || work(&file))
    }

    /// Opens a file to be read.
    ///
    /// ```
    /// let file = evy_green_os::fs::File::open("/dev/null")?;
    /// # drop(file);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`OpenOptions::open`].
    ///
    /// # Yields
    ///
    /// Until it is open.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file to be written to: a new one, or one that is there and is emptied.
    ///
    /// ```
    /// use std::io::Write;
    /// # let path = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
    /// let mut file = evy_green_os::fs::File::create(&path)?;
    /// file.write_all(b"hello")?;
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`OpenOptions::open`].
    ///
    /// # Yields
    ///
    /// Until it is open.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// Creates a file, to be read and written to.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use evy_green_os::fs::File;
    ///
    /// # let path = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
    /// let file = File::create_new(&path)?;
    /// assert_eq!(File::create_new(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// # drop(file);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where something has that name; those of [`OpenOptions::open`].
    ///
    /// # Yields
    ///
    /// Until it is open.
    pub fn create_new(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// Options to open a file with.
    ///
    /// ```
    /// let file = evy_green_os::fs::File::options().append(true).open("/dev/null")?;
    /// # drop(file);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Gives the file back as std's.
    ///
    /// ```
    /// let file = evy_green_os::fs::File::open("/dev/null")?;
    /// let file: std::fs::File = file.into_std();
    /// # drop(file);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// While a call of one who was killed is still at work on it; otherwise not.
    pub fn into_std(self) -> std::fs::File {
        let mut file = self.file;
        loop {
            match Arc::try_unwrap(file) {
                Ok(file) => return file,
                Err(shared) => file = shared,
            }
            sleep(Duration::from_millis(1));
        }
    }

    /// Waits until all that was written is on the disk, with what is known of the file.
    ///
    /// ```
    /// use std::io::Write;
    /// # let path = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
    /// let mut file = evy_green_os::fs::File::create(&path)?;
    /// file.write_all(b"hello")?;
    /// file.sync_all()?;
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Where it could not be written after all.
    ///
    /// # Yields
    ///
    /// Until it is done.
    pub fn sync_all(&self) -> io::Result<()> {
        self.with(|file| file.sync_all())
    }

    /// [`sync_all`](Self::sync_all), but without what is not needed to find the data again.
    ///
    /// ```
    /// use std::io::Write;
    /// # let path = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
    /// let mut file = evy_green_os::fs::File::create(&path)?;
    /// file.write_all(b"hello")?;
    /// file.sync_data()?;
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Where it could not be written after all.
    ///
    /// # Yields
    ///
    /// Until it is done.
    pub fn sync_data(&self) -> io::Result<()> {
        self.with(|file| file.sync_data())
    }

    /// Cuts the file off at `size` bytes, or fills it up with zeros. The position stays where it is.
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
    /// let file = evy_green_os::fs::File::create(&path)?;
    /// file.set_len(100)?;
    /// assert_eq!(file.metadata()?.len(), 100);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` where it was not opened for writing.
    ///
    /// # Yields
    ///
    /// Until it is done.
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        self.with(move |file| file.set_len(size))
    }

    /// Returns what the file system knows of the file.
    ///
    /// ```
    /// let file = evy_green_os::fs::File::open("/dev/null")?;
    /// assert_eq!(file.metadata()?.len(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `fstat`.
    ///
    /// # Yields
    ///
    /// Until it is done.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.with(|file| file.metadata())
    }

    /// Another handle to the same open file; both have one position.
    ///
    /// ```
    /// use std::io::{Seek, SeekFrom};
    ///
    /// # let path = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
    /// let mut file = evy_green_os::fs::File::create(&path)?;
    /// let mut other = file.try_clone()?;
    /// file.seek(SeekFrom::Start(7))?;
    /// assert_eq!(other.stream_position()?, 7);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When no descriptor is left.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.file.try_clone().map(Self::from)
    }

    /// Sets who may do what with the file.
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
    /// let file = evy_green_os::fs::File::create(&path)?;
    /// let mut permissions = file.metadata()?.permissions();
    /// permissions.set_readonly(true);
    /// file.set_permissions(permissions)?;
    /// assert!(file.metadata()?.permissions().readonly());
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `PermissionDenied` where it is somebody else's.
    ///
    /// # Yields
    ///
    /// Until it is done.
    pub fn set_permissions(&self, perm: Permissions) -> io::Result<()> {
        self.with(|file| file.set_permissions(perm))
    }

    /// Sets when the file was last changed and read.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use evy_green_os::fs::FileTimes;
    ///
    /// # let path = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
    /// let file = evy_green_os::fs::File::create(&path)?;
    /// file.set_times(FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH))?;
    /// assert_eq!(file.metadata()?.accessed()?, SystemTime::UNIX_EPOCH);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `PermissionDenied` where it is somebody else's.
    ///
    /// # Yields
    ///
    /// Until it is done.
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.with(move |file| file.set_times(times))
    }

    /// Sets when the file was last changed.
    ///
    /// ```
    /// use std::time::SystemTime;
    ///
    /// # let path = std::env::temp_dir().join(format!("evy-fs-{}", std::process::id()));
    /// let file = evy_green_os::fs::File::create(&path)?;
    /// file.set_modified(SystemTime::UNIX_EPOCH)?;
    /// assert_eq!(file.metadata()?.modified()?, SystemTime::UNIX_EPOCH);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`set_times`](Self::set_times).
    ///
    /// # Yields
    ///
    /// Until it is done.
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }

    /// Reads into a buffer that the job owns, then into `buffer`, which the caller may have left by the
    /// time the job is done.
    fn read_by(
        &self,
        buffer: &mut [u8],
        read: impl FnOnce(&std::fs::File, &mut [u8]) -> io::Result<usize> + Send + 'static,
    ) -> io::Result<usize> {
        let wanted = buffer.len().min(MOST);
        if wanted == 0 {
            return Ok(0);
        }
        let bytes = self.with(move |file| {
            let mut bytes = vec![0; wanted];
            let count = read(file, &mut bytes)?;
            bytes.truncate(count);
            io::Result::Ok(bytes)
        })?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    /// Writes a copy, which the job owns.
    fn write_by(
        &self,
        bytes: &[u8],
        write: impl FnOnce(&std::fs::File, &[u8]) -> io::Result<usize> + Send + 'static,
    ) -> io::Result<usize> {
        let bytes = bytes[..bytes.len().min(MOST)].to_vec();
        self.with(move |file| write(file, &bytes))
    }
}

impl Read for &File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_by(buffer, |mut file, bytes| file.read(bytes))
    }

    /// In one trip.
    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let (mut bytes, result) = self.with(|mut file| {
            let mut bytes = Vec::new();
            let result = file.read_to_end(&mut bytes);
            (bytes, result)
        });
        buffer.append(&mut bytes);
        result
    }

    /// In one trip.
    fn read_to_string(&mut self, buffer: &mut String) -> io::Result<usize> {
        let (text, result) = self.with(|mut file| {
            let mut text = String::new();
            let result = file.read_to_string(&mut text);
            (text, result)
        });
        buffer.push_str(&text);
        result
    }
}

impl Write for &File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_by(bytes, |mut file, bytes| file.write(bytes))
    }

    /// In one trip: the job has a copy in any case, so it may as well be in one piece.
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut bytes = Vec::new();
        for buffer in buffers {
            let room = MOST - bytes.len();
            bytes.extend_from_slice(&buffer[..buffer.len().min(room)]);
        }
        self.with(move |mut file| file.write(&bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.with(move |mut file| file.seek(position))
    }
}

impl Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buffer)
    }

    fn read_to_string(&mut self, buffer: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buffer)
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        (&*self).seek(position)
    }
}

impl FileExt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_by(buffer, move |file, bytes| file.read_at(bytes, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.write_by(bytes, move |file, bytes| file.write_at(bytes, offset))
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl IntoRawFd for File {
    /// As [`into_std`](File::into_std).
    fn into_raw_fd(self) -> RawFd {
        self.into_std().into_raw_fd()
    }
}

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> Self {
        Self { file: Arc::new(file) }
    }
}

impl From<File> for std::fs::File {
    /// As [`into_std`](File::into_std).
    fn from(file: File) -> Self {
        file.into_std()
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> Self {
        std::fs::File::from(fd).into()
    }
}

impl From<File> for OwnedFd {
    /// As [`into_std`](File::into_std).
    fn from(file: File) -> Self {
        file.into_std().into()
    }
}

impl From<File> for Stdio {
    /// As [`into_std`](File::into_std).
    fn from(file: File) -> Self {
        file.into_std().into()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("fd", &self.as_raw_fd()).finish_non_exhaustive()
    }
}
