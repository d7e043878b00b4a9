//! Files that the process may have open: as many as the system gives, and fewer connections where it gives few.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is kept for the store, models, logs and the configuration.
const KEPT: u64 = 48;

/// Raises the limit to the highest that is allowed; how many files the process may have open then.
pub(crate) fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    let granted = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    granted.unwrap_or(u64::MAX)
}

/// Connections that `n_files` allow, at most `wanted`: each may need another one to a provider. Who asked for a number
/// by hand is warned when it cannot be had.
pub(crate) fn connections_max(n_files: u64, wanted: usize) -> usize {
    let most = n_files.saturating_sub(KEPT) / 2;
    let allowed = usize::try_from(most).unwrap_or(usize::MAX).clamp(1, wanted.max(1));
    if allowed == wanted {
        return allowed;
    }
    let told =
        format!("{n_files} open files are allowed: at most {allowed} connections at once, not {wanted}");
    if wanted == api::server::Config::default().connections_max {
        tracing::info!("{told}");
    } else {
        tracing::warn!(
            "{told}; raise the limit of the process (`ulimit -n`, LimitNOFILE=), or lower [server] connections_max"
        );
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_calls_and_for_the_store() {
        for (n_files, wanted, want) in [
            (1_048_576, 10_000, 10_000),
            (1_024, 10_000, 488),
            (1_024, 100, 100),
            (128, 10_000, 40),
            (20, 10_000, 1),
            (u64::MAX, 10_000, 10_000),
        ] {
            assert_eq!(connections_max(n_files, wanted), want, "{n_files} {wanted}");
        }
    }

    #[test]
    fn the_limit_is_raised_to_what_is_allowed() {
        let granted = raise();
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), granted);
    }
}
