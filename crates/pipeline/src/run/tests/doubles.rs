//! A retriever and a store that do as they are told.

use std::collections::HashMap;
use std::future::pending;

use domain::document::{Retrieved, Search};
use domain::feedback::{Feedback, FeedbackFilter};
use domain::id::{InteractionId, SessionId, TenantId};
use domain::interaction::{FinishedTurn, Interaction, InteractionFilter};
use domain::ledger::{Entry, Page};
use domain::ports::{BoxFuture, Records, Retriever, SearchError, Sessions, StoreError};
use domain::session::{Session, SessionRequest, SessionTurn};
use domain::time::Timestamp;
use parking_lot::Mutex;

/// What a search comes to.
#[derive(Clone)]
pub(super) enum Finds {
    Passages(Retrieved),
    Failure,
    Nothing,
}

/// Finds the same for every query; `Nothing` is that it never ends.
pub(super) struct FakeRetriever {
    finds: Mutex<Finds>,
    searches: Mutex<Vec<Search>>,
}

impl FakeRetriever {
    pub(super) fn new(finds: Finds) -> Self {
        Self { finds: Mutex::new(finds), searches: Mutex::default() }
    }

    pub(super) fn set(&self, finds: Finds) {
        *self.finds.lock() = finds;
    }

    pub(super) fn queries(&self) -> Vec<String> {
        self.searches.lock().iter().map(|search| search.query.clone()).collect()
    }
}

impl Retriever for FakeRetriever {
    fn search(&self, search: Search) -> BoxFuture<'_, Result<Retrieved, SearchError>> {
        self.searches.lock().push(search);
        let finds = self.finds.lock().clone();
        Box::pin(async move {
            match finds {
                Finds::Passages(found) => Ok(found),
                Finds::Failure => Err(SearchError("the index is away".to_owned())),
                Finds::Nothing => pending().await,
            }
        })
    }
}

/// How a ledger is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Well,
    Away,
    Hanging,
}

/// A store in memory.
pub(super) struct Ledger {
    health: Mutex<Health>,
    recorded: Mutex<Vec<FinishedTurn>>,
    sessions: Mutex<HashMap<SessionId, Session>>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { health: Mutex::new(Health::Well), recorded: Mutex::default(), sessions: Mutex::default() }
    }
}

impl Ledger {
    pub(super) fn set(&self, health: Health) {
        *self.health.lock() = health;
    }

    /// All turns that were to be recorded, also those that could not.
    pub(super) fn recorded(&self) -> Vec<FinishedTurn> {
        self.recorded.lock().clone()
    }

    async fn answer<T>(&self, value: T) -> Result<T, StoreError> {
        let health = *self.health.lock();
        match health {
            Health::Well => Ok(value),
            Health::Away => Err(StoreError::Unavailable("the disk is full".to_owned())),
            Health::Hanging => pending().await,
        }
    }

    fn update(&self, turn: &SessionTurn) {
        let mut sessions = self.sessions.lock();
        let session = sessions.entry(turn.id.clone()).or_insert_with(|| Session {
            id: turn.id.clone(),
            user_id: turn.user_id.clone(),
            created: turn.created,
            turn_count: 0,
            clarifications: 0,
            recent: Vec::new(),
        });
        session.turn_count += 1;
        session.clarifications = turn.clarifications;
        session.recent.extend(turn.messages.iter().cloned());
    }
}

impl Sessions for Ledger {
    fn open(&self, request: SessionRequest) -> BoxFuture<'_, Result<Session, StoreError>> {
        let known = request.id.as_ref().and_then(|id| self.sessions.lock().get(id).cloned());
        let session = known.unwrap_or_else(|| Session {
            id: request.id.unwrap_or(request.new_id),
            user_id: request.user_id,
            created: request.now,
            turn_count: 0,
            clarifications: 0,
            recent: Vec::new(),
        });
        Box::pin(self.answer(session))
    }

    fn answered<'a>(
        &'a self,
        tenant: &'a TenantId,
        session: &'a SessionId,
        message_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Interaction>, StoreError>> {
        let is_it = |turn: &SessionTurn| {
            (&turn.tenant, &turn.id, turn.message_id.as_deref()) == (tenant, session, Some(message_id))
        };
        let recorded = self.recorded.lock();
        let found = recorded.iter().find(|turn| turn.session.as_ref().is_some_and(is_it));
        Box::pin(self.answer(found.map(|turn| turn.interaction.clone())))
    }
}

impl Records for Ledger {
    fn record(&self, turn: FinishedTurn) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            if let Some(session) = &turn.session {
                self.update(session);
            }
            self.recorded.lock().push(turn);
            self.answer(()).await
        })
    }

    fn interaction<'a>(
        &'a self,
        _: Option<&'a TenantId>,
        _: &'a InteractionId,
    ) -> BoxFuture<'a, Result<Option<Interaction>, StoreError>> {
        unreachable!("the pipeline reads no record back")
    }

    fn interactions(&self, _: InteractionFilter) -> BoxFuture<'_, Result<Vec<Interaction>, StoreError>> {
        unreachable!("the pipeline lists no records")
    }

    fn entries(&self, _: Page) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        unreachable!("the pipeline reads no ledger")
    }

    fn add_feedback<'a>(
        &'a self,
        tenant: Option<&'a TenantId>,
        feedback: Feedback,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        let is_it = |turn: &FinishedTurn| {
            let found = &turn.interaction;
            found.id == feedback.interaction && tenant.is_none_or(|tenant| found.asker.tenant == *tenant)
        };
        let is_known = self.recorded.lock().iter().any(is_it);
        Box::pin(self.answer(is_known))
    }

    fn feedback(&self, _: FeedbackFilter) -> BoxFuture<'_, Result<Vec<Feedback>, StoreError>> {
        Box::pin(self.answer(Vec::new()))
    }

    fn expire(&self, _: Timestamp) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.answer(0))
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.answer(()))
    }
}
