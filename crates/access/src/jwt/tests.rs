//! Every way in which a token may be wrong, and the one in which it is right.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use domain::ports::BoxFuture;
use domain::principal::Role;
use futures_util::FutureExt;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;
use testkit::ManualClock;

use super::issuer::{Config, KeySource};
use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);
const NOW_S: i64 = 1_800_000_000;

struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        Self(pair.expect("its own key"))
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).expect("signed");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn jwk(&self, id: &str) -> Value {
        let point = self.0.public_key().as_ref();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "x": part(&point[1..33]), "y": part(&point[33..]) })
    }
}

#[derive(Clone, Default)]
struct Published {
    keys: Arc<Mutex<Option<Vec<Value>>>>,
    n_asked: Arc<AtomicU32>,
    /// It answers when this says so.
    gate: Arc<Mutex<Option<tokio::sync::watch::Receiver<bool>>>>,
}

impl KeySource for Published {
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        self.n_asked.fetch_add(1, Ordering::Relaxed);
        let (keys, gate) = (self.keys.lock().clone(), self.gate.lock().clone());
        Box::pin(async move {
            if let Some(mut gate) = gate {
                gate.wait_for(|is_open| *is_open).await.expect("the test opens it");
            }
            keys.map(|keys| json!({ "keys": keys }).to_string().into_bytes()).ok_or_else(|| "away".to_owned())
        })
    }
}

/// A clock that stands at this second.
fn at(second: u64) -> ManualClock {
    let clock = ManualClock::new();
    clock.advance(Duration::from_secs(second));
    clock
}

fn config(algorithms: &[&str]) -> Config {
    let roles = [("staff", "app"), ("admins", "admin")];
    Config {
        issuer: "https://login.example/".to_owned(),
        audience: vec!["mainstay".to_owned()],
        jwks_uri: "https://login.example/jwks".to_owned(),
        allow_private: false,
        algorithms: algorithms.iter().map(|name| (*name).to_owned()).collect(),
        groups_claim: "groups".to_owned(),
        tenant: "acme".to_owned(),
        tenant_claim: None,
        agents: None,
        models: None,
        routes: None,
        addresses: None,
        residency: None,
        roles: roles
            .map(|(group, role)| (group.to_owned(), role.to_owned()))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
    }
}

fn tokens(published: &Published, algorithms: &[&str]) -> Tokens {
    of(config(algorithms), published)
}

fn of(config: Config, published: &Published) -> Tokens {
    let issuer = Issuer::new("corp".to_owned(), config, Box::new(published.clone()));
    Tokens::new(vec![issuer.expect("valid")])
}

fn claims() -> Value {
    json!({ "iss": "https://login.example/", "aud": "mainstay", "sub": "ada", "exp": NOW_S + 300, "groups": ["staff"] })
}

async fn prepared(token: &str, published: &Published) -> Tokens {
    let tokens = tokens(published, &["ES256"]);
    // Without keys the check says what is wrong.
    let _ = tokens.prepare(token, &ManualClock::new()).await;
    tokens
}

type Case = (&'static str, String, Option<&'static str>);

