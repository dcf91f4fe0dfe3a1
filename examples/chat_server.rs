//! A chat: what one participant writes, all others read.
//!
//! ```text
//! cargo run --release --example chat_server -- 127.0.0.1:3001
//! nc 127.0.0.1 3001
//! ```
//!
//! Each participant has two green threads: one reads its lines and hands them to the channels of all
//! others, one writes what comes out of its own channel. So nobody waits for one that does not read.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;

use evy::net::TcpStream;
use evy::sync::{Sender, bounded};

/// How many lines may lie ready for one that does not read them.
const BACKLOG: usize = 1000;

/// After so many bytes a line is passed on as it is.
const LONGEST_LINE: u64 = 64 * 1024;

type Line = Rc<[u8]>;

/// The participants, each with where lines for it go.
#[derive(Clone, Default)]
struct Room(Rc<RefCell<HashMap<SocketAddr, Sender<Line>>>>);

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3001".to_owned());
    let server = evy::listen(address)?;
    println!("ChatServer starting up on {}", server.local_addr()?);
    let room = Room::default();
    evy::serve(server, move |client, address| {
        if let Err(error) = chat(&room, client, address) {
            println!("{address}: {error}");
        }
        Ok(())
    })
}

fn chat(room: &Room, client: TcpStream, address: SocketAddr) -> io::Result<()> {
    let (lines, to_write) = bounded::<Line>(BACKLOG);
    let mut writer = client.try_clone()?;
    // It ends with the participant, or with its connection: a broken pipe is no news.
    evy::spawn_n(move || to_write.iter().try_for_each(|line| writer.write_all(&line)));
    let result = Participant::join(room, address, lines).talk(&client);
    // A writer that waits for one who does not read ends, too.
    let _ = client.shutdown(Shutdown::Both);
    result
}

/// One that is in the room until this is dropped.
struct Participant<'a> {
    room: &'a Room,
    address: SocketAddr,
}

impl<'a> Participant<'a> {
    fn join(room: &'a Room, address: SocketAddr, lines: Sender<Line>) -> Self {
        println!("Participant joined chat.");
        room.0.borrow_mut().insert(address, lines);
        Self { room, address }
    }

    /// Reads lines until the participant leaves.
    fn talk(&self, client: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client);
        loop {
            let mut line = Vec::new();
            if (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            println!("Chat: {}", String::from_utf8_lossy(&line).trim_end());
            self.say(line.into());
        }
    }

    /// Passes a line on to all others.
    fn say(&self, line: Line) {
        for (address, lines) in &*self.room.0.borrow() {
            if *address != self.address {
                // Who does not read misses it, and so does who is about to leave.
                let _ = lines.try_send(Rc::clone(&line));
            }
        }
    }
}

impl Drop for Participant<'_> {
    fn drop(&mut self) {
        self.room.0.borrow_mut().remove(&self.address);
        println!("Participant left chat.");
    }
}
