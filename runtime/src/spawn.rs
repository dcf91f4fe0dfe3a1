//! Starting green threads, and what runs at the bottom of their stacks.

use std::io;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;
use std::rc::Rc;
use std::time::Duration;

use corosensei::{Coroutine, Yielder};

use crate::control::{Block, Head, INLINE_RESULT, Orders, Outcome, State, Thread, Wake};
use crate::green_thread::{Died, GreenThread, GreenThreadId, Joiner, Storage};
use crate::kill::Killed;
use crate::on_exit::drop_quietly;
use crate::park::Reason;
use crate::scheduler::{Scheduler, current_scheduler, scheduler, try_scheduler};
use crate::{fork, local, on_exit, stack};

/// Closures up to this size are moved straight onto the new stack; larger ones are boxed (a 256-byte
/// closure costs 46 ns to spawn as it is, 36 boxed; above 1,024 bytes corosensei refuses).
const INLINE_CLOSURE: usize = 192;

/// Starts a green thread that runs `f`, behind all that are ready now, and returns its handle.
///
/// The caller goes on; `f` runs when it parks or yields. A dropped handle detaches the green thread.
///
/// ```
/// let answer = evy_runtime::spawn(|| 6 * 7);
/// assert_eq!(answer.wait().unwrap(), 42);
/// ```
///
/// # Panics
///
/// When there is no memory for a stack, or no mapping for its guard; [`Builder::spawn`] returns
/// that as an error.
///
/// # Yields
///
/// Never.
#[track_caller]
#[inline]
pub fn spawn<T: 'static>(f: impl FnOnce() -> T + 'static) -> GreenThread<T> {
    let scheduler = scheduler();
    match create(scheduler, f, &Options::new(Location::caller())) {
        Ok(block) => {
            scheduler.enqueue(block);
            GreenThread::new(block, None)
        }
        Err(error) => refuse(&error),
    }
}

/// Starts a green thread whose result nobody wants.
///
/// ```
/// evy_runtime::spawn_n(|| println!("hello"));
/// evy_runtime::yield_now();
/// ```
///
/// # Panics
///
/// As [`spawn`].
///
/// # Yields
///
/// Never.
#[track_caller]
#[inline]
pub fn spawn_n<R>(f: impl FnOnce() -> R + 'static) {
    let scheduler = scheduler();
    match create(scheduler, move || drop(f()), &Options::new(Location::caller())) {
        Ok(block) => {
            scheduler.enqueue(block);
            drop(GreenThread::<()>::new(block, None));
        }
        Err(error) => refuse(&error),
    }
}

/// Starts a green thread that calls `f`, and runs it at once: the caller goes on when it has ended, or
/// waits for something for the first time.
///
/// It is [`spawn`], but that nobody else runs before: what never has to wait is done when this returns,
/// for the price of two switches. Python knows it as an eager task.
///
/// ```
/// use evy_runtime::{spawn_eager, yield_now};
///
/// let thread = spawn_eager(|| 6 * 7);
/// assert!(thread.is_finished());
/// assert_eq!(thread.wait().unwrap(), 42);
/// let thread = spawn_eager(|| {
///     yield_now();
///     43
/// });
/// assert!(!thread.is_finished());
/// # thread.wait().unwrap();
/// ```
///
/// # Panics
///
/// As [`spawn`].
///
/// # Yields
///
/// To the new green thread alone. While the caller unwinds it does not: the new one runs next. An order
/// that the caller has caught and not obeyed is not thrown again here, for it may be cleaning up.
#[doc(alias = "undispatched")]
#[track_caller]
#[inline]
pub fn spawn_eager<T: 'static>(f: impl FnOnce() -> T + 'static) -> GreenThread<T> {
    let scheduler = scheduler();
    match create(scheduler, f, &Options::new(Location::caller())) {
        Ok(block) => run_at_once(scheduler, block, None),
        Err(error) => refuse(&error),
    }
}

#[inline]
fn run_at_once<T: 'static>(
    scheduler: &Scheduler,
    block: NonNull<Block>,
    name: Option<Rc<str>>,
) -> GreenThread<T> {
    // First, so that it is dropped, and the other one detached, if the caller is killed meanwhile.
    let handle = GreenThread::new(block, name);
    let thread = new_thread(block);
    scheduler.run_at_once(thread, || thread.wake.set(Wake::Run));
    handle
}

