//! A chat whose rooms are channels of Redis: any number of processes, on any machines, share them.
//!
//! ```text
//! cargo run --release --example redis_chat --features redis -- 127.0.0.1:3001
//! cargo run --release --example redis_chat --features redis -- 127.0.0.1:3002
//! nc 127.0.0.1 3001
//! telnet 127.0.0.1 3002
//! ```
//!
//! What one participant writes, all others in the same room read. Everybody begins in the room `lobby`;
//! `/join ROOM` goes to another one, `/quit` leaves. What begins with `*` is said by the program.
//!
//! Each participant has two green threads, as in `chat_server`: one reads lines and publishes them, by a
//! pool of connections; one writes what comes for it. One more green thread has the process's only
//! subscriber connection: it is subscribed to the rooms in which somebody is here, and hands what comes by
//! it to them. It never waits for any of them: who leaves too many lines unread is dropped.
//!
//! Pub/sub keeps nothing. While Redis is away nothing can be said, and all are told so; when it is back the
//! process subscribes to its rooms again. In a room that is not open here yet nothing can be said either;
//! but who is in one that is open already is not heard by those whose process still subscribes to it. Lines
//! of one participant stay in order: each is published when Redis has answered for the one before.
//!
//! A process takes 1,000 participants at once, which is how many `serve` does; others wait until one leaves.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use evy::net::TcpStream;
use evy::patched::redis::{Client, Commands, Msg, Pool, PubSub, RedisError, RedisResult};
use evy::sync::{Receiver, Sender, TrySendError, bounded};

/// A chat over TCP, whose rooms are channels of Redis.
#[derive(Parser)]
struct Arguments {
    /// Where to listen
    #[arg(value_name = "ADDRESS", default_value = "127.0.0.1:3001")]
    listen: String,

    /// Where Redis is
    #[arg(long, value_name = "URL", default_value = "redis://127.0.0.1/", value_parser = client)]
    redis: Client,

    /// What the names of the channels begin with
    #[arg(long, value_name = "TEXT", default_value = "chat:")]
    prefix: String,
}

fn client(text: &str) -> RedisResult<Client> {
    Client::open(text)
}

/// How many lines may lie ready for one that does not read them.
const BACKLOG: usize = 1000;

/// After so many lines that were handed out at a stretch, those who write them have their turn.
const BURST: usize = 100;

/// After so many bytes a line is passed on as it is.
const LONGEST_LINE: u64 = 4096;

const LONGEST_ROOM: usize = 64;

/// How long one line may take to be written to a participant.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// How long Redis may take to connect and answer before it counts as away.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// When nothing has come from Redis for so long, it is asked whether it is still there.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Between two attempts to reach a Redis that is away.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// Connections for publishing.
const PUBLISHERS: usize = 8;

const AWAY: &str = "redis is away; nobody hears you";

