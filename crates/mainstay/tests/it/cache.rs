//! Answers that are given again, over HTTP: to whom, to what, at which door, for how long, and how they stand in the books.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::upstream::Answer;
use testkit::{Behaviour, Upstream};

use crate::access::{make, with};
use crate::client::{Request, Response};
use crate::dialects::Dialect;
use crate::folder::{Folder, KEY_VARIABLE};
use crate::model;
use crate::server::{Server, Start};

/// A question that no step answers without a model.
const FOR_A_MODEL: &str = "Is my deposit FDIC insured, and up to how much?";
const WRITER: &str = "personalized_outreach";

/// Two models, of which `one/kept` is cached under its own name; the aliases `often` and `once`, of which the route of
/// `often` is; `more` follows.
fn config(upstream: &Upstream, more: &str) -> Folder {
    let base_url = upstream.base_url();
    let config = Folder::without_articles();
    config.write(
        "mainstay.toml",
        &format!(
            "schema = 1\n[providers.one]\nkind = \"openai\"\nbase_url = \"{base_url}\"\nkey = \"env::{KEY_VARIABLE}\"\n\
             allow_private = true\n[models.\"one/plain\"]\n\
             [models.\"one/kept\"]\nprice_input_per_million = 1.0\nprice_output_per_million = 2.0\n\
             [models.\"one/kept\".cache]\nttl = \"10m\"\n\
             [[routes.standard.tiers]]\nname = \"primary\"\ntargets = [{{ model = \"one/kept\" }}]\n\
             [aliases]\nonce = \"standard\"\noften = \"repeated\"\n[routes.repeated.cache]\nttl = \"1s\"\n\
             [[routes.repeated.tiers]]\nname = \"primary\"\ntargets = [{{ model = \"one/plain\" }}]\n{more}"
        ),
    );
    config
}

/// `agent` with the section `[cache]`, and `settings` in it.
fn keeps(config: &Folder, agent: &str, settings: &str) {
    config.change(
        &format!("agents/{agent}/agent.toml"),
        "[parameters]",
        &format!("[cache]\n{settings}\n[parameters]"),
    );
}

fn start(config: Folder) -> Start {
    Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&Arc::new(config)) }
}

fn write(prompt: &str) -> Request {
    Request::post("/generate", json!({ "prompt": prompt, "use_case": WRITER }).to_string())
}

/// What the reply says of the cache, which must have an age where there is an answer to be old.
fn came(response: &Response) -> Option<String> {
    let came = response.header("x-mainstay-cache").map(str::to_owned);
    let is_given = matches!(came.as_deref(), Some("hit" | "semantic"));
    let age = response.header("age").map(|age| age.parse::<u64>().expect("seconds"));
    assert_eq!(age.is_some(), is_given, "{:?}", response.headers);
    came
}

/// Asks, which must come to `want` and to a call only where nothing is given again.
fn check(server: &Server, upstream: &Upstream, (request, want): (&Request, Option<&str>)) -> Response {
    let before = upstream.calls();
    let response = server.send(request);
    assert_eq!(response.status, 200, "{request:?}: {}", response.text());
    assert_eq!(came(&response).as_deref(), want, "{request:?}: {}", response.text());
    let n_calls = usize::from(!matches!(want, Some("hit" | "semantic")));
    assert_eq!(upstream.calls() - before, n_calls, "{request:?}");
    response
}

#[test]
fn models_and_routes_that_say_so_give_the_same_bytes_again_at_every_door() {
    let upstream = Upstream::start(Behaviour::default());
    let server = start(config(&upstream, "")).serve();
    for dialect in Dialect::ALL {
        for (model, is_kept) in
            [("one%2Fkept", true), ("one%2Fplain", false), ("once", false), ("often", true)]
        {
            // Only Converse has the model in its path.
            let model =
                if dialect == Dialect::Converse { model.to_owned() } else { model.replace("%2F", "/") };
            for request in [dialect.ask_whole(&model), dialect.ask(&model)] {
                let (first, second) = if is_kept { (Some("miss"), Some("hit")) } else { (None, None) };
                let before = check(&server, &upstream, (&request, first));
                let again = check(&server, &upstream, (&request, second));
                assert_ne!(before.header("x-mainstay-interaction"), again.header("x-mainstay-interaction"));
                assert_eq!(before.header("content-type"), again.header("content-type"));
                if is_kept {
                    assert!(before.body == again.body, "{dialect:?}: {} {}", before.text(), again.text());
                }
            }
            if is_kept {
                // Another question, another limit.
                let other = json!({ "max_tokens": 99, "inferenceConfig": { "maxTokens": 99 } });
                let name = if dialect == Dialect::Converse { "inferenceConfig" } else { "max_tokens" };
                if dialect != Dialect::Responses {
                    let more = json!({ name: other[name] });
                    check(&server, &upstream, (&dialect.ask_more(&model, &more), Some("miss")));
                }
            }
        }
    }
}

