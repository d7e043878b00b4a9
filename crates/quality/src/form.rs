//! How an answer looks: its ending, its marks, its stock phrases.

use std::sync::LazyLock;

use regex::Regex;

static REFUSAL: LazyLock<Regex> = LazyLock::new(|| {
    compile(concat!(
        r"(?i)\b(?:I|we)(?:'m| am|'re| are)? (?:do not|don't|can not|cannot|can't|could not|couldn't|unable to|not able to)(?: currently)? ",
        r"(?:have (?:that|this|the|any|enough|such|access|information|details|specific)|find|answer|provide|know|help with|assist|see (?:that|any)|locate|tell|determine)",
        r"|\b(?:I'm|I am|we're|we are) (?:unable|not able) to (?:answer|provide|find|help|determine|tell)",
        r"|\b(?:that|this|the) (?:information|answer|detail)s? (?:is|are) not (?:available|provided|included|mentioned|given|stated|in the)",
        r"|\bthe (?:facts|passages?|text|context|provided \w+)(?: provided| given| above)? (?:do|does) not (?:answer|say|mention|contain|include|provide|specify|state)",
        r"|\bno (?:such )?information (?:is )?(?:available|given|provided|about that|on that)",
    ))
});

static ROLE_MARK: LazyLock<Regex> = LazyLock::new(|| {
    compile(concat!(
        r"<\|[\w ]{1,40}\|>|</?s>|\[/?INST\]|<</?SYS>>|</?(?:start|end)_of_turn>|</?think>",
        r"|(?m:^[ \t#*]*(?i:user|assistant|human|system|customer|ai|bot|question|facts|instructions?|context)[*]{0,2}:(?:\s|[*]))",
    ))
});

static STOCK: LazyLock<Regex> = LazyLock::new(|| {
    compile(concat!(
        r"(?i)^\W*(?:sure|certainly|of course|absolutely|great question|good question|thank you|thanks|hello|hi|okay|ok",
        r"|I(?:'d| would) be (?:happy|glad)|I(?:'m| am) (?:happy|glad|here) to|I can help|I hope|let me|happy to",
        r"|here(?:'s| is| are)|based on the|according to the (?:facts|passages?|information|text)|as an AI",
        r"|(?:please )?let (?:me|us) know|(?:please )?feel free|if you have (?:any )?(?:other|more|further|additional) questions|is there anything else)\b",
    ))
});

fn compile(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern")
}

/// Whether `text` says, and says little else, that the answer is not known: "I don't have that information."
#[must_use]
pub fn is_refusal(text: &str) -> bool {
    let folded = language::text::fold(text);
    let Some(refusal) = REFUSAL.find(&folded) else { return false };
    // A refusal opens the text; one at the end of a real answer only limits it.
    let before = folded.get(..refusal.start()).unwrap_or_default();
    language::content_words(before).len() <= 3
}

/// The first mark of a chat template or a dialogue that `text` still wears.
#[must_use]
pub fn role_mark(text: &str) -> Option<&str> {
    ROLE_MARK.find(text).map(|mark| mark.as_str().trim())
}

/// Whether a sentence is an opening or closing phrase that says nothing of the matter.
#[must_use]
pub fn is_stock(sentence: &str) -> bool {
    STOCK.find(sentence).is_some_and(|opening| {
        let rest = sentence.get(opening.end()..).unwrap_or_default();
        language::numbers(rest).is_empty() && language::content_words(rest).len() <= 5
    })
}

/// Whether `text` ends as a sentence, a list item, a table row, a citation or a closed fence does.
#[must_use]
pub fn ends_well(text: &str) -> bool {
    let text = text.trim_end();
    let last_line = text.lines().next_back().unwrap_or_default().trim_start();
    let marked = last_line.starts_with(['-', '*', '•', '|', '+']) && last_line.len() > 2
        || last_line.split_once(['.', ')']).is_some_and(|(numeral, rest)| {
            !numeral.is_empty() && numeral.bytes().all(|byte| byte.is_ascii_digit()) && rest.starts_with(' ')
        });
    let bare = text.trim_end_matches(['"', '\'', '”', '’', ')', '*', '_', '`']);
    marked && !text.ends_with([',', ';', ':'])
        || bare.ends_with(['.', '!', '?', '…', '。', '！', '？', ']'])
        || text.ends_with("```")
}

/// A sentence that stands in `text` at least twice: a model that has lost its way.
#[must_use]
pub fn repeated(text: &str) -> Option<&str> {
    let mut seen = std::collections::HashSet::new();
    language::sentences(text)
        .into_iter()
        .filter_map(|range| text.get(range))
        .find(|sentence| language::words(sentence).len() >= 5 && !seen.insert(language::text::fold(sentence)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_from_answers() {
        for (text, want) in [
            ("I don't have that information.", true),
            ("I’m sorry, but I do not have enough information to answer.", true),
            ("The facts do not mention a fee.", true),
            ("Sorry, I cannot provide that.", true),
            ("That information is not available.", true),
            ("You don't have to pay a fee.", false),
            ("We cannot charge you more than $50.", false),
            (
                "The limit is $50 per transfer under the rules of federal law. I don't have information on states.",
                false,
            ),
            ("", false),
        ] {
            assert_eq!(is_refusal(text), want, "{text}");
        }
    }

    #[test]
    fn role_marks_are_found() {
        for text in [
            "Yes.<|im_end|>",
            "<|im_start|>assistant",
            "Yes.\nUser: and then?",
            "[INST] x",
            "**Question:** x",
        ] {
            assert!(role_mark(text).is_some(), "{text}");
        }
        for text in ["Ask the user: they know.", "Yes, a < b | c > d.", "Note: call us."] {
            assert_eq!(role_mark(text), None, "{text}");
        }
    }

    #[test]
    fn endings_are_judged() {
        for (text, want) in [
            ("It is insured.", true),
            ("It is insured [1]", true),
            ("**It is insured.**", true),
            ("- a card\n- a form", true),
            ("1. Call\n2. Write", true),
            ("It is insured up to", false),
            ("You need:", false),
            ("", false),
        ] {
            assert_eq!(ends_well(text), want, "{text}");
        }
    }

    #[test]
    fn stock_phrases_say_nothing() {
        for (text, want) in [
            ("Sure, I can help with that!", true),
            ("Let me know if you have any other questions.", true),
            ("Here is the answer:", true),
            ("Sure, the limit is $50.", false),
            (
                "Thanks to the Truth in Lending Act, your card's liability for unauthorized charges is limited.",
                false,
            ),
            ("The limit holds.", false),
        ] {
            assert_eq!(is_stock(text), want, "{text}");
        }
    }

    #[test]
    fn a_sentence_said_twice_is_noticed() {
        assert!(repeated("The bank pays you back. The bank pays you back.").is_some());
        assert_eq!(repeated("Yes. Yes. The bank pays you back."), None);
    }
}
