//! Answers of every provider, whole and streamed: how the bytes are cut makes no difference, no end comes twice, and
//! every dialect can write what was read.
#![no_main]

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::chat::{Delivery, Dialect, Relayed, Tools, UsageFrame};
use domain::conversation::Event;
use libfuzzer_sys::fuzz_target;
use wire::face::About;
use wire::protocol::{Protocol, Reply};
use wire::stream::{Progress, StreamError};

const DIALECTS: [Dialect; 6] = [
    Dialect::OpenAiChat,
    Dialect::OpenAiResponses,
    Dialect::OpenAiCompletions,
    Dialect::AnthropicMessages,
    Dialect::BedrockConverse,
    Dialect::BedrockInvoke,
];

fn read(protocol: &dyn Protocol, portions: &[&[u8]]) -> (Vec<Event>, Result<(), StreamError>) {
    let (mut reader, mut events) = (protocol.reader(), Vec::new());
    for portion in portions {
        match reader.push(portion, &mut events) {
            Ok(Progress::Ended) => return (events, Ok(())),
            Ok(_) => {}
            Err(error) => return (events, Err(error)),
        }
    }
    let ended = reader.end(&mut events);
    (events, ended)
}

fuzz_target!(|bytes: &[u8]| {
    for protocol in fuzz::protocols() {
        let reply =
            Reply { status: 429, retry_after: None, error_type: None, body: bytes, now: Default::default() };
        let _ = protocol.classify(reply);
        let _ = protocol.words(reply, &str::to_owned);
        let (events, ended) = read(protocol, &[bytes]);
        assert_eq!(read(protocol, &fuzz::portions(bytes)), (events.clone(), ended));
        let n_ends = events.iter().filter(|event| matches!(event, Event::Ended(_))).count();
        assert_eq!(n_ends, usize::from(ended.is_ok()), "{ended:?}");
        let answer = protocol.answer(bytes);
        for dialect in DIALECTS {
            let about =
                About { id: "0f".repeat(16), created: 1, model: "m".to_owned(), took: Duration::ZERO };
            let face = wire::faces::of(dialect).expect("a face");
            let mut writer = face.writer(about.clone(), &asked(dialect));
            let mut frames = BytesMut::new();
            events.iter().for_each(|event| writer.write(event, &mut frames));
            if let Ok(answer) = &answer {
                let body = face.answer(&about, answer, &asked(dialect));
                wire::json::check(&body, wire::request::LIMITS).expect("JSON");
            }
        }
    }
});

fn asked(dialect: Dialect) -> Relayed {
    Relayed {
        dialect,
        model: "m".to_owned(),
        body: Bytes::new(),
        fields: Vec::new(),
        delivery: Delivery::Streamed,
        usage: UsageFrame::Wanted,
        tools: Tools::None,
        headers: Vec::new(),
    }
}
