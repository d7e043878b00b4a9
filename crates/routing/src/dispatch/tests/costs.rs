//! What attempts cost, exactly or as an estimate.

use domain::chat::Finish;
use domain::fault::{Fault, Kind};
use domain::meter::Stated;
use domain::model::{Cost, Prices};
use domain::money::{Amount, Nanos};
use domain::token::Usage;
use futures_util::StreamExt;

use super::*;
use crate::scripted::{Act, FOREVER, USAGE};

#[tokio::test(start_paused = true)]
async fn costs_are_exact_where_prices_and_usage_are_known() {
    let priced = |house: &mut House, input: i64| {
        let prices = Prices::flat("v1", Nanos(input), Nanos(2 * input)).into();
        let id = ModelId::from("p0/m");
        let model = Model { prices, ..Model::unknown(id.clone()) };
        house.catalogue.insert(id, model);
    };
    let cost = async |house: &House| {
        let log = AttemptLog::default();
        if let Ok(answering) = house.ask(&log).await {
            read(answering.stream).await;
        }
        let attempts = log.take();
        let attempt = attempts[0].clone();
        assert_eq!(attempt.prices.is_some(), attempt.cost.amount().is_some_and(|amount| amount.0 > 0));
        (attempt.cost, attempt.usage)
    };
    let mut house = House::new(&[&Scripted::answers("hello")]);
    assert_eq!(cost(&house).await, (Cost::Unpriced, Some(USAGE)));
    priced(&mut house, 1_000_000);
    assert_eq!(cost(&house).await, (Cost::Exact(Nanos(120).into()), Some(USAGE)));
    // What runs here costs nothing for each token.
    assert_eq!(cost(&House::new(&[&Scripted::answers("hello")]).embed(0)).await.0, Cost::FREE);
    // A refused call used nothing; one cut off has, and one accepted may have.
    let mut house = House::new(&[&Scripted::fails(Kind::RouteFatal)]);
    priced(&mut house, 1_000_000);
    assert_eq!(cost(&house).await.0, Cost::FREE);
    let mut house = House::new(&[&Scripted::hangs()]);
    priced(&mut house, 1_000_000);
    assert_eq!(cost(&house).await, (Cost::Estimated(Amount::of(ASKED, Nanos(1_000_000))), None));
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_answer_used_is_kept_where_its_provider_says_so() {
    let usage = Usage::of(TokenCount(7), TokenCount(3));
    let give_up = |kind| Act::GiveUp(Fault::provider(kind), usage);
    for acts in [
        vec![give_up(Kind::Content)],
        vec![Act::Say("Half an"), give_up(Kind::Content)],
        vec![Act::Say("Half an"), give_up(Kind::Transient)],
    ] {
        let house = House::new(&[&Scripted::new(vec![acts])]);
        let log = AttemptLog::default();
        if let Ok(answering) = house.ask(&log).await {
            read(answering.stream).await;
        }
        let attempts = log.take();
        assert_eq!((attempts[0].usage, attempts[0].estimate), (Some(usage), None));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_cut_answer_cost_is_estimated_from_what_was_said() {
    let cut = Scripted::new(vec![vec![
        Act::Say("12345678"),
        Act::Say("9"),
        Act::Fail(Fault::provider(Kind::Truncated)),
    ]]);
    for read_pieces in [usize::MAX, 1] {
        let house = House::new(&[&cut]);
        let log = AttemptLog::default();
        let mut stream = house.ask(&log).await.expect("an answer").stream;
        let mut n_read = 0;
        while n_read < read_pieces && stream.next().await.is_some() {
            n_read += 1;
        }
        drop(stream);
        let attempts = log.take();
        let said = if read_pieces == 1 { 2 } else { 3 };
        let want = Usage::of(ASKED, TokenCount(said));
        assert_eq!((attempts[0].usage, attempts[0].estimate), (None, Some(want)));
        assert_eq!(attempts[0].cost, Cost::Unpriced, "without a price");
    }
}

/// 100 bytes.
const LONG: &str = concat!(
    "12345678901234567890123456789012345678901234567890",
    "12345678901234567890123456789012345678901234567890",
);

#[tokio::test(start_paused = true)]
async fn what_was_stated_of_a_cut_answer_counts_and_what_it_says_is_no_less_than_was_heard() {
    let read_tokens =
        Usage { cached_input: TokenCount(30_000), ..Usage::of(TokenCount(60_000), TokenCount(1)) };
    let output = |output| Usage { output: TokenCount(output), ..read_tokens };
    let later = Stated::SoFar(output(70));
    let nothing_read = Stated::SoFar(Usage::of(TokenCount(0), TokenCount(7)));
    let (so_far, finally) = (Stated::SoFar(read_tokens), Stated::Finally(output(9)));
    let fail = || Act::Fail(Fault::provider(Kind::Truncated));
    let (say, end) = (|| Act::Say("123456789"), Act::Wait(FOREVER));
    for (acts, want) in [
        (vec![Act::State(so_far), say(), fail()], (None, Some(output(3)))),
        (vec![Act::State(so_far), say(), end.clone()], (None, Some(output(3)))),
        (vec![Act::State(so_far), fail()], (None, Some(output(1)))),
        (vec![Act::State(so_far), Act::State(later), say(), fail()], (None, Some(output(70)))),
        (vec![Act::State(nothing_read), say(), fail()], (None, Some(Usage::of(ASKED, TokenCount(7))))),
        (vec![say(), Act::State(finally), fail()], (Some(output(9)), None)),
        (vec![Act::State(so_far), say(), Act::Done(Finish::Stop)], (Some(USAGE), None)),
        // The end repeats what was said before it: of what was heard since it says nothing.
        (
            vec![Act::State(Stated::SoFar(USAGE)), Act::Say(LONG), Act::Done(Finish::Stop)],
            (None, Some(Usage { output: TokenCount(25), ..USAGE })),
        ),
    ] {
        let house = House::new(&[&Scripted::new(vec![acts.clone()])]);
        let log = AttemptLog::default();
        if let Ok(answering) = house.ask(&log).await {
            // The caller leaves when nothing comes any more.
            let _ = tokio::time::timeout(Duration::from_millis(1), read(answering.stream)).await;
        }
        let attempts = log.take();
        assert_eq!((attempts[0].usage, attempts[0].estimate), want, "{acts:?}");
    }
}
