//! Numbers for keys.
//!
//! Everything else goes by the number of a key. A key's `Hash` and `Eq` are code of users, which may park,
//! panic or use the pool; they run here, and while nothing is borrowed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::rc::Rc;

/// The number of a key. Keys are numbered as they become known, and stay known.
pub(super) type KeyId = usize;

pub(super) struct Keys<K> {
    hasher: RandomState,
    table: RefCell<Table<K>>,
}

struct Table<K> {
    /// By number.
    keys: Vec<Rc<K>>,
    /// The numbers of the keys with the same hash. Such a list only grows.
    by_hash: HashMap<u64, Vec<KeyId>>,
}

impl<K> Keys<K> {
    pub(super) fn new() -> Self {
        let table = Table { keys: Vec::new(), by_hash: HashMap::new() };
        Self { hasher: RandomState::new(), table: RefCell::new(table) }
    }

    pub(super) fn get(&self, id: KeyId) -> Rc<K> {
        Rc::clone(&self.table.borrow().keys[id])
    }

    /// The `at`th key with this hash.
    fn candidate(&self, hash: u64, at: usize) -> Option<(KeyId, Rc<K>)> {
        let table = self.table.borrow();
        let id = *table.by_hash.get(&hash)?.get(at)?;
        Some((id, Rc::clone(&table.keys[id])))
    }
}

impl<K: Hash + Eq> Keys<K> {
    pub(super) fn find(&self, key: &K) -> Option<KeyId> {
        let hash = self.hasher.hash_one(key);
        self.find_by_hash(hash, key)
    }

    fn find_by_hash(&self, hash: u64, key: &K) -> Option<KeyId> {
        let candidates = (0..).map_while(|at| self.candidate(hash, at));
        candidates.into_iter().find(|(_, candidate)| **candidate == *key).map(|(id, _)| id)
    }

    /// The number of a key that may be new.
    pub(super) fn add(&self, key: K) -> KeyId {
        let hash = self.hasher.hash_one(&key);
        if let Some(id) = self.find_by_hash(hash, &key) {
            return id;
        }
        // It has been compared with all that are there: nothing ran after the last one.
        let mut table = self.table.borrow_mut();
        let id = table.keys.len();
        table.keys.push(Rc::new(key));
        table.by_hash.entry(hash).or_default().push(id);
        id
    }
}
