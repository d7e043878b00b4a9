//! Models that fail, hang or break off, and stores that are away: there is one reply, in time.

use domain::fault::{Fault, Kind, Origin, Retry};
use domain::interaction::AttemptResult;
use domain::signal::step;

use super::*;
use crate::parts::OnFailure;
use crate::turn::Recorded;
use doubles::Health;

fn dead(kind: Kind) -> Vec<Script> {
    vec![Script::Refuse(Fault::provider(kind))]
}

fn breaks_off(said: &str) -> Script {
    Script::Steps(vec![Step::Delta(said.to_owned()), Step::Fail(Fault::provider(Kind::Transient))])
}

#[tokio::test(start_paused = true)]
async fn when_every_model_fails_the_agents_static_answer_is_given() {
    let house = House::new(vec![
        (TierName::Primary, dead(Kind::Transient)),
        (TierName::Fallback, dead(Kind::Transient)),
        (TierName::Embedded, dead(Kind::Unavailable)),
    ]);
    let reply = house.ask(QUESTION).await;
    assert_eq!(told(&reply.interaction), (Outcome::Degraded, Some(Tier::Degraded), "DEGRADED_SERVICE"));
    for part in [STATIC, "1-800-555-0100", "Coverage is described in 12 CFR 330."] {
        assert!(reply.response.contains(part), "{part}");
    }
    assert!(reply.interaction.citations.is_empty(), "it claims nothing");
    assert_eq!(usize::try_from(reply.interaction.attempt), Ok(reply.interaction.attempts.len()));
    assert_eq!((house.n_calls(0), house.n_calls(1), house.n_calls(2)), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_next_rung_answers_under_its_own_mark() {
    for (rung, want) in [
        (TierName::Fallback, (Outcome::Answered, Some(Tier::Fallback), "FALLBACK:other/small")),
        (TierName::Embedded, (Outcome::Answered, Some(Tier::Embedded), "embedded/default")),
    ] {
        let house = House::new(vec![(TierName::Primary, dead(Kind::RouteFatal)), (rung, scripts(&[GOOD]))]);
        let reply = house.ask(QUESTION).await;
        assert_eq!((told(&reply.interaction), reply.response.as_str()), (want, GOOD));
        assert_eq!(reply.interaction.attempt, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_embedded_model_is_on_its_way_the_passage_is_quoted() {
    let coming = Fault {
        origin: Origin::Mainstay,
        kind: Kind::Unavailable,
        retry: Retry::After(Duration::from_secs(5)),
    };
    let house = House::new(vec![(TierName::Embedded, vec![Script::Refuse(coming)])]);
    let reply = house.ask(QUESTION).await;
    assert_eq!(told(&reply.interaction), (Outcome::Answered, Some(Tier::Embedded), "QUOTED_PASSAGE"));
    assert!(reply.response.ends_with(PASSAGE));
    assert_eq!(reply.interaction.citations.len(), 1);
    // Without a passage there is nothing to quote.
    let reply = house.generate("chat", "Say hello to my team.").await;
    assert_eq!(reply.interaction.outcome, Outcome::Degraded);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_unseen_is_asked_for_again() {
    // Further down, where there is someone.
    let house = House::new(vec![
        (TierName::Primary, vec![breaks_off(&format!("{GOOD} And"))]),
        (TierName::Fallback, scripts(&[GOOD])),
    ]);
    let reply = house.ask(QUESTION).await;
    assert_eq!(told(&reply.interaction), (Outcome::Answered, Some(Tier::Fallback), "FALLBACK:other/small"));
    assert_eq!((house.n_calls(0), house.n_calls(1)), (1, 1));
    assert_eq!(reply.interaction.quality.expect("validated").regenerations, 0, "it is a failed attempt");
    // On the last rung once more, as when its worker was killed and is back.
    let house = House::new(vec![(TierName::Embedded, vec![breaks_off("Deposits"), Script::text(GOOD)])]);
    let reply = house.ask(QUESTION).await;
    assert_eq!((reply.response.as_str(), reply.interaction.attempt), (GOOD, 2));
    // But not for ever.
    let house = House::new(vec![(TierName::Embedded, vec![breaks_off("Deposits")])]);
    let reply = house.ask(QUESTION).await;
    assert_eq!((reply.interaction.outcome, house.n_calls(0)), (Outcome::Degraded, 2));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_model_leaves_time_for_the_passage_or_the_static_answer() {
    let stutters = vec![Step::Delta("Deposits at".to_owned()), Step::Hang];
    for (last, script, want) in [
        (TierName::Fallback, Script::NeverAccept, Outcome::Degraded),
        (TierName::Fallback, Script::Steps(vec![Step::Hang]), Outcome::Degraded),
        (TierName::Fallback, Script::Steps(stutters.clone()), Outcome::Degraded),
        // Our own model is there, only too slow: the passage is more use than the static answer.
        (TierName::Embedded, Script::NeverAccept, Outcome::Answered),
        (TierName::Embedded, Script::Steps(vec![Step::Hang]), Outcome::Answered),
    ] {
        let house = House::new(vec![(TierName::Primary, vec![script.clone()]), (last, vec![script.clone()])]);
        let deadline = house.clock.now().after(Duration::from_secs(5));
        let reply = house.run(Turn { deadline, ..house.turn(QUESTION) }).await;
        assert_eq!(reply.interaction.outcome, want, "{script:?}");
        let is_quoted = reply.interaction.model_used.as_deref() == Some("QUOTED_PASSAGE");
        assert_eq!(is_quoted, want == Outcome::Answered, "{script:?}");
        assert!(house.clock.now() < deadline, "{script:?}");
        assert_eq!(house.models[0].n_open() + house.models[1].n_open(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_a_turn_cancels_its_model_call_and_lets_the_next_turn_in() {
    let hangs = Script::Steps(vec![Step::Delta("Deposits at".to_owned()), Step::Hang]);
    let house = House::new(vec![(TierName::Primary, vec![hangs, Script::text(GOOD)])]);
    let message = || Turn { message_id: Some("m1".to_owned()), ..in_session(house.turn(QUESTION), "ses_1") };
    let turn = message();
    let id = turn.interaction.clone();
    let running = Box::pin(house.pipeline.run(turn, Listener::Silent));
    assert!(tokio::time::timeout(Duration::from_secs(1), running).await.is_err());
    assert_eq!((house.n_calls(0), house.models[0].n_open()), (1, 0));

    // Whoever left is recorded as far as the turn came; the conversation does not know of it.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let left = house.ledger.recorded().into_iter().next().expect("a record");
    let record = &left.interaction;
    assert_eq!((&record.id, record.outcome), (&id, Outcome::Failed));
    assert_eq!((record.question.as_deref(), &record.response), (Some(QUESTION), &None));
    assert_eq!((record.attempt, record.attempts.len(), record.model_used.as_deref()), (1, 1, None));
    assert_eq!(record.attempts[0].result, AttemptResult::Cancelled);
    assert!(record.steps.iter().any(|taken| taken.name == step::RETRIEVE), "{:?}", record.steps);
    assert_eq!((&record.session, &left.session), (&None, &None));

    let reply = house.run(message()).await;
    assert_eq!(reply.response, GOOD, "the message sent again is answered");
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_has_its_reply_is_recorded_once() {
    let house = House::saying(&[GOOD]);
    house.ask(QUESTION).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.ledger.recorded().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_its_store_the_assistant_goes_on_and_says_so() {
    for health in [Health::Away, Health::Hanging] {
        let house = House::saying(&[GOOD]);
        house.ledger.set(health);
        let turn = Turn { message_id: Some("m1".to_owned()), ..in_session(house.turn(QUESTION), "ses_1") };
        let reply = house.run(turn).await;
        assert_eq!((reply.response.as_str(), reply.recorded), (GOOD, Recorded::No));
        assert_eq!(
            reply.interaction.session,
            Some(SessionId::from("ses_1")),
            "the conversation keeps its id"
        );
        assert!(house.clock.now().0 <= Duration::from_secs(60));
        let record = reply.interaction.steps.last().expect("steps");
        assert_eq!((record.name, record.outcome.as_str()), (step::RECORD, "not_recorded"));
    }
}

#[tokio::test(start_paused = true)]
async fn without_its_store_the_assistant_refuses_where_that_is_configured() {
    let config = RecordsConfig { on_failure: OnFailure::Refuse, ..RecordsConfig::default() };
    let rungs = vec![(TierName::Primary, scripts(&[GOOD]))];
    let house = House::build(Plan { rungs, config, ..Plan::default() });
    house.ledger.set(Health::Away);
    assert_eq!(refused(&house, house.turn(QUESTION)).await, TurnError::NotRecorded);
}

#[tokio::test(start_paused = true)]
async fn a_case_number_that_is_not_on_disk_is_not_given() {
    let house = House::saying(&[GOOD]);
    house.ledger.set(Health::Away);
    let reply = house.ask("I want a human to look at my deposit").await;
    assert_eq!((reply.interaction.outcome, reply.recorded), (Outcome::Escalated, Recorded::No));
    assert!(reply.interaction.case.is_none() && !reply.response.contains("cas_"), "{}", reply.response);
    assert!(reply.response.contains("1-800-555-0100") && reply.response.contains(PASSAGE));
}
