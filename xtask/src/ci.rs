//! Everything that must hold before a change lands, in the order in which it is cheapest to find out.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};

use crate::{floors, say, tidy};

/// Warnings are errors. One release profile, so that llama.cpp is compiled once.
const STEPS: [(&str, &[&str]); 5] = [
    ("format", &["fmt", "--all", "--", "--check"]),
    (
        "licences, bans and sources",
        &["deny", "--all-features", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"],
    ),
    ("clippy", &["clippy", "--release", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    (
        "documentation",
        &["doc", "--release", "--locked", "--workspace", "--no-deps", "--document-private-items"],
    ),
    // Examples are checked by clippy; those that are run are built by the scripts that run them.
    (
        "tests",
        &["test", "--release", "--locked", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"],
    ),
];

/// Doors point into private rooms for whoever reads the source; those links are fine with private items documented.
const RUSTDOC_FLAGS: &str = "-D warnings -A rustdoc::private_intra_doc_links";

/// Whether a variable tells of this program's own package, as `cargo run` does. To the cargo below it would seem that the
/// environment of build scripts had changed (ring's asks for that), and all that rests on those would be compiled again.
fn is_ours(variable: &OsStr) -> bool {
    let variable = variable.to_string_lossy();
    ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|prefix| variable.starts_with(prefix))
}

/// Tests that start servers wait more than they work.
fn test_threads() -> OsString {
    let twice = || (2 * std::thread::available_parallelism().map_or(1, usize::from)).to_string().into();
    std::env::var_os("RUST_TEST_THREADS").unwrap_or_else(twice)
}

pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let mut took = Vec::new();
    let mut began = now();
    say("== tidy and floors");
    tidy::run(root)?;
    floors::run(root)?;
    took.push(("tidy and floors", began.elapsed()));
    for (name, arguments) in STEPS {
        began = now();
        if name.starts_with("licences") && !has_deny() {
            say(
                "== licences, bans and sources: skipped, as cargo-deny is not installed (`cargo install cargo-deny --locked`)",
            );
            continue;
        }
        say(&format!("== {name}: cargo {}", arguments.join(" ")));
        let mut cargo = Command::new("cargo");
        std::env::vars_os().map(|(name, _)| name).filter(|name| is_ours(name)).for_each(|name| {
            cargo.env_remove(name);
        });
        let status = cargo
            .args(arguments)
            .env("RUSTDOCFLAGS", RUSTDOC_FLAGS)
            .env("RUST_TEST_THREADS", test_threads())
            .current_dir(root)
            .status()
            .with_context(|| format!("cargo {}", arguments.join(" ")))?;
        ensure!(status.success(), "{name} failed");
        took.push((name, began.elapsed()));
    }
    say("== all passed; seconds of each part:");
    for (name, took) in took {
        say(&format!("{:>6}  {name}", took.as_secs()));
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a developer's clock: how long each part took")]
fn now() -> Instant {
    Instant::now()
}

fn has_deny() -> bool {
    Command::new("cargo").args(["deny", "--version"]).output().is_ok_and(|output| output.status.success())
}
