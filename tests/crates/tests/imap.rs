//! imap, which takes whatever reads and writes, against a server with the script of one mailbox.

use evy::net::TcpStream;
use evy_test_crates::{CLIENTS, Lines, at_once, serve};

fn subjects(stream: TcpStream, user: &str, password: &str) -> imap::error::Result<Vec<String>> {
    let mut client = imap::Client::new(stream);
    client.read_greeting()?;
    let mut session = client.login(user, password).map_err(|(error, _client)| error)?;
    session.select("INBOX")?;
    let messages = session.fetch("1:*", "BODY[HEADER.FIELDS (SUBJECT)]")?;
    let subjects = messages.iter().filter_map(|message| message.header());
    let subjects =
        subjects.map(|header| String::from_utf8_lossy(header).trim().to_owned()).collect();
    session.logout()?;
    Ok(subjects)
}

#[test]
fn sessions_of_imap_overlap() {
    let address = serve(|socket, together| {
        let mut client = Lines::new(socket);
        let mut user = String::new();
        client.say("* OK ready")?;
        while let Some(line) = client.hear()? {
            let (tag, command) = line.split_once(' ').expect("a tag and a command");
            match command.split(' ').next().expect("a command") {
                "LOGIN" if command.ends_with("\"wrong\"") => {
                    client.say(&format!("{tag} NO who is that?"))?;
                    continue;
                }
                "LOGIN" => user = command.split('"').nth(1).expect("a name").to_owned(),
                "SELECT" => {
                    for line in ["* 2 EXISTS", "* 0 RECENT", "* FLAGS (\\Seen)"] {
                        client.say(line)?;
                    }
                }
                "FETCH" => {
                    // Nobody gets anything before all have come so far.
                    together.wait();
                    for number in 1..=2 {
                        let header = format!("Subject: number {number} of {user}\r\n\r\n");
                        let length = header.len();
                        client.say(&format!(
                            "* {number} FETCH (BODY[HEADER.FIELDS (SUBJECT)] {{{length}}}\r\n{header})"
                        ))?;
                    }
                }
                "LOGOUT" => client.say("* BYE until then")?,
                _ => panic!("not in the script: {line}"),
            }
            client.say(&format!("{tag} OK done"))?;
        }
        Ok(())
    });
    let found = at_once(move |number| {
        subjects(evy::connect(address).unwrap(), &format!("user{number}"), "secret")
    });
    assert_eq!(found.len(), CLIENTS);
    for (number, found) in found.into_iter().enumerate() {
        let expected = [1, 2].map(|mail| format!("Subject: number {mail} of user{number}"));
        assert_eq!(found.unwrap(), expected);
    }
    // The server's refusal is an error of the call.
    let refused = subjects(evy::connect(address).unwrap(), "user", "wrong").unwrap_err();
    assert!(refused.to_string().contains("who is that?"), "{refused}");
}
