//! The cost ledger of the real server: its sums are those of the replies, to the last fraction, whoever asks how.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::upstream::Answer;
use testkit::{Behaviour, Upstream};

use crate::client::{Request, Response};
use crate::folder::{Folder, KEY_VARIABLE};
use crate::server::{BINARY, Server, Start};

const PATH: &str = "/v1/chat/completions";

/// Prices with as many digits as may be, so that every amount has a fraction of a nano-dollar.
const PRICED: &str = "price_input_per_million = 0.123456789\nprice_output_per_million = 9.876543211\n";

fn settings(upstream: &Upstream, more: &str) -> String {
    let base_url = upstream.base_url();
    format!(
        "schema = 1\n[providers.one]\nkind = \"openai\"\nbase_url = \"{base_url}\"\nkey = \"env::{KEY_VARIABLE}\"\n\
         allow_private = true\n[models.\"one/alpha\"]\n{PRICED}[models.\"one/beta\"]\n{more}\n\
         [[routes.standard.tiers]]\nname = \"primary\"\ntargets = [{{ model = \"one/alpha\" }}]\n"
    )
}

#[derive(Clone, Copy, PartialEq)]
enum Delivery {
    Whole,
    Streamed,
}

fn start(upstream: &Upstream) -> Start {
    let config = Folder::with_settings(&settings(upstream, ""));
    Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) }
}

fn ask(server: &Server, model: &str, n_words: usize, delivery: Delivery) -> Response {
    let words = "word ".repeat(n_words);
    let is_streamed = delivery == Delivery::Streamed;
    let body =
        json!({ "model": model, "stream": is_streamed, "messages": [{ "role": "user", "content": words }] });
    server.send(&Request::post(PATH, body.to_string()))
}

/// A decimal of US dollars in 10^-15 of one.
fn femtos(decimal: &str) -> i128 {
    if decimal == "null" {
        return 0; // no call has a price
    }
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    assert!(fraction.len() <= 15, "{decimal}");
    format!("{whole}{fraction:0<15}").parse().unwrap_or_else(|_| panic!("{decimal}"))
}

/// The text of a number in a document, digit for digit.
fn number(document: &str, name: &str) -> String {
    let start = document.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("{name}: {document}"));
    let rest = &document[start + name.len() + 3..];
    rest[..rest.find([',', '}']).expect("an end")].to_owned()
}

fn costs(server: &Server, query: &str) -> String {
    let response = server.get(&format!("/admin/v1/costs?{query}")).expect("a reply");
    assert_eq!(response.status, 200, "{}", response.text());
    response.text()
}

fn total(document: &str) -> &str {
    &document[document.find("\"total\"").expect("a total")..]
}

