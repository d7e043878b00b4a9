//! What a provider states of its usage is told at once: a caller who leaves, and a provider that breaks off, change nothing
//! about it.

use domain::meter::{Meter, Stated};
use domain::model::Overrides;
use wire::anthropic::messages::Messages;
use wire::gemini::Gemini;

use super::*;

const ANTHROPIC: &str = concat!(
    r#"data: {"type":"message_start","message":{"usage":{"input_tokens":60000,"cache_creation_input_tokens":40000,"#,
    r#""cache_creation":{"ephemeral_1h_input_tokens":40000},"output_tokens":1}}}"#,
    "\n\n",
    r#"data: {"type":"content_block_start","content_block":{"type":"text","text":""}}"#,
    "\n\n",
    r#"data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Yes"}}"#,
    "\n\n",
);
const ANTHROPIC_END: &str = concat!(
    r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#,
    "\n\n",
);
const FAILED: &str = concat!(r#"data: {"error":{"type":"server_error"}}"#, "\n\n");
const OPENAI: &str = concat!(
    r#"data: {"choices":[{"index":0,"delta":{"content":"Yes"}}],"usage":{"prompt_tokens":60000,"completion_tokens":1}}"#,
    "\n\n",
);
const OPENAI_END: &str = concat!(
    r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    "\n\n",
    r#"data: {"choices":[],"usage":{"prompt_tokens":60000,"completion_tokens":9}}"#,
    "\n\n",
);
const GEMINI: &str = concat!(
    r#"data: {"candidates":[{"content":{"parts":[{"text":"Yes"}]}}],"usageMetadata":{"promptTokenCount":60000,"#,
    r#""candidatesTokenCount":1}}"#,
    "\n\n",
);

/// The forms of a call.
#[derive(Debug, Clone, Copy)]
enum Form {
    Chat,
    Relay,
    Converse,
}

/// Calls with `meter`, and reads `n` pieces of the answer.
async fn call_and_read(bench: &Bench, form: Form, (meter, n): (&Meter, usize)) {
    let meter = meter.clone();
    match form {
        Form::Chat => {
            let stream = bench.model.chat(ChatCall { meter, ..call() }).await.expect("accepted");
            stream.take(n).collect::<Vec<_>>().await;
        }
        Form::Relay => {
            let body = br#"{"model":"x","stream":true,"messages":[{"role":"user","content":"Is it?"}]}"#;
            let relayed = wire::openai::relay::read(Bytes::from_static(body)).expect("valid");
            let call = RelayCall { meter, ..relay_of("mock/org/model-1", relayed) };
            bench.model.relay(call).await.expect("accepted").take(n).collect::<Vec<_>>().await;
        }
        Form::Converse => {
            let ChatCall { model, region, request, deadline, trace, .. } = call();
            let conversation = Arc::new(texts::conversation(&request));
            let overrides = Overrides::default();
            let call = ConverseCall { model, region, conversation, overrides, deadline, trace, meter };
            bench.model.converse(call).await.expect("accepted").take(n).collect::<Vec<_>>().await;
        }
    }
}

#[tokio::test]
async fn what_was_stated_is_known_however_the_answer_ends() {
    let cached = Usage {
        cache_write_input: TokenCount(40_000),
        cache_write_hour_input: TokenCount(40_000),
        ..Usage::of(TokenCount(100_000), TokenCount(1))
    };
    let of = |output| Usage::of(TokenCount(60_000), TokenCount(output));
    let anthropic: Arc<dyn Protocol> = Arc::new(Messages);
    let openai: Arc<dyn Protocol> = Arc::new(ChatCompletions::default());
    let gemini: Arc<dyn Protocol> = Arc::new(Gemini);
    let ended = Usage { output: TokenCount(9), ..cached };
    for (protocol, body, want) in [
        (&anthropic, ANTHROPIC.to_owned(), Stated::SoFar(cached)),
        (&anthropic, [ANTHROPIC, FAILED].concat(), Stated::SoFar(cached)),
        (&anthropic, [ANTHROPIC, ANTHROPIC_END].concat(), Stated::Finally(ended)),
        (&anthropic, [ANTHROPIC, ANTHROPIC_END, FAILED].concat(), Stated::Finally(ended)),
        // Nothing was said yet.
        (
            &anthropic,
            [ANTHROPIC.split_inclusive("\n\n").next().unwrap(), FAILED].concat(),
            Stated::SoFar(cached),
        ),
        (&openai, OPENAI.to_owned(), Stated::SoFar(of(1))),
        (&openai, [OPENAI, FAILED].concat(), Stated::SoFar(of(1))),
        (&openai, [OPENAI, OPENAI_END].concat(), Stated::Finally(of(9))),
        (&gemini, GEMINI.to_owned(), Stated::SoFar(of(1))),
        (&gemini, [GEMINI, FAILED].concat(), Stated::SoFar(of(1))),
    ] {
        for form in [Form::Chat, Form::Relay, Form::Converse] {
            // To its end, and left after a word.
            for n in [usize::MAX, 1] {
                let status =
                    Behaviour::Status { status: 200, body: body.clone(), retry_after: RetryAfter::Absent };
                let bench = Bench::speaking(status, Arc::clone(protocol));
                let meter = Meter::default();
                call_and_read(&bench, form, (&meter, n)).await;
                assert_eq!(meter.read(), Some(want), "{form:?} {n} {body}");
            }
        }
    }
}
