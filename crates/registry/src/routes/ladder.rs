//! A route as its settings describe it: tiers, their strategies and their targets.

use std::collections::BTreeSet;

use domain::id::{ModelId, ProviderName, RegionName, RouteName, TargetId};
use domain::model::{
    Assured, Difficulty, Hedge, Overrides, Prefer, Quality, Route, RouteTier, Sticky, Strategy, Target,
    TargetKind, Tier,
};
use domain::residency::Place;

use super::{
    AssuredName, EMBEDDED, Facts, HedgeName, OtherRegions, PreferName, RouteConfig, Settings, StickyName,
    StrategyName, TakesName, TargetConfig, TierConfig, TierName, check_provider,
};
use crate::caching;

/// The settings, and what was read of them already.
type Known<'a> = (&'a Settings, &'a Facts);

pub(super) fn route(name: &str, config: &RouteConfig, known: Known<'_>) -> Result<Route, String> {
    if config.tiers.is_empty() {
        return Err("it has no tiers".to_owned());
    }
    let tiers = config.tiers.iter().map(|tier| route_tier(tier, known)).collect::<Result<Vec<_>, _>>()?;
    let n_remote =
        tiers.iter().flat_map(|tier| &tier.targets).filter(|target| target.kind == TargetKind::Remote);
    let hedge = match config.hedge {
        HedgeName::Off => Hedge::Off,
        HedgeName::On if n_remote.count() < 2 => {
            return Err("hedge = \"on\" needs two targets that Mainstay does not run itself".to_owned());
        }
        HedgeName::On => Hedge::On,
    };
    let n_targets: usize = tiers.iter().map(|tier| tier.targets.len()).sum();
    let assured = match config.assured {
        AssuredName::Off => Assured::Off,
        AssuredName::HoldBack => Assured::HoldBack,
        AssuredName::Continue if n_targets < 2 => {
            return Err("assured = \"continue\" needs a second target that can go on".to_owned());
        }
        AssuredName::Continue => Assured::Continue,
    };
    let cache = caching::of_relay(config.cache)?;
    Ok(Route { name: RouteName::from(name), tiers, hedge, assured, cache })
}

fn route_tier(config: &TierConfig, known: Known<'_>) -> Result<RouteTier, String> {
    if config.targets.is_empty() {
        return Err("a tier has no targets".to_owned());
    }
    if config.overrides.temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
        return Err("overrides.temperature must be 0 to 2".to_owned());
    }
    if config.overrides.max_tokens == Some(0) {
        return Err("overrides.max_tokens must be at least 1".to_owned());
    }
    let targets =
        config.targets.iter().map(|target| self::target(target, known)).collect::<Result<Vec<_>, _>>()?;
    let mut ids = BTreeSet::new();
    if let Some(twice) = targets.iter().find(|target| !ids.insert(&target.id)) {
        return Err(format!("a tier names `{}` twice", twice.id));
    }
    let all_embedded = targets.iter().all(|target| target.kind == TargetKind::Embedded);
    let tier = match config.name {
        // Whoever runs the model decides what the tier is called: an embedded answer is always marked as one.
        _ if all_embedded => Tier::Embedded,
        TierName::Embedded => return Err("an `embedded` tier may only name `embedded/…` models".to_owned()),
        TierName::Primary => Tier::Primary,
        TierName::Fallback => Tier::Fallback,
    };
    let overrides =
        Overrides { max_tokens: config.overrides.max_tokens, temperature: config.overrides.temperature };
    Ok(RouteTier { tier, strategy: strategy(config, known)?, targets, overrides })
}

