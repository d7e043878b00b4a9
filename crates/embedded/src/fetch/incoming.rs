//! A file on its way in: written beside its place, verified, then moved there in one step.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::SourceError;
use super::partial::{self, Provenance};
use crate::catalogue;
use domain::hex;

/// What becomes of a file that is dropped unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unfinished {
    /// It is removed.
    Goes,
    /// It is kept, to be continued.
    Stays,
}

/// A file being received.
pub(super) struct Incoming {
    file: Option<File>,
    unfinished: Unfinished,
    folder: PathBuf,
    part: PathBuf,
    place: PathBuf,
    want: catalogue::File,
    hash: Sha256,
    bytes: u64,
}

impl Incoming {
    /// A file from a source that cannot be continued.
    pub(super) fn create(folder: &Path, want: &catalogue::File) -> io::Result<Self> {
        let part = folder.join(format!("{}.part", want.name));
        Ok(Self::new(folder, want, (File::create(&part)?, part)))
    }

    /// A file whose beginning is kept when the rest does not come, as long as its server knows it by something.
    pub(super) fn begin(folder: &Path, want: &catalogue::File, from: &Provenance) -> io::Result<Self> {
        partial::note(folder, want, from)?;
        let part = partial::place(folder, want);
        let mut incoming = Self::new(folder, want, (File::create(&part)?, part));
        incoming.unfinished = Unfinished::Stays;
        Ok(incoming)
    }

    /// The file of which the first `bytes` are kept. Reads them.
    pub(super) fn resume(folder: &Path, want: &catalogue::File, bytes: u64) -> io::Result<Self> {
        let part = partial::place(folder, want);
        let mut file = File::options().read(true).write(true).open(&part)?;
        file.set_len(bytes)?;
        let mut hash = Sha256::new();
        hash_all(&mut file, &mut hash)?;
        let mut incoming = Self::new(folder, want, (file, part));
        (incoming.hash, incoming.bytes, incoming.unfinished) = (hash, bytes, Unfinished::Stays);
        Ok(incoming)
    }

    fn new(folder: &Path, want: &catalogue::File, (file, part): (File, PathBuf)) -> Self {
        Self {
            file: Some(file),
            unfinished: Unfinished::Goes,
            folder: folder.to_owned(),
            part,
            place: folder.join(&want.name),
            want: want.clone(),
            hash: Sha256::new(),
            bytes: 0,
        }
    }

    /// Takes the next bytes; refuses more than the file has, so that no source can fill the disk.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.bytes > self.want.bytes {
            self.unfinished = Unfinished::Goes;
            let (name, want) = (&self.want.name, self.want.bytes);
            return Err(SourceError::Damaged(format!("{name} is longer than its {want} bytes")));
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
        let sum = hex::of(&std::mem::take(&mut self.hash).finalize());
        if self.bytes != self.want.bytes || sum != self.want.sha256 {
            let reason = format!(
                "{} arrived with {} bytes and SHA-256 {sum}, wanted are {} bytes and {}",
                self.want.name, self.bytes, self.want.bytes, self.want.sha256
            );
            if self.bytes < self.want.bytes {
                return Err(SourceError::Short(reason));
            }
            self.unfinished = Unfinished::Goes;
            return Err(SourceError::Damaged(reason));
        }
        if let Some(file) = self.file.take() {
            file.sync_all()?;
        }
        std::fs::rename(&self.part, &self.place)?;
        remember(&self.place, &self.want);
        // From wherever it came, no beginning of it is needed any more.
        partial::remove(&self.folder, &self.want);
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // After `finish` there is nothing of either name.
        match self.unfinished {
            Unfinished::Stays if partial::is_noted(&self.folder, &self.want) => {}
            Unfinished::Stays => partial::remove(&self.folder, &self.want),
            Unfinished::Goes if self.part == partial::place(&self.folder, &self.want) => {
                partial::remove(&self.folder, &self.want);
            }
            Unfinished::Goes => _ = std::fs::remove_file(&self.part),
        }
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

pub(super) fn sum_of(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    hash_all(&mut File::open(path)?, &mut hash)?;
    Ok(hex::of(&hash.finalize()))
}

/// Reads `file` to its end.
fn hash_all(file: &mut File, hash: &mut Sha256) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        hash.update(buffer.get(..n).unwrap_or_default());
    }
}
