//! A crate names only crates of lower floors. The table is the one in ARCHITECTURE.md.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

/// The line of ARCHITECTURE.md's table that names a crate: `| F1 | `wire` | … |`.
fn floor_of_line(line: &str) -> Option<(String, u32)> {
    let mut cells = line.split('|').map(str::trim).skip(1);
    let floor = cells.next()?.strip_prefix('F')?.parse().ok()?;
    let name = cells.next()?.trim_matches('`');
    (!name.is_empty()).then(|| (name.to_owned(), floor))
}

/// Crates that stand beside the house: they may name anything and only tests may name them.
const BESIDE: [&str; 3] = ["bench", "testkit", "xtask"];

pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).context("ARCHITECTURE.md")?;
    let floors: BTreeMap<String, u32> = text.lines().filter_map(floor_of_line).collect();
    ensure!(floors.len() > 10, "ARCHITECTURE.md holds no table of floors any more");
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()
        .context("cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let mistakes = mistakes(&metadata, &floors);
    if !mistakes.is_empty() {
        bail!("\n  {}", mistakes.join("\n  "));
    }
    Ok(())
}

fn mistakes(metadata: &Value, floors: &BTreeMap<String, u32>) -> Vec<String> {
    let mut mistakes = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        if BESIDE.contains(&name) {
            continue;
        }
        let Some(floor) = floors.get(name) else {
            mistakes.push(format!("`{name}` has no floor in ARCHITECTURE.md"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let other = dependency["name"].as_str().unwrap_or_default();
            let is_for_tests = dependency["kind"].as_str() == Some("dev");
            if BESIDE.contains(&other) && !is_for_tests {
                mistakes.push(format!("`{name}` names `{other}` outside its tests"));
            }
            if let Some(other_floor) =
                floors.get(other).filter(|other_floor| *other_floor >= floor && !is_for_tests)
            {
                mistakes.push(format!("`{name}` (F{floor}) names `{other}` (F{other_floor})"));
            }
        }
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_lower_floors_may_be_named() {
        let floors = BTreeMap::from([("low".to_owned(), 0), ("high".to_owned(), 1)]);
        let package = |name: &str, other: &str, kind: Value| json!({ "packages": [{ "name": name, "dependencies": [{ "name": other, "kind": kind }] }] });
        assert!(mistakes(&package("high", "low", Value::Null), &floors).is_empty());
        assert!(mistakes(&package("high", "testkit", json!("dev")), &floors).is_empty());
        for (name, other, want) in [
            ("low", "high", "`low` (F0) names `high` (F1)"),
            ("high", "testkit", "names `testkit` outside its tests"),
            ("attic", "low", "has no floor"),
        ] {
            let found = mistakes(&package(name, other, Value::Null), &floors);
            assert!(found.len() == 1 && found[0].contains(want), "{found:?}");
        }
    }

    #[test]
    fn the_table_is_read() {
        assert_eq!(floor_of_line("| F2 | `engine` | the worker |"), Some(("engine".to_owned(), 2)));
        assert_eq!(floor_of_line("| floor | crate | what |"), None);
    }
}
