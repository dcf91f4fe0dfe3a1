//! Giving accepted connections to the hub that has the fewest: for one listener and several hubs.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use evy_runtime::Remote;

use crate::TcpStream;

/// Several hubs that serve what one accepts.
///
/// Where the kernel's spreading of connections over shared listeners
/// ([`SharedAddress`](crate::SharedAddress)) is too uneven, because there are few of them or they last
/// long: this gives each one to the hub that serves the fewest at the moment.
///
/// ```
/// use std::io::Write;
/// use evy_green_net::{HandOff, connect, listen};
/// use evy_runtime::Remote;
///
/// // One hub here, for an example; `Core::remotes` gives those of `cores::run`.
/// let hubs = HandOff::new([Remote::current()]);
/// let listener = listen("127.0.0.1:0")?;
/// let client = connect(listener.local_addr()?)?;
/// let (stream, _) = listener.accept()?;
/// hubs.send(stream, |mut stream| stream.write_all(b"from the other hub")).unwrap();
/// assert_eq!(hubs.loads(), [1]);
/// assert_eq!(std::io::read_to_string(client)?, "from the other hub");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct HandOff {
    hubs: Vec<Target>,
}

struct Target {
    hub: Remote,
    /// Connections that it was given and has not ended.
    load: Arc<AtomicUsize>,
}

impl HandOff {
    /// For these hubs. Among equals the first one is taken.
    ///
    /// ```
    /// use evy_green_net::HandOff;
    ///
    /// let counts = evy_runtime::cores::run(2, |core| HandOff::new(core.remotes().to_vec()).loads());
    /// assert_eq!(counts, [[0, 0], [0, 0]]);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn new(hubs: impl IntoIterator<Item = Remote>) -> Self {
        let target = |hub| Target { hub, load: Arc::default() };
        Self { hubs: hubs.into_iter().map(target).collect() }
    }

    /// Gives `stream` to the hub that has the fewest, which calls `handler` with it on a green thread of
    /// its own. What `handler` returns is dropped. A hub that has ended is passed over.
    ///
    /// ```
    /// # use evy_green_net::{HandOff, connect, listen};
    /// # let listener = listen("127.0.0.1:0")?;
    /// # let _client = connect(listener.local_addr()?)?;
    /// let (stream, _) = listener.accept()?;
    /// let nobody = HandOff::new([]);
    /// let stream = nobody.send(stream, |_| ()).unwrap_err();
    /// # drop(stream);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Gives the stream back when there is no hub left. One that ends after it was given the stream
    /// closes it.
    ///
    /// # Yields
    ///
    /// Never.
    pub fn send<R>(
        &self,
        stream: TcpStream,
        handler: impl FnOnce(TcpStream) -> R + Send + 'static,
    ) -> Result<(), TcpStream> {
        let alive = self.hubs.iter().filter(|target| !target.hub.has_ended());
        let Some(target) = alive.min_by_key(|target| target.load.load(Ordering::Relaxed)) else {
            return Err(stream);
        };
        let load = Load::new(&target.load);
        let thread = target.hub.spawn(move || {
            let _load = load;
            drop(handler(stream));
        });
        drop(thread);
        Ok(())
    }

    /// How many connections each hub has that this gave to it.
    ///
    /// ```
    /// assert!(evy_green_net::HandOff::new([]).loads().is_empty());
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn loads(&self) -> Vec<usize> {
        self.hubs.iter().map(|target| target.load.load(Ordering::Relaxed)).collect()
    }
}

impl fmt::Debug for HandOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandOff").field("loads", &self.loads()).finish()
    }
}

/// One connection, counted until its handler has ended or was dropped unstarted.
struct Load(Arc<AtomicUsize>);

impl Load {
    fn new(load: &Arc<AtomicUsize>) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
