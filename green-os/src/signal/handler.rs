//! Handlers of signals, as green threads.

use std::ffi::c_int;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;

use evy_runtime::{Builder, GreenThreadId, kill};
use signal_hook::low_level::signal_name;

use super::Signals;

/// Calls `f` whenever this signal comes, in a green thread of its own on this OS thread.
///
/// It is never called within the OS's signal handler, nor in the scheduler, so it may do what every
/// green thread may: park, spawn, panic (which ends that call alone). It is called again while an earlier
/// call is parked; a signal that comes several times before it was seen is one call. While there is a
/// handler no deadlock is reported: a signal could end it.
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use evy_green_os::signal::{self, SIGTERM};
///
/// let stop = Rc::new(Cell::new(false));
/// let handler = signal::on(SIGTERM, {
///     let stop = Rc::clone(&stop);
///     move || stop.set(true)
/// })?;
/// # signal::raise(SIGTERM)?;
/// while !stop.get() {
///     evy_runtime::sleep(std::time::Duration::from_millis(1));
/// }
/// drop(handler);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`Signals::new`], and when there is no memory for a green thread.
///
/// # Yields
///
/// Never.
#[doc(alias = "signal_handler")]
#[track_caller]
pub fn on(signal: c_int, f: impl Fn() + 'static) -> io::Result<Handler> {
    let location = Location::caller();
    let mut signals = Signals::new([signal])?;
    let name = signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned);
    let watcher = Builder::new().name(format!("watcher of {name}")).location(location);
    let f = Rc::new(f);
    let watcher = watcher.spawn(move || {
        loop {
            signals.wait().unwrap_or_else(|error| panic!("cannot wait for {name}: {error}"));
            call(&f, &name, location);
        }
    })?;
    Ok(Handler { watcher: watcher.id(), signal, of_one_hub: PhantomData })
}

fn call(f: &Rc<impl Fn() + 'static>, name: &str, location: &'static Location<'static>) {
    let handler = Builder::new().name(format!("handler of {name}")).location(location);
    let spawned = handler.spawn({
        let f = Rc::clone(f);
        move || f()
    });
    if spawned.is_err() {
        // There is no memory for another stack. Better here than never.
        f();
    }
}

/// A handler of a signal, as [`on`] has made it. Dropped, it is not called any more.
///
/// What was called already goes on. The signal's default action does not come back. The drop yields
/// once, for the green thread that waits for the signal to end.
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use evy_green_os::signal::{self, SIGHUP};
///
/// let calls = Rc::new(Cell::new(0));
/// let handler = signal::on(SIGHUP, {
///     let calls = Rc::clone(&calls);
///     move || calls.set(calls.get() + 1)
/// })?;
/// drop(handler);
/// signal::raise(SIGHUP)?;
/// evy_runtime::sleep(std::time::Duration::from_millis(1));
/// assert_eq!(calls.get(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// It belongs to its OS thread:
///
/// ```compile_fail,E0277
/// let handler = evy_green_os::signal::on(evy_green_os::signal::SIGHUP, || ()).unwrap();
/// std::thread::spawn(move || drop(handler));
/// ```
#[must_use = "a handler that is dropped is not called any more; `keep` keeps it"]
pub struct Handler {
    /// Waits for the signal. A kill ends it before it calls anything, also when it was woken already.
    watcher: GreenThreadId,
    signal: c_int,
    of_one_hub: PhantomData<Rc<()>>,
}

impl Handler {
    /// Keeps the handler for as long as the OS thread lives, or until [`evy_runtime::kill_all`].
    ///
    /// ```
    /// use evy_green_os::signal::{self, SIGHUP};
    ///
    /// signal::on(SIGHUP, || println!("reading the configuration again"))?.keep();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        kill(self.watcher);
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").field("signal", &self.signal).finish_non_exhaustive()
    }
}
