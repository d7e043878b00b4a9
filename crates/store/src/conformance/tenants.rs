//! What one tenant does, another never sees.

use domain::feedback::FeedbackFilter;
use domain::id::TenantId;
use domain::interaction::{FinishedTurn, InteractionFilter};
use domain::session::SessionRequest;

use super::Engine;
use super::samples::{feedback, interaction_id, request, session_turn};

fn turn_of(tenant: &str, session: &str, n: u64) -> FinishedTurn {
    let mut turn = session_turn(session, n);
    turn.interaction.asker.tenant = tenant.into();
    if let Some(session) = &mut turn.session {
        session.tenant = tenant.into();
        session.message_id = Some(format!("m{n}"));
    }
    turn
}

pub(crate) async fn see_only_their_own_turns(engine: &impl Engine) {
    let store = engine.open();
    let (acme, blue) = (TenantId::from("acme"), TenantId::from("blue"));
    store.record(turn_of("acme", "ses_1", 1)).await.expect("written");
    store.record(turn_of("blue", "ses_2", 2)).await.expect("written");
    for (tenant, n, want) in [
        (Some(&acme), 1, true),
        (Some(&blue), 1, false),
        (Some(&acme), 2, false),
        (None, 2, true),
        (Some(&acme), 3, false),
    ] {
        let found = store.interaction(tenant, &interaction_id(n)).await.expect("readable");
        assert_eq!(found.is_some(), want, "{tenant:?} {n}");
        let given = store.add_feedback(tenant, feedback(n, n)).await.expect("no error");
        assert_eq!(given, want, "{tenant:?} {n}");
    }
    for (tenant, want) in [(Some(acme), vec![1]), (Some(blue), vec![2]), (None, vec![2, 1])] {
        let filter = InteractionFilter { tenant: tenant.clone(), limit: 9, ..Default::default() };
        let listed = store.interactions(filter).await.expect("readable");
        let ids: Vec<_> = listed.into_iter().map(|found| found.id).collect();
        assert_eq!(ids, want.iter().map(|n| interaction_id(*n)).collect::<Vec<_>>(), "{tenant:?}");
        let filter = FeedbackFilter { tenant: tenant.clone(), limit: 9, ..Default::default() };
        let listed = store.feedback(filter).await.expect("readable");
        let about: Vec<_> = listed.into_iter().map(|found| found.interaction).collect();
        assert_eq!(about, ids, "{tenant:?}");
    }
}

pub(crate) async fn learn_nothing_by_anothers_cursor(engine: &impl Engine) {
    let store = engine.open();
    for (tenant, n) in [("blue", 1), ("acme", 2), ("blue", 3)] {
        store.record(turn_of(tenant, &format!("ses_{n}"), n)).await.expect("written");
    }
    for (tenant, before, want) in [
        (Some("blue"), 3, vec![1]),
        (Some("blue"), 2, vec![]),
        (Some("blue"), 9, vec![]), // as after what never was
        (None, 2, vec![1]),
        (None, 3, vec![2, 1]),
    ] {
        let before = Some(interaction_id(before));
        let filter =
            InteractionFilter { tenant: tenant.map(TenantId::from), before, limit: 9, ..Default::default() };
        let listed = store.interactions(filter.clone()).await.expect("readable");
        let ids: Vec<_> = listed.into_iter().map(|found| found.id).collect();
        assert_eq!(ids, want.into_iter().map(interaction_id).collect::<Vec<_>>(), "{filter:?}");
    }
}

pub(crate) async fn never_share_a_session(engine: &impl Engine) {
    let store = engine.open();
    store.record(turn_of("acme", "ses_1", 1)).await.expect("written");
    let ask =
        |tenant: &str| SessionRequest { tenant: tenant.into(), ..request(Some("ses_1"), Some("user-7")) };
    assert_eq!(store.open(ask("acme")).await.expect("opened").recent.len(), 2);
    let foreign = store.open(ask("blue")).await.expect("opened");
    assert_eq!((foreign.id.as_str(), foreign.recent.len()), ("ses_new", 0), "a new one");
    // Written all the same, as when the store was away before: the other tenant's conversation stays as it is.
    store.record(turn_of("blue", "ses_1", 2)).await.expect("written");
    let own = store.open(ask("acme")).await.expect("opened");
    assert_eq!((own.turn_count, own.recent.len()), (1, 2));
    for (tenant, message, want) in [("acme", "m1", true), ("blue", "m1", false), ("blue", "m2", false)] {
        let found = store.answered(&tenant.into(), &"ses_1".into(), message).await.expect("readable");
        assert_eq!(found.is_some(), want, "{tenant} {message}");
    }
}
