//! Two hubs against one, on an echo server whose handler computes.
//!
//! ```text
//! cargo bench --bench cores
//! cargo bench --bench cores -- --rounds 50
//! ```
//!
//! Each round loads a server with one hub, one with two, and then lets one and two bare OS threads do the
//! same computation without any sockets: what the machine has to give at that moment, which on a shared
//! one is not always two cores. The client is a third hub; it takes about 1 % of the time.

mod micro;

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use evy::cores::{self, SharedAddress};
use evy::net::TcpStream;
use micro::args::Args;
use micro::report::{Series, Table};

/// Connections, each with one request on its way: enough that the kernel's spreading gives every hub some.
const CLIENTS: usize = 32;

/// How long a sample takes.
const SAMPLE: Duration = Duration::from_millis(400);

/// What a handler computes before it answers: about two milliseconds, beside which a request costs nothing.
fn compute() {
    let mut state = 1_u64;
    for _ in 0..2_000_000 {
        state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

fn main() -> io::Result<()> {
    let mut args = Args::from_env();
    let rounds = args.number("--rounds", 20.0)? as usize;
    args.end()?;
    let servers = [Server::start(1)?, Server::start(2)?];
    let mut rates: [Vec<f64>; 4] = Default::default();
    for _ in 0..rounds {
        for (place, server) in servers.iter().enumerate() {
            rates[place].push(server.load());
        }
        for threads in [1, 2] {
            rates[1 + threads].push(bare(threads));
        }
    }
    let [one, two, bare_one, bare_two] = rates.map(|rates| rates.into_iter().collect::<Series>());
    let (hubs, bare) = (Series::ratio(&two, &one), Series::ratio(&bare_two, &bare_one));
    let mut table = Table::new(&["", "one, requests/s", "two, requests/s", "two / one"]);
    let mut row = |name: &str, one: &Series, two: &Series, ratio: &Series| {
        let rate = |series: &Series| format!("{:.0}", series.median());
        table.row([name.to_owned(), rate(one), rate(two), ratio.with_quartiles()]);
    };
    row("hubs", &one, &two, &hubs);
    row("bare OS threads", &bare_one, &bare_two, &bare);
    println!("an echo whose handler computes, {CLIENTS} clients, {rounds} rounds\n\n{table}");
    println!("of what the machine had to give: {}", Series::ratio(&hubs, &bare).with_quartiles());
    std::process::exit(0)
}

/// A server with its clients' connections.
struct Server {
    clients: Rc<[TcpStream]>,
}

impl Server {
    fn start(hubs: usize) -> io::Result<Self> {
        let address = SharedAddress::bind("127.0.0.1:0")?;
        let at = address.local_addr()?;
        let (sender, listening) = mpsc::channel();
        std::thread::spawn(move || {
            cores::run(hubs, |_core| {
                let listener = address.listen()?;
                sender.send(()).expect("the bench waits");
                loop {
                    let (client, _) = listener.accept()?;
                    evy::spawn_n(move || answer(&client));
                }
            })
            .into_iter()
            .collect::<io::Result<()>>()
        });
        for _ in 0..hubs {
            listening.recv().expect("every hub listens");
        }
        Ok(Self { clients: (0..CLIENTS).map(|_| connect(at)).collect::<io::Result<_>>()? })
    }

    /// Answers per second.
    fn load(&self) -> f64 {
        let end = Instant::now() + SAMPLE;
        let start = Instant::now();
        let clients = (0..CLIENTS).map(|n| {
            let clients = Rc::clone(&self.clients);
            evy::spawn(move || ask_until(&clients[n], end))
        });
        let answers: u64 = evy::join_all(clients)
            .into_iter()
            .map(|n| n.expect("no error").expect("no error"))
            .sum();
        answers as f64 / start.elapsed().as_secs_f64()
    }
}

fn connect(at: SocketAddr) -> io::Result<TcpStream> {
    evy::connect(at)
}

fn answer(mut client: &TcpStream) -> io::Result<()> {
    let mut request = [0; 64];
    loop {
        client.read_exact(&mut request)?;
        compute();
        client.write_all(&request)?;
    }
}

fn ask_until(mut stream: &TcpStream, end: Instant) -> io::Result<u64> {
    let mut answers = 0;
    let mut buffer = [7; 64];
    while Instant::now() < end {
        stream.write_all(&buffer)?;
        stream.read_exact(&mut buffer)?;
        answers += 1;
    }
    Ok(answers)
}

/// Computations per second of so many OS threads.
fn bare(threads: usize) -> f64 {
    let start = Instant::now();
    let end = start + SAMPLE;
    let work = || {
        let mut count = 0_u64;
        while Instant::now() < end {
            compute();
            count += 1;
        }
        count
    };
    let count: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it only computes")).sum()
    });
    count as f64 / start.elapsed().as_secs_f64()
}