/// Starts a green thread that begins to run `delay` from now, whether or not the caller still lives.
///
/// [`GreenThread::cancel`] takes it back until then.
///
/// ```
/// use std::time::Duration;
///
/// let late = evy_runtime::spawn_after(Duration::from_millis(1), || "done");
/// let never = evy_runtime::spawn_after(Duration::from_secs(60), || "never");
/// assert!(never.cancel());
/// assert_eq!(late.wait().unwrap(), "done");
/// ```
///
/// # Panics
///
/// As [`spawn`].
///
/// # Yields
///
/// Never.
#[track_caller]
pub fn spawn_after<T: 'static>(delay: Duration, f: impl FnOnce() -> T + 'static) -> GreenThread<T> {
    let scheduler = scheduler();
    match create(scheduler, f, &Options::new(Location::caller())) {
        Ok(block) => {
            scheduler.delay(block, delay);
            GreenThread::new(block, None)
        }
        Err(error) => refuse(&error),
    }
}

/// [`spawn_after`], but `f` does not run if the caller has ended by then; to wait for it then gives
/// [`Died::Killed`].
///
/// ```
/// use std::time::Duration;
///
/// let parent = evy_runtime::spawn(|| {
///     evy_runtime::spawn_after_local(Duration::from_millis(1), || unreachable!())
/// });
/// let child = parent.wait().unwrap();
/// assert!(child.wait().is_err());
/// ```
///
/// # Panics
///
/// As [`spawn`].
///
/// # Yields
///
/// Never.
#[track_caller]
pub fn spawn_after_local<T: 'static>(
    delay: Duration,
    f: impl FnOnce() -> T + 'static,
) -> GreenThread<T> {
    let parent = crate::current();
    spawn_after(delay, move || {
        let scheduler = scheduler();
        if !parent.is_alive(scheduler) {
            scheduler.kill(scheduler.current());
        }
        f()
    })
}

/// Starts a green thread of evy's own, which no kill ends. For the loop, too: no code of users runs, but
/// for destructors of what `f` captures where this fails.
pub(crate) fn spawn_masked(
    scheduler: &Scheduler,
    location: &'static Location<'static>,
    f: impl FnOnce() + 'static,
) -> io::Result<()> {
    let block = create(scheduler, f, &Options::new(location))?;
    new_thread(block).masks.set(1);
    scheduler.enqueue(block);
    drop(GreenThread::<()>::new(block, None));
    Ok(())
}

#[cold]
#[track_caller]
pub(crate) fn refuse(error: &io::Error) -> ! {
    panic!("cannot spawn a green thread: {error}");
}

/// A green thread with a name or a stack of a given size.
///
/// ```
/// let worker = evy_runtime::Builder::new()
///     .name("worker-7")
///     .stack_size(64 * 1024)
///     .spawn(|| "done")?;
/// assert_eq!(worker.name(), Some("worker-7"));
/// assert_eq!(worker.wait().unwrap(), "done");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `spawn`"]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
    /// `None` stands for the place that calls `spawn`.
    location: Option<&'static Location<'static>>,
}

