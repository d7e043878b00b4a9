//! What a durable write costs on this disk: 4 KiB appended and made safe, one after the other.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;

use crate::measurement::{Measurement, Waits};

/// Where and how often.
#[derive(Debug, clap::Args)]
pub struct Writes {
    /// A folder on the disk in question.
    #[arg(long)]
    pub folder: PathBuf,
    /// Number of writes.
    #[arg(long, default_value_t = 300)]
    pub writes: u32,
    /// Number of the round, for the report.
    #[arg(long, default_value_t = 1)]
    pub round: u32,
}

/// Writes to a file of its own and takes it away again.
///
/// # Errors
/// When the folder cannot be written to.
pub fn run(writes: &Writes) -> anyhow::Result<Measurement> {
    let folder = tempfile::tempdir_in(&writes.folder)
        .with_context(|| format!("could not write to {}", writes.folder.display()))?;
    let mut file = OpenOptions::new().create(true).append(true).open(folder.path().join("writes"))?;
    let mut waits = Waits::default();
    for _ in 0..writes.writes {
        let began = Instant::now();
        file.write_all(&[7; 4_096])?;
        file.sync_data()?;
        waits.add(began.elapsed());
    }
    let mut measurement = Measurement::new("fsync", "disk", writes.round);
    measurement.add_waits("", &waits);
    Ok(measurement)
}
