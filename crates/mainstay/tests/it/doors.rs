//! Requests as clients of every door send them, and what became of each: answered, told why not, or broken.

use std::io;
use std::net::SocketAddr;

use serde_json::{Value, json};
use testkit::Upstream;

use crate::client::{Kept, Opened, Request};
use crate::folder::{Folder, KEY_VARIABLE};
use crate::server::Start;

/// A door and how its answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Chat,
    ChatStream,
    Generate,
    GenerateStream,
}

impl Door {
    pub(crate) const ALL: [Self; 4] = [Self::Chat, Self::ChatStream, Self::Generate, Self::GenerateStream];

    /// A question at this door; `model` is who answers at `/v1/chat/completions`.
    pub(crate) fn request(self, model: &str) -> Request {
        let generate = json!({ "prompt": "Write a greeting.", "use_case": "personalized_outreach" });
        let chat = |is_streamed| {
            let messages = [json!({ "role": "user", "content": "Is my deposit insured?" })];
            json!({ "model": model, "messages": messages, "stream": is_streamed }).to_string()
        };
        match self {
            Self::Chat => Request::post("/v1/chat/completions", chat(false)),
            Self::ChatStream => Request::post("/v1/chat/completions", chat(true)),
            Self::Generate => Request::post("/generate", generate.to_string()),
            Self::GenerateStream => Request::post("/generate", generate.to_string()).streamed(),
        }
    }
}

/// What a client was told about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// It has the whole answer.
    Answered { id: String, record: Record },
    /// An error, as a reply or as the last event of a stream.
    Told { code: String },
    /// A reply or a stream that broke off without a word.
    Broken(String),
    /// The connection was taken and closed without a byte of a reply.
    Unanswered(String),
    /// Nobody listens.
    Refused,
}

/// What an answer says of its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record {
    Kept,
    NotKept,
}

/// Asks on `kept`, or on a connection of its own; leaves a connection that goes on in `kept`.
pub(crate) fn ask(address: SocketAddr, request: &Request, kept: &mut Option<Kept>) -> End {
    let connection = match kept.take() {
        Some(connection) => connection,
        None => match Kept::connect(address) {
            Ok(connection) => connection,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return End::Refused,
            Err(error) => return End::Unanswered(error.to_string()),
        },
    };
    match connection.open(request) {
        Err(error) => End::Unanswered(error.to_string()),
        Ok(opened) => {
            let (end, opened) = follow(opened);
            if opened.is_kept() && !matches!(end, End::Broken(_)) {
                *kept = Some(opened.into_kept(address));
            }
            end
        }
    }
}

/// Reads a response to its end.
pub(crate) fn follow(mut opened: Opened) -> (End, Opened) {
    let text = |header: &str| opened.header(header).unwrap_or_default().to_owned();
    let (id, recorded, kind) =
        (text("x-mainstay-interaction"), text("x-mainstay-recorded"), text("content-type"));
    let mut bytes = Vec::new();
    if let Err(error) = opened.body_to_end(&mut bytes) {
        return (End::Broken(format!("{error} after {:?}", String::from_utf8_lossy(&bytes))), opened);
    }
    let body = String::from_utf8_lossy(&bytes);
    let end = match (opened.status, kind.as_str()) {
        (200, "text/event-stream") => end_of_stream(id, &body),
        (200, _) => {
            End::Answered { id, record: if recorded == "no" { Record::NotKept } else { Record::Kept } }
        }
        _ => End::Told { code: code(&parse(&body)) },
    };
    (end, opened)
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// The code of a problem, or of an error in OpenAI's shape.
fn code(error: &Value) -> String {
    error["code"].as_str().or_else(|| error["error"]["code"].as_str()).unwrap_or_default().to_owned()
}

/// What the last events of a stream say.
pub(crate) fn end_of_stream(id: String, text: &str) -> End {
    let mut record = Record::Kept;
    let mut event = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("event: ") {
            event = name;
        }
        if line == ": x-mainstay-recorded: no" {
            record = Record::NotKept;
        }
        let Some(data) = line.strip_prefix("data: ") else { continue };
        if data == "[DONE]" {
            return End::Answered { id, record };
        }
        let data = parse(data);
        match event {
            "answer" if data["recorded"] == json!(false) => {
                return End::Answered { id, record: Record::NotKept };
            }
            "answer" => return End::Answered { id, record },
            "error" => return End::Told { code: code(&data) },
            _ if data.get("error").is_some() => return End::Told { code: code(&data) },
            _ => {}
        }
    }
    End::Broken(format!("the stream ended without its end: {text:?}"))
}

/// A server before `upstreams`: each is a provider `p0`, `p1`, … with a model `p0/m`; agents ask the first one.
/// `more` is added to its settings.
pub(crate) fn start(upstreams: &[&Upstream], more: &str) -> Start {
    let mut settings = "schema = 1\n".to_owned();
    for (n, upstream) in upstreams.iter().enumerate() {
        let base_url = upstream.base_url();
        settings += &format!(
            "[providers.p{n}]\nkind = \"openai\"\nbase_url = \"{base_url}\"\nkey = \"env::{KEY_VARIABLE}\"\n\
             allow_private = true\n[models.\"p{n}/m\"]\ncontext = 128_000\n"
        );
    }
    settings += "[[routes.standard.tiers]]\nname = \"primary\"\ntargets = [{ model = \"p0/m\" }]\n";
    let config = Folder::with_settings(&(settings + more));
    Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) }
}