impl Builder {
    /// A builder without a name, for a stack of the default size.
    ///
    /// ```
    /// let thread = evy_runtime::Builder::new().spawn(|| 6 * 7)?;
    /// assert_eq!(thread.wait().unwrap(), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the green thread, for panics and reports.
    ///
    /// ```
    /// let thread = evy_runtime::Builder::new().name("fetch").spawn(|| ())?;
    /// assert_eq!(thread.name(), Some("fetch"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the usable size of the stack in bytes: at least 32 KiB, by default 196 KiB. Only pages
    /// that are touched cost memory; the guard comes on top.
    ///
    /// ```
    /// let builder = evy_runtime::Builder::new().stack_size(1 << 20);
    /// let thread = builder.spawn(|| std::hint::black_box(&[1_u8; 512 << 10]).len())?;
    /// assert_eq!(thread.wait().unwrap(), 512 << 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Sets the place that reports name as where it was spawned, by default the caller's: for code
    /// that spawns later, or elsewhere, on behalf of somebody.
    ///
    /// ```
    /// use std::panic::Location;
    /// use evy_runtime::{Builder, GreenThread};
    ///
    /// #[track_caller]
    /// fn start(job: impl FnOnce() -> u32 + 'static) -> std::io::Result<GreenThread<u32>> {
    ///     Builder::new().location(Location::caller()).spawn(job)
    /// }
    /// assert_eq!(start(|| 6 * 7)?.wait().unwrap(), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn location(mut self, location: &'static Location<'static>) -> Self {
        self.location = Some(location);
        self
    }

    /// Sets the place unless it is set already.
    pub(crate) fn or_location(mut self, location: &'static Location<'static>) -> Self {
        self.location.get_or_insert(location);
        self
    }

    /// Starts the green thread, as [`spawn`] does.
    ///
    /// ```
    /// use evy_runtime::Builder;
    ///
    /// assert_eq!(Builder::new().spawn(|| 6 * 7)?.wait().unwrap(), 42);
    /// assert!(Builder::new().stack_size(usize::MAX).spawn(|| ()).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `OutOfMemory` when there is no memory for a stack or no mapping left for its guard,
    /// `InvalidInput` for a stack that is too large, and what making the hub gives if this is the
    /// OS thread's first call.
    ///
    /// # Yields
    ///
    /// Never.
    #[track_caller]
    pub fn spawn<T: 'static>(self, f: impl FnOnce() -> T + 'static) -> io::Result<GreenThread<T>> {
        let scheduler = try_scheduler()?;
        let (block, name) = self.or_location(Location::caller()).create(scheduler, f)?;
        scheduler.enqueue(block);
        Ok(GreenThread::new(block, name))
    }

    /// [`spawn_eager`] with what was set: the green thread runs at once, until it ends or waits.
    ///
    /// ```
    /// let thread = evy_runtime::Builder::new().name("eager").spawn_eager(|| 6 * 7)?;
    /// assert!(thread.is_finished());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    ///
    /// # Yields
    ///
    /// As [`spawn_eager`].
    #[track_caller]
    pub fn spawn_eager<T: 'static>(
        self,
        f: impl FnOnce() -> T + 'static,
    ) -> io::Result<GreenThread<T>> {
        let scheduler = try_scheduler()?;
        let (block, name) = self.or_location(Location::caller()).create(scheduler, f)?;
        Ok(run_at_once(scheduler, block, name))
    }

    /// A green thread that is in no queue, and its name.
    #[inline]
    fn create<T: 'static>(
        self,
        scheduler: &Scheduler,
        f: impl FnOnce() -> T + 'static,
    ) -> io::Result<(NonNull<Block>, Option<Rc<str>>)> {
        let class = match self.stack_size {
            None | Some(stack::DEFAULT) => 0,
            Some(bytes) => scheduler.stacks().borrow_mut().class(bytes)?,
        };
        let name: Option<Rc<str>> = self.name.map(Rc::from);
        let location = self.location.expect("who calls has set it");
        let options = Options { location, class, name: name.clone() };
        Ok((create(scheduler, f, &options)?, name))
    }
}

/// How a green thread is made.
struct Options {
    location: &'static Location<'static>,
    class: u8,
    name: Option<Rc<str>>,
}

impl Options {
    #[inline(always)]
    fn new(location: &'static Location<'static>) -> Self {
        Self { location, class: 0, name: None }
    }
}

/// Makes a green thread that has a stack and a block and stands nowhere yet.
#[inline]
fn create<F, T>(scheduler: &Scheduler, f: F, options: &Options) -> io::Result<NonNull<Block>>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    if scheduler.blocks.is_exhausted() || scheduler.ready.is_full() {
        scheduler.make_room()?;
    }
    let (place, span) = scheduler.stacks().borrow_mut().take(options.class)?;
    let thread = Thread(place);
    // SAFETY: the slot was just taken: its top is room for a head, aligned, and nobody else's.
    unsafe { place.write(Head::new(options.location, options.class)) };
    if !scheduler.hooks.is_empty() {
        thread.order(Orders::HOOKED);
    }
    // The closure will lie there, or most of it.
    thread.top.set(place.addr().get() - INLINE_CLOSURE);
    if let Some(name) = &options.name {
        thread.with_extras(|extras| extras.name = Some(Rc::clone(name)));
    }
    let coroutine = if size_of::<F>() <= INLINE_CLOSURE && align_of::<F>() <= 16 {
        Coroutine::with_stack(span, move |yielder: &Yielder<Wake, ()>, wake| {
            entry(thread, yielder, wake, f);
        })
    } else {
        let f: Box<dyn FnOnce() -> T> = Box::new(f);
        Coroutine::with_stack(span, move |yielder: &Yielder<Wake, ()>, wake| {
            entry(thread, yielder, wake, f);
        })
    };
    // SAFETY: the field is uninitialised, and nobody has the thread yet.
    unsafe { (*thread.coroutine.get()).write(coroutine) };
    let block = scheduler.blocks.take(scheduler.new_id());
    thread.block.set(Some(block));
    // SAFETY: blocks live as long as their scheduler.
    unsafe { block.as_ref() }.thread.set(Some(thread));
    Ok(block)
}

impl Scheduler {
    /// Makes room for what a new green thread needs beside its stack.
    #[cold]
    fn make_room(&self) -> io::Result<()> {
        let blocks = if self.blocks.is_exhausted() { self.blocks.grow() } else { Ok(()) };
        let room = if self.ready.is_full() { self.ready.make_room() } else { Ok(()) };
        blocks.and(room).map_err(|error| {
            let text = format!("no memory for another green thread: {error}");
            io::Error::new(io::ErrorKind::OutOfMemory, text)
        })
    }

