//! The answers: looked for, kept, and given again until their time is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::cache::Came;
use domain::ports::{BoxFuture, Clock};
use domain::time::Moment;
use moka::Expiry;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::alike::{Alike, Question};
use crate::config::Config;
use crate::flight::{Flights, Leader, Part, State, landing};
use crate::key::Key;

/// Bytes that an entry takes beside its answer: its key, its place in the tables.
const ENTRY_BYTES: u32 = 256;

/// An answer in its place.
#[derive(Debug, Clone)]
struct Entry<V> {
    value: V,
    bytes: u32,
    kept: Moment,
    ttl: Duration,
}

/// An answer that is given again.
#[derive(Debug, Clone)]
pub struct Given<V> {
    /// It.
    pub value: V,
    /// Whether the question was the same or like it.
    pub came: Came,
    /// How long ago it was kept.
    pub age: Duration,
}

/// How an answer is kept.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// Its size.
    pub bytes: usize,
    /// How long it is given again.
    pub ttl: Duration,
    /// What was asked, where questions like it may get the answer.
    pub question: Option<Question>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// What came of looking, since the start, in the order of [`Came::ALL`].
    pub came: [u64; 4],
    /// Answers that are kept.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Requests that waited for another one's answer, since the start.
    pub waited: u64,
}

/// Answers of any kind. Cheap to share.
pub struct Answers<V> {
    clock: Arc<dyn Clock>,
    entries: Cache<Key, Entry<V>>,
    flights: Arc<Flights>,
    alike: Alike,
    entry_bytes_max: u32,
    came: [AtomicU64; 4],
    waited: AtomicU64,
}

/// What looking came to.
pub enum Looked<V> {
    /// This is given again.
    Given(Given<V>),
    /// Whoever gets this asks, and keeps the answer, or says that there is none for others.
    Lead(Lead<V>),
    /// Ask: who was waited for came to nothing, or took too long.
    Alone,
}

/// Drops what is over on moka's own clock, too, so that it does not lie about in memory.
struct Ttl;

impl<V> Expiry<Key, Entry<V>> for Ttl {
    fn expire_after_create(&self, _: &Key, entry: &Entry<V>, _: Instant) -> Option<Duration> {
        Some(entry.ttl)
    }

    fn expire_after_update(
        &self,
        _: &Key,
        entry: &Entry<V>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.ttl)
    }
}

