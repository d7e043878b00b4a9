//! The configuration folder while it is checked, served and changed; the data folder while it is in trouble.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::upstream::Answer;
use testkit::{Behaviour, Upstream};

use crate::folder::{Folder, KEY_VARIABLE, ladder};
use crate::server::{BINARY, Start, run, wait_for};

/// A change is served within this time.
const LIVE_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn check_finds_a_mistake_with_its_file_and_line() {
    let folder = Folder::without_articles();
    let path = folder.path().display().to_string();
    let output = run(&["check", &path]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("6 agents"), "{said}");

    #[rustfmt::skip]
    let table = [
        ("agents/general/agent.toml", "temperature = 0.0", "temperatur = 0.0", "agents/general/agent.toml:10", "temperatur"),
        ("agents/general/agent.toml", "route = \"standard\"", "route = \"nowhere\"", "agents/general/agent.toml:2", "nowhere"),
        ("agents/compliance/agent.toml", "retention = \"session\"", "retention = \"for ever\"", "agents/compliance/agent.toml:5", "for ever"),
        ("mainstay.toml", "durability = \"commit\"", "durability = \"sometimes\"", "mainstay.toml:13", "sometimes"),
        ("mainstay.toml", "schema = 1", "schema = [", "mainstay.toml:7", ""),
        ("contact.toml", "phone =", "fax =", "contact.toml:3", "fax"),
        ("agents/general/prompt.md", "{% endfor %}", "{% endfro %}", "agents/general/prompt.md:8", "endfro"),
        ("intents/intents.toml", "=", "==", "intents/intents.toml:", ""),
    ];
    for (file, from, to, place, named) in table {
        let before = folder.read(file);
        folder.change(file, from, to);
        let output = run(&["check", &path]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{file}: {said}");
        assert!(said.contains(place), "{file}: `{place}` is not in: {said}");
        assert!(said.contains(named), "{file}: `{named}` is not in: {said}");
        let output = run(&["check", "--json", &path]);
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!((&said["valid"], &said["problems"][0]["file"]), (&json!(false), &json!(file)), "{said}");
        assert!(said["problems"][0]["line"].is_u64(), "{said}");
        folder.write(file, &before);
    }
    let output = run(&["check", "/nowhere/at/all"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/at/all"));
}

#[test]
fn a_change_is_live_at_once_and_a_mistake_keeps_the_last_good_one() {
    let config = Arc::new(Folder::without_articles());
    let server = Start::with(&config).serve();
    let question = "Is my deposit FDIC insured, and up to how much?";
    let says =
        |text: &str| server.query(question)["response"].as_str().is_some_and(|said| said.contains(text));
    assert!(says("is not available at the moment"));
    let snapshot = server.part("configuration")["detail"].clone();

    config.change("agents/general/degraded.md", "is not available at the moment", "is having a rest");
    let began = Instant::now();
    assert!(wait_for(LIVE_WITHIN, || says("is having a rest").then_some(())).is_some(), "{}", server.log());
    assert!(began.elapsed() < LIVE_WITHIN);
    assert!(says("1-800-555-0142"), "contact and disclaimers stay");
    let snapshot_now = server.part("configuration")["detail"].clone();
    assert_ne!(snapshot, snapshot_now);

    let good = config.read("agents/general/agent.toml");
    config.write("agents/general/agent.toml", &good.replace("temperature", "temperatur"));
    config.change("agents/general/degraded.md", "is having a rest", "is gone");
    let seen = wait_for(LIVE_WITHIN, || server.log().contains("agents/general/agent.toml:10").then_some(()));
    assert!(seen.is_some(), "the mistake is not told: {}", server.log());
    assert!(server.log().contains("last good configuration goes on serving"), "{}", server.log());
    assert!(says("is having a rest"), "the last good one serves");
    let part = server.part("configuration");
    let detail = part["detail"].as_str().expect("text");
    assert_eq!(part["state"], "degraded");
    assert!(detail.starts_with(snapshot_now.as_str().expect("text")), "{detail}");
    assert!(detail.contains("agents/general/agent.toml:10"), "{detail}");

    config.write("agents/general/agent.toml", &good);
    assert!(wait_for(LIVE_WITHIN, || says("is gone").then_some(())).is_some(), "{}", server.log());
    assert_eq!(server.part("configuration")["state"], "ready");
}

#[test]
fn a_folder_that_takes_its_place_is_served_and_watched() {
    let config = Arc::new(Folder::without_articles());
    let server = Start::with(&config).serve();
    let says = |text: &str| {
        let said = || {
            let reply = server.query("Is my deposit FDIC insured?");
            reply["response"].as_str().is_some_and(|said| said.contains(text)).then_some(())
        };
        assert!(wait_for(LIVE_WITHIN, said).is_some(), "{text}: {}", server.log());
    };
    let beside = |name: &str| config.path().with_extension(name);
    let copied = Command::new("cp").arg("-r").args([config.path(), &beside("new")]).status();
    assert!(copied.expect("cp is there").success());
    std::fs::rename(config.path(), beside("old")).expect("renamed");
    std::fs::rename(beside("new"), config.path()).expect("renamed");
    config.change("agents/general/degraded.md", "is not available at the moment", "is having a rest");
    says("is having a rest");
    // Once it was served it is watched as the first one was.
    std::thread::sleep(LIVE_WITHIN);
    config.change("agents/general/degraded.md", "is having a rest", "is gone");
    says("is gone");
    std::fs::remove_dir_all(beside("old")).expect("removed");
}

#[test]
fn a_key_in_a_file_is_read_again_when_it_changes_and_waited_for_when_it_is_missing() {
    let upstream = Upstream::start(Behaviour::Answer(Answer::of("Ten dollars.")));
    let keys = tempfile::tempdir().expect("a folder");
    let (one, two) = (keys.path().join("one"), keys.path().join("two"));
    std::fs::write(&one, "key-a").expect("written");
    let with = |file: &std::path::Path| {
        let named = format!("file::{}", file.display());
        ladder(&[&upstream], "").replace(&format!("env::{KEY_VARIABLE}"), &named)
    };
    let config = Folder::with_settings(&with(&one));
    let server = Start::with(&config).serve();
    let body = json!({ "model": "one/alpha", "messages": [{ "role": "user", "content": "Hi" }] });
    let sends = |key: &str| {
        let sent = || {
            server.post("/v1/chat/completions", &body);
            let received = upstream.received();
            let sent = received.last().and_then(|last| last.header("authorization")).map(str::to_owned);
            (sent.as_deref() == Some(&format!("Bearer {key}"))).then_some(())
        };
        assert!(wait_for(Duration::from_secs(20), sent).is_some(), "{key}: {}", server.log());
    };
    sends("key-a");
    std::fs::write(&one, "key-b").expect("written");
    sends("key-b");
    // The change comes before the key that it names.
    config.write("mainstay.toml", &with(&two));
    let degraded = || (server.part("configuration")["state"] == "degraded").then_some(());
    assert!(wait_for(LIVE_WITHIN, degraded).is_some(), "{}", server.log());
    sends("key-b");
    std::fs::write(&two, "key-c").expect("written");
    sends("key-c");
    assert_eq!(server.part("configuration")["state"], "ready");
}

#[test]
fn a_provider_that_is_added_or_moved_is_called_at_once_and_named() {
    let [one, two] = ["first", "second"].map(|text| Upstream::start(Behaviour::Answer(Answer::of(text))));
    let config = Folder::with_settings(&ladder(&[&one], ""));
    let start = Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) };
    let server = start.serve();
    let says = |model: &str, text: &str| {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hi" }] });
        let response = server.post("/v1/chat/completions", &body);
        (response.status == 200 && response.text().contains(text)).then_some(())
    };
    assert!(says("one/alpha", "first").is_some() && says("two/beta", "").is_none());
    config.write("mainstay.toml", &ladder(&[&one, &two], ""));
    assert!(wait_for(LIVE_WITHIN, || says("two/beta", "second")).is_some(), "{}", server.log());
    assert!(says("one/alpha", "first").is_some());
    assert!(server.log().contains("called from now on: `two`"), "{}", server.log());
    // Both change places.
    config.write("mainstay.toml", &ladder(&[&two, &one], ""));
    assert!(wait_for(LIVE_WITHIN, || says("one/alpha", "second")).is_some(), "{}", server.log());
    // One whose key is nowhere is named, and the last good configuration goes on.
    config.write("mainstay.toml", &ladder(&[&one, &two], "").replace(KEY_VARIABLE, "MAINSTAY_TEST_NO_KEY"));
    let told = || server.log().contains("the change is refused: provider `one`").then_some(());
    assert!(wait_for(LIVE_WITHIN, told).is_some(), "{}", server.log());
    assert!(says("one/alpha", "second").is_some());
}

#[test]
fn limits_are_changed_while_it_serves_and_know_what_was_spent() {
    let upstream = Upstream::start(Behaviour::Answer(Answer::of("Ten dollars.")));
    let with = |limits: &str| ladder(&[&upstream], &format!("[limits.server]\n{limits}\n"));
    let config = Folder::with_settings(&ladder(&[&upstream], ""));
    let start = Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) };
    let server = start.serve();
    let body =
        json!({ "model": "one/alpha", "max_tokens": 9, "messages": [{ "role": "user", "content": "Hi" }] });
    let asked = || server.post("/v1/chat/completions", &body);
    assert_eq!(asked().status, 200);

    config.write("mainstay.toml", &with("rate = \"1/h\"\nburst = 2"));
    let refused = wait_for(LIVE_WITHIN, || Some(asked()).filter(|response| response.status == 429));
    let refused = refused.unwrap_or_else(|| panic!("it is not limited: {}", server.log()));
    assert!(refused.text().contains("faster than its limit"), "{}", refused.text());

    config.write("mainstay.toml", &with("budget = [\"100/total\"]"));
    let spent = wait_for(LIVE_WITHIN, || {
        let text = server.get("/admin/v1/budgets").ok()?.text();
        let list: serde_json::Value = serde_json::from_str(&text).ok()?;
        let spent = list["budgets"][0]["budgets"][0]["spent_usd"].as_str()?.parse::<f64>().ok()?;
        (spent > 0.0).then_some(spent)
    });
    assert!(
        spent.is_some(),
        "{}\n{}",
        server.get("/admin/v1/budgets").expect("a reply").text(),
        server.log()
    );
    assert_eq!(asked().status, 200, "the rate is gone");
    assert!(!server.log().contains("waits for a restart"), "{}", server.log());
}

