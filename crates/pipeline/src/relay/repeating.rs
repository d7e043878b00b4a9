//! An earlier answer of a bare model in the place of a new one, where its route or model says that it may be.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cache::private::{has_personal, is_private};
use cache::{Keeping, Lead, Looked, Shelf};
use domain::cache::{Came, Rules, Told, Wish};
use domain::chat::{Delivery, Done, Finish, RelayedPortion, UsageFrame};
use domain::interaction::Outcome;
use domain::ports::RelayedStream;
use domain::residency::Residency;
use domain::spending::{Input, Weight};
use futures_util::StreamExt;
use routing::AttemptLog;
use wire::json::unescaped;

use super::{Refused, RelayTurn, said};
use crate::cached::{Kept, Origin, PassedOn, common, patience};
use crate::parts::Pipeline;
use crate::run::closing::Spoken;
use crate::turn::TurnError;

/// What looking came to.
pub(super) enum Looking {
    /// Nobody may look: no route or model says so.
    Off,
    /// This is given again.
    Found(Told, Arc<PassedOn>),
    /// A model is asked; its answer may be kept by whoever has the lead.
    Ask(Came, Option<Lead<Kept>>),
}

impl Looking {
    pub(super) fn told(&self) -> Option<Told> {
        match self {
            Self::Off => None,
            Self::Found(told, _) => Some(*told),
            Self::Ask(came, _) => Some(Told::new_answer(*came)),
        }
    }
}

impl Pipeline {
    /// Looks where the route or the model says so.
    ///
    /// # Errors
    /// [`Refused::NotCached`] when nothing else was wanted.
    pub(super) async fn look_first(
        &self,
        turn: &RelayTurn,
        residency: &Residency,
        weight: Weight,
    ) -> Result<Looking, Refused> {
        let looking = match turn.route.cache {
            None => Looking::Off,
            Some(rules) => Box::pin(self.look_relayed((turn, rules), residency, weight)).await,
        };
        match looking {
            Looking::Off | Looking::Ask(..) if turn.cache == Wish::OnlyIfCached => {
                Err(Refused::NotCached(TurnError::NotCached))
            }
            looking => Ok(looking),
        }
    }

    async fn look_relayed(
        &self,
        (turn, rules): (&RelayTurn, Rules),
        residency: &Residency,
        weight: Weight,
    ) -> Looking {
        let looking = self.look_for_relayed((turn, rules), residency, weight).await;
        if let Some(told) = looking.told() {
            self.parts.cached.answers.count(told.came);
        }
        looking
    }

    async fn look_for_relayed(
        &self,
        (turn, rules): (&RelayTurn, Rules),
        residency: &Residency,
        weight: Weight,
    ) -> Looking {
        let answers = &self.parts.cached.answers;
        // What a provider fetches, or remembers of earlier requests, is not in the body.
        let is_whole = matches!(weight.input, Input::AtMost(_));
        if turn.cache == Wish::NoStore || !is_whole || is_personal(&turn.relayed.body) {
            return Looking::Ask(Came::Bypass, None);
        }
        let key = key(turn, rules, residency);
        if turn.cache == Wish::Refresh {
            return Looking::Ask(Came::Miss, Some(answers.renew(key)));
        }
        let shelf = Shelf { key, question: None, holds: &|_| true };
        let clock = &self.parts.clock;
        let patience = clock.sleep_until(patience(clock.now(), turn.models_due()));
        match answers.look(shelf, patience).await {
            Looked::Given(given) => match given.value {
                Kept::Passed(passed) => {
                    Looking::Found(Told { came: Came::Hit, age: Some(given.age) }, passed)
                }
                Kept::Said(_) => Looking::Ask(Came::Miss, None),
            },
            Looked::Lead(lead) => Looking::Ask(Came::Miss, Some(lead)),
            Looked::Alone => Looking::Ask(Came::Miss, None),
        }
    }
}

