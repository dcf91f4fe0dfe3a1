//! What else runs beside the hub: cores, processes, OS threads.

use super::*;

#[test]
fn cores_answers_on_several_cores() {
    let mut command = Command::new(example("cores"));
    let mut server =
        Running(command.arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().expect("it starts"));
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.split(' ').nth(2).expect("listening on ADDRESS with N cores").to_owned();
    let mut cores = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let mut client = TcpStream::connect(&address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client.write_all(b"hello\n").unwrap();
        let mut answer = String::new();
        BufReader::new(&client).read_line(&mut answer).unwrap();
        assert!(answer.ends_with(": HELLO\n"), "{answer}");
        cores.insert(answer.split(',').next().unwrap().to_owned());
    }
    let expected = std::thread::available_parallelism().unwrap().get().min(100);
    // The kernel spreads them by a hash: with few cores every one gets some of a hundred.
    assert!(cores.len() >= expected.min(2), "{cores:?}");
}

#[test]
fn processes_shows_what_programs_print_and_waits_for_none_for_long() {
    let start = Instant::now();
    let output =
        run("processes", &["echo one", "sleep 60", "sleep 61", "false", "/no/such", "echo 2"]);
    let elapsed = start.elapsed();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let lines = lines(&output);
    assert_eq!(lines.len(), 6, "{lines:#?}");
    assert_eq!((lines[0], lines[5]), ("echo one: \"one\\n\"", "echo 2: \"2\\n\""));
    assert_eq!(lines[1], "sleep 60: error: still running, and killed");
    assert_eq!(lines[2], "sleep 61: error: still running, and killed");
    assert_eq!(lines[3], "false: error: exit status: 1");
    assert!(lines[4].starts_with("/no/such: error: No such file"), "{lines:#?}");
    // One time for all of them together.
    assert!(elapsed >= Duration::from_secs(2), "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(4), "{elapsed:?}");

    let output = run("processes", &[]);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.starts_with(b"uname: \"Linux\\n\"\nls: \""), "{output:?}");
}

#[test]
fn threadpool_needs_two_turns_for_four_jobs_on_three_threads() {
    let start = Instant::now();
    let output = run("threadpool", &["0.2"]);
    let elapsed = start.elapsed();
    assert!(output.status.success(), "{output:?}");
    // One after the other they would take four.
    assert!(elapsed >= 2 * DELAY && elapsed < 4 * DELAY, "{elapsed:?}");
    let lines = lines(&output);
    let (last, done) = lines.split_last().unwrap();
    let mut done: Vec<_> = done.iter().map(|line| line.split(" after ").next().unwrap()).collect();
    assert_eq!(done.pop(), Some("job 4 is done"));
    done.sort_unstable();
    assert_eq!(done, ["job 1 is done", "job 2 is done", "job 3 is done"]);
    assert!(last.starts_with("4 jobs of 200ms on 3 OS threads took "), "{last}");
}
