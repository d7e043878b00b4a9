//! What is kept of a turn, and how turns of a session follow each other. Over the real store, except where time
//! is paused.

use std::path::Path;

use domain::agent::Retention;
use domain::feedback::{Feedback, FeedbackKind};
use domain::interaction::InteractionFilter;
use domain::model::Cost;
use tempfile::TempDir;

use super::*;
use crate::feedback::Taken;
use crate::parts::Durability;
use crate::turn::Recorded;

fn with_store(folder: &Path, answers: &[&str]) -> House {
    let store = store::Store::open(&folder.join("mainstay.db"), &store::Config::default()).expect("a store");
    let rungs = vec![(TierName::Primary, scripts(answers))];
    House::build(Plan { rungs, store: Some(store), ..Plan::default() })
}

async fn reply(house: &House, turn: Turn) -> Reply {
    Box::pin(house.pipeline.run(turn, Listener::Silent)).await.expect("a reply")
}

async fn stored(house: &House) -> Vec<Interaction> {
    let filter = InteractionFilter { limit: 100, ..InteractionFilter::default() };
    house.pipeline.records().interactions(filter).await.expect("a list")
}

#[tokio::test]
async fn a_record_says_what_the_reply_said() {
    let folder = TempDir::new().expect("a folder");
    let house = with_store(folder.path(), &[GOOD]);
    let reply = reply(&house, house.turn(QUESTION)).await;
    assert_eq!(reply.recorded, Recorded::Yes);
    let stored = stored(&house).await;
    assert_eq!(stored.len(), 1);
    let told = &reply.interaction;
    assert_eq!((&stored[0].id, &stored[0].response), (&told.id, &Some(GOOD.to_owned())));
    assert_eq!((stored[0].outcome, stored[0].cost), (told.outcome, told.cost));
    assert_eq!((&stored[0].citations, &stored[0].quality), (&told.citations, &told.quality));
    // The step that records is the one thing that its own record cannot hold.
    assert_eq!(step_names(&stored[0]), step_names(told)[..told.steps.len() - 1]);
    assert!(matches!(told.cost, Cost::Exact(_)));
}

