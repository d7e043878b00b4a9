//! How files look: each opens with `//!`, is short, and has a name that says something; and the docs say what the
//! code says.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::docs;

/// Lines of code a file may have, tests and comments not counted.
const LINES_MAX: usize = 400;
/// Names that say nothing.
const BANNED: [&str; 8] = ["utils", "util", "helpers", "common", "misc", "manager", "base", "mod"];
/// What names a place outside the repository. Split, so that this file does not name it either.
const FOREIGN: [&str; 6] = [
    concat!("/wo", "rk/"),
    concat!("/fa", "rm/"),
    concat!("py", "pi.org"),
    concat!("python", "hosted.org"),
    concat!("static.", "crates.io"),
    concat!("registry.", "npmjs.org"),
];

pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let mut mistakes = Vec::new();
    for path in files(root)? {
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if let Some(foreign) = FOREIGN.iter().find(|foreign| text.contains(**foreign)) {
            mistakes.push(format!("{shown}: names `{foreign}`"));
        }
        if path.extension().is_some_and(|extension| extension == "rs") {
            mistakes.extend(
                source_mistakes(&path, &text).into_iter().map(|mistake| format!("{shown}: {mistake}")),
            );
        }
    }
    mistakes.extend(docs::staleness(root));
    mistakes.extend(docs::code_mistakes(root)?);
    if !mistakes.is_empty() {
        bail!("\n  {}", mistakes.join("\n  "));
    }
    Ok(())
}

fn source_mistakes(path: &Path, text: &str) -> Vec<String> {
    let mut mistakes = Vec::new();
    if !text.starts_with("//!") {
        mistakes.push("does not open with `//!`".to_owned());
    }
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if BANNED.contains(&stem) {
        mistakes.push(format!("`{stem}` says nothing about what lives here"));
    }
    // A file of tests beside its code is not counted, as tests within a file are not.
    let is_tests = stem == "tests" || stem.ends_with("_tests");
    let lines = if is_tests { 0 } else { lines_of_code(text) };
    if lines > LINES_MAX {
        mistakes.push(format!("{lines} lines of code, at most {LINES_MAX}"));
    }
    mistakes
}

/// Lines that are neither empty nor comments, up to the tests.
fn lines_of_code(text: &str) -> usize {
    let lines = text.lines().map(str::trim).take_while(|line| *line != "#[cfg(test)]");
    lines.filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

/// All files that git knows or would know.
fn files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = std::process::Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git ls-files")?;
    let names = String::from_utf8(output.stdout).context("git ls-files")?;
    Ok(names.lines().filter(|name| *name != "Cargo.lock").map(|name| root.join(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_found() {
        let long = format!("//! x\n{}", "let a = 1;\n".repeat(LINES_MAX + 1));
        for (name, text, want) in [
            ("a.rs", "fn a() {}", "does not open"),
            ("utils.rs", "//! x", "says nothing"),
            ("a.rs", long.as_str(), "lines of code"),
        ] {
            let found = source_mistakes(Path::new(name), text);
            assert!(found.len() == 1 && found[0].contains(want), "{found:?}");
        }
        let tested = format!("//! x\n#[cfg(test)]\n{}", "let a = 1;\n".repeat(LINES_MAX + 1));
        assert!(source_mistakes(Path::new("a.rs"), &tested).is_empty(), "tests are not counted");
        assert!(source_mistakes(Path::new("a/tests.rs"), &long).is_empty(), "nor are files of tests");
    }
}