/// Each token must be taken as Ada's, or refused with these words.
async fn check(signer: &Signer, cases: &[Case]) {
    let published = Published::default();
    *published.keys.lock() = Some(vec![signer.jwk("one"), Signer::new().jwk("two")]);
    let right = signer.sign(&json!({ "alg": "ES256", "kid": "one" }), &claims());
    for (what, token, want) in cases {
        let tokens = prepared(&right, &published).await;
        let found = tokens.check(token, NOW);
        match want {
            None => {
                let principal = found.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(principal.asker.key.as_str(), "corp/ada", "{what}");
                assert_eq!((principal.role, principal.asker.tenant.as_str()), (Role::App, "acme"), "{what}");
            }
            Some(want) => {
                let error = found.expect_err(what).to_string();
                assert!(error.contains(want), "{what}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn a_token_is_taken_only_when_all_its_claims_are_right() {
    let signer = Signer::new();
    let header = json!({ "alg": "ES256", "kid": "one" });
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        signer.sign(&header, &claims)
    };
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().expect("an object").remove(name);
        signer.sign(&header, &claims)
    };
    let cases = [
        ("right", signer.sign(&header, &claims()), None),
        ("in its leeway", with("exp", json!(NOW_S - 59)), None),
        ("begins in its leeway", with("nbf", json!(NOW_S + 59)), None),
        ("one of several audiences", with("aud", json!(["other", "mainstay"])), None),
        ("over", with("exp", json!(NOW_S - 60)), Some("expired")),
        ("not yet", with("nbf", json!(NOW_S + 61)), Some("not come yet")),
        ("made in the future", with("iat", json!(NOW_S + 61)), Some("not come yet")),
        ("without an end", without("exp"), Some("when it ends")),
        ("an end in words", with("exp", json!("tomorrow")), Some("no number")),
        ("for others", with("aud", json!("other")), Some("someone else")),
        ("for nobody", without("aud"), Some("someone else")),
        ("of another issuer", with("iss", json!("https://login.example")), Some("not known")),
        ("of no issuer", without("iss"), Some("not known")),
        ("of nobody", without("sub"), Some("whose it is")),
        ("of no group", without("groups"), Some("has a role")),
        ("of another group", with("groups", json!(["guests"])), Some("has a role")),
        ("a role of its own", with("role", json!("owner")), None),
    ];
    check(&signer, &cases).await;
}

#[tokio::test]
async fn a_token_is_taken_only_when_its_issuer_signed_it_as_agreed() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let right = signer.sign(&json!({ "alg": "ES256", "kid": "one" }), &claims());
    let headed = |header: Value| signer.sign(&header, &claims());
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let public_key_as_secret = {
        let signed = format!("{}.{}", encode(&json!({ "alg": "HS256", "kid": "one" })), encode(&claims()));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, signer.0.public_key().as_ref());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, signed.as_bytes())))
    };
    let unsigned = format!("{}.{}.", encode(&json!({ "alg": "none" })), encode(&claims()));
    let own_key = stranger.sign(
        &json!({ "alg": "ES256", "kid": "mine", "jwk": stranger.jwk("mine"), "jku": "https://evil.example/jwks" }),
        &claims(),
    );
    let by_stranger = stranger.sign(&json!({ "alg": "ES256", "kid": "one" }), &claims());
    let (signed, _) = right.rsplit_once('.').expect("three parts");
    let cases = [
        ("another's signature", by_stranger, Some("signature is wrong")),
        ("another's key by its own word", own_key, Some("no such key")),
        ("another key's name", headed(json!({ "alg": "ES256", "kid": "two" })), Some("signature is wrong")),
        ("no key's name", headed(json!({ "alg": "ES256" })), Some("which key")),
        ("another algorithm", headed(json!({ "alg": "ES384", "kid": "one" })), Some("algorithm")),
        ("no algorithm", unsigned, Some("algorithm")),
        ("the public key as a secret", public_key_as_secret, Some("algorithm")),
        ("an extension", headed(json!({ "alg": "ES256", "kid": "one", "crit": ["exp"] })), Some("extension")),
        ("changed", right.replacen('.', ".e", 1), Some("cannot be read")),
        ("no signature", format!("{signed}."), Some("signature is wrong")),
        ("nothing", "..".to_owned(), Some("cannot be read")),
        ("long", format!("{right}{}", "A".repeat(20_000)), Some("too long")),
    ];
    check(&signer, &cases).await;
}

#[tokio::test]
async fn the_widest_role_of_several_groups_counts() {
    let (signer, published) = (Signer::new(), Published::default());
    *published.keys.lock() = Some(vec![signer.jwk("one")]);
    let mut claims = claims();
    claims["groups"] = json!(["guests", "staff", "admins"]);
    let token = signer.sign(&json!({ "alg": "ES256" }), &claims);
    let tokens = prepared(&token, &published).await;
    assert_eq!(tokens.check(&token, NOW).expect("right").role, Role::Admin);
}

#[tokio::test]
async fn a_token_asks_for_the_tenant_it_names_and_for_what_its_issuer_may_use() {
    let (signer, published) = (Signer::new(), Published::default());
    *published.keys.lock() = Some(vec![signer.jwk("one")]);
    let with = |tenant: Value| {
        let mut claims = claims();
        claims["org"] = tenant;
        signer.sign(&json!({ "alg": "ES256" }), &claims)
    };
    let tokens = of(
        Config {
            tenant_claim: Some("org".to_owned()),
            models: Some(vec!["openai/*".to_owned()]),
            addresses: Some(vec!["10.0.0.0/8".to_owned()]),
            ..config(&["ES256"])
        },
        &published,
    );
    let right = with(json!("shop"));
    tokens.prepare(&right, &ManualClock::new()).await.expect("fetched");
    let principal = tokens.check(&right, NOW).expect("right");
    assert_eq!(principal.asker.tenant.as_str(), "shop");
    let other = tokens.check(&with(json!("other")), NOW).expect("right").asker.clone();
    assert_ne!(principal.asker.key, other.key, "another tenant's Ada is counted by herself");
    for asker in [&principal.asker, &other] {
        assert_eq!(tokens.tenant_of(&asker.key).as_ref(), Some(&asker.tenant));
    }
    for stranger in ["corp/ada", "corps/shop/ada", "corp", "8fK2mQ7xWz1B"] {
        assert_eq!(tokens.tenant_of(&stranger.into()), None, "{stranger}");
    }
    assert!(principal.grant.models.allows("openai/x") && !principal.grant.models.allows("other/x"));
    assert!(principal.grant.agents.allows("any"));
    assert!(principal.grant.allows_address([10, 1, 2, 3].into()));
    assert!(!principal.grant.allows_address([192, 0, 2, 1].into()));
    for wrong in [Value::Null, json!(""), json!("Shop One"), json!(["shop"]), json!(7)] {
        let error = tokens.check(&with(wrong.clone()), NOW).expect_err("no tenant");
        assert_eq!(error, Denied::Token("it does not name a tenant"), "{wrong}");
    }
}