    /// Queues a new green thread.
    #[inline(always)]
    fn enqueue(&self, block: NonNull<Block>) {
        let thread = new_thread(block);
        thread.state.set(State::Queued);
        self.ready.push_back(thread);
    }

    /// Parks a new green thread until its time has come.
    fn delay(&self, block: NonNull<Block>, delay: Duration) {
        let thread = new_thread(block);
        thread.reason.set(Reason::DELAY);
        thread.since.set(self.now());
        thread.state.set(State::Parked);
        if let Some(deadline) = self.clock().after(delay) {
            let key = self.hub.borrow_mut().add_deadline(deadline, thread.owner());
            thread.with_extras(|extras| extras.delay = Some(key));
        }
    }
}

#[inline(always)]
fn new_thread(block: NonNull<Block>) -> Thread {
    // SAFETY: blocks live as long as their scheduler.
    let block = unsafe { block.as_ref() };
    block.thread.get().expect("a new green thread has not ended")
}

/// The bottom frame of every green thread: runs `f`, keeps what becomes of it, and returns to the
/// loop for the last time. Nothing unwinds out of it.
fn entry<F, T>(thread: Thread, yielder: &Yielder<Wake, ()>, wake: Wake, f: F)
where
    F: FnOnce() -> T,
    T: 'static,
{
    thread.yielder.set(yielder);
    let result = catch_unwind(AssertUnwindSafe(|| {
        if wake == Wake::Kill {
            thread.withdraw(Orders::KILL);
            drop(f);
            return None;
        }
        Some(f())
    }));
    match result {
        Ok(Some(value)) => finish(thread, Ok(value)),
        Ok(None) => finish::<T>(thread, Err(Died::Killed)),
        Err(payload) if payload.is::<Killed>() => finish::<T>(thread, Err(Died::Killed)),
        Err(payload) => finish::<T>(thread, Err(Died::Panicked(payload))),
    }
}

/// The last thing that a green thread does: hooks, locals, then its result.
#[inline]
fn finish<T: 'static>(thread: Thread, result: Result<T, Died>) {
    // No kill is thrown from here on.
    thread.masks.set(1);
    thread.withdraw(Orders::UNWINDS);
    let Some(scheduler) = current_scheduler() else { return fork::end_with(thread) };
    scheduler.unwind_may_have_ended();
    if thread.has_extras() {
        wind_up(thread, result.as_ref().err());
    }
    let place = thread.block.get().expect("a green thread has a block until it ends");
    // SAFETY: blocks live as long as their scheduler, and this one is ours until `give_back`.
    let block = unsafe { place.as_ref() };
    if block.detached.get() {
        // May run code of users, and park: the block stays ours meanwhile.
        if size_of::<Result<T, Died>>() > 0 && needs_drop(&result) {
            drop_quietly(result);
            // Its destructor may have used a `green_local`, or parked until the handle's last hook; or
            // forked.
            if thread.has_extras() || current_scheduler().is_none() {
                wind_up(thread, None);
            }
        }
        thread.drop_extras();
        thread.state.set(State::Finished);
        scheduler.blocks.give_back(place);
        return;
    }
    thread.drop_extras();
    match result {
        Ok(value) => {
            Storage::<T>::new(block).put(value);
            block.outcome.set(Outcome::Returned);
        }
        Err(died) => {
            Storage::<Died>::new(block).put(died);
            block.outcome.set(Outcome::Died);
        }
    }
    thread.state.set(State::Finished);
    block.thread.set(None);
    if let Some(joiner) = Joiner::of(block) {
        joiner.wake(scheduler);
    }
}

/// Runs hooks and drops locals until there are none: either may make more of both. Does not return in a
/// child that this green thread has forked, before or in here.
#[cold]
fn wind_up(thread: Thread, died: Option<&Died>) {
    fork::end_with(thread);
    while on_exit::run(thread, died) | local::drop_all(thread) {}
    fork::end_with(thread);
}

fn needs_drop<T>(result: &Result<T, Died>) -> bool {
    std::mem::needs_drop::<T>() || result.is_err()
}

const _: () = assert!(size_of::<Died>() <= INLINE_RESULT);

/// The id of a green thread that has a block.
pub(crate) fn id_of(thread: Thread) -> Option<NonZeroU64> {
    thread.block().and_then(|block| NonZeroU64::new(block.id.get()))
}

impl GreenThreadId {
    /// Whether the green thread lives; an OS thread's own stack always does.
    fn is_alive(self, scheduler: &Scheduler) -> bool {
        self == Self::of(scheduler.main()) || self.find(scheduler).is_some()
    }
}
