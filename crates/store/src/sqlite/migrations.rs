//! Brings a database to the schema this program knows, or refuses it.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use super::connection::OpenError;
use domain::hex;

/// Marks a file as ours (`MSTY`); SQLite keeps it in the header.
const APPLICATION_ID: i32 = 0x4d53_5459;

struct Migration {
    version: u32,
    name: &'static str,
    sql: &'static str,
}

/// All migrations, in order. One that was released is never changed.
const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "main_job",
        sql: include_str!("../../migrations/sqlite/0001_main_job.sql"),
    },
    Migration { version: 2, name: "keys", sql: include_str!("../../migrations/sqlite/0002_keys.sql") },
    Migration { version: 3, name: "ledger", sql: include_str!("../../migrations/sqlite/0003_ledger.sql") },
    Migration { version: 4, name: "budgets", sql: include_str!("../../migrations/sqlite/0004_budgets.sql") },
    Migration { version: 5, name: "chosen", sql: include_str!("../../migrations/sqlite/0005_chosen.sql") },
    Migration {
        version: 6,
        name: "rare_outcomes",
        sql: include_str!("../../migrations/sqlite/0006_rare_outcomes.sql"),
    },
    Migration { version: 7, name: "saved", sql: include_str!("../../migrations/sqlite/0007_saved.sql") },
];

const CREATE: &str = "CREATE TABLE IF NOT EXISTS migrations (
    version  INTEGER PRIMARY KEY,
    name     TEXT NOT NULL,
    checksum TEXT NOT NULL
) STRICT";

/// Applies what is missing, all in one transaction.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    apply(connection, path, MIGRATIONS)
}

