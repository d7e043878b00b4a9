//! The gate with requests that come, wait, are answered and leave, on paused time.

use domain::ports::Rng;
use futures_util::FutureExt;
use futures_util::future::join_all;
use testkit::{SeededRng, TokioClock};

use super::*;
use crate::chance::below;

const DUE: Moment = Moment(Duration::from_secs(3_600));

fn gate(config: Config) -> Gate {
    Gate::new((config, memory::Config::default()), Arc::new(TokioClock::new()))
}

/// `limit` places and `queue_max` waiters, whatever answers take.
fn fixed(limit: u32, queue_max: u32) -> Gate {
    gate(Config { requests_max: limit, requests_min: limit, queue_max, ..Config::default() })
}

fn arrival(route: &RouteName, class: Class) -> Arrival<'_> {
    Arrival { route, class, work: Work::Whole, due: DUE }
}

fn shed(gate: &Gate) -> Vec<(Reason, Class, u64)> {
    gate.read().shed.into_iter().filter(|(_, _, n)| *n > 0).collect()
}

fn reading(gate: &Gate) -> (u32, u32, u32) {
    let reading = &gate.read().routes[0];
    (reading.under_way, reading.limit, reading.waiting)
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_place_waits_two_seconds_and_is_turned_away() {
    let (gate, route) = (fixed(1, 8), RouteName::from("standard"));
    let place = gate.enter(arrival(&route, Class::Interactive)).await.unwrap();
    let began = tokio::time::Instant::now();
    let refused = gate.enter(arrival(&route, Class::Interactive)).await.unwrap_err();
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    assert_eq!(refused, Shed { reason: Reason::QueueTime, retry_after: Duration::from_secs(2) });
    assert_eq!(reading(&gate), (1, 1, 0), "who left the queue is not in it");
    assert_eq!(shed(&gate), [(Reason::QueueTime, Class::Interactive, 1)]);

    let near = Arrival { due: Moment(Duration::from_millis(2_500)), ..arrival(&route, Class::Interactive) };
    gate.enter(near).await.unwrap_err();
    assert_eq!(began.elapsed(), Duration::from_millis(2_500), "nobody waits past its own deadline");
    drop(place);
    drop(gate.enter(arrival(&route, Class::Interactive)).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn routes_do_not_share_places() {
    let gate = fixed(1, 0);
    let (one, other) = (RouteName::from("one"), RouteName::from("other"));
    let _place = gate.enter(arrival(&one, Class::Interactive)).await.unwrap();
    assert_eq!(gate.enter(arrival(&one, Class::Interactive)).await.unwrap_err().reason, Reason::QueueFull);
    let place = gate.enter(arrival(&other, Class::Interactive)).await.unwrap();
    gate.watch([other.clone()]);
    assert_eq!(gate.read().routes.len(), 1);
    drop(place);
}

#[tokio::test(start_paused = true)]
async fn the_most_urgent_gets_the_next_place_and_the_least_urgent_makes_room_in_the_queue() {
    let (gate, route) = (fixed(4, 2), RouteName::from("standard"));
    let mut places = Vec::new();
    for _ in 0..3 {
        places.push(gate.enter(arrival(&route, Class::Batch)).await.unwrap());
    }
    let mut batch = Box::pin(gate.enter(arrival(&route, Class::Batch)));
    assert!((&mut batch).now_or_never().is_none(), "batch may take three of four places");
    places.push(gate.enter(arrival(&route, Class::Interactive)).await.unwrap());
    let mut alert = Box::pin(gate.enter(arrival(&route, Class::Alert)));
    assert!((&mut alert).now_or_never().is_none());

    // The queue is full: batch is turned away at once, and makes room for what is more urgent.
    assert_eq!(gate.enter(arrival(&route, Class::Batch)).await.unwrap_err().reason, Reason::QueueFull);
    let mut interactive = Box::pin(gate.enter(arrival(&route, Class::Interactive)));
    assert!((&mut interactive).now_or_never().is_none());
    assert_eq!((&mut batch).now_or_never().unwrap().unwrap_err().reason, Reason::QueueFull);
    assert_eq!(reading(&gate), (4, 4, 2));

    places.pop();
    let place = (&mut interactive).now_or_never().expect("it was its turn").unwrap();
    assert!((&mut alert).now_or_never().is_none());
    drop(place);
    assert!((&mut alert).now_or_never().is_none(), "alert may take three of four places");
    places.pop();
    let _place = (&mut alert).now_or_never().expect("its turn").unwrap();
    assert_eq!(shed(&gate), [(Reason::QueueFull, Class::Batch, 2)]);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_queue_takes_no_place_with_it() {
    let (gate, route) = (fixed(1, 8), RouteName::from("standard"));
    let place = gate.enter(arrival(&route, Class::Interactive)).await.unwrap();
    let mut first = Box::pin(gate.enter(arrival(&route, Class::Interactive)));
    let mut second = Box::pin(gate.enter(arrival(&route, Class::Interactive)));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    // Granted, and gone before it could see it.
    drop(place);
    assert_eq!(reading(&gate), (1, 1, 1));
    drop(first);
    let place = (&mut second).now_or_never().expect("its turn").unwrap();
    drop(place);
    drop(second);
    assert_eq!(reading(&gate), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_caller_cannot_claim_more_than_is_allowed() {
    let config = Config {
        class_max: Class::Alert,
        requests_max: 1,
        requests_min: 1,
        queue_max: 0,
        ..Config::default()
    };
    let (gate, route) = (gate(config), RouteName::from("standard"));
    let _place = gate.enter(arrival(&route, Class::Interactive)).await.unwrap();
    gate.enter(arrival(&route, Class::Interactive)).await.unwrap_err();
    gate.enter(arrival(&route, Class::Batch)).await.unwrap_err();
    assert_eq!(shed(&gate), [(Reason::QueueFull, Class::Alert, 1), (Reason::QueueFull, Class::Batch, 1)]);
}

#[tokio::test(start_paused = true)]
async fn memory_turns_the_less_urgent_away_first_and_then_everyone() {
    let (gate, route) = (fixed(9, 9), RouteName::from("standard"));
    for (used_bytes, admitted) in [(79, [true; 3]), (80, [true, false, false]), (92, [false; 3])] {
        gate.memory().note(memory::Usage { used_bytes, limit_bytes: 100 });
        for (class, want) in Class::ALL.into_iter().zip(admitted) {
            let entered = gate.enter(arrival(&route, class)).await;
            assert_eq!(entered.is_ok(), want, "{class:?} at {used_bytes} %");
            assert!(entered.map_or_else(|shed| shed.reason == Reason::Memory, |_| true));
        }
        assert_eq!(gate.check_memory(|| Class::Batch).is_ok(), used_bytes < 92);
    }
    let want = [(Class::Interactive, 1), (Class::Alert, 2), (Class::Batch, 3)];
    assert_eq!(shed(&gate), want.map(|(class, n)| (Reason::Memory, class, n)));
}

/// Requests that come at random, wait, are answered or leave: no place is lost or made up.
#[test]
fn every_history_gives_all_places_back() {
    let mut turned_away = 0;
    for seed in 0..200 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        turned_away += runtime.expect("a runtime").block_on(history(seed));
    }
    assert!(turned_away > 1_000, "the histories must be eventful: {turned_away}");
}

async fn history(seed: u64) -> u64 {
    let rng = SeededRng::new(seed);
    let limit = 1 + u32::try_from(below(&rng, 8)).unwrap();
    let gate = fixed(limit, u32::try_from(below(&rng, 10)).unwrap());
    let route = RouteName::from("standard");
    let callers: Vec<SeededRng> = (0..100).map(|_| SeededRng::new(rng.next_u64())).collect();
    let caller = |rng: &SeededRng| {
        let (rng, gate, route) = (SeededRng::new(rng.next_u64()), &gate, &route);
        async move {
            tokio::time::sleep(Duration::from_millis(below(&rng, 4_000))).await;
            let class = Class::ALL[usize::try_from(below(&rng, 3)).unwrap()];
            let patience = Duration::from_millis(1 + below(&rng, 3_000));
            let Ok(Ok(mut place)) = tokio::time::timeout(patience, gate.enter(arrival(route, class))).await
            else {
                return;
            };
            let now = gate.read().routes[0].clone();
            assert!(now.under_way <= now.limit, "seed {seed}: {now:?}");
            tokio::time::sleep(Duration::from_millis(below(&rng, 1_000))).await;
            if below(&rng, 4) > 0 {
                place.answered();
            }
        }
    };
    join_all(callers.iter().map(caller)).await;
    assert_eq!(reading(&gate), (0, limit, 0), "seed {seed}");
    gate.read().shed.iter().map(|(_, _, n)| n).sum()
}
