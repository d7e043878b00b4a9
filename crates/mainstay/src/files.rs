//! The configuration folder: shipped inside the binary, or a folder on disk.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use registry::folder::Folder;
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../../config/"]
struct Shipped;

/// What is known of well-known models, for folders that do not say so themselves.
pub(crate) const CATALOGUE: &[u8] = include_bytes!("../../../config/catalogue.toml");

/// Most bytes that a configuration folder may hold.
const BYTES_MAX: u64 = 256 << 20;
/// Folders below folders, at most.
const DEPTH_MAX: usize = 16;

/// The configuration folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// A file or folder of it.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is too large to be one.
    #[error("{}: a configuration folder holds at most {} MiB", .0.display(), BYTES_MAX >> 20)]
    TooLarge(PathBuf),
}

/// The folder that is shipped inside the binary.
pub(crate) fn shipped() -> Folder {
    let mut folder = Folder::default();
    for path in Shipped::iter() {
        match Shipped::get(&path).map(|file| file.data) {
            Some(Cow::Borrowed(bytes)) => folder.insert_shipped(path.as_ref(), bytes),
            Some(Cow::Owned(bytes)) => folder.insert(path.as_ref(), bytes),
            None => {}
        }
    }
    folder
}

/// A folder on disk. Hidden files are not part of it.
pub(crate) fn read(root: &Path) -> Result<Folder, FolderError> {
    let mut folder = Folder::default();
    let mut left = BYTES_MAX;
    let mut open = vec![(root.to_owned(), 0)];
    while let Some((path, depth)) = open.pop() {
        let failed = |source| FolderError::Read { path: path.clone(), source };
        for entry in std::fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let is_hidden = name.to_string_lossy().starts_with('.');
            let path = entry.path();
            let failed = |source| FolderError::Read { path: path.clone(), source };
            let kind = std::fs::metadata(&path).map_err(failed)?;
            if is_hidden {
                continue;
            }
            if kind.is_dir() {
                if depth < DEPTH_MAX {
                    open.push((path, depth + 1));
                }
                continue;
            }
            left = left.checked_sub(kind.len()).ok_or_else(|| FolderError::TooLarge(root.to_owned()))?;
            let content = std::fs::read(&path).map_err(failed)?;
            folder.insert(relative(root, &path), content);
        }
    }
    Ok(folder)
}

fn relative(root: &Path, path: &Path) -> String {
    let parts = path.strip_prefix(root).unwrap_or(path).components();
    parts.map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// Writes the shipped folder to `root`; existing files are left as they are and listed.
pub(crate) fn write_shipped(root: &Path) -> Result<Vec<String>, FolderError> {
    let mut kept = Vec::new();
    for (path, content) in shipped().under("") {
        let target = root.join(path);
        let failed = |source| FolderError::Read { path: target.clone(), source };
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        if target.exists() {
            kept.push(path.to_owned());
            continue;
        }
        std::fs::write(&target, content).map_err(failed)?;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_the_same() {
        let root = tempfile::tempdir().expect("a temporary folder");
        assert!(write_shipped(root.path()).expect("writable").is_empty());
        assert_eq!(read(root.path()).expect("readable").id(), shipped().id());
        let kept = write_shipped(root.path()).expect("writable");
        assert_eq!(kept.len(), shipped().under("").count(), "nothing is overwritten");
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = read(Path::new("/nowhere/at/all")).expect_err("missing");
        assert!(error.to_string().starts_with("/nowhere/at/all: "), "{error}");
    }
}
