//! Intents: `intents/intents.toml` says which there are, `intents/*.jsonl` holds labelled examples;
//! the classifier is trained while the folder is loaded.

use std::collections::{BTreeMap, BTreeSet};

use domain::interaction::IntentVerdict;
use language::intent::{Example, Model, Scored, Settings};
use regex::RegexSet;
use serde::Deserialize;

use crate::folder::Folder;
use crate::pattern;
use crate::problem::Problem;

/// `intents/intents.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Probability from which it is believed that a person must take it, all such intents together; 0 to 1.
    #[serde(default = "escalate_at")]
    escalate_at: f32,
    /// The intents. Each needs at least one labelled example in `intents/*.jsonl`.
    intents: Vec<IntentConfig>,
}

fn escalate_at() -> f32 {
    0.6
}

fn offered() -> bool {
    true
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct IntentConfig {
    /// Its name, as in the examples and in replies.
    name: String,
    /// As offered in a clarifying question.
    label: String,
    /// Why a person must take it; absent when they need not.
    escalate: Option<String>,
    /// Whether it is offered as a choice when the assistant asks back. Not so for what the assistant cannot help
    /// with: who may have meant that is told so, not asked.
    #[serde(default = "offered")]
    offered: bool,
    /// Regular expressions (case ignored; `\w` knows the scripts by blocks) that mean this intent for certain.
    #[serde(default)]
    patterns: Vec<String>,
}

/// The file that lists the intents.
pub const INTENTS_FILE: &str = "intents/intents.toml";

/// Expected calibration error above which probabilities mean nothing (behaviour of the clarity check rests on them).
const ECE_MAX: f32 = 0.15;

/// One intent.
#[derive(Debug, Clone)]
pub struct Intent {
    /// As offered in a clarifying question.
    pub label: String,
    /// Why a person must take it.
    pub escalate: Option<String>,
    /// Whether it is offered as a choice when the assistant asks back.
    pub offered: bool,
    patterns: RegexSet,
}

/// All intents and the classifier that tells them apart.
#[derive(Debug)]
pub struct Intents {
    by_name: BTreeMap<String, Intent>,
    escalate_at: f32,
    model: Model,
}

/// What was detected.
#[derive(Debug, Clone, PartialEq)]
pub struct Detected {
    /// The best intent.
    pub best: IntentVerdict,
    /// The next best, where there is one.
    pub second: Option<IntentVerdict>,
    /// Why a person must take it, when they must.
    pub escalate: Option<String>,
}

impl Detected {
    /// The best intent and the next.
    pub fn likeliest(&self) -> impl Iterator<Item = &IntentVerdict> {
        std::iter::once(&self.best).chain(&self.second)
    }
}

impl Intents {
    /// Reads the files and trains.
    ///
    /// # Errors
    /// Every problem found, with file and line.
    pub fn read(folder: &Folder) -> Result<Self, Vec<Problem>> {
        let file: File = folder.toml(INTENTS_FILE).map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let mut by_name = BTreeMap::new();
        for config in &file.intents {
            match compile(config) {
                Ok(intent) => {
                    if by_name.insert(config.name.clone(), intent).is_some() {
                        problems.push(intents_problem(folder, &config.name, "is listed twice"));
                    }
                }
                Err(error) => problems.push(intents_problem(folder, &config.name, &error.to_string())),
            }
        }
        let (examples, mut example_problems) = read_examples(folder, &by_name);
        problems.append(&mut example_problems);
        let labelled: BTreeSet<&str> = examples.iter().map(|example| example.intent.as_str()).collect();
        for name in by_name.keys().filter(|name| !labelled.contains(name.as_str())) {
            problems.push(intents_problem(folder, name, "has no labelled example in intents/*.jsonl"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let model = Model::train(&examples, &Settings::default())
            .map_err(|error| vec![Problem::of_file("intents", error.to_string())])?;
        let ece = model.calibration().ece;
        if ece > ECE_MAX {
            let reason = format!(
                "the intents' probabilities are off by {ece:.2} on held-out examples, at most {ECE_MAX} is accepted; add examples"
            );
            return Err(vec![Problem::of_file("intents", reason)]);
        }
        Ok(Self { by_name, escalate_at: file.escalate_at, model })
    }

    /// What `text` asks for.
    #[must_use]
    pub fn detect(&self, text: &str) -> Detected {
        let certain = self.by_name.iter().find(|(_, intent)| intent.patterns.is_match(text));
        if let Some((name, intent)) = certain {
            let best = IntentVerdict { name: name.clone(), confidence: 1.0 };
            return Detected { best, second: None, escalate: intent.escalate.clone() };
        }
        let scored = self.model.predict(text);
        let escalate = self.escalation(&scored);
        let mut scored = scored.into_iter().map(verdict);
        let best = scored.next().unwrap_or(IntentVerdict { name: String::new(), confidence: 0.0 });
        Detected { best, second: scored.next(), escalate }
    }

    /// Why a person must take it: the reasons' probabilities count together, since a text that is torn between
    /// reporting a fraud and disputing a charge is for a person either way.
    fn escalation(&self, scored: &[Scored]) -> Option<String> {
        let reason =
            |scored: &Scored| self.by_name.get(&scored.intent).and_then(|intent| intent.escalate.clone());
        let escalating: f32 =
            scored.iter().filter(|scored| reason(scored).is_some()).map(|scored| scored.probability).sum();
        // Best first: the first reason is the likeliest.
        scored.iter().find_map(reason).filter(|_| escalating >= self.escalate_at)
    }

    /// What to offer for `name` in a clarifying question; `None` when it is not offered.
    #[must_use]
    pub fn choice(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).filter(|intent| intent.offered).map(|intent| intent.label.as_str())
    }

    /// How well the classifier does on examples held out of its training.
    #[must_use]
    pub fn calibration(&self) -> language::intent::Calibration {
        self.model.calibration()
    }
}

fn verdict(scored: Scored) -> IntentVerdict {
    IntentVerdict { name: scored.intent, confidence: scored.probability }
}

fn compile(config: &IntentConfig) -> Result<Intent, regex::Error> {
    let patterns = pattern::compile(&config.patterns)?;
    let IntentConfig { label, escalate, offered, .. } = config.clone();
    Ok(Intent { label, escalate, offered, patterns })
}

fn intents_problem(folder: &Folder, name: &str, reason: &str) -> Problem {
    let text = folder.text(INTENTS_FILE).unwrap_or_default();
    let offset = text.find(&format!("\"{name}\"")).unwrap_or(0);
    Problem::at(INTENTS_FILE, text, offset, format!("intent `{name}`: {reason}"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    text: String,
    intent: String,
}

fn read_examples(folder: &Folder, known: &BTreeMap<String, Intent>) -> (Vec<Example>, Vec<Problem>) {
    let mut examples = Vec::new();
    let mut problems = Vec::new();
    for (path, _) in folder.under("intents/").filter(|(path, _)| path.ends_with(".jsonl")) {
        let text = match folder.text(path) {
            Ok(text) => text,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let at_line = |reason: String| Problem { file: path.to_owned(), line: Some(index + 1), reason };
            match serde_json::from_str::<Line>(line) {
                Ok(line) if !known.contains_key(&line.intent) => {
                    problems.push(at_line(format!("the intent `{}` is not in {INTENTS_FILE}", line.intent)));
                }
                Ok(line) => examples.push(Example { text: line.text, intent: line.intent }),
                Err(error) => problems.push(at_line(error.to_string())),
            }
        }
    }
    (examples, problems)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> Folder {
        let mut folder = Folder::default();
        let intents = "[[intents]]\nname = \"person\"\nlabel = \"A person\"\nescalate = \"asked for a person\"\npatterns = ['\\bhuman\\b']\n[[intents]]\nname = \"fee\"\nlabel = \"Fees\"\n[[intents]]\nname = \"other\"\nlabel = \"Anything else\"\noffered = false\n";
        folder.insert(INTENTS_FILE, intents.as_bytes());
        let mut lines = String::new();
        for subject in [
            "wire",
            "overdraft",
            "card",
            "account",
            "transfer",
            "check",
            "late",
            "annual",
            "monthly",
            "statement",
        ] {
            lines.push_str(&format!("{{\"text\":\"what is the {subject} fee\",\"intent\":\"fee\"}}\n"));
            lines.push_str(&format!("{{\"text\":\"tell a joke on a {subject}\",\"intent\":\"other\"}}\n"));
            lines.push_str(&format!(
                "{{\"text\":\"let me speak to someone about my {subject}\",\"intent\":\"person\"}}\n"
            ));
        }
        folder.insert("intents/examples.jsonl", lines.as_bytes());
        folder
    }

    #[test]
    fn patterns_are_certain_and_the_model_does_the_rest() {
        let intents = Intents::read(&sample()).expect("valid");
        let human = intents.detect("A HUMAN please");
        assert_eq!((human.best.name.as_str(), human.best.confidence), ("person", 1.0));
        assert_eq!(human.escalate.as_deref(), Some("asked for a person"));
        let fee = intents.detect("what is the cheque fee");
        assert_eq!((fee.best.name.as_str(), fee.escalate), ("fee", None));
        assert_eq!(intents.choice("fee"), Some("Fees"));
        assert_eq!((intents.choice("other"), intents.choice("unknown")), (None, None));
    }

    #[test]
    fn mistakes_carry_file_and_line() {
        for (path, text, line, want) in [
            ("intents/examples.jsonl", "{\"text\":\"a\",\"intent\":\"gold\"}", Some(1), "`gold` is not in"),
            ("intents/more.jsonl", "\n{\"text\":1}", Some(2), "invalid type"),
            (
                INTENTS_FILE,
                "[[intents]]\nname = \"fee\"\nlabel = \"F\"\npatterns = ['(']",
                Some(2),
                "unclosed group",
            ),
            (
                INTENTS_FILE,
                "[[intents]]\nname = \"fee\"\nlabel = \"F\"\n[[intents]]\nname = \"rare\"\nlabel = \"R\"",
                Some(5),
                "no labelled example",
            ),
        ] {
            let mut folder = sample();
            folder.insert(path, text.as_bytes());
            let problems = Intents::read(&folder).expect_err(text);
            assert!(
                problems.iter().any(|problem| problem.line == line
                    && problem.file == path
                    && problem.reason.contains(want)),
                "{problems:?}"
            );
        }
    }
}
