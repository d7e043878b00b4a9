//! What the tests of this crate share: models that follow a script, and how their streams are read.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use domain::chat::{ChatCall, ChatChunk, Finish};
use domain::fault::{Fault, Kind};
use domain::id::{ModelId, ProviderName, TargetId};
use domain::meter::Stated;
use domain::model::{Target, TargetKind};
use domain::ports::{BoxFuture, CallError, ChatModel, ChatStream, ModelError};
use domain::token::{TokenCount, Usage};
use futures_util::StreamExt;
use parking_lot::Mutex;

/// A target at a provider.
pub(crate) fn remote(model: &str, weight: u32) -> Target {
    let model = ModelId::from(model);
    Target {
        id: TargetId::from(model.as_str()),
        provider: ProviderName::from(model.provider()),
        model,
        region: None,
        places: BTreeSet::new(),
        weight,
        kind: TargetKind::Remote,
        slow: None,
        takes: None,
    }
}

/// One thing that a scripted model does.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Refuses the call; only as the first act.
    Refuse(Fault),
    /// Does not accept the call for this long; only as the first act.
    AcceptAfter(Duration),
    Wait(Duration),
    Say(&'static str),
    Fail(Fault),
    /// Fails, and says what it used.
    GiveUp(Fault, Usage),
    /// Its provider states this of what it uses.
    State(Stated),
    /// Ends the answer with 100 tokens in and 10 out.
    Done(Finish),
}

/// What every finished answer uses.
pub(crate) const USAGE: Usage = Usage::of(TokenCount(100), TokenCount(10));

/// Longer than any deadline.
pub(crate) const FOREVER: Duration = Duration::from_secs(86_400);

/// A model that follows scripts, one a call; the last one is repeated.
pub(crate) struct Scripted {
    scripts: Mutex<VecDeque<Vec<Act>>>,
    pub(crate) calls: Mutex<Vec<ChatCall>>,
    /// Streams (or calls) dropped before their script ended.
    pub(crate) cut: Arc<AtomicU32>,
}

/// Counts itself as cut when dropped before its end.
struct Cut {
    count: Arc<AtomicU32>,
    ended: bool,
}

impl Cut {
    fn end(&mut self) {
        self.ended = true;
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.count.fetch_add(u32::from(!self.ended), Ordering::Relaxed);
    }
}

impl Scripted {
    pub(crate) fn new(scripts: impl IntoIterator<Item = Vec<Act>>) -> Arc<Self> {
        let scripts = Mutex::new(scripts.into_iter().collect());
        Arc::new(Self { scripts, calls: Mutex::default(), cut: Arc::default() })
    }

    pub(crate) fn always(script: Vec<Act>) -> Arc<Self> {
        Self::new([script])
    }

    pub(crate) fn answers(text: &'static str) -> Arc<Self> {
        Self::always(vec![Act::Say(text), Act::Done(Finish::Stop)])
    }

    pub(crate) fn fails(kind: Kind) -> Arc<Self> {
        Self::always(vec![Act::Refuse(Fault::provider(kind))])
    }

    pub(crate) fn hangs() -> Arc<Self> {
        Self::always(vec![Act::AcceptAfter(FOREVER)])
    }

    pub(crate) fn n_calls(&self) -> usize {
        self.calls.lock().len()
    }

    pub(crate) fn n_cut(&self) -> u32 {
        self.cut.load(Ordering::Relaxed)
    }

    fn next_script(&self) -> Vec<Act> {
        let mut scripts = self.scripts.lock();
        match scripts.len() {
            1 => scripts[0].clone(),
            _ => scripts.pop_front().expect("a script"),
        }
    }
}

fn error(fault: Fault) -> CallError {
    ModelError { fault, detail: format!("scripted {}", fault.kind.name()) }.into()
}

impl ChatModel for Scripted {
    fn chat(&self, call: ChatCall) -> BoxFuture<'_, Result<ChatStream, CallError>> {
        let meter = call.meter.clone();
        self.calls.lock().push(call);
        let script = self.next_script();
        let mut cut = Cut { count: self.cut.clone(), ended: false };
        Box::pin(async move {
            match script.first() {
                Some(Act::Refuse(fault)) => {
                    cut.end();
                    return Err(error(*fault));
                }
                Some(Act::AcceptAfter(wait)) => tokio::time::sleep(*wait).await,
                _ => {}
            }
            let state = (script.into_iter(), cut, meter);
            let stream: ChatStream =
                Box::pin(futures_util::stream::unfold(state, |(mut acts, mut cut, meter)| async move {
                    loop {
                        let item = match acts.next() {
                            Some(Act::Refuse(_) | Act::AcceptAfter(_)) => continue,
                            Some(Act::Wait(wait)) => {
                                tokio::time::sleep(wait).await;
                                continue;
                            }
                            Some(Act::State(stated)) => {
                                meter.set(stated);
                                continue;
                            }
                            Some(Act::Say(text)) => Ok(ChatChunk::Delta(text.to_owned())),
                            Some(Act::Fail(fault)) => {
                                cut.end();
                                Err(error(fault))
                            }
                            Some(Act::GiveUp(fault, usage)) => {
                                cut.end();
                                Err(CallError { usage: Some(usage), ..error(fault) })
                            }
                            Some(Act::Done(finish)) => {
                                cut.end();
                                Ok(ChatChunk::Done { finish, usage: Some(USAGE) })
                            }
                            None => {
                                cut.end();
                                return None;
                            }
                        };
                        return Some((item, (acts, cut, meter)));
                    }
                }));
            Ok(stream)
        })
    }
}

/// Reads a stream to its end: its text, and its error if it has one.
pub(crate) async fn read(mut stream: ChatStream) -> (String, Option<ModelError>) {
    let (mut whole, mut failed) = (String::new(), None);
    while let Some(item) = stream.next().await {
        assert!(failed.is_none(), "nothing comes after an error");
        match item {
            Ok(ChatChunk::Delta(text)) => whole.push_str(&text),
            Ok(ChatChunk::Done { .. }) => {}
            Err(error) => failed = Some(error.error),
        }
    }
    (whole, failed)
}
