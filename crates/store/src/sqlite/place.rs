//! Whether the path of a database still names the file that is open: SQLite goes on writing to one that was removed, and
//! all that it acknowledges then is lost.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use domain::ports::StoreError;

/// Where an open database lies.
pub(crate) struct Place {
    path: PathBuf,
    /// Device and number of the file; `None` where the system has none.
    identity: Option<(u64, u64)>,
}

impl Place {
    /// The place of the database that was just opened at `path`.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(&std::fs::metadata(path)?) })
    }

    /// Costs about a microsecond. What the path names cannot always be told; then SQLite is left to find out.
    ///
    /// # Errors
    /// [`StoreError::Gone`] when the file was removed, moved or replaced.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let is_gone = match std::fs::metadata(&self.path) {
            Ok(found) => identity(&found) != self.identity,
            Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        };
        if is_gone { Err(StoreError::Gone(self.path.display().to_string())) } else { Ok(()) }
    }
}

#[cfg(unix)]
fn identity(file: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Option<(u64, u64)> {
    None
}
