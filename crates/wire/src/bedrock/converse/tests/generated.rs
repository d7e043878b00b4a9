//! What holds for any request, any cut of a stream and any bytes.

use proptest::prelude::*;

use super::*;

fn texts() -> BoxedStrategy<String> {
    "\\PC{0,11}[a-z]".boxed()
}

fn call_ids() -> BoxedStrategy<String> {
    "[a-zA-Z0-9_-]{1,64}".boxed()
}

fn media() -> BoxedStrategy<Value> {
    let image = prop::sample::select(vec!["png", "jpeg", "gif", "webp"])
        .prop_map(|format| json!({"image": {"format": format, "source": {"bytes": "eHg="}}}));
    let document = prop::sample::select(vec!["pdf", "csv", "docx", "md"]).prop_map(
        |format| json!({"document": {"format": format, "name": "a file", "source": {"bytes": "eHg="}}}),
    );
    prop_oneof![image, document].boxed()
}

fn blocks() -> BoxedStrategy<Value> {
    prop_oneof![
        texts().prop_map(|text| json!({"text": text})),
        media(),
        prop::sample::select(vec![json!({}), json!({"ttl": "1h"}), json!({"ttl": "5m"})]).prop_map(
            |mut point| {
                point["type"] = json!("default");
                json!({"cachePoint": point})
            }
        ),
        (texts(), texts()).prop_map(
            |(text, proof)| json!({"reasoningContent": {"reasoningText": {"text": text, "signature": proof}}})
        ),
        texts().prop_map(|sealed| json!({"reasoningContent": {"redactedContent": sealed}})),
        (call_ids(), texts())
            .prop_map(|(id, text)| json!({"toolUse": {"toolUseId": id, "name": "f", "input": {"x": text}}})),
        (call_ids(), texts(), any::<bool>(), media()).prop_map(|(id, text, is_error, media)| {
            let status = if is_error { "error" } else { "success" };
            let content = json!([{"text": text}, {"json": {"a": [text]}}, media]);
            json!({"toolResult": {"toolUseId": id, "content": content, "status": status}})
        }),
    ]
    .boxed()
}

fn requests() -> BoxedStrategy<Value> {
    let turns = prop::collection::vec(prop::collection::vec(blocks(), 1..4), 1..5);
    let system = prop::collection::vec(texts(), 0..3);
    let inference = (
        prop::option::of(1_u32..100_000),
        prop::option::of(0.0_f64..1.0),
        prop::option::of(0.0_f64..1.0),
        prop::collection::vec(texts(), 0..3),
    );
    let choice = prop::sample::select(vec![
        json!(null),
        json!({"auto": {}}),
        json!({"any": {}}),
        json!({"tool": {"name": "f"}}),
    ]);
    let additional = prop::sample::select(vec![
        json!({}),
        json!({"top_k": 7}),
        json!({"thinking": {"type": "adaptive"}}),
        json!({"thinking": {"type": "enabled", "budget_tokens": 2000}, "top_k": 1}),
        json!({"tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}),
    ]);
    (turns, system, inference, choice, additional)
        .prop_map(|(turns, system, inference, choice, additional)| {
            let role = |n: usize| if n.is_multiple_of(2) { "user" } else { "assistant" };
            let messages = turns.into_iter().enumerate();
            let messages: Vec<Value> =
                messages.map(|(n, content)| json!({"role": role(n), "content": content})).collect();
            let (max_tokens, temperature, top_p, stop) = inference;
            let mut limits = json!({"stopSequences": stop});
            for (name, value) in [
                ("maxTokens", max_tokens.map(Value::from)),
                ("temperature", temperature.map(Value::from)),
                ("topP", top_p.map(Value::from)),
            ] {
                if let Some(value) = value {
                    limits[name] = value;
                }
            }
            let mut tools =
                json!({"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]});
            if !choice.is_null() {
                tools["toolChoice"] = choice;
            }
            let system: Vec<Value> = system.into_iter().map(|text| json!({"text": text})).collect();
            json!({
                "messages": messages, "system": system, "inferenceConfig": limits, "toolConfig": tools,
                "additionalModelRequestFields": additional,
            })
        })
        .boxed()
}

proptest! {
    #[test]
    fn any_request_survives(body in requests()) {
        let read = inbound::conversation(body.to_string().as_bytes()).expect("valid");
        let written = outbound::request(&read, "anthropic.claude-opus-4-6-v1").expect("carried");
        let again = inbound::conversation(&written).expect("valid");
        prop_assert_eq!(named(again), named(read));
    }

    #[test]
    fn any_chunking_gives_the_same_events(size in 1_usize..600) {
        let whole = read_stream(STREAM, usize::MAX).expect("whole");
        prop_assert_eq!(read_stream(STREAM, size).expect("whole"), whole);
        let (mut portions, mut given) = (relay::Converse.portions(&request()), Vec::new());
        let (mut done, mut said) = (None, 0);
        for portion in STREAM.chunks(size) {
            portions.push(portion).expect("frames");
            if let Some(out) = portions.give_out() {
                given.extend_from_slice(&out.bytes);
                done = out.done.or(done);
                said += out.said;
            }
        }
        prop_assert_eq!(&given[..], STREAM);
        prop_assert_eq!(usize::try_from(said), Ok("Zürich is sunny.".len() + r#"{\"city\":\"Bern\"}"#.len()));
        prop_assert_eq!(done.map(|done| done.finish), Some(Finish::ToolUse));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, name in "[a-zA-Z]{0,20}") {
        let _ = read_stream(&bytes, 16);
        let _ = inbound::conversation(&bytes);
        let _ = answer::read(&bytes);
        let _ = relay::Converse.whole(&bytes);
        let _ = relay::event(&name, &bytes);
        let _ = stream::Events::default().read(&name, &bytes, &mut Vec::new());
    }
}

/// Without the names of documents, of which the second of a name gets another.
fn named(mut conversation: Conversation) -> Conversation {
    fn forget(parts: &mut [Part]) {
        for part in parts {
            match part {
                Part::Document { name, .. } => *name = None,
                Part::Result { parts, .. } => forget(parts),
                _ => {}
            }
        }
    }
    for turn in &mut conversation.turns {
        forget(&mut turn.parts);
    }
    conversation
}