#[tokio::test]
async fn of_two_issuers_with_one_name_the_audience_tells() {
    let (signer, published) = (Signer::new(), Published::default());
    *published.keys.lock() = Some(vec![signer.jwk("one")]);
    let issuer = |name: &str, audience: &str| {
        let config =
            Config { audience: vec![audience.to_owned()], tenant: name.to_owned(), ..config(&["ES256"]) };
        Issuer::new(name.to_owned(), config, Box::new(published.clone())).expect("valid")
    };
    let tokens = Tokens::new(vec![issuer("staff", "mainstay"), issuer("partners", "portal")]);
    for (audience, want) in [
        (json!("mainstay"), Ok("staff")),
        (json!(["portal", "third"]), Ok("partners")),
        (json!(["portal", "mainstay"]), Err(Denied::Token("it is meant for two issuers"))),
        (json!("other"), Err(Denied::Token("it is meant for someone else"))),
    ] {
        let mut claims = claims();
        claims["aud"] = audience.clone();
        let token = signer.sign(&json!({ "alg": "ES256" }), &claims);
        tokens.prepare(&token, &ManualClock::new()).await.expect("fetched");
        let found = tokens.check(&token, NOW);
        let tenant = found.as_ref().map(|principal| principal.asker.tenant.as_str());
        assert_eq!(tenant, want.as_ref().copied(), "{audience}");
    }
}

#[test]
fn a_token_begins_with_an_object() {
    for header in [
        r#"{"alg":"ES256"}"#,
        r#"{ "alg":"ES256"}"#,
        "{\n \"alg\":\"ES256\"}",
        "{\t\"alg\":\"ES256\"}",
        "{\r\n}",
    ] {
        assert!(is_meant(&format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header))), "{header}");
    }
    for key in ["a.long.bootstrap-key-0123456789abcdef", "eyJhbGciOiJFUzI1NiJ9.e30", "sk-ms-1.2.3", ""] {
        assert!(!is_meant(key), "{key}");
    }
}

#[tokio::test]
async fn what_a_token_spends_is_seen_in_its_tenant_and_by_owners() {
    let issuer = Issuer::new("corp".to_owned(), config(&["ES256"]), Box::new(Published::default()));
    let keeper =
        crate::doubles::with_issuers(&Arc::new(ManualClock::new()), vec![issuer.expect("valid")]).await;
    let by = |tenant: &str, role| {
        let asker = Asker { tenant: tenant.into(), key: "one".into() };
        Principal { asker, role, ..Principal::clone(&Principal::open()) }
    };
    for (principal, key, want) in [
        (by("acme", Role::Admin), "corp/ada", true),
        (by("blue", Role::Admin), "corp/ada", false),
        (by("blue", Role::Owner), "corp/ada", true),
        (by("blue", Role::Owner), "other/ada", false),
        (by("acme", Role::Admin), "ada", false),
    ] {
        assert_eq!(keeper.sees(&principal, &key.into()), want, "{principal:?} {key}");
    }
    assert!(!keeper.keeps(&"corp/ada".into()));
}

#[tokio::test]
async fn a_token_that_held_is_remembered_no_longer_than_it_lives_and_its_key_is_there() {
    let (signer, published) = (Signer::new(), Published::default());
    *published.keys.lock() = Some(vec![signer.jwk("one")]);
    let token = signer.sign(&json!({ "alg": "ES256", "kid": "one" }), &claims());
    let tokens = prepared(&token, &published).await;
    let later = |seconds: i64| Timestamp(NOW.0 + seconds * 1_000_000);
    let first = tokens.check(&token, NOW).expect("right");
    assert!(Arc::ptr_eq(&first, &tokens.check(&token, later(359)).expect("remembered")));
    assert!(tokens.check(&token, later(360)).is_err(), "it is over");
    // The issuer takes its key back.
    *published.keys.lock() = Some(vec![Signer::new().jwk("two")]);
    tokens.prepare(&token, &at(601)).await.expect("old keys are fetched again");
    assert_eq!(tokens.check(&token, NOW), Err(Denied::Token("its issuer has no such key")));
}

