//! The port `Records`.

use std::ops::Range;
use std::sync::Arc;

use domain::feedback::{Feedback, FeedbackFilter};
use domain::id::{InteractionId, TenantId};
use domain::interaction::{FinishedTurn, Interaction, InteractionFilter, Outcome};
use domain::ledger::{Entry, Page};
use domain::ports::{BoxFuture, Records, StoreError};
use domain::time::Timestamp;
use futures_util::future::join_all;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::connection::Failure;
use super::listing::Listing;
use super::turns::Writing;
use super::{Store, ledger, turns};
use crate::stored::json::JsonColumns;
use crate::stored::{integer, names};

/// Rows that one expiry transaction touches at most, so that turns are not kept waiting.
const EXPIRE_MAX: usize = 500;
/// Turns written in one transaction at most, for the same reason.
const RECORD_MAX: usize = 256;
/// After so many of them whoever waits for the core goes first: with one core for all, a request would wait for the whole
/// batch (measured at 1,000 requests a second: 0.2 ms of the 99th percentile).
const YIELD_EVERY: usize = 8;
/// A larger batch comes of a core that is busy all the time: going back and forth would only cost it more.
const YIELD_TURNS_MAX: usize = 64;

impl Records for Store {
    fn record(&self, turn: FinishedTurn) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let json = JsonColumns::from(&turn.interaction);
            self.write(move |connection| Writing::to(connection)?.write(&turn, &json)).await
        })
    }

    fn record_all(&self, turns: Vec<FinishedTurn>) -> BoxFuture<'_, Vec<(InteractionId, StoreError)>> {
        Box::pin(async move {
            let all = Arc::new(Turns::from(turns));
            let batches = (0..all.json.len()).step_by(RECORD_MAX).map(|first| self.record_batch(&all, first));
            let batches: Vec<_> = batches.collect();
            // All of them are queued before the first is done: what is written later comes behind them.
            join_all(batches).await.into_iter().flatten().collect()
        })
    }

    fn interaction<'a>(
        &'a self,
        tenant: Option<&'a TenantId>,
        id: &'a InteractionId,
    ) -> BoxFuture<'a, Result<Option<Interaction>, StoreError>> {
        let (tenant, id) = (tenant.cloned(), id.clone());
        Box::pin(self.read(move |transaction| {
            let tenant = tenant.as_ref().map(TenantId::as_str);
            // Another tenant's is looked for and left out by the query: it takes as long as one that never was.
            let row = transaction
                .prepare_cached("SELECT * FROM interactions WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)")?
                .query_row(params![id.as_str(), tenant], turns::read)
                .optional()?;
            row.map(|row| turns::whole(transaction, row)).transpose()
        }))
    }

    fn interactions(&self, filter: InteractionFilter) -> BoxFuture<'_, Result<Vec<Interaction>, StoreError>> {
        Box::pin(self.read(move |transaction| {
            let tenant = filter.tenant.map(|id| Value::from(id.as_str().to_owned()));
            let before = filter.before.map(|id| Value::from(id.as_str().to_owned()));
            let rows = Listing::new(turns::SELECT)
                .matching("tenant = ?", tenant.clone())
                .matching("session = ?", filter.session.map(|id| id.as_str().to_owned()))
                .matching(by_outcome(filter.outcome), filter.outcome.map(|outcome| outcome.name().to_owned()))
                .matching("created >= ?", filter.since.map(|since| since.0))
                // After another tenant's turn comes as little as after one that never was: the page does not tell of it.
                .behind(
                    "(created, id) < (SELECT created, id FROM interactions WHERE id = ? AND tenant = coalesce(?, tenant))",
                    before.map(|before| [before, tenant.unwrap_or(Value::Null)]),
                )
                .rows(transaction, ("created DESC, id DESC", filter.limit), turns::read)?;
            rows.into_iter().map(|row| turns::whole(transaction, row)).collect()
        }))
    }

    fn entries(&self, page: Page) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        Box::pin(self.read(move |transaction| ledger::entries(transaction, page)))
    }

    fn add_feedback<'a>(
        &'a self,
        tenant: Option<&'a TenantId>,
        feedback: Feedback,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        let tenant = tenant.cloned();
        Box::pin(self.write(move |connection| add_feedback(connection, tenant.as_ref(), &feedback)))
    }

    fn feedback(&self, filter: FeedbackFilter) -> BoxFuture<'_, Result<Vec<Feedback>, StoreError>> {
        Box::pin(self.read(move |transaction| {
            let rows = Listing::new("SELECT * FROM feedback")
                .matching("tenant = ?", filter.tenant.map(|id| id.as_str().to_owned()))
                .matching("session = ?", filter.session.map(|id| id.as_str().to_owned()))
                .matching("interaction = ?", filter.interaction.map(|id| id.as_str().to_owned()))
                .matching("at >= ?", filter.since.map(|since| since.0))
                .rows(transaction, ("at DESC, id DESC", filter.limit), read_feedback)?;
            rows.into_iter().collect()
        }))
    }

    fn expire(&self, now: Timestamp) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            let mut total = 0;
            loop {
                let n_rows = self.write(move |connection| expire(connection, now)).await?;
                if n_rows == 0 {
                    return Ok(total);
                }
                total += n_rows;
            }
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.write(|connection| {
            connection
                .prepare_cached(
                    "INSERT INTO probes (id, count) VALUES (1, 1)
                     ON CONFLICT (id) DO UPDATE SET count = count + 1",
                )?
                .execute([])?;
            Ok(())
        }))
    }
}

