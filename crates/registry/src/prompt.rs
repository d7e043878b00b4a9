//! Prompt templates: a system part that never changes between requests (so that engines cache it)
//! and a user part with passages and question.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde::Serialize;

use crate::problem::Problem;
use crate::texts::Contact;

/// What the user part may use.
#[derive(Debug, Clone, Serialize)]
pub struct Inputs<'a> {
    /// What the person asks.
    pub question: &'a str,
    /// The passages, best first.
    pub passages: &'a [PassageInput<'a>],
    /// The person's earlier questions that this one refers to, oldest first.
    pub earlier: &'a [&'a str],
    /// The detected intent; empty when none is.
    pub intent: &'a str,
    /// Why the answers before were not accepted; empty the first time.
    pub reasons: &'a [String],
}

/// A passage, as a template sees it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PassageInput<'a> {
    /// The title of its document.
    pub title: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// A checked template.
#[derive(Debug, Clone)]
pub struct Prompt {
    system: String,
    environment: Environment<'static>,
}

const SYSTEM_MARK: &str = "<!-- system -->";
const USER_MARK: &str = "<!-- user -->";
const USER: &str = "user";
/// Instructions a template may execute: far more than a prompt needs, far less than a loop for ever.
const FUEL: u64 = 200_000;

/// A prompt could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not render the prompt: {0}")]
pub struct RenderError(String);

impl Prompt {
    /// Reads a `prompt.md`: a line `<!-- system -->`, the system part, a line `<!-- user -->`, the user part.
    /// Undefined variables are errors. The system part sees `contact` only and is rendered here, once.
    ///
    /// # Errors
    /// A [`Problem`] with the line.
    pub fn parse(file: &str, text: &str, contact: &Contact) -> Result<Self, Problem> {
        let system_at = text.find(SYSTEM_MARK);
        let user_at = text.find(USER_MARK);
        let (Some(system_at), Some(user_at)) = (system_at, user_at) else {
            return Err(Problem::of_file(
                file,
                format!("it needs the lines `{SYSTEM_MARK}` and `{USER_MARK}`"),
            ));
        };
        if user_at < system_at {
            return Err(Problem::at(file, text, user_at, "the system part must stand before the user part"));
        }
        let system_text = text.get(system_at + SYSTEM_MARK.len()..user_at).unwrap_or_default().trim();
        let user_start = user_at + USER_MARK.len();
        let user_text = text.get(user_start..).unwrap_or_default().trim();
        let first_line =
            |part: &str| crate::problem::line_of(text, part.as_ptr() as usize - text.as_ptr() as usize);
        let problem = |part: &str, error: &minijinja::Error| Problem {
            file: file.to_owned(),
            line: error.line().map(|line| line + first_line(part) - 1),
            reason: describe(error),
        };

        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_syntax(whitespace());
        let seen = context! { contact => Value::from(Serde(contact)) };
        let system =
            environment.render_str(system_text, seen).map_err(|error| problem(system_text, &error))?;
        environment
            .add_template_owned(USER, user_text.to_owned())
            .map_err(|error| problem(user_text, &error))?;
        let prompt = Self { system, environment };
        // A template that names something it does not get fails now and not at the first customer.
        let sample = Inputs {
            question: "?",
            passages: &[PassageInput { title: "t", text: "a" }, PassageInput { title: "t", text: "b" }],
            earlier: &["before"],
            intent: "",
            reasons: &["because".to_owned()],
        };
        prompt.try_user(&sample).map_err(|error| problem(user_text, &error))?;
        Ok(prompt)
    }

    /// The system part.
    #[must_use]
    pub fn system(&self) -> &str {
        &self.system
    }

    /// The user part.
    ///
    /// # Errors
    /// [`RenderError`] when the template fails on these inputs.
    pub fn user(&self, inputs: &Inputs<'_>) -> Result<String, RenderError> {
        self.try_user(inputs).map_err(|error| RenderError(describe(&error)))
    }

    fn try_user(&self, inputs: &Inputs<'_>) -> Result<String, minijinja::Error> {
        self.environment.get_template(USER)?.render(Value::from(Serde(inputs)))
    }
}

/// A line that holds only a block tag leaves no empty line behind.
fn whitespace() -> SyntaxConfig {
    SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .expect("the delimiters are the default ones")
}

fn describe(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// The prompts of an agent: one for all intents, and those of intents that need their own.
#[derive(Debug, Clone)]
pub struct Prompts {
    /// For every intent without its own.
    pub general: Prompt,
    /// By intent.
    pub by_intent: BTreeMap<String, Prompt>,
}

impl Prompts {
    /// The prompt for `intent`.
    #[must_use]
    pub fn for_intent(&self, intent: Option<&str>) -> &Prompt {
        intent.and_then(|intent| self.by_intent.get(intent)).unwrap_or(&self.general)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact() -> Contact {
        Contact {
            name: "Bank".to_owned(),
            phone: "1-800-555-0100".to_owned(),
            web: "bank.example".to_owned(),
            email: "help@bank.example".to_owned(),
            hours: "always".to_owned(),
        }
    }

    #[test]
    fn both_parts_are_rendered() {
        let text = "<!-- system -->\nYou work for {{ contact.name }}.\n<!-- user -->\n{% for passage in passages %}\n[{{ loop.index }}] {{ passage.title }}: {{ passage.text }}\n{% endfor %}\nQ: {{ question }}";
        let prompt = Prompt::parse("prompt.md", text, &contact()).expect("valid");
        assert_eq!(prompt.system(), "You work for Bank.");
        let inputs = Inputs {
            question: "Why {{x}}?",
            passages: &[PassageInput { title: "t1", text: "p1" }, PassageInput { title: "t2", text: "p2" }],
            earlier: &[],
            intent: "",
            reasons: &[],
        };
        assert_eq!(
            prompt.user(&inputs).as_deref(),
            Ok("[1] t1: p1\n[2] t2: p2\nQ: Why {{x}}?"),
            "a question is never a template"
        );
    }

    #[test]
    fn mistakes_carry_their_line() {
        for (text, line, want) in [
            ("no marks", None, "<!-- system -->"),
            ("<!-- user -->\n<!-- system -->", Some(1), "before the user part"),
            ("<!-- system -->\na\n<!-- user -->\nQ: {{ question }}\n{{ nothing }}", Some(5), "undefined"),
            ("<!-- system -->\n{{ contact.fax }}\n<!-- user -->\n", Some(2), "undefined"),
            ("<!-- system -->\na\n<!-- user -->\n{% for %}", Some(4), "syntax"),
        ] {
            let problem = Prompt::parse("prompt.md", text, &contact()).expect_err(text);
            assert_eq!(problem.line, line, "{text}: {problem}");
            assert!(problem.reason.contains(want), "{text}: {problem}");
        }
    }
}
