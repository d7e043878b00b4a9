//! The makers' bodies against golden files, and for any input.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::chat::{Delivery, Finish, Relayed};
use domain::conversation::{Event, Part, Speaker};
use domain::embedding::{Purpose, Request};
use domain::model::Overrides;
use domain::token::{TokenCount, Usage};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::embedding::Embeddings;
use super::face::InvokeFace;
use super::meaning::{bytes, whole};
use super::relay::Invoke;
use super::{body_of, read};
use crate::bedrock::converse::{self, stream};
use crate::bedrock::frame;
use crate::bedrock::model::Maker;
use crate::bedrock::protocol::Bedrock;
use crate::embedding::EmbeddingProtocol;
use crate::face::{About, Face};
use crate::protocol::{Call, OwnDialect, Protocol};
use crate::stream::{EventReader, StreamError, Took};

const CLAUDE: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const NOVA: &str = "us.amazon.nova-pro-v1:0";
const TITAN: &str = "amazon.titan-text-express-v1";

struct Golden {
    maker: Maker,
    model: &'static str,
    request: &'static [u8],
    answer: &'static [u8],
    stream: &'static [u8],
}

macro_rules! golden {
    ($maker:ident, $model:ident, $name:literal) => {
        Golden {
            maker: Maker::$maker,
            model: $model,
            request: include_bytes!(concat!("../../../golden/bedrock/invoke-", $name, "-request.json")),
            answer: include_bytes!(concat!("../../../golden/bedrock/invoke-", $name, "-answer.json")),
            stream: include_bytes!(concat!("../../../golden/bedrock/invoke-", $name, ".stream")),
        }
    };
}

const GOLDEN: [Golden; 3] =
    [golden!(Claude, CLAUDE, "claude"), golden!(Nova, NOVA, "nova"), golden!(Titan, TITAN, "titan")];

fn asked(body: &[u8]) -> Relayed {
    let body = Bytes::copy_from_slice(body);
    read(body, ("m".to_owned(), Delivery::Streamed), Vec::new()).expect("readable")
}

fn call(model: &str, overrides: Overrides) -> Call<'_> {
    Call { model, delivery: Delivery::Whole, overrides, max_tokens: 1 }
}

fn about() -> About {
    About { id: "0f".repeat(16), created: 0, model: "m".to_owned(), took: Duration::ZERO }
}

