//! Measures the intent model on a labelled file: `intent TRAIN.jsonl [TEST.jsonl]`, lines with `text` and
//! `intent`. Without a test file every fifth example of each intent is kept from training.

use std::collections::HashMap;
use std::error::Error;
use std::io::Write;

use language::intent::{Example, Model, Settings};

#[derive(serde::Deserialize)]
struct Line {
    text: String,
    intent: String,
}

#[expect(clippy::disallowed_methods, reason = "a measuring tool needs the time it took")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn read(path: &str) -> Result<Vec<Example>, Box<dyn Error>> {
    let mut examples = Vec::new();
    for line in std::fs::read_to_string(path)?.lines() {
        let line: Line = serde_json::from_str(line)?;
        examples.push(Example { text: line.text, intent: line.intent });
    }
    Ok(examples)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut training = read(&arguments.next().ok_or("usage: intent TRAIN.jsonl [TEST.jsonl]")?)?;
    let mut out = std::io::stdout();
    let test = if let Some(path) = arguments.next() {
        read(&path)?
    } else {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let (test, rest) = training.into_iter().partition(|example| {
            let count = seen.entry(example.intent.clone()).or_default();
            *count += 1;
            count.is_multiple_of(5)
        });
        training = rest;
        test
    };
    let settings = Settings::default();
    for n in [1_500, training.len()] {
        let step = training.len() / n.min(training.len());
        let part: Vec<Example> = training.iter().step_by(step.max(1)).cloned().collect();
        let start = now();
        let model = Model::train(&part, &settings)?;
        let trained = start.elapsed();
        let start = now();
        let mut right = 0.0;
        let mut bins = [(0.0_f32, 0.0_f32, 0_u32); 10];
        for example in &test {
            let predicted = model.predict(&example.text);
            let hit = if predicted[0].intent == example.intent { 1.0 } else { 0.0 };
            right += hit;
            let bin = &mut bins[((predicted[0].probability * 10.0) as usize).min(9)];
            *bin = (bin.0 + predicted[0].probability, bin.1 + hit, bin.2 + 1);
        }
        let ece = bins.iter().map(|bin| (bin.0 - bin.1).abs()).sum::<f32>() / test.len() as f32;
        writeln!(
            out,
            "{} examples, {} intents, {} features: trained in {:.2} s; {} unseen: accuracy {:.2} %, ECE {:.3}, {:.3} ms each; own calibration {:?}",
            part.len(),
            model.intents().len(),
            model.n_features(),
            trained.as_secs_f32(),
            test.len(),
            100.0 * right / test.len() as f32,
            ece,
            start.elapsed().as_secs_f32() * 1e3 / test.len() as f32,
            model.calibration(),
        )?;
    }
    Ok(())
}