fn rows(server: &Server) -> Vec<Vec<String>> {
    let csv = server.send(&Request::get("/admin/v1/costs").header("accept", "text/csv"));
    assert!(csv.header("content-type").is_some_and(|kind| kind.starts_with("text/csv")));
    let text = csv.text();
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// The sum of a column, and how many of its cells are filled.
fn column(rows: &[Vec<String>], name: &str) -> Vec<String> {
    let index = rows[0].iter().position(|cell| cell == name).unwrap_or_else(|| panic!("{name}"));
    rows[1..].iter().map(|row| row[index].clone()).collect()
}

/// Asks `n` times and adds up what the replies say: the amounts, and how many had one and how many none.
fn asked_at_random(server: &Server, thread: u64, n: usize) -> (i128, u64, u64) {
    let (mut sum, mut priced, mut unpriced) = (0, 0, 0);
    // A small generator of its own, so that a failure can be made again.
    let mut seed = thread + 1;
    for _ in 0..n {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let n_words = usize::try_from(seed >> 54).expect("small") + 1;
        match (seed >> 40) % 4 {
            0 => {
                let reply = ask(server, "beta", n_words, Delivery::Whole);
                assert_eq!(reply.header("x-mainstay-cost-basis"), Some("unpriced"));
                assert_eq!(reply.header("x-mainstay-cost-usd"), None);
                unpriced += 1;
            }
            1 => {
                // What a stream cost stands in its record alone: its headers came before.
                let reply = ask(server, "alpha", n_words, Delivery::Streamed);
                let id = reply.header("x-mainstay-interaction").expect("an id").to_owned();
                let record = server.interaction(&id);
                let attempt = &record.json()["attempts"][0];
                assert_eq!(attempt["cost_basis"], "exact", "{attempt}");
                assert!(attempt["price_version"].as_str().is_some_and(|name| name.starts_with("undated:")));
                sum += femtos(&number(&record.text(), "cost_usd"));
                priced += 1;
            }
            _ => {
                let reply = ask(server, "alpha", n_words, Delivery::Whole);
                assert_eq!(reply.header("x-mainstay-cost-basis"), Some("exact"));
                sum += femtos(reply.header("x-mainstay-cost-usd").expect("priced"));
                priced += 1;
            }
        }
    }
    (sum, priced, unpriced)
}

#[test]
fn sums_of_the_ledger_are_the_sums_of_the_replies() {
    const THREADS: usize = 8;
    const EACH: usize = 60;
    let upstream = Upstream::start(Behaviour::default());
    let start = start(&upstream);
    let mut server = start.serve();
    let sums: Vec<(i128, u64, u64)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn({
                    let server = &server;
                    move || asked_at_random(server, thread as u64, EACH)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no failure")).collect()
    });
    let want: i128 = sums.iter().map(|(sum, ..)| sum).sum();
    let (priced, unpriced) =
        sums.iter().fold((0, 0), |(priced, unpriced), (_, p, u)| (priced + p, unpriced + u));
    assert_ne!(want % 1_000_000, 0, "a fraction of a nano-dollar is among them");

    let check = |server: &Server| {
        for query in ["group_by=model", "group_by=day,agent", "", "prices=current&group_by=key"] {
            let document = costs(server, query);
            assert_eq!(femtos(&number(total(&document), "cost_usd")), want, "{query}: {document}");
            assert_eq!(number(total(&document), "calls"), (priced + unpriced).to_string());
            assert_eq!(number(total(&document), "unpriced_calls"), unpriced.to_string());
            let lines =
                document[..document.find("\"total\"").expect("a total")].split("\"cost_usd\":").skip(1);
            let in_lines = lines.map(|line| femtos(&line[..line.find(',').expect("more")])).sum::<i128>();
            assert!(query.is_empty() || in_lines == want, "{query}: {document}");
        }
        let rows = rows(server);
        let amounts = column(&rows, "cost_usd");
        let filled = amounts.iter().filter(|amount| !amount.is_empty());
        assert_eq!(filled.clone().map(|amount| femtos(amount)).sum::<i128>(), want);
        assert_eq!((filled.count() as u64, amounts.len() as u64), (priced, priced + unpriced));
    };
    check(&server);
    let metrics = server.get("/metrics").expect("a reply").text();
    assert!(metrics.contains(&format!("mainstay_unpriced_requests_total {unpriced}\n")), "{metrics}");

    // On disk is on disk: each reply had its row.
    server.kill();
    check(&start.serve());
}

#[test]
fn what_a_caller_who_left_cost_is_estimated_and_said_so() {
    let slow = Answer { token_gap: Duration::from_millis(50), ..Answer::of(&"word ".repeat(400)) };
    let upstream = Upstream::start(Behaviour::Answer(slow));
    let server = start(&upstream).serve();
    let body =
        json!({ "model": "alpha", "stream": true, "messages": [{ "role": "user", "content": "Write." }] });
    let mut opened = Request::post(PATH, body.to_string()).streamed().open(server.address).expect("a reply");
    for _ in 0..10 {
        opened.line().expect("a line");
    }
    drop(opened);
    let attempt = server.wait_until("the call is in the ledger", || {
        let rows = rows(&server);
        (rows.len() == 2).then(|| column(&rows, "cost_basis").remove(0))
    });
    assert_eq!(attempt, "estimated");
    let document = costs(&server, "group_by=model");
    assert_eq!(number(total(&document), "estimated_calls"), "1");
    assert_eq!(number(total(&document), "exact_usd"), "0");
    assert!(femtos(&number(total(&document), "estimated_usd")) > 0, "{document}");
    // About a token for each four bytes of the request, and for what had come until then.
    let input: u64 = number(total(&document), "input_tokens").parse().expect("a number");
    let output: u64 = number(total(&document), "output_tokens").parse().expect("a number");
    assert!((20..60).contains(&input), "{document}");
    assert!((2..40).contains(&output), "{document}");
}

#[test]
fn a_corrected_price_corrects_the_past_when_asked() {
    let upstream = Upstream::start(Behaviour::default());
    let config = Folder::with_settings(&settings(&upstream, ""));
    let start = Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) };
    let server = start.serve();
    ask(&server, "beta", 10, Delivery::Whole);
    assert_eq!(number(total(&costs(&server, "")), "unpriced_calls"), "1");
    drop(server);
    let priced = "prices = [{ as_of = 2026-11-21, input = 1.0, output = 2.0 }]";
    let config = Folder::with_settings(&settings(&upstream, priced));
    let server = Start { config: Some(config), ..start }.serve();
    let (then, now) = (costs(&server, "prices=recorded"), costs(&server, "prices=current&group_by=prices"));
    assert_eq!(
        (number(total(&then), "unpriced_calls"), number(total(&then), "cost_usd")),
        ("1".into(), "null".into())
    );
    // 10 words in at $1, 5 out at $2 for a million each.
    assert_eq!(number(total(&now), "cost_usd"), "0.00002", "{now}");
    assert!(now.contains("\"prices\":\"2026-11-21:"), "{now}");
}

#[test]
fn the_command_shows_the_same() {
    let upstream = Upstream::start(Behaviour::default());
    let server = start(&upstream).serve();
    for n_words in 1..=3 {
        ask(&server, "alpha", n_words, Delivery::Whole);
    }
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(BINARY);
        let output =
            command.arg("costs").args(arguments).args(["--url", &server.url()]).output().expect("run");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let want = number(total(&costs(&server, "group_by=model")), "cost_usd");
    let (code, table) = run(&[]);
    assert_eq!(code, Some(0), "{table}");
    assert!(table.contains("one/alpha") && table.contains(&want), "{table}");
    let (code, document) = run(&["--json", "--group-by", "day,model"]);
    let parsed: Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!((code, parsed["lines"][0]["calls"].as_u64()), (Some(0), Some(3)), "{document}");
    let (code, csv) = run(&["--csv"]);
    assert_eq!((code, csv.lines().count()), (Some(0), 4), "{csv}");
    let (code, _) = run(&["--group-by", "colour"]);
    assert_eq!(code, Some(2));
}
