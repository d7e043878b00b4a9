//! What the world saw of each turn, from outside: the calls that reached a model, the records that reached the store.

use std::collections::BTreeMap;

use domain::fault::Kind;
use domain::id::TargetId;
use domain::time::Moment;
use parking_lot::{Mutex, MutexGuard};

/// How a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// `/generate`, in one piece.
    Generate,
    /// `/generate` as an event stream.
    Live,
    /// `/query` in a session.
    Query,
    /// `/v1/chat/completions` in one piece.
    Whole,
    /// The same as an event stream.
    Streamed,
}

impl Way {
    pub(crate) fn is_relayed(self) -> bool {
        matches!(self, Self::Whole | Self::Streamed)
    }
}

/// How a call that reached a model ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallEnd {
    /// It has not.
    Open,
    /// With a complete answer.
    Answered,
    /// With a failure.
    Failed(Kind),
    /// Nobody waited for it any more.
    Dropped,
}

/// A call that reached a model.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Its number in the whole run.
    pub(crate) n: u64,
    pub(crate) target: TargetId,
    pub(crate) tier: usize,
    /// The walk down the ladder that it belongs to.
    pub(crate) walk: usize,
    /// Whether it was made beside another one that took long.
    pub(crate) is_rival: bool,
    /// Whether it has sent text.
    pub(crate) has_text: bool,
    pub(crate) end: CallEnd,
}

/// What is known of a turn.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) way: Way,
    pub(crate) started: Moment,
    pub(crate) deadline: Moment,
    /// The session that it continues.
    pub(crate) session: Option<String>,
    pub(crate) calls: Vec<Call>,
    /// Whether its customer has a part of the answer.
    pub(crate) has_released: bool,
    /// How often its record reached the store.
    pub(crate) n_records: u32,
    /// How many records it must have by the end, where that is known.
    pub(crate) wants_records: Option<u32>,
}

impl Seen {
    /// The number of the walk that a call made now belongs to: a new one since an answer last began. What a turn
    /// whose answer comes in one piece receives is no beginning until it is whole.
    pub(crate) fn walk(&self) -> usize {
        let begins_anew = |call: &Call| match self.way {
            Way::Whole => call.end == CallEnd::Answered,
            _ => call.has_text && call.end != CallEnd::Open,
        };
        let last = self.calls.iter().map(|call| call.walk).max().unwrap_or_default();
        last + usize::from(self.calls.iter().any(|call| call.walk == last && begins_anew(call)))
    }

    /// Its calls in that walk.
    pub(crate) fn walked(&self) -> impl Iterator<Item = &Call> {
        let walk = self.walk();
        self.calls.iter().filter(move |call| call.walk == walk)
    }

    /// The call that a call made now would be a rival of.
    pub(crate) fn slow_one(&self) -> Option<&Call> {
        self.calls.iter().find(|call| call.end == CallEnd::Open)
    }
}

/// All turns of a run, by number.
#[derive(Default)]
pub(crate) struct Turns(Mutex<BTreeMap<u64, Seen>>);

impl Turns {
    pub(crate) fn begin(&self, n: u64, seen: Seen) {
        self.0.lock().insert(n, seen);
    }

    pub(crate) fn all(&self) -> MutexGuard<'_, BTreeMap<u64, Seen>> {
        self.0.lock()
    }

    /// Does something to turn `n`; `None` when there is no such turn.
    pub(crate) fn with<T>(&self, n: u64, act: impl FnOnce(&mut Seen) -> T) -> Option<T> {
        self.0.lock().get_mut(&n).map(act)
    }
}

/// The word by which a text says which turn it belongs to.
pub(crate) fn mark(n: u64) -> String {
    format!("turn-{n}.")
}

/// The turn that `text` belongs to: the last one that it names.
pub(crate) fn marked(text: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once("turn-")?;
    rest.split('.').next()?.parse().ok()
}

/// The turn of an interaction's id.
pub(crate) fn numbered(interaction: &str) -> Option<u64> {
    u64::from_str_radix(interaction.strip_prefix("int_")?, 16).ok()
}
