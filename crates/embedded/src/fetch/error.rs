//! Why a model could not be had, in all and from each source.

use std::io;
use std::path::PathBuf;

/// A source that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The source.
    pub source: String,
    /// Why it did not deliver.
    pub reason: String,
}

/// A model could not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The catalogue does not have it.
    #[error("there is no model `{name}` in the catalogue")]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// No source delivered it.
    #[error("model `{name}` could not be had:{}", list(.tried))]
    NoSource {
        /// The model.
        name: String,
        /// Each source with its reason.
        tried: Vec<Tried>,
    },
    /// The disk is too small.
    #[error("the disk of {folder} has {free} bytes free, model `{name}` needs {needed}")]
    DiskFull {
        /// The model.
        name: String,
        /// The models folder.
        folder: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The models folder cannot be written.
    #[error("the models folder {folder} cannot be written")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn list(tried: &[Tried]) -> String {
    if tried.is_empty() {
        return " it has no sources".to_owned();
    }
    tried.iter().map(|tried| format!("\n  {}: {}", tried.source, tried.reason)).collect()
}

/// Why one source did not deliver.
#[derive(Debug)]
pub(crate) enum SourceError {
    Reason(String),
    /// What came is not the file.
    Damaged(String),
    /// What came ends too soon.
    Short(String),
    Io(io::Error),
}

impl From<io::Error> for SourceError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
