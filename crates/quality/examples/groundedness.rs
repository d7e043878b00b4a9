//! Measures the validator on labelled answers: `groundedness FILE.jsonl`. A line holds the question (`query`
//! or `question`), the answer (`response` or `answer`), the label (`hallucination`, 1 when it is wrong) and, if
//! there is one, its `passage`; without one the question takes its place.

use std::error::Error;
use std::io::Write;

use domain::chat::Finish;
use quality::{Answer, validate};

#[derive(serde::Deserialize)]
struct Line {
    #[serde(alias = "query")]
    question: String,
    #[serde(alias = "response")]
    answer: String,
    #[serde(default)]
    passage: String,
    hallucination: u8,
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: groundedness FILE.jsonl")?;
    let verbose = std::env::args().nth(2).is_some();
    let file = std::fs::read_to_string(path)?;
    let mut out = std::io::stdout();
    let mut rejected = [0_u32; 2];
    let mut all = [0_u32; 2];
    for line in file.lines() {
        let line: Line = serde_json::from_str(line)?;
        let passage = if line.passage.is_empty() { line.question.as_str() } else { line.passage.as_str() };
        let answer = Answer {
            question: &line.question,
            text: &line.answer,
            passages: &[passage],
            allowed_texts: &[],
            finish: Finish::Stop,
        };
        let validation = validate(&answer);
        let side = usize::from(line.hallucination.min(1));
        if let (Some(all), Some(rejected)) = (all.get_mut(side), rejected.get_mut(side)) {
            *all += 1;
            *rejected += u32::from(!validation.is_accepted());
        }
        if verbose && (side == 1) == validation.is_accepted() {
            writeln!(out, "{side} {:?} {}", validation.reasons(), line.answer)?;
        }
    }
    let [right, wrong] = all;
    let [right_rejected, wrong_rejected] = rejected;
    let percent = |part: u32, of: u32| 100.0 * f64::from(part) / f64::from(of.max(1));
    writeln!(
        out,
        "wrong answers rejected: {wrong_rejected} of {wrong} ({:.1} %); right answers rejected: {right_rejected} of {right} ({:.1} %); accuracy {:.1} %",
        percent(wrong_rejected, wrong),
        percent(right_rejected, right),
        percent(wrong_rejected + right - right_rejected, wrong + right),
    )?;
    Ok(())
}
