//! `/health/live`, `/health/ready`, `/health/deep`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::ports::BoxFuture;
use http::StatusCode;
use parking_lot::Mutex;
use serde::Serialize;

use crate::server::Api;

/// A part of the server, as it is now.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: PartState,
    /// What happened, and what to do where something is to be done.
    pub detail: String,
}

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PartState {
    /// On its way.
    Starting,
    /// Working.
    Ready,
    /// Working, and not for long or not always: someone should act.
    Degraded,
    /// Not working; what stands in for it answers.
    Failed,
    /// Switched off by configuration.
    Off,
}

/// Looks at every part.
pub trait Checkup: Send + Sync {
    /// All parts as they are now.
    fn parts(&self) -> BoxFuture<'_, Vec<Part>>;
}

/// Whether the first start is done. Once it is, nothing takes it back but a stop.
#[derive(Debug, Default)]
pub struct Startup {
    done: AtomicBool,
    progress: Mutex<String>,
}

impl Startup {
    /// Says what is being waited for.
    pub fn progress(&self, what: impl Into<String>) {
        *self.progress.lock() = what.into();
    }

    /// What is being waited for.
    #[must_use]
    pub fn describe(&self) -> String {
        self.progress.lock().clone()
    }

    /// The first start is done.
    pub fn finish(&self) {
        self.done.store(true, Ordering::Release);
    }

    /// Whether it is done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }
}

pub(crate) async fn live() -> Response {
    Json(serde_json::json!({ "status": "live" })).into_response()
}

pub(crate) async fn ready(State(api): State<Arc<Api>>) -> Response {
    if api.stop.is_asked() {
        let body = serde_json::json!({ "status": "stopping", "reason": "the server was told to stop" });
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    }
    if api.startup.is_done() {
        return Json(serde_json::json!({ "status": "ready" })).into_response();
    }
    let progress = api.startup.progress.lock().clone();
    let body = serde_json::json!({ "status": "starting", "reason": progress });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

pub(crate) async fn deep(State(api): State<Arc<Api>>) -> Response {
    let parts = api.checkup.parts().await;
    // The server answers as long as its static answers do: a failed part is told, not punished.
    let status = if !api.startup.is_done() {
        "starting"
    } else if parts.iter().any(|part| matches!(part.state, PartState::Degraded | PartState::Failed)) {
        "impaired"
    } else {
        "ready"
    };
    Json(serde_json::json!({ "status": status, "version": env!("CARGO_PKG_VERSION"), "parts": parts }))
        .into_response()
}
