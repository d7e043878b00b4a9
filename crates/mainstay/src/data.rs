//! The data folder: made when missing, and used by one server at a time.

use std::fs::{File, TryLockError};
use std::path::Path;

use anyhow::{Context, bail};

/// Holds the data folder; dropping it (or the end of the process) lets another server in.
#[derive(Debug)]
pub(crate) struct DataLock(#[expect(dead_code, reason = "held for its lock")] File);

/// Makes the folder and locks it.
pub(crate) fn lock(data: &Path) -> anyhow::Result<DataLock> {
    std::fs::create_dir_all(data)
        .with_context(|| format!("could not make the data folder {}", data.display()))?;
    let path = data.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("could not open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(DataLock(file)),
        Err(TryLockError::WouldBlock) => bail!(
            "another server uses the data folder {}; stop it, or give this one its own with --data DIR",
            data.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("could not lock {}", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_at_a_time() {
        let data = tempfile::tempdir().expect("a temporary folder");
        let held = lock(data.path()).expect("free");
        let error = lock(data.path()).expect_err("held");
        assert!(error.to_string().contains("another server"), "{error}");
        drop(held);
        lock(data.path()).expect("free again");
    }
}
