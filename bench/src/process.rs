//! CPU time and memory of a process, all its threads and its children, as the kernel counts them.

use std::fs;
use std::time::Duration;

use anyhow::Context;

/// One tick of `/proc/PID/stat`: the kernel's interface fixes it at 1/100 s on x86-64 and arm64.
const TICK: Duration = Duration::from_millis(10);

/// What a process and its children have used since they began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Process {
    /// CPU time in its own code, in steps of 10 ms.
    pub user: Duration,
    /// CPU time in the kernel for it, in steps of 10 ms.
    pub system: Duration,
    /// Resident memory in KiB now.
    pub resident_kib: u64,
}

/// What a process used in a stretch of time.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// CPU time in its own code.
    pub user: Duration,
    /// CPU time in the kernel for it.
    pub system: Duration,
    /// Resident memory in KiB at the end.
    pub resident_kib: u64,
}

impl Process {
    /// Reads it now.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn read(pid: u32) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(&path).with_context(|| format!("could not read {path}"))
        };
        let (user, system) =
            cpu(&read("stat")?).with_context(|| format!("/proc/{pid}/stat is unlike itself"))?;
        let mut total = Self { user, system, resident_kib: resident_kib(&read("status")?) };
        // nginx serves in a child, Mainstay runs models in one.
        for child in read(&format!("task/{pid}/children"))?.split_whitespace() {
            // One that is gone by now has used nothing that could still be read.
            if let Ok(child) = child.parse().context("a pid").and_then(Self::read) {
                total.user += child.user;
                total.system += child.system;
                total.resident_kib += child.resident_kib;
            }
        }
        Ok(total)
    }

    /// What was used since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Spent {
        Spent {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            resident_kib: self.resident_kib,
        }
    }
}

/// Fields 14 and 15; the second one is a name in brackets that may hold anything.
fn cpu(stat: &str) -> Option<(Duration, Duration)> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11).map(str::parse::<u32>);
    Some((TICK * fields.next()?.ok()?, TICK * fields.next()?.ok()?))
}

fn resident_kib(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_brackets() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0 100";
        assert_eq!(cpu(stat), Some((Duration::from_millis(2_500), Duration::from_millis(500))));
    }

    #[test]
    fn work_is_seen() {
        let before = Process::read(std::process::id()).expect("this process");
        let until = std::time::Instant::now() + Duration::from_secs(5);
        let mut spent = before.since(&before);
        while spent.user + spent.system < Duration::from_millis(50) && std::time::Instant::now() < until {
            spent = Process::read(std::process::id()).expect("this process").since(&before);
        }
        assert!(spent.user + spent.system >= Duration::from_millis(50), "{spent:?}");
        assert!(before.resident_kib > 500, "{before:?}");
    }
}
