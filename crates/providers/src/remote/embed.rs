//! Texts for vectors, where a provider has no embeddings in the caller's own dialect: as many calls as its format needs.

use std::sync::Arc;

use domain::chat::{Delivery, Done, Finish, RelayCall, RelayedPortion};
use domain::embedding::{Request, Vectors};
use domain::meter::{Meter, Stated};
use domain::ports::{CallError, RelayedStream};
use domain::token::Usage;
use futures_util::{StreamExt, TryStreamExt, stream};
use wire::embedding::EmbeddingProtocol;
use wire::openai::embeddings;
use wire::stream::{Before, StreamError};

use super::{Outgoing, Remote, WHOLE_BYTES_MAX, aside, broken, failed, foreign, unreadable, untranslatable};

/// Calls that are made at once for the texts of one request.
const CALLS_MAX: usize = 4;

/// Adds what one of several calls used to what is known of all.
fn tally(meter: &Meter, used: Usage) {
    let before = meter.read().map(Stated::usage).unwrap_or_default();
    meter.set(Stated::SoFar(before.plus(used)));
}

impl Remote {
    /// The same for a provider that has embeddings in `format`.
    #[must_use]
    pub fn with_embeddings(self, format: Arc<dyn EmbeddingProtocol>) -> Self {
        Self { embeddings: Some(format), ..self }
    }

    /// The answer is whole when the future ends: nothing of it is given out before.
    pub(super) async fn embed(&self, call: &RelayCall) -> Result<RelayedStream, CallError> {
        let format = self.embeddings.as_ref();
        let format = format.ok_or_else(|| foreign(&call.model, call.relayed.dialect))?;
        let (asked, encoding) =
            embeddings::request(&call.relayed).map_err(|error| unreadable(&call.model, &error))?;
        let model = call.model.name_at_provider();
        let batch = |texts: &[String]| {
            let Request { dimensions, purpose, .. } = asked;
            let request = Request { texts: texts.to_vec(), dimensions, purpose };
            let body = format.request(&request, model)?;
            let plain = Outgoing::new(format.place(model), body, (Delivery::Whole, call.trace.clone()));
            Ok((Outgoing { aside: aside(call), ..plain }, texts.len()))
        };
        // All of them can be said before the first is.
        let batches: Result<Vec<_>, _> =
            asked.texts.chunks(format.texts_max(model).max(1)).map(batch).collect();
        let batches = batches.map_err(|error| untranslatable(&call.model, &error))?;
        let made = stream::iter(batches)
            .map(|(outgoing, n_texts)| self.vectors(outgoing, n_texts, (format.as_ref(), call)))
            .buffered(CALLS_MAX);
        let made: Result<Vec<Vectors>, _> = made.try_collect().await;
        let all = made.and_then(|parts| {
            let joined = parts.into_iter().reduce(|mut all, part| {
                all.append(part);
                all
            });
            joined.filter(Vectors::are_alike).ok_or_else(|| self.broken(StreamError::Malformed))
        });
        let portion = match all {
            Ok(vectors) => {
                call.meter
                    .set(vectors.usage.map_or_else(|| Stated::SoFar(Usage::default()), Stated::Finally));
                let bytes = embeddings::answer(&call.relayed.model, &vectors, encoding);
                let done = Some(Done { finish: Finish::Stop, usage: vectors.usage });
                Ok(RelayedPortion { bytes, said: 0, done })
            }
            // The provider has accepted some of it, which is paid for: the request as a whole was not refused.
            Err(error) if call.meter.read().is_some() => Err(error),
            Err(error) => return Err(error),
        };
        Ok(Box::pin(stream::once(async move { portion })))
    }

    async fn vectors(
        &self,
        outgoing: Outgoing,
        n_texts: usize,
        (format, call): (&dyn EmbeddingProtocol, &RelayCall),
    ) -> Result<Vectors, CallError> {
        let accepted = self.send(outgoing, (call.deadline, &Meter::default())).await?;
        // Nothing is known of it yet, but that it will be paid for.
        tally(&call.meter, Usage::default());
        let read = accepted.body.whole(WHOLE_BYTES_MAX, call.deadline).await;
        let bytes = read.map_err(|error| failed(&self.parts.provider, &error))?;
        let vectors = format.answer(&bytes, n_texts).map_err(|error| self.broken(error))?;
        let usage = vectors.usage.or(accepted.counted);
        tally(&call.meter, usage.unwrap_or_default());
        Ok(Vectors { usage, ..vectors })
    }

    fn broken(&self, error: StreamError) -> CallError {
        broken(&self.parts.provider, error, Before::Nothing)
    }
}
