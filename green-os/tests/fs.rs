//! Files: what std's do, while the others run, and what is left when the caller is killed.

mod util;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, IoSlice, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use evy_green_os::fs::{self, File, OpenOptions};
use evy_runtime::{Died, GreenThread, spawn, timeout, yield_now};
use util::{
    Folder, OnDrop, after_steps, alone, alone_with, and_all_of_them_again, assert_send_and_sync,
    descriptors, is_close_on_exec, let_all_park, named_pipe, soon, wait_until,
};

and_all_of_them_again!();

/// A test that runs one script with the files of std and with ours, in a folder of its own each, and
/// wants the same of both: the script returns what it saw.
macro_rules! same_as_std {
    ($($(#[$attribute:meta])* fn $name:ident($folder:ident) -> $seen:ty $script:block)*) => {
        $(
            $(#[$attribute])*
            #[test]
            fn $name() {
                fn with_std($folder: &Folder) -> $seen {
                    use std::fs::{self, File, OpenOptions};
                    use std::os::unix::fs::symlink;
                    type _Used = (File, OpenOptions);
                    let _used = (fs::exists::<&str>, symlink::<&str, &str>);
                    $script
                }
                fn with_ours($folder: &Folder) -> $seen {
                    use evy_green_os::fs::{self, File, OpenOptions, symlink};
                    type _Used = (File, OpenOptions);
                    let _used = (|path: &str| fs::exists(path), |a: &str, b: &str| symlink(a, b));
                    $script
                }
                let ours = with_ours(&Folder::new(concat!(stringify!($name), "_ours")));
                let stds = with_std(&Folder::new(concat!(stringify!($name), "_stds")));
                assert_eq!(ours, stds, "left is ours, right is std's");
            }
        )*
    };
}

type Error = (ErrorKind, Option<i32>);

same_as_std! {
    fn whole_files_are_read_and_written(folder) -> Vec<Result<Vec<u8>, Error>> {
        let file = folder.join("file");
        let mut seen = vec![util::seen(fs::read(&file))];
        for contents in ["hello", "", "longer than before"] {
            fs::write(&file, contents).unwrap();
            seen.push(util::seen(fs::read(&file)));
            seen.push(util::seen(fs::read_to_string(&file)).map(String::into_bytes));
        }
        fs::write(&file, [0xff, 0xfe]).unwrap();
        seen.push(util::seen(fs::read_to_string(&file)).map(String::into_bytes));
        seen.push(util::seen(fs::read(folder.path())));
        seen.push(util::seen(fs::write(folder.path(), "x")).map(|()| Vec::new()));
        seen.push(util::seen(fs::write(folder.join("no/file"), "x")).map(|()| Vec::new()));
        seen
    }

    fn names_change(folder) -> Vec<Result<u64, Error>> {
        let [one, two, three] = ["one", "two", "three"].map(|name| folder.join(name));
        let unit = |result| util::seen(result).map(|()| 0);
        fs::write(&one, "hello").unwrap();
        vec![
            util::seen(fs::copy(&one, &two)),
            util::seen(fs::copy(folder.join("none"), &two)),
            util::seen(fs::copy(folder.path(), &three)),
            unit(fs::rename(&two, &three)),
            unit(fs::rename(&two, &three)),
            unit(fs::hard_link(&one, &two)),
            unit(fs::hard_link(&one, &two)),
            unit(symlink("one", folder.join("link"))),
            unit(symlink("one", folder.join("link"))),
            util::seen(fs::read_link(folder.join("link"))).map(|path| path.as_os_str().len() as u64),
            util::seen(fs::read_link(&one)).map(|_| 0),
            util::seen(fs::metadata(folder.join("link"))).map(|data| data.len()),
            util::seen(fs::symlink_metadata(folder.join("link"))).map(|data| data.len()),
            util::seen(fs::metadata(folder.join("none"))).map(|data| data.len()),
            unit(fs::remove_file(&two)),
            unit(fs::remove_file(&two)),
            unit(fs::remove_file(folder.path())),
            util::seen(fs::exists(&one)).map(u64::from),
            util::seen(fs::exists(&two)).map(u64::from),
            util::seen(fs::canonicalize(folder.join("link")))
                .map(|path| u64::from(path.ends_with("one"))),
            util::seen(fs::canonicalize(&two)).map(|_| 0),
        ]
    }

    fn folders_come_and_go(folder) -> Vec<Result<(), Error>> {
        let deep = folder.join("a/b/c");
        vec![
            util::seen(fs::create_dir(&deep)),
            util::seen(fs::create_dir_all(&deep)),
            util::seen(fs::create_dir_all(&deep)),
            util::seen(fs::create_dir(&deep)),
            util::seen(fs::remove_dir(folder.join("a"))),
            util::seen(fs::remove_dir(&deep)),
            util::seen(fs::remove_dir_all(folder.join("a"))),
            util::seen(fs::remove_dir_all(folder.join("a"))),
            util::seen(fs::read_dir(folder.join("a")).map(drop)),
        ]
    }

    fn permissions_are_set(folder) -> Vec<Result<u32, Error>> {
        let file = folder.join("file");
        fs::write(&file, "hello").unwrap();
        let mode = || util::seen(fs::metadata(&file)).map(|data| data.permissions().mode());
        let mut permissions = fs::metadata(&file).unwrap().permissions();
        permissions.set_mode(0o640);
        fs::set_permissions(&file, permissions.clone()).unwrap();
        let mut seen = vec![mode()];
        permissions.set_mode(0o600);
        File::open(&file).unwrap().set_permissions(permissions.clone()).unwrap();
        seen.push(mode());
        seen.push(util::seen(fs::set_permissions(folder.join("none"), permissions)).map(|()| 0));
        seen
    }

    fn files_are_opened_as_the_options_say(folder) -> Vec<Result<u64, Error>> {
        let mut seen = Vec::new();
        // Every combination of the six, on a file that is there and on one that is not.
        for bits in 0..64 {
            for there in [false, true] {
                let file = folder.join(&format!("{bits}-{there}"));
                if there {
                    fs::write(&file, "hello").unwrap();
                }
                let bit = |n: u32| bits >> n & 1 == 1;
                let mut options = OpenOptions::new();
                options.read(bit(0)).write(bit(1)).append(bit(2));
                options.truncate(bit(3)).create(bit(4)).create_new(bit(5));
                let opened = options.open(&file);
                seen.push(util::seen(opened).and_then(|file| {
                    let mut file = file;
                    let _ = file.write_all(b"x");
                    util::seen(file.metadata()).map(|data| data.len())
                }));
            }
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).mode(0o600).custom_flags(libc::O_EXCL);
        let file = folder.join("with flags");
        seen.push(util::seen(options.open(&file)).map(|_| 0));
        seen.push(util::seen(options.open(&file)).map(|_| 0));
        seen.push(util::seen(fs::metadata(&file)).map(|data| data.permissions().mode().into()));
        seen
    }

    fn reads_writes_and_seeks_share_a_position(folder) -> Vec<Result<u64, Error>> {
        let mut seen = Vec::new();
        let path = folder.join("file");
        seen.push(util::seen(File::open(&path)).map(|_| 0));
        let mut file = File::create_new(&path).unwrap();
        seen.push(util::seen(File::create_new(&path)).map(|_| 0));
        let mut buffer = [0; 8];
        seen.push(util::seen(file.write(b"hello world")).map(|count| count as u64));
        seen.push(util::seen(file.read(&mut buffer)).map(|count| count as u64));
        seen.push(util::seen(file.seek(SeekFrom::Start(6))));
        seen.push(util::seen(file.read(&mut buffer)).map(|count| count as u64));
        seen.push(util::seen(file.seek(SeekFrom::End(-3))));
        seen.push(util::seen(file.seek(SeekFrom::Current(-100))));
        let mut clone = file.try_clone().unwrap();
        seen.push(util::seen(clone.stream_position()));
        let mut text = String::from("before: ");
        seen.push(util::seen(clone.read_to_string(&mut text)).map(|count| count as u64));
        assert_eq!(text, "before: rld");
        seen.push(util::seen(file.set_len(3)).map(|()| 0));
        seen.push(util::seen(file.stream_position()));
        seen.push(util::seen(file.write(b"!")).map(|count| count as u64));
        file.rewind().unwrap();
        let mut bytes = vec![1, 2];
        seen.push(util::seen(file.read_to_end(&mut bytes)).map(|count| count as u64));
        assert_eq!(bytes, b"\x01\x02hel\0\0\0\0\0\0\0\0!");
        seen.push(util::seen(file.write_at(b"xy", 1)).map(|count| count as u64));
        seen.push(util::seen(file.read_at(&mut buffer, 0)).map(|count| count as u64));
        assert_eq!(&buffer[..4], b"hxy\0");
        seen.push(util::seen(file.read_exact_at(&mut buffer, 1 << 20)).map(|()| 0));
        seen.push(util::seen(file.stream_position()));
        seen.push(util::seen(file.read(&mut [])).map(|count| count as u64));
        seen.push(util::seen(file.write(&[])).map(|count| count as u64));
        let parts = [IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"two")];
        seen.push(util::seen(file.write_vectored(&parts)).map(|count| count as u64));
        file.sync_data().unwrap();
        file.sync_all().unwrap();
        let mut reader = File::open(&path).unwrap();
        seen.push(util::seen(reader.write(b"x")).map(|count| count as u64));
        seen.push(util::seen(reader.set_len(1)).map(|()| 0));
        file.write_at(&[0xff], 0).unwrap();
        let mut text = String::from("as it was");
        seen.push(util::seen(reader.read_to_string(&mut text)).map(|count| count as u64));
        assert_eq!(text, "as it was");
        let mut folder = File::open(folder.path()).unwrap();
        seen.push(util::seen(folder.read(&mut buffer)).map(|count| count as u64));
        seen.push(util::seen(folder.read_to_end(&mut bytes)).map(|count| count as u64));
        seen
    }

    fn entries_are_listed_as_they_are(folder) -> BTreeSet<String> {
        fs::create_dir(folder.join("folder")).unwrap();
        fs::write(folder.join("file"), "hello").unwrap();
        symlink("nowhere", folder.join("link")).unwrap();
        let entries = fs::read_dir(folder.path()).unwrap();
        let entries = entries.map(|entry| {
            let entry = entry.unwrap();
            assert_eq!(entry.path(), folder.path().join(entry.file_name()));
            let data = entry.metadata().unwrap();
            assert_eq!(data.file_type(), entry.file_type().unwrap());
            let len = if data.is_dir() { 0 } else { data.len() };
            format!("{:?} {entry:?}: {:?} {len}", entry.file_name(), entry.file_type().unwrap())
                .replace(&folder.path().display().to_string(), "")
        });
        entries.collect()
    }
}

#[test]
fn others_run_while_one_waits_for_a_file() {
    let folder = Folder::new("others_run");
    let path = folder.join("pipe");
    named_pipe(&path);
    let writing = after_steps({
        let path = path.clone();
        // Another OS thread reads meanwhile, so that this does not wait for long.
        move || std::fs::write(path, "hello")
    });
    assert_eq!(soon(|| fs::read_to_string(&path)).unwrap(), "hello");
    writing.wait().unwrap().unwrap();

    let opening = after_steps({
        let path = path.clone();
        move || std::fs::OpenOptions::new().write(true).open(path).unwrap()
    });
    let mut file = soon(|| File::open(&path)).unwrap();
    let mut writer = opening.wait().unwrap();
    let writing = after_steps(move || writer.write_all(b"hello"));
    let mut buffer = [0; 8];
    assert_eq!(soon(|| file.read(&mut buffer)).unwrap(), 5);
    writing.wait().unwrap().unwrap();
}

#[test]
fn large_files_arrive_whole_whatever_the_pieces() {
    let folder = Folder::new("large_files");
    let path = folder.join("file");
    let sent: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut file = File::create(&path).unwrap();
    assert_eq!(file.write(&sent).unwrap(), 1 << 20, "so much at once and no more");
    file.write_all(&sent[1 << 20..]).unwrap();
    assert!(std::fs::read(&path).unwrap() == sent);

    let mut file = File::open(&path).unwrap();
    let mut received = vec![0; sent.len()];
    assert_eq!(file.read(&mut received).unwrap(), 1 << 20);
    file.read_exact(&mut received[1 << 20..]).unwrap();
    assert!(received == sent);
    assert_eq!(file.read(&mut received).unwrap(), 0);

    file.rewind().unwrap();
    let mut received = Vec::new();
    BufReader::with_capacity(100_000, &file).read_to_end(&mut received).unwrap();
    assert!(received == sent);
    file.rewind().unwrap();
    received.clear();
    assert_eq!(std::io::copy(&mut file, &mut received).unwrap(), sent.len() as u64);
    assert!(received == sent);

    let mut file = File::create(&path).unwrap();
    let parts = [IoSlice::new(&sent[..900_000]), IoSlice::new(&sent[900_000..])];
    assert_eq!(file.write_vectored(&parts).unwrap(), 1 << 20);
    assert!(std::fs::read(&path).unwrap() == sent[..1 << 20]);
}

#[test]
fn lines_go_through_buffers() {
    let folder = Folder::new("lines");
    let path = folder.join("file");
    let mut writer = BufWriter::new(File::create(&path).unwrap());
    for n in 0..10_000 {
        writeln!(writer, "{n}").unwrap();
    }
    writer.into_inner().unwrap();
    let lines = BufReader::new(File::open(&path).unwrap()).lines();
    assert!(lines.map(|line| line.unwrap()).eq((0..10_000).map(|n| n.to_string())));
}

#[test]
fn many_files_are_read_at_once() {
    let folder = Folder::new("many_files");
    let paths: Vec<_> = (0..200).map(|n| folder.join(&n.to_string())).collect();
    let write = |(n, path): (usize, PathBuf)| spawn(move || fs::write(path, n.to_string()));
    let writers: Vec<_> = paths.iter().cloned().enumerate().map(write).collect();
    writers.into_iter().for_each(|writer| writer.wait().unwrap().unwrap());
    let readers: Vec<_> =
        paths.into_iter().map(|path| spawn(|| fs::read_to_string(path))).collect();
    for (n, reader) in readers.into_iter().enumerate() {
        assert_eq!(reader.wait().unwrap().unwrap(), n.to_string());
    }
}

#[test]
fn a_large_folder_is_listed_whole() {
    let folder = Folder::new("large_folder");
    let names: BTreeSet<String> = (0..1000).map(|n| format!("file {n}")).collect();
    for name in &names {
        std::fs::write(folder.join(name), "").unwrap();
    }
    let mut entries = fs::read_dir(folder.path()).unwrap();
    let listed: Vec<_> =
        entries.by_ref().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(listed.len(), 1000);
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), names);
    assert!(entries.next().is_none(), "it stays at its end");
}

