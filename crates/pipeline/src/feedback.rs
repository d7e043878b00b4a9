//! Takes feedback on an answer.

use domain::feedback::{Feedback, FeedbackFilter};
use domain::id::{FeedbackId, TenantId, prefixed};
use domain::ports::StoreError;

use crate::parts::{Durability, Pipeline};

/// What became of a piece of feedback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// Kept under this id.
    Kept(FeedbackId),
    /// The tenant has no such interaction.
    UnknownInteraction,
}

impl Pipeline {
    /// An id for a new piece of feedback.
    #[must_use]
    pub fn new_feedback_id(&self) -> FeedbackId {
        FeedbackId::new(prefixed("fbk", self.parts.ids.next_id()))
    }

    /// Keeps feedback on an interaction of `tenant` (`None`: of anyone); on disk when it returns.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be kept.
    pub async fn collect_feedback(
        &self,
        tenant: Option<&TenantId>,
        feedback: Feedback,
    ) -> Result<Taken, StoreError> {
        let id = feedback.id.clone();
        let records = self.parts.records.as_ref();
        let mut known = records.add_feedback(tenant, feedback.clone()).await?;
        if !known && self.parts.config.durability == Durability::Async {
            // Its interaction may still be waiting to be written.
            self.later.flush(&self.parts).await;
            known = records.add_feedback(tenant, feedback).await?;
        }
        Ok(if known { Taken::Kept(id) } else { Taken::UnknownInteraction })
    }

    /// Feedback, newest first.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be read.
    pub async fn list_feedback(&self, filter: FeedbackFilter) -> Result<Vec<Feedback>, StoreError> {
        self.parts.records.feedback(filter).await
    }
}