#[test]
fn agents_that_say_so_give_their_answers_again_at_every_door() {
    let upstream = Upstream::start(Behaviour::default());
    let config = config(&upstream, "");
    keeps(&config, WRITER, "matching = \"exact\"\nttl = \"10m\"");
    let server = start(config).serve();
    let first = check(&server, &upstream, (&write("Is it?"), Some("miss"))).json();
    let again = check(&server, &upstream, (&write("Is it?"), Some("hit"))).json();
    assert_eq!(
        (&first["cache"], &again["cache"]["result"]),
        (&json!({ "result": "miss", "age_s": null }), &json!("hit"))
    );
    assert_eq!((&first["response"], &again["cost_usd"]), (&again["response"], &json!(0)));
    check(&server, &upstream, (&write("Is it"), Some("miss")));
    // One question, one answer, whoever's words it is asked in; a stream's headers are gone before anybody looked.
    for dialect in Dialect::ALL {
        let agent = format!("agent:{WRITER}");
        // Messages cannot be asked for without a limit.
        let want = if dialect == Dialect::Messages { "miss" } else { "hit" };
        check(&server, &upstream, (&dialect.ask_whole(&agent), Some(want)));
        let calls = upstream.calls();
        let streamed = server.send(&dialect.ask(&agent));
        let text = streamed.text();
        assert_eq!((came(&streamed), dialect.words(&text).as_str()), (None, Behaviour::TEXT), "{text}");
        let says_so = dialect == Dialect::Converse || text.contains(": x-mainstay-cache: hit; age=");
        assert!(says_so && text.contains(dialect.end()), "{dialect:?}: {text}");
        assert_eq!(upstream.calls(), calls, "{dialect:?}");
    }
    let events = write("Is it?").streamed().open(server.address).expect("a reply").events().expect("events");
    let last = events.last().expect("an end");
    assert_eq!((last.name.as_str(), &last.data["cache"]["result"]), ("answer", &json!("hit")));
    // Nobody said so for the others.
    let other = Request::post("/generate", json!({ "prompt": "Is it?", "use_case": "general" }).to_string());
    assert_eq!(came(&server.send(&other)), None);
}

#[test]
fn a_request_may_wish_otherwise() {
    let upstream = Upstream::start(Behaviour::default());
    let config = config(&upstream, "");
    keeps(&config, WRITER, "ttl = \"10m\"");
    let server = start(config).serve();
    for (ask, plain, status) in [
        (write("Is it?"), Request::post("/generate", json!({ "prompt": FOR_A_MODEL }).to_string()), 504),
        (Dialect::Chat.ask_whole("one/kept"), Dialect::Chat.ask_whole("one/plain"), 504),
        (Dialect::Messages.ask("one/kept"), Dialect::Messages.ask("one/plain"), 504),
        // As AWS has it where an answer was not there in time.
        (Dialect::Converse.ask("one%2Fkept"), Dialect::Converse.ask("one%2Fplain"), 408),
    ] {
        let ours = |wish: &str| ask.clone().header("x-mainstay-cache", wish);
        let calls = upstream.calls();
        for request in [ours("only-if-cached"), plain.header("x-mainstay-cache", "only-if-cached")] {
            let refused = server.send(&request);
            assert_eq!((refused.status, upstream.calls()), (status, calls), "{}", refused.text());
            assert!(refused.text().contains("no earlier answer"), "{}", refused.text());
            // Else SDKs ask three times.
            let may_retry = refused.header("x-should-retry").is_none();
            assert_eq!(may_retry, refused.text().contains("urn:request"), "{:?}", refused.headers);
        }
        let standard = |directive: &str| ask.clone().header("cache-control", directive);
        for (request, want) in [
            (ours("no-store"), "bypass"),
            (standard("no-store"), "bypass"),
            (ours("default"), "miss"),
            (ours("only-if-cached"), "hit"),
            (standard("only-if-cached"), "hit"),
            (standard("max-age=60"), "hit"),
            (ours("no-store"), "bypass"),
            (ours("refresh"), "miss"),
            (standard("no-cache"), "miss"),
            (standard("no-store").header("x-mainstay-cache", "default"), "hit"),
        ] {
            check(&server, &upstream, (&request, Some(want)));
        }
        let refused = server.send(&ours("sometimes"));
        assert_eq!(refused.status, 400, "{}", refused.text());
        // A new answer took the place of the old one.
        upstream.set_behaviour(Behaviour::Answer(Answer::of("Another one.")));
        check(&server, &upstream, (&ours("refresh"), Some("miss")));
        assert!(check(&server, &upstream, (&ask, Some("hit"))).text().contains("Another"));
        upstream.set_behaviour(Behaviour::default());
    }
}

