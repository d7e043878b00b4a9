//! Whether the store can take the next record: a write is tried, earlier failures are remembered for a while, and the
//! disk must have room left.

use std::path::{Path, PathBuf};
use std::time::Duration;

use api::health::{Part, PartState};
use domain::ports::{Clock, Records, StoreError};
use domain::time::Moment;
use parking_lot::Mutex;
use pipeline::parts::OnFailure;
use store::Store;

use crate::data;

/// Writes that failed count for this long: a small write may find room where a record does not.
const REMEMBERED: Duration = Duration::from_secs(60);

/// What is known of the store's disk.
pub(crate) struct StoreHealth {
    /// The folder of the database.
    folder: PathBuf,
    free_bytes_min: u64,
    on_failure: OnFailure,
    failures: Mutex<Failures>,
}

/// Writes that failed, as far as they were seen.
#[derive(Debug, Default)]
struct Failures {
    seen: u64,
    last: Option<Moment>,
}

/// How writes went lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lately {
    Fine,
    Failed,
}

impl Failures {
    /// How the writes went lately; `failed` is how many failed in all.
    fn lately(&mut self, failed: u64, now: Moment) -> Lately {
        if failed > self.seen {
            self.seen = failed;
            self.last = Some(now);
        }
        match self.last {
            Some(last) if now.since(last) < REMEMBERED => Lately::Failed,
            _ => Lately::Fine,
        }
    }
}

impl StoreHealth {
    /// Of the database at `path`; its disk is to keep `free_bytes_min` free.
    pub(crate) fn new(path: &Path, free_bytes_min: u64, on_failure: OnFailure) -> Self {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        Self { folder, free_bytes_min, on_failure, failures: Mutex::default() }
    }

    /// How the store is now.
    pub(crate) async fn part(&self, store: &Store, clock: &dyn Clock) -> Part {
        let written = store.probe().await;
        let lately = self.failures.lock().lately(store.stats().failed, clock.now());
        let (folder, least) = (self.folder.clone(), self.free_bytes_min);
        let shortage = tokio::task::spawn_blocking(move || data::shortage(&folder, least)).await;
        let (state, detail) = verdict(written, (lately, self.on_failure), shortage.unwrap_or_default());
        Part { name: "store".to_owned(), state, detail }
    }
}

fn verdict(
    written: Result<(), StoreError>,
    (lately, on_failure): (Lately, OnFailure),
    shortage: Option<String>,
) -> (PartState, String) {
    let (now, soon, some) = match on_failure {
        OnFailure::Answer => (
            "answers go on but are not recorded",
            "soon answers are no longer recorded",
            "some answers were not recorded",
        ),
        OnFailure::Refuse => (
            "answers are refused, as `[records] on_failure` says",
            "soon answers are refused",
            "some answers were refused",
        ),
    };
    match (written, shortage) {
        // The error itself says what to do.
        (Err(error @ StoreError::Gone(_)), _) => (PartState::Failed, format!("{error}; {now}")),
        (Err(error), shortage) => {
            let also = shortage.map(|shortage| format!(" ({shortage})")).unwrap_or_default();
            let detail = format!("{error}{also}; {now}: free space on its disk or make it writable");
            (PartState::Failed, detail)
        }
        (Ok(()), Some(shortage)) => {
            let detail = format!("{shortage}; {soon}: free space on this disk");
            (PartState::Degraded, detail)
        }
        (Ok(()), None) if lately == Lately::Failed => {
            let detail = format!(
                "writes failed in the last {} s, a small one reached the disk just now: {some}; \
                 free space on its disk, and look into the log for the reason",
                REMEMBERED.as_secs()
            );
            (PartState::Degraded, detail)
        }
        (Ok(()), None) => (PartState::Ready, "a write reached the disk".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_ready_only_when_the_next_record_fits() {
        let full = || Err(StoreError::Unavailable("database or disk is full".to_owned()));
        let short = || Some("1 MB are free".to_owned());
        let gone = || Err(StoreError::Gone("data/mainstay.db".to_owned()));
        for (written, lately, shortage, want, says) in [
            (gone(), Lately::Failed, short(), PartState::Failed, "put it back, or restart Mainstay"),
            (Ok(()), Lately::Fine, None, PartState::Ready, "reached the disk"),
            (Ok(()), Lately::Failed, None, PartState::Degraded, "writes failed in the last 60 s"),
            (Ok(()), Lately::Fine, short(), PartState::Degraded, "1 MB are free; soon"),
            (Ok(()), Lately::Failed, short(), PartState::Degraded, "free space"),
            (full(), Lately::Fine, None, PartState::Failed, "disk is full; answers go on"),
            (full(), Lately::Failed, short(), PartState::Failed, "disk is full (1 MB are free)"),
        ] {
            let (state, detail) = verdict(written, (lately, OnFailure::Answer), shortage);
            assert_eq!(state, want, "{detail}");
            assert!(detail.contains(says), "{detail}");
        }
        let (_, detail) = verdict(full(), (Lately::Fine, OnFailure::Refuse), None);
        assert!(detail.contains("disk is full; answers are refused, as `[records]"), "{detail}");
    }

    #[test]
    fn a_failed_write_is_remembered_for_a_minute() {
        let mut failures = Failures::default();
        for (at_s, failed, want) in [
            (0, 0, Lately::Fine),
            (10, 2, Lately::Failed),
            (69, 2, Lately::Failed),
            (70, 2, Lately::Fine),
            (80, 3, Lately::Failed),
            (139, 3, Lately::Failed),
            (140, 3, Lately::Fine),
        ] {
            let now = Moment(Duration::from_secs(at_s));
            assert_eq!(failures.lately(failed, now), want, "at {at_s} s");
        }
    }
}
