//! Rules of what a number is and of when a source backs it.

use super::*;

fn seen(text: &str) -> Vec<(Kind, f64)> {
    numbers(text).into_iter().map(|number| (number.kind, number.value.0 as f64 / 1e6)).collect()
}

#[track_caller]
fn check(text: &str, want: &[(Kind, f64)]) {
    let got = seen(text);
    let same = got.len() == want.len()
        && got.iter().zip(want).all(|(got, want)| got.0 == want.0 && (got.1 - want.1).abs() < 1e-5);
    assert!(same, "{text:?}: {got:?} instead of {want:?}");
}

#[test]
fn money_is_one_value_however_it_is_written() {
    for text in [
        "$250,000",
        "$250K",
        "250 thousand dollars",
        "two hundred fifty thousand dollars",
        "two hundred and fifty thousand dollars",
        "US$250,000.00",
        "USD 250,000",
        "$0.25 million",
        "a $250,000-limit",
        "250,000-dollar limit",
    ] {
        check(text, &[(Kind::Money, 250_000.0)]);
    }
    check("35 cents and 50¢", &[(Kind::Money, 0.35), (Kind::Money, 0.5)]);
    check("$1.5M, $2bn", &[(Kind::Money, 1_500_000.0), (Kind::Money, 2e9)]);
    check(
        "$10 to 20 or $5–7",
        &[(Kind::Money, 10.0), (Kind::Money, 20.0), (Kind::Money, 5.0), (Kind::Money, 7.0)],
    );
}

#[test]
fn percentages_keep_their_unit() {
    for text in ["10%", "10 %", "ten percent", "10 per cent", "10-percent", "10.0 percent"] {
        check(text, &[(Kind::Percent, 10.0)]);
    }
    check("between 10 and 15 percent", &[(Kind::Percent, 10.0), (Kind::Percent, 15.0)]);
    check("two and a half percent", &[(Kind::Percent, 2.5)]);
}

#[test]
fn number_words_are_read() {
    for (text, want) in [
        ("twenty-five", 25.0),
        ("one hundred and five", 105.0),
        ("a hundred", 100.0),
        ("two million three hundred thousand", 2_300_000.0),
        ("ninety", 90.0),
        ("250 thousand", 250_000.0),
        ("zero", 0.0),
    ] {
        check(text, &[(Kind::Plain, want)]);
    }
    check("three business days", &[(Kind::Count, 3.0)]);
    check("a 30-day limit", &[(Kind::Count, 30.0)]);
    check("five six", &[(Kind::Plain, 5.0), (Kind::Plain, 6.0)]);
}

#[test]
fn parts_and_positions_are_read() {
    for (text, want) in
        [("one sixth", 1.0 / 6.0), ("half of it", 0.5), ("two-thirds", 2.0 / 3.0), ("1/6", 1.0 / 6.0)]
    {
        check(text, &[(Kind::Fraction, want)]);
    }
    check("age 59½", &[(Kind::Plain, 59.5)]);
    check("59½ years", &[(Kind::Count, 59.5)]);
    check("age 59 1/2 or 59-1/2", &[(Kind::Plain, 59.5), (Kind::Plain, 59.5)]);
    check("the 5th, the twenty-first", &[(Kind::Ordinal, 5.0), (Kind::Ordinal, 21.0)]);
}

#[test]
fn dates_times_and_telephone_numbers_are_read_as_such() {
    check("April 15, 2026", &[(Kind::Day, 415.0), (Kind::Plain, 2026.0)]);
    for text in ["Apr. 15", "15 April", "the 15th of April", "April 15th"] {
        check(text, &[(Kind::Day, 415.0)]);
    }
    check("2026-04-15", &[(Kind::Day, 415.0), (Kind::Plain, 2026.0)]);
    check("4/15/2026", &[(Kind::Day, 415.0), (Kind::Plain, 2026.0)]);
    check("9 a.m. to 5:30 pm", &[(Kind::Time, 900.0), (Kind::Time, 1730.0)]);
    for text in ["1-877-275-3342", "(877) 275-3342", "1-877-ASK-FDIC", "877.275.3342"] {
        check(text, &[(Kind::Phone, 8_772_753_342.0)]);
    }
    check("in April 2026", &[(Kind::Plain, 2026.0)]);
}

