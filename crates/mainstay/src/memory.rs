//! How much memory the server uses, measured four times a second: load shedding goes by it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::ports::Clock;
use resilience::memory::{Pressure, Usage};

use crate::assembly::Assembly;

/// As Envoy's overload manager; a reading takes some tens of microseconds.
const EVERY: Duration = Duration::from_millis(250);

/// Measures until the server stops.
pub(crate) async fn watch(assembly: Arc<Assembly>) {
    let budget = assembly.gate.memory();
    let Some(meter) = Meter::find(Path::new("/"), budget.usage().limit_bytes) else {
        tracing::warn!("this machine does not say how much memory is in use: none is shed for");
        return;
    };
    let mut before = Pressure::Calm;
    loop {
        if let Some(usage) = meter.read() {
            let now = budget.note(usage);
            tell(before, now, usage);
            before = now;
        }
        tokio::select! {
            () = assembly.clock.sleep(EVERY) => {}
            () = assembly.shutdown.cancelled() => return,
        }
    }
}

fn tell(before: Pressure, now: Pressure, usage: Usage) {
    let percent = usage.percent();
    match now {
        _ if now == before => {}
        Pressure::Calm => {
            tracing::info!(percent, "memory is {percent} % in use: all requests are taken on again")
        }
        Pressure::High => {
            tracing::warn!(percent, "memory is {percent} % in use: only interactive requests are taken on");
        }
        Pressure::Critical => {
            tracing::error!(
                percent,
                "memory is {percent} % in use: requests are refused until it is given back"
            );
        }
    }
}

/// Where the memory in use is read.
#[derive(Debug, PartialEq, Eq)]
enum Meter {
    /// Of a control group with a limit: all its processes, as the kernel counts them before it kills one.
    Group { used: PathBuf, statistics: PathBuf, limit_bytes: u64 },
    /// Of this process alone.
    Process { status: PathBuf, limit_bytes: u64 },
}

impl Meter {
    /// The meter of a file system at `root`. A configured limit is for this process; else the limit of the control
    /// group counts, else the machine's memory.
    fn find(root: &Path, configured_bytes: u64) -> Option<Self> {
        let status = root.join("proc/self/status");
        if configured_bytes > 0 {
            return Some(Self::Process { status, limit_bytes: configured_bytes });
        }
        let machine = number(&root.join("proc/meminfo"), &["MemTotal:"])?.saturating_mul(1_024);
        let own = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        // A process sees its own group at the root of the mount in containers, else below its path.
        for (folder, limit, used) in [
            (format!("sys/fs/cgroup/{own}"), "memory.max", "memory.current"),
            ("sys/fs/cgroup".to_owned(), "memory.max", "memory.current"),
            ("sys/fs/cgroup/memory".to_owned(), "memory.limit_in_bytes", "memory.usage_in_bytes"),
        ] {
            let folder = root.join(folder);
            // An unlimited group says `max`, or a number that no machine has.
            let limit = whole(&folder.join(limit)).filter(|limit| *limit < machine);
            if let Some(limit_bytes) = limit {
                let (used, statistics) = (folder.join(used), folder.join("memory.stat"));
                return Some(Self::Group { used, statistics, limit_bytes });
            }
        }
        Some(Self::Process { status, limit_bytes: machine })
    }

    fn read(&self) -> Option<Usage> {
        match self {
            Self::Group { used, statistics, limit_bytes } => {
                let all = whole(used)?;
                // Pages of files are given back when memory is wanted.
                let files = number(statistics, &["active_file ", "inactive_file "]).unwrap_or(0);
                Some(Usage { used_bytes: all.saturating_sub(files), limit_bytes: *limit_bytes })
            }
            Self::Process { status, limit_bytes } => {
                let kibibytes = number(status, &["RssAnon:", "RssShmem:"])?;
                Some(Usage { used_bytes: kibibytes.saturating_mul(1_024), limit_bytes: *limit_bytes })
            }
        }
    }
}

/// The number that a file is.
fn whole(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The sum of the numbers that follow `names` at the beginning of lines; `None` when there is none.
fn number(path: &Path, names: &[&str]) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let values = text.lines().filter_map(|line| {
        let rest = names.iter().find_map(|name| line.strip_prefix(name))?;
        rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    });
    values.fold(None, |sum: Option<u64>, value| Some(sum.unwrap_or(0).saturating_add(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "MemTotal:        4000000 kB\nMemAvailable: 1 kB\n";
    const PROCESS: &str = "VmRSS:\t 900 kB\nRssAnon:\t 100 kB\nRssFile:\t 800 kB\nRssShmem:\t 20 kB\n";

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary folder");
        let own = [("proc/meminfo", MACHINE), ("proc/self/status", PROCESS)];
        for (path, text) in own.iter().chain(files) {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        root
    }

    #[test]
    fn the_limit_is_the_configured_one_the_groups_or_the_machines() {
        let own = Usage { used_bytes: 120 << 10, limit_bytes: 4_000_000 << 10 };
        let statistics = "anon 5\nfile 60\ninactive_file 40\nactive_file 20\n";
        for (files, configured_bytes, want) in [
            (vec![], 0, own),
            (vec![], 5, Usage { limit_bytes: 5, ..own }),
            (
                vec![
                    ("proc/self/cgroup", "0::/a/b\n"),
                    ("sys/fs/cgroup/a/b/memory.max", "1000\n"),
                    ("sys/fs/cgroup/a/b/memory.current", "100\n"),
                    ("sys/fs/cgroup/a/b/memory.stat", statistics),
                ],
                0,
                Usage { used_bytes: 40, limit_bytes: 1_000 },
            ),
            (
                vec![
                    ("proc/self/cgroup", "8:memory:/a\n0::/a\n"),
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000\n"),
                    ("sys/fs/cgroup/memory/memory.usage_in_bytes", "70\n"),
                ],
                0,
                Usage { used_bytes: 70, limit_bytes: 2_000 },
            ),
            (
                vec![
                    ("sys/fs/cgroup/memory.max", "max\n"),
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                    ("sys/fs/cgroup/memory/memory.usage_in_bytes", "70\n"),
                ],
                0,
                own,
            ),
        ] {
            let root = machine(&files);
            let meter = Meter::find(root.path(), configured_bytes).expect("a meter");
            assert_eq!(meter.read(), Some(want), "{files:?}");
        }
    }

    #[test]
    fn this_machine_says_what_it_uses() {
        let usage = Meter::find(Path::new("/"), 0).and_then(|meter| meter.read()).expect("Linux says it");
        assert!(usage.used_bytes > 0 && usage.limit_bytes > usage.used_bytes, "{usage:?}");
    }
}