/// The only OS thread of the pool, held up until the value is dropped.
struct Busy {
    job: Option<GreenThread<std::io::Result<Vec<u8>>>>,
    path: PathBuf,
}

impl Busy {
    fn new(folder: &Folder) -> Self {
        let path = folder.join("busy");
        named_pipe(&path);
        let job = spawn({
            let path = path.clone();
            move || fs::read(path)
        });
        let_all_park();
        Self { job: Some(job), path }
    }

    /// Lets it go on with the jobs that have queued up.
    fn end(mut self) {
        std::fs::write(&self.path, "").unwrap();
        std::fs::remove_file(&self.path).unwrap();
        soon(|| self.job.take().unwrap().wait()).unwrap().unwrap();
    }
}

const ONE_THREAD: [(&str, &str); 1] = [("EVY_THREADPOOL_SIZE", "1")];

/// A named pipe, in which a read waits on its OS thread, and its other end.
fn pipe_as_a_file(folder: &Folder) -> (Rc<File>, std::fs::File) {
    let path = folder.join("pipe");
    named_pipe(&path);
    let both = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    (Rc::new(File::from(both.try_clone().unwrap())), both)
}

/// Reads 6 bytes, on the pool's only OS thread, where that has begun when this returns.
fn reading(file: &Rc<File>) -> GreenThread<std::io::Result<()>> {
    let (file, number) = (Rc::clone(file), file.as_raw_fd());
    let reading = spawn(move || (&*file).read(&mut [0; 6]).map(drop));
    // A job that has a thread may still be on its way there: what counts is the call.
    wait_until(|| is_a_job_in_read_of(number));
    reading
}

