//! Rules of where sentences end.

use super::*;

#[track_caller]
fn check(text: &str, want: &[&str]) {
    let found: Vec<&str> = sentences(text).into_iter().map(|range| &text[range]).collect();
    assert_eq!(found, want, "{text:?}");
}

#[test]
fn marks_followed_by_a_new_beginning_end_a_sentence() {
    check(
        "It is insured. Up to a limit! Is it? Yes.",
        &["It is insured.", "Up to a limit!", "Is it?", "Yes."],
    );
    check(
        "He asked \"Is it safe?\" and left. \"Yes.\" It is.",
        &["He asked \"Is it safe?\" and left.", "\"Yes.\"", "It is."],
    );
    check("Wait... what? **Done.** Next", &["Wait... what?", "**Done.**", "Next"]);
    check("no. it goes on", &["no. it goes on"]);
    check("存款有保险。最高额度！", &["存款有保险。", "最高额度！"]);
    check("", &[]);
    check("  \n ", &[]);
}

#[test]
fn abbreviations_and_numbers_do_not_end_it() {
    for text in [
        "The U.S. Treasury pays.",
        "Use a card, e.g. Visa, to pay.",
        "See 12 U.S.C. 1635 for the text.",
        "See No. 5 and Sec. 8 on it.",
        "Mr. Smith and Dr. Jones came at 9 a.m. Eastern Time.",
        "It costs $1.5 million or 3.25 % at example.com today.",
        "John F. Kennedy paid Acme Inc. Boston branch.",
        "It was on Jan. 5 in St. Louis.",
    ] {
        check(text, &[text]);
    }
}

#[test]
fn an_abbreviation_before_a_usual_first_word_ends_it() {
    check("It holds in the U.S. The bank pays.", &["It holds in the U.S.", "The bank pays."]);
    check("We close at 5 p.m. You can call.", &["We close at 5 p.m.", "You can call."]);
    check(
        "It stands in Regulation D. Federal law sets it.",
        &["It stands in Regulation D.", "Federal law sets it."],
    );
    check("Is it insured? No. It is not.", &["Is it insured?", "No.", "It is not."]);
}

#[test]
fn citations_belong_to_the_sentence_before_them() {
    check(
        "It is insured. [1] The limit holds.[2][3] Yes [4].",
        &["It is insured. [1]", "The limit holds.[2][3]", "Yes [4]."],
    );
}

#[test]
fn blocks_are_sentences_and_wrapped_lines_are_not() {
    check(
        "# Deposit insurance\nThe FDIC insures\ndeposits at Banks. It pays\nInterest.",
        &["# Deposit insurance", "The FDIC insures\ndeposits at Banks.", "It pays\nInterest."],
    );
    check(
        "You need:\n- a card\n- a form\n  with a line\n\n1. Call us.\n2. Wait",
        &["You need:", "- a card", "- a form\n  with a line", "1. Call us.", "2. Wait"],
    );
    check("Fees\nA fee is charged", &["Fees", "A fee is charged"]);
    check("a\n```\nx. Y\n\nz\n```\nb", &["a", "```\nx. Y\n\nz\n```", "b"]);
    check("| a | b |\n| 1. | 2 |", &["| a | b |", "| 1. | 2 |"]);
}

#[test]
fn an_overlong_sentence_is_cut_at_a_blank() {
    let text = "word ".repeat(2_000);
    let parts = sentences(&text);
    assert!(parts.len() > 1);
    assert!(parts.iter().all(|part| part.len() <= SENTENCE_BYTES_MAX));
    assert!(sentences(&"é".repeat(5_000)).iter().all(|part| part.len() <= SENTENCE_BYTES_MAX));
}

#[test]
fn a_stream_releases_a_sentence_once_it_surely_ended() {
    let mut stream = SentenceStream::new();
    for (piece, want) in [
        ("It is insured", vec![]),
        (".", vec![]),
        (" ", vec![]),
        ("T", vec!["It is insured."]),
        ("he U.S.", vec![]),
        (" Treas", vec![]),
        ("ury pays. [", vec![]),
        ("1", vec![]),
        ("]", vec![]),
        (" Next\n\n", vec![" The U.S. Treasury pays. [1]", " Next"]),
    ] {
        let got = stream.push(piece);
        let want: Vec<String> = want.into_iter().map(str::to_owned).collect();
        assert_eq!(got, want, "{piece:?}");
    }
    assert_eq!(stream.push("End. [2"), Vec::<String>::new());
    assert_eq!(stream.finish(), ["\n\nEnd.", " [2"]);
    assert_eq!(stream.finish(), Vec::<String>::new());
}

#[test]
fn a_stream_splits_as_the_whole_text_does() {
    let piece = "(?s)(Is it\\? |The U\\.S\\. |No\\. 5|[a-zA-Z]{1,4}|\\. |\\.\n|\n\n|\n- |\n1\\. |1\\. |\n# |```\n|\n|,|!\\)? |\\[1\\]| |\\$1\\.5|é|…){0,24}";
    proptest::proptest!(|(text in piece, step in 1_usize..7)| {
        let mut stream = SentenceStream::new();
        let mut got = Vec::new();
        let chars: Vec<char> = text.chars().collect();
        for part in chars.chunks(step) {
            got.extend(stream.push(&part.iter().collect::<String>()));
        }
        got.extend(stream.finish());
        let trimmed: Vec<&str> = got.iter().map(|sentence| sentence.trim()).collect();
        let want: Vec<&str> = sentences(&text).into_iter().map(|range| text[range].trim()).collect();
        proptest::prop_assert_eq!(trimmed, want);
        let joined = got.concat();
        proptest::prop_assert_eq!(joined.trim_end(), text.trim_end());
    });
}
