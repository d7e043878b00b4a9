//! SQLite through the conformance suite, and what only this engine has: group commit, locks, full disks, kills.

mod crash;
mod faults;
mod group;
mod opening;

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{Config, Store};
use crate::conformance::{Engine, Ports};

/// A database in a folder that goes away with it.
struct Sqlite {
    folder: TempDir,
}

impl Sqlite {
    fn path(&self) -> PathBuf {
        self.folder.path().join("mainstay.db")
    }

    fn store(&self, config: &Config) -> Arc<Store> {
        Store::open(&self.path(), config).expect("a store")
    }

    /// A connection as another process has it.
    fn stranger(&self) -> Connection {
        Connection::open(self.path()).expect("a connection")
    }
}

impl Engine for Sqlite {
    fn new() -> Self {
        Self { folder: TempDir::new().expect("a folder") }
    }

    fn open(&self) -> Arc<dyn Ports> {
        self.store(&Config::default())
    }
}

fn integrity(connection: &Connection) -> String {
    connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check")
}

mod conformance {
    crate::conformance::conformance!(crate::sqlite::tests::Sqlite);
}
