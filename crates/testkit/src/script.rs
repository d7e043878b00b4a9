//! A model that follows a script.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::chat::{ChatCall, ChatChunk, Finish};
use domain::fault::Fault;
use domain::ports::{BoxFuture, CallError, ChatModel, ChatStream, Clock, ModelError};
use domain::token::{TokenCount, Usage};
use futures_util::stream;
use parking_lot::Mutex;

/// One thing that a scripted answer does.
#[derive(Debug, Clone)]
pub enum Step {
    /// Sends text.
    Delta(String),
    /// Waits, on the model's clock.
    Wait(Duration),
    /// Fails and ends.
    Fail(Fault),
    /// Says nothing more, for ever.
    Hang,
    /// Ends well.
    Done(Finish, Option<Usage>),
}

/// How one call is answered.
#[derive(Debug, Clone)]
pub enum Reply {
    /// The call is accepted and then goes as the steps say; after the last one the stream just ends.
    Steps(Vec<Step>),
    /// The call is not accepted.
    Refuse(Fault),
    /// The call is neither accepted nor refused.
    NeverAccept,
}

impl Reply {
    /// A whole answer, sent word by word, with usage counted in words.
    #[must_use]
    pub fn text(text: &str) -> Self {
        let words: Vec<Step> = text.split_inclusive(' ').map(|word| Step::Delta(word.to_owned())).collect();
        let output = TokenCount(u32::try_from(words.len()).unwrap_or(u32::MAX));
        let usage = Usage { input: TokenCount(10), output, ..Usage::default() };
        Self::Steps(words.into_iter().chain([Step::Done(Finish::Stop, Some(usage))]).collect())
    }
}

/// A model that answers its calls with the replies of its script, one each; the last one repeats.
pub struct ScriptedModel {
    clock: Arc<dyn Clock>,
    script: Mutex<VecDeque<Reply>>,
    calls: Mutex<Vec<ChatCall>>,
    open: Arc<AtomicUsize>,
}

/// A stream that is not yet dropped.
struct OpenStream(Arc<AtomicUsize>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl ScriptedModel {
    /// A model that answers with `script`; with an empty one, never.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, script: Vec<Reply>) -> Self {
        Self { clock, script: Mutex::new(script.into()), calls: Mutex::default(), open: Arc::default() }
    }

    /// Puts a new script in place of what is left of the old one.
    pub fn set_script(&self, script: Vec<Reply>) {
        *self.script.lock() = script.into();
    }

    /// The calls so far, refused ones included.
    #[must_use]
    pub fn calls(&self) -> Vec<ChatCall> {
        self.calls.lock().clone()
    }

    /// How many streams are neither finished nor dropped.
    #[must_use]
    pub fn n_open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    fn next_reply(&self) -> Reply {
        let mut script = self.script.lock();
        match script.len() {
            0 => Reply::NeverAccept,
            1 => script.front().cloned().unwrap_or(Reply::NeverAccept),
            _ => script.pop_front().unwrap_or(Reply::NeverAccept),
        }
    }

    fn play(&self, steps: Vec<Step>) -> ChatStream {
        self.open.fetch_add(1, Ordering::SeqCst);
        let start = (VecDeque::from(steps), Arc::clone(&self.clock), OpenStream(Arc::clone(&self.open)));
        Box::pin(stream::unfold(start, |(mut steps, clock, open)| async move {
            loop {
                let item = match steps.pop_front()? {
                    Step::Delta(text) => Ok(ChatChunk::Delta(text)),
                    Step::Wait(wait) => {
                        clock.sleep(wait).await;
                        continue;
                    }
                    Step::Fail(fault) => {
                        steps.clear();
                        Err(scripted(fault).into())
                    }
                    Step::Hang => std::future::pending().await,
                    Step::Done(finish, usage) => {
                        steps.clear();
                        Ok(ChatChunk::Done { finish, usage })
                    }
                };
                return Some((item, (steps, clock, open)));
            }
        }))
    }
}

impl ChatModel for ScriptedModel {
    fn chat(&self, call: ChatCall) -> BoxFuture<'_, Result<ChatStream, CallError>> {
        self.calls.lock().push(call);
        let reply = self.next_reply();
        Box::pin(async move {
            match reply {
                Reply::Steps(steps) => Ok(self.play(steps)),
                Reply::Refuse(fault) => Err(scripted(fault).into()),
                Reply::NeverAccept => std::future::pending().await,
            }
        })
    }
}

fn scripted(fault: Fault) -> ModelError {
    ModelError { fault, detail: format!("scripted {} failure", fault.kind.name()) }
}

#[cfg(test)]
mod tests {
    use domain::fault::Kind;
    use domain::id::ModelId;
    use domain::time::Moment;
    use futures_util::{FutureExt, StreamExt};

    use super::*;
    use crate::clock::ManualClock;

    fn call() -> ChatCall {
        ChatCall {
            model: ModelId::from("test/model"),
            region: None,
            request: Arc::default(),
            deadline: Moment::default(),
            trace: None,
            meter: domain::meter::Meter::default(),
        }
    }

    #[tokio::test]
    async fn replies_come_in_order_and_the_last_repeats() {
        let fault = Fault::provider(Kind::Transient);
        let model = ScriptedModel::new(
            Arc::new(ManualClock::new()),
            vec![Reply::Refuse(fault), Reply::text("yes it is")],
        );
        assert_eq!(model.chat(call()).await.err().expect("refused").error.fault, fault);
        for _ in 0..2 {
            let chunks: Vec<_> = model.chat(call()).await.expect("accepted").collect().await;
            assert_eq!(chunks.len(), 4);
            assert_eq!(chunks[0].as_ref().expect("text"), &ChatChunk::Delta("yes ".to_owned()));
        }
        assert_eq!((model.calls().len(), model.n_open()), (3, 0));
    }

    #[tokio::test]
    async fn waits_are_on_its_clock_and_dropping_is_seen() {
        let clock = ManualClock::new();
        let steps = vec![
            Step::Wait(Duration::from_secs(5)),
            Step::Delta("late".to_owned()),
            Step::Fail(Fault::provider(Kind::Truncated)),
            Step::Delta("never".to_owned()),
        ];
        let model = ScriptedModel::new(Arc::new(clock.clone()), vec![Reply::Steps(steps)]);
        let mut stream = model.chat(call()).await.expect("accepted");
        assert!(stream.next().now_or_never().is_none());
        clock.advance(Duration::from_secs(5));
        assert!(matches!(stream.next().await, Some(Ok(ChatChunk::Delta(_)))));
        assert!(matches!(stream.next().await, Some(Err(_))));
        assert!(stream.next().await.is_none());
        let other = model.chat(call()).await.expect("accepted");
        assert_eq!(model.n_open(), 1);
        drop(other);
        assert_eq!(model.n_open(), 0);
    }
}
