//! The traits through which Mainstay touches the world. Object-safe, with boxed futures;
//! one method is one transaction or one call. Implemented by outer crates, joined in `compose.rs`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::Stream;

use crate::chat::{ChatCall, ChatChunk, ConverseCall, ErrorReply, RelayCall, RelayedPortion, Saying};
use crate::document::{Chunk, Document, Retrieved, Search};
use crate::fault::{Fault, Kind, Origin, Retry};
use crate::feedback::{Feedback, FeedbackFilter};
use crate::id::{CollectionName, ContentHash, InteractionId, KeyId, ModelId, SessionId, TargetId, TenantId};
use crate::interaction::{FinishedTurn, Interaction, InteractionFilter};
use crate::key::{Key, KeySet};
use crate::ledger::{Entry, Page};
use crate::limit::{Level, Span};
use crate::model::Quality;
use crate::money::Amount;
use crate::principal::Asker;
use crate::secret::{Secret, SecretRef};
use crate::session::{Session, SessionRequest};
use crate::time::{Moment, Timestamp};
use crate::token::Usage;
use crate::trace_context::CallTrace;

/// A future behind a pointer.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Time.
pub trait Clock: Send + Sync {
    /// Now, on the monotonic clock.
    fn now(&self) -> Moment;
    /// Now, on the wall clock.
    fn wall(&self) -> Timestamp;
    /// Ends at `until`. Cancel-safe.
    fn sleep_until(&self, until: Moment) -> BoxFuture<'static, ()>;

    /// Ends after `wait`. Cancel-safe.
    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        self.sleep_until(self.now().after(wait))
    }
}

/// Chance.
pub trait Rng: Send + Sync {
    /// 64 random bits.
    fn next_u64(&self) -> u64;
}

/// New ids.
pub trait Ids: Send + Sync {
    /// 128 bits that never come again and cannot be guessed; later ones sort later (by milliseconds).
    fn next_id(&self) -> u128;
}

/// A model could not answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct ModelError {
    /// What retry, fallback and status codes read.
    pub fault: Fault,
    /// What happened, safe to log and to show: no provider text, no key, no prompt.
    pub detail: String,
}

/// A call of a model failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct CallError {
    /// What retry, fallback and status codes read.
    #[source]
    pub error: ModelError,
    /// What the provider itself said of a call that it refused, or of an answer that it gave up.
    pub reply: Option<Box<ErrorReply>>,
    /// What the provider says that the call used although it failed.
    pub usage: Option<Usage>,
}

impl From<ModelError> for CallError {
    fn from(error: ModelError) -> Self {
        Self { error, reply: None, usage: None }
    }
}

/// The chunks of an answer; dropping it cancels the call.
pub type ChatStream = Pin<Box<dyn Stream<Item = Result<ChatChunk, CallError>> + Send>>;

/// The portions of a relayed answer; the first one holds something of the answer, and the last one says that it is
/// complete. Dropping it cancels the call.
pub type RelayedStream = Pin<Box<dyn Stream<Item = Result<RelayedPortion, CallError>> + Send>>;

/// The pieces of a streamed answer to a conversation; dropping it cancels the call.
pub type SayingStream = Pin<Box<dyn Stream<Item = Result<Saying, CallError>> + Send>>;

/// A model that chats.
pub trait ChatModel: Send + Sync {
    /// Starts an answer. The future ends when the provider has accepted the call.
    fn chat(&self, call: ChatCall) -> BoxFuture<'_, Result<ChatStream, CallError>>;

    /// Passes a caller's own bytes on, and the provider's back. The future ends when the provider has accepted the
    /// call. A model that does not speak the dialect refuses, so that another target is tried.
    fn relay(&self, call: RelayCall) -> BoxFuture<'_, Result<RelayedStream, CallError>> {
        Box::pin(async move {
            let detail = format!("`{}` cannot take relayed requests", call.model);
            let fault = Fault { origin: Origin::Mainstay, kind: Kind::RouteFatal, retry: Retry::Elsewhere };
            Err(ModelError { fault, detail }.into())
        })
    }

    /// Starts a streamed answer to a caller's conversation, for whoever must understand all of it: an answer that
    /// another model may have to go on with. The future ends when the provider has accepted the call.
    fn converse(&self, call: ConverseCall) -> BoxFuture<'_, Result<SayingStream, CallError>> {
        Box::pin(async move {
            let detail = format!("`{}` cannot take conversations", call.model);
            let fault = Fault { origin: Origin::Mainstay, kind: Kind::RouteFatal, retry: Retry::Elsewhere };
            Err(ModelError { fault, detail }.into())
        })
    }
}

