//! The rows of a finished turn: interaction, session, messages and case; those of its calls are in `ledger`.

use domain::agent::Retention;
use domain::id::{CaseId, ContentHash, SessionId};
use domain::interaction::{FinishedTurn, Interaction};
use domain::model::Tier;
use domain::session::SessionTurn;
use rusqlite::{CachedStatement, Connection, Row, Statement, Transaction, params};

use super::connection::Failure;
use super::ledger;
use crate::stored::interaction::{InteractionRow, finished};
use crate::stored::json::{JsonColumns, keeps_texts};
use crate::stored::micros;

pub(crate) const SELECT: &str = "SELECT * FROM interactions";

const INSERT: &str = "INSERT INTO interactions (
    id, session, user_id, door, agent, agent_version, snapshot, created, latency,
    question, question_hash, response, response_hash, outcome, tier, model_used, attempt,
    intent, guardrail_action, findings, quality, quality_reasons, citations, citation_texts,
    steps, case_id, metadata, retention, retention_ttl, expires, tenant, key
) VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
    ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32
) ON CONFLICT (id) DO NOTHING";

/// A session of another tenant, or once bound to another user, is never touched. A turn that was written late does not
/// shorten the session's life.
const UPSERT_SESSION: &str = "INSERT INTO sessions
    (id, user_id, created, updated, expires, turn_count, clarifications, tenant)
    VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7)
    ON CONFLICT (id) DO UPDATE SET
        user_id = coalesce(user_id, excluded.user_id),
        updated = max(updated, excluded.updated),
        expires = max(expires, excluded.expires),
        turn_count = turn_count + 1,
        clarifications = excluded.clarifications
    WHERE tenant = excluded.tenant AND (user_id IS NULL OR user_id IS excluded.user_id)";

/// What writes turns, one after the other: statements are looked up once for all of them.
pub(crate) struct Writing<'c> {
    connection: &'c Connection,
    insert: CachedStatement<'c>,
    calls: ledger::Writing<'c>,
}

impl<'c> Writing<'c> {
    pub(crate) fn to(connection: &'c Connection) -> Result<Self, Failure> {
        let (insert, calls) = (connection.prepare_cached(INSERT)?, ledger::Writing::to(connection)?);
        Ok(Self { connection, insert, calls })
    }

    /// Writes all of a turn, or nothing when its interaction is there already.
    pub(crate) fn write(&mut self, turn: &FinishedTurn, json: &JsonColumns) -> Result<(), Failure> {
        let (connection, interaction) = (self.connection, &turn.interaction);
        if !insert(&mut self.insert, interaction, json)? {
            return Ok(());
        }
        self.calls.write(interaction)?;
        if let Some(session) = &turn.session
            && !is_answered(connection, session)?
        {
            write_session(connection, session, interaction)?;
        }
        if let Some(case) = &interaction.case {
            connection
                .prepare_cached(
                    "INSERT INTO cases (id, interaction, session, opened, state)
                     VALUES (?1, ?2, ?3, ?4, 'open') ON CONFLICT (id) DO NOTHING",
                )?
                .execute(params![
                    case.as_str(),
                    interaction.id.as_str(),
                    interaction.session.as_ref().map(SessionId::as_str),
                    finished(interaction).0
                ])?;
        }
        Ok(())
    }
}

/// Whether another turn already answered this message: then the conversation holds it once.
fn is_answered(connection: &Connection, session: &SessionTurn) -> Result<bool, Failure> {
    let Some(message_id) = &session.message_id else { return Ok(false) };
    let found = connection
        .prepare_cached("SELECT 1 FROM message_ids WHERE session = ?1 AND message_id = ?2")?
        .exists(params![session.id.as_str(), message_id])?;
    Ok(found)
}

