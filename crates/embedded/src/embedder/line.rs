//! Calls that wait for a thread, and the thread.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::ports::EmbedError;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::OpenError;
use super::bert::Scratch;
use super::encoder::Encoder;

/// Room that a thread keeps while it waits: enough for a question, and nothing beside the weights' 90 MB.
const SCRATCH_BYTES_KEPT: usize = 1 << 20;

/// The calls that wait for one thread.
#[derive(Default)]
pub(super) struct Line {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

impl Line {
    /// A line, and a thread of that niceness that serves it with `encoder`.
    pub(super) fn served_by(
        encoder: &Arc<Encoder>,
        name: &'static str,
        niceness: i32,
    ) -> Result<Arc<Self>, OpenError> {
        let line = Arc::new(Self::default());
        let (encoder, served) = (Arc::clone(encoder), Arc::clone(&line));
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // On Linux niceness is a thread's own. Without it the thread works all the same.
                _ = rustix::process::nice(niceness);
                // Also when a forward pass panics: callers must see an error and not wait for ever.
                let _close = Close(&served);
                let mut scratch = Scratch::default();
                while let Some(job) = served.next() {
                    let vectors = encoder.embed(&job, &mut scratch);
                    _ = job.reply.send(vectors);
                    if scratch.bytes() > SCRATCH_BYTES_KEPT {
                        scratch = Scratch::default();
                    }
                }
            })
            .map_err(|error| OpenError::Thread(error.to_string()))?;
        Ok(line)
    }

    /// Adds a call; its vectors come with the answer.
    pub(super) fn enqueue(&self, texts: Vec<String>, waiting_max: usize) -> Result<Answer, EmbedError> {
        let (reply, answer) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        if waiting.is_closed {
            return Err(EmbedError("the embedder has stopped".to_owned()));
        }
        if waiting.jobs.len() >= waiting_max {
            return Err(EmbedError("too many calls are waiting".to_owned()));
        }
        waiting.jobs.push_back(Job { texts, reply });
        drop(waiting);
        self.changed.notify_one();
        Ok(answer)
    }

    pub(super) fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.is_closed = true;
        // Dropping the jobs tells their callers.
        waiting.jobs.clear();
        drop(waiting);
        self.changed.notify_all();
    }

    /// The next job; `None` when the line is closed.
    fn next(&self) -> Option<Job> {
        let mut waiting = self.waiting.lock();
        while !waiting.is_closed {
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            self.changed.wait(&mut waiting);
        }
        None
    }
}

/// A call on its way.
pub(super) struct Job {
    pub(super) texts: Vec<String>,
    pub(super) reply: oneshot::Sender<Result<Vec<Vec<f32>>, EmbedError>>,
}

type Answer = oneshot::Receiver<Result<Vec<Vec<f32>>, EmbedError>>;

/// Closes its line when the thread ends.
struct Close<'a>(&'a Line);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
