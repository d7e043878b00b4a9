//! Opening connections to one database file, and what SQLite's errors mean to a caller.

use std::io;
use std::path::{Path, PathBuf};

use domain::ports::StoreError;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::Config;
use crate::stored::Unreadable;

/// The database cannot be used. The reason below it is the error's source.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made or touched.
    #[error("could not create the database file {}", path.display())]
    File {
        /// The database.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// SQLite refuses it: not a database, damaged, locked, not readable.
    #[error("could not open the database {}", path.display())]
    Open {
        /// The database.
        path: PathBuf,
        /// The reason.
        source: rusqlite::Error,
    },
    /// There is no room for what SQLite keeps beside it.
    #[error("the disk of the database {} is full, or a quota is reached: free some space there", path.display())]
    Full {
        /// The database.
        path: PathBuf,
        /// The reason.
        source: rusqlite::Error,
    },
    /// It can be opened, and what it holds is damaged.
    #[error("the database {} is damaged: {found}", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite found first.
        found: String,
    },
    /// Its file system cannot hold a write-ahead log.
    #[error("the database {} cannot keep a write-ahead log here (journal mode stays `{mode}`)", path.display())]
    Journal {
        /// The database.
        path: PathBuf,
        /// The mode it fell back to.
        mode: String,
    },
    /// Another program's database.
    #[error("{} is a database, but not one of Mainstay", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// Written by a newer version of this program.
    #[error("the database {} was written by a newer Mainstay: it has migration {found}, this one ends at {known}", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// The highest migration in it.
        found: u32,
        /// The highest migration known here.
        known: u32,
    },
    /// A migration is not the one that was applied.
    #[error("migration {version} ({name}) is not the one that made the database {}: it was changed since, or a different Mainstay made it", path.display())]
    Changed {
        /// The database.
        path: PathBuf,
        /// The migration.
        version: u32,
        /// Its name.
        name: String,
    },
    /// A migration failed; nothing of it is left behind.
    #[error("could not apply migration {version} to the database {}", path.display())]
    Migrate {
        /// The database.
        path: PathBuf,
        /// The migration.
        version: u32,
        /// The reason.
        source: rusqlite::Error,
    },
    /// No thread for its writer.
    #[error("could not start the writer of the database {}", path.display())]
    Thread {
        /// The database.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

impl OpenError {
    /// What SQLite said of the database at `path`.
    fn of(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error() {
            Some(error) if is_full(error) => Self::Full { path, source },
            _ => Self::Open { path, source },
        }
    }
}

/// The index of the log is a file, too, which grows by 32 KiB: SQLite names no reason where it cannot.
fn is_full(error: &rusqlite::ffi::Error) -> bool {
    error.code == ErrorCode::DiskFull || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
}

/// Why a job failed, before it is told to the caller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// SQLite could not.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A row makes no sense.
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
    /// What was asked cannot be stored.
    #[error("{0}")]
    Refused(String),
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sqlite(error) => store_error(&error),
            Failure::Unreadable(Unreadable(reason)) => Self::Corrupt(reason),
            Failure::Refused(reason) => Self::Unavailable(reason),
        }
    }
}

/// What a SQLite error means to a caller. Its text never holds stored values.
pub(crate) fn store_error(error: &rusqlite::Error) -> StoreError {
    use rusqlite::Error;
    let text = error.to_string();
    match error {
        Error::SqliteFailure(failure, _)
            if matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) =>
        {
            StoreError::Corrupt(text)
        }
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..)
        | Error::InvalidColumnType(..) => StoreError::Corrupt(text),
        _ => StoreError::Unavailable(text),
    }
}

/// A larger database is not read whole by [`examine`]: 256 MiB take about a second.
const EXAMINED_BYTES_MAX: u64 = 256 << 20;

/// Looks whether the database at `path` can be read, without changing it; one of up to 256 MiB is read whole. Blocks.
/// A server may use it meanwhile.
///
/// # Errors
/// [`OpenError`] when it is damaged, or no database.
pub fn examine(path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::of(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(Config::default().busy_timeout).map_err(failed)?;
    let small = std::fs::metadata(path).is_ok_and(|file| file.len() <= EXAMINED_BYTES_MAX);
    let look = if small { "PRAGMA quick_check(1)" } else { "SELECT 'ok' FROM sqlite_schema LIMIT 1" };
    let found: String = connection.query_row(look, [], |row| row.get(0)).map_err(failed)?;
    if found == "ok" { Ok(()) } else { Err(OpenError::Damaged { path: path.to_owned(), found }) }
}

/// Whether the database at `path` holds keys of clients; one that is not there holds none. Blocks. Nothing is changed.
///
/// # Errors
/// [`OpenError`] when it cannot be read.
pub fn has_keys(path: &Path) -> Result<bool, OpenError> {
    if !path.exists() {
        return Ok(false);
    }
    let failed = |source| OpenError::of(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(Config::default().busy_timeout).map_err(failed)?;
    // An older database has no such table yet.
    let has_table = connection.table_exists(None, "keys").map_err(failed)?;
    Ok(has_table
        && connection
            .query_row("SELECT EXISTS (SELECT 1 FROM keys)", [], |row| row.get(0))
            .map_err(failed)?)
}

/// Opens the one connection that writes, making the file (readable by its owner only) when there is none.
pub(crate) fn open_writer(path: &Path, config: &Config) -> Result<Connection, OpenError> {
    create(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    let failed = |source| OpenError::of(path, source);
    let connection = open(path, config).map_err(failed)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(OpenError::Journal { path: path.to_owned(), mode });
    }
    Ok(connection)
}

/// Opens a connection that cannot write.
pub(crate) fn open_reader(path: &Path, config: &Config) -> rusqlite::Result<Connection> {
    let connection = open(path, config)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn open(path: &Path, config: &Config) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(config.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // Texts whose time is over are overwritten, not only unlinked.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // A negative size is in KiB, a positive one in pages (sqlite.org/pragma.html#pragma_cache_size).
    connection.pragma_update(None, "cache_size", -i64::from(config.cache_kib))?;
    connection.pragma_update(None, "mmap_size", i64::from(config.mmap_kib) * 1024)?;
    Ok(connection)
}

/// Makes the file so that only its owner can read it; SQLite gives its companions the same mode.
fn create(path: &Path) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}
