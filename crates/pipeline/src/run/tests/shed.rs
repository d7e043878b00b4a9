//! Turns that are not taken on: what they get, what is recorded, and what keeps a place.

use resilience::memory::Usage;
use resilience::shedding::{self, Reason};

use super::relayed::{Counts, WHOLE, relay, relay_turn};
use super::*;
use crate::relay::Refused;

/// One place and nobody waits.
fn narrow(rungs: Vec<(TierName, Vec<Script>)>) -> House {
    let shedding =
        shedding::Config { requests_max: 1, requests_min: 1, queue_max: 0, ..shedding::Config::default() };
    House::build(Plan { rungs, shedding, ..Plan::default() })
}

fn under_way(house: &House) -> u32 {
    house.pipeline.parts.gate.read().routes.iter().map(|route| route.under_way).sum()
}

#[tokio::test(start_paused = true)]
async fn a_turn_without_a_place_gets_the_static_answer_and_no_model_is_called() {
    let house = narrow(vec![(TierName::Primary, vec![Script::NeverAccept])]);
    let turn = house.turn(QUESTION);
    let mut first = Box::pin(house.pipeline.run(turn, Listener::Silent));
    tokio::select! {
        biased;
        _ = &mut first => panic!("it waits for its model"),
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    let reply = house.run(in_session(house.turn(QUESTION), "ses_1")).await;
    assert_eq!(told(&reply.interaction), (Outcome::Degraded, Some(Tier::Degraded), "DEGRADED_SERVICE"));
    assert!(reply.response.starts_with(STATIC), "{}", reply.response);
    assert_eq!(reply.retry_after, Some(Duration::from_secs(2)));
    assert_eq!(reply.interaction.session, Some(SessionId::from("ses_1")), "the conversation is where it was");
    assert_eq!((reply.interaction.attempt, house.n_calls(0)), (0, 1));
    let recorded = house.ledger.recorded();
    let record = &recorded[0].interaction;
    assert_eq!((&record.question, &record.question_hash, &record.session), (&None, &None, &None));
    assert_eq!((record.steps[0].name, record.steps[0].outcome.as_str()), ("admit", "queue_full"));

    drop(first);
    assert_eq!(under_way(&house), 0, "who leaves gives the place back");
}

#[tokio::test(start_paused = true)]
async fn a_bare_model_without_a_place_is_refused_and_leaves_no_record() {
    let house = narrow(vec![(TierName::Primary, vec![Script::NeverAccept])]);
    let observer = Arc::new(Counts::default());
    let mut first = Box::pin(house.pipeline.relay(relay_turn(&house, WHOLE, &observer)));
    tokio::select! {
        biased;
        _ = &mut first => panic!("it waits for its model"),
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    let refused = relay(&house, WHOLE, &observer).await;
    assert!(matches!(refused, Err(Refused::Shed(shed)) if shed.reason == Reason::QueueFull));
    assert!(house.ledger.recorded().is_empty());
    drop(first);
    assert_eq!(under_way(&house), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_begun_holds_no_place() {
    const STREAMED: &str = r#"{"model":"x","messages":[{"role":"user","content":"Hi"}],"stream":true}"#;
    let house = narrow(vec![(TierName::Primary, scripts(&["Hello there, friend."]))]);
    let observer = Arc::new(Counts::default());
    let stream = relay(&house, STREAMED, &observer).await.expect("an answer");
    assert_eq!(under_way(&house), 0);
    relay(&house, WHOLE, &observer).await.expect("there is a place");
    drop(stream);
    assert_eq!(under_way(&house), 0);
}

#[tokio::test(start_paused = true)]
async fn short_of_memory_batch_is_turned_away_and_people_are_served() {
    let house = House::saying(&[GOOD, GOOD]);
    house.pipeline.parts.gate.memory().note(Usage { used_bytes: 85, limit_bytes: 100 });
    let batch = house.run(Turn { class: Class::Batch, ..house.turn(QUESTION) }).await;
    assert_eq!(batch.interaction.outcome, Outcome::Degraded);
    assert_eq!(batch.retry_after, Some(Duration::from_secs(5)));
    let person = house.ask(QUESTION).await;
    assert_eq!((person.interaction.outcome, person.retry_after), (Outcome::Answered, None));
    assert!(!step_names(&person.interaction).contains(&"admit"));
}