/// Whether an OS thread of the pool is in read(2) of this descriptor, as the kernel tells.
fn is_a_job_in_read_of(number: RawFd) -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks.flatten().any(|task| {
        let of = |what: &str| std::fs::read_to_string(task.path().join(what)).unwrap_or_default();
        of("comm") == "evy-unblock\n"
            && of("syscall").starts_with(&format!("{} {number:#x} ", libc::SYS_read))
    })
}

#[test]
fn of_readers_that_are_killed_one_under_way_is_done_and_one_in_the_queue_is_not() {
    const NAME: &str =
        "of_readers_that_are_killed_one_under_way_is_done_and_one_in_the_queue_is_not";
    alone_with(NAME, &ONE_THREAD, || {
        let folder = Folder::new("killed_reader");
        let (file, mut other_end) = pipe_as_a_file(&folder);
        // Its buffer is on its stack, which is somebody else's by the time the job is done.
        let reading = reading(&file);
        reading.kill();
        assert!(matches!(reading.wait(), Err(Died::Killed)));
        let mut buffer = [7; 6];
        let timed_out = timeout(Duration::from_millis(1), || (&*file).read(&mut buffer));
        assert!(timed_out.is_err());
        other_end.write_all(b"hello world").unwrap();
        let mut rest = [0; 5];
        soon(|| (&*file).read_exact(&mut rest)).unwrap();
        assert_eq!(&rest, b"world");
        assert_eq!(buffer, [7; 6]);
    });
}

