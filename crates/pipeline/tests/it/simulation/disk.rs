//! A disk in simulated time: what is not synced is gone when the power goes.
//!
//! Reading order: this file (the disk), [`store`] (what stands on it).

mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::feedback::Feedback;
use domain::id::SessionId;
use domain::interaction::FinishedTurn;
use domain::ports::{BreakerEntry, Clock, StoreError};
use domain::time::Moment;
use parking_lot::Mutex;
use testkit::SeededRng;
use tokio_util::task::TaskTracker;

use super::bugs::Bug;
use super::options::{DiskMood, Restart};
use super::world::{Chance, World};

pub(crate) use store::Store;

/// How a disk was over some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskWas {
    Well,
    /// Not well at some point of it.
    Ill,
}

/// One row.
#[derive(Debug, Clone)]
enum Row {
    Turn(Arc<FinishedTurn>),
    Feedback(Feedback),
    Breaker(BreakerEntry),
}

/// What survives a restart.
pub(crate) struct Disk {
    world: Arc<World>,
    rng: SeededRng,
    /// Writes under way, as if by the store's own thread.
    writing: TaskTracker,
    state: Mutex<State>,
}

struct State {
    mood: DiskMood,
    /// When it was last not well.
    ill_until: Option<Moment>,
    synced: Synced,
    /// Written, but only in memory; by the number of the write.
    unsynced: BTreeMap<u64, Row>,
    n_writes: u64,
    /// When the writes under way will all be done: they are done in their order.
    busy_until: Moment,
    /// Counts ends of processes: what one of them still wanted to write is never written.
    n_ends: u64,
}

/// What is on the platter.
#[derive(Default)]
struct Synced {
    /// By the id of the interaction; more than one is a mistake.
    turns: BTreeMap<String, Vec<Arc<FinishedTurn>>>,
    sessions: BTreeMap<String, Vec<Arc<FinishedTurn>>>,
    /// How often each piece is there.
    feedback: BTreeMap<String, usize>,
    breakers: BTreeMap<String, BreakerEntry>,
}

impl Synced {
    fn push(&mut self, row: Row) {
        match row {
            Row::Turn(turn) => {
                if let Some(session) = &turn.session {
                    let turns = self.sessions.entry(session.id.as_str().to_owned()).or_default();
                    turns.push(Arc::clone(&turn));
                }
                self.turns.entry(turn.interaction.id.as_str().to_owned()).or_default().push(turn);
            }
            Row::Feedback(feedback) => {
                *self.feedback.entry(feedback.id.as_str().to_owned()).or_insert(0) += 1
            }
            Row::Breaker(entry) => {
                let target = entry.target.as_str();
                if self.breakers.get(target).is_none_or(|kept| entry.at >= kept.at) {
                    self.breakers.insert(target.to_owned(), entry);
                }
            }
        }
    }

    fn has(&self, row: &Row) -> bool {
        match row {
            Row::Turn(turn) => self.turns.contains_key(turn.interaction.id.as_str()),
            Row::Feedback(feedback) => self.feedback.contains_key(feedback.id.as_str()),
            Row::Breaker(_) => false,
        }
    }
}

impl Row {
    /// Whether writing one after the other changes nothing.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Turn(one), Self::Turn(other)) => one.interaction.id == other.interaction.id,
            (Self::Feedback(one), Self::Feedback(other)) => one.id == other.id,
            _ => false,
        }
    }
}

/// What came of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Kept,
    /// It was about an interaction that is not there.
    Nothing,
}

/// How long a write takes at most while the disk is slow.
pub(crate) const SLOWEST_WRITE: Duration = Duration::from_secs(12);
/// How long a write waits for another process's lock.
const LOCK_WAIT: Duration = Duration::from_secs(2);

impl Disk {
    pub(crate) fn new(world: &Arc<World>) -> Arc<Self> {
        let state = State {
            mood: DiskMood::Well,
            ill_until: None,
            synced: Synced::default(),
            unsynced: BTreeMap::new(),
            n_writes: 0,
            busy_until: Moment::default(),
            n_ends: 0,
        };
        let (rng, writing) = (world.rng(1), TaskTracker::new());
        Arc::new(Self { world: Arc::clone(world), rng, writing, state: Mutex::new(state) })
    }

    pub(crate) fn set(&self, mood: DiskMood) {
        self.world.note(format_args!("the disk is {mood:?}"));
        let mut state = self.state.lock();
        if state.mood != DiskMood::Well {
            // What waits behind a slow write is slow too.
            state.ill_until = Some(self.world.now().max(state.busy_until));
        }
        state.mood = mood;
    }

    /// How it was since `since`.
    pub(crate) fn was(&self, since: Moment) -> DiskWas {
        let state = self.state.lock();
        let was_ill = state.mood != DiskMood::Well || state.ill_until.is_some_and(|until| until >= since);
        if was_ill { DiskWas::Ill } else { DiskWas::Well }
    }

