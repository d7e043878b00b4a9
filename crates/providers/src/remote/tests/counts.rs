//! Token counts for Anthropic's callers, asked of Bedrock and Gemini.

use wire::bedrock::protocol::Bedrock;
use wire::counting::CountProtocol;
use wire::gemini::Gemini;
use wire::{bedrock, gemini};

use super::*;

const BODY: &str = r#"{"model":"x","system":"Be brief.","messages":[{"role":"user","content":"Is it insured?"}],"tools":[{"name":"look","input_schema":{"type":"object"}}]}"#;

async fn count(
    behaviour: Behaviour,
    (protocol, counts): (Arc<dyn Protocol>, Option<Arc<dyn CountProtocol>>),
    model: &str,
) -> (Result<String, CallError>, Upstream) {
    let Bench { upstream, model: remote, .. } = Bench::speaking(behaviour, protocol);
    let remote = match counts {
        Some(counts) => remote.with_counts(counts),
        None => remote,
    };
    let body = Bytes::from_static(BODY.as_bytes());
    let relayed =
        wire::anthropic::relay::read(body, Dialect::AnthropicCountTokens, Vec::new()).expect("valid");
    let call = relay_of(model, relayed);
    let counted = async {
        let mut stream = remote.relay(call).await?;
        let portion = stream.next().await.expect("an answer")?;
        assert_eq!(portion.done.and_then(|done| done.usage), Some(Usage::NONE), "it is free");
        Ok(String::from_utf8(portion.bytes.to_vec()).expect("text"))
    };
    (counted.await, upstream)
}

fn bedrock() -> (Arc<dyn Protocol>, Option<Arc<dyn CountProtocol>>) {
    (Arc::new(Bedrock), Some(Arc::new(bedrock::counting::Counts)))
}

fn gemini() -> (Arc<dyn Protocol>, Option<Arc<dyn CountProtocol>>) {
    (Arc::new(Gemini), Some(Arc::new(gemini::counting::Counts)))
}

#[tokio::test]
async fn a_provider_counts_in_its_own_words() {
    let (counted, upstream) = count(Behaviour::default(), bedrock(), "mock/anthropic.claude-3:0").await;
    assert_eq!(counted.expect("a count"), r#"{"input_tokens":3}"#);
    let received = upstream.received().remove(0);
    assert_eq!(received.line, "POST /v1/model/anthropic.claude-3%3A0/count-tokens");
    let body: serde_json::Value = serde_json::from_slice(&received.body).expect("JSON");
    let asked = &body["input"]["converse"];
    assert_eq!(asked["system"][0]["text"], "Be brief.");
    assert!(asked["toolConfig"]["tools"].is_array() && asked.get("inferenceConfig").is_none(), "{body}");

    let (counted, upstream) = count(Behaviour::default(), gemini(), "mock/gemini-2.5-flash").await;
    assert_eq!(counted.expect("a count"), r#"{"input_tokens":3}"#);
    let received = upstream.received().remove(0);
    assert_eq!(received.line, "POST /v1/models/gemini-2.5-flash:countTokens");
    let body: serde_json::Value = serde_json::from_slice(&received.body).expect("JSON");
    assert_eq!(body["generateContentRequest"]["model"], "models/gemini-2.5-flash");
    assert!(body["generateContentRequest"]["systemInstruction"].is_object(), "{body}");
}

#[tokio::test]
async fn what_cannot_be_counted_is_said() {
    for format in [bedrock(), gemini()] {
        for (behaviour, want) in [
            (Behaviour::status(503), Kind::Transient),
            (Behaviour::throttled(RetryAfter::Absent), Kind::Throttled),
            (Behaviour::Malformed(0), Kind::Transient),
            (Behaviour::Empty, Kind::Transient),
            (Behaviour::status(404), Kind::Caller),
        ] {
            let (counted, _) = count(behaviour.clone(), format.clone(), "mock/m").await;
            assert_eq!(counted.expect_err("no count").error.fault.kind, want, "{behaviour:?}");
        }
    }
    let openai: Arc<dyn Protocol> = Arc::new(ChatCompletions::default());
    let (counted, upstream) = count(Behaviour::default(), (openai, None), "mock/gpt").await;
    let error = counted.expect_err("no such interface");
    assert_eq!((error.error.fault.kind, error.error.fault.retry), (Kind::Caller, Retry::Elsewhere));
    assert!(error.reply.expect("words").message.contains("token counts"));
    assert_eq!(upstream.calls(), 0);
}
