//! How every part of the server is, for `/health/deep`, `/metrics` and `doctor`.

use std::sync::{Arc, OnceLock};

use access::limits::Now;
use api::health::{Checkup, Part, PartState};
use api::metrics::{Calling, Gauges};
use domain::ports::{BoxFuture, Clock};
use domain::time::Moment;
use embedded::supervisor::State;
use resilience::breaker::{Cause, Counts, Position};
use resilience::memory::Pressure;
use resilience::shedding::{Class, Reading, Reason};
use routing::TargetHealth;

use crate::assembly::{Assembly, EmbedderState};
use crate::certificates::Standing;
use crate::embedded_slot::Occupant;

/// Looks at the assembly as soon as there is one.
pub(crate) struct ServerCheckup {
    assembly: OnceLock<Arc<Assembly>>,
    /// Of the certificate, where one is shown.
    certificate: Option<Arc<Standing>>,
}

impl ServerCheckup {
    pub(crate) fn new(certificate: Option<Arc<Standing>>) -> Self {
        Self { assembly: OnceLock::new(), certificate }
    }

    pub(crate) fn watch(&self, assembly: Arc<Assembly>) {
        // A second assembly cannot be: a server has one.
        let _ = self.assembly.set(assembly);
    }
}

impl Checkup for ServerCheckup {
    fn parts(&self) -> BoxFuture<'_, Vec<Part>> {
        Box::pin(async {
            match self.assembly.get() {
                Some(assembly) => {
                    let mut parts = parts(assembly).await;
                    let now = assembly.clock.wall();
                    parts.extend(self.certificate.as_ref().map(|standing| standing.part(now)));
                    parts
                }
                None => vec![part("server", PartState::Starting, "loading the configuration")],
            }
        })
    }
}

impl Gauges for ServerCheckup {
    fn calling(&self) -> Calling {
        let calling = |assembly: &Arc<Assembly>| Calling {
            targets: assembly.router.health(),
            hedges: assembly.router.hedges(),
            records_lost: assembly.pipeline.records_lost(),
            limited: assembly.pipeline.limits().refused(),
            cached: assembly.pipeline.cached(),
            budgets: assembly.pipeline.limits().remaining(Now::of(assembly.clock.as_ref())),
            telemetry: assembly.telemetry.as_ref().map(|hub| hub.read()),
            certificate_ends: self.certificate.as_ref().and_then(|standing| standing.ends()),
        };
        self.assembly.get().map(calling).unwrap_or_default()
    }
}

/// All parts as they are now.
pub(crate) async fn parts(assembly: &Assembly) -> Vec<Part> {
    let mut parts = vec![assembly.store_health.part(&assembly.store, assembly.clock()).await];
    let now = assembly.clock.now();
    parts.push(model_part(&assembly.slot.occupant(), now));
    parts.push(embedder_part(&assembly.embedder.lock(), now));
    parts.extend(assembly.router.health().iter().map(target_part));
    parts.push(load_part(&assembly.gate.read()));
    parts.push(configuration_part(assembly));
    parts
}

/// What is served, and whether it is what the folder holds: a restart would take that.
fn configuration_part(assembly: &Assembly) -> Part {
    let id = assembly.current.pin().id.clone();
    match assembly.refused.lock().as_ref() {
        None => part("configuration", PartState::Ready, format!("snapshot {id}")),
        Some(reason) => {
            let detail = format!("snapshot {id}; what is in the folder now is not served: {reason}");
            part("configuration", PartState::Degraded, detail)
        }
    }
}

/// A target with its breaker, its quota gate and its bulkhead.
fn target_part(target: &TargetHealth) -> Part {
    let (state, breaker) = match target.position {
        Position::Closed => (PartState::Ready, closed(target)),
        Position::HalfOpen => (PartState::Failed, "its breaker lets one call try".to_owned()),
        Position::Open { .. } => (PartState::Failed, open(target)),
    };
    let calls = target.calls;
    let full = match target.refused.full {
        0 => String::new(),
        n => format!(", {n} were one too many"),
    };
    let detail = format!("{breaker}; {} of at most {} calls under way{full}", calls.calls, calls.limit);
    part(&format!("target {}", target.target), state, detail)
}

