//! `mainstay init DIR`: the shipped configuration as files.

use std::path::PathBuf;

use clap::Args;

use crate::cli::terminal;
use crate::files;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Folder to write into; files that are there already are left as they are.
    #[arg(value_name = "DIR", default_value = "config")]
    folder: PathBuf,
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let kept = files::write_shipped(&options.folder)?;
    for path in &kept {
        terminal::remark(format!("kept {}", options.folder.join(path).display()));
    }
    let folder = options.folder.display();
    terminal::line(format!("The configuration stands in {folder}. Change it, then: mainstay check {folder}"));
    Ok(())
}
