//! Deadlines: a hierarchical timing wheel on the hub's clock. It knows which deadline comes next
//! and whose it is; it reads no clock, waits for nothing and wakes nobody.
//!
//! A deadline is a number of nanoseconds, read as eleven digits of six bits. `elapsed` is the time
//! up to which everything has fired. A deadline lies at the level of the highest digit in which it
//! differs from `elapsed`, in the slot which that digit names:
//!
//! ```text
//!   bit       63  60 59   54        17   12 11    6 5     0
//!            ┌──────┬───────┬──   ─┬───────┬───────┬───────┐
//!   elapsed  │  0   │   0   │  …   │  17   │  40   │  63   │
//!   a        │  0   │   0   │  …   │  17   │  52   │   8   │  level 1, slot 52
//!   b        │  0   │   0   │  …   │  18   │   0   │   1   │  level 2, slot 18
//!            └──────┴───────┴──   ─┴───────┴───────┴───────┘
//!   level       10      9              2       1       0
//!
//!   slot 52 of level 1:   first ─▶ a ◀─▶ c ◀─▶ d ◀─ last     in order of insertion
//!   bitmap of level 1:    0…010000…0                         bit 52: the slot is not empty
//!   overdue:              first ─▶ e ◀─▶ f ◀─ last           inserted when already past
//! ```
//!
//! So whatever lies at a lower level comes earlier than whatever lies at a higher one, and at one
//! level a lower slot comes earlier. When `elapsed` enters a slot, the slot's timers are spread
//! over the levels below, from the first to the last. A slot of level 0 is one nanosecond.
//!
//! **Equal deadlines fire in order of insertion**, because the place of a deadline follows from
//! `elapsed` alone: at any moment, all timers of one deadline are in one list. A newer one is
//! appended there, and spreading keeps the order, since the levels below are empty at that time.
//!
//! Timers live in blocks of 1,024, so growth copies none of them, and a block in which nothing
//! lives goes back to the allocator.

use std::{
    cell::Cell,
    fmt,
    num::{NonZeroU32, NonZeroUsize},
    ops::{Index, IndexMut},
};

use crate::Owner;

/// Bits in the digit of one level.
const DIGIT_BITS: usize = 6;
/// Slots of one level.
const SLOTS: usize = 1 << DIGIT_BITS;
/// Levels needed for all 64 bits of a deadline.
const LEVELS: usize = 64usize.div_ceil(DIGIT_BITS);
/// The list after the last level's: timers that were past when they were inserted, or are now due.
const OVERDUE: usize = LEVELS * SLOTS;
/// A slot with more timers than this is not searched for its earliest one.
const SEARCH_MAX: u32 = 64;

/// Timers in one block.
const BLOCK_LEN: usize = 1024;
/// Bits of an index that say where in its block a timer is; the others name the block.
const BLOCK_BITS: u32 = BLOCK_LEN.trailing_zeros();
/// No timer, or no block.
const NIL: u32 = u32::MAX;

/// Names one deadline; stale once it has fired or was cancelled.
///
/// ```
/// # let mut hub = evy_hub::Hub::new()?;
/// # let owner = evy_hub::Owner(std::num::NonZeroUsize::MIN);
/// let key: evy_hub::TimerKey = hub.add_deadline(hub.clock().read(), owner);
/// hub.turn(false, &mut |_| ())?;
/// assert!(!hub.cancel_deadline(key));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerKey {
    /// Where the timer is.
    index: u32,
    /// Which of the timers that were there in turn; not zero, so that `Option<TimerKey>` is 8 bytes.
    generation: NonZeroU32,
}

/// All deadlines of one hub, soonest first.
///
/// Times are nanoseconds on a clock that never goes back; where it starts does not matter.
pub(crate) struct Timers {
    /// Everything up to this time has fired, except for what is in the list of overdue timers.
    elapsed: u64,
    /// How many timers wait.
    len: usize,
    /// The earliest deadline if it is known; looked for again after that one has gone.
    nearest: Cell<Option<u64>>,
    /// The generation of the newest timer, counted over the whole wheel, so that a key stays stale
    /// when the memory of its timer has been freed and allocated anew.
    generation: NonZeroU32,
    /// One bitmap a level, and one for the overdue: bit `i` is set while slot `i` is not empty.
    occupied: [u64; LEVELS + 1],
    /// The slots of all levels, level 0 first, then the overdue.
    slots: Box<[List; OVERDUE + 1]>,
    /// The timers themselves.
    nodes: Nodes,
}