#[test]
fn who_takes_a_file_back_waits_for_the_job_of_one_who_was_killed() {
    const NAME: &str = "who_takes_a_file_back_waits_for_the_job_of_one_who_was_killed";
    alone_with(NAME, &ONE_THREAD, || {
        let folder = Folder::new("taken_back");
        let (file, mut other_end) = pipe_as_a_file(&folder);
        let number = file.as_raw_fd();
        reading(&file).kill();
        let file = Rc::into_inner(file).unwrap();
        let taking = spawn(move || file.into_std());
        let_all_park();
        assert!(!taking.is_finished());
        other_end.write_all(b"hello").unwrap();
        let file = soon(|| taking.wait()).unwrap();
        assert_eq!(file.as_raw_fd(), number);
    });
}

#[test]
fn fault_53_who_is_killed_while_it_lists_a_folder_loses_no_entry() {
    const NAME: &str = "fault_53_who_is_killed_while_it_lists_a_folder_loses_no_entry";
    alone_with(NAME, &ONE_THREAD, || {
        let folder = Folder::new("listing");
        for n in 0..500 {
            std::fs::write(folder.join(&n.to_string()), "").unwrap();
        }
        let mut entries = fs::read_dir(folder.path()).unwrap();
        let mut names = BTreeSet::new();
        for round in 0.. {
            let busy = (round % 2 == 0).then(|| Busy::new(&folder));
            // Within the time only those come that were fetched before, if the OS thread is busy.
            let ended = timeout(Duration::from_millis(20), || {
                for entry in entries.by_ref() {
                    assert!(names.insert(entry.unwrap().file_name()), "twice");
                }
            });
            if let Some(busy) = busy {
                busy.end();
            }
            if ended.is_ok() && entries.next().is_none() {
                break;
            }
        }
        names.remove(std::ffi::OsStr::new("busy"));
        assert_eq!(names.len(), 500);
    });
}

