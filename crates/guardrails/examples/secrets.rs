//! Measures the shipped policy: `secrets LABELLED.jsonl` (lines with `text`, `label` 0 or 1, `kind`) gives
//! recall and precision; a file without labels gives the share of its texts that would be blocked.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;

use domain::interaction::Side;
use guardrails::{Guard, Policy};

#[derive(serde::Deserialize)]
struct Line {
    text: String,
    #[serde(default)]
    label: u8,
    #[serde(default)]
    kind: String,
}

#[expect(clippy::disallowed_methods, reason = "a measuring tool needs the time it took")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: secrets FILE.jsonl")?;
    let guard = Guard::new(vec![Policy::parse(include_str!("../../../config/guardrails/default.toml"))?]);
    let file = std::fs::read_to_string(path)?;
    let lines = file.lines().map(serde_json::from_str).collect::<Result<Vec<Line>, _>>()?;
    let mut out = std::io::stdout();
    let (mut true_hits, mut false_hits, mut secrets) = (0_u32, 0_u32, 0_u32);
    let mut missed: BTreeMap<&str, u32> = BTreeMap::new();
    let start = now();
    for line in &lines {
        let checked = guard.check(Side::Input, &line.text);
        secrets += u32::from(line.label);
        match (line.label, checked.is_blocked()) {
            (0, true) => {
                false_hits += 1;
                let rule =
                    checked.verdict.findings.first().map(|found| found.rule.as_str()).unwrap_or_default();
                writeln!(out, "false hit by `{rule}`: {}", line.text)?;
            }
            (_, true) => true_hits += 1,
            (1.., false) => {
                *missed.entry(&line.kind).or_default() += 1;
                writeln!(out, "missed: {}", line.text)?;
            }
            _ => {}
        }
    }
    let bytes: usize = lines.iter().map(|line| line.text.len()).sum();
    let benign = u32::try_from(lines.len())? - secrets;
    let percent = |part: u32, of: u32| 100.0 * f64::from(part) / f64::from(of.max(1));
    writeln!(
        out,
        "{} texts: recall {:.1} %, precision {:.1} %, false positives {:.2} % ({false_hits} of {benign}); {:.3} ms a KiB; missed {missed:?}",
        lines.len(),
        percent(true_hits, secrets),
        percent(true_hits, true_hits + false_hits),
        percent(false_hits, benign),
        start.elapsed().as_secs_f64() * 1e3 / (bytes as f64 / 1024.0),
    )?;
    Ok(())
}
