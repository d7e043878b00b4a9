//! What the first call for a request may cost at most, whichever target of its route takes it.

use std::collections::BTreeMap;

use domain::id::ModelId;
use domain::model::{Model, Route, Tier};
use domain::money::Nanos;
use domain::spending::{Amounts, Assumed, Weight, Worst};

/// The worst case of one call along `route`: that of its dearest target, so that whoever answers is covered. Targets
/// without a price are not called where money counts; a route whose first rung has none with a price is unpriced.
#[must_use]
pub fn of_route(route: &Route, weight: Weight, prices: &BTreeMap<ModelId, Model>, assumed: Assumed) -> Worst {
    let mut most = Amounts { tokens: 0, money: Nanos(0) };
    let mut is_first = true;
    for tier in route.tiers.iter().filter(|tier| tier.tier != Tier::Degraded && !tier.targets.is_empty()) {
        let mut is_priced = false;
        for target in &tier.targets {
            let model = (prices.get(&target.model), target.kind);
            let worst = weight.worst(model, tier.overrides.max_tokens, assumed);
            most.tokens = most.tokens.max(worst.tokens());
            if let Worst::Priced(amounts) = worst {
                most.money = most.money.max(amounts.money);
                is_priced = true;
            }
        }
        if std::mem::replace(&mut is_first, false) && !is_priced {
            return Worst::Unpriced(most.tokens);
        }
    }
    Worst::Priced(most)
}

#[cfg(test)]
mod tests {
    use domain::id::{ProviderName, RouteName, TargetId};
    use std::collections::BTreeSet;

    use domain::model::{Assured, Hedge, Overrides, Prices, RouteTier, Strategy, Target, TargetKind};
    use domain::spending::Input;

    use super::*;

    const ASSUMED: Assumed = Assumed { context: 1_000, output_max: 100 };

    fn model(id: &str, price: Option<i64>) -> (ModelId, Model) {
        let id = ModelId::from(id);
        let flat = |price: i64| Prices::flat("v", Nanos(price), Nanos(price * 10)).into();
        let prices = price.map(flat).unwrap_or_default();
        (id.clone(), Model { prices, context: Some(500), ..Model::unknown(id) })
    }

    fn tier(tier: Tier, models: &[&str], max_tokens: Option<u32>) -> RouteTier {
        let target = |model: &&str| Target {
            id: TargetId::from(*model),
            model: ModelId::from(*model),
            provider: ProviderName::from("one"),
            region: None,
            places: BTreeSet::new(),
            weight: 1,
            kind: if tier == Tier::Embedded { TargetKind::Embedded } else { TargetKind::Remote },
            slow: None,
            takes: None,
        };
        let overrides = Overrides { max_tokens, temperature: None };
        let strategy = Strategy::Priority;
        RouteTier { tier, strategy, targets: models.iter().map(target).collect(), overrides }
    }

    #[test]
    fn the_dearest_target_counts_and_a_first_rung_without_prices_has_none() {
        let prices = BTreeMap::from([
            model("cheap", Some(1_000_000)),
            model("dear", Some(5_000_000)),
            model("unknown", None),
        ]);
        let at = |input, output_max| Weight { input, output_max, answers: 1 };
        let priced = |tokens, money| Worst::Priced(Amounts { tokens, money: Nanos(money) });
        let (cheap, dear) = (tier(Tier::Primary, &["cheap"], None), tier(Tier::Fallback, &["dear"], None));
        let unknown = tier(Tier::Primary, &["unknown"], None);
        let own = tier(Tier::Embedded, &["own"], None);
        let short = tier(Tier::Primary, &["dear"], Some(7));
        for (tiers, weight, want) in [
            (vec![cheap.clone()], at(Input::AtMost(10), Some(20)), priced(30, 10 + 200)),
            (vec![cheap.clone(), dear.clone()], at(Input::AtMost(10), Some(20)), priced(30, 50 + 1_000)),
            (vec![cheap.clone()], at(Input::AtMost(10), None), priced(110, 10 + 1_000)),
            // An input larger than the window is refused, not read.
            (vec![cheap.clone()], at(Input::AtMost(10_000), Some(20)), priced(520, 500 + 200)),
            (vec![cheap.clone()], at(Input::UpToContext(10), Some(20)), priced(520, 500 + 200)),
            (vec![short], at(Input::AtMost(10), Some(20)), priced(17, 50 + 350)),
            (vec![unknown.clone(), dear], at(Input::AtMost(10), Some(20)), Worst::Unpriced(30)),
            (vec![cheap, unknown], at(Input::AtMost(10), Some(20)), priced(30, 10 + 200)),
            (vec![own], at(Input::AtMost(10), Some(20)), priced(30, 0)),
        ] {
            let route = Route {
                name: RouteName::from("r"),
                tiers,
                hedge: Hedge::Off,
                assured: Assured::Off,
                cache: None,
            };
            assert_eq!(of_route(&route, weight, &prices, ASSUMED), want, "{route:?} {weight:?}");
        }
        let three = Weight { answers: 3, ..at(Input::AtMost(10), Some(20)) };
        let route = Route {
            name: RouteName::from("r"),
            tiers: vec![tier(Tier::Primary, &["cheap"], None)],
            hedge: Hedge::Off,
            assured: Assured::Off,
            cache: None,
        };
        assert_eq!(of_route(&route, three, &prices, ASSUMED), priced(70, 10 + 600));
    }
}