fn write_session(
    connection: &Connection,
    session: &SessionTurn,
    interaction: &Interaction,
) -> Result<(), Failure> {
    let updated = finished(interaction);
    let n_written = connection.prepare_cached(UPSERT_SESSION)?.execute(params![
        session.id.as_str(),
        session.user_id,
        session.created.0,
        updated.0,
        updated.after(session.ttl).0,
        session.clarifications,
        session.tenant.as_str(),
    ])?;
    if n_written == 0 {
        return Ok(());
    }
    if let Some(message_id) = &session.message_id {
        connection
            .prepare_cached("INSERT INTO message_ids (session, message_id, interaction) VALUES (?1, ?2, ?3)")?
            .execute(params![session.id.as_str(), message_id, interaction.id.as_str()])?;
    }
    if interaction.retention == Retention::None {
        return Ok(());
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO messages (session, role, text, at, interaction) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for message in &session.messages {
        insert.execute(params![
            session.id.as_str(),
            message.role.name(),
            message.text,
            message.at.0,
            message.interaction.as_str(),
        ])?;
    }
    Ok(())
}

/// Whether the row is new.
fn insert(
    statement: &mut Statement<'_>,
    interaction: &Interaction,
    json: &JsonColumns,
) -> Result<bool, Failure> {
    let Interaction { asker, agent, guardrail, retention, .. } = interaction;
    let keeps = keeps_texts(interaction);
    let (retention_ttl, expires) = match retention {
        Retention::Session(ttl) => (Some(micros(*ttl)), Some(finished(interaction).after(*ttl).0)),
        Retention::None | Retention::Record => (None, None),
    };
    let n_inserted = statement.execute(params![
        interaction.id.as_str(),
        interaction.session.as_ref().map(SessionId::as_str),
        interaction.user_id,
        interaction.door.name(),
        agent.name.as_str(),
        agent.version,
        interaction.snapshot.as_str(),
        interaction.created.0,
        micros(interaction.latency),
        interaction.question.as_ref().filter(|_| keeps),
        interaction.question_hash.as_ref().map(ContentHash::as_str),
        interaction.response.as_ref().filter(|_| keeps),
        interaction.response_hash.as_str(),
        interaction.outcome.name(),
        interaction.tier.map(Tier::name),
        interaction.model_used,
        interaction.attempt,
        json.intent,
        guardrail.action.name(),
        json.findings,
        json.quality,
        json.quality_reasons,
        json.citations,
        json.citation_texts,
        json.steps,
        interaction.case.as_ref().map(CaseId::as_str),
        interaction.metadata.as_ref().filter(|_| keeps),
        retention.name(),
        retention_ttl,
        expires,
        asker.tenant.as_str(),
        asker.key.as_str(),
    ])?;
    Ok(n_inserted == 1)
}

/// The turn of a row that [`read`] gave, with its calls.
pub(crate) fn whole(transaction: &Transaction<'_>, row: InteractionRow) -> Result<Interaction, Failure> {
    let attempts = ledger::of_turn(transaction, (row.created, &row.id))?;
    Ok(row.with(attempts)?)
}

/// Reads a row of [`SELECT`].
pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<InteractionRow> {
    Ok(InteractionRow {
        id: row.get("id")?,
        session: row.get("session")?,
        tenant: row.get("tenant")?,
        key: row.get("key")?,
        user_id: row.get("user_id")?,
        door: row.get("door")?,
        agent: row.get("agent")?,
        agent_version: row.get("agent_version")?,
        snapshot: row.get("snapshot")?,
        created: row.get("created")?,
        latency: row.get("latency")?,
        question: row.get("question")?,
        question_hash: row.get("question_hash")?,
        response: row.get("response")?,
        response_hash: row.get("response_hash")?,
        outcome: row.get("outcome")?,
        tier: row.get("tier")?,
        model_used: row.get("model_used")?,
        attempt: row.get("attempt")?,
        intent: row.get("intent")?,
        guardrail_action: row.get("guardrail_action")?,
        findings: row.get("findings")?,
        quality: row.get("quality")?,
        quality_reasons: row.get("quality_reasons")?,
        citations: row.get("citations")?,
        citation_texts: row.get("citation_texts")?,
        steps: row.get("steps")?,
        case_id: row.get("case_id")?,
        metadata: row.get("metadata")?,
        retention: row.get("retention")?,
        retention_ttl: row.get("retention_ttl")?,
    })
}
