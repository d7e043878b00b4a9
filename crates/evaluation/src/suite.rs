//! A suite: JSON lines, one question each.

use serde::Deserialize;

/// One question and what makes its answer right.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Unique within the suite.
    pub id: String,
    /// What is asked.
    pub question: String,
    /// The agent asked; the default one when absent.
    #[serde(default)]
    pub use_case: Option<String>,
    /// Facts that must all occur; `|` separates alternatives.
    #[serde(default)]
    pub expect: Vec<String>,
    /// What must not occur.
    #[serde(default)]
    pub forbid: Vec<String>,
    /// The sentence that answers, for measuring the search alone; not judged here.
    #[serde(default)]
    pub fact: Option<String>,
    /// Whether the right answer is that the assistant does not have it.
    #[serde(default)]
    pub unanswerable: bool,
}

/// A suite that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct SuiteError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

/// Reads a suite. Empty lines are skipped.
///
/// # Errors
/// [`SuiteError`] with the first line that is wrong.
pub fn parse(text: &str) -> Result<Vec<Case>, SuiteError> {
    let mut cases: Vec<Case> = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |reason: String| SuiteError { line: index + 1, reason };
        let case: Case = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        if case.question.trim().is_empty() {
            return Err(wrong(format!("`{}` asks nothing", case.id)));
        }
        if !case.unanswerable && case.expect.is_empty() {
            return Err(wrong(format!("`{}` needs `expect`, or `\"unanswerable\": true`", case.id)));
        }
        if case
            .expect
            .iter()
            .flat_map(|fact| fact.split('|'))
            .chain(case.forbid.iter().map(String::as_str))
            .any(|fact| fact.trim().is_empty())
        {
            return Err(wrong(format!("`{}` has an empty fact, which every text holds", case.id)));
        }
        if !ids.insert(case.id.clone()) {
            return Err(wrong(format!("the id `{}` occurs twice", case.id)));
        }
        cases.push(case);
    }
    if cases.is_empty() {
        return Err(SuiteError { line: 1, reason: "the suite has no question".to_owned() });
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_read() {
        let cases = parse("{\"id\":\"a\",\"question\":\"Q?\",\"expect\":[\"1|one\"]}\n\n{\"id\":\"b\",\"question\":\"Q?\",\"unanswerable\":true}").expect("valid");
        assert_eq!(cases.len(), 2);
        assert!(cases[1].unanswerable);
    }

    #[test]
    fn mistakes_carry_their_line() {
        for (text, line, want) in [
            ("", 1, "no question"),
            ("{\"id\":\"a\",\"question\":\" \",\"expect\":[\"x\"]}", 1, "asks nothing"),
            ("\n{\"id\":\"a\",\"question\":\"Q\"}", 2, "needs `expect`"),
            ("{\"id\":\"a\",\"question\":\"Q\",\"expect\":[\"x|\"]}", 1, "empty fact"),
            ("{\"id\":\"a\",\"question\":\"Q\",\"expect\":[\"x\"],\"colour\":1}", 1, "colour"),
            (
                "{\"id\":\"a\",\"question\":\"Q\",\"expect\":[\"x\"]}\n{\"id\":\"a\",\"question\":\"Q\",\"expect\":[\"x\"]}",
                2,
                "twice",
            ),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.line, line, "{text}");
            assert!(error.reason.contains(want), "{text}: {error}");
        }
    }
}
