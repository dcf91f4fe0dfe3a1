//! The registry of descriptors: who waits for what, and what the OS last said.
//!
//! A descriptor is named by slot *and* generation, never by its number: the number is reused while
//! an old event may still lie in the batch (such an event is counted and dropped).
//!
//! ```text
//!   SourceKey  = generation (31 bits) | slot (32 bits)
//!   slots      = [ Source { generation, fd, readiness, waiting: [reader, writer] }, … ]
//!   slot_of    = fd number -> slot, for descriptors that come to us as bare numbers
//!   crowds     = (slot, direction) -> further waiters, first in first out; nearly always empty
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::RawFd;

use slab::Slab;

use crate::driver::Mode;
use crate::{Direction, Owner, Readiness};

/// Names one registration of a descriptor in one hub.
///
/// ```
/// # use std::os::fd::AsFd;
/// # let mut hub = evy_hub::Hub::new()?;
/// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
/// let key: evy_hub::SourceKey = hub.register(socket.as_fd())?;
/// hub.deregister(key);
/// // The slot is used again, under another key.
/// assert_ne!(hub.register(socket.as_fd())?, key);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceKey {
    slot: u32,
    generation: u32,
}

impl SourceKey {
    /// Generations have 31 bits, so that no key is the word which polling keeps for itself.
    const GENERATIONS: u32 = u32::MAX >> 1;

    pub(crate) fn to_usize(self) -> usize {
        (self.generation as usize) << 32 | self.slot as usize
    }

    pub(crate) fn from_usize(word: usize) -> Self {
        Self { slot: word as u32, generation: (word >> 32) as u32 }
    }
}

/// Somebody else waits already, and this descriptor takes one waiter a direction.
///
/// ```
/// # use std::os::fd::AsFd;
/// use evy_hub::{Busy, Company, Direction};
///
/// # let mut hub = evy_hub::Hub::new()?;
/// # let owner = evy_hub::Owner(std::num::NonZeroUsize::MIN);
/// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
/// # let key = hub.register(socket.as_fd())?;
/// hub.wait(key, Direction::Read, owner, Company::Alone).unwrap();
/// let second = hub.wait(key, Direction::Read, owner, Company::Alone);
/// assert_eq!(second, Err(Busy { holder: owner }));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    /// Who waits.
    pub holder: Owner,
}

/// Whether a second waiter in the same direction is let in.
///
/// ```
/// # use std::os::fd::AsFd;
/// use evy_hub::{Company, Direction};
///
/// # let mut hub = evy_hub::Hub::new()?;
/// # let owner = evy_hub::Owner(std::num::NonZeroUsize::MIN);
/// # let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
/// # let key = hub.register(socket.as_fd())?;
/// hub.wait(key, Direction::Read, owner, Company::Queue).unwrap();
/// assert!(hub.wait(key, Direction::Read, owner, Company::Alone).is_err());
/// assert!(hub.wait(key, Direction::Read, owner, Company::Queue).is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// No: it would be a mistake of the caller.
    Alone,
    /// Yes, first in first out.
    Queue,
}

/// One registered descriptor.
#[derive(Debug)]
pub(crate) struct Source {
    /// Tells this registration from earlier ones in the same slot.
    generation: u32,
    pub(crate) fd: RawFd,
    pub(crate) mode: Mode,
    /// What the OS reported and no call has used up yet.
    pub(crate) readiness: Readiness,
    /// The first waiter of each direction.
    waiting: [Option<Owner>; 2],
}

/// All descriptors of one hub.
#[derive(Debug)]
pub(crate) struct Sources {
    slots: Slab<Source>,
    slot_of: Vec<Option<u32>>,
    crowds: BTreeMap<(u32, Direction), VecDeque<Owner>>,
    /// The generation that the next registration gets.
    next_generation: u32,
    /// How many owners wait, over all sources.
    waiters: usize,
    /// Events that came for a registration that was gone.
    pub(crate) stale_events: u64,
}

impl Sources {
    pub(crate) fn new() -> Self {
        Self::starting_at(0)
    }

    fn starting_at(next_generation: u32) -> Self {
        Self {
            slots: Slab::new(),
            slot_of: Vec::new(),
            crowds: BTreeMap::new(),
            next_generation,
            waiters: 0,
            stale_events: 0,
        }
    }

    pub(crate) fn insert(&mut self, fd: RawFd, mode: Mode) -> SourceKey {
        let generation = self.next_generation;
        self.next_generation = (generation + 1) & SourceKey::GENERATIONS;
        let source =
            Source { generation, fd, mode, readiness: Readiness::NONE, waiting: [None; 2] };
        let slot = u32::try_from(self.slots.insert(source)).expect("fewer than 2^32 descriptors");
        let number = usize::try_from(fd).expect("an open descriptor is not negative");
        if number >= self.slot_of.len() {
            self.slot_of.resize(number + 1, None);
        }
        self.slot_of[number] = Some(slot);
        SourceKey { slot, generation }
    }

