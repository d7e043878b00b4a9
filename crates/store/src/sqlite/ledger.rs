//! The cost ledger: the rows of a turn's calls.

use domain::interaction::{Attempt, Interaction};
use domain::ledger::{Entry, Page};
use domain::token::{TokenCount, Usage};
use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection, Row, Transaction, params};

use super::connection::Failure;
use super::listing::Listing;
use crate::stored::attempt::AttemptRow;
use crate::stored::{Unreadable, micros};

const INSERT: &str = "INSERT INTO attempts (
    at, interaction, n, tenant, key, agent, tier, target, model, started, latency, first_token, result,
    is_estimate, input, output, cached_input, cache_write, cache_write_hour, reasoning, prices, cost, cost_rest,
    chosen, saved, saved_rest
) VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
    ?24, ?25, ?26
)";

/// What writes the calls of turns.
pub(super) struct Writing<'c>(CachedStatement<'c>);

impl<'c> Writing<'c> {
    pub(super) fn to(connection: &'c Connection) -> Result<Self, Failure> {
        Ok(Self(connection.prepare_cached(INSERT)?))
    }

    /// Writes the calls of a turn whose own row is new.
    pub(super) fn write(&mut self, interaction: &Interaction) -> Result<(), Failure> {
        for attempt in &interaction.attempts {
            let used = attempt.usage.or(attempt.estimate);
            let cost = attempt.cost.amount().map(domain::money::Amount::parts);
            let (saved, saved_rest) = attempt.saved.parts();
            self.0.execute(params![
                interaction.created.0,
                interaction.id.as_str(),
                attempt.n,
                interaction.asker.tenant.as_str(),
                interaction.asker.key.as_str(),
                interaction.agent.name.as_str(),
                attempt.tier.name(),
                attempt.target.as_str(),
                attempt.model.as_str(),
                micros(attempt.started),
                micros(attempt.latency),
                attempt.first_token.map(micros),
                attempt.result.name(),
                attempt.usage.is_none() && attempt.estimate.is_some(),
                used.map(|used| used.input.0),
                used.map(|used| used.output.0),
                used.map(|used| used.cached_input.0),
                used.map(|used| used.cache_write_input.0),
                used.map(|used| used.cache_write_hour_input.0),
                used.map(|used| used.reasoning_output.0),
                attempt.prices.as_ref().map(domain::price::PriceVersion::as_str),
                cost.map(|(nanos, _)| nanos.0),
                cost.map_or(0, |(_, rest)| rest),
                attempt.chosen.map(domain::interaction::Chosen::name),
                saved.0,
                saved_rest,
            ])?;
        }
        Ok(())
    }
}

/// The calls of a turn, in their order.
pub(super) fn of_turn(
    transaction: &Transaction<'_>,
    (created, id): (i64, &str),
) -> Result<Vec<Attempt>, Failure> {
    let mut statement =
        transaction.prepare_cached("SELECT * FROM attempts WHERE at = ?1 AND interaction = ?2 ORDER BY n")?;
    let rows = statement.query_map(params![created, id], read)?;
    let mut attempts = Vec::new();
    for row in rows {
        attempts.push(
            Attempt::try_from(&row?)
                .map_err(|Unreadable(reason)| Unreadable(format!("interaction {id}: {reason}")))?,
        );
    }
    Ok(attempts)
}

/// A page of the ledger.
pub(super) fn entries(transaction: &Transaction<'_>, page: Page) -> Result<Vec<Entry>, Failure> {
    // Behind a place in the time that is asked for its beginning says nothing more, and SQLite would begin there again.
    let from = page.from.filter(|from| page.after.as_ref().is_none_or(|after| after.at < *from));
    let after = page
        .after
        .map(|place| [Value::from(place.at.0), place.interaction.as_str().to_owned().into(), place.n.into()]);
    let rows: Vec<AttemptRow> = Listing::new("SELECT * FROM attempts")
        .matching("tenant = ?", page.tenant.map(|id| id.as_str().to_owned()))
        .matching("at >= ?", from.map(|from| from.0))
        .matching("at < ?", page.until.map(|until| until.0))
        .behind("(at, interaction, n) > (?, ?, ?)", after)
        .rows(transaction, ("at, interaction, n", page.limit), read)?;
    Ok(rows.into_iter().map(Entry::try_from).collect::<Result<_, _>>()?)
}

/// Reads a row of `SELECT * FROM attempts`.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<AttemptRow> {
    let count = |name| row.get::<_, Option<u32>>(name).map(|count| TokenCount(count.unwrap_or(0)));
    let used = match row.get::<_, Option<u32>>("input")? {
        None => None,
        Some(input) => Some(Usage {
            input: TokenCount(input),
            output: count("output")?,
            cached_input: count("cached_input")?,
            cache_write_input: count("cache_write")?,
            cache_write_hour_input: count("cache_write_hour")?,
            reasoning_output: count("reasoning")?,
        }),
    };
    Ok(AttemptRow {
        at: row.get("at")?,
        interaction: row.get("interaction")?,
        n: row.get("n")?,
        tenant: row.get("tenant")?,
        key: row.get("key")?,
        agent: row.get("agent")?,
        tier: row.get("tier")?,
        target: row.get("target")?,
        model: row.get("model")?,
        started: row.get("started")?,
        latency: row.get("latency")?,
        first_token: row.get("first_token")?,
        result: row.get("result")?,
        is_estimate: row.get("is_estimate")?,
        used,
        prices: row.get("prices")?,
        cost: row.get("cost")?,
        cost_rest: row.get("cost_rest")?,
        chosen: row.get("chosen")?,
        saved: row.get("saved")?,
        saved_rest: row.get("saved_rest")?,
    })
}
