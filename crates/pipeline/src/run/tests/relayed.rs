//! The short path of bare models: what is passed on, what is recorded, and what happens when the caller leaves.

use bytes::Bytes;
use domain::chat::Dialect;
use domain::fault::{Fault, Kind};
use domain::interaction::AttemptResult;
use domain::model::Cost;
use domain::money::Nanos;
use domain::principal::Principal;
use domain::residency::Residency;
use futures_util::StreamExt;
use parking_lot::Mutex;

use super::*;
use crate::feedback::Taken;
use crate::parts::{Durability, OnFailure};
use crate::relay::{Answer, Broken, Observer, Passed, Refused, RelayTurn, Relaying, hash};
use crate::turn::Recorded;
use doubles::Health;

pub(super) const WHOLE: &str = r#"{"model":"x","messages":[{"role":"user","content":"Hi"}]}"#;
const STREAMED: &str = r#"{"model":"x","messages":[{"role":"user","content":"Hi"}],"stream":true}"#;

/// The longest time of a call, by default.
const CALL_MAX: Duration = Duration::from_mins(10);

#[derive(Default)]
pub(super) struct Counts {
    finished: Mutex<Vec<Outcome>>,
    not_recorded: Mutex<u32>,
}

impl Observer for Counts {
    fn finished(&self, interaction: &Interaction) {
        self.finished.lock().push(interaction.outcome);
    }

    fn not_recorded(&self) {
        *self.not_recorded.lock() += 1;
    }
}

pub(super) fn relay_turn(house: &House, body: &'static str, observer: &Arc<Counts>) -> RelayTurn {
    let snapshot = house.pipeline.current().pin();
    let asked = wire::openai::relay::read(Bytes::from_static(body.as_bytes())).expect("valid");
    RelayTurn {
        interaction: InteractionId::new(format!("int_{:032x}", house.ids.next_id())),
        principal: Principal::open(),
        route: Arc::clone(&snapshot.default_agent.route),
        snapshot,
        relayed: Arc::new(asked),
        request_hash: hash(body.as_bytes()),
        deadline: house.clock.now().after(Duration::from_secs(60)),
        streams_until: None,
        residency: Residency::Anywhere,
        affinity: None,
        class: Class::Interactive,
        cache: domain::cache::Wish::Default,
        observer: Arc::clone(observer) as _,
        watcher: None,
    }
}

pub(super) async fn relay(
    house: &House,
    body: &'static str,
    observer: &Arc<Counts>,
) -> Result<Relaying, Refused> {
    Box::pin(house.pipeline.relay(relay_turn(house, body, observer))).await
}

/// What is passed on of a stream, and how it ended.
async fn read(relaying: Relaying) -> (Vec<u8>, Vec<Passed>) {
    let Answer::Streamed(mut stream) = relaying.answer else { panic!("a stream was asked for") };
    let (mut bytes, mut rest) = (Vec::new(), Vec::new());
    while let Some(passed) = stream.next().await {
        match passed {
            Passed::Bytes(more) => bytes.extend_from_slice(&more),
            other => rest.push(other),
        }
    }
    (bytes, rest)
}

#[tokio::test]
async fn a_relayed_answer_is_passed_on_and_recorded_without_its_texts() {
    for body in [WHOLE, STREAMED] {
        let house = House::saying(&["Hello there, friend."]);
        let observer = Arc::new(Counts::default());
        let relaying = relay(&house, body, &observer).await.expect("an answer");
        assert_eq!(
            (relaying.tier, relaying.model_used.as_str(), relaying.attempt),
            (Tier::Primary, "cloud/big", 1)
        );
        let bytes = match relaying.answer {
            Answer::Whole(whole) => {
                assert_eq!((whole.recorded, whole.cost), (Recorded::Yes, Cost::Exact(Nanos(13_000).into())));
                whole.bytes.to_vec()
            }
            Answer::Streamed(_) => read(relaying).await.0,
        };
        let recorded = house.ledger.recorded();
        let interaction = &recorded[0].interaction;
        assert_eq!(recorded.len(), 1);
        assert_eq!(told(interaction), (Outcome::Answered, Some(Tier::Primary), "cloud/big"));
        assert_eq!(
            (interaction.door, interaction.agent.is_none()),
            (Door::Relayed(Dialect::OpenAiChat), true)
        );
        assert_eq!((&interaction.question, &interaction.response), (&None, &None));
        assert_eq!(interaction.response_hash, hash(&bytes));
        assert_eq!(interaction.question_hash, Some(hash(body.as_bytes())));
        assert_eq!((interaction.usage.output.0, interaction.attempts.len()), (3, 1));
        assert_eq!(*observer.finished.lock(), [Outcome::Answered]);
    }
}

