//! `check_guardrail_status`: what must not go in.

use domain::interaction::{GuardrailAction, GuardrailVerdict, Side};
use guardrails::Guard;

use crate::trace::Word;

/// What may go on.
#[derive(Debug)]
pub(crate) enum GuardedInput {
    /// The text, masked where a policy masks.
    Pass {
        /// What goes on.
        text: String,
        /// What was found.
        verdict: GuardrailVerdict,
    },
    /// Nothing; this is said instead.
    Blocked {
        /// The policy's safe reply.
        reply: String,
        /// What was found.
        verdict: GuardrailVerdict,
    },
}

impl Word for GuardedInput {
    fn word(&self) -> &'static str {
        match self {
            Self::Pass { verdict, .. } => verdict.action.name(),
            Self::Blocked { .. } => "blocked",
        }
    }
}

pub(crate) fn run(guard: &Guard, text: &str) -> GuardedInput {
    let checked = guard.check(Side::Input, text);
    match checked.verdict.action {
        GuardrailAction::Blocked => GuardedInput::Blocked {
            reply: checked.message.unwrap_or_else(|| "I cannot process this message.".to_owned()),
            verdict: checked.verdict,
        },
        GuardrailAction::None | GuardrailAction::Masked => {
            GuardedInput::Pass { text: checked.text, verdict: checked.verdict }
        }
    }
}