/// The strategy, and whether what belongs to another one was left out.
fn strategy(config: &TierConfig, (settings, _): Known<'_>) -> Result<Strategy, String> {
    let targets = &config.targets;
    if config.strategy != StrategyName::Weighted && targets.iter().any(|target| target.weight != 1) {
        return Err("a `weight` means something with strategy = \"weighted\" only".to_owned());
    }
    if config.strategy != StrategyName::Weighted && config.sticky.is_some() {
        return Err("`sticky` means something with strategy = \"weighted\" only".to_owned());
    }
    if config.strategy != StrategyName::ByDifficulty && targets.iter().any(|target| target.takes.is_some()) {
        return Err("`takes` means something with strategy = \"by_difficulty\" only".to_owned());
    }
    if config.strategy != StrategyName::QualityFloor
        && (config.quality_min.is_some() || config.prefer.is_some())
    {
        let reason = "`quality_min` and `prefer` mean something with strategy = \"quality_floor\" only";
        return Err(reason.to_owned());
    }
    Ok(match config.strategy {
        StrategyName::Priority => Strategy::Priority,
        StrategyName::Weighted => Strategy::Weighted(match config.sticky.unwrap_or_default() {
            StickyName::On => Sticky::On,
            StickyName::Off => Sticky::Off,
        }),
        StrategyName::LeastLatency => Strategy::LeastLatency,
        StrategyName::LowestCost => Strategy::LowestCost,
        StrategyName::QualityFloor => {
            let floor = config.quality_min.filter(|quality| *quality <= 100);
            let floor = floor.ok_or("strategy = \"quality_floor\" needs a `quality_min` of 0 to 100")?;
            let quality = |target: &TargetConfig| settings.models.get(&target.model)?.quality;
            if !targets.iter().any(|target| quality(target).is_some_and(|quality| quality >= floor)) {
                let reason = "no target has a `quality` of `quality_min` or more in [models]";
                return Err(reason.to_owned());
            }
            let prefer = match config.prefer.unwrap_or_default() {
                PreferName::Cheapest => Prefer::Cheapest,
                PreferName::Fastest => Prefer::Fastest,
            };
            Strategy::QualityFloor { floor: Quality(floor), prefer }
        }
        StrategyName::ByDifficulty => {
            let has = |takes| targets.iter().any(|target| target.takes == Some(takes));
            let all_say = targets.iter().all(|target| target.takes.is_some());
            if !(all_say && has(TakesName::Easy) && has(TakesName::Hard)) {
                let reason = "strategy = \"by_difficulty\" needs `takes` in each target, \"easy\" in one at least, \
                              and \"hard\" in one at least";
                return Err(reason.to_owned());
            }
            Strategy::ByDifficulty
        }
    })
}

fn target(config: &TargetConfig, (settings, facts): Known<'_>) -> Result<Target, String> {
    let model = ModelId::from(config.model.as_str());
    check_provider(&model, settings)?;
    let kind = if model.provider() == EMBEDDED { TargetKind::Embedded } else { TargetKind::Remote };
    if kind == TargetKind::Remote && !settings.models.contains_key(model.as_str()) {
        return Err(format!("the model `{model}` is not in the catalogue; add [models.\"{model}\"]"));
    }
    if !(1..=1_000_000).contains(&config.weight) {
        return Err(format!("the weight of `{model}` must be 1 to 1,000,000"));
    }
    let region = config.region.as_deref().map(|region| self::region(&model, region, settings)).transpose()?;
    let target = target_of(&model, region, facts);
    let places = match &config.residency {
        Some(_) if kind == TargetKind::Embedded => {
            return Err(format!("`{model}` runs on this machine: it needs no residency"));
        }
        Some(names) => Place::parse_all(names.iter().map(String::as_str))
            .map_err(|error| format!("the residency of `{model}`: {error}"))?,
        None => target.places,
    };
    let takes = config.takes.map(|takes| match takes {
        TakesName::Easy => Difficulty::Easy,
        TakesName::Hard => Difficulty::Hard,
    });
    Ok(Target { weight: config.weight, places, takes, ..target })
}

/// A region that the provider of `model` has.
fn region(model: &ModelId, region: &str, settings: &Settings) -> Result<RegionName, String> {
    let provider = model.provider();
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if region.is_empty() || region.len() > 64 || !region.bytes().all(is_sign) {
        return Err(format!("the region of `{model}` must be letters, digits, `-` and `_`"));
    }
    let places = settings.providers.get(provider);
    let has = |places: &super::ProviderPlaces| {
        let is_known = places.other_regions == OtherRegions::Known && is_cloud_region(region);
        is_known || places.regions.contains_key(region)
    };
    if !places.is_some_and(has) {
        return Err(format!(
            "the provider `{provider}` has no region `{region}`; add [providers.{provider}.regions.{region}]"
        ));
    }
    Ok(RegionName::from(region))
}

/// Whether `name` is written as a region of a cloud is: words and then a number, as `eu-central-1`.
fn is_cloud_region(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    words.len() >= 2 && words.iter().all(is_word) && is_number
}

/// The target that is a model by itself.
pub(crate) fn target_of(model: &ModelId, region: Option<RegionName>, facts: &Facts) -> Target {
    let kind = if model.provider() == EMBEDDED { TargetKind::Embedded } else { TargetKind::Remote };
    let id = match &region {
        None => TargetId::new(model.as_str()),
        Some(region) => TargetId::new(format!("{model}@{region}")),
    };
    let provider = ProviderName::from(model.provider());
    let places = facts.places.get(&(provider.clone(), region.clone())).cloned().unwrap_or_default();
    let slow = facts.slow.get(model).copied();
    Target { id, model: model.clone(), provider, region, places, weight: 1, kind, slow, takes: None }
}

#[cfg(test)]
mod tests;
