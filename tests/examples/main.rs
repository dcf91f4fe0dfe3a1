//! Runs the examples, against servers in this process. This file has what the tests share.
#![cfg(feature = "patched")]

mod chat_server;
mod crawlers;
mod echo;
#[cfg(feature = "http")]
mod feeds;
mod names;
mod port_forwarder;
mod programs;
mod udp;
#[path = "../upstream/mod.rs"]
mod upstream;
#[cfg(feature = "http")]
mod web;
#[cfg(feature = "http")]
mod web_proxy;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use upstream::{Answer, Upstream, example, refused_port};

const DELAY: Duration = Duration::from_millis(200);

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(name: &str, arguments: &[&str]) -> Output {
    run_with_input(name, arguments, "")
}

fn run_with_input(name: &str, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(example(name))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example starts");
    // One that has its URLs as arguments may end before it has read anything.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("the example ends")
}

fn lines(output: &Output) -> Vec<&str> {
    std::str::from_utf8(&output.stdout).expect("text").lines().collect()
}

fn expect_line(reader: &mut impl BufRead, expected: &str) {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line.trim_end(), expected);
}

/// What a program says to bytes that are sent to it, up to the end of the connection.
#[cfg(feature = "http")]
fn ask(address: &str, bytes: &str) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.write_all(bytes.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

/// A server of one connection, which does as it is told; returns where it is.
#[cfg(feature = "http")]
fn scripted(
    script: impl FnOnce(TcpStream) -> std::io::Result<()> + Send + 'static,
) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || script(listener.accept()?.0));
    address
}

/// Reads the head of a message.
#[cfg(feature = "http")]
fn read_head(mut stream: &TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head).expect("the tests send text"))
}

/// Starts an example that says where it listens, and returns where that is, and what else it says.
fn listening(
    name: &str,
    arguments: &[&str],
) -> (Running, String, impl Iterator<Item = String> + use<>) {
    let mut command = Command::new(example(name));
    let mut server =
        Running(command.args(arguments).stdout(Stdio::piped()).spawn().expect("it starts"));
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.next().expect("it says where it listens");
    let address = line.strip_prefix("listening on ").expect("listening on ADDRESS").to_owned();
    (server, address, lines)
}

/// Starts an example that prints where to visit it, and returns the rest of a URL: `://host:port`.
#[cfg(feature = "websocket")]
fn web_page(name: &str) -> (Running, String) {
    let mut server = Running(
        Command::new(example(name)).arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap(),
    );
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.split(' ').nth(1).unwrap_or_else(|| panic!("{line}"));
    let rest = url.strip_prefix("http").unwrap_or_else(|| panic!("{line}"));
    (server, rest.trim_end_matches('/').to_owned())
}