/// How good models were found to be.
pub trait Scoreboard: Send + Sync {
    /// The measured quality of `model`; `None` where nobody measured it. Asked once for each target of a tier.
    fn quality(&self, model: &ModelId) -> Option<Quality>;
}

/// The embedder could not embed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("could not embed: {0}")]
pub struct EmbedError(pub String);

/// Turns sentences into vectors.
pub trait Embedder: Send + Sync {
    /// Identity of the model: its weights' SHA-256. Vectors of two models are never mixed.
    fn model(&self) -> &ContentHash;
    /// Vectors of `texts` in their order, each of unit length.
    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Vec<Vec<f32>>, EmbedError>>;
    /// Tokens of `text` by the embedder's own tokenizer, special tokens not counted.
    fn count_tokens(&self, text: &str) -> usize;
    /// Most tokens that are read of a text, counted so; what follows them is left out.
    fn tokens_max(&self) -> usize {
        usize::MAX
    }
}

/// Nothing could be searched.
#[derive(Debug, Clone, thiserror::Error)]
#[error("could not search: {0}")]
pub struct SearchError(pub String);

/// Finds passages.
pub trait Retriever: Send + Sync {
    /// The best passages for `search`.
    fn search(&self, search: Search) -> BoxFuture<'_, Result<Retrieved, SearchError>>;
}

/// The store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is locked, or its disk is full.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The file of the database was removed, moved or replaced while it is in use.
    #[error(
        "the database {0} was removed, moved or replaced while it is in use; put it back, or restart Mainstay to use what is there now"
    )]
    Gone(String),
    /// What was read is not what was written.
    #[error("the store holds an unreadable record: {0}")]
    Corrupt(String),
    /// Its writer has stopped.
    #[error("the store is closed")]
    Closed,
    /// The waiting writes are as many as may wait.
    #[error("the store has too many waiting writes")]
    Busy,
}

/// A document with its chunks, in their order.
pub type ChunkedDocument = (Document, Vec<Chunk>);

/// A content's hash and its vector.
pub type HashedVector = (ContentHash, Vec<f32>);

/// Documents, their chunks and the chunks' vectors.
pub trait PassageStore: Send + Sync {
    /// Makes `documents` (with their chunks) the whole content of `collection`.
    fn replace<'a>(
        &'a self,
        collection: &'a CollectionName,
        documents: Vec<ChunkedDocument>,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
    /// The whole content of `collection`.
    fn documents<'a>(
        &'a self,
        collection: &'a CollectionName,
    ) -> BoxFuture<'a, Result<Vec<ChunkedDocument>, StoreError>>;
    /// Vectors by `model` of the chunks with these hashes; those not there are left out.
    fn vectors<'a>(
        &'a self,
        model: &'a ContentHash,
        hashes: Vec<ContentHash>,
    ) -> BoxFuture<'a, Result<Vec<HashedVector>, StoreError>>;
    /// Keeps vectors made by `model`.
    fn put_vectors<'a>(
        &'a self,
        model: &'a ContentHash,
        vectors: Vec<HashedVector>,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// Conversations.
pub trait Sessions: Send + Sync {
    /// The session asked for, or a new one (not yet written) when there is none that may be continued.
    fn open(&self, request: SessionRequest) -> BoxFuture<'_, Result<Session, StoreError>>;
    /// The interaction of this tenant that answered `message_id` in this session, if one did.
    fn answered<'a>(
        &'a self,
        tenant: &'a TenantId,
        session: &'a SessionId,
        message_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Interaction>, StoreError>>;
}

