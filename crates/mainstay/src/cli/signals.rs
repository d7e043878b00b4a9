//! The signals that ask the process to stop, or to look at its certificate again.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

/// SIGTERM, SIGINT (Ctrl-C), and SIGHUP (the terminal went away), each as good as the others. Where there is no terminal
/// that could go away, SIGHUP has the certificate read anew, as it does with other servers.
pub(super) struct Signals(Option<Heard>);

struct Heard {
    terminate: Signal,
    interrupt: Signal,
    /// None under `nohup`: the server is to outlive its terminal.
    hangup: Option<Signal>,
    /// Who is woken by a hang-up that does not stop the server.
    reload: Option<Arc<Notify>>,
}

impl Signals {
    /// `reload` is woken by SIGHUP, where that does not mean that the terminal went away.
    pub(super) fn new(reload: Option<Arc<Notify>>) -> Self {
        let hangup = if ignores_hangup() { None } else { signal(SignalKind::hangup()).ok() };
        let (Ok(terminate), Ok(interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            tracing::warn!("signals cannot be heard; stop the server with kill -9");
            return Self(None);
        };
        let reload = reload.filter(|_| !has_terminal());
        Self(Some(Heard { terminate, interrupt, hangup, reload }))
    }

    /// Until the next one that asks to stop. Cancel-safe.
    pub(super) async fn next(&mut self) {
        let Some(Heard { terminate, interrupt, hangup, reload }) = &mut self.0 else {
            return std::future::pending().await;
        };
        loop {
            let hung_up = async {
                match hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                _ = hung_up => match reload {
                    Some(reload) => reload.notify_one(),
                    None => return,
                }
            }
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

/// Whether the process has a terminal that can go away.
fn has_terminal() -> bool {
    // Elsewhere than on Linux nothing is known, and hang-ups stop the server as ever.
    std::fs::read_to_string("/proc/self/stat").map_or(true, |stat| terminal_number(&stat) != Some(0))
}

/// The seventh field; the second is a name in brackets that may hold anything.
fn terminal_number(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(4)?.parse().ok()
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

    #[test]
    fn a_terminal_is_the_seventh_field() {
        for (stat, want) in [
            ("4711 (mainstay) S 1 4711 4711 34816 4711 4194560", Some(34_816)),
            ("4711 (a ) b) S 1 4711 4711 0 -1 4194560", Some(0)),
            ("4711", None),
        ] {
            assert_eq!(terminal_number(stat), want, "{stat}");
        }
    }
}
