//! How much a request asks of a model: points for what small models are known to get wrong.
//!
//! No model is asked and nothing is learned in service, so the same request always goes the same way, in microseconds,
//! and a decision can be read off the text. `data/difficulty-*.jsonl` has labelled requests: the points were set with
//! `train`, and are measured with `holdout`, which was written before and never looked at for setting them.
//! `docs/routing.md` tells the table and what was measured. It reads English; of other languages it knows numbers, code,
//! length and form.

use domain::chat::Tools;
use domain::model::Difficulty;

use super::question::{Form, Question};

/// From so many points a request is hard. What is wrongly hard costs money, what is wrongly easy costs an answer, so
/// the points lean to hard.
const HARD: u32 = 3;

/// Words that make a request hard by themselves.
const DEMANDING: [&str; 8] =
    ["derive", "essay", "implement*", "integrate", "proof*", "prove", "recursi*", "thesis"];
/// Words, and beginnings of words (`*`), that ask for thinking.
const THINKING: [&str; 54] = [
    "affect*",
    "analy*",
    "argue",
    "argument*",
    "assess*",
    "causes",
    "compar*",
    "concept*",
    "consequence*",
    "consider",
    "constraint*",
    "contrast",
    "critique*",
    "describ*",
    "design*",
    "devise",
    "diagnos*",
    "difference*",
    "discuss*",
    "effects",
    "elaborat*",
    "estimat*",
    "evaluat*",
    "fallac*",
    "forecast*",
    "hypothes*",
    "impact*",
    "implication*",
    "improve*",
    "infer*",
    "influenc*",
    "insight*",
    "interpret*",
    "justif*",
    "logical*",
    "matrix",
    "optimal",
    "optimi*",
    "plan",
    "procedure",
    "propos*",
    "reason*",
    "recommend*",
    "relat*",
    "review",
    "rigor*",
    "risk*",
    "scenario*",
    "strateg*",
    "strengths",
    "synthesi*",
    "theor*",
    "tradeoff*",
    "weigh",
];
/// Those that name long or formed texts.
const COMPOSING: [&str; 22] = [
    "argues",
    "blog",
    "clause*",
    "contract",
    "creative",
    "criteria",
    "descriptive",
    "draft",
    "itinerary",
    "letter",
    "milestones",
    "outline",
    "paragraph",
    "persuasive",
    "phases",
    "poem",
    "policy",
    "proposal",
    "sonnet",
    "story",
    "structure",
    "transcript",
];
/// Those of programs and those who write them.
const CODE: [&str; 60] = [
    "algorithm*",
    "api",
    "apis",
    "architecture",
    "async",
    "bash",
    "bug",
    "bugs",
    "cache",
    "class",
    "code",
    "compiler*",
    "complexity",
    "cpp",
    "css",
    "database",
    "deadlock*",
    "debug*",
    "deploy*",
    "docker*",
    "endpoint*",
    "exception",
    "function*",
    "git",
    "github",
    "golang",
    "haskell",
    "html",
    "idempotent",
    "index*",
    "java",
    "javascript",
    "json",
    "jvm",
    "kotlin",
    "kubernetes",
    "library",
    "linux",
    "loop*",
    "microservice*",
    "module",
    "monolith",
    "numpy",
    "parser*",
    "pod",
    "postgresql",
    "powershell",
    "program*",
    "python",
    "query",
    "react",
    "refactor*",
    "regex",
    "ruby",
    "rust",
    "schema*",
    "script*",
    "sql",
    "terraform",
    "typescript",
];
/// Those of calculations.
const MATHS: [&str; 26] = [
    "area",
    "average",
    "calculat*",
    "comput*",
    "derivative",
    "distribut*",
    "equation*",
    "forecast",
    "fraction",
    "inequality",
    "integer*",
    "integral",
    "margin",
    "npv",
    "odds",
    "percent*",
    "probabilit*",
    "quadratic",
    "ratio",
    "remainder",
    "revenue",
    "solve",
    "theorem",
    "triangle",
    "vertices",
    "weighings",
];
/// Those that ask for a piece of work.
const MAKING: [&str; 7] = ["build", "create", "develop", "model", "provide", "schedule", "write"];
/// Numbers in words, from two: "one" mostly is none.
const NUMBERS: [&str; 14] = [
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "half", "twice",
    "double", "dozen",
];
/// What asks for more than a fact, in several words.
const PHRASES: [&str; 20] = [
    "and justify",
    "and then",
    "assumptions",
    "at least",
    "at most",
    "differ",
    "does it follow",
    "edge case",
    "explain",
    "how should",
    "how would",
    "in depth",
    "in detail",
    "pros and cons",
    "show each step",
    "show your",
    "step by step",
    "walk me through",
    "what happens",
    "what would happen",
];
/// Signs that stand in code and hardly anywhere else.
const SIGNS: [&str; 12] = ["```", "();", ") {", "){", "=>", "==", "fn ", "def ", "SELECT ", "[i", "};", "&&"];

