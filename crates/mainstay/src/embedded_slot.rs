//! The place of the embedded chat model: empty, on its way, or a supervised worker.
//! Routes name it from the first moment on, whether or not there is a model yet.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use domain::chat::ChatCall;
use domain::fault::{Fault, Kind, Origin, Retry};
use domain::ports::{BoxFuture, CallError, ChatModel, ChatStream, ModelError};
use domain::time::Moment;
use embedded::supervisor::Worker;

/// What stands in the place.
#[derive(Clone)]
pub(crate) enum Occupant {
    /// Nothing, and nothing will: for this reason.
    Off(String),
    /// Nothing, although there should be; it is tried again.
    Failed {
        /// Why it failed.
        reason: String,
        /// When it is tried again.
        next_try: Moment,
    },
    /// A model is being fetched or loaded.
    Coming(String),
    /// A supervised worker.
    Worker(Worker),
}

/// The place, as a chat model.
pub(crate) struct EmbeddedSlot {
    occupant: ArcSwap<Occupant>,
}

/// When a caller may look again for a model that is on its way.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl EmbeddedSlot {
    pub(crate) fn new(occupant: Occupant) -> Arc<Self> {
        Arc::new(Self { occupant: ArcSwap::from_pointee(occupant) })
    }

    pub(crate) fn put(&self, occupant: Occupant) {
        self.occupant.store(Arc::new(occupant));
    }

    pub(crate) fn occupant(&self) -> Arc<Occupant> {
        self.occupant.load_full()
    }
}

impl ChatModel for EmbeddedSlot {
    fn chat(&self, call: ChatCall) -> BoxFuture<'_, Result<ChatStream, CallError>> {
        let occupant = self.occupant();
        Box::pin(async move {
            match occupant.as_ref() {
                Occupant::Worker(worker) => worker.chat(call).await,
                Occupant::Coming(what) => Err(ModelError {
                    fault: Fault {
                        origin: Origin::Mainstay,
                        kind: Kind::Unavailable,
                        retry: Retry::After(LOOK_AGAIN),
                    },
                    detail: format!("the embedded model is on its way: {what}"),
                }
                .into()),
                Occupant::Off(reason) | Occupant::Failed { reason, .. } => Err(ModelError {
                    fault: Fault::unavailable(),
                    detail: format!("there is no embedded model: {reason}"),
                }
                .into()),
            }
        })
    }
}
