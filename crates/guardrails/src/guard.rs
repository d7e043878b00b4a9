//! Checking a text, or a stream of sentences, against policies.

use std::sync::Arc;

use domain::interaction::{Finding, GuardrailAction, GuardrailVerdict, Side};

use crate::policy::{Action, Finder, Policy, Rule};
use crate::secret;
use crate::view::{View, views};

/// How much of what was already released is looked at again with the next sentence: as much as the longest
/// secret that could be split over two.
const TAIL_BYTES: usize = 512;

/// What a guardrail says of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What was found and done.
    pub verdict: GuardrailVerdict,
    /// The text with what had to be masked replaced; empty when it is blocked.
    pub text: String,
    /// What to reply instead, when it is blocked.
    pub message: Option<String>,
}

impl Checked {
    /// Whether the turn stops here.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.verdict.action == GuardrailAction::Blocked
    }
}

/// Policies ready to check with. Cheap to clone; never logs what it reads.
#[derive(Debug, Clone)]
pub struct Guard {
    policies: Arc<Vec<Policy>>,
}

/// A finding and its rule.
struct Found<'a> {
    policy: &'a Policy,
    rule: &'a Rule,
    start: usize,
    end: usize,
}

impl Guard {
    /// A guard by these policies; by none it finds nothing. Compiles the detectors on first use (some 20 ms).
    #[must_use]
    pub fn new(policies: Vec<Policy>) -> Self {
        let is_secret = |rule: &Rule| matches!(rule.finder, Finder::Secrets(_));
        if policies.iter().any(|policy| policy.rules.iter().any(is_secret)) {
            secret::prepare();
        }
        Self { policies: Arc::new(policies) }
    }

    /// Checks a whole text. Time is linear in its length.
    #[must_use]
    pub fn check(&self, side: Side, text: &str) -> Checked {
        let found = self.find(side, text);
        conclude(side, text, 0, &found)
    }

    /// A check for an answer that is released sentence by sentence.
    #[must_use]
    pub fn stream(&self) -> GuardStream {
        GuardStream { guard: self.clone(), tail: String::new(), released: 0 }
    }

    fn find(&self, side: Side, text: &str) -> Vec<Found<'_>> {
        let views = views(text);
        let mut found: Vec<Found<'_>> = Vec::new();
        for policy in self.policies.iter() {
            for rule in policy.rules.iter().filter(|rule| rule.sides.contains(&side)) {
                for (start, end) in ranges(rule, text, &views) {
                    found.push(Found { policy, rule, start, end });
                }
            }
        }
        found
    }
}

/// Where `rule` finds something, in the text and in its other readings; overlapping ranges are one.
fn ranges(rule: &Rule, text: &str, views: &[View]) -> Vec<(usize, usize)> {
    let look = |text: &str| -> Vec<(usize, usize)> {
        match &rule.finder {
            Finder::Secrets(detectors) => {
                let hits = secret::find(text, detectors);
                hits.into_iter().map(|hit| (hit.range.start, hit.range.end)).collect()
            }
            Finder::Pattern(pattern) => pattern.find_iter(text).map(|hit| (hit.start(), hit.end())).collect(),
        }
    };
    let mut ranges = look(text);
    for view in views {
        let located = look(&view.text).into_iter().map(|(start, end)| view.locate(start, end));
        ranges.extend(located.map(|range| (range.start, range.end)));
    }
    ranges.retain(|(start, end)| start < end);
    ranges.sort_unstable();
    let mut merged: Vec<(usize, usize)> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges {
        match merged.last_mut() {
            Some(last) if start < last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

/// The verdict on `text`, whose first byte is byte `offset` of what is released.
fn conclude(side: Side, text: &str, offset: usize, found: &[Found<'_>]) -> Checked {
    let findings = found.iter().map(|found| Finding {
        policy: found.policy.id.clone(),
        rule: found.rule.id.clone(),
        side,
        start: offset + found.start,
        end: offset + found.end,
    });
    let findings = findings.collect();
    if let Some(blocking) = found.iter().find(|found| found.rule.action == Action::Block) {
        let usual = match side {
            Side::Input => &blocking.policy.message_input,
            Side::Output => &blocking.policy.message_output,
        };
        let message = blocking.rule.message.as_ref().unwrap_or(usual).trim().to_owned();
        let verdict = GuardrailVerdict { action: GuardrailAction::Blocked, findings };
        return Checked { verdict, text: String::new(), message: Some(message) };
    }
    let masks: Vec<&Found<'_>> = found.iter().filter(|found| found.rule.action == Action::Mask).collect();
    let action = if masks.is_empty() { GuardrailAction::None } else { GuardrailAction::Masked };
    let verdict = GuardrailVerdict { action, findings };
    Checked { verdict, text: mask(text, &masks), message: None }
}

/// `text` with each masked range replaced by the name of its rule.
fn mask(text: &str, masks: &[&Found<'_>]) -> String {
    let mut ordered: Vec<&&Found<'_>> = masks.iter().collect();
    ordered.sort_by_key(|found| (found.start, found.end));
    let mut masked = String::with_capacity(text.len());
    let mut from = 0;
    for found in ordered {
        if found.start >= from {
            masked.push_str(text.get(from..found.start).unwrap_or_default());
            masked.push_str("[removed: ");
            masked.push_str(&found.rule.id);
            masked.push(']');
        }
        from = from.max(found.end);
    }
    masked.push_str(text.get(from..).unwrap_or_default());
    masked
}

/// Checks an answer sentence by sentence, each together with the end of what was released before it, so
/// that a secret split over two sentences is still caught before it is whole.
#[derive(Debug, Clone)]
pub struct GuardStream {
    guard: Guard,
    tail: String,
    released: usize,
}

impl GuardStream {
    /// Checks the next sentence (with the blanks before it). Offsets of findings count from the beginning of
    /// the stream, dropped sentences left out. A blocked sentence must not be released.
    pub fn push(&mut self, sentence: &str) -> Checked {
        let text = format!("{}{sentence}", self.tail);
        let known = self.tail.len();
        let mut found = self.guard.find(Side::Output, &text);
        // What ends in the tail was said when its own sentence was checked.
        found.retain(|found| found.end > known);
        for found in &mut found {
            found.start = found.start.saturating_sub(known);
            found.end -= known;
        }
        let checked = conclude(Side::Output, sentence, self.released, &found);
        if !checked.is_blocked() {
            self.released += sentence.len();
            let mut keep = text.len().saturating_sub(TAIL_BYTES);
            while !text.is_char_boundary(keep) {
                keep += 1;
            }
            self.tail = text.get(keep..).unwrap_or_default().to_owned();
        }
        checked
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
