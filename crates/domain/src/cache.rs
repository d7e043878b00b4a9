//! Answers that are given again: what a configuration allows, what a request wishes, and what came of it.

use std::time::Duration;

/// What may be given again, as an agent, a route or a model says. Where none of them says anything, nothing is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// How long an answer is given again.
    pub ttl: Duration,
    /// Who may be given it.
    pub scope: Scope,
    /// What a question must be like.
    pub matching: Matching,
}

/// Who may be given an answer: never another tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All keys of the tenant that was given it first.
    Tenant,
    /// The key alone that was given it first.
    Key,
}

/// What a question must be like to get the answer of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Matching {
    /// It is the same, byte for byte.
    Exact,
    /// It is the same, or the cosine between the two is at least this and nothing else tells them apart.
    Semantic {
        /// 0 to 1.
        likeness_min: f32,
    },
}

/// What a request wishes (`x-mainstay-cache`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wish {
    /// What the configuration allows.
    #[default]
    Default,
    /// Neither an earlier answer nor that this one is kept.
    NoStore,
    /// A new answer, which takes the place of the earlier one.
    Refresh,
    /// An earlier answer or an error; no model is called.
    OnlyIfCached,
}

impl Wish {
    /// All, for parsing and tests.
    pub const ALL: [Self; 4] = [Self::Default, Self::NoStore, Self::Refresh, Self::OnlyIfCached];

    /// The name used in headers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::NoStore => "no-store",
            Self::Refresh => "refresh",
            Self::OnlyIfCached => "only-if-cached",
        }
    }

    /// The wish of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wish| wish.name().eq_ignore_ascii_case(name))
    }
}

/// What came of looking for an earlier answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// One to the same question is given again.
    Hit,
    /// One to a question like it is given again.
    Semantic,
    /// There is none.
    Miss,
    /// Nobody looked: the request, or what it holds, forbids it.
    Bypass,
}

impl Came {
    /// All, for labels.
    pub const ALL: [Self; 4] = [Self::Hit, Self::Semantic, Self::Miss, Self::Bypass];

    /// The stable name used in headers, records and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Semantic => "semantic",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

/// What a caller is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// What came of it.
    pub came: Came,
    /// How old the answer is that is given again.
    pub age: Option<Duration>,
}

impl Told {
    /// No earlier answer is given.
    #[must_use]
    pub fn new_answer(came: Came) -> Self {
        Self { came, age: None }
    }
}