#[tokio::test]
async fn of_a_blocked_text_nothing_reaches_the_disk() {
    let folder = TempDir::new().expect("a folder");
    let house = with_store(folder.path(), &[GOOD]);
    let text = "my password is hunter2 zebrafish";
    let turn = Turn {
        agent: Some(AgentName::from("kept")),
        metadata: Some("{\"text\":\"hunter2\"}".to_owned()),
        ..house.turn(text)
    };
    let reply = reply(&house, turn).await;
    assert_eq!((reply.interaction.outcome, reply.recorded), (Outcome::Blocked, Recorded::Yes));
    let hash = super::super::known::content_hash(text);
    for entry in std::fs::read_dir(folder.path()).expect("a folder") {
        let content = std::fs::read(entry.expect("a file").path()).expect("readable");
        for secret in ["hunter2", "zebrafish", hash.as_str()] {
            let found = content.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is on disk");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn retention_decides_what_is_kept_of_texts() {
    for (agent, door, keeps_texts, retention) in [
        ("general", Door::Query, true, Retention::Session(Duration::from_secs(3_600))),
        ("general", Door::Generate, false, Retention::None),
        ("private", Door::Query, false, Retention::None),
        ("kept", Door::Query, true, Retention::Record),
        ("kept", Door::Generate, true, Retention::Record),
    ] {
        let house = House::saying(&[GOOD]);
        let turn = Turn {
            door,
            agent: Some(AgentName::from(agent)),
            metadata: Some("{\"a\":1}".to_owned()),
            ..house.turn(QUESTION)
        };
        let reply = house.run(turn).await;
        assert_eq!(reply.response, GOOD, "the customer always gets the text");
        let turn = &house.ledger.recorded()[0];
        let interaction = &turn.interaction;
        assert_eq!(interaction.retention, retention, "{agent} {door:?}");
        assert_eq!(interaction.question.as_deref(), keeps_texts.then_some(QUESTION));
        assert_eq!(interaction.response.as_deref(), keeps_texts.then_some(GOOD));
        assert_eq!(interaction.metadata.is_some(), keeps_texts);
        assert!(interaction.question_hash.is_some(), "hashes stay");
        assert_eq!(turn.session.is_some(), door == Door::Query);
        if let Some(session) = &turn.session {
            let texts: Vec<_> = session.messages.iter().map(|message| message.text.as_str()).collect();
            let want: &[&str] = if keeps_texts { &[QUESTION, GOOD] } else { &[] };
            assert_eq!(texts, want, "{agent}");
        }
    }
}

#[tokio::test]
async fn a_message_sent_twice_is_answered_and_recorded_once() {
    let folder = TempDir::new().expect("a folder");
    let house = with_store(folder.path(), &[GOOD, ALSO_GOOD]);
    let session = reply(&house, house.turn(QUESTION)).await.interaction.session;
    let message = |house: &House| Turn {
        session: session.clone(),
        message_id: Some("m1".to_owned()),
        ..house.turn(QUESTION)
    };
    let first = reply(&house, message(&house)).await;
    let again = reply(&house, message(&house)).await;
    assert_eq!(first.response, ALSO_GOOD.trim_start());
    assert_eq!((&again.response, &again.interaction.id), (&first.response, &first.interaction.id));
    assert_eq!((stored(&house).await.len(), house.n_calls(0)), (2, 2));
    // Another user's message of the same name is another message, and no look into the first one's session.
    let other = reply(&house, Turn { user_id: Some("mallory".to_owned()), ..message(&house) }).await;
    assert_ne!(other.interaction.id, first.interaction.id);
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_answer_was_not_kept_is_answered_again() {
    let house = House::saying(&[GOOD]);
    for _ in 0..2 {
        let turn = Turn {
            agent: Some(AgentName::from("private")),
            message_id: Some("m1".to_owned()),
            ..in_session(house.turn(QUESTION), "ses_1")
        };
        assert_eq!(house.run(turn).await.response, GOOD);
    }
}

#[tokio::test]
async fn a_conversation_goes_on_over_the_real_store() {
    let folder = TempDir::new().expect("a folder");
    let house = with_store(folder.path(), &[GOOD, "Joint accounts are insured separately."]);
    let first = reply(&house, house.turn(QUESTION)).await;
    let session = first.interaction.session.clone();
    assert!(session.is_some());
    let second = reply(&house, Turn { session: session.clone(), ..house.turn("And joint accounts?") }).await;
    assert_eq!(second.interaction.session, session);
    assert!(house.retriever.queries()[1].starts_with(QUESTION));
}

#[tokio::test(start_paused = true)]
async fn turns_of_one_session_run_one_after_the_other_and_others_beside_them() {
    let second = Duration::from_secs(1);
    for (sessions, want) in [(["ses_1", "ses_1"], 2 * second), (["ses_1", "ses_2"], second)] {
        let slow = vec![Step::Wait(second), Step::Delta(GOOD.to_owned()), Step::Done(Finish::Stop, None)];
        let house = House::new(vec![(TierName::Primary, vec![Script::Steps(slow)])]);
        let began = house.clock.now();
        let turns = sessions.map(|session| reply(&house, in_session(house.turn(QUESTION), session)));
        let replies = futures_util::future::join_all(turns).await;
        assert!(replies.iter().all(|reply| reply.response == GOOD));
        let took = house.clock.now().since(began);
        assert!((want..want + second / 2).contains(&took), "{sessions:?}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_waits_for_its_session_does_not_wait_past_its_deadline() {
    let house = House::new(vec![(TierName::Primary, vec![Script::NeverAccept])]);
    let deadline = house.clock.now().after(Duration::from_secs(3));
    let long = reply(&house, in_session(house.turn(QUESTION), "ses_1"));
    let short = refused(&house, Turn { deadline, ..in_session(house.turn(QUESTION), "ses_1") });
    let both = Box::pin(async { futures_util::join!(long, async { (short.await, house.clock.now()) }) });
    let (_, (error, at)) = both.await;
    assert_eq!(error, TurnError::SessionBusy);
    assert!(at < deadline);
}

#[tokio::test(start_paused = true)]
async fn records_may_follow_the_reply_but_cases_never_do() {
    let config = RecordsConfig { durability: Durability::Async, ..RecordsConfig::default() };
    let rungs = vec![(TierName::Primary, scripts(&[GOOD]))];
    let house = House::build(Plan { rungs, config, ..Plan::default() });
    let turn = house.turn(QUESTION);
    let reply_now = Box::pin(house.pipeline.run(turn, Listener::Silent)).await.expect("a reply");
    assert_eq!(reply_now.recorded, Recorded::Yes);
    house.pipeline.parts.tasks.close();
    house.pipeline.parts.tasks.wait().await;
    assert_eq!(house.ledger.recorded().len(), 1);
    // `run` looks for the record as soon as the reply is there.
    assert!(house.ask("I want a human to look at my deposit").await.interaction.case.is_some());
}

pub(super) fn feedback(house: &House, interaction: InteractionId) -> Feedback {
    Feedback {
        id: house.pipeline.new_feedback_id(),
        interaction,
        session: None,
        kind: FeedbackKind::Explicit,
        rating: Some(5),
        thumb: None,
        comments: None,
        signal: None,
        metadata: None,
        at: house.clock.wall(),
    }
}

#[tokio::test(start_paused = true)]
async fn feedback_is_kept_for_interactions_that_exist() {
    let house = House::saying(&[GOOD]);
    let interaction = house.ask(QUESTION).await.interaction.id;
    for (interaction, want) in [(interaction, true), (InteractionId::from("int_none"), false)] {
        let feedback = feedback(&house, interaction);
        let id = feedback.id.clone();
        let taken = house.pipeline.collect_feedback(None, feedback).await.expect("the store works");
        assert_eq!(taken, if want { Taken::Kept(id) } else { Taken::UnknownInteraction });
    }
}
