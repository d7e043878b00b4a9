//! Nobody hands out more than it has, and nobody is locked out by mistake.

use std::sync::Arc;

use futures_util::future::{join, join_all};
use testkit::{ManualClock, MemoryKeys};

use super::*;
use crate::denied::Denied;
use crate::doubles::gatekeeper;

struct House {
    store: Arc<MemoryKeys>,
    clock: Arc<ManualClock>,
    keeper: Gatekeeper,
}

impl House {
    /// With an owner's key.
    async fn new() -> (Self, Arc<Principal>) {
        let (store, clock) = (Arc::new(MemoryKeys::default()), Arc::new(ManualClock::new()));
        let keeper = gatekeeper(&store, &clock, None).await;
        let house = Self { store, clock, keeper };
        let first = house.keeper.mint(&Principal::open(), wish(Role::Owner)).await.expect("the first key");
        let owner = house.keeper.check(first.secret.expose()).expect("usable");
        (house, owner)
    }

    async fn make(&self, by: &Principal, wanted: Wanted) -> (Minted, Arc<Principal>) {
        let minted = self.keeper.mint(by, wanted).await.expect("minted");
        let principal = self.keeper.check(minted.secret.expose()).expect("usable");
        (minted, principal)
    }

    /// What comes of `change` while time goes on.
    async fn in_time<T>(&self, change: impl Future<Output = T>) -> T {
        let ticking = async {
            loop {
                tokio::task::yield_now().await;
                self.clock.advance(Duration::from_millis(100));
            }
        };
        tokio::select! {
            biased;
            result = change => result,
            () = ticking => unreachable!("time does not end"),
        }
    }
}

fn wish(role: Role) -> Wanted {
    Wanted { name: "of a test".to_owned(), role: Some(role), ..Wanted::default() }
}

