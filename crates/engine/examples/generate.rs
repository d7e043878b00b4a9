//! Asks a model file directly: `generate MODEL PROMPT…` answers and prints the speed with one and two threads.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::path::PathBuf;

use embedded::frames::{Generate, Message, Usage};
use engine::generation::{Config, Engine, Progress};
use engine::model::Model;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("usage: generate MODEL PROMPT…")?);
    let question = arguments.collect::<Vec<_>>().join(" ");
    let model = Model::load(&path)?;
    println!("load average {}", std::fs::read_to_string("/proc/loadavg")?.trim());
    for threads in [1, 2] {
        let mut engine = Engine::new(&model, Config { n_ctx: 4_096, threads, parallel: 1 })?;
        let filler = "The bank must tell you about fees before you open an account. ".repeat(36);
        for (system, text) in [
            ("Answer in at most two sentences.", question.as_str()),
            (filler.as_str(), question.as_str()),
            (filler.as_str(), "What else should I know?"),
        ] {
            let message = |role: &str, text: &str| Message { role: role.to_owned(), text: text.to_owned() };
            engine.begin(&Generate {
                id: 1,
                messages: vec![message("system", system), message("user", text)],
                max_tokens: 64,
                temperature: 0.0,
                top_p: None,
                seed: None,
                stop: Vec::new(),
                schema: None,
                deadline_ms: 600_000,
            })?;
            let mut said = String::new();
            let mut usage = Usage::default();
            while !engine.is_idle() {
                for (_, news) in engine.step() {
                    match news? {
                        Progress::Text(text) => said.push_str(&text),
                        Progress::Done { text, usage: used, .. } => {
                            said.push_str(&text);
                            usage = used;
                        }
                    }
                }
            }
            let speed = |n: u32, ms: u32| f64::from(n) * 1_000.0 / f64::from(ms.max(1));
            println!(
                "{threads} thread(s): {} prompt tokens, {} cached, pp {:.0} tokens/s; {} answered, tg {:.1} tokens/s\n  {}",
                usage.input,
                usage.cached,
                speed(usage.input - usage.cached, usage.prompt_ms),
                usage.output,
                speed(usage.output.saturating_sub(1), usage.decode_ms),
                said.replace('\n', " ")
            );
        }
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    for line in status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("RssAnon")) {
        println!("{line}");
    }
    Ok(())
}
