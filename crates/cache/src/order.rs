//! The order in which a question names its matters: who does what to whom, what goes from where to where.
//!
//! Encoders see hardly anything of it: "from checking to savings" and the way back are one to them (a cosine of 0.999). Ways to
//! say one thing are brought into one order first: "is insured by the bank" is read as "the bank insures", "a fee for wires" as "a
//! wire fee", "if it fails, am I insured" as "am I insured if it fails". What is left in another order says something else, or says
//! it so that a model had better be asked.

use language::word::{is_stop_word, stem};
use language::words;

use crate::difference::DUTIES;

/// Words that hold for what follows them.
const FOCUS: [&str; 4] = ["even", "exclusively", "only", "solely"];
/// Words that stand for whoever asks.
const ASKER: [&str; 6] = ["i", "me", "we", "us", "myself", "ourselves"];
/// What an asker is in an order.
const ASKER_STEM: &str = "\u{1}asker";
/// With which a clause begins that may as well stand at the end.
const LEADING: [&str; 18] = [
    "after", "as", "at", "because", "before", "by", "during", "for", "if", "in", "on", "once", "since",
    "unless", "until", "when", "while", "without",
];
/// Between two words that could be one: a fee for wires, a charge on the card.
const JOINING: [&str; 4] = ["for", "in", "of", "on"];
/// Words between these and what they join.
pub(crate) const DETERMINERS: [&str; 16] = [
    "a", "an", "any", "her", "his", "its", "my", "our", "some", "that", "the", "their", "these", "this",
    "those", "your",
];

/// How the next word of content is put into the order.
enum Next {
    /// At its end.
    Last,
    /// Before the word that stands there, as "card" of "charge on a card".
    Before(usize),
    /// Beside the word that stands there, in the order of the alphabet, as both of "a buyer and a seller".
    Beside(usize),
    /// Before all, with the word that stands there behind it, as "bank" of "deposits insured by a bank".
    Agent(usize),
}

/// The stems of its words of content in their order, and where it speaks of whoever asks.
pub(crate) fn order(folded: &str) -> Vec<String> {
    let turned = trailing(folded);
    let mut order: Vec<String> = Vec::new();
    let mut next = Next::Last;
    // Where the word before stands, if that was one of content.
    let mut before: Option<usize> = None;
    for word in words(turned.as_deref().unwrap_or(folded)) {
        // "A form required for a loan" is a loan form.
        if DUTIES.contains(&word) {
            continue;
        }
        let is_content = !is_stop_word(word);
        if !is_content && !ASKER.contains(&word) && !FOCUS.contains(&word) {
            next = match (word, before, &next) {
                ("by", Some(at), _) => Next::Agent(at),
                ("and" | "or", Some(at), _) => Next::Beside(at),
                (_, Some(at), _) if JOINING.contains(&word) => Next::Before(at),
                _ if DETERMINERS.contains(&word) && !matches!(next, Next::Last) => next,
                _ => Next::Last,
            };
            before = None;
            continue;
        }
        let stem = match word {
            _ if is_content || FOCUS.contains(&word) => stem(word),
            _ => ASKER_STEM.to_owned(),
        };
        let at = match next {
            Next::Last => order.len(),
            Next::Before(at) => at,
            Next::Beside(at) if order.get(at).is_some_and(|other| *other > stem) => at,
            Next::Beside(at) => at + 1,
            Next::Agent(verb) => {
                let verb = order.remove(verb);
                order.insert(0, verb);
                0
            }
        };
        order.insert(at, stem);
        // The words that follow belong to this one.
        next = match next {
            Next::Last | Next::Beside(_) => Next::Last,
            Next::Before(_) | Next::Agent(_) => Next::Before(at + 1),
        };
        before = is_content.then_some(at);
    }
    order
}

/// `text` with a clause that stands before the first comma at its end.
fn trailing(text: &str) -> Option<String> {
    let (first, rest) = text.split_once(", ")?;
    let begins = first.split(' ').next().is_some_and(|word| LEADING.contains(&word));
    begins.then(|| format!("{rest} {first}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        order(&language::text::fold(text)).join(" ").replace(ASKER_STEM, "I")
    }

    #[test]
    fn ways_to_say_one_thing_have_one_order() {
        for (ways, want) in [
            (
                &["Is my deposit insured by the FDIC?", "Does the FDIC insure my deposits?"][..],
                "fdic insur deposit",
            ),
            (
                &["How do I dispute a charge on my card?", "How do I dispute a card charge?"],
                "I disput card charg",
            ),
            (
                &["Is there a fee for incoming wire transfers?", "Is there an incoming wire transfer fee?"],
                "incom wire transfer fee",
            ),
            (
                &["If the bank fails, is my deposit insured?", "Is my deposit insured if the bank fails?"],
                "deposit insur bank fail",
            ),
            (
                &["Is there a limit on transfers of an account?", "Is there an account transfer limit?"],
                "account transfer limit",
            ),
            (
                &[
                    "Are deposits at a bank insured by the state?",
                    "Does the state insure deposits at a bank?",
                ],
                "state insur deposit bank",
            ),
        ] {
            for way in ways {
                assert_eq!(of(way), want, "{way}");
            }
        }
    }

    #[test]
    fn of_two_that_stand_beside_each_other_either_may_be_first() {
        let both = "tell roth tradit ira apart";
        assert_eq!(of("What tells a Roth and a traditional IRA apart?"), both);
        assert_eq!(of("What tells a traditional and a Roth IRA apart?"), both);
        assert_eq!(of("Do I or my wife sign?"), of("Do my wife or I sign?"));
    }

    #[test]
    fn what_goes_another_way_has_another_order() {
        for (one, other) in [
            (
                "from my checking account to my savings account",
                "from my savings account to my checking account",
            ),
            ("Can the tenant sue the landlord?", "Can the tenant be sued by the landlord?"),
            ("Does the bank owe me money?", "Do I owe the bank money?"),
            ("Can my wife use my card?", "Can I use my wife's card?"),
            (
                "Is the rate on the loan better than on the card?",
                "Is the rate on the card better than on the loan?",
            ),
        ] {
            assert_ne!(of(one), of(other), "{one} / {other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_word_of_content_is_in_it_once(text in "([a-z]{1,9}( by | for my | of |, | ){1}){0,9}[a-z]{1,4}") {
            let mut content = language::word::content_words(&text);
            content.retain(|word| !DUTIES.contains(&word.as_str()) && !FOCUS.contains(&word.as_str()));
            let mut content: Vec<String> = content.iter().map(|word| stem(word)).collect();
            let mut ordered = order(&text);
            ordered.retain(|name| name != ASKER_STEM && !FOCUS.iter().any(|word| stem(word) == *name));
            content.sort();
            ordered.sort();
            proptest::prop_assert_eq!(ordered, content);
        }
    }
}
