//! Bytes of tokens become text: only complete UTF-8 leaves, and nothing that may be the beginning of a stop text.

/// Text on its way out of one answer.
#[derive(Debug, Default)]
pub(crate) struct Outlet {
    stops: Vec<String>,
    /// Bytes of a character that is not complete yet.
    bytes: Vec<u8>,
    /// Text that may be the beginning of a stop text.
    held: String,
}

/// What may leave after a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) text: String,
    /// A stop text came; it and what followed are dropped.
    pub(crate) is_stopped: bool,
}

impl Outlet {
    pub(crate) fn new(stops: &[String]) -> Self {
        Self { stops: stops.iter().filter(|stop| !stop.is_empty()).cloned().collect(), ..Self::default() }
    }

    /// Takes the bytes of one token.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Release {
        self.bytes.extend_from_slice(bytes);
        let complete = complete_prefix(&self.bytes);
        let rest = self.bytes.split_off(complete);
        self.held.push_str(&String::from_utf8_lossy(&self.bytes));
        self.bytes = rest;
        if let Some(start) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.held.truncate(start);
            return Release { text: std::mem::take(&mut self.held), is_stopped: true };
        }
        let kept = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - kept);
        Release { text: std::mem::replace(&mut self.held, rest), is_stopped: false }
    }

    /// The rest, when the answer ends without a stop text.
    pub(crate) fn finish(self) -> String {
        self.held + &String::from_utf8_lossy(&self.bytes)
    }
}

/// Length of the longest prefix that does not end within a character. Bytes that can never become a character count
/// as complete.
fn complete_prefix(bytes: &[u8]) -> usize {
    let mut checked = 0;
    while let Err(error) = std::str::from_utf8(bytes.get(checked..).unwrap_or_default()) {
        match error.error_len() {
            None => return checked + error.valid_up_to(),
            Some(bad) => checked += error.valid_up_to() + bad,
        }
    }
    bytes.len()
}

/// Length of the longest end of `text` that is a beginning of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    stop.char_indices()
        .map(|(index, _)| index)
        .rev()
        .find(|&length| stop.get(..length).is_some_and(|beginning| text.ends_with(beginning)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], tokens: &[&[u8]]) -> (Vec<String>, bool) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut outlet = Outlet::new(&stops);
        let mut texts = Vec::new();
        for token in tokens {
            let release = outlet.push(token);
            texts.push(release.text);
            if release.is_stopped {
                return (texts, true);
            }
        }
        texts.push(outlet.finish());
        (texts, false)
    }

    #[test]
    fn characters_leave_whole() {
        let euro = "€".as_bytes();
        for (tokens, want) in [
            (vec![&euro[..1], &euro[1..], b"5"], vec!["", "€", "5", ""]),
            (vec![b"a", &euro[..2]], vec!["a", "", "\u{fffd}"]), // the end came within it
            (vec![&b"\xff"[..], b"b"], vec!["\u{fffd}", "b", ""]), // never a character
        ] {
            assert_eq!(run(&[], &tokens).0, want);
        }
    }

    #[test]
    fn stop_texts_end_the_answer_and_are_held_back() {
        for (stops, tokens, want, is_stopped) in [
            (vec!["\n\n"], vec!["a\n", "\nb"], vec!["a", ""], true),
            (vec!["\n\n"], vec!["a\n", "b"], vec!["a", "\nb", ""], false),
            (vec!["END"], vec!["xE", "N", "x"], vec!["x", "", "ENx", ""], false),
            (vec!["END"], vec!["xE", "N"], vec!["x", "", "EN"], false), // held at the end
            (vec!["b", "ab"], vec!["xaby"], vec!["x"], true),           // the earliest match counts
            (vec![""], vec!["x"], vec!["x", ""], false),                // an empty stop stops nothing
        ] {
            let tokens: Vec<&[u8]> = tokens.iter().map(|token| token.as_bytes()).collect();
            assert_eq!(run(&stops, &tokens), (want.iter().map(ToString::to_string).collect(), is_stopped));
        }
    }
}
