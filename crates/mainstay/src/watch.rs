//! Watches the configuration folder: a good change is served at once, a bad one is refused and told.

use std::sync::Arc;
use std::time::Duration;

use domain::ports::Clock;
use notify::{RecursiveMode, Watcher};
use registry::folder::Folder;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::assembly::Assembly;
use crate::config::Source;

/// Editors write a file in several strokes: a folder is read once it was quiet for this long.
const QUIET: Duration = Duration::from_millis(200);

/// Follows the folder of `source`, where it is one on disk, until `shutdown`.
pub(crate) async fn run(source: Source, assembly: Arc<Assembly>, shutdown: CancellationToken) {
    let Some(root) = source.root() else { return };
    let changed = Arc::new(Notify::new());
    let wake = Arc::clone(&changed);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a folder makes events too; only what may have changed its content counts.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            wake.notify_one();
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::error!(%error, "the configuration folder cannot be watched; restart to apply changes");
            return;
        }
    };
    if let Err(error) = watcher.watch(root, RecursiveMode::Recursive) {
        tracing::error!(%error, path = %root.display(), "the configuration folder cannot be watched; restart to apply changes");
        return;
    }
    let mut served = assembly.folder();
    loop {
        tokio::select! {
            () = changed.notified() => {}
            () = shutdown.cancelled() => return,
        }
        settle(&changed, assembly.clock()).await;
        let reading = source.clone();
        let read = tokio::task::spawn_blocking(move || reading.read()).await;
        let folder = match read {
            Ok(Ok(folder)) => folder,
            Ok(Err(error)) => {
                tracing::error!(%error, "the configuration cannot be read; the last good one goes on serving");
                continue;
            }
            Err(error) => {
                tracing::error!(%error, "reading the configuration failed; the last good one goes on serving");
                continue;
            }
        };
        if folder != served {
            apply(source.clone(), folder.clone(), &assembly).await;
            served = folder;
        }
    }
}

async fn settle(changed: &Notify, clock: &dyn Clock) {
    loop {
        tokio::select! {
            () = changed.notified() => {}
            () = clock.sleep(QUIET) => return,
        }
    }
}

async fn apply(source: Source, folder: Folder, assembly: &Assembly) {
    let loaded = tokio::task::spawn_blocking(move || source.load(folder)).await;
    match loaded {
        Ok(Ok(loaded)) => assembly.apply(loaded).await,
        Ok(Err(problems)) => {
            for problem in &problems.0 {
                tracing::error!(file = problem.file, line = problem.line, "{problem}");
            }
            tracing::error!("the change is refused; the last good configuration goes on serving");
        }
        Err(error) => {
            tracing::error!(%error, "checking the configuration failed; the last good one goes on serving")
        }
    }
}
