//! The settings of limits, as people write them in `mainstay.toml`, on the command line and in the API.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use domain::limit::{Budgets, Limits, Period, Rate};
use domain::money::Nanos;
use domain::spending::Assumed;
use serde::{Deserialize, Serialize};

/// Settings of `[limits]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Each key that has no limits of its own. While no key exists, there are none but the server's.
    pub key: KeyLimitsConfig,
    /// All keys of one tenant together, by its name.
    pub tenants: BTreeMap<String, LimitsConfig>,
    /// Everybody together, also while no key exists.
    pub server: LimitsConfig,
    /// What happens to a model without prices where there is a budget.
    pub unpriced: Unpriced,
    /// What a model is taken to have where the catalogue does not say, for the worst case of a request.
    pub assumed: AssumedConfig,
}

/// What happens to a model without prices where there is a budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unpriced {
    /// It is not called.
    #[default]
    Refuse,
    /// It is called, and counts as nothing.
    Allow,
}

/// Limits of a tenant or of the server. What is left out is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Requests that may begin: `"50/s"`, `"600/min"`, `"1000/h"` or `"unlimited"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Requests that may begin at once after a pause; as many as begin in a second where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
    /// Tokens in and out in a minute. Each request takes its worst case until its usage is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Requests at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel: Option<u32>,
    /// US dollars for each period: `["1.50/day", "20/month", "100/total"]`. Days and months are those of UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Vec<String>>,
}

/// Limits of a key that has none of its own. What is left out is not limited, but for the rate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyLimitsConfig {
    /// Requests that may begin: `"50/s"`, `"600/min"`, `"1000/h"` or `"unlimited"`.
    pub rate: String,
    /// Requests that may begin at once after a pause.
    pub burst: u64,
    /// Tokens in and out in a minute. Each request takes its worst case until its usage is known.
    pub tokens_per_minute: Option<u64>,
    /// Requests at once.
    pub parallel: Option<u32>,
    /// US dollars for each period: `["1.50/day", "20/month", "100/total"]`. Days and months are those of UTC.
    pub budget: Vec<String>,
}

impl Default for KeyLimitsConfig {
    fn default() -> Self {
        Self {
            rate: "50/s".to_owned(),
            burst: 100,
            tokens_per_minute: None,
            parallel: None,
            budget: Vec::new(),
        }
    }
}

/// What a model is taken to have where the catalogue does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AssumedConfig {
    /// Context window in tokens: the input of requests whose parts the provider fetches itself, or that have
    /// parts or tools of a kind that is not known.
    pub context: u32,
    /// Tokens of an answer whose request sets no limit.
    pub output_max: u32,
}

impl Default for AssumedConfig {
    fn default() -> Self {
        Self { context: 200_000, output_max: 32_768 }
    }
}

/// A setting that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLimit {
    /// No rate.
    #[error("`{0}` is no rate: write `50/s`, `600/min`, `1000/h` or `unlimited`")]
    Rate(String),
    /// No budget.
    #[error("`{0}` is no budget: write US dollars and a period, as `1.50/day`, `20/month` or `100/total`")]
    Budget(String),
    /// A field that is none, or of the wrong type.
    #[error("{0}")]
    Field(String),
    /// What is kept beside the key was written by someone else.
    #[error("the limits of the key cannot be read")]
    Unreadable,
    /// A number out of its range.
    #[error("{0}")]
    Range(&'static str),
}

/// How fast requests may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as they come.
    Unlimited,
    /// So many in so much time.
    Limited {
        /// How many.
        count: u64,
        /// In how much time.
        per: Duration,
    },
}

const UNLIMITED: &str = "unlimited";
const SPANS: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 3_600), ("day", 86_400)];
/// More than any server takes.
const COUNT_MAX: u64 = 1_000_000_000;

impl FromStr for Pace {
    type Err = InvalidLimit;

    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        if text == UNLIMITED {
            return Ok(Self::Unlimited);
        }
        let (count, span) = text.split_once('/').unwrap_or((text, "s"));
        let count = count.parse::<u64>().ok().filter(|count| (1..=COUNT_MAX).contains(count));
        let seconds = SPANS.iter().find(|(name, _)| *name == span).map(|(_, seconds)| *seconds);
        match (count, seconds) {
            (Some(count), Some(seconds)) => Ok(Self::Limited { count, per: Duration::from_secs(seconds) }),
            _ => Err(InvalidLimit::Rate(text.to_owned())),
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str(UNLIMITED),
            Self::Limited { count, per } => {
                let span = SPANS.iter().find(|(_, seconds)| *seconds == per.as_secs());
                write!(f, "{count}/{}", span.map_or("s", |(name, _)| name))
            }
        }
    }
}

/// An amount for a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetText {
    /// The amount; not below zero.
    pub amount: Nanos,
    /// For how long.
    pub period: Period,
}

impl FromStr for BudgetText {
    type Err = InvalidLimit;

    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        let read = || {
            let (amount, period) = text.split_once('/')?;
            Some(Self { amount: dollars(amount)?, period: Period::parse(period)? })
        };
        read().ok_or_else(|| InvalidLimit::Budget(text.to_owned()))
    }
}

impl fmt::Display for BudgetText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.amount.usd(), self.period.name())
    }
}

/// Exact decimal dollars with at most nine decimals, never negative; money is no float.
fn dollars(text: &str) -> Option<Nanos> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = !whole.is_empty()
        && fraction.len() <= 9
        && !text.ends_with('.')
        && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if !is_number {
        return None;
    }
    format!("{whole}{fraction:0<9}").parse::<i64>().ok().map(Nanos)
}

