//! Figures over a judged suite.

use std::time::Duration;

use serde_json::{Value, json};

use crate::judge::Verdict;
use crate::run::{Answered, Line};

/// Figures over a judged suite.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Questions in all.
    pub n: usize,
    /// Right, declined, wrong.
    pub right: usize,
    /// Answerable, but not answered.
    pub declined: usize,
    /// All else.
    pub wrong: usize,
    /// Questions without an answer, and how many of them were declined.
    pub unanswerable: (usize, usize),
    /// Medians over the lines that a model answered.
    pub medians: Medians,
}

/// Medians over the lines that a model answered; `None` when there is none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Medians {
    /// From asking to the first released sentence.
    pub first_text: Option<Duration>,
    /// From asking to the whole reply.
    pub whole: Option<Duration>,
    /// Prompt tokens that had to be read.
    pub uncached_input_tokens: Option<u32>,
    /// The most of them.
    pub uncached_input_tokens_max: Option<u32>,
}

/// Sums up.
#[must_use]
pub fn summarise(lines: &[Line]) -> Summary {
    let count = |verdict: Verdict| lines.iter().filter(|line| line.judged.verdict == verdict).count();
    let unanswerable = lines.iter().filter(|line| line.case.unanswerable);
    let generated: Vec<&Answered> = lines
        .iter()
        .filter_map(|line| line.answered.as_ref().ok())
        .filter(|answered| answered.outcome == "answered" && answered.output_tokens > 0)
        .collect();
    Summary {
        n: lines.len(),
        right: count(Verdict::Right),
        declined: count(Verdict::Declined),
        wrong: count(Verdict::Wrong),
        unanswerable: (
            unanswerable.clone().count(),
            unanswerable.filter(|line| line.judged.verdict == Verdict::Right).count(),
        ),
        medians: Medians {
            first_text: median(generated.iter().filter_map(|answered| answered.first_text)),
            whole: median(generated.iter().map(|answered| answered.whole)),
            uncached_input_tokens: median(generated.iter().map(|answered| answered.uncached_input_tokens)),
            uncached_input_tokens_max: generated.iter().map(|answered| answered.uncached_input_tokens).max(),
        },
    }
}

/// The middle value (the lower one of two).
fn median<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// A line as JSON.
#[must_use]
pub fn line_json(line: &Line) -> Value {
    let mut value = json!({
        "id": line.case.id,
        "question": line.case.question,
        "verdict": line.judged.verdict.name(),
        "missing": line.judged.missing,
        "forbidden": line.judged.forbidden,
    });
    let more = match &line.answered {
        Ok(answered) => json!({
            "outcome": answered.outcome,
            "response": answered.response,
            "tier": answered.tier,
            "model_used": answered.model_used,
            "first_text_ms": answered.first_text.map(milliseconds),
            "whole_ms": milliseconds(answered.whole),
            "input_tokens": answered.input_tokens,
            "uncached_input_tokens": answered.uncached_input_tokens,
            "output_tokens": answered.output_tokens,
            "citations": answered.n_citations,
        }),
        Err(error) => json!({ "error": error }),
    };
    if let (Some(fields), Value::Object(more)) = (value.as_object_mut(), more) {
        fields.extend(more);
    }
    value
}

/// The summary as JSON.
#[must_use]
pub fn summary_json(summary: &Summary) -> Value {
    json!({
        "questions": summary.n,
        "right": summary.right,
        "declined": summary.declined,
        "wrong": summary.wrong,
        "unanswerable": summary.unanswerable.0,
        "unanswerable_declined": summary.unanswerable.1,
        "median_first_text_ms": summary.medians.first_text.map(milliseconds),
        "median_whole_ms": summary.medians.whole.map(milliseconds),
        "median_uncached_input_tokens": summary.medians.uncached_input_tokens,
        "max_uncached_input_tokens": summary.medians.uncached_input_tokens_max,
    })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_lower_middle() {
        for (values, want) in
            [(vec![], None), (vec![3], Some(3)), (vec![4, 1], Some(1)), (vec![9, 1, 5], Some(5))]
        {
            assert_eq!(median(values.into_iter()), want);
        }
    }
}
