//! Whether a turn is taken on, and what it gets when it is not.

use std::time::Duration;

use domain::interaction::{Door, GuardrailVerdict};
use domain::signal::step;
use registry::snapshot::{Serving, Snapshot};
use resilience::shedding::{Arrival, Place, Shed, Work};
use routing::AttemptLog;

use crate::parts::Pipeline;
use crate::run::closing;
use crate::run::known::Known;
use crate::trace::Trace;
use crate::turn::{Reply, Turn, TurnError};

impl Pipeline {
    /// A place on the agent's route, held until the turn has its reply.
    pub(super) async fn take_place(&self, turn: &Turn, serving: &Serving) -> Result<Place, Shed> {
        let route = &serving.route.name;
        let arrival = Arrival { route, class: turn.class, work: Work::Turn, due: turn.models_due() };
        self.parts.gate.enter(arrival).await
    }

    /// The static answer, recorded as such. Nothing of the question is kept: no guardrail has seen it.
    pub(super) async fn turn_away(
        &self,
        (turn, snapshot, serving): (&Turn, &Snapshot, &Serving),
        shed: Shed,
        trace: &Trace,
    ) -> Result<Reply, TurnError> {
        tracing::debug!(interaction.id = %turn.interaction, reason = shed.reason.name(), "a turn was turned away: {shed}");
        trace.note(step::ADMIT, (trace.started(), trace.now().since(trace.started())), shed.reason.name());
        let known = Known {
            turn,
            snapshot,
            serving,
            session: None,
            question: None,
            guardrail: GuardrailVerdict::default(),
            intent: None,
            attempts: AttemptLog::default(),
        };
        let mut reply = self.finish(known, closing::static_answer(serving, 0), trace).await?;
        if turn.door == Door::Query {
            // The conversation is where it was; whether it is the caller's own was not looked up.
            reply.interaction.session.clone_from(&turn.session);
        }
        reply.retry_after = Some(shed.retry_after.max(Duration::from_secs(1)));
        Ok(reply)
    }
}
