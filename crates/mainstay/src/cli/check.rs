//! `mainstay check [DIR]`: what is wrong with a configuration, on the exact path that serving takes.

use std::path::PathBuf;

use clap::Args;
use domain::ports::{Clock, Secrets};
use serde_json::json;

use crate::certificates;
use crate::cli::{Found, terminal};
use crate::clock::SystemClock;
use crate::config::{Source, SystemSecrets};
use crate::lifetimes::{self, Told};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Configuration folder [default: ./config where there is one, else the shipped configuration].
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// The same as DIR.
    #[arg(long, value_name = "DIR", conflicts_with = "folder")]
    config: Option<PathBuf>,
    /// Lay environments/NAME.toml of the folder over its mainstay.toml.
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: Options) -> anyhow::Result<Found> {
    let source = Source::choose(options.folder.or(options.config), options.environment);
    let loaded = match source.load(source.read()?) {
        Ok(loaded) => loaded,
        Err(problems) => {
            if options.json {
                let problems = problems.0.iter();
                let listed = problems.map(
                    |problem| json!({ "file": problem.file, "line": problem.line, "reason": problem.reason }),
                );
                terminal::line(json!({ "valid": false, "problems": listed.collect::<Vec<_>>() }).to_string());
            } else {
                terminal::line(problems.to_string());
            }
            return Ok(Found::Wrong);
        }
    };
    for (name, provider) in &loaded.config.providers {
        // A missing key is no mistake of the folder: it may be set where it is served.
        for error in provider.secrets().iter().filter_map(|secret| SystemSecrets.resolve(secret).err()) {
            terminal::remark(format!("[providers.{name}]: {error} here"));
        }
    }
    // Nor are the files of a certificate.
    if let Some(Err(error)) = loaded.config.server.tls.clone().map(certificates::Files::open) {
        terminal::remark(format!("{error} (here)"));
    }
    for (model, told) in lifetimes::told(&loaded.snapshot.models, SystemClock::new().wall().day()) {
        let (Told::Ended(text) | Told::Aging(text)) = told;
        terminal::remark(format!("[models.\"{model}\"]: {text}"));
    }
    let calibration = loaded.snapshot.intents.calibration();
    if options.json {
        terminal::line(json!({ "valid": true, "snapshot": loaded.snapshot.id.as_str() }).to_string());
    } else {
        terminal::line(format!(
            "{} is valid: snapshot {}, {} agents, intents {:.0} % right on held-out examples",
            source.describe(),
            loaded.snapshot.id,
            loaded.snapshot.agents.len(),
            calibration.accuracy * 100.0
        ));
    }
    Ok(Found::Good)
}
