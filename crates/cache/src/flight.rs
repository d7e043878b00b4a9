//! Many who ask the same at once: one of them asks a model, the others wait for what it gets.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::key::Key;

/// Where a flight is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Its leader is asking.
    Open,
    /// The answer is there.
    Landed,
    /// There is an answer, or an error, that is not for others: each asks for itself.
    Scattered,
    /// The leader left before it had an answer: one of those who wait takes its place.
    Abandoned,
}

/// Flights under way, by key: as many as there are leaders, each of which is a request.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<Key, watch::Sender<State>>>);

/// Which part one has in a flight.
pub(crate) enum Part {
    Leader(Leader),
    Follower(watch::Receiver<State>),
}

impl Flights {
    pub(crate) fn join(self: &Arc<Self>, key: Key) -> Part {
        let mut flights = self.0.lock();
        if let Some(state) = flights.get(&key) {
            return Part::Follower(state.subscribe());
        }
        flights.insert(key, watch::Sender::new(State::Open));
        Part::Leader(Leader { flights: Arc::clone(self), key, is_over: false })
    }

    fn end(&self, key: &Key, state: State) {
        // Taken out first: whoever looks from now on finds the answer, or begins anew.
        let flight = self.0.lock().remove(key);
        if let Some(flight) = flight {
            flight.send_replace(state);
        }
    }

    #[cfg(test)]
    pub(crate) fn n_open(&self) -> usize {
        self.0.lock().len()
    }
}

/// Who asks for all. Dropped, it has left.
pub(crate) struct Leader {
    flights: Arc<Flights>,
    key: Key,
    is_over: bool,
}

impl Leader {
    pub(crate) fn end(mut self, state: State) {
        self.is_over = true;
        self.flights.end(&self.key, state);
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.is_over {
            self.flights.end(&self.key, State::Abandoned);
        }
    }
}

/// How the flight ended. Cancel-safe.
pub(crate) async fn landing(mut state: watch::Receiver<State>) -> State {
    match state.wait_for(|state| *state != State::Open).await {
        Ok(state) => *state,
        Err(_) => State::Abandoned,
    }
}
