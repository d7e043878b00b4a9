//! Streams that break off, fall silent or lose their reader, at every door that SDKs know: ended with an error, never
//! with a clean end.

use std::time::{Duration, Instant};

use testkit::upstream::{Answer, Phase};
use testkit::{Behaviour, Upstream};

use crate::dialects::{Dialect, breaks, serve};
use crate::folder::{Folder, KEY_VARIABLE, ladder};
use crate::server::Start;

#[test]
fn without_assurance_a_stream_that_breaks_off_says_so_and_nobody_else_is_asked() {
    let (broken, other) = (Upstream::start(Behaviour::default()), Upstream::start(Behaviour::default()));
    let server = serve(&[&broken, &other], ("off", ""));
    for dialect in Dialect::ALL {
        for behaviour in breaks() {
            broken.set_behaviour(behaviour.clone());
            let before = broken.calls();
            let response = server.send(&dialect.ask("m"));
            let text = response.text();
            assert!(
                text.contains(dialect.error()) && !text.contains(dialect.end()),
                "{dialect:?} {behaviour:?}: {text}"
            );
            assert!(dialect.words(&text).starts_with("This"), "{dialect:?} {behaviour:?}: {text}");
            assert_eq!((broken.calls() - before, other.calls()), (1, 0), "{dialect:?} {behaviour:?}");
        }
    }
}

#[test]
fn an_agent_that_is_silent_shows_that_it_lives_in_its_callers_own_form() {
    let late = Answer { delay: Duration::from_millis(900), ..Answer::of("We are glad to help.") };
    let upstream = Upstream::start(Behaviour::Answer(late));
    let server = serve(&[&upstream], ("off", "[server]\nkeep_alive = \"150ms\"\n"));
    for dialect in Dialect::ALL {
        let text = server.send(&dialect.ask("agent:personalized_outreach")).text();
        let n_signs = dialect.sign().map(|sign| text.matches(sign).count());
        assert!(n_signs.is_none_or(|n| n >= 3), "{dialect:?}: {text}");
        // A comment would break the frames of an AWS event stream.
        assert_eq!(
            text.contains("keep-alive"),
            matches!(dialect, Dialect::Chat | Dialect::Responses),
            "{dialect:?}: {text}"
        );
    }
}

#[test]
fn a_caller_who_leaves_closes_the_call_at_every_door_within_a_second() {
    let slow = Answer { token_gap: Duration::from_millis(50), ..Answer::of(&"word ".repeat(1_000)) };
    // An answer in one piece has no gaps.
    let late = Answer { delay: Duration::from_secs(30), ..Answer::of("late") };
    for assured in ["off", "hold_back", "continue"] {
        let (upstream, other) =
            (Upstream::start(Behaviour::Answer(slow.clone())), Upstream::start(Behaviour::default()));
        let server = serve(&[&upstream, &other], (assured, ""));
        for dialect in Dialect::ALL {
            for is_streamed in [true, false] {
                let answer = if is_streamed { &slow } else { &late };
                upstream.set_behaviour(Behaviour::Answer(answer.clone()));
                let sent = if is_streamed { dialect.ask("m") } else { dialect.ask_whole("m") };
                let leaving = std::net::TcpStream::connect(server.address).expect("a connection");
                std::io::Write::write_all(&mut &leaving, &sent.bytes(server.address)).expect("sent");
                server.wait_until("the call is made", || (upstream.calls_in_flight() == 1).then_some(()));
                std::thread::sleep(Duration::from_millis(150));
                assert_eq!(upstream.calls_in_flight(), 1);
                drop(leaving);
                let left = Instant::now();
                while upstream.calls_in_flight() > 0 {
                    assert!(
                        left.elapsed() < Duration::from_secs(1),
                        "{assured} {dialect:?} {is_streamed}: it goes on"
                    );
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
        assert_eq!(other.calls(), 0, "nobody is asked for someone who left");
    }
}

#[test]
fn a_whole_outage_is_not_made_worse() {
    const N: usize = 1_000;
    let dead = Upstream::start(Behaviour::status(503));
    let server = serve(&[&dead], ("off", "[resilience.policy.backoff]\nfirst = \"1ms\"\nmax = \"2ms\"\n"));
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while next.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < N {
                    assert_eq!(server.send(&Dialect::Chat.ask("m")).status, 503);
                }
            });
        }
    });
    assert!((N..=1_210).contains(&dead.calls()), "{} calls", dead.calls());
}