fn list(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

#[tokio::test]
async fn the_first_key_is_a_whole_owner_and_closes_the_door() {
    let (store, clock) = (Arc::new(MemoryKeys::default()), Arc::new(ManualClock::new()));
    let keeper = gatekeeper(&store, &clock, None).await;
    assert!(keeper.is_open());
    let later = Some(Timestamp(i64::MAX));
    for wanted in [
        wish(Role::App),
        wish(Role::Admin),
        Wanted { expires: later, ..wish(Role::Owner) },
        Wanted { models: list(&["a/b"]), ..wish(Role::Owner) },
    ] {
        let error = keeper.mint(&Principal::open(), wanted).await.expect_err("refused");
        assert!(matches!(error, MintError::Conflict(_)), "{error}");
    }
    assert!(keeper.is_open());
    let made = keeper.mint(&Principal::open(), wish(Role::Owner)).await.expect("made");
    assert!(!keeper.is_open());
    assert_eq!(keeper.check(made.secret.expose()).expect("usable").asker.key, made.key.id);
    // With a key in the configuration there is a way back in.
    let keeper = gatekeeper(&Arc::default(), &clock, Some(&"b".repeat(40))).await;
    assert!(!keeper.is_open());
    let owner = keeper.check(&"b".repeat(40)).expect("an owner");
    keeper.mint(&owner, wish(Role::App)).await.expect("made");
}

#[tokio::test]
async fn a_key_does_no_more_than_its_maker() {
    let (house, owner) = House::new().await;
    let soon = house.clock_after(100);
    let networks = vec![Network::parse("10.0.0.0/8").expect("a network")];
    let limited = Wanted {
        tenant: Some("acme".into()),
        agents: list(&["general"]),
        models: list(&["openai/*"]),
        routes: list(&["standard"]),
        addresses: Some(networks.clone()),
        expires: Some(soon),
        ..wish(Role::Admin)
    };
    let (_, admin) = house.make(&owner, limited).await;
    let everywhere = vec![Network::parse("0.0.0.0/0").expect("a network")];
    for (wanted, want) in [
        (wish(Role::Owner), "an admin cannot make keys for an owner"),
        (wish(Role::Operator), "an admin cannot make keys for an operator"),
        (Wanted { tenant: Some("default".into()), ..wish(Role::App) }, "another tenant"),
        (Wanted { agents: list(&["general", "other"]), ..wish(Role::App) }, "must be among those"),
        (Wanted { models: list(&["*"]), ..wish(Role::App) }, "must be among those"),
        (Wanted { routes: list(&["deep"]), ..wish(Role::App) }, "must be among those"),
        (Wanted { addresses: Some(everywhere), ..wish(Role::App) }, "must be among those"),
        (Wanted { expires: Some(house.clock_after(101)), ..wish(Role::App) }, "ends no later"),
    ] {
        let error = house.keeper.mint(&admin, wanted.clone()).await.expect_err("refused");
        assert!(matches!(error, MintError::Beyond(_)), "{wanted:?}: {error}");
        assert!(error.to_string().contains(want), "{wanted:?}: {error}");
    }
    // What is left out is as the maker's own.
    let (made, app) = house.make(&admin, Wanted { role: None, ..wish(Role::App) }).await;
    assert_eq!((app.role, &app.grant, &app.asker.tenant), (Role::App, &admin.grant, &"acme".into()));
    assert_eq!((made.key.expires, made.key.created_by), (Some(soon), admin.asker.key.clone()));
    let error = house.keeper.mint(&app, wish(Role::App)).await.expect_err("an app makes no keys");
    assert!(matches!(error, MintError::Beyond(_)), "{error}");
    let narrower = Wanted { models: list(&["openai/gpt"]), agents: list(&[]), ..wish(Role::Auditor) };
    house.make(&admin, narrower).await;
}

impl House {
    fn clock_after(&self, seconds: u64) -> Timestamp {
        use domain::ports::Clock;
        self.clock.wall().after(Duration::from_secs(seconds))
    }
}

#[tokio::test]
async fn wishes_that_make_no_sense_are_refused() {
    let (house, owner) = House::new().await;
    for wanted in [
        Wanted { name: String::new(), ..wish(Role::App) },
        Wanted { name: "a\nb".to_owned(), ..wish(Role::App) },
        Wanted { name: "x".repeat(101), ..wish(Role::App) },
        Wanted { tenant: Some("".into()), ..wish(Role::App) },
        Wanted { tenant: Some("Ac me".into()), ..wish(Role::App) },
        Wanted { tenant: Some("x".repeat(65).into()), ..wish(Role::App) },
        Wanted { models: list(&["a*b"]), ..wish(Role::App) },
        Wanted { models: list(&[""]), ..wish(Role::App) },
        Wanted { models: Some(vec!["x".to_owned(); 201]), ..wish(Role::App) },
        Wanted { expires: Some(house.clock_after(0)), ..wish(Role::App) },
    ] {
        let error = house.keeper.mint(&owner, wanted.clone()).await.expect_err("refused");
        assert!(matches!(error, MintError::Wrong(_)), "{wanted:?}: {error}");
    }
    assert_eq!(house.store.set.lock().keys.len(), 1);
}

#[tokio::test]
async fn a_rotated_key_goes_on_for_the_overlap() {
    let (house, owner) = House::new().await;
    let (old, _) = house.make(&owner, wish(Role::App)).await;
    let overlap = Duration::from_secs(60);
    let new = house.keeper.rotate(&owner, &old.key.id, overlap).await.expect("rotated");
    assert_eq!(new.key.replaces, Some(old.key.id.clone()));
    assert_ne!(new.secret.expose(), old.secret.expose());
    for (seconds, of_old, of_new) in [(0, None, None), (59, None, None), (1, Some(Denied::Expired), None)] {
        house.clock.advance(Duration::from_secs(seconds));
        assert_eq!(house.keeper.check(old.secret.expose()).err(), of_old, "old, {seconds} s later");
        assert_eq!(house.keeper.check(new.secret.expose()).err(), of_new, "new, {seconds} s later");
    }
    let error = house.keeper.rotate(&owner, &old.key.id, overlap).await.expect_err("it has ended");
    assert!(matches!(error, MintError::Conflict(_)), "{error}");
    let long = Duration::from_hours(31 * 24);
    let error = house.keeper.rotate(&owner, &new.key.id, long).await.expect_err("too long");
    assert!(matches!(error, MintError::Wrong(_)), "{error}");
    let at_once = house.keeper.rotate(&owner, &new.key.id, Duration::ZERO).await.expect("rotated");
    assert_eq!(house.keeper.check(new.secret.expose()), Err(Denied::Expired));
    assert!(house.keeper.check(at_once.secret.expose()).is_ok());
}

#[tokio::test]
async fn a_limited_key_does_not_get_at_one_that_may_do_more() {
    let (house, owner) = House::new().await;
    let (_, limited) = house.make(&owner, Wanted { models: list(&["a/b"]), ..wish(Role::Admin) }).await;
    let (wide, _) = house.make(&owner, wish(Role::App)).await;
    let own = owner.asker.key.clone();
    let error = house.keeper.rotate(&limited, &wide.key.id, Duration::ZERO).await.expect_err("wider");
    assert!(matches!(error, MintError::Beyond(_)), "{error}");
    for error in [
        house.keeper.revoke(&limited, &own).await.err(),
        house.keeper.rotate(&limited, &own, Duration::ZERO).await.err(),
    ] {
        assert!(matches!(error, Some(MintError::Beyond(_))), "{error:?}");
    }
}

#[tokio::test]
async fn another_tenants_keys_are_not_there() {
    let (house, owner) = House::new().await;
    let of = |tenant: &str| Wanted { tenant: Some(tenant.into()), ..wish(Role::Admin) };
    let (acme, admin) = house.make(&owner, of("acme")).await;
    let (blue, _) = house.make(&owner, of("blue")).await;
    for result in [
        house.keeper.revoke(&admin, &blue.key.id).await.map(drop),
        house.keeper.rotate(&admin, &blue.key.id, Duration::ZERO).await.map(drop),
        house.keeper.revoke(&admin, &"NoSuchKey000".into()).await.map(drop),
    ] {
        assert!(matches!(result, Err(MintError::Unknown(_))), "{result:?}");
    }
    let seen: Vec<_> = house.keeper.keys(&admin).into_iter().map(|key| key.id).collect();
    assert_eq!(seen, [acme.key.id]);
    assert_eq!(house.keeper.keys(&owner).len(), 3);
}

#[tokio::test]
async fn the_last_owner_stays() {
    let (house, owner) = House::new().await;
    let first = owner.asker.key.clone();
    let error = house.keeper.revoke(&owner, &first).await.expect_err("the last one");
    assert!(matches!(error, MintError::Conflict(_)), "{error}");
    let passing = Wanted { expires: Some(house.clock_after(9)), ..wish(Role::Owner) };
    house.make(&owner, passing).await;
    assert!(house.keeper.revoke(&owner, &first).await.is_err(), "the other one ends by itself");
    let (other, _) = house.make(&owner, wish(Role::Owner)).await;
    let revoked = house.keeper.revoke(&owner, &first).await.expect("another one is there");
    house.clock.advance(Duration::from_secs(5));
    let again = house.keeper.revoke(&owner, &first).await.expect("changes nothing");
    assert_eq!(again.revoked, revoked.revoked);
    assert!(house.keeper.revoke(&owner, &other.key.id).await.is_err());
}

#[tokio::test]
async fn what_is_revoked_is_refused_at_once_also_in_another_process() {
    let (house, owner) = House::new().await;
    let (made, _) = house.make(&owner, wish(Role::App)).await;
    let other = gatekeeper(&house.store, &house.clock, None).await;
    let key = made.secret.expose();
    assert!(other.check(key).is_ok());
    assert_eq!(other.signer(made.key.id.as_str()).expect("it signs").0, made.signing_secret);
    house.keeper.revoke(&owner, &made.key.id).await.expect("revoked");
    assert_eq!(house.keeper.check(key), Err(Denied::Revoked));
    *house.store.is_away.lock() = true;
    assert!(other.refresh().await.is_err());
    assert!(other.check(key).is_ok(), "what is known goes on serving");
    *house.store.is_away.lock() = false;
    let watching = other.watch();
    let waiting = async {
        while house.clock.n_sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        house.clock.advance(Duration::from_millis(600));
        while other.check(key).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = watching => unreachable!("it watches for ever"),
        () = waiting => {}
    }
    assert_eq!(other.check(key), Err(Denied::Revoked));
    assert!(other.signer(made.key.id.as_str()).is_none());
}

#[tokio::test]
async fn changes_of_others_come_first_and_nothing_is_lost() {
    let (house, owner) = House::new().await;
    *house.store.outdated.lock() = 3;
    let (made, _) = house.in_time(house.make(&owner, wish(Role::App))).await;
    assert_eq!(house.store.set.lock().keys.last(), Some(&made.key));
    *house.store.outdated.lock() = u32::MAX;
    let minting = house.keeper.mint(&owner, wish(Role::App));
    let error = house.in_time(minting).await.expect_err("never its turn");
    assert!(matches!(error, MintError::Conflict(_)), "{error}");
    assert_eq!(house.store.set.lock().keys.len(), 2);
}

#[tokio::test]
async fn changes_of_one_process_never_lose_against_each_other() {
    let (house, owner) = House::new().await;
    let (victim, _) = house.make(&owner, wish(Role::App)).await;
    *house.store.is_slow.lock() = true;
    let minting = join_all((0..40).map(|_| house.keeper.mint(&owner, wish(Role::App))));
    let revoking = house.keeper.revoke(&owner, &victim.key.id);
    let (minted, revoked) = house.in_time(join(minting, revoking)).await;
    assert!(minted.iter().all(Result::is_ok), "{minted:?}");
    revoked.expect("revoked");
    assert_eq!(house.store.set.lock().keys.len(), 42);
}

#[tokio::test]
async fn keys_that_ended_make_room() {
    let (house, owner) = House::new().await;
    let (_, admin) = house.make(&owner, Wanted { tenant: Some("acme".into()), ..wish(Role::Admin) }).await;
    let (first, _) = house.make(&admin, wish(Role::App)).await;
    let copies = |revoked: Option<Timestamp>, n: usize| {
        let first = first.key.clone();
        (0..n).map(move |copy| Key { id: format!("{copy}-{revoked:?}").into(), revoked, ..first.clone() })
    };
    {
        let mut set = house.store.set.lock();
        set.keys.extend(copies(None, room::TENANT_KEYS_MAX - 2));
        set.keys.extend(copies(Some(Timestamp(7)), room::TENANT_ENDED_MAX));
    }
    for error in [
        house.keeper.mint(&admin, wish(Role::App)).await.err(),
        house.keeper.rotate(&admin, &first.key.id, Duration::ZERO).await.err(),
    ] {
        assert!(matches!(error, Some(MintError::Conflict(_))), "{error:?}");
    }
    house.make(&owner, wish(Role::App)).await;
    // The one that ended last is kept in place of one that did first.
    house.keeper.revoke(&admin, &first.key.id).await.expect("revoked");
    assert_eq!(house.keeper.check(first.secret.expose()), Err(Denied::Revoked));
    let n_ended = house.store.set.lock().keys.iter().filter(|key| key.revoked.is_some()).count();
    assert_eq!(n_ended, room::TENANT_ENDED_MAX);
    assert_eq!(house.keeper.keys(&owner), house.store.set.lock().keys, "and the keys in memory are those");
    house.make(&admin, wish(Role::App)).await;
}

#[tokio::test]
async fn nothing_that_is_kept_holds_a_key() {
    let (house, owner) = House::new().await;
    let (made, _) = house.make(&owner, wish(Role::App)).await;
    let kept = format!("{:?} {made:?}", house.store.set.lock());
    let secret = made.secret.expose().rsplit('-').next().expect("a secret");
    assert!(!kept.contains(secret) && !kept.contains(made.signing_secret.expose()), "{kept}");
}
