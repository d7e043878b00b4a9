//! A conversation as a request to an Anthropic model.
//!
//! Reading order: this file (the request), `content` (its messages).

use bytes::Bytes;
use domain::chat::Delivery;
use domain::conversation::{Conversation, Format, Json, Part, Sampling, Tool, Which};
use serde::Serialize;
use serde_json::value::RawValue;

use super::model;
use super::thinking::{self, Mode};
use crate::protocol::Call;
use crate::translation::{self, Untranslatable};
use crate::written;

mod content;

pub(super) use content::input;
use content::{CacheControl, Cached, Message};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Cached<'a>>,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Mode>,
    #[serde(skip_serializing_if = "OutputConfig::is_empty")]
    output_config: OutputConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct ToolBody<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Serialize)]
struct Choice<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Serialize, Default)]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<FormatBody<'a>>,
}

impl OutputConfig<'_> {
    fn is_empty(&self) -> bool {
        self.effort.is_none() && self.format.is_none()
    }
}

#[derive(Serialize)]
struct FormatBody<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: &'a RawValue,
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: &'a str,
}

/// The schema of a tool that takes no arguments.
const NO_ARGUMENTS: &str = r#"{"type":"object","properties":{}}"#;

/// Writes the body of a request.
pub(super) fn write(conversation: &Conversation, call: Call<'_>) -> Result<Bytes, Untranslatable> {
    let version = model::version(call.model);
    let sampling = &conversation.sampling;
    check(sampling)?;
    let max_tokens = sampling.max_tokens.unwrap_or(call.max_tokens);
    let (thinking, effort) = thinking::mode(&conversation.thinking, version, max_tokens)?;
    // Newer models refuse requests that name how to sample. All of ours do, and nearly all of other dialects: there the
    // parameters have no meaning, so that leaving them out changes no answer.
    let sampled = Some(sampling).filter(|_| version < model::UNSAMPLED);
    let body = Body {
        model: call.model,
        max_tokens,
        system: content::instructions(&conversation.instructions)?,
        messages: translation::spoken(content::messages(&conversation.turns, version)?)?,
        tools: conversation.tools.iter().map(tool).collect::<Result<_, _>>()?,
        tool_choice: choice(conversation)?,
        thinking,
        output_config: OutputConfig { effort, format: format(&conversation.format)? },
        temperature: sampled.and_then(|sampling| sampling.temperature),
        top_p: sampled.and_then(|sampling| sampling.top_p),
        top_k: sampled.and_then(|sampling| sampling.top_k),
        stop_sequences: &sampling.stop,
        metadata: conversation.user.as_deref().map(|user_id| Metadata { user_id }),
        stream: call.delivery == Delivery::Streamed,
    };
    Ok(written::body(&body))
}

/// Refuses what no Claude model can be told.
fn check(sampling: &Sampling) -> Result<(), Untranslatable> {
    if sampling.temperature.is_some_and(|temperature| !(0.0..=1.0).contains(&temperature)) {
        return Err(Untranslatable::new("temperature", "it takes 0 to 1"));
    }
    if sampling.seed.is_some() {
        return Err(Untranslatable::new("seed", "it has no reproducible sampling"));
    }
    let is_set = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
    if is_set(sampling.frequency_penalty) {
        return Err(Untranslatable::new("frequency_penalty", "it knows none"));
    }
    if is_set(sampling.presence_penalty) {
        return Err(Untranslatable::new("presence_penalty", "it knows none"));
    }
    Ok(())
}

fn tool(tool: &Tool) -> Result<ToolBody<'_>, Untranslatable> {
    Ok(ToolBody {
        name: &tool.name,
        description: tool.description.as_deref(),
        input_schema: raw(tool.schema.as_ref().map_or(NO_ARGUMENTS, Json::as_str), "tools")?,
        strict: tool.strict,
        cache_control: tool.cache.map(CacheControl::of),
    })
}

