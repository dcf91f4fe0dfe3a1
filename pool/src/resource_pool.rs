//! A bounded number of resources that green threads take turns to use: connections, mostly.
//!
//! This file has the handle. `resource_pool/stock.rs` has the rules by which resources change hands,
//! `pooled.rs` a resource in use, `builder.rs` what can be set.
//!
//! The maker of resources is part of the handle and not of the stock, so that a resource in use knows
//! nothing of the maker's error type. Each `get` that may make a resource does so itself, on its own
//! stack and at the risk of its own green thread; if it fails, the right to make one passes on.

mod builder;
mod pooled;
mod stock;

use std::error::Error;
use std::rc::Rc;
use std::time::Duration;
use std::{fmt, io};

use evy_runtime::{TimedOut, timeout};

pub use builder::ResourcePoolBuilder;
pub use pooled::Pooled;
use stock::{Rules, Slot, Stock, Ticket};

/// Resources that are made when they are needed, at most so many, and used again and again.
///
/// [`get`](Self::get) gives one that nobody uses, or makes one if fewer than the maximum exist, or
/// waits in line. Dropping what it gave ([`Pooled`]) gives the resource back: to the first in line if
/// somebody waits. `E` is what making one can fail with.
///
/// A clone is another handle to the same pool. With the last handle the idle resources are dropped, and
/// each of those in use when its user is done with it.
///
/// ```
/// use std::net::TcpListener;
/// use std::net::TcpStream;
/// use evy_pool::ResourcePool;
///
/// let server = TcpListener::bind("127.0.0.1:0")?;
/// let address = server.local_addr()?;
/// let pool = ResourcePool::new(2, move || TcpStream::connect(address));
/// let port = pool.get()?.local_addr()?.port();
/// // The same connection again.
/// assert_eq!(pool.get()?.local_addr()?.port(), port);
/// assert_eq!((pool.size(), pool.idle()), (1, 1));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// [`builder`](Self::builder) sets the rest: resources made ahead, which one comes next, when one is too
/// old, how to tell that one is still good, and what to do with it between two users.
///
/// # Code of the pool's user
///
/// What makes, checks and recycles resources, and their destructors, may park, panic, be killed, and use
/// the pool. No slot is ever lost by it: whatever happens to a green thread while it holds or makes a
/// resource, somebody else can have one instead. Who holds all resources and calls `get` waits for
/// itself; that is a deadlock.
///
/// # Expiry
///
/// There is no timer. A resource that has been idle for too long, or is too old, is never handed out; it
/// is dropped by one of the next calls that get or give back. A pool that nobody uses costs nothing, and
/// keeps what is idle. To have it dropped then, too, let a green thread call [`expire`](Self::expire) from
/// time to time; the sleep of that one keeps deadlocks from being seen, which is why a pool does not start
/// it by itself.
///
/// A pool belongs to its OS thread:
///
/// ```compile_fail,E0277
/// let pool = evy_pool::ResourcePool::<u32>::new(1, || Ok(1));
/// std::thread::spawn(move || pool.size());
/// ```
pub struct ResourcePool<R: 'static, E: 'static = io::Error> {
    shared: Rc<Shared<R, E>>,
}

/// What the handles of a pool share.
struct Shared<R: 'static, E: 'static> {
    stock: Rc<Stock<R>>,
    create: Create<R, E>,
}

type Create<R, E> = Box<dyn Fn() -> Result<R, E>>;

impl<R, E> Drop for Shared<R, E> {
    fn drop(&mut self) {
        self.stock.resize(0);
    }
}

