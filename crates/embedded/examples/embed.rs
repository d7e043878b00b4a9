//! Embeds texts with a real model: `embed DIR TEXT…` prints the cosine of each with the first and the speed.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::path::PathBuf;

use domain::id::ContentHash;
use domain::ports::Embedder;
use embedded::embedder::{Config, Files, SentenceEmbedder};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: embed DIR TEXT…")?);
    let texts: Vec<String> = arguments.collect();
    let files = Files {
        weights: folder.join("model.safetensors"),
        tokenizer: folder.join("tokenizer.json"),
        shape: folder.join("config.json"),
    };
    for threads in [1, 2] {
        let config = Config {
            threads,
            cache_entries_max: 0,
            ..Config::new(files.clone(), ContentHash::from("unverified"))
        };
        let started = tokio::time::Instant::now();
        let embedder = SentenceEmbedder::open(config)?;
        println!("loaded in {:.0?}; {threads} thread(s)", started.elapsed());
        let vectors = embedder.embed(texts.clone()).await?;
        for (text, vector) in texts.iter().zip(&vectors) {
            let cosine: f32 = vectors.iter().take(1).flatten().zip(vector).map(|(a, b)| a * b).sum();
            println!("{cosine:8.5}  {text}");
        }
        let sentence = "The standard deposit insurance amount is two hundred fifty thousand dollars per depositor per bank.";
        println!("the measured sentence has {} tokens", embedder.count_tokens(sentence) + 2);
        for (batch, rounds) in [(1_usize, 60_usize), (32, 3)] {
            let started = tokio::time::Instant::now();
            for _ in 0..rounds {
                embedder.embed(vec![sentence.to_owned(); batch]).await?;
            }
            let n = u32::try_from(batch * rounds)?;
            println!("batch {batch}: {:.0} sentences/s", f64::from(n) / started.elapsed().as_secs_f64());
        }
        let long = [sentence; 11].join(" ");
        let started = tokio::time::Instant::now();
        embedder.embed(vec![long.clone(); 16]).await?;
        let tokens = embedder.count_tokens(&long);
        println!("{tokens} tokens: {:.1} texts/s", 16.0 / started.elapsed().as_secs_f64());
    }
    Ok(())
}
