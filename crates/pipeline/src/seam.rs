//! Where an answer that broke off goes on in another model's words: no word twice, no half of one, no gap.

/// Most bytes of a last word that are not released yet. What is longer is no word, or a script without spaces.
const WORD_BYTES_MAX: usize = 64;
/// How far back from its end a text is searched for words that come again.
const TAIL_BYTES: usize = 4 << 10;
/// Most bytes of an answer that another model can go on with.
const SAID_BYTES_MAX: usize = 1 << 20;

/// What is asked of the model that goes on, after the text that was released.
pub(crate) const GO_ON: &str = "Your answer was cut off where it ends above. Go on from exactly there, in the same \
     language, tone and form. Write only what is missing: repeat nothing, and say nothing about the interruption.";

/// A text that is released word by word, whoever writes it.
#[derive(Debug, Default)]
pub(crate) struct Seam {
    /// What was released.
    said: String,
    /// A word that may not be whole.
    held: String,
    /// The beginning of what another model writes, until it is known what of it is new.
    joint: Option<String>,
}

impl Seam {
    /// Of a text that broke off after `said`.
    pub(crate) fn after(said: &str) -> Self {
        Self { said: said.to_owned(), held: String::new(), joint: Some(String::new()) }
    }

    /// More of the text: what of it may be released.
    pub(crate) fn push(&mut self, text: &str) -> String {
        match &mut self.joint {
            None => self.held.push_str(text),
            Some(joint) => {
                joint.push_str(text);
                match rest(&self.said, joint, Heard::Beginning) {
                    None => return String::new(),
                    Some(rest) => self.held = rest,
                }
                self.joint = None;
            }
        }
        let end = match self.held.rfind(char::is_whitespace) {
            _ if self.held.len() > self.released_at_most() => self.held.len(),
            Some(at) => {
                at + self.held.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
            }
            None => 0,
        };
        let rest = self.held.split_off(end);
        self.release(rest)
    }

    /// Where the held text is too long for a word.
    fn released_at_most(&self) -> usize {
        let last = self.held.rfind(char::is_whitespace).unwrap_or_default();
        last + WORD_BYTES_MAX
    }

    /// The text is complete: what of it was not released.
    pub(crate) fn finish(&mut self) -> String {
        if let Some(joint) = self.joint.take() {
            self.held = rest(&self.said, &joint, Heard::All).unwrap_or_default();
        }
        self.release(String::new())
    }

    /// The text broke off: another model goes on after what was released.
    pub(crate) fn broke(&mut self) {
        self.held.clear();
        self.joint = Some(String::new());
    }

    /// What was released.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    /// Whether another model could still be told all that was said.
    pub(crate) fn can_go_on(&self) -> bool {
        self.said.len() <= SAID_BYTES_MAX
    }

    /// Releases what is held, but for `rest`.
    fn release(&mut self, rest: String) -> String {
        let released = std::mem::replace(&mut self.held, rest);
        if self.can_go_on() {
            self.said.push_str(&released);
        }
        released
    }
}

/// How much is known of a text that goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Beginning,
    All,
}

/// What of `next` is new after `said`, with the space that belongs between; `None` until more of it is known.
fn rest(said: &str, next: &str, heard: Heard) -> Option<String> {
    let (text, begun) = (said.trim_end(), next.trim_start());
    if begun.is_empty() {
        return (heard == Heard::All).then(String::new);
    }
    let mut n_again = None;
    for start in word_starts(text) {
        let tail = text.get(start..).unwrap_or_default();
        if begun.len() <= tail.len() {
            match heard {
                Heard::Beginning if tail.starts_with(begun) => return None,
                Heard::All if tail == begun => return Some(String::new()),
                _ => {}
            }
        } else if begun.starts_with(tail) && is_between_words(begun, tail.len()) {
            n_again = Some(tail.len());
            break;
        }
    }
    let new = match n_again {
        Some(n) => begun.get(n..).unwrap_or_default(),
        None => next,
    };
    let is_apart = said.is_empty() || said.ends_with(char::is_whitespace);
    Some(match (is_apart, new.chars().next()) {
        (true, _) => new.trim_start_matches(' ').to_owned(),
        (false, Some(first)) if first.is_alphanumeric() && said.ends_with(['.', ',', ';', ':', '!', '?']) => {
            format!(" {new}")
        }
        (false, _) => new.to_owned(),
    })
}