fn apply(connection: &mut Connection, path: &Path, known: &[Migration]) -> Result<(), OpenError> {
    let failed = |source| OpenError::Open { path: path.to_owned(), source };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    if !is_ours(&transaction).map_err(failed)? {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let applied = applied(&transaction).map_err(failed)?;
    let last = known.last().map_or(0, |migration| migration.version);
    for (version, name, checksum) in &applied {
        let Some(migration) = known.iter().find(|migration| migration.version == *version) else {
            return Err(OpenError::Newer { path: path.to_owned(), found: *version, known: last });
        };
        if migration.checksum() != *checksum {
            let (version, name) = (*version, name.clone());
            return Err(OpenError::Changed { path: path.to_owned(), version, name });
        }
    }
    let done = applied.last().map_or(0, |(version, ..)| *version);
    for migration in known.iter().filter(|migration| migration.version > done) {
        migration.apply(&transaction).map_err(|source| OpenError::Migrate {
            path: path.to_owned(),
            version: migration.version,
            source,
        })?;
    }
    transaction.commit().map_err(failed)
}

impl Migration {
    fn checksum(&self) -> String {
        hex::of(&Sha256::digest(self.sql.as_bytes()))
    }

    fn apply(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        transaction.execute_batch(self.sql)?;
        transaction.execute(
            "INSERT INTO migrations (version, name, checksum) VALUES (?1, ?2, ?3)",
            params![self.version, self.name, self.checksum()],
        )?;
        Ok(())
    }
}

/// Whether the file is new or carries our mark (which a new one is given).
fn is_ours(transaction: &Transaction<'_>) -> rusqlite::Result<bool> {
    let id: i32 = transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (id, tables) {
        (APPLICATION_ID, _) => Ok(true),
        (0, 0) => {
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn applied(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<(u32, String, String)>> {
    transaction.execute_batch(CREATE)?;
    transaction
        .prepare("SELECT version, name, checksum FROM migrations ORDER BY version")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect()
}

#[cfg(test)]
mod tests {
    use domain::ledger::Entry;
    use domain::money::Nanos;
    use domain::price::Cost;
    use domain::principal::Asker;
    use domain::token::{TokenCount, Usage};

    use super::*;

    const FIRST: Migration = Migration { version: 1, name: "first", sql: "CREATE TABLE one (a TEXT)" };
    const SECOND: Migration = Migration { version: 2, name: "second", sql: "CREATE TABLE two (a TEXT)" };
    const CHANGED: Migration = Migration { version: 1, name: "first", sql: "CREATE TABLE one (b TEXT)" };
    const BROKEN: Migration =
        Migration { version: 2, name: "broken", sql: "CREATE TABLE half (a TEXT); CREATE TABEL x (a)" };

    fn tables(connection: &Connection) -> Vec<String> {
        let mut statement = connection
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            .expect("a query");
        let names = statement.query_map([], |row| row.get(0)).expect("names");
        names.collect::<rusqlite::Result<_>>().expect("names")
    }

    fn check(steps: &[&[Migration]]) -> (Connection, Result<(), OpenError>) {
        let mut connection = Connection::open_in_memory().expect("a database");
        let mut end = Ok(());
        for known in steps {
            end = apply(&mut connection, Path::new("data/mainstay.db"), known);
        }
        (connection, end)
    }

    #[test]
    fn migrations_are_applied_once_and_in_order() {
        let (connection, end) = check(&[&[FIRST], &[FIRST, SECOND], &[FIRST, SECOND]]);
        end.expect("applied");
        assert_eq!(tables(&connection), ["migrations", "one", "two"]);
    }

    #[test]
    fn a_database_that_is_not_understood_is_refused_and_says_why() {
        for (steps, want) in [
            (
                [[FIRST, SECOND].as_slice(), [FIRST].as_slice()],
                "the database data/mainstay.db was written by a newer Mainstay: it has migration 2, this one ends at 1",
            ),
            (
                [&[FIRST], &[CHANGED]],
                "migration 1 (first) is not the one that made the database data/mainstay.db: it was changed since, or a different Mainstay made it",
            ),
        ] {
            let (_, end) = check(&steps);
            assert_eq!(end.expect_err("refused").to_string(), want);
        }
    }

    #[test]
    fn a_failed_migration_leaves_nothing_behind() {
        let (connection, end) = check(&[&[FIRST], &[FIRST, BROKEN]]);
        let error = end.expect_err("broken");
        assert!(matches!(error, OpenError::Migrate { version: 2, .. }), "{error}");
        assert_eq!(tables(&connection), ["migrations", "one"]);
    }

    #[test]
    fn another_programs_database_is_refused() {
        let mut connection = Connection::open_in_memory().expect("a database");
        connection.execute_batch("CREATE TABLE bookmarks (url TEXT)").expect("a table");
        let error = migrate(&mut connection, Path::new("places.db")).expect_err("refused");
        assert_eq!(error.to_string(), "places.db is a database, but not one of Mainstay");
        assert_eq!(tables(&connection), ["bookmarks"]);
    }

    #[test]
    fn calls_that_were_json_are_in_the_ledger() {
        let (mut connection, end) = check(&[&MIGRATIONS[..2]]);
        end.expect("applied");
        let attempts = r#"[
            {"n":1,"tier":"primary","target":"p/m","model":"p/m","started_us":1,"latency_us":2,"first_token_us":null,
             "usage":null,"cost_nanos":null,"result":"timeout"},
            {"n":2,"tier":"fallback","target":"q/m","model":"q/m","started_us":3,"latency_us":4,"first_token_us":5,
             "usage":{"input":7,"output":8,"cached_input":6},"cost_nanos":93001,"result":"answered"}]"#;
        let insert = "INSERT INTO interactions (id, door, agent, agent_version, snapshot, created, latency,
            response_hash, outcome, attempt, guardrail_action, findings, citations, input_tokens, output_tokens,
            cached_input_tokens, attempts, steps, retention, tenant, key)
            VALUES (?1, 'query', 'general', '1', 's', ?2, 9, 'h', 'answered', 2, 'none', '[]', '[]', 7, 8, 6, ?3,
            '[]', 'record', 'one', 'k1')";
        for (id, created, attempts) in [("int_1", 100, attempts), ("int_2", 200, "[]")] {
            connection.execute(insert, params![id, created, attempts]).expect("a turn of old");
        }
        migrate(&mut connection, Path::new("data/mainstay.db")).expect("applied");
        let mut statement = connection.prepare("SELECT * FROM attempts").expect("a query");
        let rows = statement.query_map([], crate::sqlite::ledger::read).expect("rows");
        let rows: Vec<_> = rows.map(|row| Entry::try_from(row.expect("a row")).expect("readable")).collect();
        let told: Vec<_> = rows
            .iter()
            .map(|entry| (entry.at.0, entry.attempt.n, entry.attempt.usage, entry.attempt.cost))
            .collect();
        let usage = Usage { cached_input: TokenCount(6), ..Usage::of(TokenCount(7), TokenCount(8)) };
        let cost = Cost::Exact(Nanos(93_001).into());
        assert_eq!(told, [(100, 1, None, Cost::Unpriced), (100, 2, Some(usage), cost)]);
        assert_eq!(rows[1].asker, Asker { tenant: "one".into(), key: "k1".into() });
        assert_eq!(rows[1].attempt.first_token, Some(std::time::Duration::from_micros(5)));
    }

    #[test]
    fn versions_count_from_one_without_gaps() {
        let versions: Vec<u32> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        let want: Vec<u32> = (1..).take(MIGRATIONS.len()).collect();
        assert_eq!(versions, want);
    }
}