#[tokio::test]
async fn an_issuer_is_asked_now_and_then_and_its_keys_outlive_it() {
    let (signer, published) = (Signer::new(), Published::default());
    let token = signer.sign(&json!({ "alg": "ES256", "kid": "one" }), &claims());
    let tokens = prepared(&token, &published).await;
    assert_eq!(tokens.check(&token, NOW), Err(Denied::IssuerAway));
    assert_eq!(tokens.prepare(&token, &at(1)).await, Err(Denied::IssuerAway), "asked a moment ago");
    assert_eq!(published.n_asked.load(Ordering::Relaxed), 1);
    *published.keys.lock() = Some(vec![signer.jwk("one")]);
    // A hundred at once ask once, and each gets the answer.
    let now = at(2);
    let all = futures_util::future::join_all((0..100).map(|_| tokens.prepare(&token, &now))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(published.n_asked.load(Ordering::Relaxed), 2);
    assert!(tokens.check(&token, NOW).is_ok());
    let unknown = signer.sign(&json!({ "alg": "ES256", "kid": "made up" }), &claims());
    for second in 3..32 {
        let told = tokens.prepare(&unknown, &at(second)).await;
        assert_eq!(told, Err(Denied::IssuerAway), "{second}");
        assert!(!tokens.is_to_prepare(&token, at(second).now()), "what is known waits for nothing");
    }
    assert_eq!(published.n_asked.load(Ordering::Relaxed), 2, "once in half a minute");
    // Whoever asked and was told so knows.
    assert_eq!(tokens.prepare(&unknown, &at(32)).await, Ok(()));
    assert_eq!(tokens.check(&unknown, NOW), Err(Denied::Token("its issuer has no such key")));
    assert_eq!(published.n_asked.load(Ordering::Relaxed), 3);
    *published.keys.lock() = None;
    tokens.prepare(&token, &at(700)).await.expect("they are old, and serve on");
    assert_eq!(published.n_asked.load(Ordering::Relaxed), 4);
    assert!(
        !tokens.is_to_prepare(&token, at(729).now()),
        "who is known does not wait for an issuer that is away"
    );
    assert!(tokens.check(&token, NOW).is_ok(), "what is known stays");
}

/// What a future says when it is asked once.
fn now_or_not<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    future.now_or_never()
}

