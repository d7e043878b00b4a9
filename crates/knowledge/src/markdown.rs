//! The readable text of Markdown: one block a line, headings kept as `#` lines, table rows with their
//! column names so that each row can be read by itself.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// The readable text of `source`.
pub(crate) fn readable(source: &str) -> String {
    let mut rendering = Rendering::default();
    for event in Parser::new_ext(source, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        rendering.take(event);
    }
    rendering.end_line();
    rendering.text
}

/// Level and words of a heading line.
pub(crate) fn heading(line: &str) -> Option<(usize, &str)> {
    let words = line.trim_start_matches('#');
    let level = line.len() - words.len();
    let words = words.strip_prefix(' ')?.trim();
    ((1..=6).contains(&level) && !words.is_empty()).then_some((level, words))
}

/// Length in bytes of the list marker (`- `, `12. `) that `line` starts with; 0 without one.
pub(crate) fn marker(line: &str) -> usize {
    if line.starts_with("- ") || line.starts_with("* ") {
        return 2;
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let after = line.get(digits..).unwrap_or_default();
    let is_numbered = (1..=3).contains(&digits) && (after.starts_with(". ") || after.starts_with(") "));
    if is_numbered { digits + 2 } else { 0 }
}

#[derive(Default)]
struct Rendering {
    text: String,
    line: String,
    /// The next number of each open list; `None` for bullets.
    lists: Vec<Option<u64>>,
    columns: Vec<String>,
    cell_index: usize,
    place: Place,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Place {
    #[default]
    Prose,
    Code,
    TableHead,
    TableRow,
}

impl Rendering {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.place == Place::Code => {
                for line in text.lines() {
                    self.line.push_str(line);
                    self.end_line();
                }
            }
            Event::Text(text) | Event::Code(text) => self.words(&text),
            Event::SoftBreak => self.line.push(' '),
            Event::HardBreak | Event::Rule => self.end_line(),
            // Markup and footnotes are not text for readers.
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => {
                self.end_line();
                self.line.push_str(hashes(*level));
            }
            Tag::List(first) => {
                self.end_line();
                self.lists.push(*first);
            }
            Tag::Item => {
                self.end_line();
                match self.lists.last_mut() {
                    Some(Some(number)) => {
                        self.line = format!("{number}. ");
                        *number += 1;
                    }
                    _ => self.line.push_str("- "),
                }
            }
            Tag::CodeBlock(_) => {
                self.end_line();
                self.place = Place::Code;
            }
            Tag::TableHead => {
                self.columns.clear();
                self.place = Place::TableHead;
            }
            Tag::TableRow => {
                self.cell_index = 0;
                self.place = Place::TableRow;
            }
            Tag::TableCell if self.place == Place::TableHead => self.columns.push(String::new()),
            Tag::TableCell => self.start_cell(),
            Tag::BlockQuote(_) | Tag::Table(_) => self.end_line(),
            _ => {}
        }
    }

    fn start_cell(&mut self) {
        if self.cell_index > 0 {
            self.line.push_str("; ");
        }
        if let Some(column) = self.columns.get(self.cell_index).filter(|column| !column.is_empty()) {
            self.line.push_str(column);
            self.line.push_str(": ");
        }
        self.cell_index += 1;
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::CodeBlock => self.place = Place::Prose,
            TagEnd::TableHead | TagEnd::Table => self.place = Place::Prose,
            TagEnd::TableRow => self.end_line(),
            TagEnd::List(_) => {
                self.end_line();
                self.lists.pop();
            }
            TagEnd::Heading(_) | TagEnd::Paragraph | TagEnd::Item => self.end_line(),
            _ => {}
        }
    }

    fn words(&mut self, words: &str) {
        let column = (self.place == Place::TableHead).then(|| self.columns.last_mut()).flatten();
        column.unwrap_or(&mut self.line).push_str(words);
    }

    /// Ends the line; one that holds nothing but its marker goes on.
    fn end_line(&mut self) {
        let words: Vec<&str> = self.line.split_whitespace().collect();
        let line = words.join(" ");
        let is_bare = line.trim_matches(['#', '-']).is_empty() || marker(&self.line) == self.line.len();
        if is_bare {
            if words.is_empty() || line.starts_with('#') {
                self.line.clear();
            }
            return;
        }
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&line);
        self.line.clear();
    }
}

fn hashes(level: HeadingLevel) -> &'static str {
    match level {
        HeadingLevel::H1 => "# ",
        HeadingLevel::H2 => "## ",
        HeadingLevel::H3 => "### ",
        HeadingLevel::H4 => "#### ",
        HeadingLevel::H5 => "##### ",
        HeadingLevel::H6 => "###### ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_become_lines() {
        for (source, want) in [
            ("# One\n\nFirst\nline.\n\nSecond *line*.", "# One\nFirst line.\nSecond line."),
            ("- a\n- b\n  - c\n", "- a\n- b\n- c"),
            ("- a\n\n- b\n\n  more of b\n", "- a\n- b\nmore of b"),
            ("3. a\n4. b", "3. a\n4. b"),
            ("> Quoted\n\nafter", "Quoted\nafter"),
            ("```\nx = 1\ny = 2\n```", "x = 1\ny = 2"),
            ("See [the rule](https://example.org) and `code`.<br>", "See the rule and code."),
            ("<div>\nmarkup\n</div>\n\ntext", "text"),
            (
                "| Kind | Limit |\n|---|---|\n| IRA | $7,500 |\n| HSA | |",
                "Kind: IRA; Limit: $7,500\nKind: HSA; Limit:",
            ),
            ("#\n\ntext", "text"),
        ] {
            assert_eq!(readable(source), want, "{source}");
        }
    }

    #[test]
    fn headings_and_markers_are_told_from_text() {
        assert_eq!(heading("## Fees and limits"), Some((2, "Fees and limits")));
        assert_eq!(heading("#hashtag"), None);
        assert_eq!(heading("####### seven"), None);
        for (line, want) in [("- a", 2), ("12. a", 4), ("1) a", 3), ("2026. a", 0), ("a", 0), ("1.5 a", 0)] {
            assert_eq!(marker(line), want, "{line}");
        }
    }
}