#[test]
fn a_new_article_is_searchable_at_once() {
    const FACT: &str =
        "A Zanzibar voucher is valid for exactly 417 days after the day on which it was issued.";
    let upstream = Upstream::start(Behaviour::Answer(Answer::of(FACT)));
    let config = Folder::with_articles(&ladder(&[&upstream], ""));
    let start = Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) };
    let server = start.serve();
    let question = "How many days is a Zanzibar voucher valid after it was issued?";
    let before = server.query(question);
    assert_ne!(before["response"], FACT, "no article holds it: {before}");

    config.write(
        "knowledge/finance/zanzibar-vouchers.md",
        &format!(
            "---\ntitle: Zanzibar vouchers\nsource: House rules, section 1\nas_of: 2026\n---\n\
             Zanzibar vouchers are given to customers who open an account.\n\n## How long a voucher is valid\n{FACT} \
             An expired voucher cannot be renewed.\n"
        ),
    );
    let found = wait_for(LIVE_WITHIN, || {
        let reply = server.query(question);
        (reply["citations"][0]["document"] == "zanzibar-vouchers").then_some(reply)
    });
    let reply = found.unwrap_or_else(|| panic!("not found: {}\n{}", server.query(question), server.log()));
    assert_eq!(reply["outcome"], "answered", "{reply}");
}

