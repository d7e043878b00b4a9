//! The signals that ask the process to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT (Ctrl-C), and SIGHUP (the terminal went away), each as good as the others.
pub(super) struct Signals(Option<Heard>);

struct Heard {
    terminate: Signal,
    interrupt: Signal,
    /// None under `nohup`: the server is to outlive its terminal.
    hangup: Option<Signal>,
}

impl Signals {
    pub(super) fn new() -> Self {
        let hangup = if ignores_hangup() { None } else { signal(SignalKind::hangup()).ok() };
        let (Ok(terminate), Ok(interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            tracing::warn!("signals cannot be heard; stop the server with kill -9");
            return Self(None);
        };
        Self(Some(Heard { terminate, interrupt, hangup }))
    }

    /// Until the next one. Cancel-safe.
    pub(super) async fn next(&mut self) {
        let Some(Heard { terminate, interrupt, hangup }) = &mut self.0 else {
            return std::future::pending().await;
        };
        let hung_up = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hung_up => {}
        }
    }
}

/// Whether whoever started the process had it ignore SIGHUP. Hearing the signal would undo that.
fn ignores_hangup() -> bool {
    // Elsewhere than on Linux nothing is known.
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| hangup_bit(&status))
}

/// The first bit of the mask of ignored signals is that of SIGHUP, whose number is 1.
fn hangup_bit(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hangup_is_seen_in_the_mask() {
        for (status, want) in [
            ("Name:\tx\nSigIgn:\t0000000000000001\n", true),
            ("SigIgn:\t0000000000001001\n", true),
            ("SigIgn:\t0000000000001000\nSigCgt:\t0000000000000001\n", false),
            ("SigIgn:\tnonsense\n", false),
            ("", false),
        ] {
            assert_eq!(hangup_bit(status), want, "{status}");
        }
    }
}
