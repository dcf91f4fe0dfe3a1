//! Functions that are called around each suspension of each green thread: for libraries that keep state
//! in thread-locals which belongs to what runs now, not to the OS thread.
//!
//! ```text
//!   green thread a                     loop                green thread b
//!   park ─► hook: save, clear ─► suspended ──────────────► hook goes on: restore ─► park returns
//! ```
//!
//! A hook is given the suspension as a function and calls it: what it saved lies in its own frame, so it
//! needs no table of values and no allocation. Where there are hooks, each green thread carries the note
//! [`Orders::HOOKED`], by which a park takes its slow path; where there are none they cost nothing.

use std::cell::{Cell, RefCell};

use crate::control::{Orders, Thread};
use crate::scheduler::{Scheduler, scheduler};

/// A function that is called where a green thread is suspended, and calls what it is given to do so.
///
/// ```
/// use std::cell::Cell;
/// use evy_runtime::{SwitchHook, add_switch_hook, spawn, yield_now};
///
/// thread_local!(static DEPTH: Cell<u32> = const { Cell::new(0) });
///
/// const KEEP_DEPTH: SwitchHook = |switch| {
///     let depth = DEPTH.replace(0);
///     switch();
///     DEPTH.set(depth);
/// };
/// add_switch_hook(KEEP_DEPTH);
/// let other = spawn(|| DEPTH.get());
/// DEPTH.set(7);
/// yield_now();
/// assert_eq!(DEPTH.get(), 7);
/// assert_eq!(other.wait().unwrap(), 0);
/// ```
pub type SwitchHook = fn(switch: &mut dyn FnMut());

/// The hooks of one scheduler.
#[derive(Default)]
pub(crate) struct SwitchHooks {
    hooks: RefCell<Vec<SwitchHook>>,
    /// How many there are: looked at by each spawn.
    count: Cell<usize>,
    /// One of them runs, outside of the suspension.
    running: Cell<bool>,
}

/// Has `hook` called around every suspension of the green threads of this OS thread, from now on; its own
/// stack is one of them. One that is there already is not added again.
///
/// Of several hooks, the first one that was added is the outermost. A green thread begins with what the
/// hooks of the others have left, so a hook that saves also clears. A hook cannot park and must
/// not wake anybody (send, unlock), and should not panic: a panic before the switch is one of the green thread's park. One that does not call what it is
/// given cannot keep the green thread from being suspended, behind its end; a second call does nothing.
///
/// ```
/// evy_runtime::add_switch_hook(|switch| switch());
/// evy_runtime::yield_now();
/// ```
///
/// # Panics
///
/// When the OS gives no descriptors for a hub.
///
/// # Yields
///
/// Never. From then on each park of this OS thread's green threads takes some nanoseconds more.
pub fn add_switch_hook(hook: SwitchHook) {
    scheduler().add_switch_hook(hook);
}

impl SwitchHooks {
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    /// Calls the hooks from `index` on, the next one inside each, and `switch` inside the last.
    fn call(&self, index: usize, switch: &mut dyn FnMut()) {
        let hook = self.hooks.borrow().get(index).copied();
        let Some(hook) = hook else {
            self.running.set(false);
            switch();
            return self.running.set(true);
        };
        let mut is_done = false;
        hook(&mut || {
            if !is_done {
                is_done = true;
                self.call(index + 1, switch);
            }
        });
        if !is_done {
            self.call(index + 1, switch);
        }
    }
}

/// The hooks have run, or one has panicked.
struct Running<'a>(&'a Cell<bool>);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Scheduler {
    pub(crate) fn add_switch_hook(&self, hook: SwitchHook) {
        let mut hooks = self.hooks.hooks.borrow_mut();
        if hooks.iter().any(|other| std::ptr::fn_addr_eq(*other, hook)) {
            return;
        }
        hooks.push(hook);
        self.hooks.count.set(hooks.len());
        for thread in self.blocks.live() {
            thread.order(Orders::HOOKED);
        }
        self.main().order(Orders::HOOKED);
    }

    /// Suspends `thread`, which is what `switch` does, inside the hooks that there are.
    #[inline]
    pub(crate) fn in_hooks<R>(&self, thread: Thread, switch: impl FnOnce() -> R) -> R {
        if thread.orders().contains(Orders::HOOKED) { self.call_hooks(switch) } else { switch() }
    }

    #[cold]
    fn call_hooks<R>(&self, switch: impl FnOnce() -> R) -> R {
        assert!(!self.hooks.running.replace(true), "a switch hook cannot park");
        let _running = Running(&self.hooks.running);
        let (mut switch, mut result) = (Some(switch), None);
        self.hooks.call(0, &mut || result = switch.take().map(|switch| switch()));
        result.expect("the innermost call suspends, once")
    }
}
