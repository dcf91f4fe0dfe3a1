//! The job, as it lies in Redis: a stream with a consumer group, and the records.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::time::{Duration, Instant};

use evy::patched::redis::streams::{StreamReadOptions, StreamReadReply};
use evy::patched::redis::{
    Commands, Connection, FromRedisValue, Pool, RedisError, RedisResult, Script, ScriptInvocation,
};

use super::{Arguments, note};

/// The consumer group.
const GROUP: &str = "crawlers";

/// The consumer with which is pending what one that has ended had.
pub(crate) const NOBODY: &str = "nobody";

/// Connections to Redis of one process.
const CONNECTIONS: usize = 8;

/// How long Redis may take to connect and answer before it counts as away.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Between two attempts to reach a Redis that is away.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// A URL in the stream.
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) url: String,
    /// 1 for the first.
    pub(crate) attempt: usize,
}

/// What a round has given.
pub(crate) struct Round {
    /// The ids of those that are no longer ours.
    pub(crate) lost: Vec<String>,
    /// Entries that are ours now, each with who had it.
    pub(crate) claimed: Vec<(Entry, String)>,
}

/// The job, as it lies in Redis.
pub(crate) struct Job {
    pool: Pool,
    /// Where Redis is, for people.
    address: String,
    urls: String,
    records: String,
    finished: String,
    /// The consumer that this process is.
    me: String,
    lease: Duration,
    keep: usize,
    patience: Duration,
    /// When the last round was, 0 before the first one; and before when nothing is to be claimed from
    /// others, by the clock of Redis.
    rounds: Cell<(i64, i64)>,
    /// Since when Redis has been away.
    away: Cell<Option<Instant>>,
}

impl Job {
    /// Makes the stream and its group, if they are not there. Here, Redis is not waited for.
    pub(crate) fn open(arguments: &Arguments) -> RedisResult<Self> {
        let client = &arguments.redis;
        let name = &arguments.job;
        let job = Self {
            pool: client.pool_builder(ANSWER_LIMIT).max(CONNECTIONS).build()?,
            address: client.get_connection_info().addr().to_string(),
            // The braces keep the keys together in a cluster.
            urls: format!("{{{name}}}:urls"),
            records: format!("{{{name}}}:records"),
            finished: format!("{{{name}}}:finished"),
            // No two processes have the same, on whatever machines.
            me: format!(
                "{}-{:016x}",
                std::process::id(),
                RandomState::new().build_hasher().finish()
            ),
            lease: arguments.claim_after,
            keep: arguments.keep.get(),
            patience: arguments.patience,
            rounds: Cell::new((0, 0)),
            away: Cell::new(None),
        };
        let created: RedisResult<()> =
            job.ask_once(&|redis| redis.xgroup_create_mkstream(&job.urls, GROUP, 0));
        match created {
            Err(error) if error.code() != Some("BUSYGROUP") => Err(error),
            _ => Ok(job),
        }
    }

    /// The name of this process in the group.
    pub(crate) fn me(&self) -> &str {
        &self.me
    }

    /// How long an entry is left alone that nobody renews.
    pub(crate) fn lease(&self) -> Duration {
        self.lease
    }

    /// Adds those that are not known, and returns how many.
    pub(crate) fn add(&self, urls: &[String]) -> RedisResult<usize> {
        self.run(ADD, |script| {
            script.arg(urls);
        })
    }