type Line = Rc<[u8]>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(format_args!("redis_chat: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    let chat = Rc::new(Chat::new(arguments).map_err(io::Error::other)?);
    // What is wrong from the beginning is said at once, and not only to those who come to chat.
    if let Err(error) = arguments.redis.get_connection_with_timeout(ANSWER_LIMIT) {
        let address = arguments.redis.get_connection_info().addr();
        return Err(io::Error::other(format!("redis at {address}: {error}")));
    }
    let server = evy::listen(&*arguments.listen)
        .map_err(|error| io::Error::other(format!("{}: {error}", arguments.listen)))?;
    evy::spawn_n({
        let chat = Rc::clone(&chat);
        move || chat.follow_rooms()
    });
    println!("listening on {}", server.local_addr()?);
    evy::serve(server, move |client, address| {
        if let Err(error) = serve_participant(&chat, &client, address) {
            note(format_args!("{address}: {error}"));
        }
        Ok(())
    })
}

/// Standard error may be closed; that is no reason to end.
fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn serve_participant(chat: &Rc<Chat>, client: &TcpStream, address: SocketAddr) -> io::Result<()> {
    client.set_write_timeout(Some(WRITE_LIMIT))?;
    let writer = client.try_clone()?;
    let (lines, to_write) = bounded::<Line>(BACKLOG);
    let dropped = Rc::new(Cell::new(false));
    evy::spawn_n({
        let dropped = Rc::clone(&dropped);
        move || write_lines(&writer, address, &to_write, &dropped)
    });
    let result = Participant::new(chat, address, Member { lines, dropped }).talk(client);
    // A writer that waits for one who does not read ends, too.
    let _ = client.shutdown(Shutdown::Both);
    result
}

/// Writes lines until there will be no more, or the participant does not take them.
fn write_lines(
    mut client: &TcpStream,
    address: SocketAddr,
    lines: &Receiver<Line>,
    dropped: &Cell<bool>,
) {
    match lines.iter().try_for_each(|line| client.write_all(&line)) {
        Ok(()) if dropped.get() => {
            let _ = client.write_all(b"* you do not read fast enough, and are dropped\n");
        }
        Err(error) if error.kind() == io::ErrorKind::TimedOut => note_dropped(address),
        // It has left, which is no news.
        _ => {}
    }
    // The one that reads from it ends, too.
    let _ = client.shutdown(Shutdown::Both);
}

fn note_dropped(address: SocketAddr) {
    note(format_args!("{address}: dropped, it does not read"));
}

/// Where lines for a participant go.
struct Member {
    lines: Sender<Line>,
    /// Whether there will be no more because too many lay unread.
    dropped: Rc<Cell<bool>>,
}

/// One that is in a room until this is dropped.
struct Participant<'a> {
    chat: &'a Chat,
    address: SocketAddr,
    room: RefCell<String>,
}

impl<'a> Participant<'a> {
    fn new(chat: &'a Chat, address: SocketAddr, member: Member) -> Self {
        let participant = Self { chat, address, room: RefCell::new("lobby".to_owned()) };
        chat.enter("lobby", address, member);
        chat.wake_follower();
        participant
    }

    /// Reads lines until the participant leaves.
    fn talk(&self, client: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client);
        loop {
            let mut line = Vec::new();
            if (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_ascii_end();
            match line.strip_prefix(b"/join ") {
                _ if line == b"/quit" => return Ok(()),
                Some(room) => self.join(room.trim_ascii()),
                None if line.is_empty() => {}
                None => self.say(line),
            }
        }
    }

    fn join(&self, room: &[u8]) {
        let is_name =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_room = (1..=LONGEST_ROOM).contains(&room.len()) && room.iter().all(is_name);
        let Some(room) = str::from_utf8(room).ok().filter(|_| is_room) else {
            return self.tell("a room's name has letters, digits, -, _ and ., at most 64 of them");
        };
        let before = self.room.replace(room.to_owned());
        // Who has been dropped is in none.
        if let Some(member) = self.chat.leave(&before, self.address) {
            self.chat.enter(room, self.address, member);
            self.chat.wake_follower();
        }
    }

    /// Passes a line on to all others.
    fn say(&self, line: &[u8]) {
        if self.chat.away.get() {
            return self.tell("not said: redis is away");
        }
        if !self.chat.is_open(&self.room.borrow()) {
            return self.tell("not said: the room is not open yet");
        }
        if let Err(error) = self.chat.publish(&self.room.borrow(), self.address, line) {
            // It may be that only the answer is missing.
            self.tell(&format!("perhaps not said: {error}"));
        }
    }

    fn tell(&self, text: &str) {
        let line = program_line(text);
        self.chat.send(&self.room.borrow(), &line, |address| address == self.address);
    }
}

impl Drop for Participant<'_> {
    fn drop(&mut self) {
        self.chat.leave(&self.room.borrow(), self.address);
    }
}

fn program_line(text: &str) -> Line {
    format!("* {text}\n").into_bytes().into()
}

/// A room, as far as it is here.
#[derive(Default)]
struct Room {
    /// Whether what is said there comes here.
    subscribed: bool,
    members: HashMap<SocketAddr, Member>,
}