#[test]
fn names_of_accounts_are_not_thousands() {
    for text in ["a 401k", "a 401(k)", "401 (k)"] {
        check(text, &[(Kind::Plain, 401.0)]);
    }
    check("12 U.S.C. 1635", &[(Kind::Plain, 12.0), (Kind::Plain, 1635.0)]);
}

#[test]
fn list_numerals_citations_and_addresses_are_no_numbers() {
    for text in [
        "1. Call\n2) Write\n  3. Wait",
        "**1.** Call",
        "Step 1: Call",
        "insured [1] and safe [2, 3][^4]",
        "see https://example.com/2024/07?a=5 or mail a1@b2.com",
        "either (1) call or (2) write",
        "24/7",
    ] {
        check(text, &[]);
    }
}

#[test]
fn nothing_is_lost_on_odd_input() {
    for text in ["$", "%", "$ $", "1/", "/2", "-", "½", "1,2", "9".repeat(100).as_str(), "1/0", "hundred"] {
        let _ = numbers(text);
    }
    proptest::proptest!(|(text in "(?s)(.|[0-9]|\\$|,|/| half| and a| hundred|one |½){0,30}")| {
        for number in numbers(&text) {
            proptest::prop_assert!(text.get(number.start..number.end).is_some());
        }
    });
}

#[test]
fn a_number_is_allowed_when_a_source_says_it() {
    for (answer, source, want) in [
        ("Up to $250,000 per depositor.", "insured to at least $250K", &[][..]),
        ("The limit is $22,500.", "the limit is $23,500", &["$22,500"]),
        ("The fee is $10.", "It takes 10 days", &["$10"]),
        ("It takes 10 days.", "in 10 business days", &[]),
        ("A deposit of $10,000.", "amounts over 10,000 are reported", &[]),
        ("The fee is $10.", "It is 10 percent", &["$10"]),
        ("You pay 10%.", "ten percent applies", &[]),
        ("Within 3 business days.", "within three business days", &[]),
        ("Within two business days.", "within three business days", &["two"]),
        ("There are two ways. One of them is first.", "call or write", &[]),
        ("1. Call us.\n2. Write [1].", "call or write", &[]),
        ("At age 59 1/2.", "after age 59½", &[]),
        ("By April 15.", "before 15 April 2026", &[]),
        ("By April 18.", "before 15 April 2026", &["April 18"]),
        ("Call 1-877-275-3342.", "Call 1-877-ASK-FDIC", &[]),
        ("Call 1-800-555-0100.", "Call 1-877-ASK-FDIC", &["1-800-555-0100"]),
        ("A sum of $300.", "$100 and $200", &["$300"]),
        ("Up to 30 business days.", "open less than 30 days", &["30"]),
        ("Within 6 years.", "within six months", &["6"]),
        ("A 30-day wait.", "wait 30 calendar days", &[]),
        ("It lasts seven years.", "for 7 years", &[]),
    ] {
        let found: Vec<&str> = allowed(answer, &[source]).iter().map(|n| &answer[n.start..n.end]).collect();
        assert_eq!(found, want, "{answer}");
    }
}

#[test]
fn rivals_are_what_could_be_meant_instead() {
    for (answer, question, source, want) in [
        (
            "At age 73.",
            "born in 1963",
            "RMDs start at age 73, or at 75 for people born in 1960 or later.",
            vec!["75"],
        ),
        (
            "Within one business day.",
            "how fast",
            "The bank must fix an error within one business day of finding it and report it within three business days.",
            vec!["three"],
        ),
        ("Up to $500.", "", "The limit is $50, then $500, and 25% after 60 days.", vec!["$50"]),
        ("Up to $500, and $50 before.", "", "The limit is $50, then $500.", vec![]),
        ("The limit is $500.", "Not the $50?", "The limit is $50, then $500.", vec![]),
        ("In 2026 it is $7,500.", "", "It was $7,000 in 2025 and is $7,500 in 2026.", vec!["$7,000"]),
        ("Two of them.", "", "One or three of them.", vec![]),
    ] {
        let found = rivals(answer, question, source);
        let found: Vec<&str> = found.iter().map(|number| &source[number.start..number.end]).collect();
        assert_eq!(found, want, "{answer}");
    }
}
