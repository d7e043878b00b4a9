//! The JSON columns of an interaction.

use domain::document::{Citation, Passage};
use domain::interaction::{Finding, IntentVerdict, QualityCheck, QualityVerdict, StepRecord};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Unreadable, duration, micros, names};

/// The JSON text of `value`.
pub(crate) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("stored parts have text keys and no failing serializer")
}

/// The value in `text`; an error names the place only, because the text may be private.
pub(crate) fn from_json<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, Unreadable> {
    serde_json::from_str(text)
        .map_err(|error| Unreadable(format!("{column} breaks off at column {}", error.column())))
}

/// JSON has no infinities: a float that is not finite is stored as null and read as not a number.
fn finite(value: f32) -> Option<f32> {
    value.is_finite().then_some(value)
}

fn float(value: Option<f32>) -> f32 {
    value.unwrap_or(f32::NAN)
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredIntent {
    name: String,
    confidence: Option<f32>,
}

impl From<&IntentVerdict> for StoredIntent {
    fn from(intent: &IntentVerdict) -> Self {
        Self { name: intent.name.clone(), confidence: finite(intent.confidence) }
    }
}

impl From<StoredIntent> for IntentVerdict {
    fn from(stored: StoredIntent) -> Self {
        Self { name: stored.name, confidence: float(stored.confidence) }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredFinding {
    policy: String,
    rule: String,
    side: String,
    start: usize,
    end: usize,
}

impl From<&Finding> for StoredFinding {
    fn from(finding: &Finding) -> Self {
        Self {
            policy: finding.policy.clone(),
            rule: finding.rule.clone(),
            side: finding.side.name().to_owned(),
            start: finding.start,
            end: finding.end,
        }
    }
}

impl TryFrom<StoredFinding> for Finding {
    type Error = Unreadable;

    fn try_from(stored: StoredFinding) -> Result<Self, Unreadable> {
        Ok(Self {
            policy: stored.policy,
            rule: stored.rule,
            side: names::side(&stored.side)?,
            start: stored.start,
            end: stored.end,
        })
    }
}

/// A quality verdict without its reasons, which may quote the answer and are kept apart.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredQuality {
    score: u8,
    checks: Vec<StoredCheck>,
    regenerations: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredCheck {
    name: String,
    passed: bool,
}

impl From<&QualityVerdict> for StoredQuality {
    fn from(quality: &QualityVerdict) -> Self {
        let check = |check: &QualityCheck| StoredCheck { name: check.name.clone(), passed: check.passed };
        Self {
            score: quality.score,
            checks: quality.checks.iter().map(check).collect(),
            regenerations: quality.regenerations,
        }
    }
}

impl StoredQuality {
    /// The verdict with `reasons`, in the order of its checks; those dropped are empty.
    pub(crate) fn with_reasons(self, reasons: Vec<String>) -> QualityVerdict {
        let mut reasons = reasons.into_iter();
        let check = |check: StoredCheck| QualityCheck {
            name: check.name,
            passed: check.passed,
            reason: reasons.next().unwrap_or_default(),
        };
        QualityVerdict {
            score: self.score,
            checks: self.checks.into_iter().map(check).collect(),
            regenerations: self.regenerations,
        }
    }
}

/// A citation without its text, which is kept apart.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredCitation {
    n: u32,
    document: String,
    version: String,
    title: String,
    source: String,
    as_of: String,
    start: usize,
    end: usize,
    score: Option<f32>,
}

impl From<&Citation> for StoredCitation {
    fn from(citation: &Citation) -> Self {
        let passage = &citation.passage;
        Self {
            n: citation.n,
            document: passage.document.as_str().to_owned(),
            version: passage.version.as_str().to_owned(),
            title: passage.title.clone(),
            source: passage.source.clone(),
            as_of: passage.as_of.clone(),
            start: passage.start,
            end: passage.end,
            score: finite(passage.score),
        }
    }
}

impl StoredCitation {
    /// The citation with its text; empty when it was dropped.
    pub(crate) fn with_text(self, text: String) -> Citation {
        let passage = Passage {
            document: self.document.into(),
            version: self.version.into(),
            title: self.title,
            source: self.source,
            as_of: self.as_of,
            start: self.start,
            end: self.end,
            text,
            score: float(self.score),
            sentences: Vec::new(),
        };
        Citation { n: self.n, passage }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredStep {
    name: String,
    started_us: i64,
    took_us: i64,
    outcome: String,
}

impl From<&StepRecord> for StoredStep {
    fn from(step: &StepRecord) -> Self {
        Self {
            name: step.name.to_owned(),
            started_us: micros(step.started),
            took_us: micros(step.took),
            outcome: step.outcome.clone(),
        }
    }
}

impl From<StoredStep> for StepRecord {
    fn from(stored: StoredStep) -> Self {
        Self {
            name: names::step(&stored.name),
            started: duration(stored.started_us),
            took: duration(stored.took_us),
            outcome: stored.outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_that_json_cannot_say_does_not_make_a_record_unreadable() {
        for confidence in [f32::NAN, f32::INFINITY] {
            let intent = IntentVerdict { name: "odd".to_owned(), confidence };
            let stored: StoredIntent =
                from_json("intent", &to_json(&StoredIntent::from(&intent))).expect("readable");
            assert!(IntentVerdict::from(stored).confidence.is_nan());
        }
    }

    #[test]
    fn an_error_never_repeats_stored_text() {
        let error = from_json::<StoredIntent>("intent", r#"{"name":"a","confidence":"my secret"}"#)
            .expect_err("a text");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