/// The amounts, one for each period.
fn budgets(texts: &[String]) -> Result<Budgets, InvalidLimit> {
    let mut budgets = Budgets::default();
    for text in texts {
        let BudgetText { amount, period } = text.parse()?;
        if budgets.of_mut(period).replace(amount).is_some() {
            return Err(InvalidLimit::Range("budget: one amount for each period"));
        }
    }
    Ok(budgets)
}

fn in_range(number: Option<u64>, reason: &'static str) -> Result<(), InvalidLimit> {
    match number.is_none_or(|number| (1..=COUNT_MAX).contains(&number)) {
        true => Ok(()),
        false => Err(InvalidLimit::Range(reason)),
    }
}

impl LimitsConfig {
    /// As they are counted.
    ///
    /// # Errors
    /// [`InvalidLimit`] for the first thing that makes no sense.
    pub fn limits(&self) -> Result<Limits, InvalidLimit> {
        in_range(self.burst, "burst: 1 to 1000000000")?;
        in_range(self.tokens_per_minute, "tokens_per_minute: 1 to 1000000000")?;
        in_range(self.parallel.map(u64::from), "parallel: at least 1")?;
        let requests = match self.rate.as_deref().map(str::parse).transpose()? {
            None | Some(Pace::Unlimited) => None,
            Some(Pace::Limited { count, per }) => {
                let in_a_second = count / per.as_secs().max(1);
                Some(Rate { count, per, burst: self.burst.unwrap_or(in_a_second).max(1) })
            }
        };
        Ok(Limits {
            requests,
            tokens_per_minute: self.tokens_per_minute,
            parallel: self.parallel,
            budgets: budgets(self.budget.as_deref().unwrap_or_default())?,
        })
    }
}

impl KeyLimitsConfig {
    /// As they are counted.
    ///
    /// # Errors
    /// [`InvalidLimit`] for the first thing that makes no sense.
    pub fn limits(&self) -> Result<Limits, InvalidLimit> {
        let own = LimitsConfig {
            rate: Some(self.rate.clone()),
            burst: Some(self.burst),
            tokens_per_minute: self.tokens_per_minute,
            parallel: self.parallel,
            budget: Some(self.budget.clone()),
        };
        own.limits()
    }
}

impl Config {
    /// Checks what types cannot say: the table (below `[limits]`) and what is wrong there.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), (Vec<&str>, InvalidLimit)> {
        self.key.limits().map_err(|error| (vec!["key"], error))?;
        self.server.limits().map_err(|error| (vec!["server"], error))?;
        for (name, limits) in &self.tenants {
            limits.limits().map_err(|error| (vec!["tenants", name.as_str()], error))?;
        }
        if self.assumed.context == 0 || self.assumed.output_max == 0 {
            return Err((vec!["assumed"], InvalidLimit::Range("at least 1 token")));
        }
        Ok(())
    }

    pub(super) fn assumed(&self) -> Assumed {
        Assumed { context: self.assumed.context, output_max: self.assumed.output_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_budgets_are_read_as_people_write_them() {
        for (text, want) in [
            ("50", Some("50/s")),
            ("50/s", Some("50/s")),
            ("600/min", Some("600/min")),
            ("1000/h", Some("1000/h")),
            ("unlimited", Some("unlimited")),
            ("0/s", None),
            ("-1", None),
            ("5/week", None),
            ("", None),
            ("1000000001/s", None),
        ] {
            let read = text.parse::<Pace>().ok().map(|pace| pace.to_string());
            assert_eq!(read.as_deref(), want, "{text}");
        }
        for (text, want) in [
            ("10/month", Some("10/month")),
            ("1.50/day", Some("1.5/day")),
            ("0.000000001/total", Some("0.000000001/total")),
            ("0/day", Some("0/day")),
            ("0.0000000001/day", None),
            ("10", None),
            ("-1/day", None),
            ("1e3/day", None),
            (".5/day", None),
            ("5./day", None),
            ("9223372036.854775808/day", None),
            ("10/year", None),
        ] {
            let read = text.parse::<BudgetText>().ok().map(|budget| budget.to_string());
            assert_eq!(read.as_deref(), want, "{text}");
        }
    }

    #[test]
    fn a_key_begins_with_a_hundred_and_goes_on_with_fifty_a_second() {
        let limits = Config::default().key.limits().expect("valid");
        assert_eq!(limits.requests, Some(Rate { count: 50, per: Duration::from_secs(1), burst: 100 }));
        assert_eq!(Config::default().server.limits(), Ok(Limits::default()));
    }

    #[test]
    fn a_burst_that_is_left_out_is_a_second_of_the_rate() {
        for (text, want) in [("50/s", 50), ("600/min", 10), ("10/h", 1)] {
            let own = LimitsConfig { rate: Some(text.to_owned()), ..LimitsConfig::default() };
            let limits = own.limits().expect("valid");
            assert_eq!(limits.requests.map(|rate| rate.burst), Some(want), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let budget = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        for (limits, is_fine) in [
            (LimitsConfig::default(), true),
            (LimitsConfig { rate: Some("fast".to_owned()), ..LimitsConfig::default() }, false),
            (LimitsConfig { burst: Some(0), ..LimitsConfig::default() }, false),
            (LimitsConfig { parallel: Some(0), ..LimitsConfig::default() }, false),
            (LimitsConfig { tokens_per_minute: Some(0), ..LimitsConfig::default() }, false),
            (LimitsConfig { budget: budget(&["1"]), ..LimitsConfig::default() }, false),
            (LimitsConfig { budget: budget(&["1/day", "2/day"]), ..LimitsConfig::default() }, false),
            (LimitsConfig { budget: budget(&["1/day", "2/month"]), ..LimitsConfig::default() }, true),
        ] {
            assert_eq!(limits.limits().is_ok(), is_fine, "{limits:?}");
        }
    }
}
