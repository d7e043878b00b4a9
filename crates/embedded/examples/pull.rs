//! Pulls a model of the shipped catalogue into a folder: `pull FOLDER NAME` shows where it comes from and how far it is.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::path::PathBuf;
use std::sync::Arc;

use embedded::catalogue::Catalogue;
use embedded::choose;
use embedded::fetch::Models;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: pull FOLDER NAME")?);
    let name = arguments.next().ok_or("usage: pull FOLDER NAME")?;
    let catalogue = Arc::new(Catalogue::parse(include_str!("../../../config/models.toml"))?);
    println!("{}", choose::choose(&catalogue, choose::Memory::read(), 4_096).reason);
    let models = Models::new(folder, catalogue);
    let started = tokio::time::Instant::now();
    let paths = models
        .pull(&name, Arc::new(|pulled| println!("{}: {} of {}", pulled.source, pulled.bytes, pulled.total)))
        .await?;
    println!("{} in {:.1?}", paths.weights().display(), started.elapsed());
    Ok(())
}
