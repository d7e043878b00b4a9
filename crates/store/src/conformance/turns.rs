//! Writing turns and reading them back.

use std::sync::Arc;
use std::time::Duration;

use domain::id::{CaseId, TenantId};
use domain::interaction::{FinishedTurn, GuardrailVerdict, Interaction, Outcome};
use domain::model::Cost;
use domain::time::Timestamp;
use domain::token::Usage;
use tokio::task::JoinSet;

use super::samples::{interaction, interaction_id, request, session_turn, turn};
use super::{Engine, Ports};

async fn read(store: &Arc<dyn Ports>, n: u64) -> Option<Interaction> {
    store.interaction(None, &interaction_id(n)).await.expect("readable")
}

pub(crate) async fn whole_turn_is_read_back(engine: &impl Engine) {
    let store = engine.open();
    let mut escalated = session_turn("ses_1", 3);
    escalated.interaction.outcome = Outcome::Escalated;
    escalated.interaction.case = Some(CaseId::from("cas_1"));
    for turn in [turn(1), session_turn("ses_1", 2), escalated] {
        store.record(turn.clone()).await.expect("written");
        let id = &turn.interaction.id;
        assert_eq!(store.interaction(None, id).await.expect("readable").as_ref(), Some(&turn.interaction));
    }
}

pub(crate) async fn unknown_is_none(engine: &impl Engine) {
    let store = engine.open();
    assert_eq!(read(&store, 1).await, None);
    assert_eq!(store.answered(&TenantId::default(), &"ses_1".into(), "m1").await.expect("readable"), None);
}

pub(crate) async fn second_write_changes_nothing(engine: &impl Engine) {
    let store = engine.open();
    let first = session_turn("ses_1", 1);
    store.record(first.clone()).await.expect("written");
    let mut second = first.clone();
    second.interaction.response = Some("something else".to_owned());
    for turn in [first.clone(), second] {
        store.record(turn).await.expect("no error");
    }
    assert_eq!(read(&store, 1).await, Some(first.interaction));
    let session = store.open(request(Some("ses_1"), Some("user-7"))).await.expect("open");
    assert_eq!((session.turn_count, session.recent.len()), (1, 2));
}

pub(crate) async fn odd_texts_are_kept(engine: &impl Engine) {
    let store = engine.open();
    let megabytes = "0123456789abcdé\n".repeat(300_000);
    let texts =
        ["", " ", "ﷺ𝔘𝔫𝔦 \u{200d}\u{1f9d1}\u{301}\u{202e}", "a\u{0}b", "'; DROP TABLE x; --", &megabytes];
    for (n, text) in (1..).zip(texts) {
        let mut turn = session_turn("ses_1", n);
        turn.interaction.question = Some(text.to_owned());
        turn.interaction.response = Some(text.to_owned());
        turn.interaction.user_id = Some(text.chars().take(40).collect());
        for citation in &mut turn.interaction.citations {
            citation.passage.text = text.to_owned();
        }
        let messages = &mut turn.session.as_mut().expect("a session").messages;
        messages.iter_mut().for_each(|message| message.text = text.to_owned());
        store.record(turn.clone()).await.expect("written");
        assert_eq!(read(&store, n).await, Some(turn.interaction), "{n}");
        let session = store.open(request(Some("ses_1"), Some("user-7"))).await.expect("open");
        assert_eq!(session.recent.last().map(|message| message.text.as_str()), Some(text), "{n}");
    }
}

pub(crate) async fn bare_turn_is_read_back(engine: &impl Engine) {
    let store = engine.open();
    let bare = Interaction {
        user_id: None,
        created: Timestamp(-1),
        latency: Duration::ZERO,
        question: None,
        question_hash: None,
        response: None,
        tier: None,
        model_used: None,
        attempt: 0,
        intent: None,
        guardrail: GuardrailVerdict::default(),
        quality: None,
        citations: Vec::new(),
        usage: Usage::default(),
        cost: Cost::FREE,
        attempts: Vec::new(),
        steps: Vec::new(),
        metadata: None,
        ..interaction(1)
    };
    store.record(FinishedTurn { interaction: bare.clone(), session: None }).await.expect("written");
    assert_eq!(read(&store, 1).await, Some(bare));
}

pub(crate) async fn writes_outlive_a_restart(engine: &impl Engine) {
    let store = engine.open();
    store.record(session_turn("ses_1", 1)).await.expect("written");
    drop(store);
    let store = engine.open();
    assert_eq!(read(&store, 1).await, Some(session_turn("ses_1", 1).interaction));
    let session = store.open(request(Some("ses_1"), Some("user-7"))).await.expect("open");
    assert_eq!(session.turn_count, 1);
}

pub(crate) async fn many_at_once_are_all_kept(engine: &impl Engine) {
    let store = engine.open();
    let mut writers = JoinSet::new();
    for n in 0..200 {
        let store = Arc::clone(&store);
        // Each id is written twice, as after a retry.
        writers.spawn(async move { store.record(session_turn("ses_1", n % 100)).await });
    }
    for end in writers.join_all().await {
        end.expect("written");
    }
    for n in 0..100 {
        assert!(read(&store, n).await.is_some(), "{n}");
    }
    let session = store.open(request(Some("ses_1"), Some("user-7"))).await.expect("open");
    assert_eq!(session.turn_count, 100);
}

pub(crate) async fn many_together_are_all_kept(engine: &impl Engine) {
    let store = engine.open();
    store.record(session_turn("ses_1", 7)).await.expect("written");
    let turns = (0..600).map(|n| session_turn("ses_1", n)).collect();
    let lost = store.record_all(turns).await;
    assert!(lost.is_empty(), "{lost:?}");
    for n in 0..600 {
        assert!(read(&store, n).await.is_some(), "{n}");
    }
    let session = store.open(request(Some("ses_1"), Some("user-7"))).await.expect("open");
    assert_eq!(session.turn_count, 600);
}

pub(crate) async fn probe_writes(engine: &impl Engine) {
    let store = engine.open();
    for _ in 0..2 {
        store.probe().await.expect("writable");
    }
}
