//! Files into sockets, without a way through this process's memory where the system can do that.

use std::io;
use std::os::fd::AsFd;

use crate::copy::GreenWrite;

/// Bytes that are sent by one call: what is not in memory yet is read from the disk by then, and nobody
/// else runs.
const AT_ONCE: usize = 256 * 1024;

/// Sends `count` bytes of a file, beginning at `offset`, or those up to its end, if they are fewer;
/// returns how many it was.
///
/// `offset` goes forward with each byte that is sent, also where an error, a timeout or a kill ends it:
/// what was sent is known to the byte, and a second call with it goes on from there. The file's own
/// position stays where it is.
///
/// ```
/// use std::io::Read;
///
/// let path = std::env::temp_dir().join(format!("evy-doc-sendfile-{}", std::process::id()));
/// std::fs::write(&path, "hello, world")?;
/// let file = std::fs::File::open(&path)?;
/// let (ours, mut theirs) = evy_green_net::socket_pair()?;
/// let mut offset = 7;
/// assert_eq!(evy_green_net::sendfile(&ours, &file, &mut offset, u64::MAX)?, 5);
/// assert_eq!(offset, 12);
/// drop(ours);
/// let mut text = String::new();
/// theirs.read_to_string(&mut text)?;
/// assert_eq!(text, "world");
/// # std::fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of reading the file (ESPIPE for what has no places, such as a pipe) and of writing to the
/// socket.
///
/// # Yields
///
/// While there is no room to write. Not while the system reads from the disk, which takes what it takes
/// for 256 KiB at a time: for files on slow disks, [`unblock`](evy_runtime::unblock) is the better place.
pub fn sendfile(
    socket: &impl GreenWrite,
    file: impl AsFd,
    offset: &mut u64,
    count: u64,
) -> io::Result<u64> {
    let mut left = count;
    while left > 0 {
        let most = left.min(AT_ONCE as u64) as usize;
        let sent = socket.send_file(file.as_fd(), *offset, most)? as u64;
        if sent == 0 {
            break;
        }
        *offset += sent;
        left -= sent;
    }
    Ok(count - left)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::copy::sealed::Sealed;

    /// What is no descriptor of the system, such as an encrypted stream.
    struct Elsewhere(RefCell<Vec<u8>>);

    impl Sealed for Elsewhere {}

    impl GreenWrite for Elsewhere {
        fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
            self.write_rest(bytes).map(|()| bytes.len())
        }

        fn write_rest(&self, bytes: &[u8]) -> io::Result<()> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(())
        }
    }

    #[test]
    fn a_socket_that_is_no_descriptor_gets_the_file_through_a_buffer() {
        let path = std::env::temp_dir().join(format!("evy-test-elsewhere-{}", std::process::id()));
        let data: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
        std::fs::write(&path, &data).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        let socket = Elsewhere(RefCell::default());
        let mut offset = 100;
        assert_eq!(sendfile(&socket, &file, &mut offset, 200_000).unwrap(), 200_000);
        assert_eq!(sendfile(&socket, &file, &mut offset, u64::MAX).unwrap(), 99_900);
        assert_eq!(offset, 300_000);
        assert!(socket.0.take() == data[100..]);
    }
}
