//! Which target each strategy puts first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::fault::{Fault, Kind};
use domain::id::TargetId;
use domain::model::{PriceList, Prices, TargetKind};
use domain::money::Nanos;
use domain::ports::Clock;
use domain::token::TokenCount;
use resilience::breaker;
use testkit::{SeededRng, TokioClock};

use super::*;
use crate::scripted::remote;

/// A request that takes so many tokens, and is easy or hard.
struct Request(Demand, Difficulty);

impl Weighed for Request {
    fn demand(&self) -> Demand {
        self.0
    }

    fn difficulty(&self) -> Difficulty {
        self.1
    }
}

/// Everything that strategies decide by, with nothing known yet.
struct World {
    clock: Arc<TokioClock>,
    rng: Arc<SeededRng>,
    breakers: Breakers,
    catalogue: BTreeMap<ModelId, Model>,
    request: Request,
}

impl World {
    fn new() -> Self {
        let (clock, rng) = (Arc::new(TokioClock::new()), Arc::new(SeededRng::new(4)));
        let breakers = Breakers::new(breaker::Config::default(), clock.clone(), rng.clone());
        let demand = Demand { input: TokenCount(1_000), output_max: TokenCount(100) };
        Self { clock, rng, breakers, catalogue: BTreeMap::new(), request: Request(demand, Difficulty::Easy) }
    }

    fn know(&mut self, id: &str, prices: Option<(i64, i64)>, quality: Option<u8>) {
        let prices = prices.map(|(input, output)| Prices::flat("v1", Nanos(input), Nanos(output)));
        let prices = prices.map(PriceList::from).unwrap_or_default();
        let id = ModelId::from(id);
        let model = Model { prices, quality: quality.map(Quality), ..Model::unknown(id.clone()) };
        self.catalogue.insert(id, model);
    }

    fn order(&self, strategy: Strategy, targets: &[Target]) -> (Vec<String>, Chosen, usize) {
        let facts = Facts {
            rng: &*self.rng,
            breakers: &self.breakers,
            prices: &self.catalogue,
            today: self.clock.wall().day(),
            scores: &self.catalogue,
            affinity: None,
            awaits: Answer::Begun,
            request: &self.request,
        };
        let ordered = order(strategy, targets.iter().collect(), &facts);
        let ids = ordered.targets.iter().map(|target| target.id.to_string()).collect();
        (ids, ordered.why, ordered.below.len())
    }

