//! Tells of records that could not be written, in a few lines: the first one, then a count now and then, then that it is
//! over. A line for each would fill the log's disk as well.

use std::time::Duration;

use domain::id::InteractionId;
use domain::ports::StoreError;
use domain::time::Moment;
use parking_lot::Mutex;

/// Each of the two lines is written at most this often.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// What was lost, and how much of it was told.
#[derive(Debug, Default)]
pub(crate) struct Losses(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Since the last line that told of an end.
    n_lost: u64,
    /// Of those, since the last line.
    n_untold: u64,
    told_loss: Option<Moment>,
    told_end: Option<Moment>,
}

impl Losses {
    /// The record of `id` is lost.
    pub(crate) fn lost(&self, now: Moment, id: &InteractionId, error: &StoreError) {
        match self.0.lock().lose(now) {
            None => {}
            Some(1) => tracing::error!(interaction.id = %id, %error, "a record was lost"),
            Some(n) => tracing::error!(n, interaction.id = %id, %error, "{n} more records were lost"),
        }
    }

    /// A record was written.
    pub(crate) fn kept(&self, now: Moment) {
        if let Some(n) = self.0.lock().keep(now) {
            tracing::info!(n, "records are written again; {n} were lost");
        }
    }
}

impl State {
    /// How many losses are to be told now.
    fn lose(&mut self, now: Moment) -> Option<u64> {
        self.n_lost += 1;
        self.n_untold += 1;
        is_time(&mut self.told_loss, now).then(|| std::mem::take(&mut self.n_untold))
    }

    /// How many losses have come to an end, when that is to be told now.
    fn keep(&mut self, now: Moment) -> Option<u64> {
        if self.n_lost == 0 || !is_time(&mut self.told_end, now) {
            return None;
        }
        self.n_untold = 0;
        Some(std::mem::take(&mut self.n_lost))
    }
}

/// Whether a line may be written now; then it counts as written.
fn is_time(told: &mut Option<Moment>, now: Moment) -> bool {
    let is_time = told.is_none_or(|told| now.since(told) >= TOLD_EVERY);
    if is_time {
        *told = Some(now);
    }
    is_time
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Record {
        Lost,
        Kept,
    }

    #[test]
    fn many_losses_take_few_lines() {
        use Record::{Kept, Lost};
        let mut state = State::default();
        for (at_ms, record, want) in [
            (0, Kept, None),
            (1, Lost, Some(1)),
            (2, Lost, None),
            (10_000, Lost, None),
            (10_001, Lost, Some(3)),
            (10_002, Lost, None),
            (10_003, Kept, Some(5)),
            (10_004, Kept, None),
            // A disk on which small records find room and large ones do not.
            (10_005, Lost, None),
            (10_006, Kept, None),
            (20_003, Kept, Some(1)),
            (20_004, Kept, None),
            (20_005, Lost, Some(1)),
        ] {
            let now = Moment(Duration::from_millis(at_ms));
            let told = match record {
                Lost => state.lose(now),
                Kept => state.keep(now),
            };
            assert_eq!(told, want, "at {at_ms} ms");
        }
    }
}
