//! The port `Spending`: sums over the ledger, and from when on they count.

use domain::id::{KeyId, TenantId};
use domain::limit::{Level, Span};
use domain::money::{Amount, Nanos};
use domain::ports::{BoxFuture, Spending, StoreError};
use domain::principal::Asker;
use domain::time::Timestamp;
use rusqlite::params;

use super::Store;
use super::connection::Failure;
use crate::stored::Unreadable;

impl Spending for Store {
    fn spent(&self, span: Span) -> BoxFuture<'_, Result<Vec<(Asker, Amount)>, StoreError>> {
        Box::pin(self.read(move |transaction| {
            // The rests are at most a million each: their sum fits as long as there are fewer than 2^43 calls.
            let mut statement = transaction.prepare_cached(
                "SELECT tenant, key, sum(cost), sum(cost_rest) FROM attempts
                 WHERE at >= ?1 AND at < ?2 AND cost IS NOT NULL GROUP BY tenant, key",
            )?;
            let sums = statement.query_map(params![span.start.0, span.end.0], |row| {
                let (tenant, key): (String, String) = (row.get(0)?, row.get(1)?);
                let asker = Asker { tenant: TenantId::from(tenant), key: KeyId::from(key) };
                Ok((asker, Amount::from_parts(Nanos(row.get(2)?), row.get(3)?)))
            })?;
            Ok(sums.collect::<rusqlite::Result<_>>()?)
        }))
    }

    fn resets(&self) -> BoxFuture<'_, Result<Vec<(Level, Timestamp)>, StoreError>> {
        Box::pin(self.read(|transaction| {
            let mut statement =
                transaction.prepare_cached("SELECT level, id, at FROM budget_resets ORDER BY level, id")?;
            let rows = statement.query_map([], |row| {
                let (level, id): (String, String) = (row.get(0)?, row.get(1)?);
                Ok((Level::of(&level, &id).ok_or(level), Timestamp(row.get(2)?)))
            })?;
            let read = |row: rusqlite::Result<(Result<Level, String>, Timestamp)>| {
                let (level, at) = row?;
                let level = level.map_err(|name| Unreadable(format!("there is no level `{name}`")))?;
                Ok((level, at))
            };
            rows.map(read).collect::<Result<_, Failure>>()
        }))
    }

    fn reset(&self, level: Level, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO budget_resets (level, id, at) VALUES (?1, ?2, ?3)
                     ON CONFLICT (level, id) DO UPDATE SET at = max(at, excluded.at)",
                )?
                .execute(params![level.name(), level.id(), at.0])?;
            Ok(())
        }))
    }
}
