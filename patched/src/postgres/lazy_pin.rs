//! A value that is pinned at its first use, and can be moved on until then.

use std::pin::Pin;

pub(super) enum LazyPin<T> {
    Movable(Option<T>),
    Pinned(Pin<Box<T>>),
}

impl<T> LazyPin<T> {
    pub(super) fn new(value: T) -> Self {
        Self::Movable(Some(value))
    }

    pub(super) fn pinned(&mut self) -> Pin<&mut T> {
        if let Self::Movable(value) = self {
            let value = value.take().expect("it is taken here, and where all of this is");
            *self = Self::Pinned(Box::pin(value));
        }
        match self {
            Self::Pinned(value) => value.as_mut(),
            Self::Movable(_) => unreachable!("it was just pinned"),
        }
    }

    /// The value, if it was never used.
    pub(super) fn into_unpinned(self) -> Option<T> {
        match self {
            Self::Movable(value) => value,
            Self::Pinned(_) => None,
        }
    }
}
