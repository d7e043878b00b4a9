//! The server's database seen by another process, as a person with `sqlite3` sees it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

/// The database of a data folder.
pub(crate) struct Database(Connection);

impl Database {
    pub(crate) fn open(data: &Path) -> Self {
        let connection = Connection::open(data.join("mainstay.db")).expect("a database");
        connection.busy_timeout(Duration::from_secs(10)).expect("a wait");
        Self(connection)
    }

    /// What SQLite finds wrong with it: `ok`, or a list.
    pub(crate) fn integrity(&self) -> String {
        self.0.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check")
    }

    /// How often each id stands in `table`.
    pub(crate) fn ids(&self, table: &str) -> BTreeMap<String, u32> {
        let sql = format!("SELECT id, count(*) FROM {table} GROUP BY id");
        let mut statement = self.0.prepare(&sql).expect("a table");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        rows.collect::<rusqlite::Result<_>>().expect("rows")
    }

    /// Takes the lock that writers need.
    pub(crate) fn lock(&self) {
        self.0.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    }

    /// Gives the lock back.
    pub(crate) fn unlock(&self) {
        self.0.execute_batch("ROLLBACK").expect("held");
    }
}