/// Where words begin in `text`: at its beginning, and in its last [`TAIL_BYTES`]. Scripts without spaces have words of one
/// sign.
fn word_starts(text: &str) -> impl Iterator<Item = usize> {
    let tail = text.len().saturating_sub(TAIL_BYTES);
    let mut before = ' ';
    text.char_indices().filter_map(move |(at, sign)| {
        let is_start = !sign.is_whitespace() && (!before.is_alphanumeric() || !sign.is_ascii());
        before = sign;
        (is_start && (at == 0 || at >= tail)).then_some(at)
    })
}

/// Whether a word of `text` ends before `at`.
fn is_between_words(text: &str, at: usize) -> bool {
    let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
    let ends = before.chars().next_back().is_none_or(|sign| !sign.is_alphanumeric() || !sign.is_ascii());
    ends || after.chars().next().is_none_or(|sign| !sign.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is released of `pieces`, of which `|` breaks off.
    fn released(pieces: &[&str]) -> String {
        let mut seam = Seam::default();
        let mut text = String::new();
        for piece in pieces {
            match *piece {
                "|" => seam.broke(),
                piece => text.push_str(&seam.push(piece)),
            }
            assert_eq!(seam.said(), text, "{pieces:?}");
        }
        text.push_str(&seam.finish());
        text
    }

    #[test]
    fn a_text_that_breaks_off_goes_on_without_a_seam() {
        for (pieces, want) in [
            (&["The bank ", "must hold."][..], "The bank must hold."),
            // The half of a word is the other model's to say.
            (&["The bank mu", "|", "must hold it."], "The bank must hold it."),
            (&["The bank must", "|", "must hold it."], "The bank must hold it."),
            (&["The bank ", "|", " must", " hold it."], "The bank must hold it."),
            // Words that come again, however they are cut.
            (&["The bank must ", "|", "bank must hold", " it."], "The bank must hold it."),
            (&["The bank must ", "|", "ba", "nk", " mu", "st", " hold it."], "The bank must hold it."),
            (&["The bank must ", "|", "The bank must hold it."], "The bank must hold it."),
            (&["The bank must ", "|", "must"], "The bank must "),
            // Words that only look alike.
            (&["We see the ", "|", "thesis."], "We see the thesis."),
            (&["We see the ", "|", "the", "sis."], "We see the thesis."),
            (&["We hold. ", "|", "\n\n- One\n"], "We hold. \n\n- One\n"),
            (&["", "|", "All of it."], "All of it."),
            (&["One. Two. ", "|", "Two. Three mo", "|", "Four."], "One. Two. Three Four."),
            // No spaces: nothing is held back for long.
            (
                &[
                    "存款保险的限额是二十五万美元，由法律规定，每位存款人都有保障。",
                    "|",
                    "都有保障。联名账户另计。",
                ],
                "存款保险的限额是二十五万美元，由法律规定，每位存款人都有保障。联名账户另计。",
            ),
        ] {
            assert_eq!(released(pieces), want, "{pieces:?}");
        }
    }

    #[test]
    fn words_are_released_when_they_are_whole() {
        let mut seam = Seam::default();
        assert_eq!(
            ["The", " bank", " mu", "st ", "hold"].map(|text| seam.push(text)),
            ["", "The ", "bank ", "must ", ""]
        );
        assert_eq!(seam.push(&"x".repeat(WORD_BYTES_MAX + 1)).len(), WORD_BYTES_MAX + 5, "no word");
        let mut seam = Seam::after("Joint accounts are insured separately.");
        assert_eq!(seam.push("The limit is"), " The limit ");
        assert_eq!(seam.finish(), "is");
    }

    #[test]
    fn an_answer_too_long_to_be_told_again_is_released_all_the_same() {
        let mut seam = Seam::default();
        let words = "word ".repeat(SAID_BYTES_MAX / 5 + 1);
        assert_eq!(seam.push(&words).len(), words.len());
        assert!(!seam.can_go_on());
        assert_eq!(seam.push("more "), "more ");
    }
}
