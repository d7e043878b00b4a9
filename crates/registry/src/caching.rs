//! `[cache]` of an agent, a route or a model: which of its answers are given again.

use std::time::Duration;

use domain::cache::{Matching, Rules, Scope};
use serde::Deserialize;

/// Settings of `[cache]` of an agent. Without the section no answer of it is given again.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentCacheConfig {
    /// Which questions get the answer of an earlier one.
    pub matching: MatchingName,
    /// How long an answer is given again, 1 second to 7 days.
    #[serde(with = "resilience::duration_text")]
    pub ttl: Duration,
    /// Who is given it.
    pub scope: ScopeName,
    /// With `matching = "semantic"`, how near two questions must be, 0.8 to 1 (the cosine of their vectors); docs/cache.md
    /// says what was measured.
    pub likeness_min: f32,
}

impl Default for AgentCacheConfig {
    fn default() -> Self {
        Self {
            matching: MatchingName::Exact,
            ttl: Duration::from_secs(600),
            scope: ScopeName::Tenant,
            likeness_min: LIKENESS_MIN,
        }
    }
}

/// Settings of the cache of a route or a bare model, as far as requests are relayed to it. Without them no answer of it is
/// given again. Only the same request, byte for byte, gets the answer of an earlier one.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelayCacheConfig {
    /// How long an answer is given again, 1 second to 7 days.
    #[serde(with = "resilience::duration_text")]
    pub ttl: Duration,
    /// Who is given it.
    pub scope: ScopeName,
}

impl Default for RelayCacheConfig {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(600), scope: ScopeName::Tenant }
    }
}

/// Which questions get the answer of an earlier one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatchingName {
    /// The same ones.
    #[default]
    Exact,
    /// Also those that mean the same.
    Semantic,
}

/// Who is given an answer again. It never is another tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScopeName {
    /// All keys of the tenant.
    #[default]
    Tenant,
    /// The key alone that was given it first.
    Key,
}

/// At this cosine and with what `cache::difference` tells apart, no two questions of the shipped suites that have other
/// answers were taken for the same (`bench/parts.sh likeness`, docs/cache.md).
pub const LIKENESS_MIN: f32 = 0.9;

/// The rules of an agent.
///
/// # Errors
/// The key that is wrong, and why.
pub(crate) fn of_agent(config: &AgentCacheConfig) -> Result<Rules, (&'static str, String)> {
    let rules = rules(config.ttl, config.scope).map_err(|reason| ("ttl", reason))?;
    let likeness_min = config.likeness_min;
    if !(0.8..=1.0).contains(&likeness_min) {
        return Err(("likeness_min", "likeness_min must be 0.8 to 1".to_owned()));
    }
    let matching = match config.matching {
        MatchingName::Exact => Matching::Exact,
        MatchingName::Semantic => Matching::Semantic { likeness_min },
    };
    Ok(Rules { matching, ..rules })
}

/// The rules of a route or a model.
///
/// # Errors
/// What is wrong.
pub(crate) fn of_relay(config: Option<RelayCacheConfig>) -> Result<Option<Rules>, String> {
    config.map(|config| rules(config.ttl, config.scope)).transpose()
}

fn rules(ttl: Duration, scope: ScopeName) -> Result<Rules, String> {
    if !(Duration::from_secs(1)..=Duration::from_hours(7 * 24)).contains(&ttl) {
        return Err("cache: ttl must be 1 second to 7 days".to_owned());
    }
    let scope = match scope {
        ScopeName::Tenant => Scope::Tenant,
        ScopeName::Key => Scope::Key,
    };
    Ok(Rules { ttl, scope, matching: Matching::Exact })
}
