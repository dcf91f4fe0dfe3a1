//! The chat by lines.

use super::*;

/// One participant of a chat.
struct Participant(BufReader<TcpStream>);

impl Participant {
    fn join(address: &str, output: &mut impl BufRead) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        expect_line(output, "Participant joined chat.");
        Self(BufReader::new(stream))
    }

    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }
}

#[test]
fn chat_server_passes_lines_on_to_all_others() {
    let mut server = Running(
        Command::new(example("chat_server"))
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut output = BufReader::new(server.0.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("ChatServer starting up on ").expect("its address");
    let address = address.to_owned();

    let mut one = Participant::join(&address, &mut output);
    let mut two = Participant::join(&address, &mut output);
    let mut three = Participant::join(&address, &mut output);
    one.say("hello\n");
    expect_line(&mut output, "Chat: hello");
    expect_line(&mut two.0, "hello");
    expect_line(&mut three.0, "hello");
    // The first thing that the speaker reads is what another says.
    two.say("hello yourself\n");
    expect_line(&mut output, "Chat: hello yourself");
    expect_line(&mut one.0, "hello yourself");
    expect_line(&mut three.0, "hello yourself");

    drop(three);
    expect_line(&mut output, "Participant left chat.");
    one.say("are you there?\n");
    expect_line(&mut output, "Chat: are you there?");
    expect_line(&mut two.0, "are you there?");
    // Who has said all that it had to say leaves.
    two.0.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    expect_line(&mut output, "Participant left chat.");
    one.say("alone\n");
    expect_line(&mut output, "Chat: alone");
    assert!(server.0.try_wait().unwrap().is_none(), "it goes on");
}

/// One that does not read keeps nobody from talking, and its memory is bounded.
#[test]
fn chat_server_waits_for_nobody() {
    let mut server = Running(
        Command::new(example("chat_server"))
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut output = BufReader::new(server.0.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("ChatServer starting up on ").expect("its address");
    let address = address.to_owned();
    let _deaf = Participant::join(&address, &mut output);
    let mut talks = Participant::join(&address, &mut output);
    let mut hears = Participant::join(&address, &mut output);
    let text = "x".repeat(10_000);
    // Far more than the socket's buffers and the backlog hold.
    for _ in 0..3_000 {
        talks.say(&text);
        talks.say("\n");
        expect_line(&mut output, &format!("Chat: {text}"));
        expect_line(&mut hears.0, &text);
    }
}
