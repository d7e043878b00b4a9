//! An agent: what answers a use case.

use std::fmt;
use std::time::Duration;

use crate::cache;
use crate::chat::Parameters;
use crate::id::{AgentName, CollectionName, RouteName};
use crate::residency::Residency;

/// A version of an agent: `name@version`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AgentVersion {
    /// The agent.
    pub name: AgentName,
    /// Its version, as `1.0`.
    pub version: String,
}

impl AgentVersion {
    /// What stands in the record of a turn that no agent answered.
    #[must_use]
    pub fn none() -> Self {
        Self { name: AgentName::from("-"), version: "-".to_owned() }
    }

    /// Whether no agent answered.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.name.as_str() == "-"
    }
}

impl fmt::Display for AgentVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// What is kept of an interaction's texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Nothing: texts are dropped, their hashes kept.
    None,
    /// The session's lifetime.
    Session(Duration),
    /// Until someone deletes it.
    Record,
}

impl Retention {
    /// The stable name used in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Session(_) => "session",
            Self::Record => "record",
        }
    }
}

/// What answers a use case: immutable, one for each version.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// Name and version.
    pub version: AgentVersion,
    /// The route its calls take.
    pub route: RouteName,
    /// Where its questions may be processed.
    pub residency: Residency,
    /// Collections it answers from; an agent with none is not grounded.
    pub knowledge: Vec<CollectionName>,
    /// Names of its guardrail policies.
    pub guardrails: Vec<String>,
    /// How it samples.
    pub parameters: Parameters,
    /// What is kept of `/query` turns.
    pub retention: Retention,
    /// What is kept of `/generate` calls.
    pub retention_generate: Retention,
    /// Which of its answers are given again; `None` for none.
    pub cache: Option<cache::Rules>,
    /// Product classes, which choose the disclaimers of its degraded answer.
    pub product_classes: Vec<String>,
}
