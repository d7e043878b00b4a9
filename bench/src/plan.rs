//! What a measurement is asked to do: whom to ask, how long, and which process to watch meanwhile.

use std::time::Duration;

use tokio::time::Instant;

use crate::connection::{Header, Target};
use crate::process::{Process, Spent};

/// Options that all loads have.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// Name of what is measured, for the report.
    #[arg(long)]
    pub name: String,
    /// Where requests go, as `http://127.0.0.1:8080/v1/chat/completions`.
    #[arg(long)]
    pub url: String,
    /// JSON to send.
    #[arg(long)]
    pub body: String,
    /// Header to send, as `NAME: VALUE`; may be given several times.
    #[arg(long = "header", value_parser = Header::parse)]
    pub headers: Vec<Header>,
    /// Connections at once; with `open` the most that are opened.
    #[arg(long, default_value_t = 16)]
    pub connections: usize,
    /// How long is measured.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// How long requests go on before that.
    #[arg(long, default_value_t = 1.0)]
    pub warmup: f64,
    /// Process whose CPU and memory are watched, with its children.
    #[arg(long)]
    pub pid: Option<u32>,
    /// Number of the round, for the report: figures of one round are compared with each other.
    #[arg(long, default_value_t = 1)]
    pub round: u32,
}

impl Plan {
    /// Whom to ask.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn target(&self) -> anyhow::Result<Target> {
        Target::new(&self.url, Some(&self.body), &self.headers)
    }

    /// The stretch of time that is measured, if all begins now.
    #[must_use]
    pub fn window(&self) -> Window {
        let from = Instant::now() + Duration::from_secs_f64(self.warmup);
        Window { from, to: from + Duration::from_secs_f64(self.seconds) }
    }

    /// What the watched process spends within `window`; `None` when there is none to watch.
    ///
    /// # Errors
    /// When the process is gone.
    pub async fn watch(&self, window: Window) -> anyhow::Result<Option<Spent>> {
        let Some(pid) = self.pid else { return Ok(None) };
        tokio::time::sleep_until(window.from).await;
        let before = Process::read(pid)?;
        tokio::time::sleep_until(window.to).await;
        Ok(Some(Process::read(pid)?.since(&before)))
    }
}

/// What lies before it is warming up.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// When measuring begins.
    pub from: Instant,
    /// When it ends.
    pub to: Instant,
}

impl Window {
    /// Whether something that happened at `moment` counts.
    #[must_use]
    pub fn holds(&self, moment: Instant) -> bool {
        (self.from..self.to).contains(&moment)
    }
}
