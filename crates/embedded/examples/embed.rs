//! Embeds the lines of a file with a real model: `embed vectors FOLDER FILE` prints one vector a line,
//! `embed time FOLDER FILE BATCH SECONDS` the sentences embedded in a second, that many in a call, on one thread.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::path::Path;
use std::time::Duration;

use domain::id::ContentHash;
use domain::ports::Embedder;
use embedded::embedder::{Config, Files, SentenceEmbedder};

const USAGE: &str = "usage: embed vectors FOLDER FILE | embed time FOLDER FILE BATCH SECONDS";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["vectors", folder, file] => {
            for vector in open(Path::new(folder))?.embed(sentences(file)?).await? {
                let numbers: Vec<String> = vector.iter().map(f32::to_string).collect();
                println!("{}", numbers.join(" "));
            }
        }
        ["time", folder, file, batch, seconds] => {
            let embedder = open(Path::new(folder))?;
            let speed = time(&embedder, &sentences(file)?, batch.parse()?, seconds.parse()?).await?;
            println!("{speed:.1}");
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

/// Without its cache, which would answer the second round.
fn open(folder: &Path) -> Result<SentenceEmbedder, Box<dyn std::error::Error>> {
    let files = Files {
        weights: folder.join("model.safetensors"),
        tokenizer: folder.join("tokenizer.json"),
        shape: folder.join("config.json"),
    };
    let config = Config { cache_entries_max: 0, ..Config::new(files, ContentHash::from("unverified")) };
    Ok(SentenceEmbedder::open(config)?)
}

fn sentences(file: &str) -> std::io::Result<Vec<String>> {
    Ok(std::fs::read_to_string(file)?.lines().map(str::to_owned).collect())
}

/// Sentences per second, the tokenizer's time included.
async fn time(
    embedder: &SentenceEmbedder,
    sentences: &[String],
    batch: usize,
    seconds: f64,
) -> Result<f64, Box<dyn std::error::Error>> {
    let batches: Vec<&[String]> = sentences.chunks(batch).collect();
    embedder.embed(batches.first().ok_or("no sentences")?.to_vec()).await?;
    let limit = Duration::try_from_secs_f64(seconds)?;
    let started = tokio::time::Instant::now();
    let mut n = 0_u32;
    for batch in batches.into_iter().cycle() {
        n += u32::try_from(embedder.embed(batch.to_vec()).await?.len())?;
        if started.elapsed() > limit {
            break;
        }
    }
    Ok(f64::from(n) / started.elapsed().as_secs_f64())
}
