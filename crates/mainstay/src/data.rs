//! The data folder: made when missing, and used by one server at a time.

use std::fs::{File, TryLockError};
use std::path::Path;

use anyhow::{Context, bail};

/// Holds the data folder; dropping it (or the end of the process) lets another server in.
#[derive(Debug)]
pub(crate) struct DataLock(#[expect(dead_code, reason = "held for its lock")] File);

/// Makes the folder and locks it.
pub(crate) fn lock(data: &Path) -> anyhow::Result<DataLock> {
    let unusable = || {
        let data = data.display();
        format!("the data folder {data} cannot be written: make it writable, or give another with --data DIR")
    };
    std::fs::create_dir_all(data).with_context(unusable)?;
    let path = data.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(unusable)?;
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

/// What is wrong when the disk of `folder` has fewer than `least` bytes free. A disk that does not say counts as large.
pub(crate) fn shortage(folder: &Path, least: u64) -> Option<String> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let megabytes = |bytes: u64| bytes / 1_000_000;
    (free < least).then(|| {
        format!(
            "the disk of {} has {} MB free, {} MB are to be ([storage] free_bytes_min)",
            folder.display(),
            megabytes(free),
            megabytes(least)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_what_is_below_the_least() {
        let data = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(shortage(data.path(), 0), None);
        let told = shortage(data.path(), u64::MAX).expect("no disk is that large");
        assert!(told.contains("MB free") && told.contains("free_bytes_min"), "{told}");
        assert_eq!(shortage(Path::new("/nowhere/at/all"), u64::MAX), None, "nothing is known");
    }

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
