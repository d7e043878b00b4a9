//! Callers of each dialect: how they ask for a stream, and how they see it end.

use domain::chat::Delivery;
use serde_json::{Value, json};
use testkit::upstream::Phase;
use testkit::{Behaviour, Upstream};

use crate::client::Request;
use crate::folder::{Folder, KEY_VARIABLE, ladder};
use crate::server::{Server, Start};

/// A format that callers speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Chat,
    Responses,
    Messages,
    Converse,
}

impl Dialect {
    pub(crate) const ALL: [Self; 4] = [Self::Chat, Self::Responses, Self::Messages, Self::Converse];

    /// Asks for a stream.
    pub(crate) fn ask(self, model: &str) -> Request {
        self.ask_more(model, &json!({}))
    }

    /// Asks for a stream, with `more` in the body.
    pub(crate) fn ask_more(self, model: &str, more: &Value) -> Request {
        self.request(model, Delivery::Streamed, more)
    }

    /// Asks for an answer in one piece.
    pub(crate) fn ask_whole(self, model: &str) -> Request {
        self.request(model, Delivery::Whole, &json!({}))
    }

    fn request(self, model: &str, delivery: Delivery, more: &Value) -> Request {
        let is_streamed = delivery == Delivery::Streamed;
        let said = json!([{ "role": "user", "content": "Is it?" }]);
        let (path, mut body) = match self {
            Self::Chat => {
                let options = json!({ "include_usage": true });
                let body = json!({ "model": model, "messages": said, "stream": is_streamed, "stream_options": options });
                ("/v1/chat/completions".to_owned(), body)
            }
            Self::Responses => (
                "/v1/responses".to_owned(),
                json!({ "model": model, "input": "Is it?", "stream": is_streamed }),
            ),
            Self::Messages => {
                let body =
                    json!({ "model": model, "max_tokens": 100, "messages": said, "stream": is_streamed });
                ("/v1/messages".to_owned(), body)
            }
            Self::Converse => {
                let door = if is_streamed { "converse-stream" } else { "converse" };
                let body = json!({ "messages": [{ "role": "user", "content": [{ "text": "Is it?" }] }] });
                (format!("/model/{model}/{door}"), body)
            }
        };
        if !is_streamed {
            body.as_object_mut().expect("an object").remove("stream_options");
        }
        let more = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(more);
        Request::post(&path, body.to_string())
    }

    /// The words of a streamed answer.
    pub(crate) fn words(self, text: &str) -> String {
        let marks = match self {
            Self::Chat => ["\"content\":\"", "\"content\":\""],
            Self::Responses => ["data: {\"delta\":\"", ""],
            Self::Messages => ["\"text_delta\"", "\"text\":\""],
            Self::Converse => ["\"delta\":{", "\"text\":\""],
        };
        let pieces = text.split(marks[0]).skip(1);
        let pieces = pieces.filter_map(|piece| match self {
            Self::Chat | Self::Responses => piece.split('"').next(),
            _ => piece.split_once(marks[1])?.1.split('"').next(),
        });
        pieces.collect()
    }

    /// What ends a complete stream.
    pub(crate) fn end(self) -> &'static str {
        match self {
            Self::Chat => "data: [DONE]",
            Self::Responses => "event: response.completed",
            Self::Messages => "event: message_stop",
            Self::Converse => "messageStop",
        }
    }

    /// What ends a stream that is not complete.
    pub(crate) fn error(self) -> &'static str {
        match self {
            Self::Chat | Self::Responses => "data: {\"error\":{",
            Self::Messages => "event: error",
            Self::Converse => "modelStreamErrorException",
        }
    }

    /// The sign of life.
    pub(crate) fn sign(self) -> Option<&'static str> {
        match self {
            Self::Chat | Self::Responses => Some(": keep-alive\n\n"),
            Self::Messages => Some("event: ping\ndata: {\"type\": \"ping\"}\n\n"),
            Self::Converse => None,
        }
    }
}

/// A server whose alias `m` leads to `upstreams` in their order, on a route that is `assured` so.
pub(crate) fn serve(upstreams: &[&Upstream], (assured, more): (&str, &str)) -> Server {
    let more = format!(
        "[aliases]\nm = \"standard\"\n[routes.standard]\nassured = \"{assured}\"\n\
         [resilience.breaker]\nfailures_max = 100000\ncalls_min = 100000\n\
         [resilience.policy]\nfirst_token = \"2s\"\nsilence = \"1s\"\n{more}"
    );
    let config = Folder::with_settings(&ladder(upstreams, &more));
    Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) }.serve()
}

/// Ways to stop in the midst of "This is the mock answer."
pub(crate) fn breaks() -> [Behaviour; 6] {
    [
        Behaviour::Unfinished,
        Behaviour::Reset(Phase::MidBody),
        Behaviour::Hang(Phase::MidBody),
        Behaviour::Malformed(2),
        Behaviour::ErrorLater(r#"{"error":{"type":"server_error"}}"#.to_owned()),
        Behaviour::CutFrames(3),
    ]
}