impl Timers {
    /// Returns an empty wheel whose clock stands at `now`.
    pub(crate) fn new(now: u64) -> Self {
        Self {
            elapsed: now,
            len: 0,
            nearest: Cell::new(None),
            generation: NonZeroU32::MIN,
            occupied: [0; LEVELS + 1],
            slots: Box::new([List::EMPTY; OVERDUE + 1]),
            nodes: Nodes::new(),
        }
    }

    /// Sets a deadline; a past one fires at the next [`advance`](Self::advance).
    #[inline]
    pub(crate) fn insert(&mut self, deadline: u64, owner: Owner) -> TimerKey {
        self.generation = self.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        let index = self.nodes.allocate();
        let node = &mut self.nodes[index];
        node.generation = Some(self.generation);
        node.deadline = deadline;
        node.owner = owner;
        self.append(index, deadline);
        self.len += 1;
        if self.nearest.get().is_some_and(|nearest| deadline < nearest) {
            self.nearest.set(Some(deadline));
        }
        TimerKey { index, generation: self.generation }
    }

    /// Takes a deadline away; false if it has already fired or was cancelled before.
    #[inline]
    pub(crate) fn cancel(&mut self, key: TimerKey) -> bool {
        let Some(node) = self.nodes.get(key.index) else { return false };
        if node.generation != Some(key.generation) {
            return false;
        }
        if self.nearest.get() == Some(node.deadline) {
            self.nearest.set(None);
        }
        self.remove(key.index);
        true
    }

    /// Returns the time to wait for, `None` if no timer waits.
    ///
    /// It is the earliest deadline, or a time before it where more than 64 timers share the slot
    /// that comes next: then [`advance`](Self::advance) at that time fires nothing, and makes the
    /// next answer a closer one.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        if self.nearest.get().is_none() {
            let slot = self.first_slot()?;
            if self.slots[slot].len > SEARCH_MAX {
                return Some(self.start_of(slot));
            }
            self.nearest.set(Some(self.earliest_in(slot)));
        }
        self.nearest.get()
    }

    /// Moves the clock to `now` and hands over the owner of each deadline up to then: in order of
    /// the deadlines, equal ones in order of insertion. A time before the last one counts as the
    /// last one.
    ///
    /// If `due` panics, its timer counts as fired, and the rest fire at the next call.
    pub(crate) fn advance(&mut self, now: u64, due: &mut impl FnMut(Owner)) {
        let now = now.max(self.elapsed);
        if self.nearest.get().is_some_and(|nearest| nearest <= now) {
            self.nearest.set(None);
        }
        self.sort_overdue();
        self.fire_overdue(due);
        while let Some(slot) = self.first_slot()
            && self.start_of(slot) <= now
        {
            // Up to the slot's earliest deadline nothing else lies in between: a few timers far
            // away are reached in one step, not in one a level.
            self.elapsed = self.earliest_in(slot).min(now);
            self.spread(slot);
            self.fire_overdue(due);
        }
        self.elapsed = now;
    }

    /// Returns how many timers wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The list in which a timer of this deadline lies while the clock stands at `elapsed`.
    fn slot_of(&self, deadline: u64) -> usize {
        if deadline <= self.elapsed {
            return OVERDUE;
        }
        let level = (deadline ^ self.elapsed).ilog2() as usize / DIGIT_BITS;
        let digit = (deadline >> (level * DIGIT_BITS)) as usize % SLOTS;
        level * SLOTS + digit
    }

    /// The first time at which a timer in this slot can be due.
    fn start_of(&self, slot: usize) -> u64 {
        if slot == OVERDUE {
            return 0;
        }
        let shift = slot / SLOTS * DIGIT_BITS;
        let digits_above = (self.elapsed >> shift) & !(SLOTS as u64 - 1);
        (digits_above | (slot % SLOTS) as u64) << shift
    }

    /// The slot in which the earliest deadline is.
    fn first_slot(&self) -> Option<usize> {
        if self.slots[OVERDUE].len > 0 {
            return Some(OVERDUE);
        }
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        Some(level * SLOTS + self.occupied[level].trailing_zeros() as usize)
    }

    /// The earliest deadline in a slot, or the slot's start if that takes too long to find.
    fn earliest_in(&self, slot: usize) -> u64 {
        let List { first, len, .. } = self.slots[slot];
        if len > SEARCH_MAX {
            return self.start_of(slot);
        }
        let deadlines = self.nodes.follow(first).map(|index| self.nodes[index].deadline);
        deadlines.min().unwrap_or(u64::MAX)
    }

    /// Appends a timer to the list where its deadline belongs.
    #[inline]
    fn append(&mut self, index: u32, deadline: u64) {
        let slot = self.slot_of(deadline);
        let list = &mut self.slots[slot];
        let last = std::mem::replace(&mut list.last, index);
        list.len += 1;
        if last == NIL {
            list.first = index;
            self.occupied[slot / SLOTS] |= 1 << (slot % SLOTS);
        } else {
            self.nodes[last].next = index;
        }
        let node = &mut self.nodes[index];
        node.previous = last;
        node.next = NIL;
    }

    /// Unlinks a timer, frees its node and tells its owner.
    #[inline]
    fn remove(&mut self, index: u32) -> Owner {
        let Node { deadline, owner, previous, next, .. } = self.nodes[index];
        let slot = self.slot_of(deadline);
        let list = &mut self.slots[slot];
        list.len -= 1;
        match previous {
            NIL => list.first = next,
            _ => self.nodes[previous].next = next,
        }
        match next {
            NIL => list.last = previous,
            _ => self.nodes[next].previous = previous,
        }
        if list.len == 0 {
            self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
        }
        self.len -= 1;
        self.nodes.free(index);
        owner
    }

    /// Puts the timers of a slot that `elapsed` has entered where they belong now.
    fn spread(&mut self, slot: usize) {
        self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
        let mut index = std::mem::replace(&mut self.slots[slot], List::EMPTY).first;
        while index != NIL {
            let Node { deadline, next, .. } = self.nodes[index];
            self.append(index, deadline);
            index = next;
        }
    }

    /// Fires the overdue timers, first to last.
    fn fire_overdue(&mut self, due: &mut impl FnMut(Owner)) {
        while self.slots[OVERDUE].first != NIL {
            // Removed before the call, which may unwind.
            let owner = self.remove(self.slots[OVERDUE].first);
            due(owner);
        }
    }

    /// Orders timers that were inserted when already past; only these can be out of order.
    fn sort_overdue(&mut self) {
        if self.slots[OVERDUE].len < 2 {
            return;
        }
        let mut order: Vec<u32> = self.nodes.follow(self.slots[OVERDUE].first).collect();
        order.sort_by_key(|&index| self.nodes[index].deadline);
        self.slots[OVERDUE] = List::EMPTY;
        for index in order {
            self.append(index, self.nodes[index].deadline);
        }
    }
}

