//! Model files over the one HTTP client, and what is shown while they come.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use embedded::catalogue::Catalogue;

use crate::clock::SystemClock;

pub(crate) struct Models { folder: PathBuf, catalogue: Catalogue }
pub(crate) struct Progress { pub(crate) done: u64, pub(crate) total: Option<u64> }

/// The model files in `folder`.
pub(crate) fn models(
    folder: &Path,
    catalogue: &Catalogue,
    outbound: &outbound::Client,
    clock: &Arc<SystemClock>,
) -> Models {
    let _ = (outbound, clock);
    Models { folder: folder.to_owned(), catalogue: catalogue.clone() }
}
pub(crate) fn describe(name: &str, progress: Progress) -> String { format!("{name} {} {:?}", progress.done, progress.total) }
pub(crate) fn is_here(models: &Models, name: &str) -> bool {
    models.catalogue.model(name).is_some_and(|model| model.files.iter().all(|file| models.folder.join(name).join(&file.name).is_file()))
}
#[expect(clippy::unused_async, reason = "tmp")]
pub(crate) async fn find_or_pull(models: &Models, name: &str, _progress: &(dyn Fn(Progress) + Sync)) -> anyhow::Result<PathBuf> {
    anyhow::ensure!(is_here(models, name), "not here");
    Ok(models.folder.join(name))
}
