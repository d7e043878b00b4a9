//! Judges an answer by facts: right, declined or wrong.

use crate::run::Answered;
use crate::suite::Case;

/// The verdict on one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// All facts, nothing forbidden; or, where there is no answer, declined.
    Right,
    /// There is an answer, but the assistant did not give one.
    Declined,
    /// All else.
    Wrong,
}

impl Verdict {
    /// The word used in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Declined => "declined",
            Self::Wrong => "wrong",
        }
    }
}

/// A verdict and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Facts that should occur and do not.
    pub missing: Vec<String>,
    /// Texts that should not occur and do.
    pub forbidden: Vec<String>,
}

/// Judges one answer.
#[must_use]
pub fn judge(case: &Case, answered: &Answered) -> Judged {
    let text = folded(&answered.response);
    let occurs = |fact: &str| text.contains(&folded(fact));
    let missing: Vec<String> =
        case.expect.iter().filter(|fact| !fact.split('|').any(occurs)).cloned().collect();
    let forbidden: Vec<String> = case.forbid.iter().filter(|fact| occurs(fact)).cloned().collect();
    let verdict = if case.unanswerable {
        if answered.outcome == "declined" { Verdict::Right } else { Verdict::Wrong }
    } else if missing.is_empty() && forbidden.is_empty() {
        Verdict::Right
    } else if ["declined", "clarify", "escalated", "degraded"].contains(&answered.outcome.as_str()) {
        Verdict::Declined
    } else {
        Verdict::Wrong
    };
    Judged { verdict, missing, forbidden }
}

/// Case and spacing do not count.
fn folded(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged_by_their_facts() {
        let answerable = |expect: &[&str], forbid: &[&str]| Case {
            id: "a".to_owned(),
            question: "?".to_owned(),
            use_case: None,
            expect: expect.iter().map(|fact| (*fact).to_owned()).collect(),
            forbid: forbid.iter().map(|fact| (*fact).to_owned()).collect(),
            fact: None,
            unanswerable: false,
        };
        let unanswerable = Case { unanswerable: true, ..answerable(&[], &[]) };
        for (case, outcome, response, want) in [
            (answerable(&["250,000|250000"], &[]), "answered", "Up to $250000.", Verdict::Right),
            (
                answerable(&["two business days"], &[]),
                "answered",
                "within TWO\nbusiness  days",
                Verdict::Right,
            ),
            (answerable(&["a", "b"], &[]), "answered", "a", Verdict::Wrong),
            (answerable(&["a"], &["not"]), "answered", "a not", Verdict::Wrong),
            (answerable(&["a"], &[]), "escalated", "the quoted a", Verdict::Right),
            (answerable(&["a"], &[]), "degraded", "", Verdict::Declined),
            (answerable(&["a"], &[]), "clarify", "", Verdict::Declined),
            (answerable(&["a"], &[]), "blocked", "", Verdict::Wrong),
            (unanswerable.clone(), "declined", "I don't have that.", Verdict::Right),
            (unanswerable, "answered", "It is 5 %.", Verdict::Wrong),
        ] {
            let answered = Answered {
                response: response.to_owned(),
                outcome: outcome.to_owned(),
                ..Answered::default()
            };
            assert_eq!(judge(&case, &answered).verdict, want, "{outcome}: {response}");
        }
    }
}