#[test]
fn in_the_middle_of_an_unwind_files_are_written_in_place() {
    let folder = Folder::new("unwind");
    let path = folder.join("file");
    let waiting = spawn({
        let path = path.clone();
        move || {
            // A BufWriter does the same in its drop.
            let _write = OnDrop(move || fs::write(&path, "written").unwrap());
            evy_runtime::sleep(util::HOUR);
        }
    });
    let_all_park();
    waiting.kill();
    assert!(waiting.is_finished());
    assert_eq!(std::fs::read(&path).unwrap(), b"written");
}

#[test]
fn files_become_and_come_from_those_of_std() {
    assert_send_and_sync::<File>();
    assert_send_and_sync::<OpenOptions>();
    assert_send_and_sync::<fs::ReadDir>();
    assert_send_and_sync::<fs::DirEntry>();
    let folder = Folder::new("conversions");
    let path = folder.join("file");
    let file = File::from(std::fs::File::create(&path).unwrap());
    assert!(is_close_on_exec(file.as_fd()));
    let number = file.as_raw_fd();
    let fd: OwnedFd = file.into();
    let file: std::fs::File = File::from(fd).into();
    assert_eq!(File::from(file).into_raw_fd(), number);
    let mut options = std::fs::File::options();
    options.read(true);
    assert_eq!(format!("{:?}", OpenOptions::from(options).open(&path).is_ok()), "true");
    // SAFETY: it is ours: `into_raw_fd` gave it away.
    drop(unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(number) });
}

#[test]
fn no_descriptor_is_left_behind() {
    alone("no_descriptor_is_left_behind", || {
        let folder = Folder::new("descriptors");
        fs::write(folder.join("file"), "hello").unwrap();
        let before = descriptors();
        for _ in 0..100 {
            let mut file = File::open(folder.join("file")).unwrap();
            let clone = file.try_clone().unwrap();
            fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
            assert_eq!(util::seen(file.read(&mut [0; 8])), Ok(5));
            // Killed while they open or read: the job closes what it has opened.
            let threads = [
                spawn({
                    let path = folder.join("file");
                    move || drop(File::open(path))
                }),
                spawn(move || drop((&clone).read(&mut [0; 8]))),
            ];
            yield_now();
            threads.iter().for_each(GreenThread::kill);
        }
        wait_until(|| descriptors() == before);
    });
}
