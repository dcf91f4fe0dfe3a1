//! Which green threads are tasks of a pool.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use evy_runtime::GreenThreadId;

/// The tasks of one pool: found by place when they leave, and by id when they ask.
#[derive(Default)]
pub(crate) struct Members {
    /// `None` is a task that is being spawned, or a free place.
    places: Vec<Option<GreenThreadId>>,
    free: Vec<usize>,
    ids: HashSet<GreenThreadId, BuildHasherDefault<IdHasher>>,
}

impl Members {
    /// A place for a task that is about to be spawned.
    pub(crate) fn reserve(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        })
    }

    pub(crate) fn fill(&mut self, place: usize, id: GreenThreadId) {
        self.places[place] = Some(id);
        self.ids.insert(id);
    }

    pub(crate) fn leave(&mut self, place: usize) {
        if let Some(id) = self.places[place].take() {
            self.ids.remove(&id);
        }
        self.free.push(place);
    }

    pub(crate) fn contains(&self, id: GreenThreadId) -> bool {
        self.ids.contains(&id)
    }

    pub(crate) fn ids(&self) -> Vec<GreenThreadId> {
        self.ids.iter().copied().collect()
    }
}

/// Ids are counted up, so one multiplication spreads them well enough.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }
}