/// Turns on their way to disk, and what of each is JSON.
struct Turns {
    finished: Vec<FinishedTurn>,
    json: Vec<JsonColumns>,
}

impl From<Vec<FinishedTurn>> for Turns {
    fn from(finished: Vec<FinishedTurn>) -> Self {
        let json = finished.iter().map(|turn| JsonColumns::from(&turn.interaction)).collect();
        Self { finished, json }
    }
}

impl Store {
    /// Writes what of `turns` begins at `first`, [`RECORD_MAX`] of them, at once; when that fails, each by itself, so that
    /// one turn does not spoil the others'.
    fn record_batch(
        &self,
        turns: &Arc<Turns>,
        first: usize,
    ) -> impl Future<Output = Vec<(InteractionId, StoreError)>> {
        let batch = first..turns.json.len().min(first + RECORD_MAX);
        let writing = self.write_turns(turns, batch.clone());
        async move {
            if writing.await.is_ok() {
                return Vec::new();
            }
            let singly = batch.map(|index| async move {
                let id = turns.finished.get(index).map(|turn| turn.interaction.id.clone())?;
                let written = self.write_turns(turns, index..index + 1).await;
                written.err().map(|error| (id, error))
            });
            join_all(singly).await.into_iter().flatten().collect()
        }
    }

    fn write_turns(
        &self,
        turns: &Arc<Turns>,
        which: Range<usize>,
    ) -> impl Future<Output = Result<(), StoreError>> {
        let turns = Arc::clone(turns);
        self.write(move |connection| {
            let mut writing = Writing::to(connection)?;
            let finished = turns.finished.get(which.clone()).unwrap_or_default();
            let json = turns.json.get(which).unwrap_or_default();
            let yields = finished.len() <= YIELD_TURNS_MAX;
            for (index, (turn, json)) in finished.iter().zip(json).enumerate() {
                if yields && index > 0 && index % YIELD_EVERY == 0 {
                    std::thread::yield_now();
                }
                writing.write(turn, json)?;
            }
            Ok(())
        })
    }
}

/// Rare outcomes have an index; that a condition asks for one must stand in its text.
fn by_outcome(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Answered) | None => "outcome = ?",
        Some(_) => "outcome <> 'answered' AND outcome = ?",
    }
}

fn add_feedback(
    connection: &Connection,
    tenant: Option<&TenantId>,
    feedback: &Feedback,
) -> Result<bool, Failure> {
    let interaction = feedback.interaction.as_str();
    let owner: Option<String> = connection
        .prepare_cached("SELECT tenant FROM interactions WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)")?
        .query_row(params![interaction, tenant.map(TenantId::as_str)], |row| row.get(0))
        .optional()?;
    let Some(owner) = owner else { return Ok(false) };
    connection
        .prepare_cached(
            "INSERT INTO feedback
                 (id, interaction, session, kind, rating, thumb, comments, signal, metadata, at, tenant)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            feedback.id.as_str(),
            interaction,
            feedback.session.as_ref().map(|id| id.as_str().to_owned()),
            names::feedback_kind_name(feedback.kind),
            feedback.rating,
            feedback.thumb.map(names::thumb_name),
            feedback.comments,
            feedback.signal,
            feedback.metadata,
            feedback.at.0,
            owner,
        ])?;
    Ok(true)
}

fn read_feedback(row: &Row<'_>) -> rusqlite::Result<Result<Feedback, Failure>> {
    let (kind, thumb): (String, Option<String>) = (row.get("kind")?, row.get("thumb")?);
    let read = |kind, thumb| {
        Ok(Feedback {
            id: row.get::<_, String>("id")?.into(),
            interaction: row.get::<_, String>("interaction")?.into(),
            session: row.get::<_, Option<String>>("session")?.map(Into::into),
            kind,
            rating: row.get("rating")?,
            thumb,
            comments: row.get("comments")?,
            signal: row.get("signal")?,
            metadata: row.get("metadata")?,
            at: Timestamp(row.get("at")?),
        })
    };
    match (names::feedback_kind(&kind), thumb.as_deref().map(names::thumb).transpose()) {
        (Ok(kind), Ok(thumb)) => read(kind, thumb).map(Ok),
        (Err(error), _) | (_, Err(error)) => Ok(Err(error.into())),
    }
}

/// Drops the texts of some interactions and deletes some sessions (messages go with them); returns how many.
fn expire(connection: &Connection, now: Timestamp) -> Result<u64, Failure> {
    let limits = params![now.0, integer(EXPIRE_MAX)];
    let n_texts = connection
        .prepare_cached(
            "UPDATE interactions
             SET question = NULL, response = NULL, metadata = NULL, citation_texts = NULL,
                 quality_reasons = NULL, expires = NULL
             WHERE rowid IN (SELECT rowid FROM interactions WHERE expires <= ?1 LIMIT ?2)",
        )?
        .execute(limits)?;
    let n_sessions = connection
        .prepare_cached(
            "DELETE FROM sessions
             WHERE rowid IN (SELECT rowid FROM sessions WHERE expires <= ?1 LIMIT ?2)",
        )?
        .execute(limits)?;
    Ok(u64::try_from(n_texts + n_sessions).unwrap_or(u64::MAX))
}
