//! Leave to begin: the limits of the key, the tenant and the server, asked before anything else is done.

use access::limits::{Allowance, Now, Refusal, Standing};
use domain::spending::{Input, Weight, Worst};
use registry::snapshot::{Serving, Snapshot};
use routing::worst;

use crate::parts::Pipeline;
use crate::relay::RelayTurn;
use crate::turn::{Turn, TurnError};

/// A turn that may begin. Dropped before it ran, it has cost nothing.
#[derive(Debug)]
pub struct Admitted {
    pub(crate) turn: Turn,
    pub(crate) allowance: Allowance,
    /// Where that leaves who asked.
    pub standing: Standing,
}

/// What an agent's instructions and passages are taken to add to a question before its prompt is made. What it really
/// is, each call says again; what is missing then is asked for then.
const PROMPT_BYTES: usize = 8 << 10;

impl Pipeline {
    /// Lets `turn` begin, if its key, its tenant and the server have enough left.
    ///
    /// # Errors
    /// [`TurnError::Limited`], or that its agent is not known.
    pub fn admit(&self, turn: Turn) -> Result<Admitted, TurnError> {
        let snapshot = self.parts.current.pin();
        let serving = crate::run::choose_agent(&snapshot, &turn)?;
        let worst = self.worst_of_turn(&turn, &snapshot, &serving);
        let (allowance, standing) =
            self.parts.limits.admit(&turn.principal.asker, self.now(), worst).map_err(TurnError::Limited)?;
        Ok(Admitted { turn, allowance, standing })
    }

    pub(crate) fn admit_relay(
        &self,
        turn: &RelayTurn,
        (weight, now): (Weight, Now),
    ) -> Result<(Allowance, Standing), Box<Refusal>> {
        let limits = &self.parts.limits;
        let worst = worst::of_route(&turn.route, weight, &turn.snapshot.models, limits.assumed());
        limits.admit(&turn.principal.asker, now, worst)
    }

    fn worst_of_turn(&self, turn: &Turn, snapshot: &Snapshot, serving: &Serving) -> Worst {
        let bytes = turn.text.len() + PROMPT_BYTES;
        let weight = Weight {
            input: Input::AtMost(u32::try_from(bytes).unwrap_or(u32::MAX)),
            output_max: Some(turn.max_tokens.unwrap_or(serving.loaded.agent.parameters.max_tokens)),
            answers: 1,
        };
        worst::of_route(&serving.route, weight, &snapshot.models, self.parts.limits.assumed())
    }

    fn now(&self) -> Now {
        Now::of(self.parts.clock.as_ref())
    }
}
