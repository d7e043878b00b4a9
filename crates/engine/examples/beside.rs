//! How an answer fares beside other work: `beside MODEL` times one with two fixed threads and with as many as the
//! others leave, alone and beside one and two processes that never stop.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use embedded::frames::{Generate, Message};
use engine::generation::{Config, Engine, Progress};
use engine::model::Model;
use llama_cpp_2::ggml_time_us;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = std::env::args().nth(1).ok_or("usage: beside MODEL")?;
    if argument == "spin" {
        loop {
            std::hint::spin_loop();
        }
    }
    let model = Model::load(&PathBuf::from(argument))?;
    println!("| busy processes | threads | first token ms | answer tokens/s | threads at the end |");
    println!("|---:|---|---:|---:|---:|");
    for n_busy in 0..=2 {
        for (threads, name) in [(2, "2"), (0, "measured")] {
            // Before the neighbours: what the engine does not know yet is part of the figure.
            let mut engine = Engine::new(&model, Config { n_ctx: 4_096, threads, parallel: 1 })?;
            let mut busy = Vec::new();
            for _ in 0..n_busy {
                busy.push(Busy(Command::new("/proc/self/exe").arg("spin").spawn()?));
            }
            // As the supervisor's pings do.
            std::thread::park_timeout(Duration::from_secs(2));
            engine.rest();
            let (first_ms, speed) = ask(&mut engine)?;
            println!("| {n_busy} | {name} | {first_ms} | {speed:.1} | {} |", engine.threads());
        }
    }
    Ok(())
}

/// Milliseconds to the first token of an answer of 48 behind 400, and tokens per second after it.
fn ask(engine: &mut Engine<'_>) -> Result<(i64, f64), Box<dyn std::error::Error>> {
    let message = |role: &str, text: String| Message { role: role.to_owned(), text };
    let started = ggml_time_us();
    engine.begin(&Generate {
        id: 1,
        messages: vec![
            message("system", "The bank must tell you about fees before you open an account. ".repeat(26)),
            message("user", "Tell me a long story about a bank and its customers.".to_owned()),
        ],
        max_tokens: 48,
        temperature: 0.0,
        top_p: None,
        seed: None,
        stop: Vec::new(),
        schema: None,
        deadline_ms: 600_000,
    })?;
    let mut first = None;
    loop {
        for (_, news) in engine.step() {
            match news? {
                Progress::Text(_) => _ = first.get_or_insert_with(ggml_time_us),
                Progress::Done { usage, .. } => {
                    let first = first.unwrap_or(started);
                    let seconds = Duration::from_micros(u64::try_from(ggml_time_us() - first)?).as_secs_f64();
                    let speed = f64::from(usage.output.saturating_sub(1)) / seconds;
                    return Ok(((first - started) / 1_000, speed));
                }
            }
        }
    }
}

/// A neighbour; gone when dropped.
struct Busy(Child);

impl Drop for Busy {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}
