//! Signed tokens of an issuer at the real server: whose budgets they use, and who sees them.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use testkit::{Behaviour, Upstream};

use crate::client::{Request, Response};
use crate::dialects::Dialect;
use crate::folder::{Folder, KEY_VARIABLE};
use crate::server::{Server, Start};

const ISSUER: &str = "https://login.example/";

/// Who makes tokens, and publishes the key to them on loopback.
struct Issuer {
    pair: EcdsaKeyPair,
    address: SocketAddr,
}

impl Issuer {
    fn start() -> Self {
        let random = SystemRandom::new();
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        let pair = pair.expect("its own key");
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let point = pair.public_key().as_ref();
        let key = json!({
            "kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "x": part(&point[1..33]), "y": part(&point[33..]),
        });
        let keys = json!({ "keys": [key] }).to_string();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        // It ends with the test program.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                if lines.any(|line| line.is_empty()) {
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                        keys.len()
                    );
                    let _ = (&stream).write_all((head + &keys).as_bytes());
                }
            }
        });
        Self { pair, address }
    }

    /// A token of `sub` in `org`, for five minutes.
    fn token(&self, (sub, org, group): (&str, &str, &str)) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let claims = json!({
            "iss": ISSUER, "aud": "mainstay", "sub": sub, "org": org, "groups": [group], "exp": now + 300,
        });
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&json!({ "alg": "ES256", "kid": "one" })), encode(&claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("signed");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn send(server: &Server, token: &str, request: Request) -> Response {
    server.send(&request.header("authorization", &format!("Bearer {token}")))
}

/// What the budgets say that `token` sees: whose they are, and what each has spent.
fn budgets(server: &Server, token: &str) -> Vec<(String, String)> {
    let listed = send(server, token, Request::get("/admin/v1/budgets"));
    assert_eq!(listed.status, 200, "{}", listed.text());
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let listed = listed.json();
    let listed = listed["budgets"].as_array().expect("a list").iter();
    listed.map(|entry| (text(&entry["id"]), text(&entry["budgets"][0]["spent_usd"]))).collect()
}

#[test]
fn a_tokens_budget_is_its_own_in_its_tenant_and_outlives_a_restart() {
    let (issuer, upstream) = (Issuer::start(), Upstream::start(Behaviour::default()));
    let settings = format!(
        "schema = 1\n[providers.one]\nkind = \"openai\"\nbase_url = \"{}\"\nkey = \"env::{KEY_VARIABLE}\"\n\
         allow_private = true\n[models.\"one/alpha\"]\nprice_input_per_million = 1000\n\
         price_output_per_million = 1000\n[[routes.standard.tiers]]\nname = \"primary\"\n\
         targets = [{{ model = \"one/alpha\" }}]\n[limits.key]\nbudget = [\"1000/day\"]\n\
         [auth.issuers.corp]\nissuer = \"{ISSUER}\"\naudience = [\"mainstay\"]\njwks_uri = \"http://{}/jwks\"\n\
         allow_private = true\nalgorithms = [\"ES256\"]\ngroups_claim = \"groups\"\ntenant_claim = \"org\"\n\
         [auth.issuers.corp.roles]\nstaff = \"app\"\nadmins = \"admin\"\n",
        upstream.base_url(),
        issuer.address,
    );
    let config = Folder::with_settings(&settings);
    let start = Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) };
    let token = |sub, org, group| issuer.token((sub, org, group));
    let (ada, other_ada) = (token("ada", "acme", "staff"), token("ada", "globex", "staff"));
    let (admin, other_admin) = (token("eve", "acme", "admins"), token("bob", "globex", "admins"));

    let mut server = start.serve();
    assert_eq!(send(&server, "no.such.token", Dialect::Chat.ask_whole("one/alpha")).status, 401);
    for who in [&ada, &ada, &other_ada] {
        let reply = send(&server, who, Dialect::Chat.ask_whole("one/alpha"));
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let own = |spent: &[(String, String)], name: &str| {
        spent.iter().find(|(id, _)| id == name).map(|(_, spent)| spent.clone())
    };
    let seen = budgets(&server, &admin);
    let spent = own(&seen, "corp/acme/ada").unwrap_or_else(|| panic!("{seen:?}"));
    assert!(seen.iter().all(|(id, _)| !id.contains("globex")), "{seen:?}");
    let seen_there = budgets(&server, &other_admin);
    let spent_there = own(&seen_there, "corp/globex/ada").unwrap_or_else(|| panic!("{seen_there:?}"));
    let dollars = |text: &str| text.parse::<f64>().expect("a decimal");
    assert!(dollars(&spent_there) > 0.0, "{seen_there:?}");
    assert!((dollars(&spent) - 2.0 * dollars(&spent_there)).abs() < 1e-9, "{seen:?} {seen_there:?}");
    // One of the staff sees none, and no admin another tenant's.
    assert_eq!(send(&server, &ada, Request::get("/admin/v1/budgets")).status, 403);
    let path = "/admin/v1/budgets/key/corp%2Fglobex%2Fada";
    assert_eq!(send(&server, &admin, Request::get(path)).status, 404);
    server.terminate();
    server.wait_exit(Duration::from_secs(20)).expect("it stops");

    let server = start.serve();
    assert_eq!(own(&budgets(&server, &admin), "corp/acme/ada"), Some(spent));
    let path = "/admin/v1/budgets/key/corp%2Facme%2Fada";
    let anew = send(&server, &admin, Request::post(&format!("{path}/reset"), "{}"));
    assert_eq!((anew.status, &anew.json()["budgets"][0]["spent_usd"]), (200, &json!("0")), "{}", anew.text());
}
