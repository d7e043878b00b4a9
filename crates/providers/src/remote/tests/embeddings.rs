//! Embeddings: passed on, translated for Gemini and Bedrock, and what fails.

use wire::bedrock::invoke;
use wire::bedrock::protocol::Bedrock;
use wire::gemini::Gemini;
use wire::gemini::embedding::Embeddings;

use super::*;

async fn embed(model: &Remote, body: &str) -> Result<serde_json::Value, CallError> {
    embed_by(model, "mock/embed-1", body).await
}

async fn embed_by(model: &Remote, id: &str, body: &str) -> Result<serde_json::Value, CallError> {
    let relayed = wire::openai::embeddings::read(Bytes::copy_from_slice(body.as_bytes())).expect("valid");
    let call = relay_of(id, relayed);
    let mut stream = model.relay(call).await?;
    let portion = stream.next().await.expect("an answer")?;
    assert!(portion.done.is_some() && stream.next().await.is_none(), "one portion");
    Ok(serde_json::from_slice(&portion.bytes).expect("JSON"))
}

fn gemini(behaviour: Behaviour) -> (Bench, Remote) {
    translated(behaviour, Arc::new(Gemini), Arc::new(Embeddings))
}

fn bedrock() -> (Bench, Remote) {
    translated(Behaviour::default(), Arc::new(Bedrock), Arc::new(invoke::embedding::Embeddings))
}

fn translated(
    behaviour: Behaviour,
    protocol: Arc<dyn Protocol>,
    embeddings: Arc<dyn EmbeddingProtocol>,
) -> (Bench, Remote) {
    let bench = Bench::speaking(behaviour, protocol);
    let Parts { provider, origin, protocol, clock, ids, .. } = &bench.model.parts;
    let parts = Parts {
        provider: provider.clone(),
        origin: origin.clone(),
        protocol: Arc::clone(protocol),
        signer: None,
        clock: Arc::clone(clock),
        ids: Arc::clone(ids),
    };
    let model = Remote::new(parts).with_embeddings(embeddings);
    (bench, model)
}

#[tokio::test]
async fn openais_own_pass_unchanged() {
    let bench = Bench::new(Behaviour::default());
    let body = r#"{ "input":["a b",[1, 2]], "model":"x","future":1.50,"encoding_format":"base64" }"#;
    let answer = embed(&bench.model, body).await.expect("vectors");
    assert_eq!((&answer["model"], &answer["usage"]["prompt_tokens"]), (&"embed-1".into(), &3.into()));
    let received = bench.upstream.received().remove(0);
    assert_eq!(received.line, "POST /v1/embeddings");
    assert_eq!(String::from_utf8_lossy(&received.body), body.replace("\"x\"", "\"embed-1\""));
}

#[tokio::test]
async fn geminis_come_in_openais_shape_from_as_many_calls_as_it_needs() {
    let (bench, model) = gemini(Behaviour::default());
    let texts: Vec<String> = (0..250).map(|n| format!("text {n}")).collect();
    let asked = |encoding: &str| {
        serde_json::json!({"model": "x", "input": texts, "dimensions": 3, "encoding_format": encoding})
            .to_string()
    };
    let floats = embed(&model, &asked("float")).await.expect("vectors");
    assert_eq!(bench.upstream.calls(), 3, "100, 100 and 50");
    assert_eq!(
        (&floats["model"], &floats["object"], &floats["usage"]),
        (&"x".into(), &"list".into(), &serde_json::Value::Null)
    );
    are_openais(&floats, &asked("float")).await;
    are_openais(&embed(&model, &asked("base64")).await.expect("vectors"), &asked("base64")).await;
}

/// The same texts, asked for at OpenAI: the same vectors, in the same order and to the last bit.
async fn are_openais(answer: &serde_json::Value, body: &str) {
    let openai = Bench::new(Behaviour::default());
    let direct = embed(&openai.model, body).await.expect("vectors");
    let vectors = |answer: &serde_json::Value| -> Vec<Result<Vec<f32>, serde_json::Value>> {
        let entries = answer["data"].as_array().expect("a list").iter();
        let one = |vector: serde_json::Value| serde_json::from_value(vector.clone()).map_err(|_| vector);
        entries.map(|entry| one(entry["embedding"].clone())).collect()
    };
    assert!(vectors(answer) == vectors(&direct), "the same numbers in the same order");
}