#[test]
fn a_data_folder_has_one_server() {
    let start = Start::plain();
    let first = start.serve();
    let output = start.command(1).output().expect("the binary was built");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("another server uses the data folder"), "{said}");
    assert!(said.contains("--data"), "it does not say what to do: {said}");
    assert_eq!(first.get("/health/live").expect("it lives").status, 200);
}

#[test]
fn a_start_that_cannot_be_says_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("writable");
    let below_file = file.join("data").display().to_string();
    let crowded = folder.path().join("crowded");
    std::fs::create_dir_all(crowded.join("mainstay.db")).expect("writable");
    let garbage = folder.path().join("garbage");
    std::fs::create_dir_all(&garbage).expect("writable");
    std::fs::write(
        garbage.join("mainstay.db"),
        "this is no database, but a text of some length\n".repeat(100),
    )
    .expect("writable");
    let data = folder.path().join("data").display().to_string();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("bound").to_string();
    let no_config = folder.path().join("nothing").display().to_string();
    let no_key = Folder::without_articles();
    let provider = "\n[providers.one]\nkind = \"openai\"\nkey = \"env::MAINSTAY_KEY_OF_NOBODY\"\n";
    no_key.write("mainstay.toml", &(no_key.read("mainstay.toml") + provider));
    let no_key_path = no_key.path().display().to_string();
    let (crowded, garbage) = (crowded.display().to_string(), garbage.display().to_string());
    #[rustfmt::skip]
    let table: [(&str, Vec<&str>, Vec<&str>); 10] = [
        ("all addresses", vec!["--listen", "0.0.0.0:0"], vec!["0.0.0.0", "other machines"]),
        ("all IPv6 addresses", vec!["--listen", "[::]:0"], vec!["::", "other machines"]),
        ("no address", vec!["--listen", "nonsense"], vec!["nonsense", "listen"]),
        ("a taken port", vec!["--listen", &taken], vec!["could not listen", &taken]),
        ("a data folder that cannot be made", vec!["--data", &below_file], vec![&below_file]),
        ("a database that is a folder", vec!["--data", &crowded], vec!["mainstay.db"]),
        ("a database that is none", vec!["--data", &garbage], vec!["mainstay.db"]),
        ("no configuration", vec!["--config", &no_config], vec![&no_config]),
        ("a provider without its key", vec!["--config", &no_key_path], vec!["provider `one`", "env::MAINSTAY_KEY_OF_NOBODY is not set"]),
        ("no such model", vec!["--model", "gpt-9"], vec!["gpt-9", "--model"]),
    ];
    for (what, arguments, wanted) in table {
        let mut command = Command::new(BINARY);
        command.current_dir(folder.path()).args(["serve"]);
        for (name, default) in [("--listen", "127.0.0.1:0"), ("--data", &data), ("--model", "none")] {
            if !arguments.contains(&name) {
                command.args([name, default]);
            }
        }
        let mut child = command
            .args(&arguments)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let ended = wait_for(Duration::from_secs(20), || child.try_wait().expect("a child"));
        if ended.is_none() {
            child.kill().expect("a child");
        }
        let output = child.wait_with_output().expect("a child");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{what}: {said}");
        for part in wanted {
            assert!(said.contains(part), "{what}: `{part}` is not in: {said}");
        }
    }
}