struct Chat {
    client: Client,
    publishers: Pool,
    prefix: String,
    /// A name that no other process has.
    me: String,
    /// The rooms in which somebody is here.
    rooms: RefCell<HashMap<String, Room>>,
    /// Whether there may be rooms to subscribe to, or to leave.
    changed: Cell<bool>,
    /// Whether Redis is known to be away.
    away: Cell<bool>,
}

impl Chat {
    fn new(arguments: &Arguments) -> RedisResult<Self> {
        let client = arguments.redis.clone();
        Ok(Self {
            publishers: client.pool_builder(ANSWER_LIMIT).max(PUBLISHERS).build()?,
            client,
            prefix: arguments.prefix.clone(),
            me: format!("{:016x}", RandomState::new().build_hasher().finish()),
            rooms: RefCell::default(),
            changed: Cell::new(false),
            away: Cell::new(false),
        })
    }

    fn enter(&self, room: &str, address: SocketAddr, member: Member) {
        let mut rooms = self.rooms.borrow_mut();
        let place = rooms.entry(room.to_owned()).or_default();
        place.members.insert(address, member);
        let subscribed = place.subscribed;
        drop(rooms);
        if subscribed {
            return self.send(room, &greeting(room), |member| member == address);
        }
        self.changed.set(true);
        if self.away.get() {
            self.send(room, &program_line(AWAY), |member| member == address);
        }
    }

    /// Whether what is said in a room comes here.
    fn is_open(&self, room: &str) -> bool {
        self.rooms.borrow().get(room).is_some_and(|room| room.subscribed)
    }

    fn leave(&self, room: &str, address: SocketAddr) -> Option<Member> {
        let mut rooms = self.rooms.borrow_mut();
        let Entry::Occupied(mut place) = rooms.entry(room.to_owned()) else { return None };
        let member = place.get_mut().members.remove(&address);
        if place.get().members.is_empty() {
            place.remove();
            self.changed.set(true);
        }
        member
    }

    /// Puts a line into the channels of some members of a room, and drops those whose channel is full.
    fn send(&self, room: &str, line: &Line, is_for: impl Fn(SocketAddr) -> bool) {
        let mut rooms = self.rooms.borrow_mut();
        let Some(room) = rooms.get_mut(room) else { return };
        room.members.retain(|&address, member| {
            if !is_for(address) {
                return true;
            }
            match member.lines.try_send(Rc::clone(line)) {
                Err(TrySendError::Full(_)) => {
                    note_dropped(address);
                    member.dropped.set(true);
                    false
                }
                // One whose writer has ended is about to leave.
                _ => true,
            }
        });
    }

    fn tell_all(&self, text: &str) {
        let line = program_line(text);
        let rooms: Vec<_> = self.rooms.borrow().keys().cloned().collect();
        for room in rooms {
            self.send(&room, &line, |_| true);
        }
    }

    fn channel(&self, room: &str) -> String {
        format!("{}{room}", self.prefix)
    }

    /// The channel by which this process wakes its own subscriber. No room has such a name.
    fn own_channel(&self) -> String {
        format!("{}/{}", self.prefix, self.me)
    }

    fn publish(&self, room: &str, address: SocketAddr, line: &[u8]) -> RedisResult<()> {
        let sender = format!("{} {address} ", self.me);
        self.publish_to(&self.channel(room), &[sender.as_bytes(), line].concat())
    }

    fn publish_to(&self, channel: &str, message: &[u8]) -> RedisResult<()> {
        within(ANSWER_LIMIT, || self.publishers.get()?.publish(channel, message))
    }

    /// The connection of the one that follows the rooms belongs to that one, which waits for messages: so
    /// it gets a message. If that fails, or comes too early, the next heartbeat or connection does it.
    fn wake_follower(&self) {
        if self.changed.get() && !self.away.get() {
            let _ = self.publish_to(&self.own_channel(), b"");
        }
    }

    /// Hands out what is said in the rooms, for ever.
    fn follow_rooms(&self) {
        loop {
            let Err(error) = self.follow_until_it_breaks();
            if !self.away.replace(true) {
                self.has_left(&error);
            }
            evy::sleep(RETRY_AFTER);
        }
    }

