//! What a provider says that a call uses while the call is under way, for whoever pays if its end never comes.

use std::sync::{Arc, Mutex, PoisonError};

use crate::chat::Finish;
use crate::token::Usage;

/// What was stated of a call's usage, and whether more of it may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stated {
    /// Before the reason for the answer's end: what was read is all there, of what is said there will be more.
    SoFar(Usage),
    /// With the reason for its end, or after it.
    Finally(Usage),
}

impl Stated {
    /// `usage`, of an answer that has named `finish`, if it has.
    #[must_use]
    pub fn of(usage: Usage, finish: Option<Finish>) -> Self {
        if finish.is_some() { Self::Finally(usage) } else { Self::SoFar(usage) }
    }

    /// What was stated.
    #[must_use]
    pub fn usage(self) -> Usage {
        match self {
            Self::SoFar(usage) | Self::Finally(usage) => usage,
        }
    }
}

/// The meter of one call: who reads the answer sets it, who pays for it reads it, also after the answer was dropped.
/// Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Mutex<Option<Stated>>>);

impl Meter {
    /// Takes what was stated last.
    pub fn set(&self, stated: Stated) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(stated);
    }

    /// What was stated last; `None` while nothing was.
    #[must_use]
    pub fn read(&self) -> Option<Stated> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