#[tokio::test]
async fn a_fetch_under_way_is_waited_for_and_outlives_who_began_it() {
    let (signer, published) = (Signer::new(), Published::default());
    *published.keys.lock() = Some(vec![signer.jwk("one")]);
    let (gate, waiting) = tokio::sync::watch::channel(false);
    *published.gate.lock() = Some(waiting);
    let token = |kid: &str| signer.sign(&json!({ "alg": "ES256", "kid": kid }), &claims());
    let (right, unknown) = (token("one"), token("made up"));
    let (tokens, now) = (tokens(&published, &["ES256"]), at(0));
    let mut first = Box::pin(tokens.prepare(&unknown, &now));
    assert_eq!(now_or_not(&mut first), None, "the issuer takes its time");
    let mut all: Vec<_> = (0..10).map(|_| Box::pin(tokens.prepare(&right, &now))).collect();
    assert!(all.iter_mut().all(|one| now_or_not(one).is_none()), "they wait");
    // A stranger comes, and goes.
    drop(first);
    gate.send_replace(true);
    for one in all {
        assert_eq!(one.await, Ok(()));
    }
    assert!(tokens.check(&right, NOW).is_ok());
    assert_eq!(published.n_asked.load(Ordering::Relaxed), 1);

    // A new key, and again strangers first: they hold up nobody whose key is known.
    published.keys.lock().as_mut().expect("keys").push(signer.jwk("two"));
    gate.send_replace(false);
    let (later, rotated) = (at(31), token("two"));
    let mut stranger = Box::pin(tokens.prepare(&unknown, &later));
    assert_eq!(now_or_not(&mut stranger), None);
    assert_eq!(now_or_not(&mut Box::pin(tokens.prepare(&right, &later))), Some(Ok(())));
    let mut joined = Box::pin(tokens.prepare(&rotated, &later));
    assert_eq!(now_or_not(&mut joined), None);
    gate.send_replace(true);
    assert_eq!((joined.await, stranger.await), (Ok(()), Ok(())));
    assert!(tokens.check(&rotated, NOW).is_ok());
    assert_eq!(published.n_asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_key_that_was_taken_back_is_not_kept_alive_by_those_who_leave() {
    let (signer, published) = (Signer::new(), Published::default());
    *published.keys.lock() = Some(vec![signer.jwk("one")]);
    let token = |kid: &str| signer.sign(&json!({ "alg": "ES256", "kid": kid }), &claims());
    let (old, unknown) = (token("one"), token("made up"));
    let tokens = prepared(&old, &published).await;
    *published.keys.lock() = Some(vec![Signer::new().jwk("two")]);
    let (gate, waiting) = tokio::sync::watch::channel(false);
    *published.gate.lock() = Some(waiting);
    let now = at(601);
    assert_eq!(now_or_not(&mut Box::pin(tokens.prepare(&unknown, &now))), None, "and it leaves");
    assert!(tokens.is_to_prepare(&old, now.now()));
    assert_eq!(now_or_not(&mut Box::pin(tokens.prepare(&old, &now))), Some(Ok(())), "it does not wait");
    assert!(tokens.check(&old, NOW).is_ok());
    gate.send_replace(true);
    assert_eq!(now_or_not(&mut Box::pin(tokens.prepare(&old, &now))), Some(Ok(())));
    assert_eq!(tokens.check(&old, NOW), Err(Denied::Token("its issuer has no such key")));
    assert_eq!(published.n_asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_fetch_that_nobody_waited_for_is_begun_anew() {
    let (signer, published) = (Signer::new(), Published::default());
    let (gate, waiting) = tokio::sync::watch::channel(false);
    *published.gate.lock() = Some(waiting);
    let token = signer.sign(&json!({ "alg": "ES256", "kid": "one" }), &claims());
    let tokens = tokens(&published, &["ES256"]);
    assert_eq!(now_or_not(&mut Box::pin(tokens.prepare(&token, &at(0)))), None, "and it leaves");
    *published.keys.lock() = Some(vec![signer.jwk("one")]);
    gate.send_replace(true);
    assert_eq!(tokens.prepare(&token, &at(6)).await, Ok(()));
    assert!(tokens.check(&token, NOW).is_ok());
    assert_eq!(published.n_asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_token_waits_for_keys_no_longer_than_its_caller() {
    let (signer, published, clock) = (Signer::new(), Published::default(), Arc::new(ManualClock::new()));
    let (_gate, waiting) = tokio::sync::watch::channel(false);
    *published.gate.lock() = Some(waiting);
    let issuer = Issuer::new("corp".to_owned(), config(&["ES256"]), Box::new(published.clone()));
    let keeper = crate::doubles::with_issuers(&clock, vec![issuer.expect("valid")]).await;
    let token = signer.sign(&json!({ "alg": "ES256", "kid": "one" }), &claims());
    assert!(keeper.is_to_prepare(&token));
    let mut waits = Box::pin(keeper.prepare(&token, Moment(Duration::from_secs(1))));
    assert_eq!(now_or_not(&mut waits), None);
    clock.advance(Duration::from_secs(1));
    assert_eq!(waits.await, Err(Denied::IssuerAway));
}

#[test]
fn settings_that_would_take_anyone_are_refused() {
    let of = |change: fn(&mut Config)| {
        let mut config = config(&["ES256"]);
        change(&mut config);
        config.validate().err().map(|(key, _)| key)
    };
    assert_eq!(of(|_| ()), None);
    assert_eq!(of(|config| config.audience.clear()), Some("audience"));
    assert_eq!(of(|config| config.roles.clear()), Some("roles"));
    assert_eq!(of(|config| config.issuer.clear()), Some("issuer"));
    assert_eq!(of(|config| config.tenant = "Two Words".to_owned()), Some("tenant"));
    assert_eq!(of(|config| config.models = Some(vec!["*/gpt".to_owned()])), Some("models"));
    assert_eq!(of(|config| config.addresses = Some(vec!["10.0.0.1/8".to_owned()])), Some("addresses"));
    assert_eq!(of(|config| config.residency = Some(vec!["the moon".to_owned()])), Some("residency"));
    assert_eq!(of(|config| config.algorithms = vec!["none".to_owned()]), Some("algorithms"));
    assert_eq!(of(|config| config.algorithms = vec!["HS256".to_owned()]), Some("algorithms"));
    assert_eq!(
        of(|config| {
            config.roles.insert("x".to_owned(), "root".to_owned());
        }),
        Some("roles")
    );
}
