//! The limits that a key has of its own, as JSON beside it in the store: what is left out is as `[limits.key]` has it.

use domain::key::Key;
use domain::limit::{Budgets, Limits};
use domain::money::Nanos;
use serde_json::{Map, Value};

use super::settings::{InvalidLimit, KeyLimitsConfig, LimitsConfig};

/// The field that stands by itself.
const BUDGET: &str = "budget";

/// What a key has of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// Rates and requests at once, as JSON text.
    pub limits: Option<String>,
    /// The budget, as JSON text.
    pub budget: Option<String>,
}

impl Own {
    /// Of `key`.
    #[must_use]
    pub fn of(key: &Key) -> Self {
        Self { limits: key.limits.clone(), budget: key.budget.clone() }
    }

    /// With the fields of `changes` in place of those it had; `null` takes one away.
    ///
    /// # Errors
    /// [`InvalidLimit`] when that makes no sense.
    pub fn with(&self, changes: Map<String, Value>) -> Result<Self, InvalidLimit> {
        let mut fields = self.fields().ok_or(InvalidLimit::Unreadable)?;
        for (name, value) in changes {
            match value {
                Value::Null => drop(fields.remove(&name)),
                value => drop(fields.insert(name, value)),
            }
        }
        read(&fields)?.limits()?;
        let budget = fields.remove(BUDGET).map(|budget| budget.to_string());
        let limits = (!fields.is_empty()).then(|| Value::Object(fields).to_string());
        Ok(Self { limits, budget })
    }

    /// As they are counted. What nobody can read pays for nothing.
    #[must_use]
    pub fn limits(&self, default: &KeyLimitsConfig) -> Option<Limits> {
        if *self == Self::default() {
            return None;
        }
        let own = self.fields().ok_or(InvalidLimit::Unreadable).and_then(|fields| read(&fields));
        match own.and_then(|own| over(&own, default).limits()) {
            Ok(limits) => Some(limits),
            Err(error) => {
                tracing::error!(%error, "the limits of a key cannot be read: it gets no money");
                let nothing = Budgets { total: Some(Nanos(0)), ..Budgets::default() };
                Some(Limits { budgets: nothing, ..default.limits().unwrap_or_default() })
            }
        }
    }

    /// All fields in one object; `None` when they are none.
    #[must_use]
    pub fn fields(&self) -> Option<Map<String, Value>> {
        let object = |text: &str| match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Some(fields),
            _ => None,
        };
        let mut fields = self.limits.as_deref().map_or_else(|| Some(Map::new()), object)?;
        if let Some(budget) = &self.budget {
            fields.insert(BUDGET.to_owned(), serde_json::from_str(budget).ok()?);
        }
        Some(fields)
    }
}

fn read(fields: &Map<String, Value>) -> Result<LimitsConfig, InvalidLimit> {
    let read = serde_json::from_value(Value::Object(fields.clone()));
    read.map_err(|error| InvalidLimit::Field(error.to_string()))
}

fn over(own: &LimitsConfig, default: &KeyLimitsConfig) -> LimitsConfig {
    let is_own_rate = own.rate.is_some();
    LimitsConfig {
        rate: own.rate.clone().or_else(|| Some(default.rate.clone())),
        // A burst belongs to its rate.
        burst: own.burst.or(if is_own_rate { None } else { Some(default.burst) }),
        tokens_per_minute: own.tokens_per_minute.or(default.tokens_per_minute),
        parallel: own.parallel.or(default.parallel),
        budget: own.budget.clone().or_else(|| Some(default.budget.clone())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(fields) = value else { panic!("an object") };
        fields
    }

    #[test]
    fn changes_are_laid_over_and_null_takes_away() {
        let none = Own::default();
        assert_eq!(none.limits(&KeyLimitsConfig::default()), None);
        let one = none.with(object(json!({ "rate": "5/s", "budget": ["10/month"] }))).expect("valid");
        assert_eq!(one.budget.as_deref(), Some(r#"["10/month"]"#));
        let two = one.with(object(json!({ "parallel": 3, "rate": null }))).expect("valid");
        let limits = two.limits(&KeyLimitsConfig::default()).expect("its own");
        assert_eq!(
            limits.requests.map(|rate| (rate.count, rate.burst)),
            Some((50, 100)),
            "the default again"
        );
        assert_eq!((limits.parallel, limits.budgets.month), (Some(3), Some(Nanos(10_000_000_000))));
        let bare = two.with(object(json!({ "parallel": null, "budget": null }))).expect("valid");
        assert_eq!(bare, none);
    }

    #[test]
    fn its_own_budget_stands_in_place_of_the_default_one() {
        let default = KeyLimitsConfig { budget: vec!["1/day".to_owned()], ..KeyLimitsConfig::default() };
        for (own, day) in [(json!({ "parallel": 1 }), Some(1_000_000_000)), (json!({ "budget": [] }), None)] {
            let own = Own::default().with(object(own)).expect("valid");
            let limits = own.limits(&default).expect("its own");
            assert_eq!(limits.budgets.day.map(|nanos| nanos.0), day);
        }
    }

    #[test]
    fn nonsense_is_refused_and_in_the_store_pays_for_nothing() {
        for wrong in [
            json!({ "rate": "fast" }),
            json!({ "rate": 5 }),
            json!({ "budget": "1/day" }),
            json!({ "budget": ["1"] }),
            json!({ "other": 1 }),
        ] {
            assert!(Own::default().with(object(wrong.clone())).is_err(), "{wrong}");
        }
        for budget in ["", "7", r#"["x"]"#] {
            let own = Own { limits: None, budget: Some(budget.to_owned()) };
            let limits = own.limits(&KeyLimitsConfig::default()).expect("limits");
            assert_eq!(limits.budgets.total, Some(Nanos(0)), "{budget}");
        }
    }
}
