//! Where an answer's figures come from, and whether it says enough of what stands there.

use std::collections::BTreeSet;

use crate::grounding::words;

/// Whether `sentence` only answers yes or no or repeats `question`: nothing in it could be checked, so it is no
/// answer by itself.
#[must_use]
pub fn is_echo(sentence: &str, question: &str) -> bool {
    let asked = words(question);
    words(sentence).is_subset(&asked) && language::allowed(sentence, &[question]).is_empty()
}

/// A sentence of a passage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Source<'a> {
    /// What it says.
    pub text: &'a str,
    /// How near it is to the question, comparable among the sentences of one search; equal where that is not known.
    pub nearness: f32,
}

/// A sentence this much nearer to the question than the one that an answer rests on is told too. Of 60 questions
/// whose answering sentence is known, it is farther below the nearest one of its passages for 4 % only.
const NEARER_BY: f32 = 0.08;

/// What to say instead of `sentence`, in the passages' own words; empty where it may stand as it is.
///
/// - It gives one of several figures that could be meant ("at age 73" of "at age 73, or at 75 for people born in
///   1960 or later"): the sentence that has them all. Which of them holds is for the customer to see.
/// - It rests on a sentence that is not what the question asks for: the nearest one, and then its own.
#[must_use]
pub fn fuller<'a>(sentence: &str, question: &str, sources: &[Source<'a>]) -> Vec<&'a str> {
    let wanted: BTreeSet<String> = words(sentence).union(&words(question)).cloned().collect();
    let gives_figures = !language::allowed(sentence, &[question]).is_empty();
    let own = sources
        .iter()
        .filter(|source| language::allowed(sentence, &[question, source.text]).is_empty())
        .map(|source| (words(source.text).intersection(&wanted).count(), source))
        // The first of equals: passages stand best first.
        .reduce(|best, next| if next.0 > best.0 { next } else { best });
    let Some((_, own)) = own else { return Vec::new() };
    let nearest = sources.iter().max_by(|left, right| left.nearness.total_cmp(&right.nearness));
    match nearest.filter(|nearest| nearest.nearness > own.nearness + NEARER_BY) {
        Some(nearest) => vec![nearest.text, own.text],
        None if gives_figures && !language::number::rivals(sentence, question, own.text).is_empty() => {
            vec![own.text]
        }
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_says_nothing_of_its_own() {
        let question = "I use two branches of one bank. Does that double my insured amount?";
        for (sentence, want) in [
            ("Yes.", true),
            ("Yes, that doubles your insured amount.", true),
            ("No, that does not double it.", true),
            ("No, two branches count as one institution.", false),
            ("You are insured up to $250,000.", false),
        ] {
            assert_eq!(is_echo(sentence, question), want, "{sentence}");
        }
    }

    #[test]
    fn one_of_several_figures_is_replaced_by_the_sentence_that_has_them_all() {
        let ages =
            "Required minimum distributions start at age 73, or at 75 for people born in 1960 or later.";
        let missed = "A missed one is taxed at 25 percent.";
        let sources = [missed, ages].map(|text| Source { text, nearness: 0.5 });
        for (sentence, want) in [
            ("At age 73.", vec![ages]),
            ("At 73, or at 75 for people born in 1960 or later.", vec![]),
            ("A missed one is taxed at 25 percent.", vec![]),
            ("They begin some day.", vec![]),
            ("They begin at age 99.", vec![]), // not ours to mend: no source has it
        ] {
            let found = fuller(sentence, "When do the forced withdrawals begin?", &sources);
            assert_eq!(found, want, "{sentence}");
        }
    }

    #[test]
    fn what_the_question_asks_for_is_told_before_what_the_answer_rests_on() {
        let asked = "You can cancel a new home equity line until midnight of the third business day.";
        let rests_on = "Without the notice you can cancel for three years.";
        let question = "We changed our minds about our credit line. How long do we have?";
        for (nearness, want) in [(0.7, vec![asked, rests_on]), (0.5, vec![])] {
            let sources = [Source { text: rests_on, nearness: 0.5 }, Source { text: asked, nearness }];
            assert_eq!(fuller("You have three years.", question, &sources), want, "{nearness}");
        }
    }
}
