//! What a broken download leaves: the file's beginning, and a note of what it is the beginning of.
//!
//! A file has one partial file at most, never longer than itself. It outlives the process, and goes when the model has
//! arrived, when it is of another file than is wanted now, or when its digest turns out wrong.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Kept, incoming};
use crate::catalogue;

/// Where a download comes from and how its server knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Provenance {
    pub(super) url: String,
    /// `None` when the server gives nothing by which a later try could know the file.
    pub(super) validator: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    url: String,
    validator: String,
    sha256: String,
}

/// Where the beginning of `file` is kept.
pub(super) fn place(folder: &Path, file: &catalogue::File) -> PathBuf {
    folder.join(format!("{}.partial", file.name))
}

fn note_place(folder: &Path, file: &catalogue::File) -> PathBuf {
    folder.join(format!("{}.partial.json", file.name))
}

/// What is left of `file` from `url`. What is of no use is removed.
pub(super) fn find(folder: &Path, file: &catalogue::File, url: &str) -> Option<Kept> {
    let note = std::fs::read(note_place(folder, file)).ok();
    let note = note.and_then(|note| serde_json::from_slice::<Note>(&note).ok());
    let bytes = std::fs::metadata(place(folder, file)).map_or(0, |metadata| metadata.len());
    let Some(note) = note.filter(|note| note.sha256 == file.sha256 && (1..=file.bytes).contains(&bytes))
    else {
        remove(folder, file);
        return None;
    };
    // Another mirror's stays until this one sends something.
    (note.url == url).then_some(Kept { bytes, validator: note.validator })
}

/// Notes where a download that begins now comes from.
pub(super) fn note(folder: &Path, file: &catalogue::File, from: &Provenance) -> io::Result<()> {
    // Before the new note stands, the old one must not describe the new bytes.
    remove(folder, file);
    let Some(validator) = from.validator.clone() else { return Ok(()) };
    let note = Note { url: from.url.clone(), validator, sha256: file.sha256.clone() };
    std::fs::write(note_place(folder, file), serde_json::to_vec(&note)?)
}

/// Whether what came of `file` may be continued later.
pub(super) fn is_noted(folder: &Path, file: &catalogue::File) -> bool {
    note_place(folder, file).exists()
}

/// Bytes that are kept of `file`.
pub(super) fn bytes(folder: &Path, file: &catalogue::File) -> u64 {
    std::fs::metadata(place(folder, file)).map_or(0, |metadata| metadata.len())
}

/// Removes what is kept of `file`, the note first: a partial file without one counts for nothing.
pub(super) fn remove(folder: &Path, file: &catalogue::File) {
    for path in [note_place(folder, file), place(folder, file)] {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("{} could not be removed: {error}", path.display());
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// Verifies a beginning that is already as long as the file, which saves asking for it.
pub(super) fn is_whole(folder: &Path, file: &catalogue::File) -> bool {
    bytes(folder, file) == file.bytes
        && incoming::sum_of(&place(folder, file)).is_ok_and(|sum| sum == file.sha256)
}