impl<R: 'static, E: 'static> ResourcePool<R, E> {
    /// Makes a pool of at most `max` resources, each made by `create`, with everything else as
    /// [`builder`](Self::builder) has it at first. With `max` 0 every `get` waits for a
    /// [`resize`](Self::resize).
    ///
    /// ```
    /// use evy_pool::ResourcePool;
    ///
    /// let buffers: ResourcePool<Vec<u8>> = ResourcePool::new(10, || Ok(vec![0; 65_536]));
    /// let mut buffer = buffers.get()?;
    /// buffer[0] = 1;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn new(max: usize, create: impl Fn() -> Result<R, E> + 'static) -> Self {
        Self::with_rules(max, Rules::default(), Box::new(create))
    }

    /// Begins a pool whose resources are made by `create`; what is not set is as [`ResourcePoolBuilder`]
    /// says.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_pool::ResourcePool;
    ///
    /// # struct Connection;
    /// # impl Connection {
    /// #     fn open() -> std::io::Result<Self> { Ok(Self) }
    /// #     fn ping(&mut self) -> std::io::Result<()> { Ok(()) }
    /// #     fn rollback(&mut self) -> std::io::Result<()> { Ok(()) }
    /// # }
    /// let pool = ResourcePool::builder(Connection::open)
    ///     .min(1)
    ///     .max(20)
    ///     .max_idle(Duration::from_secs(60))
    ///     .validate(|connection| connection.ping().is_ok())
    ///     .recycle(|connection| connection.rollback().is_ok())
    ///     .build()?;
    /// assert_eq!((pool.idle(), pool.free()), (1, 20));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn builder(create: impl Fn() -> Result<R, E> + 'static) -> ResourcePoolBuilder<R, E> {
        ResourcePoolBuilder::new(Box::new(create))
    }

    fn with_rules(max: usize, rules: Rules<R>, create: Create<R, E>) -> Self {
        Self { shared: Rc::new(Shared { stock: Rc::new(Stock::new(max, rules)), create }) }
    }

    /// Waits for a resource, and returns it. It is given back when what this returns is dropped.
    ///
    /// It is an idle one, or a new one if fewer exist than may, or else the first that is given back
    /// after all who waited before have theirs. If meanwhile a slot becomes free, the first in line makes
    /// a new one. Who is killed or timed out while it waits, or after it was handed something and before
    /// it goes on, loses nothing: the next in line gets it.
    ///
    /// ```
    /// let pool: evy_pool::ResourcePool<String> = evy_pool::ResourcePool::new(1, || Ok("new".into()));
    /// let mut first = pool.get()?;
    /// first.push_str(", used");
    /// let second = evy_runtime::spawn({
    ///     let pool = pool.clone();
    ///     move || pool.get().map(|resource| resource.clone())
    /// });
    /// evy_runtime::yield_now();
    /// assert_eq!(pool.waiting(), 1);
    /// drop(first);
    /// assert_eq!(second.wait().unwrap()?, "new, used");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `create` failed with, if it was this call's turn to make a resource. The failure is this
    /// call's alone; the next in line may try.
    ///
    /// # Panics
    ///
    /// With what `create`, `validate` or the destructor of an old resource panic with.
    ///
    /// # Yields
    ///
    /// While all resources are out; otherwise as `create`, `validate` and destructors of old resources do.
    #[doc(alias = "item")]
    pub fn get(&self) -> Result<Pooled<R>, E> {
        let ticket = self.queue(None).expect("there is no deadline");
        self.serve(ticket)
    }

    /// [`get`](Self::get) that takes at most so long, all in all.
    ///
    /// What is under way then, `create` included, is cut off as by [`timeout`](evy_runtime::timeout).
    /// Zero gives what needs no waiting: an idle resource, or one that is made without parking.
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_pool::{GetError, ResourcePool};
    ///
    /// let pool: ResourcePool<u32> = ResourcePool::new(1, || Ok(7));
    /// let soon = Duration::from_millis(1);
    /// let held = pool.get_timeout(soon)?;
    /// assert!(matches!(pool.get_timeout(soon), Err(GetError::TimedOut)));
    /// drop(held);
    /// assert_eq!(*pool.get_timeout(soon)?, 7);
    /// # Ok::<(), GetError<std::io::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`GetError::TimedOut`] when the time was over, [`GetError::Create`] when `create` failed. What is
    /// handed over in the same turn as the deadline counts.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    ///
    /// # Yields
    ///
    /// As [`get`](Self::get).
    pub fn get_timeout(&self, duration: Duration) -> Result<Pooled<R>, GetError<E>> {
        // The line has the deadline as well: while a green thread unwinds, it alone ends the wait.
        let got = timeout(duration, || self.queue(Some(duration)).map(|ticket| self.serve(ticket)));
        match got {
            Ok(Ok(result)) => result.map_err(GetError::Create),
            Ok(Err(TimedOut)) | Err(_) => Err(GetError::TimedOut),
        }
    }

    /// Returns an idle resource, if there is one. It makes none, and waits for none.
    ///
    /// ```
    /// let pool: evy_pool::ResourcePool<u32> = evy_pool::ResourcePool::new(1, || Ok(7));
    /// assert!(pool.try_get().is_none());
    /// drop(pool.get()?);
    /// assert_eq!(*pool.try_get().unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// With what `validate` or the destructor of an old resource panic with.
    ///
    /// # Yields
    ///
    /// Only as `validate` and destructors of old resources do.
    pub fn try_get(&self) -> Option<Pooled<R>> {
        let stock = &self.shared.stock;
        stock.sweep();
        // One that fails frees its slot.
        std::iter::from_fn(|| stock.take_idle())
            .find_map(|lease| lease.check().ok())
            .map(Pooled::new)
    }

    /// Gives a resource back, to the pool that it came from.
    ///
    /// Dropping it does the same, but for one case: a drop while the green thread unwinds discards the
    /// resource (see [`Pooled`]), where this call keeps it, for who calls it is done.
    ///
    /// ```
    /// let pool: evy_pool::ResourcePool<u32> = evy_pool::ResourcePool::new(1, || Ok(7));
    /// let resource = pool.get()?;
    /// assert_eq!(pool.idle(), 0);
    /// pool.put(resource);
    /// assert_eq!(pool.idle(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// With what `recycle` or the destructor of an old resource panic with.
    ///
    /// # Yields
    ///
    /// Only as `recycle` and destructors of old resources do.
    pub fn put(&self, resource: Pooled<R>) {
        resource.put();
    }

    /// Makes resources, one after the other, until as many exist as the builder's
    /// [`min`](ResourcePoolBuilder::min) says.
    ///
    /// The builder does that, too. Later, resources that fail or expire leave fewer, and each is made
    /// again when somebody needs it; this makes them ahead.
    ///
    /// ```
    /// let pool = evy_pool::ResourcePool::builder(|| std::io::Result::Ok(7)).min(2).build()?;
    /// pool.clear();
    /// assert_eq!(pool.idle(), 0);
    /// pool.fill()?;
    /// assert_eq!(pool.idle(), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `create` failed with. The resources made before are in the pool.
    ///
    /// # Panics
    ///
    /// With what `create` panics with.
    ///
    /// # Yields
    ///
    /// Only as `create` does.
    pub fn fill(&self) -> Result<(), E> {
        let stock = &self.shared.stock;
        // Where a new resource is not kept, because it expires at once, say, there is no next try.
        for _ in stock.size()..stock.min() {
            let Some(slot) = stock.take_slot_ahead() else { break };
            self.make(slot)?.store();
        }
        Ok(())
    }

    /// Changes how many resources may exist.
    ///
    /// If more may, those who wait make new ones, first come first. If fewer may, idle ones are dropped,
    /// and further ones as they are given back.
    ///
    /// ```
    /// let pool: evy_pool::ResourcePool<u32> = evy_pool::ResourcePool::new(2, || Ok(7));
    /// let (first, second) = (pool.get()?, pool.get()?);
    /// pool.resize(1);
    /// assert_eq!((pool.size(), pool.free()), (2, -1));
    /// drop(first);
    /// assert_eq!((pool.size(), pool.free()), (1, 0));
    /// drop(second);
    /// assert_eq!((pool.size(), pool.free()), (1, 1));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// With what the destructor of a resource panics with.
    ///
    /// # Yields
    ///
    /// Only as destructors do.
    pub fn resize(&self, max: usize) {
        self.shared.stock.resize(max);
    }

    /// Drops all idle resources; those that are in use, or being made, are dropped when they are given
    /// back. For when all connections are known to be bad.
    ///
    /// ```
    /// let pool: evy_pool::ResourcePool<u32> = evy_pool::ResourcePool::new(2, || Ok(7));
    /// let (first, second) = (pool.get()?, pool.get()?);
    /// drop(first);
    /// pool.clear();
    /// assert_eq!((pool.size(), pool.idle()), (1, 0));
    /// drop(second);
    /// assert_eq!((pool.size(), pool.idle()), (0, 0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// With what the destructor of a resource panics with.
    ///
    /// # Yields
    ///
    /// Only as destructors do.
    pub fn clear(&self) {
        self.shared.stock.clear();
    }

    /// Drops all idle resources that have been idle for too long or are too old.
    ///
    /// Each call that gets a resource or gives one back drops such as it comes upon: the one that it
    /// takes, and those that were given back longest ago. This looks at all. To have it done also while
    /// nobody uses the pool:
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy_pool::ResourcePool;
    ///
    /// let pool = ResourcePool::builder(|| std::io::Result::Ok(7))
    ///     .max_idle(Duration::from_millis(1))
    ///     .build()?;
    /// drop(pool.get()?);
    /// let janitor = evy_runtime::spawn({
    ///     let pool = pool.clone();
    ///     move || loop {
    ///         evy_runtime::sleep(Duration::from_millis(5));
    ///         pool.expire();
    ///     }
    /// });
    /// while pool.size() > 0 {
    ///     evy_runtime::sleep(Duration::from_millis(1));
    /// }
    /// # janitor.kill();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// With what the destructor of a resource panics with.
    ///
    /// # Yields
    ///
    /// Only as destructors do.
    pub fn expire(&self) {
        self.shared.stock.expire();
    }

    /// How many resources may exist.
    ///
    /// ```
    /// assert_eq!(evy_pool::ResourcePool::<u32>::new(4, || Ok(7)).max(), 4);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn max(&self) -> usize {
        self.shared.stock.max()
    }

    /// How many resources exist, those included that are just being made or dropped.
    ///
    /// ```
    /// let pool: evy_pool::ResourcePool<u32> = evy_pool::ResourcePool::new(4, || Ok(7));
    /// let in_use = pool.get()?;
    /// drop((pool.get()?, pool.get()?));
    /// assert_eq!((pool.size(), pool.idle()), (3, 2));
    /// # drop(in_use);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn size(&self) -> usize {
        self.shared.stock.size()
    }

    /// How many resources nobody uses.
    ///
    /// ```
    /// let pool: evy_pool::ResourcePool<u32> = evy_pool::ResourcePool::new(4, || Ok(7));
    /// assert_eq!(pool.idle(), 0);
    /// drop(pool.get()?);
    /// assert_eq!(pool.idle(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn idle(&self) -> usize {
        self.shared.stock.idle()
    }

    /// How many more resources can be had without waiting in line: idle ones, and such as may be made.
    /// Negative while more are in use than may exist, after a [`resize`](Self::resize).
    ///
    /// ```
    /// let pool: evy_pool::ResourcePool<u32> = evy_pool::ResourcePool::new(4, || Ok(7));
    /// let in_use = pool.get()?;
    /// assert_eq!(pool.free(), 3);
    /// drop(in_use);
    /// assert_eq!(pool.free(), 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn free(&self) -> isize {
        let count = |n| isize::try_from(n).unwrap_or(isize::MAX);
        count(self.max()) - count(self.size() - self.idle())
    }

    /// How many green threads wait in line.
    ///
    /// ```
    /// let pool: evy_pool::ResourcePool<u32> = evy_pool::ResourcePool::new(0, || Ok(7));
    /// let waiter = evy_runtime::spawn({
    ///     let pool = pool.clone();
    ///     move || pool.get().map(|number| *number)
    /// });
    /// evy_runtime::yield_now();
    /// assert_eq!(pool.waiting(), 1);
    /// pool.resize(1);
    /// assert_eq!(pool.waiting(), 0);
    /// assert_eq!(waiter.wait().unwrap()?, 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn waiting(&self) -> usize {
        self.shared.stock.waiting()
    }

    /// What a `get` goes on with, if need be after its time in line.
    fn queue(&self, timeout: Option<Duration>) -> Result<Ticket<R>, TimedOut> {
        let stock = &self.shared.stock;
        stock.sweep();
        stock.take().map_or_else(|| stock.wait(timeout), Ok)
    }

    /// A resource for who has a ticket. It waits in line no more, however many turn out to be bad.
    fn serve(&self, mut ticket: Ticket<R>) -> Result<Pooled<R>, E> {
        loop {
            let lease = match ticket {
                Ticket::Lease(lease) => lease,
                Ticket::Slot(slot) => return self.make(slot),
            };
            match lease.check() {
                Ok(lease) => return Ok(Pooled::new(lease)),
                Err(slot) => ticket = self.shared.stock.instead(slot),
            }
        }
    }

    /// Makes a resource. If that fails, panics or is killed, the drop of the slot passes it on.
    fn make(&self, slot: Slot<R>) -> Result<Pooled<R>, E> {
        let generation = slot.generation();
        let resource = (self.shared.create)()?;
        Ok(Pooled::new(slot.fill(resource, generation)))
    }
}

