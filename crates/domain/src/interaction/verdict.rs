//! What was found of a turn: by the guardrails, of its intent, of its answer.

/// What the guardrails did with a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum GuardrailAction {
    /// Nothing found, or only noted.
    #[default]
    None,
    /// Something was masked.
    Masked,
    /// The turn was stopped.
    Blocked,
}

impl GuardrailAction {
    /// The stable name used in bodies and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Masked => "masked",
            Self::Blocked => "blocked",
        }
    }
}

/// What a guardrail found. It never holds the text itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The policy.
    pub policy: String,
    /// The rule within it.
    pub rule: String,
    /// Where it was found.
    pub side: Side,
    /// Byte offset of the first byte.
    pub start: usize,
    /// Byte offset after the last byte.
    pub end: usize,
}

/// Which text a guardrail looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What the person wrote.
    Input,
    /// What the model wrote.
    Output,
}

impl Side {
    /// The stable name used in bodies and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

/// The guardrails' verdict on a turn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuardrailVerdict {
    /// The strongest action taken.
    pub action: GuardrailAction,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// The intent as detected.
#[derive(Debug, Clone, PartialEq)]
pub struct IntentVerdict {
    /// Its name.
    pub name: String,
    /// Calibrated probability, 0 to 1.
    pub confidence: f32,
}

/// The validator's verdict on an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QualityVerdict {
    /// 0 to 100.
    pub score: u8,
    /// Each dimension.
    pub checks: Vec<QualityCheck>,
    /// How often the answer was generated again.
    pub regenerations: u32,
}

/// One dimension of a quality verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QualityCheck {
    /// The dimension (`completeness`, `placeholders`, `numbers`, `groundedness`, …).
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// Why not, in words a model can act on; empty when it holds.
    pub reason: String,
}