#[test]
fn a_full_disk_stops_the_records_and_not_the_answers() {
    let start = Start::plain();
    // Files may grow to 1,000 blocks of 512 bytes: the database is soon full. (Linux ends a writer with SIGXFSZ, unless
    // that is ignored; then the write fails as it does on a full disk.)
    let server = start.launch_by(|port| {
        let served = start.command(port);
        let mut command = Command::new("sh");
        command.current_dir(start.data.path()).args([
            "-c",
            "trap '' XFSZ; ulimit -f 1000; exec \"$@\" 2>/dev/null",
            "sh",
        ]);
        command.arg(served.get_program()).args(served.get_args());
        command
    });
    server.wait_until("the server answers", || {
        server.get("/health/ready").is_ok_and(|ready| ready.status == 200).then_some(())
    });
    let padding = "x".repeat(5_000);
    let mut n_unrecorded = 0;
    for _ in 0..500 {
        if n_unrecorded == 20 {
            break;
        }
        let body = json!({ "query": "Is my deposit FDIC insured, and up to how much?", "metadata": { "padding": padding } });
        let response = server.post("/query", &body);
        assert_eq!(response.status, 200, "{}", response.text());
        let body = response.json();
        assert_eq!(body["outcome"], "degraded", "{body}");
        let id = body["interaction_id"].as_str().expect("an id").to_owned();
        let is_recorded = body.get("recorded").is_none();
        assert_eq!(response.header("x-mainstay-recorded"), (!is_recorded).then_some("no"), "{body}");
        if is_recorded {
            assert_eq!(server.interaction(&id).status, 200, "{id} was said to be recorded");
        } else {
            n_unrecorded += 1;
            assert_eq!(body["recorded"], false);
        }
    }
    assert_eq!(n_unrecorded, 20, "the disk never was full");
    // A look writes a few bytes, for which there may be room a few times more; what failed before is not forgotten.
    let store = server.part("store");
    assert!(store["state"] == "degraded" || store["state"] == "failed", "{store}");
    assert!(store["detail"].as_str().expect("a text").contains("free space"), "{store}");
    let metrics = server.get("/metrics").expect("a reply").text();
    assert!(metrics.contains(&format!("mainstay_unrecorded_total {n_unrecorded}")), "{metrics}");
}

