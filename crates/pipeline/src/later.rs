//! Records that may be written after their reply (`durability = "async"`): gathered for a moment, so that many share one
//! transaction. One by one they would cost the core more than the request itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::interaction::FinishedTurn;
use domain::ports::{Clock, Records};
use parking_lot::Mutex;

use crate::losses::Losses;
use crate::parts::Parts;

/// Records that may be on their way to disk; with more, a reply waits for its own.
const UNWRITTEN_MAX: usize = 2_048;
/// How long the first record waits for others: what a crash may lose beside what the disk is busy with.
const GATHER: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(crate) struct Later {
    records: Mutex<Unwritten>,
    n_lost: AtomicU64,
    losses: Losses,
}

#[derive(Default)]
struct Unwritten {
    waiting: Vec<FinishedTurn>,
    /// Handed to the store, which has not answered yet.
    n_writing: usize,
    has_writer: bool,
}

impl Later {
    /// Takes `turn` to be written soon, or gives it back when too many wait already.
    pub(crate) fn take(
        self: &Arc<Self>,
        parts: &Parts,
        turn: Box<FinishedTurn>,
    ) -> Option<Box<FinishedTurn>> {
        let mut records = self.records.lock();
        if records.waiting.len() + records.n_writing >= UNWRITTEN_MAX {
            return Some(turn);
        }
        records.waiting.push(*turn);
        let has_writer = std::mem::replace(&mut records.has_writer, true);
        drop(records);
        if !has_writer {
            let (store, clock) = (Arc::clone(&parts.records), Arc::clone(&parts.clock));
            let later = Arc::clone(self);
            parts.tasks.spawn(async move {
                loop {
                    clock.sleep_until(clock.now().after(GATHER)).await;
                    let Some(turns) = later.next() else { return };
                    later.write((store.as_ref(), clock.as_ref()), turns).await;
                }
            });
        }
        None
    }

    /// Writes what waits, at once; what the task is writing is queued in the store already.
    pub(crate) async fn flush(&self, parts: &Parts) {
        let turns = std::mem::take(&mut self.records.lock().waiting);
        self.write((parts.records.as_ref(), parts.clock.as_ref()), turns).await;
    }

    /// Where it is told that a record is lost whose caller cannot be told any more.
    pub(crate) fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Records that could not be written, since the start.
    pub(crate) fn n_lost(&self) -> u64 {
        self.n_lost.load(Ordering::Relaxed)
    }

    async fn write(&self, (store, clock): (&dyn Records, &dyn Clock), turns: Vec<FinishedTurn>) {
        let n_turns = turns.len();
        let lost = store.record_all(turns).await;
        let now = clock.now();
        if lost.len() < n_turns {
            self.losses.kept(now);
        }
        for (id, error) in lost {
            self.n_lost.fetch_add(1, Ordering::Relaxed);
            self.losses.lost(now, &id, &error);
        }
    }

    /// What waits now; `None` ends the task that writes.
    fn next(&self) -> Option<Vec<FinishedTurn>> {
        let mut records = self.records.lock();
        let turns = std::mem::take(&mut records.waiting);
        records.n_writing = turns.len();
        records.has_writer = !turns.is_empty();
        records.has_writer.then_some(turns)
    }
}