fn choice(conversation: &Conversation) -> Result<Option<Choice<'_>>, Untranslatable> {
    let which = translation::choice(conversation)?;
    let parallel = conversation.choice.parallel.filter(|_| !conversation.tools.is_empty());
    let disable_parallel_tool_use = parallel.map(|parallel| !parallel);
    let of = |kind, name| Some(Choice { kind, name, disable_parallel_tool_use });
    Ok(match which {
        Which::Unsaid if parallel.is_none() => None,
        Which::Unsaid | Which::Auto => of("auto", None),
        Which::Any => of("any", None),
        Which::This(name) => of("tool", Some(name)),
        Which::Never => Some(Choice { kind: "none", name: None, disable_parallel_tool_use: None }),
    })
}

fn format(format: &Format) -> Result<Option<FormatBody<'_>>, Untranslatable> {
    match format {
        Format::Text => Ok(None),
        Format::Object => Err(Untranslatable::new(
            "response_format",
            "it keeps to a schema, not to any JSON object: send `json_schema`",
        )),
        Format::Schema { schema, .. } => {
            Ok(Some(FormatBody { kind: "json_schema", schema: raw(schema.as_str(), "response_format")? }))
        }
    }
}

fn raw<'a>(json: &'a str, what: &'static str) -> Result<&'a RawValue, Untranslatable> {
    serde_json::from_str(json).map_err(|_| Untranslatable::new(what, "a schema is not JSON"))
}

/// Where a part stands, for refusals.
fn at(turn: usize, what: &Part) -> String {
    let what = match what {
        Part::Image { .. } => "an image",
        Part::Document { .. } => "a document",
        Part::Audio(_) => "sound",
        Part::Call { .. } => "a call",
        Part::Result { .. } => "a result",
        _ => "a text",
    };
    format!("messages[{turn}]: {what}")
}

#[cfg(test)]
mod tests {
    use domain::conversation::{Media, Speaker, Thinking, Turn};
    use domain::model::Overrides;
    use serde_json::{Value, json};

    use super::*;

