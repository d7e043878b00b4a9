//! The answer of an accepted call: portions of the body to chunks, under the limits of waiting.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::chat::ChatChunk;
use domain::fault::{Fault, Kind};
use domain::id::ProviderName;
use domain::ports::{ChatStream, Clock, ModelError};
use domain::time::Moment;
use futures_util::stream;
use outbound::{BodyStream, OutboundError};
use wire::openai::stream::{Before, Progress, Reader, StreamError};

use super::{Waits, failed};

/// What decides how long to wait for the next portion.
pub(super) struct Waiting {
    pub(super) provider: ProviderName,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) waits: Waits,
    pub(super) deadline: Moment,
    /// Until when the next event must have come.
    pub(super) quiet_until: Moment,
}

struct Answer {
    /// Until the end of the answer.
    body: Option<BodyStream>,
    reader: Reader,
    progress: Progress,
    waiting: Waiting,
    ready: VecDeque<Result<ChatChunk, ModelError>>,
}

/// The chunks of `body`; dropping the stream closes the call.
pub(super) fn stream(body: BodyStream, waiting: Waiting) -> ChatStream {
    let answer = Answer {
        body: Some(body),
        reader: Reader::new(),
        progress: Progress::Silent,
        waiting,
        ready: VecDeque::new(),
    };
    Box::pin(stream::unfold(answer, |mut answer| async move {
        let item = answer.next().await?;
        Some((item, answer))
    }))
}

impl Answer {
    async fn next(&mut self) -> Option<Result<ChatChunk, ModelError>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            let body = self.body.as_mut()?;
            match body.chunk(self.waiting.quiet_until.min(self.waiting.deadline)).await {
                Ok(Some(portion)) => self.read(&portion),
                Ok(None) => self.end(),
                Err(error) => self.broken(&error),
            }
        }
    }

    fn read(&mut self, portion: &[u8]) {
        let mut chunks = Vec::new();
        let outcome = self.reader.push(portion, &mut chunks);
        self.ready.extend(chunks.into_iter().map(Ok));
        match outcome {
            Ok(Progress::Silent) => {}
            Ok(Progress::Answering) => self.heard(Progress::Answering, self.waiting.waits.silence),
            Ok(Progress::Ending) => self.heard(Progress::Ending, self.waiting.waits.trailer),
            Ok(Progress::Ended) => {
                if let Some(body) = self.body.take() {
                    body.finish();
                }
            }
            Err(error) => self.fail(error),
        }
    }

    fn heard(&mut self, progress: Progress, patience: std::time::Duration) {
        // Only the first sign of the end starts its wait, so that a provider cannot prolong it.
        if self.progress != Progress::Ending {
            self.waiting.quiet_until = self.waiting.clock.now().after(patience);
        }
        self.progress = progress;
    }

    /// Nothing more comes: the answer is whole or it is not.
    fn end(&mut self) {
        let mut chunks = Vec::new();
        let outcome = self.reader.end(&mut chunks);
        self.ready.extend(chunks.into_iter().map(Ok));
        self.body = None;
        if let Err(error) = outcome {
            self.fail(error);
        }
    }

    /// The connection failed. An answer that had already named its finish reason is complete all the same.
    fn broken(&mut self, error: &OutboundError) {
        if self.progress == Progress::Ending {
            self.end();
            return;
        }
        self.body = None;
        let failure = failed(&self.waiting.provider, error);
        let fault = match self.reader.before() {
            Before::Nothing => failure.fault,
            Before::Text => Fault::provider(Kind::Truncated),
        };
        self.ready.push_back(Err(ModelError { fault, ..failure }));
    }

    fn fail(&mut self, error: StreamError) {
        self.body = None;
        let fault = error.fault(self.reader.before());
        let detail = format!("`{}` failed: {error}", self.waiting.provider);
        self.ready.push_back(Err(ModelError { fault, detail }));
    }
}
