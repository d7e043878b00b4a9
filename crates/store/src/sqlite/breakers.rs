//! The port `BreakerLog`.

use domain::ports::{BoxFuture, BreakerEntry, BreakerLog, StoreError};
use domain::time::Timestamp;
use rusqlite::params;

use super::Store;

impl BreakerLog for Store {
    fn load(&self) -> BoxFuture<'_, Result<Vec<BreakerEntry>, StoreError>> {
        Box::pin(self.read(|transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT target, failures, opens, open_until, at FROM breakers ORDER BY target",
            )?;
            let entries = statement.query_map([], |row| {
                Ok(BreakerEntry {
                    target: row.get::<_, String>(0)?.into(),
                    failures: row.get(1)?,
                    opens: row.get(2)?,
                    open_until: row.get::<_, Option<i64>>(3)?.map(Timestamp),
                    at: Timestamp(row.get(4)?),
                })
            })?;
            Ok(entries.collect::<rusqlite::Result<_>>()?)
        }))
    }

    fn save(&self, entry: BreakerEntry) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO breakers (target, failures, opens, open_until, at)
                     VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (target) DO UPDATE SET
                         failures = excluded.failures, opens = excluded.opens,
                         open_until = excluded.open_until, at = excluded.at
                     WHERE excluded.at >= at",
                )?
                .execute(params![
                    entry.target.as_str(),
                    entry.failures,
                    entry.opens,
                    entry.open_until.map(|until| until.0),
                    entry.at.0,
                ])?;
            Ok(())
        }))
    }
}
