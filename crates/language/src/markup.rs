//! Markdown as far as validation needs it: fences that were never closed, placeholders never filled.

use std::ops::Range;
use std::sync::LazyLock;

use pulldown_cmark::{Event, Options, Parser, Tag};
use regex::Regex;

/// JSON values looked for in one text at most, so that a text of braces costs no more than it is long.
const JSON_ATTEMPTS_MAX: usize = 64;

/// What a template leaves when nobody filled it.
static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"\{\{[^{}\n]{1,80}\}\}",
        r"|\$\{[^{}\n]{1,80}\}",
        r"|<(?:YOUR|INSERT|ENTER|ADD|FILL)[ _-][^<>\n]{0,60}>",
        r"|<(?i:your|insert|enter)[ _-][a-z0-9 _-]{1,40}>",
        r"|<[A-Z][A-Z0-9]*_[A-Z0-9_]{1,60}>",
        r"|\[(?i:insert|your|enter|add|fill in|placeholder|tbd|todo)\b[^\[\]\n]{0,80}\]",
        r"|\[[A-Z][A-Z0-9]*[ _][A-Z0-9 _]{1,60}\]",
        r"|\b(?:TODO|FIXME|TBD)\b",
        r"|\b(?i:lorem ipsum)\b",
    ))
    .expect("a constant pattern")
});

/// Byte ranges of unfilled placeholders: `{{x}}`, `${x}`, `<YOUR_X>`, `[INSERT x]`, `TODO`, `lorem ipsum`.
/// Code, JSON, Markdown links and footnotes are not looked at: there they are the text itself.
#[must_use]
pub fn placeholders(text: &str) -> Vec<Range<usize>> {
    let mut found = PLACEHOLDER.find_iter(text).map(|hit| hit.range()).peekable();
    if found.peek().is_none() {
        return Vec::new();
    }
    let mut excluded = code_and_links(text);
    excluded.extend(json_values(text));
    found.filter(|hit| !excluded.iter().any(|range| overlaps(range, hit))).collect()
}

/// Where a code fence begins that is never closed (CommonMark §4.5), or `None` when all are.
#[must_use]
pub fn unclosed_fence(text: &str) -> Option<usize> {
    let mut open: Option<(usize, char, usize)> = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some((mark, length, info)) = fence(line) {
            match open {
                None => open = Some((start, mark, length)),
                Some((_, opened, at_least)) if opened == mark && length >= at_least && info.is_empty() => {
                    open = None;
                }
                Some(_) => {}
            }
        }
        start += line.len();
    }
    open.map(|(start, ..)| start)
}

/// The fence that `line` is: its mark, its length and what stands behind it.
pub(crate) fn fence(line: &str) -> Option<(char, usize, &str)> {
    let bare = line.trim_start_matches(' ');
    if line.len() - bare.len() > 3 {
        return None;
    }
    let mark = bare.chars().next().filter(|&c| c == '`' || c == '~')?;
    let info = bare.trim_start_matches(mark);
    let length = bare.len() - info.len();
    let is_inline = mark == '`' && info.contains('`');
    (length >= 3 && !is_inline).then(|| (mark, length, info.trim()))
}

fn code_and_links(text: &str) -> Vec<Range<usize>> {
    let options = Options::ENABLE_FOOTNOTES | Options::ENABLE_TABLES;
    Parser::new_ext(text, options)
        .into_offset_iter()
        .filter_map(|(event, range)| match event {
            Event::Code(_) | Event::FootnoteReference(_) => Some(range),
            Event::Start(Tag::CodeBlock(_) | Tag::Link { .. } | Tag::Image { .. }) => Some(range),
            _ => None,
        })
        .collect()
}

fn json_values(text: &str) -> Vec<Range<usize>> {
    let mut values = Vec::new();
    let mut from = 0;
    for _ in 0..JSON_ATTEMPTS_MAX {
        let Some(start) = text[from..].find('{').map(|at| from + at) else { break };
        let mut stream =
            serde_json::Deserializer::from_str(&text[start..]).into_iter::<serde::de::IgnoredAny>();
        if matches!(stream.next(), Some(Ok(_))) {
            from = start + stream.byte_offset();
            values.push(start..from);
        } else {
            from = start + 1;
        }
    }
    values
}

fn overlaps(left: &Range<usize>, right: &Range<usize>) -> bool {
    left.start < right.end && right.start < left.end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfilled_placeholders_are_found() {
        for (text, want) in [
            ("Dear {{name}}, hello", "{{name}}"),
            ("Call ${phone} today", "${phone}"),
            ("Write to <YOUR_BANK>.", "<YOUR_BANK>"),
            ("Write to <your name>.", "<your name>"),
            ("The rate is [INSERT RATE].", "[INSERT RATE]"),
            ("Dear [Your Name],", "[Your Name]"),
            ("Call [BANK NAME] now", "[BANK NAME]"),
            ("Fee: TBD", "TBD"),
            ("TODO: explain", "TODO"),
            ("Lorem ipsum dolor", "Lorem ipsum"),
        ] {
            let found: Vec<&str> = placeholders(text).into_iter().map(|range| &text[range]).collect();
            assert_eq!(found, [want], "{text}");
        }
    }

    #[test]
    fn links_footnotes_code_and_json_are_no_placeholders() {
        for text in [
            "See [the FDIC page](https://example.com) and [insert coin](https://example.com/coin).",
            "It is insured [1], up to a limit [2][3].",
            "A note[^1].\n\n[^1]: the note",
            "Use `{{name}}` in the template.",
            "```\nexport A=${B}\n# TODO\n```",
            r#"It returns {"note": "TODO", "a": {"b": "{{x}}"}}."#,
            "Todo el dinero está asegurado.",
            "Deposits [at member banks] are insured.",
            "if a < b and c > d",
            "The [FDIC] insures it.",
        ] {
            assert_eq!(placeholders(text), Vec::<Range<usize>>::new(), "{text}");
        }
    }

    #[test]
    fn a_fence_is_closed_by_one_as_long_without_info() {
        for (text, want) in [
            ("```rust\nx\n```\n", None),
            ("a\n```\nx\n", Some(2)),
            ("````\n```\n````", None),
            ("~~~\n```\n~~~", None),
            ("```\nx\n``` y", Some(0)),
            ("uses ```inline``` code", None),
            ("    ```\nindented code", None),
            ("", None),
        ] {
            assert_eq!(unclosed_fence(text), want, "{text:?}");
        }
    }
}
