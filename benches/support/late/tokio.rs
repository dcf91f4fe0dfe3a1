//! Tasks of tokio's current-thread runtime. Its timers have a resolution of a millisecond, and it counts up:
//! a part of its lateness is that.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::sleep;

use super::super::histogram::Histogram;
use super::{Lateness, Mix, PROBES, WARM_UP, announce, long_sleep, short_sleep, work};

/// Does what `mix` says, and returns how late its probes woke.
pub(crate) fn serve(mix: Mix) -> io::Result<Lateness> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, watch(mix))
}

async fn watch(mix: Mix) -> io::Result<Lateness> {
    let echo = TcpListener::bind("127.0.0.1:0").await?;
    let sink = TcpListener::bind("127.0.0.1:0").await?;
    let ports = (echo.local_addr()?.port(), sink.local_addr()?.port());
    spawn_local(accept(echo, send_back));
    spawn_local(accept(sink, throw_away));
    for n in 0..mix.timers {
        spawn_local(async move {
            loop {
                sleep(long_sleep(n)).await;
            }
        });
    }
    for _ in 0..mix.workers {
        spawn_local(async {
            loop {
                work();
                yield_now().await;
            }
        });
    }
    announce(ports.0, ports.1)?;
    sleep(WARM_UP).await;

    let late = Rc::new(RefCell::new(Histogram::new()));
    for n in 0..PROBES {
        let late = Rc::clone(&late);
        spawn_local(async move {
            for turn in n.. {
                let length = short_sleep(turn * PROBES);
                let due = Instant::now() + length;
                sleep(length).await;
                late.borrow_mut().record(due.elapsed());
            }
        });
    }
    sleep(mix.time).await;
    Lateness::of(&late.borrow())
}

async fn accept<F: Future<Output = io::Result<()>> + 'static>(
    listener: TcpListener,
    serve: impl Fn(TcpStream) -> F,
) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        spawn_local(serve(client));
    }
}

async fn send_back(client: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = read(&client, &mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let mut sent = 0;
        while sent < count {
            client.writable().await?;
            match client.try_write(&buffer[sent..count]) {
                Ok(more) => sent += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

async fn throw_away(client: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    while read(&client, &mut buffer).await? > 0 {}
    Ok(())
}

async fn read(client: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        client.readable().await?;
        match client.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}
