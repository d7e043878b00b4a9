//! The fault-injecting upstream for use by hand: `mock-upstream [--port 9001] [--behaviour down] [--text TEXT]`.

use std::io::Write as _;
use std::process::ExitCode;

use testkit::upstream::{Answer, Behaviour, Upstream};

fn main() -> ExitCode {
    match start(std::env::args().skip(1)) {
        Ok(upstream) => {
            let url = upstream.base_url();
            let _ = writeln!(
                std::io::stdout(),
                "listening: {url}  (base_url of a provider; needs allow_private = true)"
            );
            upstream.wait();
            ExitCode::SUCCESS
        }
        Err(reason) => {
            let _ = writeln!(std::io::stderr(), "{reason}");
            ExitCode::FAILURE
        }
    }
}

fn start(mut arguments: impl Iterator<Item = String>) -> Result<Upstream, String> {
    let (mut port, mut behaviour) = (9001, Behaviour::default());
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(usage)?;
        match name.as_str() {
            "--port" => port = value.parse().map_err(|_| format!("`{value}` is no port"))?,
            "--text" => behaviour = Behaviour::Answer(Answer::of(&value)),
            "--behaviour" => {
                behaviour = Behaviour::by_name(&value)
                    .ok_or_else(|| format!("unknown behaviour `{value}`\n{}", usage()))?;
            }
            _ => return Err(usage()),
        }
    }
    Upstream::start_on(port, behaviour).map_err(|error| format!("cannot listen on port {port}: {error}"))
}

fn usage() -> String {
    let names: Vec<&str> = Behaviour::named().into_iter().map(|(name, _)| name).collect();
    format!(
        "mock-upstream [--port 9001] [--behaviour NAME] [--text TEXT]\nbehaviours: status-NNN, {}",
        names.join(", ")
    )
}
