//! Who may continue which conversation, and what a turn does to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::id::TenantId;
use domain::session::{Session, SessionRequest};
use tokio::task::JoinSet;

use super::samples::{HOUR, LATENCY, START, at, interaction_id, request, session_turn};
use super::{Engine, Ports};

async fn open(store: &Arc<dyn Ports>, session: Option<&str>, user: Option<&str>) -> Session {
    store.open(request(session, user)).await.expect("open")
}

fn new(user: Option<&str>) -> Session {
    Session {
        id: "ses_new".into(),
        user_id: user.map(str::to_owned),
        created: at(60),
        turn_count: 0,
        clarifications: 0,
        recent: Vec::new(),
    }
}

pub(crate) async fn new_without_id(engine: &impl Engine) {
    let store = engine.open();
    for user in [None, Some("user-7"), Some("")] {
        assert_eq!(open(&store, None, user).await, new(user));
    }
    // A session that was only opened is not written.
    assert_eq!(open(&store, Some("ses_new"), None).await.turn_count, 0);
}

pub(crate) async fn continues_with_messages(engine: &impl Engine) {
    let store = engine.open();
    let (mut first, second) = (session_turn("ses_1", 1), session_turn("ses_1", 2));
    first.session.as_mut().expect("a session").clarifications = 2;
    store.record(first.clone()).await.expect("written");
    assert_eq!(open(&store, Some("ses_1"), Some("user-7")).await.clarifications, 2);
    store.record(second.clone()).await.expect("written");
    let messages = [first, second].map(|turn| turn.session.expect("a session").messages);
    let want = Session {
        id: "ses_1".into(),
        user_id: Some("user-7".to_owned()),
        created: START,
        turn_count: 2,
        clarifications: 0,
        recent: messages.concat(),
    };
    assert_eq!(open(&store, Some("ses_1"), Some("user-7")).await, want);
}

pub(crate) async fn unknown_or_expired_is_new(engine: &impl Engine) {
    let store = engine.open();
    store.record(session_turn("ses_1", 1)).await.expect("written");
    let expires = at(1).after(LATENCY).after(HOUR);
    let just_before = domain::time::Timestamp(expires.0 - 1);
    for (session, now, continued) in [
        ("ses_unknown", at(60), false),
        ("", at(60), false),
        ("ses_1", just_before, true),
        ("ses_1", expires, false),
    ] {
        let request = SessionRequest { now, ..request(Some(session), Some("user-7")) };
        let opened = store.open(request).await.expect("open");
        assert_eq!(opened.id.as_str(), if continued { "ses_1" } else { "ses_new" }, "{session} {now:?}");
        assert_eq!(opened.recent.is_empty(), !continued);
    }
}

pub(crate) async fn foreign_user_gets_a_new_one(engine: &impl Engine) {
    let store = engine.open();
    store.record(session_turn("ses_1", 1)).await.expect("written");
    for user in [None, Some("user-8"), Some(""), Some("USER-7"), Some("user-7 ")] {
        assert_eq!(open(&store, Some("ses_1"), user).await, new(user), "{user:?}");
    }
}

pub(crate) async fn unclaimed_is_claimed(engine: &impl Engine) {
    let store = engine.open();
    let mut anonymous = session_turn("ses_1", 1);
    anonymous.session.as_mut().expect("a session").user_id = None;
    store.record(anonymous).await.expect("written");
    assert_eq!(open(&store, Some("ses_1"), None).await.user_id, None);
    let claimed = open(&store, Some("ses_1"), Some("user-7")).await;
    assert_eq!((claimed.id.as_str(), claimed.user_id.as_deref()), ("ses_1", Some("user-7")));
    store.record(session_turn("ses_1", 2)).await.expect("written");
    for (user, turns) in [(Some("user-7"), 2), (None, 0), (Some("user-8"), 0)] {
        assert_eq!(open(&store, Some("ses_1"), user).await.turn_count, turns, "{user:?}");
    }
}