impl<V: Clone + Send + Sync + 'static> Answers<V> {
    /// None yet, as many as `config` allows.
    #[must_use]
    pub fn new(config: &Config, clock: Arc<dyn Clock>) -> Arc<Self> {
        // An entry weighs its bytes, and never less than its share of all: one limit bounds both bytes and entries.
        let weight_min = u32::try_from(config.bytes_max.div_ceil(config.entries_max)).unwrap_or(u32::MAX);
        let entries = Cache::builder()
            .max_capacity(config.bytes_max)
            .weigher(move |_, entry: &Entry<V>| entry.bytes.max(weight_min))
            .expire_after(Ttl)
            // What was just kept is waited for: it is never what makes room.
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Arc::new(Self {
            clock,
            entries,
            flights: Arc::default(),
            alike: Alike::new(config.questions_max),
            entry_bytes_max: config.entry_bytes_max,
            came: Default::default(),
            waited: AtomicU64::new(0),
        })
    }

    /// The answer kept under `key`.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Given<V>> {
        let entry = self.entries.get(key)?;
        let age = self.clock.now().since(entry.kept);
        if age >= entry.ttl {
            self.entries.invalidate(key);
            return None;
        }
        Some(Given { value: entry.value, came: Came::Hit, age })
    }

    /// The answer kept under `key`, or to a question like `question` that `holds` says fits, or leave to ask. Who finds
    /// another one asking the same waits for its answer, as long as `patience` does.
    pub async fn look(self: &Arc<Self>, shelf: Shelf<'_, V>, mut patience: BoxFuture<'_, ()>) -> Looked<V> {
        let Shelf { key, question, holds } = shelf;
        loop {
            if let Some(given) = self.get(&key) {
                return Looked::Given(given);
            }
            if let Some(given) = question.and_then(|question| self.like(question, holds)) {
                return Looked::Given(given);
            }
            let state = match self.flights.join(key) {
                Part::Leader(leader) => {
                    // Whoever led before may have landed between the look and the join.
                    return match self.get(&key) {
                        Some(given) => {
                            leader.end(State::Landed);
                            Looked::Given(given)
                        }
                        None => Looked::Lead(Lead { answers: Arc::clone(self), key, leader: Some(leader) }),
                    };
                }
                Part::Follower(state) => state,
            };
            self.waited.fetch_add(1, Ordering::Relaxed);
            let state = tokio::select! {
                biased;
                state = landing(state) => state,
                () = &mut patience => return Looked::Alone,
            };
            match state {
                State::Landed => match self.get(&key) {
                    Some(given) => return Looked::Given(given),
                    None => return Looked::Alone,
                },
                State::Scattered => return Looked::Alone,
                State::Abandoned | State::Open => {}
            }
        }
    }

    /// Leave to ask and to keep the answer, whatever is kept now; nobody waits for it.
    #[must_use]
    pub fn renew(self: &Arc<Self>, key: Key) -> Lead<V> {
        Lead { answers: Arc::clone(self), key, leader: None }
    }

    /// The answer to the question most like `question`.
    fn like(&self, question: &Question, holds: &dyn Fn(&V) -> bool) -> Option<Given<V>> {
        for key in self.alike.find(question) {
            match self.get(&key) {
                Some(given) if holds(&given.value) => return Some(Given { came: Came::Semantic, ..given }),
                Some(_) => {}
                None => self.alike.forget(&key),
            }
        }
        None
    }

    fn keep(&self, key: Key, value: V, keeping: Keeping) -> State {
        let bytes = u32::try_from(keeping.bytes).unwrap_or(u32::MAX);
        if bytes > self.entry_bytes_max || keeping.ttl.is_zero() {
            return State::Scattered;
        }
        let (kept, ttl) = (self.clock.now(), keeping.ttl);
        self.entries.insert(key, Entry { value, bytes: bytes.saturating_add(ENTRY_BYTES), kept, ttl });
        if let Some(question) = keeping.question {
            self.alike.put(key, question);
        }
        State::Landed
    }

    /// Bytes of the largest answer that is kept.
    #[must_use]
    pub fn entry_bytes_max(&self) -> usize {
        usize::try_from(self.entry_bytes_max).unwrap_or(usize::MAX)
    }

    /// Counts what came of a look.
    pub fn count(&self, came: Came) {
        if let Some(count) = Came::ALL.iter().position(|one| *one == came).and_then(|n| self.came.get(n)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What is counted.
    #[must_use]
    pub fn read(&self) -> Reading {
        self.entries.run_pending_tasks();
        Reading {
            came: std::array::from_fn(|n| self.came.get(n).map_or(0, |count| count.load(Ordering::Relaxed))),
            entries: self.entries.entry_count(),
            bytes: self.entries.iter().map(|(_, entry)| u64::from(entry.bytes)).sum(),
            waited: self.waited.load(Ordering::Relaxed),
        }
    }
}

/// Where an answer may be.
pub struct Shelf<'a, V> {
    /// Its key.
    pub key: Key,
    /// What is asked, where the answer to a question like it will do.
    pub question: Option<&'a Question>,
    /// Whether the answer to a question like it holds for this one, too.
    pub holds: &'a (dyn Fn(&V) -> bool + Sync),
}

/// Leave to ask for all who ask the same. Dropped, one of those who wait takes its place.
pub struct Lead<V> {
    answers: Arc<Answers<V>>,
    key: Key,
    leader: Option<Leader>,
}

impl<V: Clone + Send + Sync + 'static> Lead<V> {
    /// The answer, for all who wait and whoever asks from now on. One that is too large is for its own caller alone.
    pub fn keep(mut self, value: V, keeping: Keeping) {
        let state = self.answers.keep(self.key, value, keeping);
        self.end(state);
    }

    /// What came is for its own caller alone.
    pub fn give_up(mut self) {
        self.end(State::Scattered);
    }

    fn end(&mut self, state: State) {
        if let Some(leader) = self.leader.take() {
            leader.end(state);
        }
    }
}

#[cfg(test)]
mod tests;