/// How much `question` asks of a model.
pub(crate) fn difficulty(question: &Question<'_>) -> Difficulty {
    if points(question) >= HARD { Difficulty::Hard } else { Difficulty::Easy }
}

fn points(question: &Question<'_>) -> u32 {
    let text = question.text.to_lowercase();
    let words: Vec<&str> =
        text.split(|sign: char| !sign.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let around = size(question.bytes)
        + u32::from(question.n_messages > 8)
        + match question.tools {
            Tools::Named => 2,
            Tools::None => 0,
        }
        + match question.form {
            Form::Schema => 1,
            Form::Free => 0,
        };
    around + length(words.len()) + said(&text, &words) + numbers(&text, &words) + code(&question.text, &words)
}

/// Of the whole request: what must be kept in mind.
fn size(bytes: usize) -> u32 {
    match bytes {
        0..6_000 => 0,
        6_000..24_000 => 1,
        _ => 3,
    }
}

/// Of the question itself.
fn length(n_words: usize) -> u32 {
    match n_words {
        0..18 => 0,
        18..45 => 1,
        45..120 => 2,
        _ => 3,
    }
}

/// Two for the first thing that asks for thinking, one for each further one, four at most; the same for composing.
fn said(text: &str, words: &[&str]) -> u32 {
    let once = |n: u32| if n == 0 { 0 } else { (n + 1).min(4) };
    let demanding = if count(words, &DEMANDING) > 0 { 3 } else { 0 };
    let making = u32::from(count(words, &MAKING) > 0);
    let why = if has(text, "why") { 2 } else { 0 };
    let phrases = PHRASES.iter().filter(|phrase| has(text, phrase)).count();
    let phrases = u32::try_from(phrases).unwrap_or(u32::MAX).min(3);
    let ends = [". ", "? ", "; ", ".\n", "?\n"].iter().map(|end| text.matches(end).count()).sum::<usize>();
    let several = u32::from(ends > 1) + u32::from(text.matches('?').count() > 1);
    let thinking = once(count(words, &THINKING));
    let composing = once(count(words, &COMPOSING)).min(2);
    demanding + making + why + thinking + composing + phrases + several
}

/// Whether `phrase` stands in `text` as whole words.
fn has(text: &str, phrase: &str) -> bool {
    let is_edge = |sign: Option<char>| sign.is_none_or(|sign| !sign.is_alphanumeric());
    text.match_indices(phrase).any(|(at, _)| {
        let (before, after) = (text.get(..at), text.get(at + phrase.len()..));
        is_edge(before.and_then(|text| text.chars().next_back()))
            && is_edge(after.and_then(|text| text.chars().next()))
    })
}

/// Numbers that have to be put together.
fn numbers(text: &str, words: &[&str]) -> u32 {
    let is_number = |word: &&&str| word.starts_with(|sign: char| sign.is_ascii_digit());
    let n = words.iter().filter(is_number).count() + usize::try_from(count(words, &NUMBERS)).unwrap_or(0);
    let of_numbers = match n {
        0 | 1 => 0,
        2 | 3 => 1,
        _ => 3,
    };
    let is_asked = ["how many", "how much"].iter().any(|asked| has(text, asked));
    let formula = text.contains('^') || text.contains(" = ");
    of_numbers + if count(words, &MATHS) > 0 || formula { 2 } else { 0 } + u32::from(is_asked && n > 0)
}

/// Programs, and what is said of them.
fn code(text: &str, words: &[&str]) -> u32 {
    let signs = if SIGNS.iter().any(|sign| text.contains(sign)) { 3 } else { 0 };
    let named = match count(words, &CODE) {
        0 => 0,
        1 => 2,
        _ => 3,
    };
    signs.max(named)
}

/// How many of `words` are in `list`.
fn count(words: &[&str], list: &[&str]) -> u32 {
    let is_in = |word: &&&str| {
        list.iter().any(|entry| match entry.strip_suffix('*') {
            Some(beginning) => word.starts_with(beginning),
            None => **word == *entry,
        })
    };
    u32::try_from(words.iter().filter(is_in).count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