/// The whole wheel would be pages long.
impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers")
            .field("elapsed", &self.elapsed)
            .field("len", &self.len)
            .field("next_deadline", &self.next_deadline())
            .finish_non_exhaustive()
    }
}

/// The timers of one slot, in order of insertion.
#[derive(Clone, Copy)]
struct List {
    /// The oldest timer; [`NIL`] if there is none.
    first: u32,
    /// The newest timer; [`NIL`] if there is none.
    last: u32,
    /// How many timers there are.
    len: u32,
}

impl List {
    const EMPTY: Self = Self { first: NIL, last: NIL, len: 0 };
}

/// One timer, or a free place for one; aligned so that none lies in two cache lines.
#[derive(Clone, Copy)]
#[repr(align(32))]
struct Node {
    /// When it fires.
    deadline: u64,
    /// Whom it is for.
    owner: Owner,
    /// The timer before it in its slot.
    previous: u32,
    /// The timer after it in its slot; of a free node, the next free one of its block.
    next: u32,
    /// Which timer it is; `None` while the node is free.
    generation: Option<NonZeroU32>,
}

impl Node {
    const FREE: Self = Self {
        deadline: 0,
        owner: Owner(NonZeroUsize::MIN),
        previous: NIL,
        next: NIL,
        generation: None,
    };
}

/// The memory of the timers.
///
/// A block is among those with room, or full and in no list, or among those without memory, of
/// which only the number remains. One empty block at most is among those with room: the spare one,
/// kept so that a loop at the edge of a block does not allocate each time.
struct Nodes {
    /// All blocks there have ever been; a node's index is its block's number and its place in it.
    blocks: Vec<Block>,
    /// The first of the blocks with free nodes, linked both ways.
    with_room: u32,
    /// Whether one of these is empty.
    has_spare: bool,
    /// The first of the blocks without memory, linked by `next`.
    without_memory: u32,
}

/// What is known of one block of nodes.
struct Block {
    /// [`BLOCK_LEN`] nodes, or none when the memory was given back.
    nodes: Box<[Node]>,
    /// The first free node, by its index; [`NIL`] if the block is full.
    free: u32,
    /// How many nodes are in use.
    live: u32,
    /// The block before it in the list of those with room.
    previous: u32,
    /// The block after it in the list it is in.
    next: u32,
}

