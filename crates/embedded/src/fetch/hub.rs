//! A model from a hub, over HTTPS; a file that broke off is continued where it stopped, now or by a later pull.

use bytes::Bytes;
use futures_util::StreamExt;

use super::incoming::Incoming;
use super::partial::{self, Provenance};
use super::pull::Pull;
use super::{Body, Download, DownloadError, SourceError, blocking};
use crate::catalogue;

/// Tries of one file in one pull; each must bring more than the one before.
const TRIES_MAX: usize = 5;

/// Where a file of a model is in it.
struct Wanted<'a> {
    file: &'a catalogue::File,
    url: String,
    /// Bytes of the model's files before this one.
    before: u64,
}

/// Why a try brought no file.
enum Failure {
    /// The connection broke.
    Broken(String),
    /// What came is not the file; whether it was the continuation of an earlier try.
    Damaged { reason: String, is_continued: bool },
    /// Trying again does not help.
    Final(SourceError),
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::Final(error)
    }
}

impl Pull<'_> {
    /// Reads all files of the model from the hub at `address`.
    pub(super) async fn read_hub(&self, address: &str) -> Result<(), SourceError> {
        let no_client = || SourceError::Reason("no hub may be asked here".to_owned());
        let download = self.models.download.as_ref().ok_or_else(no_client)?;
        let mut before = 0;
        for file in &self.model.files {
            let wanted = Wanted { file, url: format!("{address}{}", file.name), before };
            self.read_file(download.as_ref(), &wanted).await?;
            before += file.bytes;
        }
        Ok(())
    }

    async fn read_file(&self, download: &dyn Download, wanted: &Wanted<'_>) -> Result<(), SourceError> {
        let mut last = String::new();
        for _ in 0..TRIES_MAX {
            let reached = partial::bytes(self.folder, wanted.file);
            match self.try_file(download, wanted).await {
                Ok(()) => return Ok(()),
                // Once more if it got further than before.
                Err(Failure::Broken(reason)) if partial::bytes(self.folder, wanted.file) > reached => {
                    tracing::info!("`{}` broke off and is continued: {reason}", wanted.url);
                    last = reason;
                }
                // The beginning may have been the wrong part of it, and is gone now.
                Err(Failure::Damaged { reason, is_continued: true }) => last = reason,
                Err(Failure::Broken(reason) | Failure::Damaged { reason, .. }) => {
                    return Err(SourceError::Reason(reason));
                }
                Err(Failure::Final(error)) => return Err(error),
            }
        }
        Err(SourceError::Reason(format!("{last} (after {TRIES_MAX} tries)")))
    }

    async fn try_file(&self, download: &dyn Download, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let (folder, file, url) = (self.folder.to_owned(), wanted.file.clone(), wanted.url.clone());
        let kept = blocking(move || {
            let kept = partial::find(&folder, &file, &url);
            // The last try ended between its last byte and the verification.
            if kept.is_some() && partial::is_whole(&folder, &file) {
                Incoming::resume(&folder, &file, file.bytes)?.finish()?;
                return Ok(None);
            }
            // Nothing can be asked for after the last byte.
            Ok(Some(kept.filter(|kept| kept.bytes < file.bytes)))
        });
        let Some(kept) = kept.await? else {
            self.report.continue_at(wanted.before, wanted.file.bytes);
            return Ok(());
        };
        let broken = |error: DownloadError| Failure::Broken(error.0);
        let body = download.get(wanted.url.clone(), kept.clone()).await.map_err(broken)?;
        if body.begins > 0 && kept.is_none_or(|kept| kept.bytes != body.begins) {
            let reason = format!("the hub sent the part from byte {} on, unasked", body.begins);
            return Err(Failure::Final(SourceError::Reason(reason)));
        }
        self.report.continue_at(wanted.before, body.begins);
        self.receive(body, wanted).await
    }

    /// Writes what arrives behind what is there.
    async fn receive(&self, body: Body, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let Body { begins, validator, mut pieces } = body;
        let is_continued = begins > 0;
        let from = Provenance { url: wanted.url.clone(), validator };
        let (folder, file, report) = (self.folder.to_owned(), wanted.file.clone(), self.report.clone());
        // A closed channel alone must not count as the end of the body.
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<Option<Bytes>>(16);
        let writer = blocking(move || {
            let mut incoming = if is_continued {
                Incoming::resume(&folder, &file, begins)?
            } else {
                Incoming::begin(&folder, &file, &from)?
            };
            while let Some(piece) = receiver.blocking_recv() {
                let Some(bytes) = piece else { return incoming.finish() };
                incoming.write(&bytes)?;
                report.add(u64::try_from(bytes.len()).unwrap_or(0));
            }
            Err(SourceError::Reason("the download broke off".to_owned()))
        });
        let reader = async move {
            while let Some(piece) = pieces.next().await {
                // When the writer has stopped, its own error counts.
                if sender.send(Some(piece?)).await.is_err() {
                    return Ok(());
                }
            }
            _ = sender.send(None).await;
            Ok(())
        };
        let (read, written) = futures_util::future::join(reader, writer).await;
        read.map_err(|error: DownloadError| Failure::Broken(error.0))?;
        written.map_err(|error| match error {
            SourceError::Damaged(reason) => Failure::Damaged { reason, is_continued },
            SourceError::Short(reason) => Failure::Broken(reason),
            error => Failure::Final(error),
        })
    }
}