#[test]
fn nobody_is_given_what_another_tenant_was_answered() {
    let upstream = Upstream::start(Behaviour::default());
    let config = config(
        &upstream,
        "[models.\"one/own\"]\n[models.\"one/own\".cache]\nttl = \"10m\"\nscope = \"key\"\n",
    );
    keeps(&config, WRITER, "ttl = \"10m\"");
    let server = start(config).serve();
    let owner = make(&server, None, &["--role", "owner"]);
    let key = |more: &[&str]| make(&server, Some(&owner), more);
    let (one, two, other) = (key(&["--tenant", "a"]), key(&["--tenant", "a"]), key(&["--tenant", "b"]));
    let barred = key(&["--tenant", "a", "--model", "one/plain", "--agent", "general"]);
    let mine = Dialect::Chat.ask_whole("one/own");
    for (ask, second) in [(write("Is it?"), "hit"), (Dialect::Chat.ask("one/kept"), "hit"), (mine, "miss")] {
        for (key, want) in [(&one, "miss"), (&two, second), (&other, "miss"), (&one, "hit"), (&other, "hit")]
        {
            check(&server, &upstream, (&with(ask.clone(), key), Some(want)));
        }
        // Whether there is an answer is no business of one who may not ask.
        let calls = upstream.calls();
        for (request, status) in [(with(ask.clone(), &barred), 403), (ask.clone(), 401)] {
            let refused = server.send(&request);
            assert_eq!((refused.status, came(&refused)), (status, None), "{}", refused.text());
        }
        assert_eq!(upstream.calls(), calls);
    }
}

#[test]
fn a_hundred_who_ask_the_same_at_once_make_one_call() {
    let slow = Answer { delay: Duration::from_millis(700), ..Answer::of(Behaviour::TEXT) };
    let upstream = Upstream::start(Behaviour::Answer(slow));
    let config = config(&upstream, "");
    keeps(&config, WRITER, "ttl = \"10m\"");
    let server = start(config).serve();
    for (n, ask) in [Dialect::Chat.ask_whole("one/kept"), Dialect::Messages.ask("one/kept"), write("Is it?")]
        .iter()
        .enumerate()
    {
        let replies: Vec<Response> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..100).map(|_| scope.spawn(|| server.send(ask))).collect();
            asking.into_iter().map(|asking| asking.join().expect("a reply")).collect()
        });
        assert_eq!(upstream.calls(), n + 1, "{ask:?}");
        assert!(replies.iter().all(|reply| reply.status == 200), "{}", replies[0].text());
        let count = |want: &str| replies.iter().filter(|reply| came(reply).as_deref() == Some(want)).count();
        assert_eq!((count("miss"), count("hit")), (1, 99), "{ask:?}");
    }
    let metrics = server.get("/metrics").expect("a reply").text();
    for line in
        ["requests_total{result=\"hit\"} 297", "requests_total{result=\"miss\"} 3", "waited_total 297"]
    {
        assert!(metrics.contains(&format!("mainstay_cache_{line}\n")), "{line}: {metrics}");
    }
}

#[test]
fn an_answer_is_given_no_longer_than_its_time() {
    let upstream = Upstream::start(Behaviour::default());
    let config = config(&upstream, "");
    keeps(&config, WRITER, "ttl = \"1s\"");
    let server = start(config).serve();
    for ask in [write("Is it?"), Dialect::Chat.ask("often")] {
        check(&server, &upstream, (&ask, Some("miss")));
        check(&server, &upstream, (&ask, Some("hit")));
        std::thread::sleep(Duration::from_millis(1_100));
        check(&server, &upstream, (&ask, Some("miss")));
    }
}