    /// A call of `target` that waits so long for its first text.
    async fn call(&self, target: &str, wait: Duration) {
        let permit = self.breakers.admit(&TargetId::from(target)).expect("closed");
        self.clock.sleep(wait).await;
        permit.waited(Answer::Begun, wait);
        permit.succeed();
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test(start_paused = true)]
async fn priority_keeps_the_order_and_one_target_needs_no_reason() {
    let world = World::new();
    let targets = [remote("a/m", 1), remote("b/m", 1), remote("c/m", 1)];
    let (ids, why, _) = world.order(Strategy::Priority, &targets);
    assert_eq!((ids, why), (["a/m", "b/m", "c/m"].map(str::to_owned).to_vec(), Chosen::Priority));
    assert_eq!(world.order(Strategy::LeastLatency, &targets[..1]).1, Chosen::Only);
    assert!(world.order(Strategy::LowestCost, &[]).0.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_cheapest_is_by_this_request_and_unpriced_is_never_free() {
    let mut world = World::new();
    world.know("a/reads", Some((1_000, 90_000)), None);
    world.know("b/writes", Some((3_000, 10_000)), None);
    world.know("c/unpriced", None, None);
    let embedded = Target { kind: TargetKind::Embedded, ..remote("embedded/m", 1) };
    let targets = [remote("c/unpriced", 1), remote("a/reads", 1), remote("b/writes", 1), embedded];
    // 1,000 in and 100 out: a costs 1 + 9, b costs 3 + 1 millionths of the unit.
    let (ids, why, _) = world.order(Strategy::LowestCost, &targets);
    assert_eq!(ids, ["embedded/m", "b/writes", "a/reads", "c/unpriced"]);
    assert_eq!(why, Chosen::LowestCost);
    // A short answer to a long question turns it round.
    world.request.0 = Demand { input: TokenCount(10_000), output_max: TokenCount(1) };
    assert_eq!(world.order(Strategy::LowestCost, &targets).0[1], "a/reads");
}

#[tokio::test(start_paused = true)]
async fn the_soonest_is_first_with_its_calls_under_way_counted_in() {
    let world = World::new();
    let targets = [remote("a/m", 1), remote("b/m", 1)];
    let first = || world.order(Strategy::LeastLatency, &targets).0[0].clone();
    assert_eq!(first(), "a/m", "nothing is known: as written");
    world.call("a/m", ms(900)).await;
    world.call("b/m", ms(300)).await;
    assert_eq!(first(), "b/m");
    // Four calls at once wait as if in line: 300 ms each, about.
    let under_way: Vec<_> =
        (0..4).map(|_| world.breakers.admit(&TargetId::from("b/m")).expect("closed")).collect();
    assert_eq!(first(), "a/m");
    drop(under_way);
    assert_eq!(first(), "b/m");
    // One that fails at once is not the fastest.
    let permit = world.breakers.admit(&TargetId::from("b/m")).expect("closed");
    permit.failed_after(Answer::Begun, ms(1));
    permit.fail(&Fault::provider(Kind::Transient));
    assert_eq!(first(), "a/m");
    // What was slow is tried again in time.
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.call("a/m", ms(900)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.call("a/m", ms(900)).await;
    assert_eq!(first(), "b/m");
}

#[tokio::test(start_paused = true)]
async fn of_many_the_better_of_two_by_chance_is_first_and_the_worst_never() {
    let world = World::new();
    let targets: Vec<_> = (0..5).map(|n| remote(&format!("p{n}/m"), 1)).collect();
    for (n, target) in targets.iter().enumerate() {
        world.call(target.id.as_str(), ms(1_500 + 400 * u64::try_from(n).unwrap())).await;
    }
    let mut firsts = BTreeMap::new();
    for _ in 0..2_000 {
        let (ids, why, _) = world.order(Strategy::LeastLatency, &targets);
        assert_eq!((why, ids.iter().collect::<BTreeSet<_>>().len()), (Chosen::LeastLatency, 5));
        *firsts.entry(ids[0].clone()).or_insert(0) += 1;
        let rest: Vec<_> = ids[1..].iter().collect();
        assert!(rest.is_sorted(), "the rest by their load: {ids:?}");
    }
    // The best is one of the two in 2 of 5 draws; 800 expected, standard deviation 22; 5 of them.
    assert!((690..=910).contains(&firsts["p0/m"]), "{firsts:?}");
    assert!(firsts["p0/m"] > firsts["p1/m"] && firsts["p1/m"] > firsts["p2/m"], "{firsts:?}");
    assert_eq!(firsts.get("p4/m"), None, "{firsts:?}");
}

#[tokio::test(start_paused = true)]
async fn below_the_floor_nobody_is_called_and_above_it_the_cheapest_or_fastest() {
    let mut world = World::new();
    world.know("a/best", Some((9_000, 9_000)), Some(95));
    world.know("b/good", Some((2_000, 2_000)), Some(80));
    world.know("c/cheap", Some((1, 1)), Some(79));
    world.know("d/unmeasured", Some((1, 1)), None);
    let targets = ["a/best", "b/good", "c/cheap", "d/unmeasured"].map(|id| remote(id, 1));
    world.call("a/best", ms(100)).await;
    world.call("b/good", ms(800)).await;
    let floor = |floor, prefer| Strategy::QualityFloor { floor: Quality(floor), prefer };
    for (strategy, want, why, n_below) in [
        (floor(80, Prefer::Cheapest), vec!["b/good", "a/best"], Chosen::QualityFloor, 2),
        (floor(80, Prefer::Fastest), vec!["a/best", "b/good"], Chosen::QualityFloor, 2),
        (floor(0, Prefer::Cheapest), vec!["c/cheap", "b/good", "a/best"], Chosen::QualityFloor, 1),
        (floor(90, Prefer::Cheapest), vec!["a/best"], Chosen::Only, 3),
        (floor(96, Prefer::Cheapest), vec![], Chosen::Only, 4),
    ] {
        let (ids, found_why, below) = world.order(strategy, &targets);
        assert_eq!((ids, found_why, below), (want.into_iter().map(str::to_owned).collect(), why, n_below));
    }
    // One target alone is not spared the floor.
    assert_eq!(world.order(floor(90, Prefer::Cheapest), &targets[1..2]).2, 1);
}

#[tokio::test(start_paused = true)]
async fn easy_requests_go_to_the_small_model_and_the_other_stands_below() {
    let mut world = World::new();
    let takes = |id, takes| Target { takes: Some(takes), ..remote(id, 1) };
    let targets = [
        takes("a/strong", Difficulty::Hard),
        takes("b/small", Difficulty::Easy),
        takes("c/small", Difficulty::Easy),
    ];
    let order = |world: &World| world.order(Strategy::ByDifficulty, &targets);
    let (ids, why, _) = order(&world);
    assert_eq!((ids.join(" ").as_str(), why), ("b/small c/small a/strong", Chosen::Easy));
    world.request.1 = Difficulty::Hard;
    let (ids, why, _) = order(&world);
    assert_eq!((ids.join(" ").as_str(), why), ("a/strong b/small c/small", Chosen::Hard));
}
