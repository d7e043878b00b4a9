//! THE MAIN PATH: one turn from its text to its one recorded reply, step by step.

use std::sync::Arc;
use std::time::Duration;

use domain::id::{CaseId, prefixed};
use domain::interaction::{Door, Outcome, QualityVerdict};
use domain::signal::step;
use registry::intents::{Detected, Intents};
use registry::snapshot::{Serving, Snapshot};

use crate::listener::Listener;
use crate::parts::Pipeline;
use crate::steps::capture::{self, Captured};
use crate::steps::clarity::{self, Clarity};
use crate::steps::generate::{self, Generated};
use crate::steps::guard_input::{self, GuardedInput};
use crate::steps::quality::{self, Decision};
use crate::steps::retrieve;
use crate::steps::{intent, record};
use crate::trace::Trace;
use crate::turn::{Reply, Turn, TurnError};
use crate::wording;

pub(crate) mod closing;

use closing::{Ending, Known};

/// Kept of the deadline for the reply that needs no model.
const RESERVED_FOR_DEGRADED: Duration = Duration::from_millis(150);

impl Pipeline {
    /// Runs `turn` to its one reply. Dropping the future cancels the turn, and its model calls with it.
    ///
    /// # Errors
    /// [`TurnError`] for the few turns that get no reply.
    pub async fn run(&self, turn: Turn, listener: Listener) -> Result<Reply, TurnError> {
        let snapshot = self.parts.current.pin();
        let serving = choose_agent(&snapshot, &turn)?;
        let trace = Trace::start(Arc::clone(&self.parts.clock), listener.clone());
        let _one_at_a_time = self.wait_for_session(&turn).await?;

        let captured = trace.step(step::CAPTURE, capture::run(&self.parts, &turn)).await;
        let session = match captured {
            Captured::New(session) => session,
            Captured::Repeated(before) => return Ok(closing::repeated(*before)),
        };
        let mut known = Known::new(self, &turn, &snapshot, (&serving, session.as_ref()));

        let guarded = trace.step(step::GUARD_INPUT, async { guard_input::run(&serving.guard, &turn.text) }).await;
        let question = match guarded {
            GuardedInput::Pass { text, verdict } => {
                known.guardrail = verdict;
                text
            }
            GuardedInput::Blocked { reply, verdict } => {
                known.guardrail = verdict;
                known.forget_question();
                return self.finish(known, Ending::said(Outcome::Blocked, reply), &trace).await;
            }
        };

        let earlier = retrieve::earlier_questions(session.as_ref(), &question);
        let intents = (turn.door == Door::Query).then_some(&snapshot.intents);
        let retrieving = retrieve::run(&self.parts, &serving.loaded.agent, &question, &earlier);
        let (retrieval, detected) = futures_util::join!(
            trace.step(step::RETRIEVE, retrieving),
            detect(&trace, intents, &question),
        );
        known.intent = detected.as_ref().map(|detected| detected.best.clone());

        let clarifications = session.as_ref().map_or(0, |session| session.clarifications);
        let clarity = match &detected {
            Some(detected) => {
                let basis = clarity::Basis { text: &question, detected, retrieval: &retrieval, clarifications };
                trace.step(step::CLARITY, async { clarity::run(&snapshot.intents, &basis) }).await
            }
            None => clarity::by_score(&retrieval),
        };
        let ending = match clarity {
            Clarity::Clarify(choices) => closing::clarify(&choices, clarifications),
            Clarity::Escalate(reason) => {
                let case = CaseId::new(prefixed("cas", self.parts.ids.next_id()));
                tracing::info!(interaction.id = %turn.interaction, case.id = %case, reason, "handed to a person");
                closing::escalate(case, &snapshot.contact, retrieval.answerable())
            }
            Clarity::Decline => Ending::said(Outcome::Declined, wording::declined(&snapshot.contact)),
            Clarity::Clear => {
                let asked = generate::Asked {
                    turn: &turn,
                    snapshot: &snapshot,
                    serving: &serving,
                    question: &question,
                    earlier: &earlier,
                    intent: detected.as_ref().map(|detected| detected.best.name.as_str()),
                    retrieval: &retrieval,
                };
                self.answer(&asked, &mut known, (&trace, &listener)).await
            }
        };
        self.finish(known, ending, &trace).await
    }

