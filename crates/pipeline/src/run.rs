//! THE MAIN PATH: one turn from its text to its one recorded reply, step by step.

use std::sync::Arc;

use domain::id::{AgentName, CaseId, KeyId, SessionId, prefixed};
use domain::interaction::{Door, Outcome, QualityVerdict};
use domain::session::Session;
use domain::signal::step;
use registry::intents::{Detected, Intents};
use registry::routes::UnknownUseCase;
use registry::snapshot::{Serving, Snapshot};
use routing::{Affinity, AttemptLog};

use crate::allowed::Admitted;
use crate::listener::Listener;
use crate::parts::Pipeline;
use crate::session_lock::SessionGuard;
use crate::steps::capture::{self, Captured};
use crate::steps::clarity::{self, Clarity};
use crate::steps::generate::reading::End;
use crate::steps::generate::{self, Again, Asked, Generated};
use crate::steps::guard_input::{self, GuardedInput};
use crate::steps::quality::{self, Decision};
use crate::steps::{intent, record, retrieve};
use crate::trace::Trace;
use crate::turn::{Recorded, Reply, Turn, TurnError};

mod admission;
pub(crate) mod closing;
pub(crate) mod known;
mod leaving;
mod repeating;
#[cfg(test)]
mod tests;

use closing::Ending;
use known::Known;
use leaving::Open;

impl Pipeline {
    /// [`Self::admit`] and [`Self::run_admitted`].
    ///
    /// # Errors
    /// [`TurnError`] for the few turns that get no reply.
    pub async fn run(&self, turn: Turn, listener: Listener) -> Result<Reply, TurnError> {
        self.run_admitted(self.admit(turn)?, listener).await
    }

    /// Runs a turn to its one reply. Dropping the future cancels the turn, and its model calls with
    /// it; it is recorded as far as it came.
    ///
    /// # Errors
    /// [`TurnError`] for the few turns that get no reply.
    #[expect(clippy::too_many_lines, reason = "the whole path of a turn, in its order, is read in one place")]
    pub async fn run_admitted(&self, admitted: Admitted, listener: Listener) -> Result<Reply, TurnError> {
        // Held to the end: the caller's leave.
        let Admitted { turn, allowance, .. } = admitted;
        let snapshot = self.parts.current.pin();
        let serving = choose_agent(&snapshot, &turn)?;
        let trace = Trace::start(Arc::clone(&self.parts.clock), listener.clone());
        let _one_at_a_time = self.wait_for_session(&turn).await?;

        let mut place = match self.take_place(&turn, &serving).await {
            Ok(place) => place,
            Err(shed) => return self.turn_away((&turn, &snapshot, &serving), shed, &trace).await,
        };

        let session = match trace.step(step::CAPTURE, capture::run(&self.parts, &turn)).await {
            Captured::New(session) => session,
            Captured::Repeated(before) => return Ok(closing::repeated(*before)),
        };

        let guarded =
            trace.step(step::GUARD_INPUT, async { guard_input::run(&serving.guard, &turn.text) }).await;
        let known = Known {
            turn: &turn,
            snapshot: &snapshot,
            serving: &serving,
            session: session.as_ref(),
            question: None,
            guardrail: guarded.verdict,
            intent: None,
            attempts: AttemptLog::paid_from(allowance.purse()),
        };
        // Declared before any call is made: dropped, it finds all of them ended.
        let mut known = Open::new(known, &trace, self);
        let question = match guarded.input {
            GuardedInput::Pass(text) => text,
            GuardedInput::Blocked(reply) => {
                return self.finish(known.end(), Ending::said(Outcome::Blocked, reply), &trace).await;
            }
        };
        known.question = Some(question.clone());

        let earlier = retrieve::earlier_questions(session.as_ref(), &question);
        let agent = &serving.loaded.agent;
        let wanted = retrieve::Wanted { turn: &turn, agent, question: &question, earlier: &earlier };
        let intents = (turn.door == Door::Query).then_some(&snapshot.intents);
        let (retrieval, detected) = futures_util::join!(
            trace.step(step::RETRIEVE, retrieve::run(&self.parts, wanted)),
            detect(&trace, intents, &question),
        );
        known.intent = detected.as_ref().map(|detected| detected.best.clone());

        let clarifications = session.as_ref().map_or(0, |session| session.clarifications);
        let clarity = match &detected {
            Some(detected) => {
                let basis =
                    clarity::Basis { text: &question, detected, retrieval: &retrieval, clarifications };
                trace.step(step::CLARITY, async { clarity::run(&snapshot.intents, &basis) }).await
            }
            None => clarity::by_score(&retrieval),
        };
        let asked = Asked {
            turn: &turn,
            snapshot: &snapshot,
            serving: &serving,
            question: &question,
            earlier: &earlier,
            intent: detected.as_ref().map(|detected| detected.best.name.as_str()),
            passages: retrieval.passages(),
            certainty: retrieval.certainty(),
            affinity: affinity(&turn, session.as_ref()),
            attempts: known.attempts.clone(),
            listener: &listener,
            trace: &trace,
        };
        let ending = match clarity {
            Clarity::Clear => self.answer_or_repeat(&asked, &mut known).await?,
            Clarity::Clarify(choices) => closing::clarify(&choices, clarifications),
            Clarity::Escalate(reason) => {
                let case = CaseId::new(prefixed("cas", self.parts.ids.next_id()));
                tracing::info!(interaction.id = %turn.interaction, case.id = %case, reason, "handed to a person");
                closing::escalated(case, &snapshot.contact, asked.passages)
            }
            Clarity::Decline => closing::declined(&snapshot.contact),
            Clarity::Unsearchable => closing::degraded(&asked),
        };
        if ending.is_generated() {
            place.answered();
        }
        self.finish(known.end(), ending, &trace).await
    }

