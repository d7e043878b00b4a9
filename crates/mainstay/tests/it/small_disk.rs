//! A disk of few megabytes that only one server sees: a file system in memory within a mount namespace of its own.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Makes it, and keeps it until standard input ends.
const HOLD: &str = "mount -t tmpfs -o size=$2 tmpfs \"$1\" && echo mounted && exec cat >/dev/null";
/// Enters the namespaces of a process with all rights there.
const ENTER: [&str; 4] = ["--user", "--mount", "--preserve-credentials", "--target"];

/// The disk; dropping it takes it away.
pub(crate) struct SmallDisk {
    holder: Child,
    place: PathBuf,
}

impl SmallDisk {
    /// A disk with `size` (as `24m`) over the folder `place`; `None`, told on stderr, where the system allows no
    /// namespaces (as in some containers).
    pub(crate) fn over(place: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(place).expect("a folder");
        let mut holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", HOLD, "sh"])
            .arg(place)
            .arg(size)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let told = BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line);
        if told.is_err() || line != "mounted\n" {
            let _ = holder.wait();
            eprintln!("not tested: this system allows no mount namespaces");
            return None;
        }
        Some(Self { holder, place: place.to_owned() })
    }

    /// `command`, run where the disk is seen.
    pub(crate) fn enter(&self, command: &Command) -> Command {
        let mut entering = Command::new("nsenter");
        entering.args(ENTER).arg(self.holder.id().to_string());
        if let Some(folder) = command.get_current_dir() {
            entering.arg(format!("--wd={}", folder.display()));
        }
        entering.arg(command.get_program()).args(command.get_args());
        entering.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        entering
    }

    /// The disk as others reach it.
    pub(crate) fn path(&self) -> PathBuf {
        let place = self.place.strip_prefix("/").expect("an absolute path");
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(place)
    }

    /// What lies on it, copied to another disk; SQLite does not find its way here.
    pub(crate) fn copied(&self) -> TempDir {
        let copies = tempfile::tempdir().expect("a temporary folder");
        for entry in std::fs::read_dir(self.path()).expect("mounted").flatten() {
            if entry.path().is_file() && entry.path() != self.ballast() {
                std::fs::copy(entry.path(), copies.path().join(entry.file_name())).expect("room");
            }
        }
        copies
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).expect("a file");
        for size in [1 << 20, 4 << 10, 1] {
            while ballast.write_all(&vec![1; size]).is_ok() {}
        }
    }

    /// Takes the ballast away.
    pub(crate) fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("it was filled");
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Allows no more writes.
    pub(crate) fn make_read_only(&self) {
        let mut remount = Command::new("mount");
        remount.args([OsStr::new("-o"), OsStr::new("remount,ro"), self.place.as_os_str()]);
        let status = self.enter(&remount).status().expect("mount");
        assert!(status.success(), "{status}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
