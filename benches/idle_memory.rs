//! What an idle connection costs the server's process: resident memory and page tables.
//!
//! ```text
//! cargo bench --bench idle_memory             # 10,000 connections
//! cargo bench --bench idle_memory -- 1000
//! ```
//!
//! Each connection has echoed one message and then says nothing more. Counted is what the server's
//! process grew by from its first connection on; what the kernel keeps for a socket is in no column.

mod support;

use std::io;
use std::process::ExitCode;
use std::time::Duration;
use support::args::Args;
use support::cpu::Memory;
use support::load::{Load, Requests, Target};
use support::report::{Table, thousands};
use support::role::{self, Server, ServerKind};
use support::sys;

/// Bytes of the one message.
const MESSAGE_SIZE: usize = 64;

/// Time for the server to go to sleep after the last echo, trimming of stacks included.
const SETTLE: Duration = Duration::from_millis(500);

/// The time that a server is expected to be needed.
const SERVER_TIME: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    role::main(bench)
}

fn bench(mut args: Args) -> io::Result<()> {
    let counts = args.list(&[10_000])?;
    args.end()?;
    let mut table = Table::new(&[
        "server",
        "connections",
        "RSS B each",
        "page tables B each",
        "KiB each",
        "peak RSS B each",
        "mappings",
    ]);
    for connections in counts {
        for kind in [ServerKind::Raw, ServerKind::Evy] {
            table.row(measure(kind, connections)?);
        }
    }
    println!(
        "idle memory of the echo server, {MESSAGE_SIZE} B echoed on each connection\n\n{table}"
    );
    Ok(())
}

fn measure(kind: ServerKind, connections: usize) -> io::Result<Vec<String>> {
    let server = Server::start(kind, SERVER_TIME)?;
    let target = |connections| Target {
        port: server.port,
        server: server.pid,
        connections,
        size: MESSAGE_SIZE,
    };
    let first = Load::connect(target(1), Requests::echo(MESSAGE_SIZE))?;
    sys::pause(SETTLE);
    let before = Memory::of(server.pid)?;
    let others = Load::connect(target(connections), Requests::echo(MESSAGE_SIZE))?;
    sys::pause(SETTLE);
    let after = Memory::of(server.pid)?;
    drop((first, others));

    let each = |from: u64, to: u64| (to as f64 - from as f64) / connections as f64;
    let resident = each(before.resident, after.resident);
    let page_tables = each(before.page_tables, after.page_tables);
    Ok(vec![
        kind.name().to_owned(),
        thousands(connections as f64),
        thousands(resident),
        thousands(page_tables),
        format!("{:.2}", (resident + page_tables) / 1024.0),
        thousands(each(before.resident_peak, after.resident_peak)),
        after.mappings.to_string(),
    ])
}
