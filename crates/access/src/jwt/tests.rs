//! Every way in which a token may be wrong, and the one in which it is right.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use domain::ports::BoxFuture;
use domain::principal::Role;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;

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
}

impl KeySource for Published {
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        self.n_asked.fetch_add(1, Ordering::Relaxed);
        let keys = self.keys.lock().clone();
        Box::pin(async move {
            keys.map(|keys| json!({ "keys": keys }).to_string().into_bytes()).ok_or_else(|| "away".to_owned())
        })
    }
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
    if let Some(issuer) = tokens.wanted(token, Moment::default()) {
        issuer.fetch(Moment::default()).await;
    }
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
    tokens.wanted(&right, Moment::default()).expect("no key is known").fetch(Moment::default()).await;
    let principal = tokens.check(&right, NOW).expect("right");
    assert_eq!(principal.asker.tenant.as_str(), "shop");
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
    let now = Moment(Duration::from_secs(601));
    tokens.wanted(&token, now).expect("old keys are fetched again").fetch(now).await;
    assert_eq!(tokens.check(&token, NOW), Err(Denied::Token("its issuer has no such key")));
}

#[tokio::test]
async fn an_issuer_is_asked_now_and_then_and_its_keys_outlive_it() {
    let (signer, published) = (Signer::new(), Published::default());
    let token = signer.sign(&json!({ "alg": "ES256", "kid": "one" }), &claims());
    let tokens = prepared(&token, &published).await;
    assert_eq!(tokens.check(&token, NOW), Err(Denied::IssuerAway));
    assert!(tokens.wanted(&token, Moment(Duration::from_secs(29))).is_none(), "asked a moment ago");
    *published.keys.lock() = Some(vec![signer.jwk("one")]);
    let now = Moment(Duration::from_secs(30));
    let issuer = tokens.wanted(&token, now).expect("it may be asked");
    // A hundred at once ask once.
    futures_util::future::join_all((0..100).map(|_| issuer.fetch(now))).await;
    assert_eq!(published.n_asked.load(Ordering::Relaxed), 2);
    assert!(tokens.check(&token, NOW).is_ok());
    let unknown = signer.sign(&json!({ "alg": "ES256", "kid": "made up" }), &claims());
    for second in 31..60 {
        assert!(tokens.wanted(&unknown, Moment(Duration::from_secs(second))).is_none(), "{second}");
    }
    *published.keys.lock() = None;
    let now = Moment(Duration::from_secs(700));
    tokens.wanted(&token, now).expect("they are old").fetch(now).await;
    assert!(tokens.check(&token, NOW).is_ok(), "what is known stays");
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
