//! An issuer's keys as they are fetched: one fetch at a time, carried on by all who wait for it.

use std::sync::Arc;
use std::time::Duration;

use domain::ports::{BoxFuture, Clock};
use domain::time::Moment;
use futures_util::FutureExt;
use futures_util::future::Shared;
use parking_lot::Mutex;

use super::issuer::KeySource;
use super::jwk::{self, Algorithm, Key};
use crate::denied::Denied;

/// A set of keys is asked for this often at most, whatever tokens say.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// After a fetch that failed those whose key is not known may cause another one so soon.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// A set that is older is fetched again: keys that the issuer took back are refused from then on.
const FRESH: Duration = Duration::from_secs(600);
/// No source takes so long: everyone who waited for a fetch that is older has left, and its connection is of no use.
const LEFT_ALONE: Duration = Duration::from_secs(6);

type Fetched = Arc<Result<Vec<Key>, String>>;
/// A fetch under way. It goes on as long as anyone waits for it, and none of them leaving ends it for the others.
type Fetch = Shared<BoxFuture<'static, Fetched>>;

/// The keys of one issuer.
pub(super) struct Published {
    source: Arc<dyn KeySource>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: Vec<Key>,
    /// Counts the sets that differed.
    generation: u64,
    under_way: Option<(Moment, Fetch)>,
    /// When it was asked last, and what came of it.
    asked: Option<(Moment, Outcome)>,
    fetched: Option<Moment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Not known: it is under way, or nobody is left to hear of its end.
    Open,
    Answered,
    Failed,
}

/// What a token's request does first.
enum Step {
    /// Goes on: its key is known.
    Ready,
    /// Leads a fetch.
    Lead(Fetch),
    /// Waits for the fetch under way.
    Join(Fetch),
    /// Goes on with a key that is known and old, after a look at the fetch under way.
    Pass(Fetch),
    /// Is refused: its key is not known, and the issuer was asked a moment ago.
    Refused,
}

impl State {
    fn knows(&self, id: Option<&str>) -> bool {
        self.keys.iter().any(|key| id.is_none() || key.id.as_deref() == id)
    }

    fn is_fresh(&self, now: Moment) -> bool {
        self.fetched.is_some_and(|fetched| now.since(fetched) < FRESH)
    }

    /// Whether the keys should be fetched and may be: none is known by that name, or they are old.
    fn wants(&self, id: Option<&str>, now: Moment) -> bool {
        let is_known = self.knows(id);
        let pause = match self.asked {
            // Old keys serve on: nobody whose key is known waits for an issuer that is away more often than before.
            Some((_, Outcome::Failed)) if !is_known => RETRY_AFTER,
            Some((_, Outcome::Open)) => RETRY_AFTER,
            _ => ASK_EVERY,
        };
        let may_ask = self.asked.is_none_or(|(asked, _)| now.since(asked) >= pause);
        may_ask && !(is_known && self.is_fresh(now))
    }

    fn carried_on(&self, now: Moment) -> Option<&Fetch> {
        let (began, fetch) = self.under_way.as_ref()?;
        (now.since(*began) < LEFT_ALONE).then_some(fetch)
    }
}

impl Published {
    pub(super) fn new(source: Box<dyn KeySource>) -> Self {
        Self { source: Arc::from(source), state: Mutex::default() }
    }

    /// Which set of keys is known.
    pub(super) fn generation(&self) -> u64 {
        self.state.lock().generation
    }

    /// Whether a token that names this key has something to wait for, or is to be refused.
    pub(super) fn concerns(&self, id: Option<&str>, now: Moment) -> bool {
        let state = self.state.lock();
        !state.knows(id) || (!state.is_fresh(now) && (state.under_way.is_some() || state.wants(id, now)))
    }

    /// Sees to it that the key of this name is known, if the issuer has it. Those whose key is known wait for none but
    /// the fetch of old keys that they begin themselves. Cancel-safe.
    ///
    /// # Errors
    /// [`Denied::IssuerAway`] when the issuer does not answer, or was asked before this token came.
    pub(super) async fn prepare(
        &self,
        id: Option<&str>,
        (name, clock): (&str, &dyn Clock),
    ) -> Result<(), Denied> {
        let (fetch, is_leader) = match self.step(id, clock.now()) {
            Step::Ready => return Ok(()),
            Step::Refused => return Err(Denied::IssuerAway),
            Step::Pass(fetch) => {
                // Those whose key is known wait for nobody, and yet carry on what others may have left: else whoever begins
                // fetches and leaves could keep alive a key that the issuer took back.
                if let Some(fetched) = fetch.clone().now_or_never() {
                    self.take(&fetch, &fetched, (name, clock.now()));
                }
                return Ok(());
            }
            Step::Lead(fetch) => (fetch, true),
            Step::Join(fetch) => (fetch, false),
        };
        let fetched = fetch.clone().await;
        self.take(&fetch, &fetched, (name, clock.now()));
        // An answer to a question of before the token came may be older than its key: that says nothing for good.
        let is_told = is_leader && fetched.is_ok();
        if is_told || self.state.lock().knows(id) { Ok(()) } else { Err(Denied::IssuerAway) }
    }

    fn step(&self, id: Option<&str>, now: Moment) -> Step {
        let mut state = self.state.lock();
        let is_known = state.knows(id);
        match state.carried_on(now) {
            Some(_) if is_known && state.is_fresh(now) => return Step::Ready,
            Some(fetch) if is_known => return Step::Pass(fetch.clone()),
            Some(fetch) => return Step::Join(fetch.clone()),
            None => {}
        }
        if !state.wants(id, now) {
            return if is_known { Step::Ready } else { Step::Refused };
        }
        let source = Arc::clone(&self.source);
        let fetching = async move {
            let keys = source
                .fetch()
                .await
                .and_then(|document| jwk::read(&document).ok_or_else(|| "it is no set of keys".to_owned()));
            Arc::new(keys)
        };
        let fetch = fetching.boxed().shared();
        state.asked = Some((now, Outcome::Open));
        state.under_way = Some((now, fetch.clone()));
        Step::Lead(fetch)
    }

    /// Notes what came of a fetch: the first of those who waited does. What is known stays when it failed.
    fn take(&self, fetch: &Fetch, fetched: &Fetched, (name, now): (&str, Moment)) {
        let mut state = self.state.lock();
        let Some((began, _)) = state.under_way.take_if(|(_, under_way)| under_way.ptr_eq(fetch)) else {
            return;
        };
        match &**fetched {
            Ok(keys) => {
                state.asked = Some((began, Outcome::Answered));
                state.fetched = Some(began);
                if state.keys != *keys {
                    state.keys.clone_from(keys);
                    state.generation += 1;
                }
            }
            Err(error) => {
                state.asked = Some((now, Outcome::Failed));
                tracing::warn!(issuer = name, error, "the keys of the issuer `{name}` could not be fetched");
            }
        }
    }

    /// The key that a token names; without a name the only one that fits.
    pub(super) fn key(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Key, Denied> {
        let state = self.state.lock();
        if state.keys.is_empty() {
            return Err(Denied::IssuerAway);
        }
        let is_named = |key: &&Key| id.is_none() || key.id.as_deref() == id;
        let mut fitting = state.keys.iter().filter(is_named).filter(|key| key.is_for(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key.clone()),
            (Some(_), Some(_)) => Err(Denied::Token("it does not say which key signed it")),
            (None, _) => Err(Denied::Token("its issuer has no such key")),
        }
    }
}