    /// Generates until an answer holds, then says it; else quotes; else the static answer.
    async fn answer(&self, asked: &Asked<'_>, known: &mut Known<'_>) -> Ending {
        let Asked { turn, trace, .. } = asked;
        let mut again = Again::default();
        loop {
            let began = trace.now();
            let generating = generate::run(&self.parts.router, asked, &again);
            let draft = match trace.step(step::GENERATE, generating).await {
                Generated::Draft(draft) => *draft,
                Generated::NoModel(missing) => {
                    return closing::without_model(asked, missing.as_deref(), again.spoken);
                }
            };
            known.add_guardrail(&draft.guardrail);
            if let Some(checked) = draft.checked {
                trace.note(step::GUARD_OUTPUT, checked, draft.guardrail.action.name());
            }
            if let End::Blocked(instead) = &draft.end {
                let instead = instead.clone();
                return closing::output_blocked(asked, draft, &instead).await;
            }
            let checked = trace.step(step::VALIDATE, async { quality::validate(asked, &draft) }).await;
            let time_is_left = turn.models_due().since(trace.now()) > trace.now().since(began);
            let regenerations = again.regenerations;
            let basis = quality::Basis { draft: &draft, checked: &checked, regenerations, time_is_left };
            let decision = trace.step(step::QUALITY, async { quality::decide(asked, &basis) }).await;
            let verdict = QualityVerdict { regenerations, ..checked.verdict };
            match decision {
                Decision::Accept => return closing::answered(asked, draft, verdict),
                Decision::Refusal => return closing::model_declined(asked, draft, verdict),
                Decision::Quote => return closing::quoted(asked, draft, verdict).await,
                Decision::Regenerate(reasons) => again = again.after(draft, reasons),
            }
        }
    }

    /// Records the turn; the reply follows.
    async fn finish(&self, known: Known<'_>, ending: Ending, trace: &Trace) -> Result<Reply, TurnError> {
        let (turn, contact) = (known.turn, &known.snapshot.contact);
        let cache = ending.cache;
        let (finished, response) = known.close(ending, trace);
        let mut interaction = finished.interaction.clone();
        let recorded = trace.step(step::RECORD, record::run(self, Box::new(finished), turn.deadline)).await;
        interaction.steps = trace.steps();
        if let Some(watcher) = &turn.watcher {
            watcher.finished(&interaction);
        }
        let recorded = recorded?;
        let mut reply = Reply { interaction, response, recorded, retry_after: None, cache };
        if recorded == Recorded::No && reply.interaction.case.is_some() {
            closing::without_case(&mut reply, contact);
        }
        Ok(reply)
    }

    /// Turns of one session run one after the other, so that each sees what was said before it.
    async fn wait_for_session(&self, turn: &Turn) -> Result<Option<SessionGuard>, TurnError> {
        let Some(session) = turn.session.as_ref().filter(|_| turn.door == Door::Query) else {
            return Ok(None);
        };
        let of = (turn.principal.asker.tenant.clone(), session.clone());
        let guard = self.parts.before(turn.models_due(), self.session_locks.lock(of)).await;
        guard.map(Some).ok_or(TurnError::SessionBusy)
    }
}

/// What the person wants; `/generate` does not ask.
async fn detect(trace: &Trace, intents: Option<&Intents>, question: &str) -> Option<Detected> {
    let intents = intents?;
    Some(trace.step(step::INTENT, async { intent::run(intents, question) }).await)
}

/// What the turn has in common with others: its conversation, else its user, else its key.
fn affinity(turn: &Turn, session: Option<&Session>) -> Option<Affinity> {
    let session = session.map(|session| &session.id).or(turn.session.as_ref()).map(SessionId::as_str);
    let key = &turn.principal.asker.key;
    let key = (*key != KeyId::open()).then(|| key.as_str());
    session.or(turn.user_id.as_deref()).or(key).map(Affinity::of)
}

pub(crate) fn choose_agent(snapshot: &Snapshot, turn: &Turn) -> Result<Arc<Serving>, TurnError> {
    let serving = named_agent(snapshot, turn)?;
    let name = &serving.loaded.agent.version.name;
    match turn.principal.grant.agents.allows(name.as_str()) {
        true => Ok(serving),
        false => Err(TurnError::NotAllowed { name: name.clone() }),
    }
}

fn named_agent(snapshot: &Snapshot, turn: &Turn) -> Result<Arc<Serving>, TurnError> {
    let Some(name) = &turn.agent else {
        return Ok(Arc::clone(&snapshot.default_agent));
    };
    match (snapshot.agents.get(name), snapshot.unknown_use_case) {
        (Some(serving), _) => Ok(Arc::clone(serving)),
        (None, UnknownUseCase::Default) => Ok(Arc::clone(&snapshot.default_agent)),
        (None, UnknownUseCase::Reject) => {
            let grant = &turn.principal.grant;
            let known =
                snapshot.agents.keys().map(AgentName::as_str).filter(|name| grant.agents.allows(name));
            let known = known.collect::<Vec<_>>().join(", ");
            Err(TurnError::UnknownUseCase { name: name.clone(), known })
        }
    }
}