/// Everything that the answer depends on: above all the whole body, byte for byte.
fn key(turn: &RelayTurn, rules: Rules, residency: &Residency) -> cache::Key {
    let relayed = &turn.relayed;
    let delivery = match (relayed.delivery, relayed.usage) {
        (Delivery::Whole, _) => "whole",
        (Delivery::Streamed, UsageFrame::Wanted) => "streamed with usage",
        (Delivery::Streamed, UsageFrame::Unwanted) => "streamed",
    };
    let from = (&turn.principal.asker, residency, turn.snapshot.id.as_str());
    let key = common("relayed", rules, from)
        .text("route", turn.route.name.as_str())
        .text("dialect", relayed.dialect.name())
        .text("model", &relayed.model)
        .text("delivery", delivery)
        .text("body", turn.request_hash.as_str());
    relayed.headers.iter().fold(key, |key, (name, value)| key.text(name, value)).key()
}

/// How often a text may stand in a text as JSON: arguments of a call, say.
const NESTED_MAX: usize = 4;

/// Whether the body seems to hold something personal, as it stands there or as its escapes mean it.
fn is_personal(body: &Bytes) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return true };
    let mut text = Cow::Borrowed(text);
    for _ in 0..NESTED_MAX {
        if has_personal(&text, &[]) {
            return true;
        }
        match unescaped(&text) {
            Some(plain) => text = Cow::Owned(plain),
            None => return false,
        }
    }
    true
}

/// `passed` once more, as if a provider sent it.
pub(super) fn replay(passed: &PassedOn) -> RelayedStream {
    let portion = |bytes: &Bytes, done| Ok(RelayedPortion { bytes: bytes.clone(), said: 0, done });
    let body = (!passed.body.is_empty()).then(|| portion(&passed.body, None));
    let last = portion(&passed.last, Some(Done { finish: Finish::Stop, usage: None }));
    futures_util::stream::iter(body.into_iter().chain([last])).boxed()
}

/// Gathers an answer while it is passed on. Dropped, its caller left.
pub(super) struct Keeper {
    /// Gone when the answer is too large to be kept: nobody waits for that.
    lead: Option<Lead<Kept>>,
    rules: Rules,
    bytes_max: usize,
    body: BytesMut,
    /// Once the answer is whole and for others, too.
    last: Option<Bytes>,
}

impl Keeper {
    pub(super) fn new(lead: Lead<Kept>, rules: Rules, bytes_max: usize) -> Self {
        Self { lead: Some(lead), rules, bytes_max, body: BytesMut::new(), last: None }
    }

    pub(super) fn take(&mut self, bytes: &Bytes) {
        if self.lead.is_some() {
            self.body.extend_from_slice(bytes);
        }
        if self.body.len() > self.bytes_max {
            self.lead.take().into_iter().for_each(Lead::give_up);
            self.body = BytesMut::new();
        }
    }

    /// The answer is whole: only one that ended by itself is kept.
    pub(super) fn take_last(&mut self, bytes: &Bytes, finish: Finish) {
        if matches!(finish, Finish::Stop | Finish::StopText) {
            // Copied: what came from a connection may be a slice of a larger buffer.
            self.last = Some(Bytes::copy_from_slice(bytes));
        }
    }

    /// Keeps it if it is to be kept.
    pub(super) fn close(self, outcome: Outcome, attempts: &AttemptLog, spoken: Option<&Spoken>) {
        let Self { lead, rules, bytes_max, body, last } = self;
        let Some(lead) = lead else { return };
        let origin = Origin::of(&attempts.ended());
        let (Outcome::Answered, Some(last), Some(origin), Some(spoken)) = (outcome, last, origin, spoken)
        else {
            return lead.give_up();
        };
        let bytes = body.len() + last.len();
        if bytes > bytes_max {
            return lead.give_up();
        }
        let said = said::Answer::read(&[&body, &last]);
        if said.calls_tools || !said.is_sound() || is_private(&said.texts, &[]) {
            return lead.give_up();
        }
        let passed = PassedOn { body: body.freeze(), last, spoken: spoken.clone(), origin };
        lead.keep(Kept::Passed(Arc::new(passed)), Keeping { bytes, ttl: rules.ttl, question: None });
    }
}
