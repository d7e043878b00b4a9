//! Random routes, strategies, limits and outages: no call ever leaves the places where its request may be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::chat::{ChatRequest, Finish, Message, Role};
use domain::id::{ModelId, RegionName, TargetId};
use domain::interaction::Chosen;
use domain::model::{
    Difficulty, Hedge, Model, Overrides, Prefer, Prices, Quality, RouteTier, Sticky, Strategy, Target,
    TargetKind, Tier,
};
use domain::money::Nanos;
use domain::ports::{Clock, Rng};
use domain::residency::{Place, Residency};
use futures_util::future::join_all;
use resilience::chance;
use testkit::SeededRng;

use super::simulation::script;
use super::tests::House;
use crate::ask::{Ask, Reason, Skip, Want, Why};
use crate::attempt::AttemptLog;
use crate::scripted::{Act, Scripted, read, remote};
use crate::strategy::Affinity;

fn percent(rng: &SeededRng, percent: u64) -> bool {
    chance::below(rng, 100) < percent
}

/// Each of three places or not.
fn places(rng: &SeededRng) -> BTreeSet<Place> {
    let names = ["eu", "us", "ch"].into_iter().filter(|_| percent(rng, 40));
    Place::parse_all(names).expect("places")
}

fn residency(rng: &SeededRng) -> Residency {
    if percent(rng, 20) { Residency::Anywhere } else { Residency::Within(places(rng)) }
}

fn strategy(rng: &SeededRng) -> Strategy {
    let all = [
        Strategy::Priority,
        Strategy::Weighted(Sticky::On),
        Strategy::Weighted(Sticky::Off),
        Strategy::LeastLatency,
        Strategy::LowestCost,
        Strategy::QualityFloor { floor: Quality(50), prefer: Prefer::Cheapest },
        Strategy::QualityFloor { floor: Quality(50), prefer: Prefer::Fastest },
        Strategy::ByDifficulty,
    ];
    all[usize::try_from(chance::below(rng, 8)).expect("few")]
}

/// One to four tiers of one to four targets; a target that stands in several is in the same places in each.
fn tiers(rng: &SeededRng, n_models: u64) -> Vec<RouteTier> {
    let mut known: BTreeMap<TargetId, BTreeSet<Place>> = BTreeMap::new();
    let mut target = || {
        let model = format!("p{}/m", chance::below(rng, n_models));
        let region = percent(rng, 40).then(|| format!("r{}", chance::below(rng, 2)));
        let id = TargetId::from(region.iter().fold(model.clone(), |id, region| format!("{id}@{region}")));
        let places = known.entry(id.clone()).or_insert_with(|| places(rng)).clone();
        let kind = if percent(rng, 10) { TargetKind::Embedded } else { TargetKind::Remote };
        let takes = if percent(rng, 50) { Difficulty::Easy } else { Difficulty::Hard };
        let region = region.map(RegionName::from);
        Target { id, region, places, kind, takes: Some(takes), ..remote(&model, 1) }
    };
    let tier = |index| RouteTier {
        tier: if index == 0 { Tier::Primary } else { Tier::Fallback },
        strategy: strategy(rng),
        targets: (0..=chance::below(rng, 4)).map(|_| target()).collect(),
        overrides: Overrides::default(),
    };
    (0..=chance::below(rng, 4)).map(tier).collect()
}

/// A house with random models, and what is known of them.
fn house(rng: &SeededRng) -> (House, Vec<Arc<Scripted>>) {
    let n_models = 1 + chance::below(rng, 4);
    let models: Vec<_> = (0..n_models)
        .map(|_| {
            let mut scripts: Vec<_> = (0..chance::below(rng, 30)).map(|_| script(rng)).collect();
            scripts.push(vec![Act::Say("text"), Act::Done(Finish::Stop)]);
            Scripted::new(scripts)
        })
        .collect();
    let mut house = House::eager(&models.iter().collect::<Vec<_>>());
    house.route.tiers = tiers(rng, n_models);
    house.route.hedge = if percent(rng, 50) { Hedge::On } else { Hedge::Off };
    for n in 0..n_models {
        let id = ModelId::from(format!("p{n}/m"));
        let price = i64::try_from(chance::below(rng, 9)).expect("few");
        let prices = percent(rng, 70).then(|| Prices::flat("v", Nanos(price), Nanos(price)).into());
        let quality = percent(rng, 70).then(|| Quality(u8::try_from(chance::below(rng, 101)).expect("few")));
        let model = Model { prices: prices.unwrap_or_default(), quality, ..Model::unknown(id.clone()) };
        house.catalogue.insert(id, model);
    }
    (house, models)
}

