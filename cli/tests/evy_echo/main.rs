//! The bundled echo server as people run it: started as a program, talked to over TCP, ended by
//! signals.

mod http;
mod options;
mod server;
mod stop;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::time::{Duration, Instant};

use server::{PATIENCE, Server, assert_one_line_error, command, pause, round_trip, run};

#[test]
fn fault_13_many_clients_at_once_get_every_byte_back_after_a_half_close() {
    let server = Server::start(&[]);
    let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        round_trip(client, format!("hello from {n}").as_bytes());
    }
    for mut client in clients {
        client.write_all(b"last words").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"last words");
    }
}

#[test]
fn sigterm_and_sigint_end_it_with_success_while_clients_are_connected() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let server = Server::start(&["--grace", "0.5"]);
        let mut client = server.connect();
        round_trip(&mut client, b"x");
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn an_address_in_use_is_a_one_line_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = run(&[&taken.local_addr().unwrap().to_string()]);
    assert_one_line_error(&output, "cannot listen on 127.0.0.1:");
    assert_one_line_error(&output, "in use");
}

#[test]
fn a_malformed_address_is_a_one_line_error() {
    for (address, complaint) in [("127.0.0.1", "HOST:PORT"), ("127.0.0.1:99999", "port")] {
        let output = run(&[address]);
        assert_one_line_error(&output, &format!("cannot listen on {address}: "));
        assert_one_line_error(&output, complaint);
    }
    assert_one_line_error(&run(&["192.0.2.1:1"]), "cannot listen on 192.0.2.1:1: ");
}

#[test]
fn help_names_every_option() {
    let output = run(&["--help"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for option in [
        "ADDR",
        "--cores",
        "--max-clients",
        "--idle-timeout",
        "--http",
        "--tls-cert",
        "--tls-key",
        "--stats",
        "--grace",
        "--log",
        "tls:",
        "udp:",
        "unix:",
        "127.0.0.1:6000",
        "LISTEN_FDS",
        "SIGTERM",
        "ulimit -n",
    ] {
        assert!(text.contains(option), "{option} is not in: {text}");
    }
    assert_eq!(run(&["--max-clients", "0"]).status.code(), Some(2));
}

/// The options that the help has at the start of a line.
fn options(help: &str) -> Vec<&str> {
    let words = help.lines().flat_map(|line| {
        let line = line.trim_start();
        let words = line.split([' ', ',']).filter(|word| !word.is_empty());
        words.take_while(|word| word.starts_with('-'))
    });
    words.collect()
}

#[test]
fn the_man_page_has_every_option_of_the_help() {
    let page = include_str!("../../man/evy-echo.1").replace('\\', "");
    let output = run(&["--help"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let options = options(&text);
    assert!(options.contains(&"--max-clients") && options.len() >= 12, "{options:?}");
    for option in options {
        let is_described = page.lines().any(|line| {
            line.starts_with(".B") && line.split([' ', '~', '"']).any(|word| word == option)
        });
        assert!(is_described, "the man page does not describe {option}");
    }
}

#[test]
fn at_the_limit_of_clients_the_next_one_waits_until_one_leaves() {
    let server = Server::start(&["--max-clients", "2"]);
    let (mut first, mut second) = (server.connect(), server.connect());
    round_trip(&mut first, b"1");
    round_trip(&mut second, b"2");
    let mut third = server.connect();
    third.write_all(b"3").unwrap();
    third.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(third.read(&mut [0]).is_err());
    round_trip(&mut first, b"still here");
    drop(second);
    third.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut back = [0];
    third.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"3");
}

/// FAULTS row 11: a reset at any moment ends that client alone.
#[test]
fn fault_11_clients_that_reset_harm_nobody_else() {
    let server = Server::start(&[]);
    let mut steady = server.connect();
    for n in 0..200 {
        let mut client = server.connect();
        client.write_all(&vec![b'x'; n * 50]).unwrap();
        if n % 2 == 0 {
            round_trip(&mut steady, b"steady");
        }
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        // SAFETY: the option is that struct, which lives through the call.
        unsafe {
            use std::os::fd::AsRawFd;
            libc::setsockopt(
                client.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of_val(&linger) as libc::socklen_t,
            );
        }
    }
    round_trip(&mut steady, b"steady to the end");
}

/// FAULTS row 9: out of descriptors it neither ends nor spins, and serves again when some are free.
#[test]
fn fault_09_out_of_descriptors_it_serves_those_who_are_there_and_goes_on_later() {
    let server = Server::start_limited(&[], Some(32));
    let mut clients: Vec<_> = (0..100).map(|_| server.connect()).collect();
    round_trip(&mut clients[0], b"served");
    let (cpu, start) = (server.cpu(), Instant::now());
    while start.elapsed() < Duration::from_millis(500) {
        round_trip(&mut clients[0], b"still served");
        pause();
    }
    let share = (server.cpu() - cpu) / start.elapsed().as_secs_f64();
    assert!(share < 0.2, "{share} of a core while there are no descriptors");
    let mut last = clients.pop().unwrap();
    clients.truncate(1);
    // The pause is a second at most.
    round_trip(&mut last, b"at last");
}

/// FAULTS row 45: killed under load and started again on the same port, at once.
#[test]
fn fault_45_a_killed_server_can_be_started_again_on_its_port_at_once() {
    let server = Server::start(&[]);
    let address = server.addresses[0].clone();
    let mut client = server.connect();
    round_trip(&mut client, b"x");
    server.signal(libc::SIGKILL);
    server.wait();
    let again = Server::spawn(command(&[&address]), 1);
    assert_eq!(again.addresses, [address]);
    round_trip(&mut again.connect(), b"x");
}

#[test]
fn on_several_cores_it_echoes_on_each_of_them_and_a_signal_ends_it() {
    let server = Server::start(&["--cores", "2", "--grace", "0.5"]);
    let names: Vec<String> = std::fs::read_dir(format!("/proc/{}/task", server.id()))
        .unwrap()
        .map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap())
        .collect();
    for name in ["evy-core-0\n", "evy-core-1\n"] {
        assert!(names.iter().any(|other| other == name), "{names:?}");
    }
    let mut clients: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        round_trip(client, format!("client {n}").as_bytes());
    }
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
}
