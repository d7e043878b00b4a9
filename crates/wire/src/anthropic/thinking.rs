//! How a model is told to think, by its version; the same wherever it runs.

use domain::conversation::Thinking;
use serde::Serialize;

use super::model::{ADAPTIVE, UNSAMPLED, Version};
use crate::translation::Untranslatable;

/// Whether a model thinks, and how much.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Mode {
    Adaptive,
    Disabled,
    Enabled { budget_tokens: u32 },
}

/// What is said about thinking, and the word for effort.
pub(crate) fn mode(
    thinking: &Thinking,
    version: Version,
    max_tokens: u32,
) -> Result<(Option<Mode>, Option<&str>), Untranslatable> {
    let is_adaptive = version >= ADAPTIVE;
    Ok(match thinking {
        Thinking::Unsaid => (None, None),
        Thinking::Off => (Some(Mode::Disabled), None),
        Thinking::Adaptive if is_adaptive => (Some(Mode::Adaptive), None),
        Thinking::Adaptive => (budget("medium", max_tokens), None),
        Thinking::Tokens(_) if version >= UNSAMPLED => {
            return Err(Untranslatable::new("thinking", "it takes an effort, not a number of tokens"));
        }
        Thinking::Tokens(budget_tokens) => (Some(Mode::Enabled { budget_tokens: *budget_tokens }), None),
        Thinking::Effort(word) => match word.as_str() {
            "none" => (Some(Mode::Disabled), None),
            "minimal" if is_adaptive => (Some(Mode::Adaptive), Some("low")),
            word if is_adaptive => (Some(Mode::Adaptive), Some(word)),
            word => (budget(word, max_tokens), None),
        },
    })
}

/// A budget for models that have no words for effort: a share of the limit of tokens, as other gateways take it
/// (openrouter.ai/docs, reasoning tokens, read 2026-11). No thinking where the limit leaves no room for it.
fn budget(effort: &str, max_tokens: u32) -> Option<Mode> {
    /// The least and the most that is accepted.
    const BUDGET: std::ops::RangeInclusive<u32> = 1_024..=128_000;
    let tenths = match effort {
        "minimal" => 1,
        "low" => 2,
        "high" => 8,
        "xhigh" | "max" => 9,
        _ => 5,
    };
    let budget_tokens = (max_tokens / 10).saturating_mul(tenths).clamp(*BUDGET.start(), *BUDGET.end());
    (budget_tokens < max_tokens).then_some(Mode::Enabled { budget_tokens })
}
