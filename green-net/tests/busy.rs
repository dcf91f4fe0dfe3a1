//! Two green threads that read, or write, one socket at the same time: FAULTS row 3, Semantics E 80.

mod util;

use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use evy_green_net::TcpStream;
use evy_runtime::{Builder, GreenThread, spawn, timeout};
use util::{let_all_park, pair, soon};

fn named<T: 'static>(
    name: &str,
    stream: &Rc<TcpStream>,
    call: impl FnOnce(&TcpStream) -> T + 'static,
) -> GreenThread<T> {
    let stream = Rc::clone(stream);
    Builder::new().name(name).spawn(move || call(&stream)).unwrap()
}

#[track_caller]
fn is_busy<T>(result: io::Result<T>, names: [&str; 2]) {
    let error = result.err().expect("the second one is refused");
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    let text = error.to_string();
    let places: Vec<_> = names.map(|name| text.find(name)).into_iter().collect();
    assert!(places[0].is_some() && places[0] < places[1], "{text}");
    assert!(text.contains(file!()), "it says where they were spawned: {text}");
}

#[test]
fn fault_03_a_second_reader_is_refused_and_the_first_gets_the_data() {
    let (ours, mut theirs) = pair();
    let ours = Rc::new(ours);
    let first = named("the first", &ours, |mut stream| {
        let mut buffer = [0; 8];
        stream.read(&mut buffer).map(|count| buffer[..count].to_vec())
    });
    let_all_park();
    let second = named("the second", &ours, |mut stream| stream.read(&mut [0; 8]));
    is_busy(soon(|| second.wait()).unwrap(), ["'the first'", "'the second'"]);
    let third = named("the third", &ours, |stream| stream.peek(&mut [0; 8]));
    is_busy(soon(|| third.wait()).unwrap(), ["'the first'", "'the third'"]);
    assert!(!first.is_finished());
    theirs.write_all(b"data").unwrap();
    assert_eq!(soon(|| first.wait()).unwrap().unwrap(), b"data");
    // It was the moment that was wrong, not the socket.
    theirs.write_all(b"more").unwrap();
    assert_eq!(soon(|| (&*ours).read(&mut [0; 8])).unwrap(), 4);
}

#[test]
fn fault_03_a_second_writer_is_refused_and_the_first_goes_on() {
    const ALL: usize = 1 << 23;
    let (ours, mut theirs) = pair();
    let ours = Rc::new(ours);
    let first = named("the first", &ours, |mut stream| stream.write_all(&vec![1; ALL]));
    let_all_park();
    assert!(!first.is_finished());
    let second = named("the second", &ours, |mut stream| stream.write(&[2; 8]));
    is_busy(soon(|| second.wait()).unwrap(), ["'the first'", "'the second'"]);
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).unwrap();
        assert!(all.iter().all(|byte| *byte == 1));
        all.len()
    });
    soon(|| first.wait()).unwrap().unwrap();
    drop(ours);
    assert_eq!(reader.join().unwrap(), ALL);
}

#[test]
fn one_that_has_left_is_no_company() {
    let (ours, mut theirs) = pair();
    let ours = Rc::new(ours);
    let killed = named("killed", &ours, |mut stream| stream.read(&mut [0; 8]));
    let_all_park();
    killed.kill();
    let late = Duration::from_millis(1);
    assert!(timeout(late, || (&*ours).read(&mut [0; 8])).is_err());
    let reader = named("the next", &ours, |mut stream| stream.read(&mut [0; 8]));
    let_all_park();
    theirs.write_all(b"x").unwrap();
    assert_eq!(soon(|| reader.wait()).unwrap().unwrap(), 1);
}

/// Semantics E 79.
#[test]
fn a_reader_and_a_writer_are_company_for_each_other() {
    let (ours, mut theirs) = pair();
    let ours = Rc::new(ours);
    let reader = named("reader", &ours, |mut stream| stream.read(&mut [0; 8]));
    let writer = named("writer", &ours, |mut stream| stream.write_all(&vec![0; 1 << 23]));
    let_all_park();
    theirs.write_all(b"x").unwrap();
    assert_eq!(soon(|| reader.wait()).unwrap().unwrap(), 1);
    assert!(!writer.is_finished());
    let drain = std::thread::spawn(move || io::copy(&mut theirs, &mut io::sink()).unwrap());
    soon(|| writer.wait()).unwrap().unwrap();
    drop(ours);
    assert_eq!(drain.join().unwrap(), 1 << 23);
}

#[test]
fn one_that_only_looks_is_no_company_for_a_reader_before_it() {
    let (ours, mut theirs) = pair();
    let ours = Rc::new(ours);
    let reads = named("reads", &ours, |mut stream| stream.read(&mut [0; 1]));
    let_all_park();
    let looks = named("looks", &ours, |stream| evy_runtime::wait_readable(stream, None));
    let_all_park();
    // The reader leaves some of it: whoever looks has to see that.
    theirs.write_all(b"two").unwrap();
    assert_eq!(soon(|| reads.wait()).unwrap().unwrap(), 1);
    soon(|| looks.wait()).unwrap().unwrap();
}

#[test]
fn the_callers_own_stack_is_named_too() {
    let (ours, _theirs) = pair();
    let ours = Rc::new(ours);
    let first = named("the first", &ours, |mut stream| stream.read(&mut [0; 8]));
    let_all_park();
    let error = (&*ours).read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    assert!(error.to_string().contains("'the first'"), "{error}");
    first.kill();
    drop(spawn(|| ()));
}

util::and_all_of_them_again!();
