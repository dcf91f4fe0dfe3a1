//! A place for each thing that is there, by number; numbers are used again.

#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Puts `value` somewhere, and returns where.
    pub(crate) fn insert(&mut self, value: T) -> usize {
        let key = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[key] = Some(value);
        key
    }

    /// Takes out what is at `key`.
    pub(crate) fn remove(&mut self, key: usize) -> Option<T> {
        let value = self.slots[key].take();
        if value.is_some() {
            self.free.push(key);
        }
        value
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
