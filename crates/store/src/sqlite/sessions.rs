//! The port `Sessions`.

use domain::id::{InteractionId, SessionId, TenantId};
use domain::interaction::Interaction;
use domain::ports::{BoxFuture, Sessions, StoreError};
use domain::session::{Session, SessionMessage, SessionRequest};
use domain::time::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};

use super::connection::Failure;
use super::listing::PAGE_MAX;
use super::{Store, turns};
use crate::stored::{integer, names};

impl Sessions for Store {
    fn open(&self, request: SessionRequest) -> BoxFuture<'_, Result<Session, StoreError>> {
        Box::pin(async move {
            // Without an id there is nothing to look for, and nothing to wait for.
            if request.id.is_none() {
                return Ok(new(request));
            }
            self.read(
                move |transaction| Ok(continued(transaction, &request)?.unwrap_or_else(|| new(request))),
            )
            .await
        })
    }

    fn answered<'a>(
        &'a self,
        tenant: &'a TenantId,
        session: &'a SessionId,
        message_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Interaction>, StoreError>> {
        let (tenant, session, message_id) = (tenant.clone(), session.clone(), message_id.to_owned());
        Box::pin(self.read(move |transaction| {
            let row = transaction
                .prepare_cached(
                    "SELECT * FROM interactions WHERE id =
                     (SELECT interaction FROM message_ids WHERE session = ?1 AND message_id = ?2) AND tenant = ?3",
                )?
                .query_row(params![session.as_str(), message_id, tenant.as_str()], turns::read)
                .optional()?;
            row.map(|row| turns::whole(transaction, row)).transpose()
        }))
    }
}

fn new(request: SessionRequest) -> Session {
    Session {
        id: request.new_id,
        user_id: request.user_id,
        created: request.now,
        turn_count: 0,
        clarifications: 0,
        recent: Vec::new(),
    }
}

/// The session asked for, when it lives, is the tenant's and is the caller's. One that nobody has claimed yet is anyone's who
/// knows its id; one that has a user is only that user's.
fn continued(transaction: &Transaction<'_>, request: &SessionRequest) -> Result<Option<Session>, Failure> {
    let Some(id) = &request.id else { return Ok(None) };
    let session = transaction
        .prepare_cached(
            "SELECT user_id, created, turn_count, clarifications FROM sessions
             WHERE id = ?1 AND expires > ?2 AND (user_id IS NULL OR user_id IS ?3)
             AND tenant = ?4",
        )?
        .query_row(params![id.as_str(), request.now.0, request.user_id, request.tenant.as_str()], |row| {
            let user_id: Option<String> = row.get(0)?;
            Ok(Session {
                id: id.clone(),
                user_id: user_id.or_else(|| request.user_id.clone()),
                created: Timestamp(row.get(1)?),
                turn_count: row.get(2)?,
                clarifications: row.get(3)?,
                recent: Vec::new(),
            })
        })
        .optional()?;
    let Some(session) = session else { return Ok(None) };
    let recent = recent(transaction, id, request.messages_max)?;
    Ok(Some(Session { recent, ..session }))
}

/// The last `limit` messages, oldest first.
fn recent(
    transaction: &Transaction<'_>,
    session: &SessionId,
    limit: usize,
) -> Result<Vec<SessionMessage>, Failure> {
    let mut statement = transaction.prepare_cached(
        "SELECT role, text, at, interaction FROM messages
         WHERE session = ?1 ORDER BY position DESC LIMIT ?2",
    )?;
    let rows = statement.query_map(params![session.as_str(), integer(limit.min(PAGE_MAX))], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get::<_, String>(3)?))
    })?;
    let mut messages = Vec::new();
    for row in rows {
        let (role, text, at, interaction) = row?;
        messages.push(SessionMessage {
            role: names::role(&role)?,
            text,
            at: Timestamp(at),
            interaction: InteractionId::from(interaction),
        });
    }
    messages.reverse();
    Ok(messages)
}
