//! Azure OpenAI: OpenAI's formats at Azure's addresses (learn.microsoft.com/azure/ai-foundry/openai, read 2026-11).
//! Models are deployments: since 2025 below `/openai/v1`, where the body names one, before that each at its own path
//! with a dated `api-version`.

use bytes::Bytes;
use domain::chat::{Dialect, Done, ErrorReply, Relayed};
use domain::conversation::{Answer, Conversation};
use domain::fault::Fault;

use crate::openai::chat::ChatCompletions;
use crate::openai::completions::Completions;
use crate::openai::embeddings::Embeddings;
use crate::protocol::{Call, OwnDialect, Place, Protocol, Reply};
use crate::stream::{EventReader, Portions, StreamError};
use crate::translation::Untranslatable;

/// The format of a resource.
#[derive(Debug, Clone)]
pub struct Azure {
    chat: Deployed<ChatCompletions>,
    completions: Deployed<Completions>,
    embeddings: Deployed<Embeddings>,
}

/// A format of OpenAI's at Azure's addresses.
#[derive(Debug, Clone)]
struct Deployed<F> {
    format: F,
    addresses: Addresses,
}

/// Where a resource has its deployments, below `https://NAME.openai.azure.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addresses {
    /// Below `/openai/v1`.
    One,
    /// Below `/openai/deployments/NAME`, with this `api-version`.
    ByDeployment(String),
}

impl Azure {
    /// OpenAI's `chat` at `addresses`.
    #[must_use]
    pub fn new(chat: ChatCompletions, addresses: &Addresses) -> Self {
        Self {
            chat: Deployed { format: chat, addresses: addresses.clone() },
            completions: Deployed { format: Completions, addresses: addresses.clone() },
            embeddings: Deployed { format: Embeddings, addresses: addresses.clone() },
        }
    }
}

impl Addresses {
    /// OpenAI's `place` for calls of `deployment`, here.
    fn at(&self, place: Place, deployment: &str) -> Place {
        let path = match self {
            Self::One => format!("/openai/v1{}", place.path),
            Self::ByDeployment(version) => {
                let (deployment, version) = (encoded(deployment), encoded(version));
                format!("/openai/deployments/{deployment}{}?api-version={version}", place.path)
            }
        };
        Place { path, ..place }
    }
}

/// `text` as one segment of a path, or a value of a query.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

impl<F: OwnDialect> OwnDialect for Deployed<F> {
    fn dialect(&self) -> Dialect {
        self.format.dialect()
    }

    fn place(&self, call: Call<'_>) -> Place {
        self.addresses.at(self.format.place(call), call.model)
    }

    fn patch(&self, relayed: &Relayed, call: Call<'_>) -> Bytes {
        self.format.patch(relayed, call)
    }

    fn portions(&self, relayed: &Relayed) -> Box<dyn Portions> {
        self.format.portions(relayed)
    }

    fn whole(&self, body: &[u8]) -> Result<Done, StreamError> {
        self.format.whole(body)
    }
}

impl Protocol for Azure {
    fn place(&self, call: Call<'_>) -> Place {
        OwnDialect::place(&self.chat, call)
    }

    fn request(&self, conversation: &Conversation, call: Call<'_>) -> Result<Bytes, Untranslatable> {
        self.chat.format.request(conversation, call)
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, StreamError> {
        self.chat.format.answer(body)
    }

    fn reader(&self) -> Box<dyn EventReader> {
        self.chat.format.reader()
    }

    fn classify(&self, reply: Reply<'_>) -> Fault {
        self.chat.format.classify(reply)
    }

    fn words(&self, reply: Reply<'_>, conceal: &dyn Fn(&str) -> String) -> Option<ErrorReply> {
        self.chat.format.words(reply, conceal)
    }

    fn own_dialect(&self, relayed: &Relayed, _: &str) -> Option<&dyn OwnDialect> {
        match relayed.dialect {
            Dialect::OpenAiChat => Some(&self.chat),
            Dialect::OpenAiCompletions => Some(&self.completions),
            Dialect::OpenAiEmbeddings => Some(&self.embeddings),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::chat::Delivery;
    use domain::fault::{Kind, Retry};
    use domain::model::Overrides;
    use domain::time::Timestamp;

    use super::*;
    use crate::openai::{completions, embeddings, relay};

    const CALL: Call<'_> = Call {
        model: "my gpt",
        delivery: Delivery::Whole,
        overrides: Overrides { max_tokens: None, temperature: None },
        max_tokens: 400,
    };

    #[test]
    fn deployments_are_where_azure_has_them() {
        let dated = Addresses::ByDeployment("2024-10-21".to_owned());
        for (addresses, chat, completion, embedding) in [
            (
                Addresses::One,
                "/openai/v1/chat/completions",
                "/openai/v1/completions",
                "/openai/v1/embeddings",
            ),
            (
                dated,
                "/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21",
                "/openai/deployments/my%20gpt/completions?api-version=2024-10-21",
                "/openai/deployments/my%20gpt/embeddings?api-version=2024-10-21",
            ),
        ] {
            let azure = Azure::new(ChatCompletions::default(), &addresses);
            assert_eq!(Protocol::place(&azure, CALL).path, chat);
            let bodies = [
                (relay::read(Bytes::from_static(br#"{"model":"m", "messages":[]}"#)), chat),
                (completions::read(Bytes::from_static(br#"{"model":"m", "prompt":"a"}"#)), completion),
                (embeddings::read(Bytes::from_static(br#"{"model":"m", "input":"a"}"#)), embedding),
            ];
            for (relayed, path) in bodies {
                let relayed = relayed.expect("relayed");
                let own = azure.own_dialect(&relayed, CALL.model).expect("its own");
                assert_eq!((own.place(CALL).path.as_str(), own.dialect()), (path, relayed.dialect));
                let want = String::from_utf8_lossy(&relayed.body).replace("\"m\"", "\"my gpt\"");
                assert_eq!(own.patch(&relayed, CALL), want, "only the model changes");
            }
        }
    }

    #[test]
    fn its_content_filter_is_known() {
        let body = br#"{"error":{"message":"The response was filtered","type":null,"param":"prompt","code":"content_filter",
            "status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{}}}}"#;
        let reply = |status, body| Reply {
            status,
            retry_after: None,
            error_type: None,
            body,
            now: Timestamp::default(),
        };
        let azure = Azure::new(ChatCompletions::default(), &Addresses::One);
        assert_eq!(azure.classify(reply(400, body)).kind, Kind::Content);
        let gone =
            br#"{"error":{"code":"DeploymentNotFound","message":"The API deployment does not exist."}}"#;
        let fault = azure.classify(reply(404, gone));
        assert_eq!((fault.kind, fault.retry), (Kind::RouteFatal, Retry::Elsewhere));
    }
}