#[test]
fn a_finished_answer_is_whole_at_every_door_however_short_the_limit_of_silence() {
    let upstream = Upstream::start(Behaviour::HangAfterFinish);
    let more = "[aliases]\nm = \"standard\"\n[resilience.policy]\nsilence = \"800ms\"\n";
    let config = Folder::with_settings(&ladder(&[&upstream], more));
    let server =
        Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) }.serve();
    for dialect in Dialect::ALL {
        let response = server.send(&dialect.ask("m"));
        let text = response.text();
        assert_eq!(
            (response.status, dialect.words(&text).as_str()),
            (200, Behaviour::TEXT),
            "{dialect:?}: {text}"
        );
        assert!(text.contains(dialect.end()) && !text.contains(dialect.error()), "{dialect:?}: {text}");
    }
}

#[test]
fn each_limit_of_waiting_ends_a_stream_at_every_door() {
    let endless = Behaviour::EndlessWords;
    for (behaviour, limits, most, has_words) in [
        (Behaviour::Hang(Phase::AfterHead), "first_token = \"400ms\"\n", 2_500, false),
        (Behaviour::Comments, "first_token = \"400ms\"\n", 2_500, false),
        (Behaviour::Hang(Phase::MidBody), "silence = \"400ms\"\n", 1_500, true),
        (endless, "call_max = \"700ms\"\n", 2_000, true),
    ] {
        let upstream = Upstream::start(behaviour.clone());
        let more = format!(
            "[aliases]\nm = \"standard\"\n[resilience.breaker]\nfailures_max = 1000\ncalls_min = 1000\n[resilience.policy]\n{limits}"
        );
        let config = Folder::with_settings(&ladder(&[&upstream], &more));
        let server =
            Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) }.serve();
        for dialect in Dialect::ALL {
            let began = Instant::now();
            let response = server.send(&dialect.ask("m"));
            let (text, took) = (response.text(), began.elapsed());
            assert!(took < Duration::from_millis(most), "{behaviour:?} {dialect:?}: {took:?}");
            assert_eq!(response.status == 200, has_words, "{behaviour:?} {dialect:?}: {text}");
            assert!(!text.contains(dialect.end()), "{behaviour:?} {dialect:?}: {text}");
            assert_eq!(!dialect.words(&text).is_empty(), has_words, "{behaviour:?} {dialect:?}: {text}");
            assert!(!has_words || text.contains(dialect.error()), "{behaviour:?} {dialect:?}: {text}");
        }
        server.wait_until("the calls are closed", || (upstream.calls_in_flight() == 0).then_some(()));
    }
}

#[test]
fn what_nobody_reads_waits_at_the_provider() {
    // Far more than what sockets hold.
    let words = format!("{} ", "x".repeat(4_000)).repeat(20_000);
    let upstream = Upstream::start(Behaviour::Answer(Answer::of(&words)));
    for assured in ["off", "continue"] {
        let server = serve(&[&upstream, &upstream], (assured, ""));
        let resident = || {
            let status =
                std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("its status");
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1_024
        };
        let before = resident();
        let opened: Vec<_> =
            Dialect::ALL.map(|dialect| dialect.ask("m").open(server.address).expect("a reply")).into();
        std::thread::sleep(Duration::from_millis(1_500));
        assert_eq!(upstream.calls_in_flight(), Dialect::ALL.len(), "{assured}");
        let grown = resident().saturating_sub(before);
        assert!(grown < 24, "{assured}: 4 streams of 80 MB that nobody reads took {grown} MB");
        drop(opened);
        server.wait_until("the calls are closed", || (upstream.calls_in_flight() == 0).then_some(()));
    }
}