#[test]
fn a_disk_that_is_nearly_full_is_told_before_records_are_lost() {
    let config = Arc::new(Folder::without_articles());
    config.change("mainstay.toml", "[storage]", "[storage]\nfree_bytes_min = 9_000_000_000_000_000_000");
    let server = Start::with(&config).serve();
    let store = server.part("store");
    assert_eq!(store["state"], "degraded", "{store}");
    let detail = store["detail"].as_str().expect("a text");
    assert!(detail.contains("MB free") && detail.contains("free space on this disk"), "{detail}");
    assert_eq!(server.get("/health/deep").expect("a reply").json()["status"], "impaired");
    assert_eq!(server.get("/health/ready").expect("a reply").status, 200, "answers go on");
    let doctor = server.doctor();
    for name in ["data folder", "server: store"] {
        let line = doctor.lines().find(|line| line.contains(name)).expect("a finding");
        assert!(line.starts_with("degraded") && line.contains("MB free"), "{line}");
    }
}

#[test]
fn an_environment_lies_over_the_settings() {
    let config = Arc::new(Folder::without_articles());
    let path = config.path().display().to_string();
    let check = |environment: &str| {
        let output = run(&["check", &path, "--environment", environment]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(check("prod").0, Some(0), "the shipped example: {}", check("prod").1);
    let (code, said) = check("staging");
    assert_eq!((code, said.contains("no environment `staging`; there are prod")), (Some(1), true), "{said}");

    config.write("environments/staging.toml", "# staging\n[defaults]\nagent = \"complaince\"\n");
    let (code, said) = check("staging");
    assert_eq!((code, said.contains("environments/staging.toml:3: ")), (Some(1), true), "{said}");
    config.write("environments/staging.toml", "\n[server]\nport = 1\n");
    let (code, said) = check("staging");
    assert_eq!((code, said.contains("environments/staging.toml:3: ")), (Some(1), true), "{said}");
    assert_eq!(run(&["check", &path]).status.code(), Some(0), "without it the folder is good");

    config.write("environments/staging.toml", "[defaults]\nagent = \"compliance\"\n");
    let start = Start::with(&config);
    let server = start.launch_by(|port| {
        let mut command = start.command(port);
        command.args(["--environment", "staging"]);
        command
    });
    let agent = || {
        let id = server.query("Is my deposit FDIC insured, and up to how much?")["interaction_id"].clone();
        server.interaction(id.as_str().expect("an id")).json()["agent_version"]
            .as_str()
            .expect("a name")
            .to_owned()
    };
    server.wait_until("it is ready", || {
        server.get("/health/ready").is_ok_and(|ready| ready.status == 200).then_some(())
    });
    assert!(agent().starts_with("compliance@"), "{}", agent());
    // The overlay is watched like everything else.
    config.write("environments/staging.toml", "[defaults]\nagent = \"general\"\n");
    let seen = wait_for(LIVE_WITHIN, || agent().starts_with("general@").then_some(()));
    assert!(seen.is_some(), "{}", server.log());
}