impl Nodes {
    fn new() -> Self {
        Self { blocks: Vec::new(), with_room: NIL, has_spare: false, without_memory: NIL }
    }

    /// The node at this index, live or free; `None` when its block has no memory.
    fn get(&self, index: u32) -> Option<&Node> {
        self.blocks.get(block_of(index))?.nodes.get(place_of(index))
    }

    /// The indices of a list of nodes, from `first` on.
    fn follow(&self, first: u32) -> impl Iterator<Item = u32> {
        let some = |index: u32| (index != NIL).then_some(index);
        std::iter::successors(some(first), move |&index| some(self[index].next))
    }

    /// Takes a free node; its fields are to be filled in.
    #[inline]
    fn allocate(&mut self) -> u32 {
        if self.with_room == NIL {
            self.add_block();
        }
        let number = self.with_room;
        let block = &mut self.blocks[number as usize];
        let index = block.free;
        block.free = block.nodes[place_of(index)].next;
        if block.live == 0 {
            self.has_spare = false;
        }
        block.live += 1;
        if block.free == NIL {
            self.unlink(number);
        }
        index
    }

    /// Gives a node back, and its block's memory if nothing else lives there.
    #[inline]
    fn free(&mut self, index: u32) {
        let number = index >> BLOCK_BITS;
        let block = &mut self.blocks[number as usize];
        let was_full = block.free == NIL;
        let node = &mut block.nodes[place_of(index)];
        node.generation = None;
        node.next = block.free;
        block.free = index;
        block.live -= 1;
        let is_empty = block.live == 0;
        if was_full {
            self.link(number);
        }
        if is_empty && self.has_spare {
            self.drop_block(number);
        } else if is_empty {
            self.has_spare = true;
        }
    }

    /// Allocates the memory of a block, new or emptied before; it is the spare one now.
    #[cold]
    fn add_block(&mut self) {
        if self.without_memory == NIL {
            self.without_memory = self.blocks.len() as u32;
            // The last number is left out: its last index would be `NIL`.
            assert!(self.without_memory < NIL >> BLOCK_BITS, "more than 4 billion timers");
            self.blocks.push(Block {
                nodes: [].into(),
                free: NIL,
                live: 0,
                previous: NIL,
                next: NIL,
            });
        }
        let number = self.without_memory;
        let block = &mut self.blocks[number as usize];
        self.without_memory = block.next;
        block.nodes = vec![Node::FREE; BLOCK_LEN].into();
        block.free = number << BLOCK_BITS;
        for (node, next) in block.nodes.iter_mut().zip(block.free + 1..) {
            node.next = next;
        }
        block.nodes[BLOCK_LEN - 1].next = NIL;
        self.has_spare = true;
        self.link(number);
    }

    /// Gives the memory of an empty block back to the allocator.
    #[cold]
    fn drop_block(&mut self, number: u32) {
        self.unlink(number);
        let block = &mut self.blocks[number as usize];
        block.nodes = [].into();
        block.next = std::mem::replace(&mut self.without_memory, number);
    }

    /// Puts a block first among those with room.
    fn link(&mut self, number: u32) {
        let next = std::mem::replace(&mut self.with_room, number);
        let block = &mut self.blocks[number as usize];
        block.previous = NIL;
        block.next = next;
        if next != NIL {
            self.blocks[next as usize].previous = number;
        }
    }

    /// Takes a block from among those with room.
    fn unlink(&mut self, number: u32) {
        let Block { previous, next, .. } = self.blocks[number as usize];
        match previous {
            NIL => self.with_room = next,
            _ => self.blocks[previous as usize].next = next,
        }
        if next != NIL {
            self.blocks[next as usize].previous = previous;
        }
    }
}

impl Index<u32> for Nodes {
    type Output = Node;

    fn index(&self, index: u32) -> &Node {
        &self.blocks[block_of(index)].nodes[place_of(index)]
    }
}

impl IndexMut<u32> for Nodes {
    fn index_mut(&mut self, index: u32) -> &mut Node {
        &mut self.blocks[block_of(index)].nodes[place_of(index)]
    }
}

/// The number of the block in which a node is.
fn block_of(index: u32) -> usize {
    (index >> BLOCK_BITS) as usize
}

/// The place of a node in its block.
fn place_of(index: u32) -> usize {
    index as usize % BLOCK_LEN
}

#[cfg(test)]
mod tests;
