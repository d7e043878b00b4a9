//! Labelled questions: what customers ask, and which text answers it.

use std::collections::HashMap;

use domain::document::Document;
use domain::id::DocumentId;
use serde::Deserialize;

use crate::chunk;
use crate::extract::{ExtractError, Reason, SourceFile};

/// A labelled question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// As a customer would ask it.
    pub(crate) text: String,
    /// The document that answers it; `None` when none does.
    pub(crate) document: Option<DocumentId>,
    /// The heading of the section that answers it, where that is known.
    pub(crate) section: Option<String>,
}

/// The labelled questions of a collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Questions {
    /// Those that teach when to abstain: some have an answer, some have none.
    pub(crate) calibration: Vec<Question>,
    /// Those that show what each section is asked.
    pub(crate) of_sections: Vec<Question>,
}

impl Questions {
    pub(crate) fn len(&self) -> usize {
        self.calibration.len() + self.of_sections.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Question> {
        self.calibration.iter().chain(&self.of_sections)
    }

    /// Those with an answer: they say where to look when somebody asks the like.
    pub(crate) fn precedents(&self) -> impl Iterator<Item = &Question> {
        self.iter().filter(|question| question.document.is_some())
    }
}

/// A line of `calibration*.jsonl`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CalibrationLine {
    question: String,
    // Must be there, even when it is null.
    #[serde(deserialize_with = "Option::deserialize")]
    document: Option<String>,
}

/// A line of `questions*.jsonl`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SectionLine {
    question: String,
    document: String,
    section: String,
}

/// The headings of each document.
pub(crate) type Headings<'a> = HashMap<&'a str, Vec<String>>;

/// The headings of `documents`, as questions name them.
pub(crate) fn headings(documents: &[Document]) -> Headings<'_> {
    documents.iter().map(|document| (document.id.as_str(), chunk::headings(document))).collect()
}

/// The calibration questions in `file`, one JSON object a line.
///
/// # Errors
/// [`ExtractError`] for a line that cannot be read or that names a document which is not there.
pub(crate) fn calibration(file: &SourceFile, known: &Headings<'_>) -> Result<Vec<Question>, ExtractError> {
    lines(file, known, "\"question\", \"document\"", |line: CalibrationLine| Question {
        text: line.question,
        document: line.document.map(DocumentId::from),
        section: None,
    })
}

/// The questions of sections in `file`, one JSON object a line.
///
/// # Errors
/// [`ExtractError`] for a line that cannot be read or that names a section which is not there.
pub(crate) fn of_sections(file: &SourceFile, known: &Headings<'_>) -> Result<Vec<Question>, ExtractError> {
    lines(file, known, "\"question\", \"document\", \"section\"", |line: SectionLine| Question {
        text: line.question,
        document: Some(DocumentId::from(line.document)),
        section: Some(line.section),
    })
}

fn lines<Line: for<'a> Deserialize<'a>>(
    file: &SourceFile,
    known: &Headings<'_>,
    keys: &'static str,
    question: impl Fn(Line) -> Question,
) -> Result<Vec<Question>, ExtractError> {
    let mut questions = Vec::new();
    for (index, line) in file.text()?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let unreadable = |error: String| file.error(index + 1, Reason::Question(keys, error));
        let question = question(serde_json::from_str(line).map_err(|error| unreadable(error.to_string()))?);
        if question.text.trim().is_empty() {
            return Err(unreadable("the question is empty".to_owned()));
        }
        check_place(&question, known).map_err(|reason| file.error(index + 1, reason))?;
        questions.push(question);
    }
    Ok(questions)
}

/// Whether the question's document and section are there.
fn check_place(question: &Question, known: &Headings<'_>) -> Result<(), Reason> {
    let Some(document) = &question.document else { return Ok(()) };
    let headings =
        known.get(document.as_str()).ok_or_else(|| Reason::NoSuchDocument(document.as_str().to_owned()))?;
    match &question.section {
        Some(section) if !headings.contains(section) => {
            Err(Reason::NoSuchSection(section.clone(), document.as_str().to_owned()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALIBRATION: &str = "{\"question\": \"a fee?\", \"document\": \"fees\"}\n\n";
    const OF_SECTIONS: &str = "{\"question\": \"a fee?\", \"document\": \"fees\", \"section\": \"Late\"}\n\n";

    fn known() -> Headings<'static> {
        HashMap::from([("fees", vec![String::new(), "Late".to_owned()])])
    }

    fn file(good: &str, line: &str) -> SourceFile {
        SourceFile { path: "questions.jsonl".into(), bytes: format!("{good}{line}\n").into_bytes() }
    }

    #[test]
    fn calibration_files_are_read_and_their_errors_name_the_line() {
        let read = |line: &str| calibration(&file(CALIBRATION, line), &known());
        let found = read("{\"question\": \"the weather?\", \"document\": null}").unwrap();
        assert_eq!(found[0].document, Some(DocumentId::from("fees")));
        assert_eq!(found[1], Question { text: "the weather?".into(), document: None, section: None });
        for (line, want) in [
            ("{\"question\": \"a\"}", "missing field `document`"),
            ("{\"question\": \"a\", \"document\": null, \"x\": 1}", "unknown field `x`"),
            ("{\"question\": \" \", \"document\": null}", "the question is empty"),
            ("{\"question\": \"a\", \"document\": \"gone\"}", "no document `gone`"),
            ("nonsense", "expected"),
        ] {
            is_refused(read(line), want);
        }
    }

    #[test]
    fn questions_of_sections_name_a_section_that_is_there() {
        let read = |line: &str| of_sections(&file(OF_SECTIONS, line), &known());
        let found = read("{\"question\": \"and?\", \"document\": \"fees\", \"section\": \"\"}").unwrap();
        assert_eq!(found[0].section.as_deref(), Some("Late"));
        assert_eq!(found[1].section.as_deref(), Some(""));
        for (line, want) in [
            ("{\"question\": \"a\", \"document\": \"fees\"}", "missing field `section`"),
            ("{\"question\": \"a\", \"document\": \"gone\", \"section\": \"\"}", "no document `gone`"),
            (
                "{\"question\": \"a\", \"document\": \"fees\", \"section\": \"Early\"}",
                "no section `Early` in `fees`",
            ),
        ] {
            is_refused(read(line), want);
        }
    }

    fn is_refused(read: Result<Vec<Question>, ExtractError>, want: &str) {
        let error = read.unwrap_err();
        assert_eq!((error.file.as_str(), error.line), ("questions.jsonl", 3), "{error}");
        assert!(error.reason.to_string().contains(want), "{error}");
    }
}
