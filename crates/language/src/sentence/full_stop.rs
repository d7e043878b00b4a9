//! Whether a single full stop ends a sentence, or is that of an abbreviation, an initial or a number.

use super::{Scan, Tail, Verdict, block_mark};

/// Never end a sentence; sorted, without their last dot.
const INNER: &[&str] = &[
    "approx", "ave", "blvd", "capt", "cf", "col", "dr", "e.g", "eg", "esp", "ft", "gen", "gov", "hon", "i.e",
    "ie", "incl", "lt", "messrs", "mr", "mrs", "ms", "mt", "pres", "prof", "rep", "rev", "sen", "sgt", "st",
    "vs",
];

/// End no sentence when a number follows; sorted.
const NUMBERED: &[&str] = &[
    "apr", "art", "aug", "ch", "dec", "eq", "ext", "feb", "fig", "figs", "jan", "jul", "jun", "mar", "no",
    "nos", "nov", "oct", "p", "par", "para", "pg", "pp", "pt", "pub", "reg", "sec", "sect", "sep", "sept",
    "tel", "vol",
];

/// May end a sentence: they do when a usual first word follows; sorted.
const OPEN: &[&str] = &[
    "a.m", "am", "assn", "bros", "co", "corp", "dept", "est", "etc", "inc", "llc", "ltd", "n.a", "p.m",
    "plc", "pm",
];

/// What is numbered with letters, so that a letter behind it is no initial of a name; sorted.
const LETTERED: &[&str] = &[
    "appendix",
    "class",
    "exhibit",
    "form",
    "grade",
    "group",
    "medicare",
    "option",
    "part",
    "plan",
    "regulation",
    "schedule",
    "section",
    "series",
    "type",
    "vitamin",
];

/// Words that usually begin a sentence; sorted.
const STARTERS: &[&str] = &[
    "A", "After", "All", "Also", "Although", "An", "And", "Any", "Are", "As", "Ask", "At", "Banks",
    "Because", "Before", "Both", "But", "By", "Call", "Can", "Check", "Contact", "Deposits", "Do", "Does",
    "Each", "Even", "Every", "For", "From", "He", "Here", "How", "However", "I", "If", "In", "Is", "It",
    "It's", "Its", "Keep", "Many", "Most", "My", "No", "Not", "Note", "On", "Once", "Only", "Or", "Other",
    "Our", "Please", "She", "Since", "So", "Some", "Such", "That", "The", "Their", "Then", "There", "These",
    "They", "This", "Those", "Though", "To", "Under", "Unless", "Until", "Use", "Visit", "We", "What",
    "When", "Where", "Which", "While", "Who", "Why", "With", "Yes", "You", "You'll", "Your",
];

impl Scan<'_> {
    /// Whether the single full stop at `at` ends the sentence, given what follows.
    pub(super) fn full_stop(&self, at: usize, next: &str, first: char) -> Verdict {
        let word = self.body[..at]
            .rsplit(|c: char| c.is_whitespace() || "([{\"'“‘*_-–—/".contains(c))
            .next()
            .unwrap_or_default();
        let folded = word.to_lowercase();
        let is_listed = |list: &[&str]| list.binary_search(&folded.as_str()).is_ok();
        if is_listed(INNER) {
            return Verdict::GoesOn;
        }
        if is_listed(NUMBERED) {
            return if first.is_ascii_digit() || first == '§' { Verdict::GoesOn } else { Verdict::Ends };
        }
        let is_lettered = self.body[..at - word.len()]
            .split_whitespace()
            .next_back()
            .is_some_and(|before| LETTERED.binary_search(&before.to_lowercase().as_str()).is_ok());
        let is_initial =
            word.chars().count() == 1 && word.chars().all(char::is_uppercase) && word != "I" && !is_lettered;
        let is_acronym = word.contains('.')
            && word.split('.').all(|part| part.chars().count() == 1)
            && !word.contains(|c: char| c.is_ascii_digit());
        if !(is_initial || is_acronym || is_listed(OPEN)) {
            return Verdict::Ends;
        }
        let starter = next.split(|c: char| !(c.is_alphanumeric() || c == '\'')).next().unwrap_or_default();
        if starter.len() == next.len() && self.tail == Tail::Growing {
            return Verdict::Unknown;
        }
        if STARTERS.binary_search(&starter).is_ok() || block_mark(next).is_some() {
            Verdict::Ends
        } else {
            Verdict::GoesOn
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_so_that_all_are_found() {
        for list in [INNER, NUMBERED, OPEN, LETTERED, STARTERS] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }
}
