//! What a client that waits on an event stream is told while its turn runs.

use tokio::sync::mpsc;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A step began or ended.
    Step {
        /// Its name.
        name: &'static str,
        /// Where it is.
        state: StepState,
    },
    /// Text that passed every check; nothing released is taken back.
    Text(String),
}

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// Begun.
    Started,
    /// Ended.
    Finished,
}

/// Who listens.
#[derive(Debug, Clone)]
pub enum Listener {
    /// Nobody: the reply is one body.
    Silent,
    /// A client that reads events as they come.
    Live(mpsc::Sender<Event>),
}

impl Listener {
    /// Whether text is released while it is made.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live(_))
    }

    /// Tells a step's state. A client that reads too slowly misses it: steps are a courtesy, text is not.
    pub fn step(&self, name: &'static str, state: StepState) {
        if let Self::Live(events) = self {
            // A full or closed channel only means that nobody watches.
            let _ = events.try_send(Event::Step { name, state });
        }
    }

    /// Releases text; waits while the client reads too slowly.
    pub async fn text(&self, text: String) {
        if let Self::Live(events) = self {
            // A closed channel means that the client left: its connection's end cancels the turn.
            let _ = events.send(Event::Text(text)).await;
        }
    }
}