#[test]
fn a_body_says_whose_it_is_and_goes_to_no_other_model() {
    for golden in &GOLDEN {
        let relayed = asked(golden.request);
        assert_eq!(body_of(&relayed), golden.maker);
        for model in [CLAUDE, NOVA, TITAN] {
            let own = Bedrock.own_dialect(&relayed, model);
            assert_eq!(own.is_some(), model == golden.model, "{model}");
        }
        let unknown = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
        let own = Bedrock.own_dialect(&relayed, unknown).expect("the caller knows");
        assert!(own.place(call(unknown, Overrides::default())).path.ends_with("%2Fabc/invoke"));
    }
    assert_eq!(body_of(&asked(br#"{"prompt":"x","max_gen_len":5}"#)), Maker::Other);
}

#[test]
fn only_the_limits_change() {
    let tamed = Overrides { max_tokens: Some(200), temperature: Some(0.25) };
    for golden in &GOLDEN {
        let relayed = asked(golden.request);
        let unchanged = Invoke.patch(&relayed, call(golden.model, Overrides::default()));
        assert_eq!(unchanged.as_ptr(), relayed.body.as_ptr(), "not even copied");
        let text = std::str::from_utf8(golden.request).expect("text");
        let want = text.replace("300", "200").replace(":0.5", ":0.25");
        assert_eq!(Invoke.patch(&relayed, call(golden.model, tamed)), want);
    }
    let embed = asked(include_bytes!("../../../golden/bedrock/invoke-embed-request.json"));
    assert_eq!(Invoke.patch(&embed, call("amazon.titan-embed-text-v2:0", tamed)), embed.body);
    let llama = asked(br#"{"prompt":"x","max_gen_len":500}"#);
    let patched = Invoke.patch(&llama, call("meta.llama3-8b-instruct-v1:0", tamed));
    assert_eq!(patched, r#"{"prompt":"x","max_gen_len":200}"#, "what it would be called is not known");
}

/// Found by fuzzing: such an object was patched to something that is no JSON.
#[test]
fn limits_that_are_said_twice_are_refused() {
    let path = || ("m".to_owned(), Delivery::Whole);
    for (text, offset) in [
        (r#"{"inferenceConfig":{"topP":0.9,"topP":0.5}}"#, 31),
        (r#"{"inferenceConfig":{"maxTokens":9,"maxTokens":9000}}"#, 34),
    ] {
        let body = || Bytes::copy_from_slice(text.as_bytes());
        let invoked = read(body(), path(), Vec::new()).expect_err(text);
        let conversed = converse::relay::read(body(), path()).expect_err(text);
        assert_eq!((invoked.offset, conversed.offset), (offset, offset), "{text}");
    }
    let titan = br#"{"textGenerationConfig":{"temperature":1,"temperature":0}}"#;
    assert!(read(Bytes::from_static(titan), path(), Vec::new()).is_err());
}

#[test]
fn answers_are_understood() {
    let usage = |input, output| Some(Usage::of(TokenCount(input), TokenCount(output)));
    for golden in &GOLDEN {
        let done = whole(golden.answer).expect("an answer");
        assert_eq!(done.finish, Finish::Stop);
        assert_eq!(done.usage.map(|usage| usage.output.0), Some(34), "{:?}", golden.maker);
    }
    let vectors = whole(include_bytes!("../../../golden/bedrock/invoke-embed-answer.json")).expect("vectors");
    assert_eq!(vectors.usage, usage(3, 0));
    for (body, want) in [
        ("", StreamError::Empty),
        ("{", StreamError::Malformed),
        ("[]", StreamError::Malformed),
        (r#"{"results":[]}"#, StreamError::Empty),
        (r#"{"message":"The model is not there."}"#, StreamError::Malformed),
    ] {
        assert_eq!(whole(body.as_bytes()), Err(want), "{body}");
    }
}

#[test]
fn streams_are_understood_and_passed_on_and_a_cut_is_never_a_clean_end() {
    for golden in &GOLDEN {
        let relayed = asked(golden.request);
        for size in [1, 7, 100_000] {
            let (mut portions, mut given, mut done, mut said) =
                (Invoke.portions(&relayed), Vec::new(), None, 0);
            for portion in golden.stream.chunks(size) {
                portions.push(portion).expect("frames");
                if let Some(out) = portions.give_out() {
                    given.extend_from_slice(&out.bytes);
                    done = out.done.or(done);
                    said += out.said;
                }
            }
            assert_eq!(given, golden.stream);
            let usage = done.and_then(|done| done.usage).expect("told");
            assert_eq!((usage.input.0, usage.output.0), (12, 34), "{:?}", golden.maker);
            assert!(said >= 17, "{said}");
        }
        let n_clean = (0..golden.stream.len()).filter(|cut| {
            let mut portions = Invoke.portions(&relayed);
            portions.push(&golden.stream[..*cut]).expect("frames");
            portions.give_out();
            portions.end().is_ok()
        });
        // Only once the reason for the end has come.
        let last: usize = frames(golden.stream).iter().rev().take(2).map(Bytes::len).sum();
        assert!(n_clean.count() < last, "{:?}", golden.maker);
    }
}

#[test]
fn what_the_events_count_goes_before_the_metrics() {
    let start = r#"{"type":"message_start","message":{"usage":{"input_tokens":10,"cache_creation_input_tokens":90,
        "cache_creation":{"ephemeral_1h_input_tokens":90},"output_tokens":1}}}"#;
    let bare = r#"{"type":"message_start","message":{}}"#;
    let delta = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}"#;
    let stop = r#"{"type":"message_stop"}"#;
    let measured = r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":10,
        "outputTokenCount":7,"cacheWriteInputTokenCount":90}}"#;
    let relayed = asked(GOLDEN[0].request);
    for (events, want) in
        [([start, delta, stop], 90), ([start, delta, measured], 90), ([bare, delta, measured], 0)]
    {
        let mut frames = BytesMut::new();
        events.iter().for_each(|event| super::face::chunk(event.as_bytes(), None, &mut frames));
        let mut portions = Invoke.portions(&relayed);
        portions.push(&frames).expect("frames");
        let usage = portions.give_out().and_then(|out| out.done?.usage).expect("told");
        let written = (usage.cache_write_input.0, usage.cache_write_hour_input.0);
        assert_eq!((usage.input.0, usage.output.0, written), (100, 7, (90, want)), "{events:?}");
    }
}

fn frames(stream: &[u8]) -> Vec<Bytes> {
    let mut cutter = frame::Cutter::default();
    cutter.push(stream);
    std::iter::from_fn(|| cutter.next_frame().ok().flatten()).collect()
}

/// What is in the chunks.
fn chunks(stream: &[u8]) -> Vec<Value> {
    let chunk = |frame: Bytes| {
        let frame = frame::read(frame).expect("a frame");
        serde_json::from_slice(&bytes(&frame.payload).expect("a chunk")).expect("JSON")
    };
    frames(stream).into_iter().map(chunk).collect()
}

#[test]
fn requests_are_read_in_no_dialects_words() {
    for golden in &GOLDEN {
        let mut body: Value = serde_json::from_slice(golden.request).expect("JSON");
        body.as_object_mut().expect("an object").remove("future_field");
        let read = InvokeFace.conversation(&asked(body.to_string().as_bytes())).expect("readable");
        assert_eq!((read.sampling.max_tokens, read.sampling.temperature), (Some(300), Some(0.5)));
        assert_eq!(read.turns.len(), 1);
        assert_eq!(read.turns[0].by, Speaker::User);
        assert!(matches!(&read.turns[0].parts[..], [Part::Text(text)] if text.contains("Zürich")));
        body["future_field"] = json!(1);
        let refused = InvokeFace.conversation(&asked(body.to_string().as_bytes())).expect_err("not known");
        assert!(refused.to_string().contains("future_field"), "{refused}");
    }
    assert!(InvokeFace.conversation(&asked(br#"{"prompt":"x"}"#)).is_err());
    let beta =
        br#"{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["x"],"max_tokens":1,"messages":[]}"#;
    assert!(InvokeFace.conversation(&asked(beta)).is_err());
}

#[test]
fn answers_of_others_are_written_in_the_makers_format() {
    let converse = include_bytes!("../../../golden/bedrock/converse.stream");
    let (mut reader, mut events) = (stream::Reader::default(), Vec::<Event>::new());
    reader.push(converse, &mut events).expect("events");
    let answer =
        Bedrock.answer(include_bytes!("../../../golden/bedrock/converse-answer.json")).expect("an answer");
    for golden in &GOLDEN {
        let relayed = asked(golden.request);
        let body = InvokeFace.answer(&about(), &answer, &relayed);
        let done = whole(&body).expect("an answer");
        let want = if golden.maker == Maker::Titan { Finish::Stop } else { Finish::ToolUse };
        assert_eq!((done.finish, done.usage.map(|usage| usage.output.0)), (want, Some(60)));

        let (mut writer, mut written) = (InvokeFace.writer(about(), &relayed), BytesMut::new());
        writer.took(Took { first: Duration::from_millis(40), whole: Duration::from_millis(1_500) });
        for event in &events {
            writer.write(event, &mut written);
        }
        let mut portions = Invoke.portions(&relayed);
        portions.push(&written).expect("frames");
        let out = portions.give_out().expect("an answer");
        let done = out.done.expect("whole");
        assert_eq!(
            (done.finish, done.usage.map(|usage| (usage.input.0, usage.output.0))),
            (want, Some((17, 34)))
        );
        let chunks = chunks(&written);
        let last = chunks.last().expect("chunks");
        let metrics = &last["amazon-bedrock-invocationMetrics"];
        assert_eq!(metrics["outputTokenCount"], 34);
        assert_eq!((&metrics["firstByteLatency"], &metrics["invocationLatency"]), (&json!(40), &json!(1500)));
        let said: String = match golden.maker {
            Maker::Claude => chunks.iter().filter_map(|chunk| chunk["delta"]["text"].as_str()).collect(),
            Maker::Titan => chunks.iter().filter_map(|chunk| chunk["outputText"].as_str()).collect(),
            _ => {
                let delta =
                    |chunk: &'_ Value| Some(chunk["contentBlockDelta"]["delta"]["text"].as_str()?.to_owned());
                chunks.iter().filter_map(delta).collect()
            }
        };
        assert_eq!(said, "Zürich is sunny.", "{:?}", golden.maker);
    }
}

#[test]
fn texts_become_vectors() {
    let request = Request { texts: vec!["Zürich".to_owned()], dimensions: Some(256), purpose: None };
    let body = Embeddings.request(&request, "amazon.titan-embed-text-v2:0").expect("carried");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body, json!({"inputText": "Zürich", "dimensions": 256}));
    for (model, want) in [
        (
            "amazon.titan-embed-image-v1",
            json!({"inputText": "Zürich", "embeddingConfig": {"outputEmbeddingLength": 256}}),
        ),
        (
            "eu.cohere.embed-v4:0",
            json!({"texts": ["Zürich"], "input_type": "search_document", "embedding_types": ["float"], "output_dimension": 256}),
        ),
    ] {
        let body = Embeddings.request(&request, model).expect("carried");
        assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON"), want);
    }
    for (purpose, want) in [
        (Purpose::Document, "search_document"),
        (Purpose::Query, "search_query"),
        (Purpose::Classification, "classification"),
        (Purpose::Clustering, "clustering"),
    ] {
        let request = Request { purpose: Some(purpose), ..request.clone() };
        let body = Embeddings.request(&request, "cohere.embed-english-v3").expect("carried");
        assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON")["input_type"], want);
        let refused = Embeddings.request(&request, "amazon.titan-embed-text-v2:0").expect_err("one purpose");
        assert_eq!(refused.what, "input_type");
    }
    let refused = Embeddings.request(&request, "amazon.titan-embed-text-v1").expect_err("one length");
    assert_eq!(refused.what, "dimensions");
    assert!(Embeddings.request(&request, "anthropic.claude-3-haiku-20240307-v1:0").is_err());
    for cohere in [r#"{"embeddings":{"float":[[1,2],[3,4]]}}"#, r#"{"embeddings":[[1,2],[3,4]],"id":"x"}"#] {
        let read = Embeddings.answer(cohere.as_bytes(), 2).expect("vectors");
        assert_eq!((read.vectors, read.usage), (vec![vec![1.0, 2.0], vec![3.0, 4.0]], None));
        assert!(Embeddings.answer(cohere.as_bytes(), 1).is_err(), "one for each text");
    }
    let answer = include_bytes!("../../../golden/bedrock/invoke-embed-answer.json");
    let read = Embeddings.answer(answer, 1).expect("vectors");
    assert_eq!(read.vectors, [vec![0.25, -0.5, 0.125]]);
    assert_eq!(read.usage.map(|usage| usage.input.0), Some(3));
    assert!(Embeddings.answer(answer, 2).is_err() && Embeddings.answer(b"{}", 1).is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body: Vec<u8>, which in 0_usize..3) {
        let _ = whole(&body);
        let _ = bytes(&body);
        let mut frames = BytesMut::new();
        super::face::chunk(&body, None, &mut frames);
        let mut portions = Invoke.portions(&asked(GOLDEN[which].request));
        let _ = portions.push(&frames);
        let _ = portions.end();
        if let Ok(relayed) = read(Bytes::from(body), ("m".to_owned(), Delivery::Whole), Vec::new()) {
            let _ = InvokeFace.conversation(&relayed);
        }
    }
}
