//! What the pipeline stands on, filled by `compose.rs` alone.

use std::future::Future;
use std::sync::Arc;

use access::limits::Meters;
use domain::ports::{Clock, Ids, Records, Retriever, Sessions};
use domain::time::Moment;
use registry::snapshot::Current;
use resilience::shedding::Gate;
use routing::Router;
use serde::Deserialize;
use tokio_util::task::TaskTracker;

use crate::cached::Cached;
use crate::later::Later;
use crate::session_lock::SessionLocks;

/// Settings of `[records]`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordsConfig {
    /// When a record counts as written.
    pub durability: Durability,
    /// What happens to a reply whose record cannot be written. `refuse` needs `durability = "commit"`.
    pub on_failure: OnFailure,
}

/// When a record counts as written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// On disk before the reply ends.
    #[default]
    Commit,
    /// Written after the reply, up to 20 ms later so that many share a transaction; a crash may lose the last ones.
    Async,
}

/// What happens to a reply whose record cannot be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It is given, and says that it was not recorded.
    #[default]
    Answer,
    /// It is refused with an error.
    Refuse,
}

/// What the pipeline stands on.
pub struct Parts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn Ids>,
    /// The configuration in force.
    pub current: Arc<Current>,
    /// How much keys, tenants and the server may use.
    pub limits: Arc<Meters>,
    /// Takes turns on, or not.
    pub gate: Arc<Gate>,
    /// Calls models.
    pub router: Arc<Router>,
    /// Finds passages.
    pub retriever: Arc<dyn Retriever>,
    /// Conversations.
    pub sessions: Arc<dyn Sessions>,
    /// Records.
    pub records: Arc<dyn Records>,
    /// Answers that are given again.
    pub cached: Cached,
    /// How records are written.
    pub config: RecordsConfig,
    /// Owns work that outlives its request; shutdown awaits it.
    pub tasks: TaskTracker,
}

impl Parts {
    /// What `work` gives, unless `due` comes first.
    pub(crate) async fn before<T>(&self, due: Moment, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.clock.sleep_until(due) => None,
        }
    }
}

/// The pipeline.
pub struct Pipeline {
    pub(crate) parts: Parts,
    pub(crate) session_locks: SessionLocks,
    /// Records written after their reply.
    pub(crate) later: Arc<Later>,
}

impl Pipeline {
    /// Stands on `parts`.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts, session_locks: SessionLocks::default(), later: Arc::default() }
    }

    /// The configuration in force.
    #[must_use]
    pub fn current(&self) -> &Current {
        &self.parts.current
    }

    /// How much keys, tenants and the server may use, and have used.
    #[must_use]
    pub fn limits(&self) -> &Arc<Meters> {
        &self.parts.limits
    }

    /// The router, for how its targets are and for resetting their breakers.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.parts.router
    }

    /// Records that were to follow their replies and could not be written, since the start.
    #[must_use]
    pub fn records_lost(&self) -> u64 {
        self.later.n_lost()
    }

    /// How often answers are given again, and how many are kept.
    #[must_use]
    pub fn cached(&self) -> cache::Reading {
        self.parts.cached.answers.read()
    }

    /// The records, for reading them back.
    #[must_use]
    pub fn records(&self) -> &dyn Records {
        self.parts.records.as_ref()
    }
}
