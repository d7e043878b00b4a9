//! Model files over the one HTTP client, and what is shown while they come.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use domain::ports::{BoxFuture, Clock};
use embedded::catalogue::Catalogue;
use embedded::fetch::{ByteStream, Download, DownloadError, Models, Paths, Presence, Pulled};
use futures_util::stream::unfold;
use outbound::OutboundError;
use tokio::io::{AsyncReadExt, DuplexStream};

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
    let percent = pulled.bytes.saturating_mul(100).checked_div(pulled.total).unwrap_or_default();
    let megabytes = pulled.total / 1_000_000;
    format!("fetching `{name}` ({megabytes} MB) from {}: {percent} %", pulled.source)
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
/// Bytes between the connection and the disk.
const PIPE_BYTES: usize = 256 << 10;
const PORTION_BYTES: usize = 64 << 10;

impl Download for Hubs {
    fn get(&self, url: String) -> BoxFuture<'_, Result<ByteStream, DownloadError>> {
        let download = outbound::Download {
            url,
            allow_private: false,
            from: 0,
            bytes_max: FILE_BYTES_MAX,
            stall: STALL,
            deadline: self.clock.now().after(FETCH_MAX),
        };
        let client = self.client.clone();
        let (mut writer, reader) = tokio::io::duplex(PIPE_BYTES);
        let fetching: BoxFuture<'static, _> =
            Box::pin(async move { client.download(&download, &mut writer, &mut |_| {}).await });
        let stream = unfold(Fetch { reader, fetching: Some(fetching) }, |mut fetch| async {
            fetch.next().await.map(|portion| (portion, fetch))
        });
        Box::pin(async { Ok(Box::pin(stream) as ByteStream) })
    }
}

/// A fetch under way: the future that writes into the pipe, and the pipe's other end.
struct Fetch {
    reader: DuplexStream,
    /// `None` once everything was written.
    fetching: Option<BoxFuture<'static, Result<u64, OutboundError>>>,
}

impl Fetch {
    async fn next(&mut self) -> Option<Result<Bytes, DownloadError>> {
        let mut portion = BytesMut::with_capacity(PORTION_BYTES);
        loop {
            let Some(fetching) = &mut self.fetching else {
                return self.rest(portion).await;
            };
            tokio::select! {
                read = self.reader.read_buf(&mut portion) => match read {
                    Ok(0) => {}
                    Ok(_) => return Some(Ok(portion.freeze())),
                    Err(error) => return Some(Err(DownloadError(error.to_string()))),
                },
                fetched = fetching => {
                    self.fetching = None;
                    if let Err(error) = fetched {
                        return Some(Err(DownloadError(error.to_string())));
                    }
                }
            }
        }
    }

    /// What was written before the fetch ended.
    async fn rest(&mut self, mut portion: BytesMut) -> Option<Result<Bytes, DownloadError>> {
        match self.reader.read_buf(&mut portion).await {
            Ok(0) => None,
            Ok(_) => Some(Ok(portion.freeze())),
            Err(error) => Some(Err(DownloadError(error.to_string()))),
        }
    }
}