    /// Inlined, as is the next one: a request of HTTP looks nine times on the server's side, and as often on
    /// its client's, and they cost 160 instructions of 11,100 less so; a round of an echo 59 of 3,582.
    #[inline]
    pub(crate) fn get(&self, key: SourceKey) -> Option<&Source> {
        self.slots.get(key.slot as usize).filter(|source| source.generation == key.generation)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: SourceKey) -> Option<&mut Source> {
        self.slots.get_mut(key.slot as usize).filter(|source| source.generation == key.generation)
    }

    /// The registration of a bare descriptor number, if there is one.
    pub(crate) fn find(&self, fd: RawFd) -> Option<SourceKey> {
        let slot = (*self.slot_of.get(usize::try_from(fd).ok()?)?)?;
        let source = self.slots.get(slot as usize)?;
        Some(SourceKey { slot, generation: source.generation })
    }

    /// Takes the registration out; whoever still waits in it is forgotten.
    pub(crate) fn remove(&mut self, key: SourceKey) -> Option<Source> {
        self.get(key)?;
        let source = self.slots.remove(key.slot as usize);
        if let Some(entry) = self.slot_of.get_mut(source.fd as usize)
            && *entry == Some(key.slot)
        {
            *entry = None;
        }
        self.waiters -= source.waiting.iter().flatten().count();
        for direction in Direction::BOTH {
            let crowd = self.crowds.remove(&(key.slot, direction));
            self.waiters -= crowd.map_or(0, |crowd| crowd.len());
        }
        if self.slots.is_empty() && self.slots.capacity() > 1024 {
            // A burst of connections is over: give its memory back.
            self.slots = Slab::new();
        }
        Some(source)
    }

    /// Lets `owner` wait for `direction`.
    pub(crate) fn wait(
        &mut self,
        key: SourceKey,
        direction: Direction,
        owner: Owner,
        company: Company,
    ) -> Result<(), Busy> {
        let Some(source) = self.get_mut(key) else {
            return Ok(());
        };
        match source.waiting[direction as usize] {
            None => source.waiting[direction as usize] = Some(owner),
            Some(holder) if company == Company::Alone => return Err(Busy { holder }),
            Some(_) => {
                self.crowds.entry((key.slot, direction)).or_default().push_back(owner);
            }
        }
        self.waiters += 1;
        Ok(())
    }

    /// Takes `owner` out of the line; nothing happens if it does not stand in it.
    pub(crate) fn unwait(&mut self, key: SourceKey, direction: Direction, owner: Owner) {
        let Some(source) = self.get_mut(key) else {
            return;
        };
        let first = &mut source.waiting[direction as usize];
        let was_first = *first == Some(owner);
        if was_first {
            *first = None;
            self.waiters -= 1;
        }
        if self.crowds.is_empty() {
            return;
        }
        let Some(crowd) = self.crowds.get_mut(&(key.slot, direction)) else {
            return;
        };
        if was_first {
            self.slots[key.slot as usize].waiting[direction as usize] = crowd.pop_front();
        } else {
            let before = crowd.len();
            crowd.retain(|waiter| *waiter != owner);
            self.waiters -= before - crowd.len();
        }
        if crowd.is_empty() {
            self.crowds.remove(&(key.slot, direction));
        }
    }

    /// Who stands first in line.
    pub(crate) fn first(&self, key: SourceKey, direction: Direction) -> Option<Owner> {
        self.get(key)?.waiting[direction as usize]
    }

    /// Who stands second in line.
    #[inline]
    pub(crate) fn second(&self, key: SourceKey, direction: Direction) -> Option<Owner> {
        if self.crowds.is_empty() {
            return None;
        }
        self.get(key)?;
        self.crowds.get(&(key.slot, direction))?.front().copied()
    }

    /// Notes what the OS reported and names who was waiting for it: the first in line of a socket,
    /// everybody in that of a one-shot registration. They stay in line until they leave by
    /// [`unwait`](Self::unwait), so that nobody who comes later gets in before them.
    pub(crate) fn report(
        &mut self,
        key: SourceKey,
        readiness: Readiness,
        due: &mut impl FnMut(Owner),
    ) {
        let Some(source) = self.get_mut(key) else {
            self.stale_events += 1;
            return;
        };
        source.readiness.set(readiness);
        let (mode, waiting) = (source.mode, source.waiting);
        for direction in Direction::BOTH {
            let Some(owner) = waiting[direction as usize] else {
                continue;
            };
            if !readiness.intersects(direction.bit()) {
                continue;
            }
            due(owner);
            if mode == Mode::Oneshot
                && let Some(crowd) = self.crowds.get(&(key.slot, direction))
            {
                crowd.iter().copied().for_each(&mut *due);
            }
        }
    }

