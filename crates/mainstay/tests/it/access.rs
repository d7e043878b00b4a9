//! Keys, roles and tenants in the real binary, and what it leaves behind on disk.

use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Request, Response};
use crate::folder::Folder;
use crate::server::{BINARY, Server, Start};

fn cli(server: &Server, key: Option<&str>, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(BINARY);
    command.current_dir(folder.path()).args(arguments).args(["--url", &server.url()]);
    command.env_remove("MAINSTAY_KEY").envs(key.map(|key| ("MAINSTAY_KEY", key)));
    command.output().expect("the binary was built")
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn make(server: &Server, key: Option<&str>, more: &[&str]) -> String {
    let output = cli(server, key, &[&["keys", "create", "--name", "of a test"], more].concat());
    assert!(output.status.success(), "{}", words(&output));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

pub(crate) fn with(request: Request, key: &str) -> Request {
    request.header("authorization", &format!("Bearer {key}"))
}

fn get(server: &Server, key: &str, path: &str) -> Response {
    server.send(&with(Request::get(path), key))
}

fn ask(server: &Server, key: &str, session: Option<&str>) -> Value {
    let body = json!({ "query": "Is my deposit FDIC insured?", "session_id": session });
    let response = server.send(&with(Request::post("/query", body.to_string()), key));
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

#[test]
fn the_first_key_closes_the_door_and_keys_outlive_a_restart() {
    let start = Start::plain();
    let mut server = start.serve();
    server.query("Is my deposit insured?");
    let refused = cli(&server, None, &["keys", "create", "--name", "shop"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(words(&refused).contains("the first key must be an owner's"), "{}", words(&refused));
    let owner = make(&server, None, &["--role", "owner"]);
    let negative = cli(&server, Some(&owner), &["keys", "create", "--name", "x", "--budget", "-1/day"]);
    assert!(words(&negative).contains("`-1/day` is no budget"), "{}", words(&negative));
    for round in 0..2 {
        assert_eq!(server.post("/query", &json!({ "query": "x" })).status, 401, "round {round}");
        assert_eq!(server.get("/health/live").expect("a reply").status, 200);
        assert_eq!(server.get("/health/ready").expect("a reply").status, 200);
        assert_eq!(server.get("/metrics").expect("a reply").status, 401, "also for this machine itself");
        assert_eq!(server.get("/openapi.json").expect("a reply").status, 401);
        for name in
            ["authorization", "x-api-key", "x-goog-api-key", "api-key", "x-litellm-api-key", "x-bf-vk"]
        {
            let value = if name == "authorization" { format!("Bearer {owner}") } else { owner.clone() };
            let response = server.send(&Request::get("/admin/v1/keys").header(name, &value));
            assert_eq!(response.status, 200, "{name}: {}", response.text());
        }
        // With a key any host may be named.
        let named = with(Request::get("/v1/models"), &owner).header("host", "models.example");
        assert_eq!(server.send(&named).status, 200);
        server.terminate();
        server.wait_exit(Duration::from_secs(20)).expect("it stops");
        server = start.serve();
    }
    assert!(server.log().contains("keys exist: whoever asks needs one"));
    for (key, code, want) in [(None, 2, "send a key"), (Some(owner.as_str()), 0, "owner of tenant `default`")]
    {
        let output = cli(&server, key, &["keys", "list"]);
        assert_eq!(output.status.code(), Some(code), "{}", words(&output));
        assert!(words(&output).contains(want), "{}", words(&output));
    }
    let output = cli(&server, None, &["breakers", "list", "--key", &owner]);
    assert!(output.status.success(), "{}", words(&output));
}

#[test]
fn roles_and_grants_hold_in_the_whole_server() {
    let server = Start::plain().serve();
    let owner = make(&server, None, &["--role", "owner"]);
    let app = make(&server, Some(&owner), &["--agent", "general", "--model", "openai/*"]);
    let auditor = make(&server, Some(&owner), &["--role", "auditor"]);
    let generate = |use_case: &str| {
        Request::post("/generate", json!({ "prompt": "Hi", "use_case": use_case }).to_string())
    };
    let chat = |model: &str| {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hi" }] });
        Request::post("/v1/chat/completions", body.to_string())
    };
    for (request, key, want) in [
        (generate("general"), &app, 200),
        (generate("compliance"), &app, 403),
        (generate("general"), &auditor, 403),
        (chat("agent:general"), &app, 200),
        (chat("agent:compliance"), &app, 403),
        (chat("embedded/default"), &app, 403),
        (Request::get("/admin/v1/interactions"), &app, 403),
        (Request::get("/admin/v1/interactions"), &auditor, 200),
        (Request::get("/admin/v1/keys"), &auditor, 200),
        (Request::post("/admin/v1/keys", r#"{"name":"x"}"#), &auditor, 403),
        (Request::post("/admin/v1/keys", r#"{"name":"x","user_role":"owner"}"#), &owner, 400),
        (Request::get("/admin/v1/breakers"), &auditor, 403),
        (Request::get("/health/deep"), &owner, 200),
    ] {
        let response = server.send(&with(request.clone(), key));
        assert_eq!(response.status, want, "{request:?}: {}", response.text());
    }
    let models = get(&server, &app, "/v1/models").json();
    let names: Vec<&str> =
        models["data"].as_array().expect("a list").iter().filter_map(|model| model["id"].as_str()).collect();
    assert_eq!(names, ["agent:general"]);
    for response in [server.send(&with(chat("nobody"), &app)), get(&server, &app, "/v1/models/nobody")] {
        let told = response.text();
        assert!(told.contains("known are `agent:general`\"") && !told.contains("compliance"), "{told}");
    }
}

#[test]
fn one_tenant_sees_nothing_of_another() {
    let server = Start::plain().serve();
    let owner = make(&server, None, &["--role", "owner"]);
    let of = |tenant: &str| make(&server, Some(&owner), &["--role", "admin", "--tenant", tenant]);
    let (acme, blue) = (of("acme"), of("blue"));
    let asked = ask(&server, &acme, None);
    let (id, session) = (asked["interaction_id"].as_str().expect("an id"), asked["session_id"].as_str());
    let record = get(&server, &acme, &format!("/admin/v1/interactions/{id}")).json();
    assert_eq!((&record["tenant"], record["key"].as_str().map(str::len)), (&json!("acme"), Some(12)));
    // Another tenant with the same session's id gets a conversation of its own.
    let foreign = ask(&server, &blue, session);
    assert_ne!(foreign["session_id"].as_str(), session);
    assert_eq!(ask(&server, &acme, session)["session_id"].as_str(), session);
    let key_of = |key: &str| key[6..18].to_owned();
    let feedback = json!({ "interaction_id": id, "rating": 5 }).to_string();
    let requests = |key: &str| {
        [
            with(Request::get(&format!("/admin/v1/interactions/{id}")), key),
            with(Request::post("/feedback", feedback.as_str()), key),
            with(Request::get(&format!("/admin/v1/keys/{}", key_of(&acme))), key),
            with(Request::post(&format!("/admin/v1/keys/{}/rotate?overlap=1h", key_of(&acme)), ""), key),
            with(Request::get(&format!("/admin/v1/keys/{}", key_of(&acme))).method("DELETE"), key),
        ]
    };
    for request in requests(&blue) {
        let response = server.send(&request);
        assert_eq!(response.status, 404, "{request:?}: {}", response.text());
    }
    for (path, list) in
        [("/admin/v1/interactions", "interactions"), ("/feedback", "feedback"), ("/admin/v1/keys", "keys")]
    {
        let listed = |key: &str| get(&server, key, path).json()[list].as_array().expect("a list").len();
        let count = (listed(&acme), listed(&blue), listed(&owner));
        let want = match list {
            "interactions" => (2, 1, 3),
            "feedback" => (0, 0, 0),
            _ => (1, 1, 3),
        };
        assert_eq!(count, want, "{path}");
    }
    for request in &requests(&acme)[..4] {
        let response = server.send(request);
        assert!(response.status < 300, "{request:?}: {}", response.text());
    }
    // An id of another tenant takes as long as one that never was.
    let fastest = |path: &str| {
        let one = |_| {
            let began = Instant::now();
            assert_eq!(get(&server, &blue, path).status, 404);
            began.elapsed()
        };
        (0..200).map(one).min().expect("some")
    };
    let theirs = fastest(&format!("/admin/v1/interactions/{id}"));
    let nobodys = fastest(&format!("/admin/v1/interactions/{}", id.replace(&id[8..12], "0000")));
    let (least, most) = (theirs.min(nobodys), theirs.max(nobodys));
    assert!(most < least.mul_f64(1.25) + Duration::from_micros(30), "{theirs:?} {nobodys:?}");
}

#[test]
fn a_key_that_another_process_revoked_is_refused_within_a_second() {
    let shared = tempfile::tempdir().expect("a temporary folder");
    let settings = |base: &str| {
        let database = shared.path().join("shared.db");
        format!(
            "{base}\n[storage]\nurl = \"sqlite:{}\"\n[auth]\npepper = \"env::TEST_PEPPER\"\n",
            database.display()
        )
    };
    let folder = Folder::without_articles();
    let base = folder.read("mainstay.toml");
    let base: String = base.split("[storage]").next().expect("a beginning").to_owned()
        + base.split_once("[storage]").map_or("", |(_, rest)| rest.find("\n[").map_or("", |at| &rest[at..]));
    folder.write("mainstay.toml", &settings(&base));
    let folder = Arc::new(folder);
    let start = || {
        let environment = vec![("TEST_PEPPER", "p".repeat(40))];
        Start { environment, ..Start::with(&folder) }.serve()
    };
    let (one, other) = (start(), start());
    let owner = make(&one, None, &["--role", "owner"]);
    let app = make(&one, Some(&owner), &[]);
    other.wait_until("the other process knows the key", || {
        (get(&other, &app, "/v1/models").status == 200).then_some(())
    });
    let output = cli(&one, Some(&owner), &["keys", "revoke", &app[6..18]]);
    assert!(output.status.success(), "{}", words(&output));
    let revoked = Instant::now();
    assert_eq!(get(&one, &app, "/v1/models").status, 401, "at once where it was revoked");
    let seen = loop {
        let response = get(&other, &app, "/v1/models");
        if response.status == 401 {
            assert!(response.text().contains("revoked"), "{}", response.text());
            break revoked.elapsed();
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(seen <= Duration::from_secs(1), "{seen:?}");
}

#[test]
fn another_address_is_opened_only_when_keys_exist() {
    let listen = |start: &Start, key: Option<&str>| {
        let folder = Folder::without_articles();
        let settings = folder.read("mainstay.toml");
        if key.is_some() {
            folder
                .write("mainstay.toml", &format!("{settings}\n[auth]\nbootstrap_key = \"env::TEST_KEY\"\n"));
        }
        let mut command = Command::new(BINARY);
        command.current_dir(start.data.path()).args(["serve", "--model", "none", "--listen", "0.0.0.0:0"]);
        command.arg("--data").arg(start.data()).arg("--config").arg(folder.path());
        command.envs(key.map(|key| ("TEST_KEY", key)));
        let mut child = command.stderr(std::process::Stdio::piped()).spawn().expect("the binary was built");
        let stderr = child.stderr.take().expect("a pipe");
        let mut said = String::new();
        for line in std::io::BufRead::lines(std::io::BufReader::new(stderr)).map_while(Result::ok) {
            said += &line;
            if line.contains("answers on") {
                break;
            }
        }
        let _ = child.kill();
        let _ = child.wait();
        said
    };
    let start = Start::plain();
    let said = listen(&start, None);
    assert!(said.contains("no key exists yet"), "{said}");
    assert!(listen(&start, Some(&"k".repeat(31))).contains("32 letters at least"));
    assert!(listen(&start, Some(&"k".repeat(32))).contains("answers on"));
    let server = start.serve();
    make(&server, None, &["--role", "owner"]);
    drop(server);
    assert!(listen(&start, None).contains("answers on"), "a key exists");
}

/// Canaries: whatever is sent as a key must not be found again anywhere.
#[test]
fn no_key_is_found_in_logs_database_or_replies() {
    let start = Start { log: "trace", ..Start::plain() };
    let server = start.serve();
    let owner = make(&server, None, &["--role", "owner"]);
    let app = make(&server, Some(&owner), &[]);
    let canary = "sk-ms-CanaryCanary-CanaryCanaryCanaryCanaryCanaryCanaryCanaryCanary";
    let mut replies = String::new();
    for key in [owner.as_str(), &app, canary, "Canary.Canary.Canary", "sk-live-CanaryCanary"] {
        for request in [
            Request::post("/query", r#"{"query":"Is my deposit insured?"}"#),
            Request::post("/v1/chat/completions", r#"{"model":"x"}"#),
            Request::post("/generate", "{"),
            Request::get("/admin/v1/keys"),
            Request::get("/nowhere"),
        ] {
            replies += &server.send(&with(request.clone(), key)).text();
            replies += &server.send(&request.header("x-api-key", key)).text();
        }
    }
    replies += &get(&server, &owner, "/metrics").text();
    let rotated = server
        .send(&with(Request::post(&format!("/admin/v1/keys/{}/rotate", &app[6..18]), ""), &owner))
        .json();
    let secret = |key: &str| key.rsplit('-').next().expect("a secret").to_owned();
    let hunted = [
        secret(&owner),
        secret(&app),
        secret(rotated["key"].as_str().expect("a key")),
        rotated["aws"]["secret_access_key"].as_str().expect("a secret").to_owned(),
        "CanaryCanary".to_owned(),
        "Canary.Canary".to_owned(),
    ];
    let log = server.log();
    drop(server);
    let mut places = vec![("log".to_owned(), log.into_bytes()), ("replies".to_owned(), replies.into_bytes())];
    for entry in std::fs::read_dir(start.data()).expect("the data folder").flatten() {
        if entry.path().is_file() {
            places.push((entry.path().display().to_string(), std::fs::read(entry.path()).expect("readable")));
        }
    }
    assert!(places.iter().any(|(place, _)| place.ends_with("mainstay.db")), "the database is looked into");
    for (place, bytes) in &places {
        for hunted in &hunted {
            let found = bytes.windows(hunted.len()).any(|window| window == hunted.as_bytes());
            assert!(!found, "{place} holds {hunted}");
        }
    }
}