    fn has_left(&self, error: &RedisError) {
        note(format_args!("redis: {error}; waiting for it"));
        self.rooms.borrow_mut().values_mut().for_each(|room| room.subscribed = false);
        self.tell_all(AWAY);
    }

    fn follow_until_it_breaks(&self) -> RedisResult<Infallible> {
        let mut connection = self.client.get_connection_with_timeout(ANSWER_LIMIT)?;
        let mut pubsub = connection.as_pubsub();
        within(ANSWER_LIMIT, || pubsub.subscribe(self.own_channel()))?;
        pubsub.set_read_timeout(Some(HEARTBEAT))?;
        note("connected with redis");
        self.away.set(false);
        self.changed.set(true);

        let mut subscribed = HashSet::new();
        let mut handed_out = 0;
        loop {
            if self.changed.take() {
                self.subscribe_anew(&mut pubsub, &mut subscribed)?;
            }
            match pubsub.get_message() {
                Ok(message) => {
                    self.hand_out(&message);
                    handed_out = (handed_out + 1) % BURST;
                    // Of what lies ready nothing is waited for.
                    if handed_out == 0 {
                        evy::yield_now();
                    }
                }
                Err(error) if error.is_timeout() => {
                    within(ANSWER_LIMIT, || pubsub.ping::<()>())?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Subscribes to the rooms that are here, and to no others.
    fn subscribe_anew(
        &self,
        pubsub: &mut PubSub<'_>,
        subscribed: &mut HashSet<String>,
    ) -> RedisResult<()> {
        let wanted: HashSet<_> = self.rooms.borrow().keys().cloned().collect();
        for room in subscribed.difference(&wanted) {
            within(ANSWER_LIMIT, || pubsub.unsubscribe(self.channel(room)))?;
        }
        subscribed.retain(|room| wanted.contains(room));
        for room in wanted {
            if subscribed.insert(room.clone()) {
                within(ANSWER_LIMIT, || pubsub.subscribe(self.channel(&room)))?;
            }
            self.open(&room);
        }
        Ok(())
    }

    /// Tells those who wait in a room that it is open.
    fn open(&self, room: &str) {
        let mut rooms = self.rooms.borrow_mut();
        let place = rooms.get_mut(room);
        if place.is_some_and(|place| !std::mem::replace(&mut place.subscribed, true)) {
            drop(rooms);
            self.send(room, &greeting(room), |_| true);
        }
    }

    fn hand_out(&self, message: &Msg) {
        let Some(room) = message.get_channel_name().strip_prefix(&self.prefix) else { return };
        let (author, text) = self.author(message.get_payload_bytes());
        // Others than this program may publish, too.
        let name = author.map_or_else(String::new, |(address, _)| format!("{address}: "));
        let line: Line = [name.as_bytes(), text, b"\n"].concat().into();
        let own = author.filter(|(_, is_here)| *is_here).map(|(address, _)| address);
        self.send(room, &line, |address| own != Some(address));
    }

    /// Who has said it, and whether that one is here; and what.
    fn author<'a>(&self, message: &'a [u8]) -> (Option<(SocketAddr, bool)>, &'a [u8]) {
        let mut parts = message.splitn(3, |byte| *byte == b' ');
        let (Some(process), Some(address), Some(text)) = (parts.next(), parts.next(), parts.next())
        else {
            return (None, message);
        };
        match str::from_utf8(address).ok().and_then(|address| address.parse().ok()) {
            Some(address) => (Some((address, process == self.me.as_bytes())), text),
            None => (None, message),
        }
    }
}

fn greeting(room: &str) -> Line {
    program_line(&format!("you are in {room}"))
}

/// Cuts a call off after so long.
fn within<T>(limit: Duration, call: impl FnOnce() -> RedisResult<T>) -> RedisResult<T> {
    evy::timeout(limit, call).unwrap_or_else(|elapsed| Err(io::Error::from(elapsed).into()))
}
