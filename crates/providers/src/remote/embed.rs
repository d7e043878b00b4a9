//! Texts for vectors, where a provider has no embeddings in the caller's own dialect: as many calls as its format needs.

use std::sync::Arc;

use domain::chat::{Delivery, Done, Finish, RelayCall, RelayedPortion};
use domain::embedding::{Request, Vectors};
use domain::meter::Meter;
use domain::ports::{CallError, RelayedStream};
use domain::time::Moment;
use futures_util::{StreamExt, TryStreamExt, stream};
use wire::embedding::EmbeddingProtocol;
use wire::openai::embeddings;
use wire::stream::{Before, StreamError};

use super::{Outgoing, Remote, WHOLE_BYTES_MAX, aside, broken, failed, foreign, unreadable, untranslatable};

/// Calls that are made at once for the texts of one request.
const CALLS_MAX: usize = 4;

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
            .map(|(outgoing, n_texts)| self.vectors(outgoing, n_texts, (format.as_ref(), call.deadline)))
            .buffered(CALLS_MAX);
        let parts: Vec<Vectors> = made.try_collect().await?;
        let vectors = parts.into_iter().reduce(|mut all, part| {
            all.append(part);
            all
        });
        let vectors =
            vectors.filter(Vectors::are_alike).ok_or_else(|| self.broken(StreamError::Malformed))?;
        let bytes = embeddings::answer(&call.relayed.model, &vectors, encoding);
        let done = Some(Done { finish: Finish::Stop, usage: vectors.usage });
        Ok(Box::pin(stream::once(async move { Ok(RelayedPortion { bytes, said: 0, done }) })))
    }

    async fn vectors(
        &self,
        outgoing: Outgoing,
        n_texts: usize,
        (format, deadline): (&dyn EmbeddingProtocol, Moment),
    ) -> Result<Vectors, CallError> {
        let accepted = self.send(outgoing, (deadline, &Meter::default())).await?;
        let read = accepted.body.whole(WHOLE_BYTES_MAX, deadline).await;
        let bytes = read.map_err(|error| failed(&self.parts.provider, &error))?;
        format.answer(&bytes, n_texts).map_err(|error| self.broken(error))
    }

    fn broken(&self, error: StreamError) -> CallError {
        broken(&self.parts.provider, error, Before::Nothing)
    }
}
