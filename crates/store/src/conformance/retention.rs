//! What is not kept, and what is not kept any longer.

use std::time::Duration;

use domain::agent::Retention;
use domain::id::TenantId;
use domain::interaction::{FinishedTurn, Interaction};
use domain::session::SessionRequest;

use super::Engine;
use super::samples::{HOUR, LATENCY, at, interaction, interaction_id, request, session_turn};

/// The same turn without any text that people or models wrote, and without what was cited.
fn without_texts(interaction: &Interaction) -> Interaction {
    let mut bare = Interaction { question: None, response: None, metadata: None, ..interaction.clone() };
    for citation in &mut bare.citations {
        citation.passage.text.clear();
    }
    for check in bare.quality.iter_mut().flat_map(|quality| &mut quality.checks) {
        check.reason.clear();
    }
    bare
}

pub(crate) async fn none_drops_texts(engine: &impl Engine) {
    let store = engine.open();
    // The caller left all texts in by mistake.
    let mut turn = session_turn("ses_1", 1);
    turn.interaction.retention = Retention::None;
    turn.session.as_mut().expect("a session").message_id = Some("m1".to_owned());
    store.record(turn.clone()).await.expect("written");
    let kept = store.interaction(None, &interaction_id(1)).await.expect("readable");
    assert_eq!(kept, Some(without_texts(&turn.interaction)));
    let session = store.open(request(Some("ses_1"), Some("user-7"))).await.expect("open");
    assert_eq!((session.turn_count, session.recent), (1, vec![]));
    assert_eq!(store.answered(&TenantId::default(), &"ses_1".into(), "m1").await.expect("readable"), kept);
}

pub(crate) async fn session_texts_expire(engine: &impl Engine) {
    let store = engine.open();
    let turns = [
        (1, Retention::Session(HOUR)),
        (2, Retention::Session(HOUR * 2)),
        (3, Retention::Record),
        (4, Retention::Session(Duration::from_micros(i64::MAX.unsigned_abs()))),
    ]
    .map(|(n, retention)| Interaction { retention, ..interaction(n) });
    for interaction in turns.clone() {
        store.record(FinishedTurn { interaction, session: None }).await.expect("written");
    }
    let over = at(1).after(LATENCY).after(HOUR);
    let just_before = domain::time::Timestamp(over.0 - 1);
    for (now, touched, expired) in
        [(just_before, 0, 0), (over, 1, 1), (over, 0, 1), (over.after(HOUR * 2), 1, 2)]
    {
        assert_eq!(store.expire(now).await.expect("written"), touched, "{now:?}");
        for (index, turn) in turns.iter().enumerate() {
            let kept = store.interaction(None, &turn.id).await.expect("readable");
            let want = if index < expired { without_texts(turn) } else { turn.clone() };
            assert_eq!(kept, Some(want), "{now:?}");
        }
    }
}

pub(crate) async fn expired_sessions_go_with_messages(engine: &impl Engine) {
    let store = engine.open();
    for (session, n) in [("ses_old", 1), ("ses_young", 1_000)] {
        let mut turn = session_turn(session, n);
        turn.session.as_mut().expect("a session").message_id = Some("m1".to_owned());
        store.record(turn).await.expect("written");
    }
    let now = at(500).after(HOUR);
    assert_eq!(store.expire(now).await.expect("written"), 1);
    // Asked for as of a time when both were alive: the old one is really gone.
    for (session, turns) in [("ses_old", 0), ("ses_young", 1)] {
        let request = SessionRequest { now: at(2_000), ..request(Some(session), Some("user-7")) };
        let opened = store.open(request).await.expect("open");
        assert_eq!((opened.turn_count, opened.recent.len()), (turns, turns as usize * 2), "{session}");
        let answered = store.answered(&TenantId::default(), &session.into(), "m1").await.expect("readable");
        assert_eq!(answered.is_some(), turns == 1, "{session}");
    }
    assert!(
        store.interaction(None, &interaction_id(1)).await.expect("readable").is_some(),
        "the record stays"
    );
    // The id may be used again; nothing of the old conversation comes back.
    store.record(session_turn("ses_old", 5_000)).await.expect("written");
    let request = SessionRequest { now: at(5_001), ..request(Some("ses_old"), Some("user-7")) };
    let opened = store.open(request).await.expect("open");
    assert_eq!((opened.turn_count, opened.recent.len()), (1, 2));
}

pub(crate) async fn expiry_of_many(engine: &impl Engine) {
    const N: u64 = 1_300;
    let store = engine.open();
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..N {
        let store = std::sync::Arc::clone(&store);
        let interaction = Interaction { retention: Retention::Session(HOUR), ..interaction(n) };
        writers.spawn(async move { store.record(FinishedTurn { interaction, session: None }).await });
    }
    for end in writers.join_all().await {
        end.expect("written");
    }
    assert_eq!(store.expire(at(N).after(HOUR * 2)).await.expect("written"), N);
    assert_eq!(store.expire(at(N).after(HOUR * 2)).await.expect("written"), 0);
}
