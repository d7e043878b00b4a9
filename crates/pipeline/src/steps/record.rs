//! `record`: writes what happened, before the reply ends.

use std::sync::Arc;

use domain::interaction::FinishedTurn;

use crate::parts::{Durability, OnFailure, Pipeline};
use crate::trace::Word;
use crate::turn::{Recorded, TurnError};

impl Word for Result<Recorded, TurnError> {
    fn word(&self) -> &'static str {
        match self {
            Ok(Recorded::Yes) => "recorded",
            Ok(Recorded::No) => "not_recorded",
            Err(_) => "refused",
        }
    }
}

pub(crate) async fn run(pipeline: &Pipeline, finished: FinishedTurn) -> Result<Recorded, TurnError> {
    let parts = &pipeline.parts;
    if parts.config.durability == Durability::Async
        && let Ok(permit) = Arc::clone(&pipeline.writing_later).try_acquire_owned()
    {
        let records = Arc::clone(&parts.records);
        parts.tasks.spawn(async move {
            let id = finished.interaction.id.clone();
            if let Err(error) = records.record(finished).await {
                tracing::error!(interaction.id = %id, %error, "a record was lost");
            }
            drop(permit);
        });
        return Ok(Recorded::Yes);
    }
    let id = finished.interaction.id.clone();
    match parts.records.record(finished).await {
        Ok(()) => Ok(Recorded::Yes),
        Err(error) => {
            tracing::error!(interaction.id = %id, %error, "the record could not be written");
            match parts.config.on_failure {
                OnFailure::Answer => Ok(Recorded::No),
                OnFailure::Refuse => Err(TurnError::NotRecorded),
            }
        }
    }
}