pub(crate) async fn another_users_turn_does_not_touch_it(engine: &impl Engine) {
    let store = engine.open();
    store.record(session_turn("ses_1", 1)).await.expect("written");
    let before = open(&store, Some("ses_1"), Some("user-7")).await;
    for (n, user) in [(2, None), (3, Some("user-8".to_owned()))] {
        let mut foreign = session_turn("ses_1", n);
        let session = foreign.session.as_mut().expect("a session");
        (session.user_id, session.message_id) = (user, Some("m1".to_owned()));
        store.record(foreign).await.expect("the interaction is kept");
        assert!(store.interaction(None, &interaction_id(n)).await.expect("readable").is_some());
    }
    assert_eq!(open(&store, Some("ses_1"), Some("user-7")).await, before);
    assert_eq!(store.answered(&TenantId::default(), &"ses_1".into(), "m1").await.expect("readable"), None);
}

pub(crate) async fn message_id_is_answered_once(engine: &impl Engine) {
    let store = engine.open();
    let message = |session: &str, n, id: &str| {
        let mut turn = session_turn(session, n);
        turn.session.as_mut().expect("a session").message_id = Some(id.to_owned());
        turn
    };
    let first = message("ses_1", 1, "m1");
    // The second raced with the first; the others are other messages, one with an empty id.
    for turn in [first.clone(), message("ses_1", 2, "m1"), message("ses_2", 3, "m1"), message("ses_1", 4, "")]
    {
        store.record(turn).await.expect("written");
    }
    for (session, id, want) in [
        ("ses_1", "m1", Some(1)),
        ("ses_2", "m1", Some(3)),
        ("ses_1", "", Some(4)),
        ("ses_1", "m2", None),
        ("ses_2", "", None),
    ] {
        let answered = store.answered(&TenantId::default(), &session.into(), id).await.expect("readable");
        assert_eq!(answered.map(|interaction| interaction.id), want.map(interaction_id), "{session} {id}");
    }
    let session = open(&store, Some("ses_1"), Some("user-7")).await;
    assert_eq!((session.turn_count, session.recent.len()), (2, 4), "the conversation holds a message once");
}

pub(crate) async fn recent_are_the_last(engine: &impl Engine) {
    let store = engine.open();
    for n in 1..=4 {
        store.record(session_turn("ses_1", n)).await.expect("written");
    }
    for (messages_max, want) in
        [(0, vec![]), (1, vec!["answer 4"]), (3, vec!["answer 3", "question 4", "answer 4"])]
    {
        let request = SessionRequest { messages_max, ..request(Some("ses_1"), Some("user-7")) };
        let recent = store.open(request).await.expect("open").recent;
        let texts: Vec<&str> = recent.iter().map(|message| message.text.as_str()).collect();
        assert_eq!(texts, want);
    }
}

pub(crate) async fn late_turn_does_not_shorten_it(engine: &impl Engine) {
    let store = engine.open();
    store.record(session_turn("ses_1", 1_000)).await.expect("written");
    let mut late = session_turn("ses_1", 1);
    late.session.as_mut().expect("a session").ttl = Duration::from_secs(1);
    store.record(late).await.expect("written");
    assert_eq!(open(&store, Some("ses_1"), Some("user-7")).await.turn_count, 2);
}

pub(crate) async fn never_half_a_turn(engine: &impl Engine) {
    const N_TURNS: u32 = 60;
    let store = engine.open();
    let done = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for _ in 0..2 {
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        tasks.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let request =
                    SessionRequest { messages_max: 1_000, ..request(Some("ses_1"), Some("user-7")) };
                let session = store.open(request).await.expect("open");
                let n_messages = usize::try_from(session.turn_count).expect("few") * 2;
                assert_eq!(session.recent.len(), n_messages);
                if let Some(last) = session.recent.last() {
                    assert!(store.interaction(None, &last.interaction).await.expect("readable").is_some());
                }
            }
        });
    }
    for n in 0..N_TURNS {
        store.record(session_turn("ses_1", u64::from(n))).await.expect("written");
    }
    done.store(true, Ordering::Relaxed);
    tasks.join_all().await;
    assert_eq!(open(&store, Some("ses_1"), Some("user-7")).await.turn_count, N_TURNS);
}
