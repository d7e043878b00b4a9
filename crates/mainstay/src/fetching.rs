//! Model files over the one HTTP client, and what is shown while they come.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use domain::ports::{BoxFuture, Clock};
use embedded::catalogue::Catalogue;
use embedded::fetch::{Body, Download, DownloadError, Kept, Models, Paths, Presence, Pulled};
use futures_util::stream::unfold;
use outbound::OutboundError;

use crate::clock::SystemClock;

/// The model files in `folder`, fetched over `outbound` where they are not there.
pub(crate) fn models(
    folder: &Path,
    catalogue: &Catalogue,
    outbound: &outbound::Client,
    clock: &Arc<SystemClock>,
) -> Models {
    let hubs = Hubs { client: outbound.clone(), clock: Arc::clone(clock) };
    Models::new(folder.to_owned(), Arc::new(catalogue.clone())).with_download(Arc::new(hubs))
}

/// Whether a model's files are here and verified.
pub(crate) fn is_here(models: &Models, name: &str) -> bool {
    matches!(models.inspect(name), Presence::Present(_))
}

/// What is wrong with a model's files, when they are here and not what they should be.
pub(crate) fn damage(models: &Models, name: &str) -> Option<String> {
    match models.inspect(name) {
        Presence::Damaged { reason } => Some(reason),
        Presence::Present(_) | Presence::Missing => None,
    }
}

/// The folder of a model's verified files, fetched where they are not there.
pub(crate) async fn find_or_pull(
    models: &Models,
    name: &str,
    progress: embedded::fetch::Progress,
) -> anyhow::Result<PathBuf> {
    let (looked_at, wanted) = (models.clone(), name.to_owned());
    let damage = tokio::task::spawn_blocking(move || damage(&looked_at, &wanted)).await?;
    if let Some(reason) = &damage {
        tracing::warn!(model.name = name, reason, "`{name}` is damaged and fetched anew: {reason}");
    }
    let pulled = models.pull(name, progress).await;
    let Paths { folder, .. } = match damage {
        Some(reason) => pulled.with_context(|| format!("`{name}` is damaged ({reason})"))?,
        None => pulled?,
    };
    Ok(folder)
}

/// A pull's progress in words.
pub(crate) fn describe(name: &str, pulled: &Pulled) -> String {
    let percent = |bytes: u64| bytes.saturating_mul(100).checked_div(pulled.total).unwrap_or_default();
    let megabytes = pulled.total / 1_000_000;
    let continued = match pulled.kept {
        0 => String::new(),
        kept => format!(", continued at {} %", percent(kept)),
    };
    format!(
        "fetching `{name}` ({megabytes} MB) from {}: {} %{continued}",
        pulled.source,
        percent(pulled.bytes)
    )
}

/// Hubs over HTTPS.
struct Hubs {
    client: outbound::Client,
    clock: Arc<SystemClock>,
}

/// More than any catalogue entry has.
const FILE_BYTES_MAX: u64 = 64 << 30;
/// A hub that sends nothing for this long is given up.
const STALL: Duration = Duration::from_secs(20);
/// The longest fetch of one file.
const FETCH_MAX: Duration = Duration::from_secs(6 * 3_600);

impl Download for Hubs {
    fn get(&self, url: String, kept: Option<Kept>) -> BoxFuture<'_, Result<Body, DownloadError>> {
        Box::pin(async move {
            let download = outbound::Download {
                url,
                allow_private: false,
                kept: kept.map(|Kept { bytes, validator }| outbound::download::Kept { bytes, validator }),
                bytes_max: FILE_BYTES_MAX,
                stall: STALL,
                deadline: self.clock.now().after(FETCH_MAX),
            };
            let arriving = self.client.download(&download).await.map_err(said)?;
            let (begins, validator) = (arriving.begins, arriving.validator.clone());
            let pieces = unfold(arriving, |mut arriving| async {
                let piece = arriving.next().await.map_err(said).transpose()?;
                Some((piece, arriving))
            });
            Ok(Body { begins, validator, pieces: Box::pin(pieces) })
        })
    }
}

fn said(error: OutboundError) -> DownloadError {
    DownloadError(error.to_string())
}