    fn call(model: &str) -> Call<'_> {
        Call { model, delivery: Delivery::Whole, overrides: Overrides::default(), max_tokens: 4_000 }
    }

    fn asking(parts: Vec<Part>) -> Conversation {
        Conversation { turns: vec![Turn { by: Speaker::User, parts }], ..Conversation::default() }
    }

    fn hello() -> Conversation {
        asking(vec![Part::Text("Hi".to_owned())])
    }

    fn written(conversation: &Conversation, model: &str) -> Result<Value, Untranslatable> {
        write(conversation, call(model)).map(|body| serde_json::from_slice(&body).expect("JSON"))
    }

    #[test]
    fn a_limit_is_always_sent() {
        let body = written(&hello(), "claude-opus-5").expect("plain");
        let want = json!({"model": "claude-opus-5", "max_tokens": 4_000,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]});
        assert_eq!(body, want);
    }

    #[test]
    fn blank_texts_are_left_out_beside_others() {
        let turn = |by, parts| Turn { by, parts };
        let said = |text: &str| Part::Text(text.to_owned());
        let (id, name) = ("a".to_owned(), "f".to_owned());
        let call = Part::Call { id: id.clone(), name, arguments: "{}".to_owned() };
        let result = Part::Result { id, parts: vec![said("7"), said("\n")], is_error: false };
        let turns = vec![
            turn(Speaker::User, vec![said("Hi"), said(" ")]),
            turn(Speaker::Assistant, vec![said("\n\n"), call]),
            turn(Speaker::User, vec![result]),
            turn(Speaker::Assistant, vec![said("7.")]),
            turn(Speaker::User, vec![said(""), said("\n")]),
        ];
        let instructions = vec![said("\t")];
        let asked = Conversation { turns, instructions, ..Conversation::default() };
        let body = written(&asked, "claude-opus-5").expect("valid");
        let text = |text: &str| json!([{"type": "text", "text": text}]);
        let content: Vec<&Value> = (0..5).map(|n| &body["messages"][n]["content"]).collect();
        assert_eq!((content[0], content[3], content[4]), (&text("Hi"), &text("7."), &text("\n")));
        assert_eq!(
            (content[1].as_array().map(Vec::len), &content[1][0]["type"]),
            (Some(1), &json!("tool_use"))
        );
        assert_eq!(content[2][0]["content"], text("7"));
        assert_eq!(body["system"], Value::Null);
    }

    #[test]
    fn pictures_are_called_as_anthropic_calls_them() {
        let media = Media::Inline { kind: "image/jpg".to_owned(), base64: "AA==".into() };
        let asked = asking(vec![Part::Image { media, detail: None }]);
        let body = written(&asked, "claude-opus-5").expect("carried");
        assert_eq!(body["messages"][0]["content"][0]["source"]["media_type"], "image/jpeg");
    }

    #[test]
    fn thinking_is_said_as_the_model_takes_it() {
        let effort = |word: &str| Thinking::Effort(word.to_owned());
        let enabled = |budget: u32| json!({"type": "enabled", "budget_tokens": budget});
        let adaptive = json!({"type": "adaptive"});
        for (model, thinking, want, effort) in [
            ("claude-opus-5", effort("high"), adaptive.clone(), json!("high")),
            ("claude-opus-5", effort("minimal"), adaptive.clone(), json!("low")),
            ("claude-opus-5", Thinking::Adaptive, adaptive, Value::Null),
            ("claude-opus-5", effort("none"), json!({"type": "disabled"}), Value::Null),
            ("claude-haiku-4-5", effort("high"), enabled(3_200), Value::Null),
            ("claude-haiku-4-5", effort("low"), enabled(1_024), Value::Null),
            ("claude-haiku-4-5", Thinking::Tokens(2_000), enabled(2_000), Value::Null),
            ("claude-haiku-4-5", Thinking::Off, json!({"type": "disabled"}), Value::Null),
        ] {
            let body =
                written(&Conversation { thinking: thinking.clone(), ..hello() }, model).expect("thinking");
            assert_eq!(
                (&body["thinking"], &body["output_config"]["effort"]),
                (&want, &effort),
                "{thinking:?}"
            );
        }
        let short = Sampling { max_tokens: Some(1_000), ..Sampling::default() };
        let body = written(
            &Conversation { thinking: effort("high"), sampling: short, ..hello() },
            "claude-haiku-4-5",
        );
        assert_eq!(body.expect("no room to think")["thinking"], Value::Null);
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        let sampling = |sampling| Conversation { sampling, ..hello() };
        let usual = Sampling::default;
        let webp = Media::Inline { kind: "image/tiff".to_owned(), base64: "AA==".into() };
        let system = Turn { by: Speaker::System, parts: vec![Part::Text("Now in French".to_owned())] };
        let mut late = hello();
        late.turns.push(system);
        for (conversation, what) in [
            (sampling(Sampling { temperature: Some(1.5), ..usual() }), "temperature"),
            (sampling(Sampling { seed: Some(7), ..usual() }), "seed"),
            (sampling(Sampling { frequency_penalty: Some(0.1), ..usual() }), "frequency_penalty"),
            (sampling(Sampling { presence_penalty: Some(-0.1), ..usual() }), "presence_penalty"),
            (Conversation { format: Format::Object, ..hello() }, "response_format"),
            (asking(vec![Part::Audio(Media::Url("https://a/b.wav".to_owned()))]), "messages[0]: sound"),
            (asking(vec![Part::Image { media: webp, detail: None }]), "messages[0]: an image"),
            (late.clone(), "messages[1]: a message of the system"),
        ] {
            let refused = written(&conversation, "claude-sonnet-4-5").expect_err(what);
            assert_eq!(refused.what, what);
        }
        let body = written(&late, "claude-opus-4-8").expect("newer models take it");
        let tokens = Conversation { thinking: Thinking::Tokens(2_000), ..hello() };
        assert_eq!(written(&tokens, "claude-opus-4-7").expect_err("no budgets").what, "thinking");
        assert_eq!(body["messages"][1]["role"], "system");
        let sampled =
            sampling(Sampling { temperature: Some(0.5), top_p: Some(0.5), top_k: Some(5), ..usual() });
        for (model, has_any) in [("claude-opus-4-6", true), ("claude-opus-4-7", false)] {
            let body = written(&sampled, model).expect("valid");
            let has = ["temperature", "top_p", "top_k"].map(|field| body.get(field).is_some());
            assert_eq!(has, [has_any; 3], "{model}");
        }
        let zero = Sampling { presence_penalty: Some(0.0), ..usual() };
        assert!(written(&sampling(zero), "claude-opus-5").is_ok());
    }
}
