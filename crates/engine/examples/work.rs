//! The work of `bench/engine/loop.cpp` done by the engine: `work MODEL THREADS SEQUENCES PROMPT ANSWER` makes SEQUENCES
//! answers of ANSWER tokens behind prompts of PROMPT tokens at once, first with one token each, then whole. Prints
//! microseconds to the first tokens of all, and to the last; tokens read, and tokens written; of the whole answers
//! microseconds to the worst first token, how many of them had ended by then, and nanoseconds of a step that gave each of
//! them a token.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::path::PathBuf;

use embedded::frames::{Generate, Message};
use engine::generation::{Config, Engine, Progress};
use engine::model::Model;
use llama_cpp_2::ggml_time_us;

type Anything = Box<dyn std::error::Error>;

struct Work {
    n_sequences: u64,
    n_prompt: usize,
    n_answer: u32,
}

fn main() -> Result<(), Anything> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, threads, n_sequences, n_prompt, n_answer] = arguments.as_slice() else {
        return Err("usage: work MODEL THREADS SEQUENCES PROMPT ANSWER".into());
    };
    let work =
        Work { n_sequences: n_sequences.parse()?, n_prompt: n_prompt.parse()?, n_answer: n_answer.parse()? };
    let model = Model::load(&PathBuf::from(model))?;
    let config =
        Config { n_ctx: 4_096, threads: threads.parse()?, parallel: u32::try_from(work.n_sequences)? };
    let mut engine = Engine::new(&model, config)?;
    let first = run(&mut engine, &work, 1)?;
    let mut engine = Engine::new(&model, config)?;
    let whole = run(&mut engine, &work, work.n_answer)?;
    println!(
        "{} {} {} {} {} {} {}",
        first.took_us,
        whole.took_us,
        whole.n_read,
        whole.n_written,
        whole.worst_first_us,
        whole.n_ended_before,
        whole.common_us * 1_000 / whole.n_common.max(1)
    );
    Ok(())
}

/// What a run did.
#[derive(Default)]
struct Done {
    took_us: i64,
    /// Tokens of prompts that were read: what the engine remembered of earlier ones does not count.
    n_read: u64,
    /// Tokens of answers.
    n_written: u64,
    worst_first_us: i64,
    /// Answers that had ended before the worst first token.
    n_ended_before: usize,
    /// Time of steps that gave each answer a token after its first, and their number.
    common_us: i64,
    n_common: i64,
}

fn run(engine: &mut Engine<'_>, work: &Work, n_answer: u32) -> Result<Done, Anything> {
    let mut calls = Vec::new();
    for id in 1..=work.n_sequences {
        let shortest = input(engine, &call(id, 1, 0))?;
        let n_words = work.n_prompt.checked_sub(shortest).ok_or("the prompt is too short")? + 1;
        calls.push(call(id, n_words, n_answer));
    }
    let started = ggml_time_us();
    let mut done = Done::default();
    let mut n_ended = 0;
    let mut has_begun = std::collections::BTreeSet::new();
    for call in &calls {
        engine.begin(call)?;
    }
    while !engine.is_idle() {
        let (step_started, all_have_begun) = (ggml_time_us(), has_begun.len() == calls.len());
        let news = engine.step();
        if all_have_begun && news.len() == calls.len() {
            done.common_us += ggml_time_us() - step_started;
            done.n_common += 1;
        }
        for (id, news) in news {
            if has_begun.insert(id) {
                done.worst_first_us = ggml_time_us() - started;
                done.n_ended_before = n_ended;
            }
            if let Progress::Done { usage, .. } = news? {
                if usage.output != n_answer || usize::try_from(usage.input)? != work.n_prompt {
                    return Err(format!("{usage:?} is not the work that was asked for").into());
                }
                done.n_read += u64::from(usage.input - usage.cached);
                done.n_written += u64::from(usage.output);
                n_ended += 1;
            }
        }
    }
    done.took_us = ggml_time_us() - started;
    Ok(done)
}

/// A call whose prompt grows by a token with each word; no two share a beginning.
fn call(id: u64, n_words: usize, max_tokens: u32) -> Generate {
    let message = |role: &str, text: String| Message { role: role.to_owned(), text };
    let words: String =
        [" fee", " card", " loan", " bank", " rate"].into_iter().cycle().take(n_words).collect();
    Generate {
        id,
        messages: vec![
            message("system", format!("{id} is your number.{words}")),
            message(
                "user",
                "Write the numbers from 1 to 1000, one after the other, with commas between them.".to_owned(),
            ),
        ],
        max_tokens,
        temperature: 0.0,
        top_p: None,
        seed: None,
        stop: Vec::new(),
        schema: None,
        deadline_ms: 3_600_000,
    }
}

/// Tokens of the prompt of a call that may say nothing.
fn input(engine: &mut Engine<'_>, call: &Generate) -> Result<usize, Anything> {
    engine.begin(call)?;
    match engine.step().pop() {
        Some((_, Ok(Progress::Done { usage, .. }))) => Ok(usize::try_from(usage.input)?),
        other => Err(format!("{other:?} instead of nothing").into()),
    }
}