    /// The process has ended in this way, and with it every write that was not acknowledged.
    pub(crate) fn end(&self, restart: Restart) {
        let mut state = self.state.lock();
        state.n_ends += 1;
        let unsynced = std::mem::take(&mut state.unsynced);
        for row in unsynced.into_values() {
            // What the kernel has may reach the platter without the process, but not without power.
            if restart == Restart::Killed && self.rng.percent(50) {
                state.synced.push(row);
            }
        }
    }

    /// The records of an interaction.
    pub(crate) fn records(&self, id: &str) -> Vec<Arc<FinishedTurn>> {
        self.state.lock().synced.turns.get(id).cloned().unwrap_or_default()
    }

    /// Every interaction with the number of its records.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        self.state.lock().synced.turns.iter().map(|(id, records)| (id.clone(), records.len())).collect()
    }

    /// How often a piece of feedback is kept.
    pub(crate) fn n_feedback(&self, id: &str) -> usize {
        self.state.lock().synced.feedback.get(id).copied().unwrap_or_default()
    }

    /// The newest state of each breaker.
    pub(crate) fn breakers(&self) -> Vec<BreakerEntry> {
        self.state.lock().synced.breakers.values().cloned().collect()
    }

    /// The turns of a session, in the order in which they were written.
    fn session(&self, id: &SessionId) -> Vec<Arc<FinishedTurn>> {
        self.state.lock().synced.sessions.get(id.as_str()).cloned().unwrap_or_default()
    }

    fn mood(&self) -> DiskMood {
        self.state.lock().mood
    }

    /// Writes a row; on disk when it returns, unless a planted bug says so too early.
    async fn write(&self, row: Row) -> Result<Written, StoreError> {
        let unavailable = |why: &str| Err(StoreError::Unavailable(why.to_owned()));
        match self.mood() {
            DiskMood::Busy => return Err(StoreError::Busy),
            DiskMood::Full => return unavailable("the disk is full"),
            _ => {}
        }
        let n_ends = self.state.lock().n_ends;
        let locked_until = self.world.now().after(LOCK_WAIT);
        while self.mood() == DiskMood::Locked {
            if self.world.now() >= locked_until {
                return unavailable("the database is locked");
            }
            self.world.sleep(Duration::from_millis(100)).await;
        }
        if self.state.lock().n_ends != n_ends {
            return Err(StoreError::Closed);
        }
        let Some(n) = self.put(row) else { return Ok(Written::Kept) };
        if self.world.bug == Some(Bug::FsyncSkipped) {
            // The kernel writes it back in its own time.
            return Ok(Written::Kept);
        }
        let wait = match self.mood() {
            DiskMood::Slow => self.rng.millis(100, 12_000),
            _ => self.rng.millis(0, 8),
        };
        let due = {
            let mut state = self.state.lock();
            state.busy_until = state.busy_until.max(self.world.now().after(wait));
            state.busy_until
        };
        self.world.clock.sleep_until(due).await;
        self.sync(n)
    }

    /// Puts a row into memory; `None` when it is there already.
    fn put(&self, row: Row) -> Option<u64> {
        let mut state = self.state.lock();
        if state.synced.has(&row) || state.unsynced.values().any(|other| other.is_same(&row)) {
            return None;
        }
        state.n_writes += 1;
        let n = state.n_writes;
        if self.world.bug == Some(Bug::WrittenTwice) && self.rng.percent(3) {
            state.synced.push(row.clone());
        }
        state.unsynced.insert(n, row);
        Some(n)
    }

    fn sync(&self, n: u64) -> Result<Written, StoreError> {
        let mut state = self.state.lock();
        // A process that has ended syncs nothing.
        let Some(row) = state.unsynced.remove(&n) else { return Err(StoreError::Closed) };
        if state.mood == DiskMood::SyncFails {
            return Err(StoreError::Unavailable("fsync: input/output error".to_owned()));
        }
        if let Row::Feedback(feedback) = &row
            && !state.synced.turns.contains_key(feedback.interaction.as_str())
        {
            return Ok(Written::Nothing);
        }
        state.synced.push(row);
        Ok(Written::Kept)
    }

    /// Everything that was written reaches the platter, as it does in the end when the power stays.
    pub(crate) async fn settle(&self) {
        if self.world.bug == Some(Bug::FsyncSkipped) {
            let mut state = self.state.lock();
            let unsynced = std::mem::take(&mut state.unsynced);
            unsynced.into_values().for_each(|row| state.synced.push(row));
        }
        while !self.state.lock().unsynced.is_empty() {
            self.world.sleep(Duration::from_millis(50)).await;
        }
    }
}