#[tokio::test(start_paused = true)]
async fn before_the_first_word_another_model_is_asked() {
    let broken = [
        Script::Refuse(Fault::provider(Kind::RouteFatal)),
        Script::Steps(Vec::new()),
        Script::Steps(vec![Step::Fail(Fault::provider(Kind::Transient))]),
        Script::NeverAccept,
    ];
    for script in broken {
        for body in [WHOLE, STREAMED] {
            let house = House::new(vec![
                (TierName::Primary, vec![script.clone()]),
                (TierName::Fallback, scripts(&["Still here."])),
            ]);
            let relaying = relay(&house, body, &Arc::default()).await.expect("an answer");
            assert_eq!(
                (relaying.tier, relaying.model_used.as_str()),
                (Tier::Fallback, "FALLBACK:other/small")
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_first_word_a_failure_is_told_and_recorded() {
    let script =
        Script::Steps(vec![Step::Delta("Hello".to_owned()), Step::Fail(Fault::provider(Kind::Transient))]);
    let house =
        House::new(vec![(TierName::Primary, vec![script]), (TierName::Fallback, scripts(&["Never asked."]))]);
    let observer = Arc::new(Counts::default());
    let relaying = relay(&house, STREAMED, &observer).await.expect("an answer");
    let (bytes, rest) = read(relaying).await;
    let text = String::from_utf8(bytes).expect("text");
    assert!(text.contains("Hello") && !text.contains("[DONE]"), "{text}");
    assert!(matches!(rest[..], [Passed::Broken(Broken::Incomplete(_))]), "{rest:?}");
    let interaction = &house.ledger.recorded()[0].interaction;
    assert_eq!(interaction.outcome, Outcome::Failed);
    assert_eq!(interaction.attempts[0].result, AttemptResult::Failed(Kind::Truncated));
    assert_eq!((house.n_calls(1), &*observer.finished.lock()), (0, &vec![Outcome::Failed]));
}

#[tokio::test(start_paused = true)]
async fn when_nobody_answers_there_is_an_error_and_a_record() {
    let house =
        House::new(vec![(TierName::Primary, vec![Script::Refuse(Fault::provider(Kind::RouteFatal))])]);
    let refused = relay(&house, WHOLE, &Arc::default()).await.err().expect("no answer");
    assert!(matches!(refused, Refused::Unanswered(_)), "{refused:?}");
    let interaction = &house.ledger.recorded()[0].interaction;
    assert_eq!((told(interaction), interaction.attempt), ((Outcome::Failed, None, "none"), 1));
}

#[tokio::test]
async fn a_caller_who_leaves_is_recorded_with_what_was_used() {
    let hang = Script::Steps(vec![Step::Delta("Hello".to_owned()), Step::Hang]);
    for (script, read_first) in [(hang, true), (Script::NeverAccept, false)] {
        let house = House::new(vec![(TierName::Primary, vec![script])]);
        let observer = Arc::new(Counts::default());
        let mut relaying = Box::pin(house.pipeline.relay(relay_turn(&house, STREAMED, &observer)));
        if read_first {
            let Answer::Streamed(mut stream) = relaying.await.expect("an answer").answer else { panic!() };
            assert!(matches!(stream.next().await, Some(Passed::Bytes(_))));
            assert_eq!(house.models[0].n_open(), 1);
            drop(stream);
            assert_eq!(house.models[0].n_open(), 0, "the call is closed at once");
        } else {
            assert!(futures_util::poll!(&mut relaying).is_pending());
            drop(relaying);
        }
        house.pipeline.parts.tasks.close();
        house.pipeline.parts.tasks.wait().await;
        let recorded = house.ledger.recorded();
        assert_eq!(recorded.len(), 1);
        assert_eq!(recorded[0].interaction.outcome, Outcome::Failed);
        assert_eq!(recorded[0].interaction.attempts[0].result, AttemptResult::Cancelled);
        assert_eq!(*observer.finished.lock(), [Outcome::Failed]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_ends_in_time() {
    let delta = || Step::Delta("Hello.".to_owned());
    let script = Script::Steps(vec![delta(), delta(), Step::Hang]);
    // Its own limit, and the longest time of any call.
    for (asked, ends_after) in [(Some(Duration::from_secs(2)), Duration::from_secs(2)), (None, CALL_MAX)] {
        let house = House::new(vec![(TierName::Primary, vec![script.clone()])]);
        let turn = relay_turn(&house, STREAMED, &Arc::default());
        let streams_until = asked.map(|asked| house.clock.now().after(asked));
        let relaying = Box::pin(house.pipeline.relay(RelayTurn { streams_until, ..turn }));
        let Answer::Streamed(mut stream) = relaying.await.expect("an answer").answer else { panic!() };
        assert!(matches!(stream.next().await, Some(Passed::Bytes(_))));
        tokio::time::sleep(ends_after - Duration::from_millis(1)).await;
        assert_eq!(house.models[0].n_open(), 1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(house.models[0].n_open(), 0, "the call is closed within a second");
        let recorded = house.ledger.recorded();
        assert_eq!(recorded[0].interaction.outcome, Outcome::Failed);
        assert_eq!(recorded[0].interaction.attempts[0].result, AttemptResult::Failed(Kind::Truncated));
        let rest: Vec<Passed> = stream.collect().await;
        assert!(matches!(rest[..], [Passed::Broken(Broken::Incomplete(_))]), "{rest:?}");
        house.pipeline.parts.tasks.close();
        house.pipeline.parts.tasks.wait().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_left_leaves_no_watch_behind() {
    let hang = Script::Steps(vec![Step::Delta("Hello".to_owned()), Step::Hang]);
    let house = House::new(vec![(TierName::Primary, vec![hang])]);
    let began = house.clock.now();
    drop(relay(&house, STREAMED, &Arc::default()).await.expect("an answer"));
    house.pipeline.parts.tasks.close();
    house.pipeline.parts.tasks.wait().await;
    assert_eq!(house.clock.now(), began);
}

#[tokio::test]
async fn a_record_that_cannot_be_written_is_told_before_the_end() {
    for (on_failure, durability) in [
        (OnFailure::Answer, Durability::Commit),
        (OnFailure::Refuse, Durability::Commit),
        (OnFailure::Answer, Durability::Async),
    ] {
        let config = RecordsConfig { durability, on_failure };
        let rungs = vec![(TierName::Primary, scripts(&["Hello."]))];
        let house = House::build(Plan { rungs, config, ..Plan::default() });
        house.ledger.set(Health::Away);
        let observer = Arc::new(Counts::default());
        let (bytes, rest) = read(relay(&house, STREAMED, &observer).await.expect("an answer")).await;
        let is_whole = bytes.ends_with(b"[DONE]\n\n");
        let whole = relay(&house, WHOLE, &observer).await;
        match (on_failure, durability) {
            (OnFailure::Answer, Durability::Commit) => {
                assert!(is_whole && matches!(rest[..], [Passed::Unrecorded]), "{rest:?}");
                let Answer::Whole(whole) = whole.expect("an answer").answer else { panic!() };
                assert_eq!(whole.recorded, Recorded::No);
            }
            (OnFailure::Refuse, _) => {
                assert!(!is_whole && matches!(rest[..], [Passed::Broken(Broken::NotRecorded)]), "{rest:?}");
                assert!(matches!(whole, Err(Refused::NotRecorded(_))));
            }
            (OnFailure::Answer, Durability::Async) => {
                assert!(is_whole && rest.is_empty(), "the reply does not wait: {rest:?}");
                assert!(whole.is_ok());
                house.pipeline.parts.tasks.close();
                house.pipeline.parts.tasks.wait().await;
                assert_eq!(house.pipeline.records_lost(), 2);
                continue;
            }
        }
        assert_eq!(*observer.not_recorded.lock(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_follow_their_replies_are_written_together_and_feedback_finds_them() {
    let config = RecordsConfig { durability: Durability::Async, ..RecordsConfig::default() };
    let rungs = vec![(TierName::Primary, scripts(&["Hello."]))];
    let house = House::build(Plan { rungs, config, ..Plan::default() });
    let observer = Arc::new(Counts::default());
    let turn = relay_turn(&house, WHOLE, &observer);
    let first = turn.interaction.clone();
    Box::pin(house.pipeline.relay(turn)).await.expect("an answer");
    relay(&house, WHOLE, &observer).await.expect("an answer");
    assert_eq!(house.ledger.recorded().len(), 0, "they wait for others");
    let feedback = records::feedback(&house, first);
    let taken = house.pipeline.collect_feedback(None, feedback.clone()).await.expect("the store works");
    assert_eq!(taken, Taken::Kept(feedback.id));
    relay(&house, WHOLE, &observer).await.expect("an answer");
    house.pipeline.parts.tasks.close();
    house.pipeline.parts.tasks.wait().await;
    assert_eq!(house.ledger.recorded().len(), 3, "each of them once");
}
