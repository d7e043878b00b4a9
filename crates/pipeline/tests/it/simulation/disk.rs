//! A disk in simulated time, and the store that stands on it: what is not synced is gone when the power goes.
//!
//! It keeps the promises of the ports as the store on SQLite does: a write is acknowledged when it is synced, goes on
//! when nobody waits for it any more, leaves nothing behind when it failed, and changes nothing the second time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::feedback::{Feedback, FeedbackFilter};
use domain::id::{InteractionId, SessionId, TenantId};
use domain::interaction::{FinishedTurn, Interaction, InteractionFilter};
use domain::ledger::{Entry, Page};
use domain::ports::{BoxFuture, BreakerEntry, BreakerLog, Clock, Records, Sessions, StoreError};
use domain::session::{Session, SessionRequest};
use domain::time::{Moment, Timestamp};
use futures_util::future::join_all;
use parking_lot::Mutex;
use routing::Router;
use testkit::SeededRng;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::bugs::Bug;
use super::options::{DiskMood, Restart};
use super::turns::numbered;
use super::world::{Chance, World};

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

/// The store of one process.
pub(crate) struct Store {
    disk: Arc<Disk>,
    /// Whose targets are looked at when a record comes.
    router: Mutex<Option<Arc<Router>>>,
    is_alive: AtomicBool,
}

impl Store {
    pub(crate) fn open(disk: &Arc<Disk>) -> Arc<Self> {
        Arc::new(Self { disk: Arc::clone(disk), router: Mutex::new(None), is_alive: AtomicBool::new(true) })
    }

    pub(crate) fn watch(&self, router: &Arc<Router>) {
        *self.router.lock() = Some(Arc::clone(router));
    }

    /// The process ends: nothing of what it still does reaches the disk.
    pub(crate) fn kill(&self) {
        self.is_alive.store(false, Ordering::Relaxed);
    }

    async fn alive(&self) {
        if !self.is_alive.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    /// A write as by a thread of its own: it goes on when nobody waits for it.
    async fn write(&self, row: Row) -> Result<Written, StoreError> {
        self.alive().await;
        let (reply, answer) = oneshot::channel();
        let disk = Arc::clone(&self.disk);
        self.disk.writing.spawn(async move {
            let _ = reply.send(disk.write(row).await);
        });
        let end = answer.await.unwrap_or(Err(StoreError::Closed));
        self.alive().await;
        end
    }

    async fn read<T>(&self, read: impl FnOnce(&Disk) -> T) -> Result<T, StoreError> {
        self.alive().await;
        if self.disk.mood() == DiskMood::Unreadable {
            return Err(StoreError::Unavailable("read: input/output error".to_owned()));
        }
        Ok(read(&self.disk))
    }

    fn recorded(&self, turn: &FinishedTurn) {
        let world = &self.disk.world;
        if let Some(router) = &*self.router.lock() {
            world.observe(router);
        }
        let interaction = &turn.interaction;
        world.note(format_args!(
            "{} is recorded: {} by {:?}, {} attempts",
            interaction.id,
            interaction.outcome.name(),
            interaction.tier,
            interaction.attempts.len()
        ));
        super::promises::recorded(world, interaction);
    }
}

impl Records for Store {
    fn record(&self, turn: FinishedTurn) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.alive().await;
            self.recorded(&turn);
            self.write(Row::Turn(Arc::new(turn))).await.map(drop)
        })
    }

    fn record_all(&self, turns: Vec<FinishedTurn>) -> BoxFuture<'_, Vec<(InteractionId, StoreError)>> {
        let record = move |turn: FinishedTurn| async move {
            let id = turn.interaction.id.clone();
            self.record(turn).await.err().map(|error| (id, error))
        };
        Box::pin(async move { join_all(turns.into_iter().map(record)).await.into_iter().flatten().collect() })
    }

    fn interaction<'a>(
        &'a self,
        _: Option<&'a TenantId>,
        id: &'a InteractionId,
    ) -> BoxFuture<'a, Result<Option<Interaction>, StoreError>> {
        let first = move |disk: &Disk| disk.records(id.as_str()).first().map(|turn| turn.interaction.clone());
        Box::pin(self.read(first))
    }

    fn interactions(&self, _: InteractionFilter) -> BoxFuture<'_, Result<Vec<Interaction>, StoreError>> {
        unreachable!("the pipeline lists no records")
    }

    fn entries(&self, _: Page) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        unreachable!("the pipeline reads no ledger")
    }

    fn add_feedback<'a>(
        &'a self,
        _: Option<&'a TenantId>,
        feedback: Feedback,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move { Ok(self.write(Row::Feedback(feedback)).await? == Written::Kept) })
    }

    fn feedback(&self, _: FeedbackFilter) -> BoxFuture<'_, Result<Vec<Feedback>, StoreError>> {
        unreachable!("no visitor lists feedback")
    }

    fn expire(&self, _: Timestamp) -> BoxFuture<'_, Result<u64, StoreError>> {
        unreachable!("the pipeline expires nothing")
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        unreachable!("the pipeline probes nothing")
    }
}

impl BreakerLog for Store {
    fn load(&self) -> BoxFuture<'_, Result<Vec<BreakerEntry>, StoreError>> {
        Box::pin(self.read(Disk::breakers))
    }

    fn save(&self, entry: BreakerEntry) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.write(Row::Breaker(entry)).await.map(drop) })
    }
}

impl Sessions for Store {
    fn open(&self, request: SessionRequest) -> BoxFuture<'_, Result<Session, StoreError>> {
        Box::pin(self.read(move |disk| {
            let mut turns = request.id.as_ref().map(|id| disk.session(id)).unwrap_or_default();
            turns.sort_by_key(|turn| numbered(turn.interaction.id.as_str()));
            let is_known = !turns.is_empty();
            let messages =
                turns.iter().filter_map(|turn| turn.session.as_ref()).flat_map(|turn| turn.messages.clone());
            let messages: Vec<_> = messages.collect();
            let skipped = messages.len().saturating_sub(request.messages_max);
            Session {
                id: request.id.filter(|_| is_known).unwrap_or(request.new_id),
                user_id: request.user_id,
                created: request.now,
                turn_count: u32::try_from(turns.len()).unwrap_or(u32::MAX),
                clarifications: 0,
                recent: messages.into_iter().skip(skipped).collect(),
            }
        }))
    }

    fn answered<'a>(
        &'a self,
        _: &'a TenantId,
        session: &'a SessionId,
        message_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Interaction>, StoreError>> {
        Box::pin(self.read(move |disk| {
            let is_it = |turn: &&Arc<FinishedTurn>| {
                turn.session.as_ref().and_then(|turn| turn.message_id.as_deref()) == Some(message_id)
            };
            disk.session(session).iter().find(is_it).map(|turn| turn.interaction.clone())
        }))
    }
}
