//! Checks of the house and its generated page: `cargo xtask tidy | floors | docs | ci`.
//!
//! Reading order: [`floors`] (which crate may name which), [`tidy`] (how files look), [`docs`] (docs/CONFIG.md),
//! [`ci`] (everything, in order).

mod ci;
mod docs;
mod floors;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    // The manifest folder of this crate is `<root>/xtask`.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."));
    let result = match command.as_str() {
        "tidy" => tidy::run(root),
        "floors" => floors::run(root),
        "docs" => docs::run(root),
        "ci" => ci::run(root),
        _ => Err(anyhow::anyhow!("usage: cargo xtask tidy | floors | docs | ci")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("xtask {command}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a tool for the terminal")]
fn say(text: &str) {
    eprintln!("{text}");
}
