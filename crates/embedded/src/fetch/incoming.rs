//! A file on its way in: written beside its place, verified, then moved there in one step.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::SourceError;
use crate::catalogue;

/// A file being received. Dropping it unfinished removes what came.
pub(super) struct Incoming {
    file: Option<File>,
    part: PathBuf,
    place: PathBuf,
    want: catalogue::File,
    hash: Sha256,
    bytes: u64,
}

impl Incoming {
    pub(super) fn create(folder: &Path, want: &catalogue::File) -> io::Result<Self> {
        let place = folder.join(&want.name);
        let part = folder.join(format!("{}.part", want.name));
        let file = Some(File::create(&part)?);
        Ok(Self { file, part, place, want: want.clone(), hash: Sha256::new(), bytes: 0 })
    }

    /// Takes the next bytes; refuses more than the file has, so that no source can fill the disk.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.bytes > self.want.bytes {
            let (name, want) = (&self.want.name, self.want.bytes);
            return Err(SourceError::Reason(format!("{name} is longer than its {want} bytes")));
        }
        self.hash.update(bytes);
        if let Some(file) = &mut self.file {
            file.write_all(bytes)?;
        }
        Ok(())
    }

    /// Takes all that `from` has, reporting each piece's length.
    pub(super) fn write_from(
        &mut self,
        from: &mut dyn Read,
        report: &dyn Fn(u64),
    ) -> Result<(), SourceError> {
        let mut buffer = vec![0; 1 << 20];
        loop {
            let n = from.read(&mut buffer)?;
            if n == 0 {
                return Ok(());
            }
            self.write(buffer.get(..n).unwrap_or_default())?;
            report(u64::try_from(n).unwrap_or(0));
        }
    }

    /// Verifies what came and puts it in its place, safe on disk.
    pub(super) fn finish(mut self) -> Result<(), SourceError> {
        let sum = hex(&std::mem::take(&mut self.hash).finalize());
        if self.bytes != self.want.bytes || sum != self.want.sha256 {
            return Err(SourceError::Reason(format!(
                "{} arrived with {} bytes and SHA-256 {sum}, wanted are {} bytes and {}",
                self.want.name, self.bytes, self.want.bytes, self.want.sha256
            )));
        }
        if let Some(file) = self.file.take() {
            file.sync_all()?;
        }
        std::fs::rename(&self.part, &self.place)?;
        remember(&self.place, &self.want);
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // After `finish` there is nothing of that name.
        _ = std::fs::remove_file(&self.part);
    }
}

/// What a verification found out, kept beside the file so that the next start need not hash a gigabyte again.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Verified {
    sha256: String,
    bytes: u64,
    modified_ns: u64,
}

impl Verified {
    /// What would have to be remembered of the file at `path` for it to count as `want`.
    fn of(path: &Path, want: &catalogue::File) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let modified_ns = u64::try_from(modified.as_nanos()).ok()?;
        Some(Self { sha256: want.sha256.clone(), bytes: metadata.len(), modified_ns })
    }
}

fn note_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".verified");
    PathBuf::from(name)
}

/// In a folder that cannot be written the file is hashed at every start, which is slow and right.
fn remember(path: &Path, want: &catalogue::File) {
    if let Some(text) = Verified::of(path, want).and_then(|note| serde_json::to_string(&note).ok()) {
        _ = std::fs::write(note_path(path), text);
    }
}

/// Whether the file at `path` is `want`; hashes it only if it changed since it was last verified.
///
/// # Errors
/// The reason why not; `None` when there is no file.
pub(super) fn verify(path: &Path, want: &catalogue::File) -> Result<(), Option<String>> {
    let Ok(metadata) = std::fs::metadata(path) else { return Err(None) };
    if metadata.len() != want.bytes {
        return Err(Some(format!("{} has {} bytes, not {}", want.name, metadata.len(), want.bytes)));
    }
    let noted = std::fs::read(note_path(path)).ok();
    let noted = noted.and_then(|note| serde_json::from_slice::<Verified>(&note).ok());
    if noted.is_some() && noted == Verified::of(path, want) {
        return Ok(());
    }
    let sum = sum_of(path).map_err(|error| Some(format!("{} cannot be read: {error}", want.name)))?;
    if sum != want.sha256 {
        return Err(Some(format!("{} has SHA-256 {sum}, not {}", want.name, want.sha256)));
    }
    remember(path, want);
    Ok(())
}

fn sum_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(buffer.get(..n).unwrap_or_default());
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
