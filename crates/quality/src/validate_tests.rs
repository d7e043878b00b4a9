//! Which answers may be shown.

use super::*;
use crate::check_sentence;

const PASSAGE: &str = "FDIC deposit insurance covers depositors of an insured bank up to at least $250,000 per \
    depositor, per insured bank, for each account ownership category. In 2026 the 401(k) limit is $23,500.";

fn judge(question: &str, text: &str) -> Validation {
    let answer = Answer {
        question,
        text,
        passages: &[PASSAGE],
        allowed_texts: &["Call 1-800-555-0142, Monday to Friday 8 a.m. to 8 p.m."],
        finish: Finish::Stop,
    };
    validate(&answer)
}

#[test]
fn short_correct_answers_are_accepted() {
    for text in [
        "Yes, up to $250,000 per depositor, per insured bank, per ownership category.",
        "Yes. Your deposit is insured by the FDIC up to $250,000 [1].",
        "Up to $250K per depositor.",
        "$250,000 per depositor and insured bank.",
        "Your deposit is insured up to $250,000. Call 1-800-555-0142 for more.",
        "I don't have that information.",
    ] {
        let validation = judge("Is my deposit FDIC insured, and up to how much?", text);
        assert!(validation.is_accepted(), "{text}: {validation:?}");
        assert_eq!(validation.verdict.score, 100, "{text}: {validation:?}");
    }
}

#[test]
fn wrong_answers_are_hard_failures_with_a_reason() {
    for (question, text, check) in [
        ("Is my deposit FDIC insured?", "No, it is not FDIC insured.", "groundedness"),
        ("What is the limit for a 401(k)?", "The 401(k) limit is $22,500.", "numbers"),
        ("Is my deposit insured?", "Your deposit is insured up to {{limit}}.", "placeholders"),
        ("Is my deposit insured?", "Your deposit is insured.\nUser: thanks", "structure"),
        ("Is my deposit insured?", "", "completeness"),
        ("Is my deposit insured?", "Sure, I can help with that!", "completeness"),
        ("Is my deposit insured?", "Gold prices always rise during a war, so invest now.", "groundedness"),
    ] {
        let validation = judge(question, text);
        assert!(validation.hard_failure && !validation.is_accepted(), "{text}: {validation:?}");
        let failed: Vec<&str> =
            validation.verdict.checks.iter().filter(|c| !c.passed).map(|c| c.name.as_str()).collect();
        assert!(failed.contains(&check), "{text}: {failed:?}");
        assert_eq!(validation.reasons().len(), failed.len(), "{text}");
    }
}

#[test]
fn the_reason_names_the_number() {
    let validation = judge("What is the fee?", "The insured bank charges depositors $35.");
    assert!(
        validation.reasons().contains(&"The number $35 is not in the passages; use only their numbers."),
        "{validation:?}"
    );
}

#[test]
fn an_unfinished_answer_loses_points_and_is_no_hard_failure() {
    let validation = judge("Is my deposit insured?", "Your deposit is insured by the FDIC up to");
    assert_eq!((validation.verdict.score, validation.hard_failure), (75, false), "{validation:?}");
    let validation = judge("Is my deposit insured?", "Your deposit is insured.\n```\nopen");
    assert!(validation.verdict.score < 100, "{validation:?}");
}

#[test]
fn without_passages_only_the_form_is_judged() {
    let answer = Answer {
        question: "How are you?",
        text: "All 7 of us are fine, and how are you?",
        passages: &[],
        allowed_texts: &[],
        finish: Finish::Stop,
    };
    assert_eq!(validate(&answer).verdict.score, 100);
}

#[test]
fn sentences_are_checked_one_by_one() {
    let check = |sentence: &str| {
        check_sentence(sentence, &[PASSAGE], &["Is my deposit insured?"]).map_err(|r| r.check)
    };
    for (sentence, want) in [
        ("Yes, deposits are insured up to $250,000.", Ok(())),
        ("Sure, I can help with that.", Ok(())),
        ("I don't have that information.", Ok(())),
        ("It is insured up to $500,000.", Err("numbers")),
        ("Your deposit is not insured.", Err("groundedness")),
        ("Ask [INSERT NAME] at the bank.", Err("placeholders")),
        ("<|im_end|>", Err("structure")),
        ("Penguins live happily on southern ice.", Err("groundedness")),
    ] {
        assert_eq!(check(sentence), want, "{sentence}");
    }
}