/// One request: where it may be, and whether anything was called for it.
async fn caller(house: &House, (n, residency): (usize, &Residency), rng: &SeededRng) {
    tokio::time::sleep(Duration::from_millis(chance::below(rng, 60_000))).await;
    let request =
        ChatRequest { messages: vec![Message::new(Role::User, n.to_string())], ..ChatRequest::default() };
    let (log, now) = (AttemptLog::default(), house.clock.now());
    let ask = Ask {
        route: &house.route,
        request: &request,
        deadline: now.after(Duration::from_secs(60)),
        prices: &house.catalogue,
        scores: &house.catalogue,
        residency,
        affinity: percent(rng, 50).then(|| Affinity::of("ses_1")),
        question: None,
        started: now,
        skip: Skip::NONE,
        want: Want::Begun,
        log: &log,
        watcher: None,
    };
    let targets = || house.route.tiers.iter().flat_map(|tier| &tier.targets);
    let may_be_asked = targets().any(|target| target.is_within(residency));
    match house.router.ask(ask).await {
        Ok(answering) => {
            read(answering.stream).await;
        }
        Err(unanswered) => {
            assert_eq!(unanswered.reason == Reason::Residency, !may_be_asked, "{unanswered}");
            let outside = unanswered.skipped.iter().filter(|skipped| skipped.why == Why::Residency);
            for skipped in outside {
                let mut named = targets().filter(|target| target.id == skipped.target);
                assert!(named.any(|target| !target.is_within(residency)), "{}", skipped.target);
            }
        }
    }
    let attempts = log.take();
    assert!(may_be_asked || attempts.is_empty());
    assert!(attempts.iter().all(|attempt| attempt.chosen.is_some()));
}

/// How many calls there were, and how many of them were hedges.
async fn world(seed: u64) -> (usize, u64) {
    let rng = SeededRng::new(seed);
    let (house, models) = house(&rng);
    let callers: Vec<(Residency, SeededRng)> =
        (0..40).map(|_| (residency(&rng), SeededRng::new(rng.next_u64()))).collect();
    join_all(callers.iter().enumerate().map(|(n, (residency, rng))| caller(&house, (n, residency), rng)))
        .await;
    let mut n_calls = 0;
    for model in &models {
        for call in model.calls.lock().iter() {
            n_calls += 1;
            let n: usize = call.request.messages[0].text.parse().expect("a number");
            let residency = &callers[n].0;
            // The same target may stand in two tiers, once as one that runs here.
            let mut named = house.route.tiers.iter().flat_map(|tier| &tier.targets);
            let is_within = named.any(|target| {
                target.model == call.model && target.region == call.region && target.is_within(residency)
            });
            assert!(is_within, "seed {seed}: {}@{:?} for {residency}", call.model, call.region);
        }
    }
    let hedges = house.router.hedges();
    (n_calls, hedges.won + hedges.lost + hedges.failed)
}

#[test]
fn no_request_is_ever_processed_where_it_must_not_be() {
    let (mut calls, mut hedges) = (0, 0);
    for seed in 0..600 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let (of_world, hedged) = runtime.expect("a runtime").block_on(world(seed));
        calls += of_world;
        hedges += hedged;
    }
    assert!(calls > 5_000 && hedges > 50, "they must be eventful: {calls} calls, {hedges} hedges");
}

#[tokio::test(start_paused = true)]
async fn another_region_is_called_at_once_as_an_attempt_of_its_own() {
    let refuse = vec![Act::Refuse(domain::fault::Fault::provider(domain::fault::Kind::Transient))];
    let model = Scripted::new([refuse, vec![Act::Say("here"), Act::Done(Finish::Stop)]]);
    let mut house = House::new(&[&model]);
    let region =
        Target { id: TargetId::from("p0/m@eu"), region: Some(RegionName::from("eu")), ..remote("p0/m", 1) };
    house.route.tiers[0].strategy = Strategy::Priority;
    house.route.tiers[0].targets.push(region);
    let (log, before) = (AttemptLog::default(), house.clock.now());
    let answering = house.ask(&log).await.expect("an answer");
    assert_eq!((answering.target.as_str(), house.clock.now()), ("p0/m@eu", before));
    read(answering.stream).await;
    let chosen: Vec<_> = log.take().iter().map(|attempt| attempt.chosen).collect();
    assert_eq!(chosen, [Some(Chosen::Priority), Some(Chosen::Failover)]);
    let regions: Vec<_> = model.calls.lock().iter().map(|call| call.region.clone()).collect();
    assert_eq!(regions, [None, Some(RegionName::from("eu"))]);
    // Each region has a retry budget of its own: the second call was no retry of the first.
    let left = house.router.retries_left();
    assert_eq!(left, [("p0".to_owned(), 10), ("p0@eu".to_owned(), 10)]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_did_not_hold_makes_an_easy_request_hard() {
    let (strong, small) = (Scripted::answers("strong"), Scripted::answers("small"));
    let mut house = House::new(&[&strong, &small]);
    let second = house.route.tiers.pop().expect("two").targets;
    let tier = &mut house.route.tiers[0];
    tier.targets.extend(second);
    tier.strategy = Strategy::ByDifficulty;
    for (target, takes) in tier.targets.iter_mut().zip([Difficulty::Hard, Difficulty::Easy]) {
        target.takes = Some(takes);
    }
    let log = AttemptLog::default();
    let first = house.ask(&log).await.expect("an answer");
    assert_eq!(read(first.stream).await.0, "small");
    let again = house.ask_changed(&log, |ask| ask.skip = Skip::before(0)).await.expect("an answer");
    assert_eq!(read(again.stream).await.0, "strong");
    let chosen: Vec<_> = log.take().iter().map(|attempt| attempt.chosen).collect();
    assert_eq!(chosen, [Some(Chosen::Easy), Some(Chosen::Hard)]);
}
