//! Measures from which cosine on two questions may share an answer: `likeness EMBEDDER_FOLDER FILE…`.
//!
//! A file of pairs has lines `{"one", "other", "same"}`. A file of questions has lines with `question` (each another one),
//! or `text` and `intent` (questions of one intent count as the same, which is generous to them). For each least cosine it
//! tells how many pairs that are the same are found, and how many that are not, without and with the condition that both have one form.
#![expect(clippy::print_stdout, reason = "an example's output is its purpose")]

use std::error::Error;
use std::path::{Path, PathBuf};

use cache::KeyMaker;
use cache::alike::Question;
use cache::form::Form;
use domain::id::ContentHash;
use domain::ports::Embedder;
use embedded::embedder::{Config, Files, SentenceEmbedder};
use serde_json::Value;

/// Least cosines that are tried.
const TRIED: [f32; 11] = [0.75, 0.8, 0.82, 0.84, 0.86, 0.88, 0.9, 0.92, 0.94, 0.96, 0.98];
/// Texts of one call of the encoder.
const TEXTS_A_CALL: usize = 64;
/// Questions read of a file: every pair of them is compared.
const QUESTIONS_MAX: usize = 4_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let embedder = open(&arguments.next().ok_or("usage: likeness EMBEDDER_FOLDER FILE…")?)?;
    for file in arguments {
        let text = std::fs::read_to_string(&file)?;
        let lines = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        println!("{}", file.file_name().unwrap_or_default().to_string_lossy());
        let counted = match lines.first().is_some_and(|line| line["one"].is_string()) {
            true => pairs(&embedder, &lines).await?,
            false => questions(&embedder, &lines).await?,
        };
        counted.show();
    }
    Ok(())
}

/// Pairs of one kind, and how many of them are found with each least cosine.
#[derive(Default)]
struct Found {
    pairs: usize,
    by_cosine: [usize; TRIED.len()],
    /// By the cosine, and by the form.
    guarded: [usize; TRIED.len()],
}

impl Found {
    fn add(&mut self, (one, other): (&Question, &Question)) {
        let (likeness, agrees) = (one.likeness(other), one.form.is_same(&other.form));
        self.pairs += 1;
        for ((by_cosine, guarded), least) in self.by_cosine.iter_mut().zip(&mut self.guarded).zip(TRIED) {
            *by_cosine += usize::from(likeness >= least);
            *guarded += usize::from(likeness >= least && agrees);
        }
    }
}

/// Pairs that are the same, and those that are not.
#[derive(Default)]
struct Counted {
    same: Found,
    other: Found,
}

impl Counted {
    fn show(&self) {
        let Self { same, other } = self;
        println!("{} pairs are the same, {} are not", same.pairs, other.pairs);
        println!(
            "| cosine | same found | others taken for the same | same found, guarded | others, guarded |"
        );
        println!("|---|---|---|---|---|");
        let same = same.by_cosine.iter().zip(same.guarded);
        let other = other.by_cosine.iter().zip(other.guarded);
        for (((same, same_guarded), (other, other_guarded)), least) in same.zip(other).zip(TRIED) {
            println!("| {least:.2} | {same} | {other} | {same_guarded} | {other_guarded} |");
        }
        println!();
    }
}

async fn pairs(embedder: &SentenceEmbedder, lines: &[Value]) -> Result<Counted, Box<dyn Error>> {
    let text = |line: &Value, side: &str| line[side].as_str().unwrap_or_default().to_owned();
    let ones = read(embedder, lines.iter().map(|line| text(line, "one")).collect()).await?;
    let others = read(embedder, lines.iter().map(|line| text(line, "other")).collect()).await?;
    let mut counted = Counted::default();
    for ((line, one), other) in lines.iter().zip(&ones).zip(&others) {
        let is_same = line["same"].as_bool().ok_or("a pair without `same`")?;
        let is_found = one.form.is_same(&other.form) && one.likeness(other) >= 0.85;
        if is_found != is_same {
            println!(
                "  {:.3} same={is_same} {} / {}",
                one.likeness(other),
                text(line, "one"),
                text(line, "other")
            );
        }
        (if is_same { &mut counted.same } else { &mut counted.other }).add((one, other));
    }
    Ok(counted)
}

async fn questions(embedder: &SentenceEmbedder, lines: &[Value]) -> Result<Counted, Box<dyn Error>> {
    let lines: Vec<&Value> = lines.iter().take(QUESTIONS_MAX).collect();
    let text = |line: &&Value| {
        line["question"].as_str().or_else(|| line["text"].as_str()).unwrap_or_default().to_owned()
    };
    let questions = read(embedder, lines.iter().map(text).collect()).await?;
    let mut counted = Counted::default();
    for (n, (line, one)) in lines.iter().zip(&questions).enumerate() {
        for (other_line, other) in lines.iter().zip(&questions).skip(n + 1) {
            let label =
                |line: &Value| line["intent"].as_str().or_else(|| line["fact"].as_str()).map(str::to_owned);
            let is_same = label(line).is_some() && label(line) == label(other_line);
            if !is_same && one.likeness(other) >= 0.88 && one.form.is_same(&other.form) {
                println!("  {:.3} {} / {}", one.likeness(other), text(line), text(other_line));
            }
            (if is_same { &mut counted.same } else { &mut counted.other }).add((one, other));
        }
    }
    Ok(counted)
}

async fn read(embedder: &SentenceEmbedder, texts: Vec<String>) -> Result<Vec<Question>, Box<dyn Error>> {
    let mut questions = Vec::with_capacity(texts.len());
    for texts in texts.chunks(TEXTS_A_CALL) {
        let vectors = embedder.embed(texts.to_vec()).await?;
        for (text, vector) in texts.iter().zip(vectors) {
            let within = KeyMaker::of("measured").key();
            let form = Form::of(text);
            questions.push(Question { within, vector: vector.into(), form, likeness_min: 0.0 });
        }
    }
    Ok(questions)
}

fn open(folder: &Path) -> Result<SentenceEmbedder, Box<dyn Error>> {
    let files = Files {
        weights: folder.join("model.safetensors"),
        tokenizer: folder.join("tokenizer.json"),
        shape: folder.join("config.json"),
    };
    Ok(SentenceEmbedder::open(Config::new(files, ContentHash::from("measured")))?)
}
