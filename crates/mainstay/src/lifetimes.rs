//! Models whose end has come or is announced, and prices that have run out, told in words.

use std::collections::BTreeMap;

use domain::id::ModelId;
use domain::model::{Model, Stage};
use domain::time::Day;

/// What is to be said of a model.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Calls of it fail, or will.
    Ended(String),
    /// Someone should look after it.
    Aging(String),
}

/// What is to be said of `models` on `today`.
pub(crate) fn told(models: &BTreeMap<ModelId, Model>, today: Day) -> Vec<(&ModelId, Told)> {
    models
        .iter()
        .flat_map(|(id, model)| of_model(model, today).into_iter().map(move |told| (id, told)))
        .collect()
}

fn of_model(model: &Model, today: Day) -> Vec<Told> {
    let mut told = Vec::new();
    let life = model.lifecycle;
    match (life.stage(today), life.end_of_life, life.deprecated) {
        (Stage::Ended, Some(end), _) => {
            told.push(Told::Ended(format!("its provider does not serve it since {end}; take another model")));
        }
        (Stage::Deprecated, Some(end), _) => {
            told.push(Told::Aging(format!("its provider serves it until {end}; plan for another model")));
        }
        (Stage::Deprecated, None, Some(since)) => {
            told.push(Told::Aging(format!("its provider advises against it since {since}")));
        }
        _ => {}
    }
    if !model.prices.0.is_empty() && model.prices.on(today).is_none() {
        told.push(Told::Aging("none of its prices holds today: it is unpriced".to_owned()));
    }
    told
}

#[cfg(test)]
mod tests {
    use domain::model::{Lifecycle, Prices};
    use domain::money::Nanos;

    use super::*;

    #[test]
    fn what_ends_is_told_with_its_day() {
        let day = |text| Day::parse(text).expect("a day");
        let ends = Lifecycle { end_of_life: Some(day("2026-12-01")), ..Lifecycle::default() };
        let old = Lifecycle { deprecated: Some(day("2026-10-01")), ..Lifecycle::default() };
        let flat = Prices::flat("v", Nanos(1), Nanos(1));
        let run_out = Prices { until: Some(day("2026-11-01")), ..flat.clone() };
        let model = |lifecycle, prices: Option<Prices>| Model {
            lifecycle,
            prices: prices.map(Into::into).unwrap_or_default(),
            ..Model::unknown("p/m".into())
        };
        let life = Lifecycle::default();
        for (model, on, want) in [
            (model(life, None), "2026-11-21", vec![]),
            (model(life, Some(flat)), "2026-11-21", vec![]),
            (model(ends, None), "2026-11-21", vec!["until 2026-12-01"]),
            (model(ends, None), "2026-12-01", vec!["since 2026-12-01"]),
            (model(old, None), "2026-11-21", vec!["advises against it since 2026-10-01"]),
            (model(ends, Some(run_out)), "2026-12-02", vec!["does not serve it", "unpriced"]),
        ] {
            let models = BTreeMap::from([(model.id.clone(), model)]);
            let told = told(&models, day(on));
            let texts: Vec<&String> = told
                .iter()
                .map(|(_, told)| match told {
                    Told::Ended(text) | Told::Aging(text) => text,
                })
                .collect();
            assert_eq!(texts.len(), want.len(), "{texts:?}");
            assert!(texts.iter().zip(&want).all(|(text, want)| text.contains(want)), "{texts:?}");
            let is_ended = told.iter().any(|(_, told)| matches!(told, Told::Ended(_)));
            assert_eq!(
                is_ended,
                want.iter().any(|want| want.contains("since 2026-12") || want.contains("serve it"))
            );
        }
    }
}