#[test]
fn what_is_given_again_is_in_the_books_and_costs_nothing() {
    let upstream = Upstream::start(Behaviour::default());
    let config = config(&upstream, "");
    keeps(&config, WRITER, "ttl = \"10m\"");
    let server = start(config).serve();
    let mut saved = Vec::new();
    for ask in [write("Is it?"), Dialect::Chat.ask_whole("one/kept"), Dialect::Messages.ask("one/kept")] {
        let record = |response: &Response| {
            let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            let id = response.header("x-mainstay-interaction").or_else(|| body["interaction_id"].as_str());
            server.interaction(id.expect("an id")).json()
        };
        let before = record(&check(&server, &upstream, (&ask, Some("miss"))));
        let again = record(&check(&server, &upstream, (&ask, Some("hit"))));
        let cost = before["cost_usd"].as_f64().expect("priced");
        assert!(cost > 0.0, "{before}");
        assert_eq!((&again["cost_usd"], &again["outcome"]), (&json!(0), &json!("answered")), "{again}");
        assert_eq!((&again["usage"]["input_tokens"], &again["attempt"]), (&json!(0), &json!(0)), "{again}");
        let [attempt] = &again["attempts"].as_array().expect("attempts")[..] else { panic!("one: {again}") };
        assert_eq!((&attempt["result"], &attempt["chosen"]), (&json!("cached"), &json!("cache_hit")));
        assert_eq!((attempt["saved_usd"].as_f64(), &attempt["model"]), (Some(cost), &json!("one/kept")));
        saved.push(cost);
    }
    let saved: f64 = saved.iter().sum();
    let total = server.get("/admin/v1/costs").expect("a reply").json()["total"].clone();
    assert_eq!((&total["calls"], &total["cached_answers"]), (&json!(3), &json!(3)), "{total}");
    for name in ["cost_usd", "saved_usd"] {
        assert!((total[name].as_f64().expect("known") - saved).abs() < 1e-12, "{name}: {total}, {saved}");
    }
    let csv = server.send(&Request::get("/admin/v1/costs").header("accept", "text/csv")).text();
    let cached: Vec<&str> = csv.lines().filter(|line| line.contains(",cached,")).collect();
    assert_eq!((csv.lines().count(), cached.len()), (7, 3), "{csv}");
    let metrics = server.get("/metrics").expect("a reply").text();
    assert!(metrics.contains("mainstay_cache_entries 3\n"), "{metrics}");
    let told = metrics.lines().find_map(|line| line.strip_prefix("mainstay_cache_saved_usd_total "));
    let told: f64 = told.expect("a figure").parse().expect("a number");
    assert!((told - saved).abs() < 1e-12, "{told}, {saved}");
}

#[test]
fn a_question_that_means_the_same_gets_the_answer_and_one_that_does_not_does_not() {
    let _alone = model::alone();
    let upstream = Upstream::start(Behaviour::default());
    let config = config(&upstream, "[embedded]\nthreads = 1\n");
    keeps(&config, WRITER, "matching = \"semantic\"\nttl = \"10m\"");
    model::keep_deposit_insurance(&config.file("knowledge/finance"));
    let start = Start { model: model::MODEL, ..start(config) };
    model::place(&start);
    let server = start.serve();
    assert_eq!(server.part("sentence embedder")["state"], "ready", "{}", server.log());
    let close = "You can close your savings account in any branch, or by telephone.";
    let dispute = "You can dispute a card charge within 60 days of the statement, not only after 30 days.";
    for (question, answer, want) in [
        ("How do I close my savings account?", close, "miss"),
        ("How can I close my savings account?", "Nobody is asked.", "semantic"),
        ("How do I close my savings account?", "Nobody is asked.", "hit"),
        ("How do I open my savings account?", close, "miss"),
        ("Can I dispute a card charge after 30 days?", dispute, "miss"),
        ("Can I dispute a card charge after 60 days?", dispute, "miss"),
        // Both are kept, each for its own question.
        ("Can I dispute a card charge after 30 days?", "Nobody is asked.", "hit"),
        ("Can I dispute a card charge after 60 days?", "Nobody is asked.", "hit"),
    ] {
        upstream.set_behaviour(Behaviour::Answer(Answer::of(answer)));
        let reply = check(&server, &upstream, (&write(question), Some(want)));
        if want == "semantic" {
            assert_eq!(reply.json()["response"], close);
            let id = reply.json()["interaction_id"].as_str().expect("an id").to_owned();
            assert_eq!(server.interaction(&id).json()["attempts"][0]["chosen"], "cache_semantic");
        }
    }
}