#[tokio::test]
async fn bedrocks_come_from_as_many_calls_as_the_model_needs() {
    let texts: Vec<String> = (0..100).map(|n| format!("text {n}")).collect();
    for (model, n_calls, tokens) in
        [("amazon.titan-embed-text-v2:0", 100, 200.into()), ("cohere.embed-v4:0", 2, serde_json::Value::Null)]
    {
        for encoding in ["float", "base64"] {
            let (bench, remote) = bedrock();
            let body = serde_json::json!(
                {"model": "x", "input": texts, "dimensions": 256, "encoding_format": encoding}
            );
            let answer =
                embed_by(&remote, &format!("mock/{model}"), &body.to_string()).await.expect("vectors");
            are_openais(&answer, &body.to_string()).await;
            assert_eq!(
                (bench.upstream.calls(), &answer["usage"]["prompt_tokens"]),
                (n_calls, &tokens),
                "{model}"
            );
            let path = format!("POST /v1/model/{}/invoke", model.replace(':', "%3A"));
            assert!(bench.upstream.received().iter().all(|received| received.line == path), "{path}");
        }
    }
    for (said, want) in [("", "search_document"), (r#","input_type":"search_query""#, "search_query")] {
        let (bench, remote) = bedrock();
        let body = format!(r#"{{"model":"x","input":["a","b"]{said}}}"#);
        embed_by(&remote, "mock/cohere.embed-v4:0", &body).await.expect("vectors");
        let sent: serde_json::Value =
            serde_json::from_slice(&bench.upstream.received()[0].body).expect("JSON");
        assert_eq!((&sent["input_type"], &sent["texts"]), (&want.into(), &serde_json::json!(["a", "b"])));
    }
    let (bench, remote) = bedrock();
    let body = r#"{"model":"x","input":"a","dimensions":256}"#;
    let error = embed_by(&remote, "mock/amazon.titan-embed-text-v1", body).await.expect_err("one length");
    assert_eq!(error.reply.expect("words").parameter.as_deref(), Some("dimensions"));
    assert_eq!(bench.upstream.calls(), 0);
}

#[tokio::test]
async fn what_fails_is_one_fault() {
    let asked = r#"{"model":"x","input":["a","b"]}"#;
    for (behaviour, want) in [
        (Behaviour::status(503), Kind::Transient),
        (Behaviour::throttled(RetryAfter::Seconds(7)), Kind::Throttled),
        (Behaviour::status(401), Kind::RouteFatal),
        (Behaviour::Cut(30), Kind::Transient),
        (Behaviour::Empty, Kind::Transient),
        (Behaviour::Malformed(0), Kind::Transient),
        (Behaviour::HtmlError(502), Kind::Transient),
        (Behaviour::NoHttp, Kind::Transient),
    ] {
        let (bench, model) = gemini(behaviour.clone());
        let error = embed(&model, asked).await.expect_err("no vectors");
        assert_eq!(error.error.fault.kind, want, "{behaviour:?}");
        assert_eq!(
            bench.upstream.calls().min(1),
            usize::from(behaviour != Behaviour::NoHttp || bench.upstream.calls() > 0)
        );
        let openai = Bench::new(behaviour.clone());
        let error = embed(&openai.model, asked).await.expect_err("no vectors");
        assert_eq!(error.error.fault.kind, want, "{behaviour:?}");
    }
    let (bench, model) = gemini(Behaviour::default());
    let error = embed(&model, r#"{"model":"x","input":[1,2]}"#).await.expect_err("tokens");
    assert_eq!((error.error.fault.kind, error.error.fault.retry), (Kind::Caller, Retry::Elsewhere));
    assert_eq!(error.reply.expect("words").parameter.as_deref(), Some("input"));
    assert_eq!(bench.upstream.calls(), 0);
}

#[tokio::test]
async fn a_model_without_embeddings_is_none_the_worse_for_it() {
    let body = r#"{"model":"x","input":"a"}"#;
    let chat_only = Bench::speaking(Behaviour::default(), Arc::new(Gemini));
    let refused = |status| Bench::new(Behaviour::status(status));
    // What OpenAI says of a model that chats; what servers say that have no such path; a key that nobody knows.
    for (bench, want) in [
        (chat_only, Kind::Caller),
        (refused(403), Kind::Caller),
        (refused(404), Kind::Caller),
        (refused(405), Kind::Caller),
        (refused(401), Kind::RouteFatal),
    ] {
        let error = embed(&bench.model, body).await.expect_err("no vectors");
        let Fault { kind, retry, .. } = error.error.fault;
        assert_eq!((kind, retry), (want, Retry::Elsewhere), "{error:?}");
        if want == Kind::Caller {
            let reply = error.reply.expect("words");
            assert_eq!((reply.status, reply.message.contains("OpenAI embeddings")), (400, true), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn what_was_accepted_before_a_failure_is_no_refusal() {
    let body = r#"{"model":"m","input":["a","b"]}"#;
    for (behaviour, is_accepted) in [
        (Behaviour::Cut(30), true),
        (Behaviour::Malformed(0), true),
        (Behaviour::Status { status: 400, body: "{}".to_owned(), retry_after: RetryAfter::Absent }, false),
    ] {
        let told = format!("{behaviour:?}");
        let (_bench, model) = gemini(behaviour);
        let relayed = wire::openai::embeddings::read(Bytes::from_static(body.as_bytes())).expect("valid");
        let meter = domain::meter::Meter::default();
        let call = RelayCall { meter: meter.clone(), ..relay_of("mock/embed-1", relayed) };
        match model.relay(call).await {
            Ok(mut stream) => {
                assert!(is_accepted && stream.next().await.expect("its end").is_err(), "{told}")
            }
            Err(_) => assert!(!is_accepted, "{told}"),
        }
        assert_eq!(meter.read().is_some(), is_accepted, "{told}");
    }
}
