//! The port forwarder: what it passes on, and how it ends.

use super::*;

/// A port forwarder whose other host is a listener of the test.
struct Forwarder {
    process: Running,
    address: String,
    target: TcpListener,
    /// What it says, about connections that come and go.
    said: Box<dyn Iterator<Item = String>>,
}

impl Forwarder {
    fn start() -> Self {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = target.local_addr().unwrap().to_string();
        let (process, address, said) = listening("port_forwarder", &["127.0.0.1:0", &to]);
        Self { process, address, target, said: Box::new(said) }
    }

    /// Both ends of a connection through it, of which it says that it has come.
    fn connect(&mut self) -> [TcpStream; 2] {
        let client = TcpStream::connect(&self.address).unwrap();
        let (partner, _) = self.target.accept().unwrap();
        for stream in [&client, &partner] {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        }
        let (peer, to) = (client.local_addr().unwrap(), self.target.local_addr().unwrap());
        assert_eq!(self.said.next(), Some(format!("{peer}: forwarded to {to}")));
        [client, partner]
    }

    /// What it says next is that this client's pair is closed.
    fn expect_closed(&mut self, client: &TcpStream) {
        assert_eq!(self.said.next(), Some(format!("{}: closed", client.local_addr().unwrap())));
    }

    fn terminate(&self) {
        // SAFETY: it only takes numbers, and the process is our child, which nobody has waited for.
        unsafe { libc::kill(self.process.0.id() as libc::pid_t, libc::SIGTERM) };
    }
}

/// A connection that is reset when it is dropped.
fn reset(stream: TcpStream) {
    evy::net::TcpStream::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

fn round_trip(from: &mut TcpStream, to: &mut TcpStream, text: &[u8]) {
    from.write_all(text).unwrap();
    let mut came = vec![0; text.len()];
    to.read_exact(&mut came).unwrap();
    assert_eq!(came, text);
}

#[test]
fn port_forwarder_passes_on_both_ways_and_each_end_by_itself() {
    let mut forwarder = Forwarder::start();
    let pairs = [forwarder.connect(), forwarder.connect()];
    for (turn, [mut client, mut partner]) in pairs.into_iter().enumerate() {
        round_trip(&mut client, &mut partner, b"there");
        round_trip(&mut partner, &mut client, b"back");
        // Who ends its side first still gets all that the other says: far more than buffers hold.
        let [ends, goes_on] =
            if turn == 0 { [&mut client, &mut partner] } else { [&mut partner, &mut client] };
        ends.write_all(b"the last").unwrap();
        ends.shutdown(std::net::Shutdown::Write).unwrap();
        let mut text = String::new();
        goes_on.read_to_string(&mut text).unwrap();
        assert_eq!(text, "the last");
        let rest: Vec<u8> = (0..8 << 20).map(|n: u32| (n / 999) as u8).collect();
        let expected = rest.clone();
        let mut goes_on = goes_on.try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            goes_on.write_all(&rest).unwrap();
            goes_on.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut came = Vec::new();
        ends.read_to_end(&mut came).unwrap();
        assert!(came == expected, "{} bytes of {}", came.len(), expected.len());
        writer.join().unwrap();
        forwarder.expect_closed(&client);
    }
    // It has called back once for each: there is nothing more to be said before the next one comes.
    forwarder.connect();
}

#[test]
fn port_forwarder_passes_on_a_reset_as_one() {
    let mut forwarder = Forwarder::start();
    let [mut steady, mut partner_of_steady] = forwarder.connect();
    for turn in 0..2 {
        let [mut client, mut partner] = forwarder.connect();
        round_trip(&mut client, &mut partner, b"there");
        let closed = format!("{}: closed", client.local_addr().unwrap());
        let (breaks, mut stays) = if turn == 0 { (client, partner) } else { (partner, client) };
        reset(breaks);
        assert_eq!(forwarder.said.next(), Some(closed));
        let error = stays.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        round_trip(&mut steady, &mut partner_of_steady, b"undisturbed");
    }
}

#[test]
fn port_forwarder_goes_on_when_the_other_host_is_not_there() {
    let mut forwarder = Forwarder::start();
    let [mut client, mut partner] = forwarder.connect();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = std::mem::replace(&mut forwarder.target, free);
    drop(target);
    let mut refused = TcpStream::connect(&forwarder.address).unwrap();
    assert_eq!(refused.read(&mut [0]).unwrap(), 0);
    round_trip(&mut client, &mut partner, b"still here");
}

/// An answer that is under way when the signal comes arrives; then both ends see the end.
#[test]
fn port_forwarder_ends_at_sigterm_when_answers_have_arrived() {
    let mut forwarder = Forwarder::start();
    let [mut idle, mut partner_of_idle] = forwarder.connect();
    let [mut asks, mut answers] = forwarder.connect();
    round_trip(&mut idle, &mut partner_of_idle, b"request");
    round_trip(&mut partner_of_idle, &mut idle, b"answer");
    round_trip(&mut asks, &mut answers, b"request");
    forwarder.terminate();
    // The end of the idle one shows that it has seen the signal.
    assert_eq!(partner_of_idle.read(&mut [0]).unwrap(), 0);
    let error = TcpStream::connect(&forwarder.address).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    drop(partner_of_idle);
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    forwarder.expect_closed(&idle);
    drop(idle);

    round_trip(&mut answers, &mut asks, b"answer");
    assert_eq!(answers.read(&mut [0]).unwrap(), 0);
    drop(answers);
    assert_eq!(asks.read(&mut [0]).unwrap(), 0);
    forwarder.expect_closed(&asks);
    drop(asks);
    assert!(forwarder.process.0.wait().unwrap().success());
    assert_eq!(forwarder.said.next(), None);
}

#[test]
fn port_forwarder_ends_at_once_at_a_second_signal() {
    use std::os::unix::process::ExitStatusExt;

    let mut forwarder = Forwarder::start();
    let [mut client, mut partner] = forwarder.connect();
    round_trip(&mut client, &mut partner, b"request");
    round_trip(&mut partner, &mut client, b"answer");
    forwarder.terminate();
    assert_eq!(partner.read(&mut [0]).unwrap(), 0);
    forwarder.terminate();
    let status = forwarder.process.0.wait().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGTERM), "{status}");
}
