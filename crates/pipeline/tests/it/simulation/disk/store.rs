//! The store of one process, on the simulated disk.
//!
//! It keeps the promises of the ports as the store on SQLite does: a write is acknowledged when it is synced, goes on
//! when nobody waits for it any more, leaves nothing behind when it failed, and changes nothing the second time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::feedback::{Feedback, FeedbackFilter};
use domain::id::{InteractionId, SessionId, TenantId};
use domain::interaction::{FinishedTurn, Interaction, InteractionFilter};
use domain::ledger::{Entry, Page};
use domain::ports::{BoxFuture, BreakerEntry, BreakerLog, Records, Sessions, StoreError};
use domain::session::{Session, SessionRequest};
use domain::time::Timestamp;
use futures_util::future::join_all;
use parking_lot::Mutex;
use routing::Router;
use tokio::sync::oneshot;

use super::{Disk, Row, Written};
use crate::simulation::options::DiskMood;
use crate::simulation::promises;
use crate::simulation::turns::numbered;

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
        promises::recorded(world, interaction);
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
