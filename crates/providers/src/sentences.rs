//! The models that run here: one that chats, and one that makes vectors of sentences, which no network and no key is
//! needed for.

use std::sync::Arc;

use domain::chat::{ChatCall, ConverseCall, Dialect, Done, Finish, RelayCall, RelayedPortion};
use domain::embedding::{Request, Vectors};
use domain::fault::{Fault, Retry};
use domain::ports::{
    BoxFuture, CallError, ChatModel, ChatStream, Embedder, ModelError, RelayedStream, SayingStream,
};
use futures_util::stream;
use wire::openai::embeddings;
use wire::translation::ReadError;

use crate::remote::unreadable;

/// Where the model of sentences is found. It comes later than the server does.
pub trait Sentences: Send + Sync {
    /// Its name in the catalogue; `None` when there is none.
    fn name(&self) -> Option<Arc<str>>;

    /// It, when it is there.
    fn embedder(&self) -> Option<Arc<dyn Embedder>>;
}

/// A model that chats, with one of sentences beside it.
pub struct WithSentences {
    chat: Arc<dyn ChatModel>,
    sentences: Arc<dyn Sentences>,
}

impl WithSentences {
    /// `chat`, and `sentences` for embeddings.
    #[must_use]
    pub fn new(chat: Arc<dyn ChatModel>, sentences: Arc<dyn Sentences>) -> Self {
        Self { chat, sentences }
    }

    fn is_of_sentences(&self, name: &str) -> bool {
        self.sentences.name().is_some_and(|own| *own == *name)
    }

    async fn embed(&self, call: RelayCall) -> Result<RelayedStream, CallError> {
        let refuse = |error: ReadError| unreadable(&call.model, &error);
        if !self.is_of_sentences(call.model.name_at_provider()) {
            let own = self.sentences.name().unwrap_or_else(|| Arc::from("none here"));
            let reason = format!("this model makes no embeddings; the one that does is `embedded/{own}`");
            return Err(refuse(ReadError::unsupported("model", reason)));
        }
        let (request, encoding) = embeddings::request(&call.relayed).map_err(refuse)?;
        let embedder = self.sentences.embedder().ok_or_else(|| {
            let detail = format!("`{}` is not there yet", call.model);
            ModelError { fault: Fault::unavailable(), detail }
        })?;
        let vectors = vectors(embedder, request).await?.map_err(refuse)?;
        let bytes = embeddings::answer(&call.relayed.model, &vectors, encoding);
        let done = Some(Done { finish: Finish::Stop, usage: vectors.usage });
        Ok(Box::pin(stream::once(async move { Ok(RelayedPortion { bytes, said: 0, done }) })))
    }

    fn is_no_chat(&self, model: &domain::id::ModelId) -> Option<ModelError> {
        self.is_of_sentences(model.name_at_provider()).then(|| {
            let fault = Fault::caller(Retry::Elsewhere);
            ModelError { fault, detail: format!("`{model}` makes embeddings; it does not chat") }
        })
    }
}

/// The vectors, or why these texts have none.
async fn vectors(
    embedder: Arc<dyn Embedder>,
    request: Request,
) -> Result<Result<Vectors, ReadError>, ModelError> {
    if request.purpose.is_some() {
        let reason = "this model's vectors are the same for every purpose";
        return Ok(Err(ReadError::unsupported("input_type", reason)));
    }
    let counted = Arc::clone(&embedder);
    // Two thousand long texts take seconds.
    let counting = tokio::task::spawn_blocking(move || {
        let n_tokens: Vec<usize> = request.texts.iter().map(|text| counted.count_tokens(text)).collect();
        (request, n_tokens)
    });
    let failed = |detail: String| ModelError { fault: Fault::unavailable(), detail };
    let (request, n_tokens) = counting.await.map_err(|_| failed("the texts could not be read".to_owned()))?;
    let most = embedder.tokens_max();
    if let Some(at) = n_tokens.iter().position(|n| *n > most) {
        let n = n_tokens.get(at).copied().unwrap_or_default();
        let reason = format!("it has {n} tokens; this model reads {most} and would leave the rest out");
        return Ok(Err(ReadError::invalid(format!("input[{at}]"), reason)));
    }
    let n_texts = request.texts.len();
    let made = embedder.embed(request.texts).await.map_err(|error| failed(error.to_string()))?;
    let length = made.first().map_or(0, Vec::len);
    if request.dimensions.is_some_and(|asked| usize::try_from(asked).ok() != Some(length)) {
        let reason = format!("this model's vectors have {length}");
        return Ok(Err(ReadError::unsupported("dimensions", reason)));
    }
    let sum = n_tokens.into_iter().sum::<usize>();
    let tokens = u32::try_from(sum).unwrap_or(u32::MAX);
    let made = Vectors::checked(made, n_texts, Some(tokens));
    made.map(Ok).ok_or_else(|| failed("the vectors are not whole".to_owned()))
}

impl ChatModel for WithSentences {
    fn chat(&self, call: ChatCall) -> BoxFuture<'_, Result<ChatStream, CallError>> {
        match self.is_no_chat(&call.model) {
            Some(error) => Box::pin(async move { Err(error.into()) }),
            None => self.chat.chat(call),
        }
    }

    fn relay(&self, call: RelayCall) -> BoxFuture<'_, Result<RelayedStream, CallError>> {
        if call.relayed.dialect == Dialect::OpenAiEmbeddings {
            return Box::pin(self.embed(call));
        }
        match self.is_no_chat(&call.model) {
            Some(error) => {
                let reason = error.detail;
                let error = ReadError::unsupported("model", reason);
                Box::pin(async move { Err(unreadable(&call.model, &error)) })
            }
            None => self.chat.relay(call),
        }
    }

    fn converse(&self, call: ConverseCall) -> BoxFuture<'_, Result<SayingStream, CallError>> {
        match self.is_no_chat(&call.model) {
            Some(error) => Box::pin(async move { Err(error.into()) }),
            None => self.chat.converse(call),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::embedding::Purpose;
    use domain::id::ContentHash;
    use domain::ports::EmbedError;

    use super::*;

    /// A vector of three numbers for each text, whose tokens are its letters.
    struct Letters(ContentHash);

    impl Embedder for Letters {
        fn model(&self) -> &ContentHash {
            &self.0
        }

        fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Vec<Vec<f32>>, EmbedError>> {
            Box::pin(async move { Ok(texts.iter().map(|_| vec![1.0, 0.0, 0.0]).collect()) })
        }

        fn count_tokens(&self, text: &str) -> usize {
            text.len()
        }

        fn tokens_max(&self) -> usize {
            5
        }
    }

    #[tokio::test]
    async fn what_it_cannot_do_is_named() {
        let texts = || vec!["one".to_owned(), "three".to_owned()];
        let long = || vec!["one".to_owned(), "longer".to_owned()];
        for (texts, dimensions, purpose, want) in [
            (texts(), None, None, Ok(Some(8))),
            (texts(), Some(3), None, Ok(Some(8))),
            (texts(), Some(2), None, Err("dimensions")),
            (long(), None, None, Err("input[1]")),
            (texts(), None, Some(Purpose::Query), Err("input_type")),
        ] {
            let asked = Request { texts, dimensions, purpose };
            let embedder = Arc::new(Letters(ContentHash::from("letters")));
            let made = vectors(embedder, asked.clone()).await.expect("it is there");
            let found = made.as_ref().map(|made| made.usage.map(|usage| usage.input.0));
            assert_eq!(found.map_err(|error| error.field().unwrap_or_default()), want, "{asked:?}");
        }
    }
}