    /// The directions that somebody waits for.
    pub(crate) fn interest(&self, key: SourceKey) -> Readiness {
        let mut interest = Readiness::NONE;
        if let Some(source) = self.get(key) {
            for direction in Direction::BOTH {
                if source.waiting[direction as usize].is_some() {
                    interest.set(direction.bit());
                }
            }
        }
        interest
    }

    pub(crate) fn waiters(&self) -> usize {
        self.waiters
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroUsize;

    fn owner(n: usize) -> Owner {
        Owner(NonZeroUsize::new(n).unwrap())
    }

    fn report(sources: &mut Sources, key: SourceKey, readiness: Readiness) -> Vec<usize> {
        let mut due = Vec::new();
        sources.report(key, readiness, &mut |owner| due.push(owner.0.get()));
        due
    }

    /// FAULTS row 54, with the counter a few steps before its wrap.
    #[test]
    fn fault_54_a_stale_key_names_nothing_when_the_generation_wraps() {
        let mut sources = Sources::starting_at(SourceKey::GENERATIONS - 1);
        let mut stale = Vec::new();
        for _ in 0..5 {
            let key = sources.insert(7, Mode::Edge);
            assert!(sources.remove(key).is_some());
            stale.push(key);
        }
        let live = sources.insert(7, Mode::Edge);
        assert!(sources.wait(live, Direction::Read, owner(1), Company::Alone).is_ok());
        for key in stale {
            assert_ne!(key, live);
            assert_eq!(report(&mut sources, key, Readiness::READABLE), []);
            assert!(sources.remove(key).is_none());
        }
        assert_eq!(sources.stale_events, 5);
        assert_eq!(report(&mut sources, live, Readiness::READABLE), [1]);
        assert_eq!(SourceKey::from_usize(live.to_usize()), live);
        assert_ne!(live.to_usize(), usize::MAX);
    }

    #[test]
    fn a_second_waiter_is_refused_with_the_name_of_the_first() {
        let mut sources = Sources::new();
        let key = sources.insert(3, Mode::Edge);
        assert!(sources.wait(key, Direction::Read, owner(1), Company::Alone).is_ok());
        let busy = sources.wait(key, Direction::Read, owner(2), Company::Alone);
        assert_eq!(busy, Err(Busy { holder: owner(1) }));
        assert!(sources.wait(key, Direction::Write, owner(2), Company::Alone).is_ok());
        assert_eq!(report(&mut sources, key, Readiness::READABLE | Readiness::WRITABLE), [1, 2]);
        sources.unwait(key, Direction::Read, owner(1));
        sources.unwait(key, Direction::Write, owner(2));
        assert_eq!(sources.waiters(), 0);
    }

    #[test]
    fn a_crowd_is_served_one_an_event_first_in_first_out() {
        let mut sources = Sources::new();
        let key = sources.insert(3, Mode::Edge);
        for n in 1..=4 {
            assert!(sources.wait(key, Direction::Read, owner(n), Company::Queue).is_ok());
        }
        sources.unwait(key, Direction::Read, owner(3));
        assert_eq!(sources.waiters(), 3);
        assert_eq!(report(&mut sources, key, Readiness::READABLE), [1]);
        sources.unwait(key, Direction::Read, owner(1));
        assert_eq!(sources.first(key, Direction::Read), Some(owner(2)));
        sources.unwait(key, Direction::Read, owner(2));
        assert_eq!(report(&mut sources, key, Readiness::READABLE), [4]);
        sources.unwait(key, Direction::Read, owner(4));
        assert_eq!(report(&mut sources, key, Readiness::READABLE), []);
        assert_eq!(sources.waiters(), 0);
    }

    #[test]
    fn an_event_of_a_one_shot_registration_names_everybody_in_its_direction() {
        let mut sources = Sources::new();
        let key = sources.insert(3, Mode::Oneshot);
        for n in 1..=3 {
            assert!(sources.wait(key, Direction::Write, owner(n), Company::Queue).is_ok());
        }
        assert!(sources.wait(key, Direction::Read, owner(9), Company::Queue).is_ok());
        assert_eq!(report(&mut sources, key, Readiness::WRITABLE), [1, 2, 3]);
        assert_eq!(sources.waiters(), 4);
        assert!(sources.remove(key).is_some());
        assert_eq!(sources.waiters(), 0);
    }

    #[test]
    fn a_number_that_was_reused_is_found_under_its_new_registration() {
        let mut sources = Sources::new();
        let old = sources.insert(5, Mode::Edge);
        let new = sources.insert(5, Mode::Edge);
        assert!(sources.remove(old).is_some());
        assert_eq!(sources.find(5), Some(new));
        assert!(sources.remove(new).is_some());
        assert_eq!(sources.find(5), None);
        assert_eq!(sources.len(), 0);
    }
}
