//! Settings that are read when the server starts and not again: what is changed of them waits for a restart.

use super::Config;

/// These sections as they were at the start.
pub(crate) struct ReadOnce([(&'static str, String); 8]);

impl ReadOnce {
    pub(super) fn of(config: &Config) -> Self {
        let Config { server, auth, storage, records, telemetry, cache, embedded, resilience, .. } = config;
        Self([
            ("[server]", format!("{server:?}")),
            ("[auth]", format!("{auth:?}")),
            ("[storage]", format!("{storage:?}")),
            ("[records]", format!("{records:?}")),
            ("[telemetry]", format!("{telemetry:?}")),
            ("[cache]", format!("{cache:?}")),
            ("[embedded]", format!("{embedded:?}")),
            ("[resilience]", format!("{resilience:?}")),
        ])
    }

    /// The sections that are not the same in `now`.
    pub(crate) fn changed(&self, now: &Self) -> Vec<&'static str> {
        let pairs = self.0.iter().zip(&now.0);
        pairs.filter(|((_, before), (_, now))| before != now).map(|((name, _), _)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(&format!("schema = 1\n{text}")).expect(text)
    }

    #[test]
    fn only_what_differs_waits_for_a_restart() {
        let start =
            ReadOnce::of(&config("[server]\nlisten = \"127.0.0.1:1\"\n[records]\ndurability = \"async\""));
        for (now, want) in [
            ("[records]\ndurability = \"async\"\n[server]\nlisten = \"127.0.0.1:1\"", vec![]),
            ("[server]\nlisten = \"127.0.0.1:2\"\n[records]\ndurability = \"async\"", vec!["[server]"]),
            (
                "[server]\nlisten = \"127.0.0.1:1\"\n[records]\ndurability = \"commit\"\n[cache]\nbytes_max = 1000000",
                vec!["[records]", "[cache]"],
            ),
            (
                "[server]\nlisten = \"127.0.0.1:1\"\n[records]\ndurability = \"async\"\n[limits.key]\nrate = \"6/s\"",
                vec![],
            ),
        ] {
            assert_eq!(start.changed(&ReadOnce::of(&config(now))), want, "{now}");
        }
    }
}
