//! Green threads.

use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;
use std::time::Instant;

use evy::net::{TcpListener, TcpStream};
use evy::{sleep, spawn_n, yield_now};

use super::super::histogram::Histogram;
use super::{Lateness, Mix, PROBES, WARM_UP, announce, long_sleep, short_sleep, work};

/// Does what `mix` says, and returns how late its probes woke.
pub(crate) fn serve(mix: Mix) -> io::Result<Lateness> {
    let (echo, sink) = (evy::listen("127.0.0.1:0")?, evy::listen("127.0.0.1:0")?);
    let ports = (echo.local_addr()?.port(), sink.local_addr()?.port());
    spawn_n(|| accept(echo, |client| evy::io::copy(&client, &client).map(drop)));
    spawn_n(|| accept(sink, |mut client| throw_away(&mut client)));
    for n in 0..mix.timers {
        spawn_n(move || {
            loop {
                sleep(long_sleep(n));
            }
        });
    }
    for _ in 0..mix.workers {
        spawn_n(|| {
            loop {
                work();
                yield_now();
            }
        });
    }
    announce(ports.0, ports.1)?;
    sleep(WARM_UP);

    let late = Rc::new(RefCell::new(Histogram::new()));
    for n in 0..PROBES {
        let late = Rc::clone(&late);
        spawn_n(move || {
            for turn in n.. {
                let length = short_sleep(turn * PROBES);
                let due = Instant::now() + length;
                sleep(length);
                late.borrow_mut().record(due.elapsed());
            }
        });
    }
    sleep(mix.time);
    Lateness::of(&late.borrow())
}

fn accept(
    listener: TcpListener,
    serve: impl Fn(TcpStream) -> io::Result<()> + Copy + 'static,
) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept()?;
        spawn_n(move || serve(client));
    }
}

fn throw_away(client: &mut TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    while client.read(&mut buffer)? > 0 {}
    Ok(())
}
