//! Hundreds of random outages: whatever models and callers do, the promises of a walk hold.

use std::sync::Arc;
use std::time::Duration;

use domain::chat::Finish;
use domain::fault::{Fault, Kind, Retry};
use domain::interaction::AttemptResult;
use domain::model::{Hedge, TargetKind};
use domain::ports::{Clock, Rng};
use futures_util::StreamExt;
use futures_util::future::join_all;
use resilience::breaker::Position;
use resilience::{chance, hedge};
use testkit::SeededRng;

use super::tests::House;
use crate::attempt::AttemptLog;
use crate::scripted::{Act, FOREVER, Scripted, read};

/// What a model does in one call: more often something bad than something good.
pub(super) fn script(rng: &SeededRng) -> Vec<Act> {
    let wait = Duration::from_millis(chance::below(rng, 20_000));
    let kinds = [
        Kind::Transient,
        Kind::Throttled,
        Kind::Timeout,
        Kind::RouteFatal,
        Kind::Caller,
        Kind::Content,
        Kind::Unavailable,
    ];
    let picked = usize::try_from(chance::below(rng, 7)).expect("below 7");
    let mut fault = Fault::provider(kinds[picked]);
    if fault.retry == Retry::Here && chance::below(rng, 3) == 0 {
        fault.retry = Retry::After(wait);
    }
    let (say, done) = (Act::Say("text"), Act::Done(Finish::Stop));
    match chance::below(rng, 10) {
        0 | 1 => vec![Act::Refuse(fault)],
        2 => vec![Act::AcceptAfter(wait), Act::Fail(fault)],
        3 => vec![Act::AcceptAfter(FOREVER)],
        4 => vec![Act::Wait(wait), done],
        5 => vec![say, Act::Wait(wait), Act::Fail(fault)],
        6 => vec![say],
        7 => vec![Act::Wait(wait), say, Act::Wait(FOREVER)],
        _ => vec![Act::Wait(wait), say, done],
    }
}

/// One caller: comes at some time, may leave before the end.
async fn caller(house: &House, seed: u64, rng: &SeededRng) {
    tokio::time::sleep(Duration::from_millis(chance::below(rng, 120_000))).await;
    let patience = Duration::from_millis(1_000 + chance::below(rng, 90_000));
    let leaves = chance::below(rng, 4) == 0;
    let log = AttemptLog::default();
    let started = house.clock.now();
    let asked = tokio::time::timeout(patience, house.ask(&log)).await;
    match asked {
        Ok(Ok(mut answering)) if leaves => {
            answering.stream.next().await;
        }
        Ok(Ok(answering)) => {
            let (text, error) = read(answering.stream).await;
            assert!(text.starts_with("text"), "seed {seed}: {error:?}");
        }
        Ok(Err(_)) | Err(_) => {}
    }
    let took = house.clock.now().since(started);
    assert!(took <= Duration::from_millis(59_852), "seed {seed}: took {took:?}");

    let attempts = log.take();
    assert_eq!(
        log.n_begun(),
        u32::try_from(attempts.len()).unwrap(),
        "seed {seed}: an attempt is not recorded"
    );
    assert!(attempts.iter().zip(1..).all(|(attempt, n)| attempt.n == n), "seed {seed}: {attempts:?}");
    let here =
        house.route.tiers.iter().flat_map(|tier| &tier.targets).filter(|t| t.kind == TargetKind::Embedded);
    let here: Vec<_> = here.map(|target| target.id.clone()).collect();
    let n_remote = attempts.iter().filter(|attempt| !here.contains(&attempt.target)).count();
    assert!(n_remote <= 3, "seed {seed}: {n_remote} remote attempts");
    for tier in &house.route.tiers {
        let n = attempts.iter().filter(|attempt| attempt.target == tier.targets[0].id).count();
        assert!(n <= 2, "seed {seed}: {n} attempts in one tier");
    }
    let ended = attempts.iter().rev().skip(1);
    let n_answered = attempts.iter().filter(|attempt| attempt.result == AttemptResult::Answered).count();
    assert!(n_answered <= 1, "seed {seed}: one answer at most");
    // With a rival, the call that began last may be the one that lost.
    let is_hedged = house.route.hedge == Hedge::On;
    let is_followed = |result| is_hedged || matches!(result, AttemptResult::Failed(_));
    assert!(
        ended.into_iter().all(|attempt| is_followed(attempt.result)),
        "seed {seed}: only failures are followed"
    );
}

#[test]
fn every_outage_keeps_the_promises_and_ends() {
    let mut hedged = 0;
    for seed in 0..500 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        hedged += runtime.expect("a runtime").block_on(outage(seed));
    }
    assert!(hedged > 100, "the outages must be eventful: {hedged} hedges");
}

/// How many calls had a rival.
async fn outage(seed: u64) -> u64 {
    let rng = SeededRng::new(seed);
    let models: Vec<Arc<Scripted>> = (0..3)
        .map(|_| {
            let mut scripts: Vec<_> = (0..chance::below(&rng, 60)).map(|_| script(&rng)).collect();
            scripts.push(vec![Act::Say("text again"), Act::Done(Finish::Stop)]);
            Scripted::new(scripts)
        })
        .collect();
    let mut house = House::eager(&models.iter().collect::<Vec<_>>()).embed(2);
    if seed % 2 == 1 {
        house.route.hedge = Hedge::On;
    }
    let callers: Vec<SeededRng> = (0..60).map(|_| SeededRng::new(rng.next_u64())).collect();
    join_all(callers.iter().map(|rng| caller(&house, seed, rng))).await;

    // All models are used until their scripts are over; then each must be closed again and answer.
    for tier in 0..3 {
        let mut tries = 0;
        loop {
            tokio::time::sleep(Duration::from_secs(400)).await;
            let skip = crate::ask::Skip::before(tier);
            let log = AttemptLog::default();
            if let Ok(answering) = house.ask_changed(&log, |ask| ask.skip = skip).await
                && answering.tier_index == tier
                && read(answering.stream).await.0 == "text again"
            {
                break;
            }
            tries += 1;
            assert!(tries < 100, "seed {seed}: tier {tier} never comes back");
        }
        assert_eq!(house.router.health()[tier].position, Position::Closed, "seed {seed}");
    }
    let hedge::Reading { won, lost, failed, .. } = house.router.hedges();
    won + lost + failed
}