impl<R, E> Clone for ResourcePool<R, E> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<R, E> fmt::Debug for ResourcePool<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourcePool")
            .field("max", &self.max())
            .field("size", &self.size())
            .field("idle", &self.idle())
            .field("waiting", &self.waiting())
            .finish()
    }
}

/// Why [`ResourcePool::get_timeout`] gives nothing.
///
/// ```
/// use std::io;
/// use std::time::Duration;
/// use evy_pool::{GetError, ResourcePool};
///
/// let pool = ResourcePool::new(1, || io::Result::<u32>::Err(io::ErrorKind::ConnectionRefused.into()));
/// let error = pool.get_timeout(Duration::from_secs(1)).unwrap_err();
/// assert!(matches!(&error, GetError::Create(error) if error.kind() == io::ErrorKind::ConnectionRefused));
/// assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionRefused);
/// assert_eq!(io::Error::from(GetError::TimedOut).kind(), io::ErrorKind::TimedOut);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetError<E> {
    /// The time was over.
    TimedOut,
    /// It was this call's turn to make a resource, and `create` failed with this.
    Create(E),
}

impl<E: fmt::Display> fmt::Display for GetError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("timed out while it waited for a resource"),
            Self::Create(error) => write!(f, "cannot make a resource: {error}"),
        }
    }
}

impl<E: Error + 'static> Error for GetError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::TimedOut => None,
            Self::Create(error) => Some(error),
        }
    }
}

impl From<GetError<Self>> for io::Error {
    fn from(error: GetError<Self>) -> Self {
        match error {
            GetError::TimedOut => {
                Self::new(io::ErrorKind::TimedOut, "timed out while it waited for a resource")
            }
            GetError::Create(error) => error,
        }
    }
}
