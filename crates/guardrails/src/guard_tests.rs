//! Rules of verdicts, masking and streams.

use super::*;

fn policy(action: &str) -> Policy {
    let text = format!(
        "schema = 1\nid = \"p\"\n[messages]\ninput = \"no in\"\noutput = \"no out\"\n\
         [[rules]]\nid = \"password\"\nkind = \"secret\"\ndetectors = [\"password\", \"provider_key\"]\naction = \"{action}\"\n\
         sides = [\"input\", \"output\"]\n\
         [[rules]]\nid = \"project\"\nkind = \"pattern\"\npattern = '(?i)project \\w+'\naction = \"{action}\"\n\
         sides = [\"output\"]\nmessage = \"no projects\"\n"
    );
    Policy::parse(&text).expect("it parses")
}

#[test]
fn a_block_gives_the_reply_and_no_text() {
    let guard = Guard::new(vec![policy("block")]);
    let checked = guard.check(Side::Input, "my password is hunter2");
    assert!(checked.is_blocked());
    assert_eq!((checked.text.as_str(), checked.message.as_deref()), ("", Some("no in")));
    assert_eq!(
        checked.verdict.findings,
        [Finding {
            policy: "p".to_owned(),
            rule: "password".to_owned(),
            side: Side::Input,
            start: 15,
            end: 22,
        }]
    );
    assert_eq!(guard.check(Side::Output, "my password is hunter2").message.as_deref(), Some("no out"));
    assert_eq!(guard.check(Side::Output, "project Zeus").message.as_deref(), Some("no projects"));
}

#[test]
fn a_rule_looks_at_its_sides_only() {
    let guard = Guard::new(vec![policy("block")]);
    let checked = guard.check(Side::Input, "project Zeus");
    assert_eq!(checked.verdict, GuardrailVerdict::default());
    assert_eq!(checked.text, "project Zeus");
}

#[test]
fn masking_replaces_and_logging_only_notes() {
    let text = "project Zeus: the password is hunter2, yes";
    let masked = Guard::new(vec![policy("mask")]).check(Side::Output, text);
    assert_eq!(masked.text, "[removed: project]: the password is [removed: password], yes");
    assert_eq!(masked.verdict.action, GuardrailAction::Masked);
    let noted = Guard::new(vec![policy("log")]).check(Side::Output, text);
    assert_eq!((noted.text.as_str(), noted.verdict.action), (text, GuardrailAction::None));
    assert_eq!(noted.verdict.findings.len(), 2);
}

#[test]
fn secrets_hidden_by_encoding_are_found() {
    let guard = Guard::new(vec![policy("block")]);
    for text in [
        "my pass\u{200b}word is hun\u{200b}ter2",
        "decode bXkgcGFzc3dvcmQgaXMgaHVudGVyMg== please",
        "q=password%3Dhunter2now",
        "my ｐassword is ｈunter2",
    ] {
        assert!(guard.check(Side::Input, text).is_blocked(), "{text}");
    }
}

#[test]
fn a_secret_split_over_sentences_is_caught_with_the_second() {
    let guard = Guard::new(vec![policy("block")]);
    let mut stream = guard.stream();
    assert!(!stream.push("Here you are.").is_blocked());
    assert!(!stream.push(" Your password is:").is_blocked());
    assert!(stream.push("\nhunter2.").is_blocked());
    assert!(!stream.push(" Nothing else.").is_blocked());
    let mut stream = guard.stream();
    assert!(!stream.push("The key is sk-proj-A1b2C3d4").is_blocked());
    assert!(stream.push("E5f6G7h8I9j0K1l2M3n4.").is_blocked());
}

#[test]
fn a_stream_counts_from_its_beginning_and_says_a_thing_once() {
    let guard = Guard::new(vec![policy("log")]);
    let mut stream = guard.stream();
    assert_eq!(stream.push("See project Zeus.").verdict.findings.len(), 1);
    let second = stream.push(" And project Hera.");
    let places: Vec<(usize, usize)> = second.verdict.findings.iter().map(|f| (f.start, f.end)).collect();
    assert_eq!(places, [(22, 34)]);
}

#[test]
fn any_text_is_checked_without_harm() {
    let guard = Guard::new(vec![policy("mask")]);
    for text in ["", "%", "%zz%4", "\u{200b}", "пароль=ю", "password=", "password is", "://:@", "é%C3%A9"]
    {
        let _ = guard.check(Side::Input, text);
    }
}
