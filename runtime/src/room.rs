//! How many events of descriptors a poll may bring while there is work.
//!
//! An event that is taken waits behind whoever is ready, and until its turn comes what the poll has touched of
//! its socket leaves the caches. In the kernel it waits as well, and nothing has been touched yet. So a poll
//! fills the ready queue up to a batch, and where it is longer than that, brings three for each four that have
//! run since the last one. Where an event makes one of them run, as in an echo, the queue becomes shorter so; that
//! saves a sixth of what an echo costs at 10,000 busy connections.
//!
//! Where green threads work for long before they let others run, nothing stays in the caches anyway, and few
//! run between two polls: there a poll brings a whole batch, lest those that wait for descriptors wait longer
//! than those that only yield. (Or another process had the core for a while, which cannot be told from that;
//! then the queue becomes shorter again.)

use evy_hub::BATCH;

/// Nanoseconds of a run, on average, up to which the caches may still hold what a poll has touched. An echo
/// takes 3,000 to 8,000, a small HTTP request about as many.
const QUICK: u64 = 20_000;

/// The room beside `ready` that are ready, where `ran` have run since the last turn of the hub and took so many
/// nanoseconds together.
pub(crate) fn room(ready: usize, ran: usize, took: u64) -> usize {
    if took > ran as u64 * QUICK {
        return BATCH;
    }
    (ran - ran / 4).max(BATCH.saturating_sub(ready)).min(BATCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_queue_is_filled_up_to_a_batch() {
        assert_eq!(room(0, 12, 50_000), BATCH);
        assert_eq!(room(40, 12, 50_000), BATCH - 40);
    }

    #[test]
    fn beside_a_long_queue_fewer_come_than_have_run() {
        assert_eq!(room(1_000, 12, 50_000), 9);
        assert_eq!(room(100_000, 256, 50_000), BATCH);
    }

    #[test]
    fn beside_those_that_work_for_long_a_whole_batch_comes() {
        assert_eq!(room(1_000, 1, 300_000), BATCH);
        assert_eq!(room(1_000, 0, 300_000), BATCH);
    }
}
