//! Asks every question of a suite, one after the other, each in a new session.

use std::time::Duration;

use domain::ports::BoxFuture;

use crate::judge::{Judged, judge};
use crate::suite::Case;

/// What came back for one question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answered {
    /// The text.
    pub response: String,
    /// As in the reply (`answered`, `declined`, …).
    pub outcome: String,
    /// The rung, where one spoke.
    pub tier: Option<String>,
    /// The model, where one spoke.
    pub model_used: Option<String>,
    /// From asking to the first released sentence.
    pub first_text: Option<Duration>,
    /// From asking to the whole reply.
    pub whole: Duration,
    /// Prompt tokens that had to be read.
    pub uncached_input_tokens: u32,
    /// Prompt tokens in all.
    pub input_tokens: u32,
    /// Generated tokens.
    pub output_tokens: u32,
    /// Citations.
    pub n_citations: usize,
}

/// Whoever answers.
pub trait Assistant: Send + Sync {
    /// Answers one question in a new session.
    fn ask<'a>(&'a self, case: &'a Case) -> BoxFuture<'a, Result<Answered, String>>;
}

/// One question, asked and judged.
#[derive(Debug, Clone)]
pub struct Line {
    /// The question.
    pub case: Case,
    /// What came back, or why nothing did.
    pub answered: Result<Answered, String>,
    /// The verdict; an error is wrong.
    pub judged: Judged,
}

/// Asks all `cases`, telling `progress` each line as it is judged.
pub async fn run(assistant: &dyn Assistant, cases: &[Case], mut progress: impl FnMut(&Line)) -> Vec<Line> {
    let mut lines = Vec::with_capacity(cases.len());
    for case in cases {
        let answered = assistant.ask(case).await;
        // No answer at all holds no fact, and its outcome is none of those that count as declined.
        let judged = match &answered {
            Ok(answered) => judge(case, answered),
            Err(_) => judge(case, &Answered::default()),
        };
        let line = Line { case: case.clone(), answered, judged };
        progress(&line);
        lines.push(line);
    }
    lines
}
