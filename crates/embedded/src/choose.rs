//! Whether a model fits this machine, and which one to take when nobody says.

use std::path::Path;

use crate::catalogue::{Catalogue, Kind};

/// Memory of this machine, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All that this process may ever use: the machine's memory or the cgroup's limit, whichever is less.
    pub total: u64,
    /// What could be used now without pushing others out.
    pub available: u64,
}

impl Memory {
    /// Reads it from the kernel. A machine that does not say counts as having plenty. Blocks briefly.
    #[must_use]
    pub fn read() -> Self {
        Self::read_below(Path::new("/"))
    }

    fn read_below(root: &Path) -> Self {
        let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let machine = text("proc/meminfo");
        let field = |name: &str| kibibytes(&machine, name).unwrap_or(u64::MAX);
        let mut memory = Self { total: field("MemTotal:"), available: field("MemAvailable:") };
        // A process sees its own cgroup at the root of the mount in containers, else below its path.
        let own = text("proc/self/cgroup");
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default().to_owned();
        for (folder, limit, used) in [
            (format!("sys/fs/cgroup/{own}"), "memory.max", "memory.current"),
            ("sys/fs/cgroup".to_owned(), "memory.max", "memory.current"),
            ("sys/fs/cgroup/memory".to_owned(), "memory.limit_in_bytes", "memory.usage_in_bytes"),
        ] {
            let number = |name: &str| text(&format!("{folder}/{name}")).trim().parse::<u64>().ok();
            let Some(limit) = number(limit) else { continue };
            // Pages of files are dropped when memory is wanted.
            let statistics = text(&format!("{folder}/memory.stat"));
            let droppable = bytes_of(&statistics, "inactive_file ").unwrap_or(0);
            let used = number(used).unwrap_or(0).saturating_sub(droppable);
            memory.total = memory.total.min(limit);
            memory.available = memory.available.min(limit.saturating_sub(used));
        }
        memory
    }
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1_024)
}

fn bytes_of(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

/// Checks that `needed` bytes are there.
///
/// # Errors
/// The reason with both figures.
pub fn check(needed: u64, memory: Memory) -> Result<(), String> {
    if needed <= memory.available {
        return Ok(());
    }
    Err(format!(
        "it needs {} of memory and {} of {} are available",
        gibibytes(needed),
        gibibytes(memory.available),
        gibibytes(memory.total)
    ))
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// What was chosen and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The model; `None` when none fits.
    pub model: Option<String>,
    /// Why, for people.
    pub reason: String,
}

/// The first chat model of the catalogue's list that fits into `memory` with a context of `n_ctx` tokens.
#[must_use]
pub fn choose(catalogue: &Catalogue, memory: Memory, n_ctx: u32) -> Choice {
    let mut refused = Vec::new();
    for name in &catalogue.chat {
        let Some(model) = catalogue.model(name).filter(|model| model.kind == Kind::Chat) else { continue };
        match check(model.memory_bytes(n_ctx), memory) {
            Ok(()) => {
                let reason = if refused.is_empty() {
                    format!(
                        "`{name}` fits: it needs {} of memory and {} are available",
                        gibibytes(model.memory_bytes(n_ctx)),
                        gibibytes(memory.available)
                    )
                } else {
                    format!("`{name}` is taken because {}", refused.join("; "))
                };
                return Choice { model: Some(name.clone()), reason };
            }
            Err(reason) => refused.push(format!("`{name}` does not fit: {reason}")),
        }
    }
    let reason =
        if refused.is_empty() { "the catalogue names no chat model".to_owned() } else { refused.join("; ") };
    Choice { model: None, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_largest_model_that_fits_is_taken_and_the_reason_has_both_figures() {
        let catalogue = Catalogue::parse(include_str!("../../../config/models.toml")).unwrap();
        for (available, want, reason) in [
            (16 * GIB, Some("qwen2.5-coder-1.5b"), "fits"),
            (3 * GIB / 2, Some("qwen2.5-coder-0.5b"), "1.5 GiB of 16.0 GiB"),
            (GIB / 2, None, "0.5 GiB of 16.0 GiB"),
        ] {
            let choice = choose(&catalogue, Memory { total: 16 * GIB, available }, 4_096);
            assert_eq!(choice.model.as_deref(), want, "{available}");
            assert!(choice.reason.contains(reason), "{}", choice.reason);
        }
    }

    #[test]
    fn the_tightest_limit_counts_and_file_pages_are_free() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/meminfo", "MemTotal:       8000 kB\nMemFree: 1 kB\nMemAvailable:   6000 kB\n");
        let bare = Memory::read_below(root.path());
        assert_eq!(bare, Memory { total: 8_000 * 1_024, available: 6_000 * 1_024 });
        write("proc/self/cgroup", "0::/app\n");
        write("sys/fs/cgroup/memory.max", "max\n");
        write("sys/fs/cgroup/app/memory.max", "4096000\n");
        write("sys/fs/cgroup/app/memory.current", "3000000\n");
        write("sys/fs/cgroup/app/memory.stat", "anon 1\ninactive_file 2000000\n");
        let limited = Memory::read_below(root.path());
        assert_eq!(limited, Memory { total: 4_096_000, available: 3_096_000 });
    }

    #[test]
    fn a_machine_that_does_not_say_has_plenty() {
        let root = tempfile::tempdir().unwrap();
        let memory = Memory::read_below(root.path());
        assert!(check(1 << 40, memory).is_ok());
    }
}
