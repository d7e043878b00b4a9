//! Which server a command asks, and as whom.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use domain::ports::Secrets;
use domain::secret::{Secret, SecretRef};

use crate::cli::Form;
use crate::cli::client::Server;
use crate::clock::SystemClock;
use crate::config::{SystemSecrets, environment};

/// The variable that holds the key of whoever uses the command line.
const KEY_VARIABLE: &str = "MAINSTAY_KEY";

#[derive(Debug, Clone, Args)]
pub(super) struct Reach {
    /// The server to ask.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(super) url: String,
    /// The key to ask with, or where it is: `env::NAME`, `file::PATH` (others of this machine can read a command's
    /// arguments) [default: what the variable MAINSTAY_KEY holds].
    #[arg(long, value_name = "KEY", value_parser = secret)]
    key: Option<Secret>,
}

/// Where a command works, and how it shows what came of it.
#[derive(Debug, Args)]
pub(super) struct Place {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(super) form: Form,
}

impl Place {
    pub(super) fn server(&self) -> anyhow::Result<Server> {
        self.reach.server(Arc::new(SystemClock::new()))
    }
}

/// A key, not shown by whatever prints the options.
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text.to_owned()))
}

impl Reach {
    pub(super) fn server(&self, clock: Arc<SystemClock>) -> anyhow::Result<Server> {
        Server::new(&self.url, self.key()?, clock)
    }

    /// Whether the server would be on this machine.
    pub(super) fn is_here(&self) -> bool {
        let uri: Option<http::Uri> = self.url.parse().ok();
        let host = uri.as_ref().and_then(http::Uri::host).map(|host| host.trim_matches(['[', ']']));
        host.is_some_and(|host| {
            host.eq_ignore_ascii_case("localhost")
                || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        })
    }

    fn key(&self) -> anyhow::Result<Option<Secret>> {
        let Some(given) = &self.key else { return Ok(environment(KEY_VARIABLE).map(Secret::new)) };
        match SecretRef::parse(given.expose()) {
            Ok(reference) => Ok(Some(SystemSecrets.resolve(&reference).context("--key")?)),
            Err(_) => Ok(Some(given.clone())),
        }
    }
}
