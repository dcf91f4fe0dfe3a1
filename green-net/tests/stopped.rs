//! A process that is stopped for a while and goes on: FAULTS row 26.

mod util;

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::{join_all, sleep, spawn};

#[test]
#[expect(clippy::disallowed_methods, reason = "no green thread runs here: it watches a process")]
fn fault_26_after_a_stop_due_timers_fire_once_and_connections_go_on() {
    const NAME: &str = "fault_26_after_a_stop_due_timers_fire_once_and_connections_go_on";
    if util::is_child() {
        return child();
    }
    let mut child = util::child_command(NAME).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.find_map(|line| line.strip_prefix("ADDRESS ").map(String::from)).unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let mut echo = || {
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    };
    echo();
    let signal = |number| {
        // SAFETY: it is a child of ours that has not been waited for.
        assert_eq!(unsafe { libc::kill(child.id() as libc::pid_t, number) }, 0);
    };
    signal(libc::SIGSTOP);
    std::thread::sleep(Duration::from_millis(300));
    signal(libc::SIGCONT);
    echo();
    drop(stream);
    let verdict = lines.find(|line| line.starts_with("VERDICT")).unwrap();
    assert_eq!(verdict, "VERDICT each once, in order, none early");
    assert!(child.wait().unwrap().success());
}

fn child() {
    let listener = evy_green_net::listen("127.0.0.1:0").unwrap();
    let order = Rc::new(Cell::new((0, true)));
    let start = Instant::now();
    let sleepers: Vec<_> = (1..=40)
        .map(|n| {
            let order = Rc::clone(&order);
            spawn(move || {
                let time = Duration::from_millis(10 * n);
                sleep(time);
                let (before, well) = order.get();
                order.set((n, well && before == n - 1 && start.elapsed() >= time));
            })
        })
        .collect();
    println!("\nADDRESS {}", listener.local_addr().unwrap());
    let (client, _) = listener.accept().unwrap();
    evy_green_net::copy(&client, &client).unwrap();
    join_all(sleepers);
    let well = order.get() == (40, true);
    println!("VERDICT {}", if well { "each once, in order, none early" } else { "not so" });
}

util::and_all_of_them_again!();
