//! A chat in the browser: what one participant writes, all read.
//!
//! ```text
//! cargo run --release --example websocket_chat --features websocket -- 127.0.0.1:7000
//! ```
//!
//! Each participant has two green threads: one receives its messages and hands them to the channels of
//! all, one sends what comes out of its own channel. So nobody waits for one whose connection is slow.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use evy::http::websocket::{Message, Options, WebSocket};
use evy::http::{Html, Request, Router};
use evy::sync::{Sender, bounded};

/// How many messages may lie ready for one whose connection is slow. It misses what comes beyond.
const BACKLOG: usize = 1000;

/// Nobody writes more bytes at once.
const LONGEST_MESSAGE: usize = 64 * 1024;

/// The participants by number, each with where messages for it go.
#[derive(Default)]
struct Room {
    participants: RefCell<BTreeMap<u64, Sender<Message>>>,
    next: Cell<u64>,
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".to_owned());
    let listener = evy::listen(address)?;
    println!("Visit http://{}/ in your browser, more than once.", listener.local_addr()?);
    let room = Rc::new(Room::default());
    let chat = move |request| {
        let room = Rc::clone(&room);
        let options = Options::new().max_message(LONGEST_MESSAGE);
        options.accept(request, move |socket| chat(&room, socket))
    };
    let page = |_: Request| Html(include_str!("websocket_chat.html"));
    evy::http::serve(listener, Router::new().get("/", page).get("/chat", chat))
}

fn chat(room: &Room, socket: WebSocket) -> io::Result<()> {
    let (messages, to_send) = bounded(BACKLOG);
    let sender = socket.clone();
    // It ends with the participant, or with its connection.
    evy::spawn_n(move || to_send.iter().try_for_each(|message: Message| sender.send(message)));
    let participant = Participant::join(room, messages);
    for message in &socket {
        participant.say(&message?);
    }
    Ok(())
}

/// One that is in the room until this is dropped.
struct Participant<'a> {
    room: &'a Room,
    number: u64,
}

impl<'a> Participant<'a> {
    fn join(room: &'a Room, messages: Sender<Message>) -> Self {
        let number = room.next.replace(room.next.get() + 1);
        room.participants.borrow_mut().insert(number, messages);
        Self { room, number }
    }

    /// Passes a message on to all. A copy costs next to nothing: they share what is in it.
    fn say(&self, message: &Message) {
        for messages in self.room.participants.borrow().values() {
            // Who does not read misses it, and so does who is about to leave.
            let _ = messages.try_send(message.clone());
        }
    }
}

impl Drop for Participant<'_> {
    fn drop(&mut self) {
        self.room.participants.borrow_mut().remove(&self.number);
    }
}
