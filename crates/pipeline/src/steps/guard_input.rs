//! `check_guardrail_status`: what must not go in.

use domain::interaction::{GuardrailAction, GuardrailVerdict, Side};
use guardrails::Guard;

use crate::trace::Word;

/// What the guardrails say of a text.
#[derive(Debug)]
pub(crate) struct Guarded {
    pub(crate) input: GuardedInput,
    pub(crate) verdict: GuardrailVerdict,
}

/// What may go on.
#[derive(Debug)]
pub(crate) enum GuardedInput {
    /// The text, masked where a policy masks.
    Pass(String),
    /// Nothing; this is said instead.
    Blocked(String),
}

impl Word for Guarded {
    fn word(&self) -> &'static str {
        self.verdict.action.name()
    }
}

pub(crate) fn run(guard: &Guard, text: &str) -> Guarded {
    let checked = guard.check(Side::Input, text);
    let input = match checked.verdict.action {
        GuardrailAction::Blocked => GuardedInput::Blocked(checked.message.unwrap_or_default()),
        GuardrailAction::None | GuardrailAction::Masked => GuardedInput::Pass(checked.text),
    };
    Guarded { input, verdict: checked.verdict }
}