    /// New entries, at most so many, for which it waits for so long.
    pub(crate) fn take(&self, count: usize, limit: Duration) -> RedisResult<Vec<Entry>> {
        // 0 would be for ever.
        let limit = (limit.as_millis() as usize).max(1);
        let options = StreamReadOptions::default().group(GROUP, &self.me).count(count).block(limit);
        let reply: Option<StreamReadReply> =
            self.ask(|redis| redis.xread_options(&[&self.urls], &[">"], &options))?;
        let ids = reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids);
        Ok(ids
            .map(|id| Entry { url: id.get("url").unwrap_or_default(), id: id.id, attempt: 1 })
            .collect())
    }

    /// Makes these entries, which are ours, as if they had just been taken; and claims at most so many that
    /// nobody has renewed for so long.
    pub(crate) fn round(&self, ids: &[String], room: usize) -> RedisResult<Round> {
        let (last, claim_from) = self.rounds.get();
        let (last, claim_from, lost, claimed): (i64, i64, _, Vec<(_, _, _, _)>) =
            self.run(ROUND, |script| {
                script.arg(&self.me).arg(NOBODY).arg(self.lease_in_ms()).arg(room);
                script.arg(last).arg(claim_from).arg(ids);
            })?;
        self.rounds.set((last, claim_from));
        let entry = |(id, url, attempt, owner)| (Entry { id, url, attempt }, owner);
        Ok(Round { lost, claimed: claimed.into_iter().map(entry).collect() })
    }

    /// Records what came of a URL and ends the work on it. Returns whether this result is the one that
    /// counts.
    pub(crate) fn complete(&self, entry: &Entry, outcome: &str) -> RedisResult<bool> {
        // The name makes it ours also if the first answer is lost and this is asked again.
        let record = format!("{outcome}, attempt {}, by {}", entry.attempt, self.me);
        let recorded: Option<String> = self.run(COMPLETE, |script| {
            script.arg(&entry.id).arg(&entry.url).arg(&record).arg(self.keep);
        })?;
        Ok(recorded.as_ref() == Some(&record))
    }

    /// Whether every URL is completed.
    pub(crate) fn is_done(&self) -> RedisResult<bool> {
        let left: usize = self.ask(|redis| redis.xlen(&self.urls))?;
        Ok(left == 0)
    }

    /// Takes this process out of the group. What is still pending with it can be claimed at once.
    pub(crate) fn leave(&self) -> RedisResult<()> {
        self.run(LEAVE, |script| {
            script.arg(&self.me).arg(NOBODY).arg(self.lease_in_ms());
        })
    }

    fn lease_in_ms(&self) -> u64 {
        self.lease.as_millis() as u64
    }

    /// Runs a script with all keys, the group, and what `add` adds.
    fn run<T: FromRedisValue>(
        &self,
        script: &str,
        add: impl FnOnce(&mut ScriptInvocation<'_>),
    ) -> RedisResult<T> {
        let script = Script::new(script);
        let mut invocation = script.prepare_invoke();
        invocation.key(&self.urls).key(&self.records).key(&self.finished).arg(GROUP);
        add(&mut invocation);
        self.ask(|redis| invocation.invoke(redis))
    }

    /// Asks until there is an answer, or Redis has been away for too long.
    ///
    /// What is asked may have been done although no answer came: all of it bears to be done twice.
    fn ask<T>(&self, call: impl Fn(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        loop {
            match self.ask_once(&call) {
                Err(error) if is_passing(&error) => self.wait_for_redis(error)?,
                result => {
                    self.has_answered();
                    return result;
                }
            }
        }
    }

    fn ask_once<T>(&self, call: &impl Fn(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        evy::timeout(ANSWER_LIMIT, || call(&mut *self.pool.get()?))
            .unwrap_or_else(|elapsed| Err(io::Error::from(elapsed).into()))
    }

    fn wait_for_redis(&self, error: RedisError) -> RedisResult<()> {
        let since = self.away.get().unwrap_or_else(|| {
            note(format_args!("redis at {}: {error}; waiting for it", self.address));
            let now = Instant::now();
            self.away.set(Some(now));
            now
        });
        if since.elapsed() > self.patience {
            return Err(error);
        }
        evy::sleep(RETRY_AFTER);
        Ok(())
    }

    fn has_answered(&self) {
        if let Some(since) = self.away.take() {
            note(format_args!("redis is back after {:.1?}", since.elapsed()));
        }
    }
}

/// Whether it may be another answer if Redis is asked again.
fn is_passing(error: &RedisError) -> bool {
    let lost = error.is_io_error() || error.is_timeout() || error.is_connection_dropped();
    let full = error.detail().is_some_and(|text| text.contains("max number of clients"));
    lost || full || error.code().is_some_and(|code| PASSING.contains(&code))
}

/// Redis is loading its data, has no memory or disk, is busy with a script, or is changing its role; or the
/// stream is gone, and the next answer says so.
const PASSING: [&str; 10] = [
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "UNBLOCKED",
];

// The scripts. Each is one step for Redis: nobody sees or does anything in between.
//
// KEYS: the stream, the records, the list of what is finished. ARGV[1] is the group.

/// ARGV: URLs. Returns how many were new.
const ADD: &str = r"
local added = 0
for i = 2, #ARGV do
    if redis.call('HSETNX', KEYS[2], ARGV[i], '') == 1 then
        redis.call('XADD', KEYS[1], '*', 'url', ARGV[i])
        added = added + 1
    end
end
return added
";

/// ARGV: consumer, the one that stands for nobody, lease, how many to claim, when the last round was, before
/// when not to claim, ids. Returns the new two times; the ids that are not pending with this consumer; id,
/// URL, attempt and former consumer of what it has claimed, which XAUTOCLAIM would not say. All times are in
/// milliseconds.
///
/// Where half a lease lies between two rounds, nothing is claimed for a whole one but what nobody has: Redis
/// was away or stood still, its clock went on, and what the living have under way looks as if it were left
/// behind. They renew it first. A process that has just started cannot tell, and waits as well. That clock
/// decides, so that a call which was on its way then does not claim either. Where somebody sets it back,
/// nothing is claimed until it is where it was; nothing is lost by that.
///
/// Consumers that have had nothing for long are deleted: they are dead, or come again by themselves.
const ROUND: &str = r"
local me, nobody, lease, room = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local last, claim_from = tonumber(ARGV[6]), tonumber(ARGV[7])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now - last > lease / 2 then
    claim_from = now + lease
end

local lost = {}
for i = 8, #ARGV do
    local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)[1]
    if pending and pending[2] == me then
        redis.call('XCLAIM', KEYS[1], ARGV[1], me, 0, ARGV[i], 'JUSTID')
    else
        table.insert(lost, ARGV[i])
    end
end

local claimed = {}
if room == 0 then
    return {now, claim_from, lost, claimed}
end
local left_behind = {'XPENDING', KEYS[1], ARGV[1], 'IDLE', lease, '-', '+', room}
if now < claim_from then
    table.insert(left_behind, nobody)
end
for _, pending in ipairs(redis.call(unpack(left_behind))) do
    local id, owner, deliveries = pending[1], pending[2], pending[4]
    local entry = redis.call('XCLAIM', KEYS[1], ARGV[1], me, lease, id)[1]
    if entry then
        table.insert(claimed, {id, entry[2][2], deliveries + 1, owner})
    else
        redis.call('XACK', KEYS[1], ARGV[1], id) -- Somebody has deleted it by hand.
    end
end
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local name, pending, idle = consumer[2], consumer[4], consumer[6]
    if now >= claim_from and pending == 0 and idle > 10 * lease then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], name)
    end
end
return {now, claim_from, lost, claimed}
";

/// ARGV: id, URL, record, how many records to keep. Returns the record that there is now.
///
/// XACK gives 1 to the first who comes, whoever has claimed the entry meanwhile, and 0 to all others.
const COMPLETE: &str = r"
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 1 then
    redis.call('XDEL', KEYS[1], ARGV[2])
    redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
    redis.call('RPUSH', KEYS[3], ARGV[3])
    while redis.call('LLEN', KEYS[3]) > tonumber(ARGV[5]) do
        redis.call('HDEL', KEYS[2], redis.call('LPOP', KEYS[3]))
    end
end
return redis.call('HGET', KEYS[2], ARGV[3])
";

/// ARGV: consumer, the one that stands for nobody, milliseconds.
///
/// Some wait for their next attempt, and Redis may have handed out others in an answer that was lost. With
/// the consumer all of them would be deleted.
const LEAVE: &str = r"
for _, pending in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1000000, ARGV[2])) do
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, pending[1], 'IDLE', ARGV[4], 'JUSTID')
end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
";