fn closed(target: &TargetHealth) -> String {
    if let Some(quota_for) = target.quota_for {
        return format!("it asked to slow down; called again in {} s", quota_for.as_secs());
    }
    let Counts { calls, failures, slow } = target.counts;
    match failures + slow {
        0 => "its breaker is closed".to_owned(),
        _ => {
            format!("its breaker is closed; of its last {calls} calls {failures} failed and {slow} were slow")
        }
    }
}

fn open(target: &TargetHealth) -> String {
    let wait = target.shut_for.unwrap_or_default().as_secs();
    let why = match target.cause {
        Some(Cause::Failures) => format!("{} failures in a row", target.failures),
        cause => cause.map_or("its calls failed", Cause::sentence).to_owned(),
    };
    format!(
        "its breaker is open: {why}; one call tries in {wait} s, or at once after: mainstay breakers reset {}",
        target.target
    )
}

/// Whether requests are turned away.
fn load_part(gate: &Reading) -> Part {
    let state = match gate.pressure {
        Pressure::Calm => PartState::Ready,
        Pressure::High | Pressure::Critical => PartState::Degraded,
    };
    let megabytes = |bytes: u64| bytes / 1_000_000;
    let mut detail = format!(
        "memory {} of {} MB ({} %)",
        megabytes(gate.memory.used_bytes),
        megabytes(gate.memory.limit_bytes),
        gate.memory.percent()
    );
    match gate.pressure {
        Pressure::Calm => {}
        Pressure::High => detail.push_str(": only interactive requests are taken on"),
        Pressure::Critical => detail.push_str(": no request is taken on; give it more, or run more servers"),
    }
    for route in gate.routes.iter().filter(|route| route.waiting > 0) {
        let (name, under_way, limit) = (&route.route, route.under_way, route.limit);
        detail.push_str(&format!(
            "; route {name}: {under_way} of at most {limit} requests under way, {} wait for a place",
            route.waiting
        ));
    }
    let turned_away: u64 = gate.shed.iter().map(|(_, _, n): &(Reason, Class, u64)| n).sum();
    detail.push_str(&match turned_away {
        0 => "; no request was turned away".to_owned(),
        n => format!("; {n} requests were turned away since the start"),
    });
    part("load", state, detail)
}

fn model_part(occupant: &Occupant, now: Moment) -> Part {
    let name = "embedded model";
    match occupant {
        Occupant::Off(reason) => part(name, PartState::Off, reason.as_str()),
        Occupant::Failed { reason, next_try } => {
            part(name, PartState::Failed, format!("{reason}; {}", tried_again(*next_try, now)))
        }
        Occupant::Coming(what) => part(name, PartState::Starting, what.as_str()),
        Occupant::Worker(worker) => {
            let status = worker.status();
            let ended = match &status.last_exit {
                Some(last_exit) => format!("; restarted {} times, last because {last_exit}", status.restarts),
                None => String::new(),
            };
            match status.state {
                State::Ready => part(name, PartState::Ready, format!("{} answers{ended}", status.model)),
                State::Starting | State::Loading => {
                    part(name, PartState::Starting, format!("{} is loading{ended}", status.model))
                }
                State::Restarting { .. } => {
                    part(name, PartState::Failed, format!("{} is being started again{ended}", status.model))
                }
                State::Failed { reason } => part(
                    name,
                    PartState::Failed,
                    format!("{}: {reason}; it is tried again by itself{ended}", status.model),
                ),
                State::Stopped => part(name, PartState::Off, "stopped with the server"),
            }
        }
    }
}

fn embedder_part(state: &EmbedderState, now: Moment) -> Part {
    let name = "sentence embedder";
    match state {
        EmbedderState::Off => part(name, PartState::Off, "search is by words alone"),
        EmbedderState::Coming(what) => {
            part(name, PartState::Starting, format!("{what}; search is by words meanwhile"))
        }
        EmbedderState::Ready => part(name, PartState::Ready, "search is by words and vectors"),
        EmbedderState::Failed { reason, next_try } => {
            let detail = format!("{reason}; search is by words meanwhile; {}", tried_again(*next_try, now));
            part(name, PartState::Failed, detail)
        }
    }
}

fn tried_again(next_try: Moment, now: Moment) -> String {
    format!("it is tried again in {} s", next_try.since(now).as_secs())
}

fn part(name: &str, state: PartState, detail: impl Into<String>) -> Part {
    Part { name: name.to_owned(), state, detail: detail.into() }
}
