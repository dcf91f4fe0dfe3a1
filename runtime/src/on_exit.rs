//! What runs when a green thread ends: the functions given to `on_exit`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Died;
use crate::control::Thread;

type Hook = Box<dyn FnOnce(Result<(), &Died>)>;

/// The hooks of one green thread, in the order in which they were given.
#[derive(Default)]
pub(crate) struct Hooks(Vec<Hook>);

impl Hooks {
    pub(crate) fn add(&mut self, hook: impl FnOnce(Result<(), &Died>) + 'static) {
        self.0.push(Box::new(hook));
    }
}

/// Runs the hooks of `thread`, also those that hooks add; `false` if there were none. One that panics
/// does not stop the others.
pub(crate) fn run(thread: Thread, died: Option<&Died>) -> bool {
    let mut ran = false;
    while let Some(hooks) = thread.look_at_extras(|extras| std::mem::take(&mut extras.hooks))
        && !hooks.0.is_empty()
    {
        ran = true;
        for hook in hooks.0 {
            // The panic hook has printed it; there is nobody to give it to.
            drop_quietly(catch_unwind(AssertUnwindSafe(|| hook(died.map_or(Ok(()), Err)))));
        }
    }
    ran
}

/// Drops a value of users whose destructor may panic.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // A payload whose own destructor panics: contained too, and then leaked.
        let result = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        std::mem::forget(result);
    }
}
