//! TLS streams against OpenSSL's `s_client` and `s_server`, both versions.
#![cfg(feature = "tls")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use evy::tls::{TlsAcceptor, TlsConnector, TlsListener};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

/// Longer than anything here takes.
const FOR_EVER: Duration = Duration::from_secs(30);

/// A folder with the files `root`, `chain` and `key`, which goes with the test.
struct Files(PathBuf);

impl Files {
    fn new(test: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("evy-openssl-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("the authority of {test}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &root).unwrap();
        let texts =
            [("root", root.pem()), ("chain", certificate.pem()), ("key", key.serialize_pem())];
        for (name, text) in texts {
            std::fs::write(folder.join(name), text).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("text").to_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `openssl` with its pipes, ended with the test.
struct OpenSsl {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl OpenSsl {
    fn start(arguments: &[&str]) -> Self {
        Self::run(Command::new("openssl").args(arguments))
    }

    /// With what it has to report between what it says.
    fn start_reporting(arguments: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        Self::run(shell.args(["-c", "exec openssl \"$@\" 2>&1", "sh"]).args(arguments))
    }

    fn run(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("openssl is installed");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, input, output }
    }

    fn say(&mut self, text: &str) {
        self.input.as_mut().expect("it is open").write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    /// All that is left, once its input has ended.
    fn rest(&mut self) -> String {
        drop(self.input.take());
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An echo server of ours on an OS thread of its own; what its handlers end with comes through the
/// channel.
fn echo_server(acceptor: TlsAcceptor) -> (SocketAddr, Receiver<Result<u64, ErrorKind>>) {
    let listener = evy::listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let listener = TlsListener::new(listener, acceptor);
        loop {
            let (client, _) = listener.accept().unwrap();
            let sender = sender.clone();
            evy::spawn_n(move || {
                let count = std::io::copy(&mut &client, &mut &client);
                // The test may be over.
                let _ = sender.send(count.map_err(|error| error.kind()));
                client.shutdown()
            });
        }
    });
    (address, receiver)
}

fn client_arguments<'a>(
    address: &'a str,
    root: &'a str,
    version: &'a str,
    more: &[&'a str],
) -> Vec<&'a str> {
    let mut arguments = vec!["s_client", "-connect", address, "-CAfile", root, version];
    arguments.extend(["-verify_return_error", "-servername", "localhost"]);
    arguments.extend(["-verify_hostname", "localhost"]);
    arguments.extend(more);
    arguments
}

#[test]
#[ignore = "acceptance: needs openssl"]
fn s_client_gets_every_line_back_and_a_proper_end() {
    let files = Files::new("s_client");
    let acceptor = TlsAcceptor::builder()
        .identity_files(files.path("chain"), files.path("key"))
        .alpn(["h2", "http/1.1"])
        .build()
        .unwrap();
    let (address, ends) = echo_server(acceptor);
    let (address, root) = (address.to_string(), files.path("root"));
    for version in VERSIONS {
        let more = ["-quiet", "-no_ign_eof"];
        let mut client = OpenSsl::start(&client_arguments(&address, &root, version, &more));
        for text in ["hello\n", "again\n"] {
            client.say(text);
            assert_eq!(client.line(), text);
        }
        let long = "x".repeat(100_000) + "\n";
        client.say(&long);
        assert!(client.line() == long);
        // At the end of its input it sends a close_notify.
        assert_eq!(client.rest(), "");
        assert_eq!(ends.recv_timeout(FOR_EVER).unwrap(), Ok(12 + 100_001));
    }
}

#[test]
#[ignore = "acceptance: needs openssl"]
fn s_client_trusts_the_certificate_and_agrees_on_a_protocol() {
    let files = Files::new("verified");
    let acceptor = TlsAcceptor::builder()
        .identity_files(files.path("chain"), files.path("key"))
        .client_roots_file(files.path("root"))
        .alpn(["h2", "http/1.1"])
        .build()
        .unwrap();
    let (address, ends) = echo_server(acceptor);
    let address = address.to_string();
    let [root, chain, key] = ["root", "chain", "key"].map(|name| files.path(name));
    for version in VERSIONS {
        let identity = ["-alpn", "http/1.1", "-cert", &chain, "-key", &key];
        let text = OpenSsl::start(&client_arguments(&address, &root, version, &identity)).rest();
        assert!(text.contains("Verify return code: 0 (ok)"), "{text}");
        assert!(text.contains("ALPN protocol: http/1.1"), "{text}");
        assert_eq!(ends.recv_timeout(FOR_EVER).unwrap(), Ok(0));
        // Without a certificate of its own it is turned away.
        let mut client = OpenSsl::start(&client_arguments(&address, &root, version, &["-ign_eof"]));
        client.rest();
        assert!(!client.child.wait().unwrap().success());
        assert_eq!(ends.recv_timeout(FOR_EVER).unwrap(), Err(ErrorKind::InvalidData));
    }
}

#[test]
#[ignore = "acceptance: needs openssl"]
fn fault_42_s_client_that_is_killed_or_renegotiates_harms_only_itself() {
    let files = Files::new("faults");
    let acceptor = TlsAcceptor::from_files(files.path("chain"), files.path("key")).unwrap();
    let (address, ends) = echo_server(acceptor);
    let (address, root) = (address.to_string(), files.path("root"));
    let more = ["-quiet", "-no_ign_eof"];
    let mut bystander = OpenSsl::start(&client_arguments(&address, &root, VERSIONS[1], &more));
    for version in VERSIONS {
        let mut client = OpenSsl::start(&client_arguments(&address, &root, version, &["-quiet"]));
        client.say("hello\n");
        assert_eq!(client.line(), "hello\n");
        client.child.kill().unwrap();
        let end = ends.recv_timeout(FOR_EVER).unwrap().unwrap_err();
        assert!(matches!(end, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{end:?}");
        bystander.say("still here\n");
        assert_eq!(bystander.line(), "still here\n");
    }
    // A line that is an R alone asks for a renegotiation, which TLS 1.2 has and rustls refuses.
    let mut client = OpenSsl::start_reporting(&client_arguments(&address, &root, VERSIONS[0], &[]));
    client.say("R\n");
    let mut line = client.line();
    while line != "RENEGOTIATING\n" {
        assert!(!line.is_empty(), "it has ended without asking");
        line = client.line();
    }
    // It waits for an answer that it does not get.
    assert!(ends.recv_timeout(Duration::from_millis(200)).is_err(), "nothing was echoed or ended");
    client.child.kill().unwrap();
    assert!(ends.recv_timeout(FOR_EVER).unwrap().is_err());
    bystander.say("and now\n");
    assert_eq!(bystander.line(), "and now\n");
}

/// `openssl s_server` on a free port, and that port.
fn s_server(files: &Files, version: &str, more: &[&str]) -> (OpenSsl, u16) {
    let (chain, key) = (files.path("chain"), files.path("key"));
    let mut arguments = vec!["s_server", "-accept", "127.0.0.1:0", version];
    arguments.extend(["-cert", &chain, "-key", &key]);
    arguments.extend(more);
    let mut server = OpenSsl::start(&arguments);
    loop {
        let line = server.line();
        assert!(!line.is_empty(), "it has not begun to listen");
        if let Some(address) = line.trim_end().strip_prefix("ACCEPT ") {
            let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
            return (server, port.expect("it ends with a port"));
        }
    }
}

fn trusts(root: &Path) -> TlsConnector {
    TlsConnector::builder().roots_file(root).build().unwrap()
}

#[test]
#[ignore = "acceptance: needs openssl"]
fn s_server_answers_our_client() {
    let files = Files::new("s_server");
    for version in VERSIONS {
        let (_server, port) = s_server(&files, version, &["-rev"]);
        let connector = trusts(&files.0.join("root"));
        for _ in 0..2 {
            let mut stream = evy::timeout(FOR_EVER, || {
                let socket = evy::connect(("127.0.0.1", port)).unwrap();
                connector.connect("localhost", socket).unwrap()
            })
            .unwrap();
            let mut line = String::new();
            evy::timeout(FOR_EVER, || {
                stream.write_all(b"evy\n").unwrap();
                BufReader::new(&stream).read_line(&mut line).unwrap();
            })
            .unwrap();
            // It sends the line back the other way round.
            assert_eq!(line, "yve\n");
            stream.shutdown().unwrap();
        }
    }
}

#[test]
#[ignore = "acceptance: needs openssl"]
fn fault_42_an_s_server_with_a_bad_certificate_or_that_is_killed_is_an_error() {
    let (files, others) = (Files::new("bad"), Files::new("others"));
    for version in VERSIONS {
        let (mut server, port) = s_server(&files, version, &["-rev"]);
        let connect = |root: &Files, name| {
            let socket = evy::connect(("127.0.0.1", port)).unwrap();
            let connector = trusts(&root.0.join("root"));
            evy::timeout(FOR_EVER, || connector.connect(name, socket)).unwrap()
        };
        for (root, name) in [(&others, "localhost"), (&files, "another.example")] {
            let error = connect(root, name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        }
        let mut stream = connect(&files, "localhost").unwrap();
        server.child.kill().unwrap();
        let error = evy::timeout(FOR_EVER, || stream.read(&mut [0; 8])).unwrap().unwrap_err();
        let kind = error.kind();
        assert!(matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{error}");
    }
}