    /// Generates until an answer holds, then says it; else quotes; else the static answer.
    async fn answer(
        &self,
        asked: &generate::Asked<'_>,
        known: &mut Known<'_>,
        (trace, listener): (&Trace, &Listener),
    ) -> Ending {
        let attempts = known.attempts.clone();
        let mut reasons: Vec<String> = Vec::new();
        let mut regenerations = 0;
        loop {
            let again = generate::Again { reasons: &reasons, attempts: &attempts };
            let generating = generate::run(self, asked, again, (listener, trace));
            let draft = match trace.step(step::GENERATE, generating).await {
                Generated::Draft(draft) => draft,
                Generated::NoModel(missing) => return closing::without_model(asked, missing.as_deref(), regenerations),
            };
            known.guardrail = closing::stronger(std::mem::take(&mut known.guardrail), &draft.guardrail);
            let checked = trace.step(step::VALIDATE, async { quality::validate(asked, &draft) }).await;
            let time_is_left = self.time_left(asked.turn) > trace_took(trace, step::GENERATE);
            let basis = quality::Basis { draft: &draft, checked: &checked, regenerations, time_is_left };
            let decision = trace.step(step::QUALITY, async { quality::decide(asked, &basis) }).await;
            let verdict = QualityVerdict { regenerations, ..checked.verdict };
            match decision {
                Decision::Accept => return closing::answered(asked, draft, verdict),
                Decision::Refusal => return closing::model_declined(asked, &draft, verdict),
                Decision::Blocked => return closing::output_blocked(draft, verdict),
                Decision::Quote => return closing::quoted(asked, draft, verdict, listener).await,
                Decision::Regenerate(mut more) => {
                    regenerations += 1;
                    reasons.append(&mut more);
                }
            }
        }
    }

    async fn finish(&self, known: Known<'_>, ending: Ending, trace: &Trace) -> Result<Reply, TurnError> {
        let (finished, response) = known.close(ending, trace);
        let mut interaction = finished.interaction.clone();
        let recorded = trace.step(step::RECORD, record::run(self, finished)).await?;
        interaction.steps = trace.steps();
        Ok(Reply { interaction, response, recorded })
    }

    async fn wait_for_session(&self, turn: &Turn) -> Result<Option<crate::session_lock::SessionGuard>, TurnError> {
        let Some(session) = turn.session.as_ref().filter(|_| turn.door == Door::Query) else {
            return Ok(None);
        };
        let reply_due = self.parts.clock.sleep(self.time_left(turn));
        tokio::select! {
            guard = self.session_locks.lock(session) => Ok(Some(guard)),
            () = reply_due => Err(TurnError::SessionBusy),
        }
    }

    /// What is left for models.
    fn time_left(&self, turn: &Turn) -> Duration {
        turn.deadline.since(self.parts.clock.now()).saturating_sub(RESERVED_FOR_DEGRADED)
    }
}

/// What the person wants; `/generate` does not ask.
async fn detect(trace: &Trace, intents: Option<&Intents>, question: &str) -> Option<Detected> {
    let intents = intents?;
    Some(trace.step(step::INTENT, async { intent::run(intents, question) }).await)
}

fn choose_agent(snapshot: &Snapshot, turn: &Turn) -> Result<Arc<Serving>, TurnError> {
    let Some(name) = &turn.agent else {
        return Ok(Arc::clone(&snapshot.default_agent));
    };
    if let Some(serving) = snapshot.agents.get(name) {
        return Ok(Arc::clone(serving));
    }
    match snapshot.unknown_use_case {
        registry::routes::UnknownUseCase::Default => Ok(Arc::clone(&snapshot.default_agent)),
        registry::routes::UnknownUseCase::Reject => {
            let known = snapshot.agents.keys().map(domain::id::AgentName::as_str).collect::<Vec<_>>().join(", ");
            Err(TurnError::UnknownUseCase { name: name.clone(), known })
        }
    }
}

/// How long the last run of a step took.
fn trace_took(trace: &Trace, name: &str) -> Duration {
    trace.steps().iter().rev().find(|step| step.name == name).map_or(Duration::ZERO, |step| step.took)
}