/// What is kept of turns.
pub trait Records: Send + Sync {
    /// Writes a finished turn: interaction, session, messages and case together. On disk when it returns.
    /// Writing an interaction id a second time changes nothing.
    fn record(&self, turn: FinishedTurn) -> BoxFuture<'_, Result<(), StoreError>>;
    /// Writes many finished turns as [`Self::record`] would, in fewer transactions, and returns those that could not
    /// be written.
    fn record_all(&self, turns: Vec<FinishedTurn>) -> BoxFuture<'_, Vec<(InteractionId, StoreError)>> {
        Box::pin(async move {
            let mut lost = Vec::new();
            for turn in turns {
                let id = turn.interaction.id.clone();
                if let Err(error) = self.record(turn).await {
                    lost.push((id, error));
                }
            }
            lost
        })
    }
    /// One interaction, when it is the tenant's (`None`: anyone's).
    fn interaction<'a>(
        &'a self,
        tenant: Option<&'a TenantId>,
        id: &'a InteractionId,
    ) -> BoxFuture<'a, Result<Option<Interaction>, StoreError>>;
    /// Interactions, newest first.
    fn interactions(&self, filter: InteractionFilter) -> BoxFuture<'_, Result<Vec<Interaction>, StoreError>>;
    /// The cost ledger: the calls of turns, oldest first, as [`Self::record`] wrote them with their turns.
    fn entries(&self, page: Page) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>>;
    /// Keeps feedback; `Ok(false)` when its interaction is not known, or not the tenant's (`None`: anyone's).
    fn add_feedback<'a>(
        &'a self,
        tenant: Option<&'a TenantId>,
        feedback: Feedback,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;
    /// Feedback, newest first.
    fn feedback(&self, filter: FeedbackFilter) -> BoxFuture<'_, Result<Vec<Feedback>, StoreError>>;
    /// Drops texts and sessions whose time is over; returns how many rows were touched.
    fn expire(&self, now: Timestamp) -> BoxFuture<'_, Result<u64, StoreError>>;
    /// Proves that writing works now (health check).
    fn probe(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// What was spent of budgets, as the ledger says it.
pub trait Spending: Send + Sync {
    /// What each asker spent on turns that began in `span`; what has no price is left out.
    fn spent(&self, span: Span) -> BoxFuture<'_, Result<Vec<(Asker, Amount)>, StoreError>>;
    /// From when on the budgets of a level that were made to begin anew count.
    fn resets(&self) -> BoxFuture<'_, Result<Vec<(Level, Timestamp)>, StoreError>>;
    /// Keeps that the budgets of `level` begin anew at `at`.
    fn reset(&self, level: Level, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// A breaker's state as kept over a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerEntry {
    /// What it guards.
    pub target: TargetId,
    /// Failures in a row.
    pub failures: u32,
    /// Times it opened since it last closed; 0 when closed.
    pub opens: u32,
    /// Until when it stays open; `None` when closed.
    pub open_until: Option<Timestamp>,
    /// When this was written.
    pub at: Timestamp,
}

/// Keeps breaker states over a restart.
pub trait BreakerLog: Send + Sync {
    /// All entries.
    fn load(&self) -> BoxFuture<'_, Result<Vec<BreakerEntry>, StoreError>>;
    /// Keeps the newest entry of its target.
    fn save(&self, entry: BreakerEntry) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// What became of a change of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeysChanged {
    /// It is on disk, and this is the new head.
    To(u64),
    /// Someone else changed keys meanwhile: nothing was written.
    Outdated,
}

/// The keys of clients.
pub trait Keys: Send + Sync {
    /// All keys.
    fn keys(&self) -> BoxFuture<'_, Result<KeySet, StoreError>>;
    /// Counts the changes ever made: one row, cheap to ask for often.
    fn keys_head(&self) -> BoxFuture<'_, Result<u64, StoreError>>;
    /// Writes `keys` (new ones, and those that are there anew) and drops `dropped`, in one transaction, if the head is still
    /// `head`.
    fn change_keys(
        &self,
        head: u64,
        keys: Vec<Key>,
        dropped: Vec<KeyId>,
    ) -> BoxFuture<'_, Result<KeysChanged, StoreError>>;
}

/// What is seen of one request from outside; exported when the last one lets go of it.
pub trait Watcher: fmt::Debug + Send + Sync {
    /// What the attempt of this number (from 1) carries; `None` where providers are told nothing.
    fn call(&self, attempt: u32) -> Option<CallTrace>;
    /// Its turn ended so. Also told when the caller left.
    fn finished(&self, interaction: &Interaction);
}

/// A secret is not where its reference says.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SecretError {
    /// Nothing there.
    #[error("{0} is not set")]
    Missing(SecretRef),
    /// There, but unreadable.
    #[error("{0} cannot be read: {1}")]
    Unreadable(SecretRef, String),
}

/// Finds secrets.
pub trait Secrets: Send + Sync {
    /// The secret behind `reference`.
    ///
    /// # Errors
    /// [`SecretError`] when it is not there or cannot be read.
    fn resolve(&self, reference: &SecretRef) -> Result<Secret, SecretError>;
}
