//! A supervised worker by hand: `supervised MODEL QUESTION…` streams the answer from a worker process of this same
//! program, kills the worker in the middle of a second one, and asks again.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use domain::chat::{ChatCall, ChatChunk, ChatRequest, Message, Role};
use domain::id::ModelId;
use domain::ports::{BoxFuture, ChatModel, Clock};
use domain::time::{Moment, Timestamp};
use embedded::supervisor::{Config, Supervisor, Worker, WorkerCommand};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

struct TokioClock(tokio::time::Instant);

impl Clock for TokioClock {
    fn now(&self) -> Moment {
        Moment(self.0.elapsed())
    }

    fn wall(&self) -> Timestamp {
        Timestamp(0)
    }

    fn sleep_until(&self, until: Moment) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep_until(self.0 + until.0))
    }
}

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "worker") {
        return engine::run_worker();
    }
    if arguments.len() < 2 {
        println!("usage: supervised MODEL QUESTION…");
        return ExitCode::FAILURE;
    }
    let model = arguments.remove(0);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime starts").block_on(demonstrate(model, arguments.join(" ")));
    ExitCode::SUCCESS
}

async fn demonstrate(model: String, question: String) {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock(tokio::time::Instant::now()));
    let command = WorkerCommand { program: "/proc/self/exe".into(), arguments: vec!["worker".into()] };
    let (supervisor, worker) =
        Supervisor::new(Config::new("demo", model.into(), command), Arc::clone(&clock));
    let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
    tasks.spawn(supervisor.run(shutdown.clone()));
    let ready = worker.wait_ready(clock.now().after(Duration::from_secs(60))).await;
    println!("{ready:?} after {:.2?}", clock.now().0);
    for kill_after in [None, Some(3), None] {
        ask(&worker, &*clock, &question, kill_after).await;
        println!("{:?}", worker.status());
    }
    shutdown.cancel();
    tasks.close();
    tasks.wait().await;
}

async fn ask(worker: &Worker, clock: &dyn Clock, question: &str, kill_after: Option<usize>) {
    let started = clock.now();
    let request = ChatRequest {
        messages: vec![
            Message::new(Role::System, "You are the assistant of a bank. Answer briefly."),
            Message::new(Role::User, question),
        ],
        ..ChatRequest::default()
    };
    let call = ChatCall {
        model: ModelId::from("embedded/demo"),
        region: None,
        request: Arc::new(request),
        deadline: started.after(Duration::from_secs(60)),
        trace: None,
        meter: domain::meter::Meter::default(),
    };
    let mut stream = worker.chat(call).await.expect("the worker takes calls");
    let mut n_deltas = 0;
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(ChatChunk::Delta(text)) => {
                if n_deltas == 0 {
                    println!("first text after {:.2?}", clock.now().since(started));
                }
                n_deltas += 1;
                print!("{text}");
                if kill_after == Some(n_deltas) {
                    kill_children();
                }
            }
            other => println!("\n{other:?} after {:.2?}", clock.now().since(started)),
        }
    }
}

/// Kills this process's children with signal 9, as the kernel does when memory is short.
fn kill_children() {
    let own = std::process::id();
    let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
    let from_threads = std::fs::read_dir(format!("/proc/{own}/task")).into_iter().flatten().flatten();
    let all = from_threads
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .fold(children, |all, more| all + " " + &more);
    for pid in all.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}
