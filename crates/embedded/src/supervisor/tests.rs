//! The supervisor against scripted workers on in-memory pipes, under a paused clock.
//!
//! Reading order: this file (a supervisor that runs), `scripted` (its workers), then one file for each promise.

mod calls;
mod losses;
mod scripted;

use std::sync::Arc;
use std::time::Duration;

use domain::chat::{ChatCall, ChatChunk, ChatRequest, Finish, Message, Role};
use domain::id::ModelId;
use domain::ports::{ChatModel, ChatStream, Clock, ModelError};
use futures_util::StreamExt;
use parking_lot::Mutex;
use testkit::TokioClock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Config, State, Supervisor, Worker, WorkerCommand};
use crate::frames::Down;
use scripted::{Launcher, Script};

const MINUTE: Duration = Duration::from_secs(60);

/// A running supervisor.
struct House {
    worker: Worker,
    clock: Arc<dyn Clock>,
    received: Arc<Mutex<Vec<Down>>>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

fn house(scripts: &[Script], adjust: impl FnOnce(&mut Config)) -> House {
    let command = WorkerCommand { program: "/nowhere".into(), arguments: Vec::new() };
    let mut config = Config::new("tiny", "/models/tiny.gguf".into(), command);
    adjust(&mut config);
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let received = Arc::default();
    let tasks = TaskTracker::new();
    let launcher = Launcher::new(scripts, &received, &tasks);
    let (supervisor, worker) = Supervisor::with_launcher(config, Arc::clone(&clock), Box::new(launcher));
    let shutdown = CancellationToken::new();
    tasks.spawn(supervisor.run(shutdown.clone()));
    House { worker, clock, received, shutdown, tasks }
}

impl House {
    async fn call(&self, within: Duration) -> Result<ChatStream, ModelError> {
        let request = ChatRequest {
            messages: vec![Message::new(Role::User, "Is my deposit insured?")],
            ..ChatRequest::default()
        };
        self.worker
            .chat(ChatCall {
                model: ModelId::from("embedded/tiny"),
                region: None,
                request: Arc::new(request),
                deadline: self.clock.now().after(within),
                trace: None,
                meter: domain::meter::Meter::default(),
            })
            .await
            .map_err(|failed| failed.error)
    }

    async fn ready(&self) {
        self.worker.wait_ready(self.clock.now().after(MINUTE)).await.unwrap();
    }
}

async fn text_of(stream: ChatStream) -> Result<String, ModelError> {
    let chunks: Vec<_> = stream.collect().await;
    let mut text = String::new();
    for chunk in chunks {
        match chunk.map_err(|failed| failed.error)? {
            ChatChunk::Delta(delta) => text.push_str(&delta),
            ChatChunk::Done { finish, usage } => {
                assert_eq!(finish, Finish::Stop);
                assert_eq!(usage.unwrap().cached_input.0, 4);
            }
        }
    }
    Ok(text)
}
