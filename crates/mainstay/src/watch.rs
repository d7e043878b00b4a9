//! Watches the configuration folder: a good change is served at once, a bad one is refused and told.
//!
//! Beside what the system tells of the folder, every few seconds it is looked whether another folder stands in its place, as
//! after a rename or where a link was pointed elsewhere, and whether a file with a provider's key has another content.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::ports::Clock;
use domain::time::Moment;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use registry::folder::Folder;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::assembly::Assembly;
use crate::config::Source;

/// Editors write a file in several strokes: a folder is read once it was quiet for this long.
const QUIET: Duration = Duration::from_millis(200);
/// How often it is looked for what the system does not tell of. Certificates are looked at as often.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A change that could not be served, as for a key that was not there yet, is tried again so often.
const RETRY_EVERY: Duration = Duration::from_secs(10);

/// Follows the folder of `source`, where it is one on disk, until `shutdown`.
pub(crate) async fn run(source: Source, assembly: Arc<Assembly>, shutdown: CancellationToken) {
    let Some(root) = source.root().map(Path::to_owned) else { return };
    let changed = Arc::new(Notify::new());
    let mut eyes = Eyes { root, changed: Arc::clone(&changed), place: None, watcher: None };
    eyes.turn_to(place(&eyes.root));
    let mut follower = Follower { seen: assembly.folder(), source, assembly, retry_at: None };
    let mut secrets_before = None;
    loop {
        let reason = tokio::select! {
            () = changed.notified() => Reason::Changed,
            () = follower.assembly.clock().sleep(LOOK_EVERY) => {
                let (root, clients) = (eyes.root.clone(), Arc::clone(&follower.assembly.provider_clients));
                let looking = tokio::task::spawn_blocking(move || (place(&root), clients.new_secrets()));
                let Ok((place, secrets)) = looking.await else { continue };
                // A file is written in strokes: what is found twice is meant.
                let has_new_secrets = secrets.is_some() && secrets == secrets_before;
                secrets_before = secrets;
                if eyes.turn_to(place) {
                    Reason::Changed
                } else if has_new_secrets || follower.is_to_retry() {
                    Reason::Again
                } else {
                    continue
                }
            }
            () = shutdown.cancelled() => return,
        };
        if reason == Reason::Changed {
            settle(&changed, follower.assembly.clock()).await;
        }
        follower.follow(reason).await;
    }
}

/// Why the folder is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// It may have changed.
    Changed,
    /// What it names may have changed, or may be there now.
    Again,
}

/// Which folder stands at a path, links followed; `None` while there is none.
type FolderPlace = Option<(u64, u64)>;

/// Blocks, for a moment.
fn place(root: &Path) -> FolderPlace {
    std::fs::metadata(root).ok().map(|found| (found.dev(), found.ino()))
}

/// What the system is asked to tell of.
struct Eyes {
    root: PathBuf,
    changed: Arc<Notify>,
    place: FolderPlace,
    watcher: Option<RecommendedWatcher>,
}

impl Eyes {
    /// Watches the folder that stands at the path now; whether it is another one than before.
    fn turn_to(&mut self, place: FolderPlace) -> bool {
        if place == self.place {
            return false;
        }
        self.place = place;
        self.watcher = None;
        if place.is_none() {
            tracing::error!(path = %self.root.display(), "the configuration folder is gone; the last good configuration goes on serving");
            return false;
        }
        match self.watch() {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => {
                tracing::error!(%error, path = %self.root.display(), "the configuration folder cannot be watched; restart to apply changes");
            }
        }
        true
    }

    fn watch(&self) -> notify::Result<RecommendedWatcher> {
        let wake = Arc::clone(&self.changed);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a folder makes events too; only what may have changed its content counts.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                wake.notify_one();
            }
        })?;
        watcher.watch(&self.root, RecursiveMode::Recursive)?;
        Ok(watcher)
    }
}

/// Serves what the folder holds.
struct Follower {
    source: Source,
    assembly: Arc<Assembly>,
    /// The folder that was looked at last.
    seen: Folder,
    /// When what could not be served is tried again.
    retry_at: Option<Moment>,
}

impl Follower {
    fn is_to_retry(&self) -> bool {
        self.retry_at.is_some_and(|at| at <= self.assembly.clock().now())
    }

    /// Reads the folder and serves it, where it is another one or is to be tried again.
    async fn follow(&mut self, reason: Reason) {
        let source = self.source.clone();
        let read = tokio::task::spawn_blocking(move || source.read()).await;
        let read =
            read.map_err(|error| error.to_string()).and_then(|read| read.map_err(|error| error.to_string()));
        let folder = match read {
            Ok(folder) => folder,
            Err(error) => return self.refuse(format!("the folder cannot be read: {error}")),
        };
        if folder == self.seen && reason == Reason::Changed && self.assembly.refused.lock().is_none() {
            return;
        }
        self.seen = folder.clone();
        self.retry_at = None;
        match self.apply(folder).await {
            Ok(()) => *self.assembly.refused.lock() = None,
            Err(reason) => self.refuse(reason),
        }
    }

    /// Serves `folder`; why not, if not.
    async fn apply(&mut self, folder: Folder) -> Result<(), String> {
        let source = self.source.clone();
        let loaded = tokio::task::spawn_blocking(move || source.load(folder)).await;
        let loaded = match loaded.map_err(|error| format!("it could not be checked: {error}"))? {
            Ok(loaded) => loaded,
            Err(problems) => {
                for problem in &problems.0 {
                    tracing::error!(file = problem.file, line = problem.line, "{problem}");
                }
                let (first, n_more) =
                    (problems.0.first().map(ToString::to_string), problems.0.len().saturating_sub(1));
                let more = if n_more > 0 { format!(" (and {n_more} more)") } else { String::new() };
                return Err(format!("{}{more}", first.unwrap_or_default()));
            }
        };
        let applied = self.assembly.apply(loaded).await;
        if applied.is_err() {
            self.retry_at = Some(self.assembly.clock().now().after(RETRY_EVERY));
        }
        applied
    }

    /// Tells of it, once.
    fn refuse(&self, reason: String) {
        let mut refused = self.assembly.refused.lock();
        if refused.as_ref() != Some(&reason) {
            tracing::error!(
                reason,
                "the change is refused: {reason}; the last good configuration goes on serving"
            );
        }
        *refused = Some(reason);
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
