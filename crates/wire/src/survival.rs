//! Requests of the faces that no provider's format writes: said in their words here, read, said to a provider of another
//! dialect and read there again, they are what they were.

use bytes::Bytes;
use domain::chat::{Delivery, Dialect};
use domain::conversation::{
    Conversation, Format, Media, Part, Sampling, Speaker, Thinking, Tool, Turn, Which,
};
use domain::model::Overrides;
use proptest::prelude::*;
use serde_json::Value;

use crate::anthropic::messages::Messages;
use crate::openai::chat::{ChatCompletions, Endpoint, LimitField, Thoughts};
use crate::protocol::{Call, Protocol};
use crate::{bedrock, faces, sampled};

const CHAT: ChatCompletions = ChatCompletions {
    limit_field: LimitField::MaxCompletionTokens,
    responses: Endpoint::Missing,
    thoughts: Thoughts::Taken,
};

const CALL: Call<'_> = Call {
    model: "claude-opus-4-6",
    delivery: Delivery::Whole,
    overrides: Overrides { max_tokens: None, temperature: None },
    max_tokens: 5,
};

fn read(dialect: Dialect, body: &[u8]) -> Conversation {
    let relayed = sampled::relayed(dialect, Bytes::copy_from_slice(body));
    faces::of(dialect).expect("a face").conversation(&relayed).expect("valid")
}

/// `asked`, said to a provider of chat completions and read by their face.
fn by_chat(asked: &Conversation) -> Conversation {
    read(Dialect::OpenAiChat, &CHAT.request(asked, CALL).expect("all of it can be said"))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn address(media: &Media) -> String {
    match media {
        Media::Inline { kind, base64 } => quoted(&format!("data:{kind};base64,{base64}")),
        Media::Url(url) => quoted(url),
        Media::Stored(id) => panic!("{id}: none is sampled"),
    }
}

/// The items that say a turn.
fn items(turn: &Turn) -> Vec<String> {
    let (role, text) = match turn.by {
        Speaker::User => ("user", "input_text"),
        Speaker::Assistant => ("assistant", "output_text"),
        Speaker::System => ("developer", "input_text"),
    };
    let (mut items, mut content) = (Vec::new(), Vec::new());
    for part in &turn.parts {
        match part {
            Part::Text(said) => content.push(format!(r#"{{"type":"{text}","text":{}}}"#, quoted(said))),
            Part::Image { media, .. } => {
                content.push(format!(r#"{{"type":"input_image","image_url":{}}}"#, address(media)));
            }
            Part::Document { media, name } => {
                let name = quoted(name.as_deref().expect("all have one"));
                let data = address(media);
                content.push(format!(r#"{{"type":"input_file","filename":{name},"file_data":{data}}}"#));
            }
            Part::Call { id, name, arguments } => items.push(format!(
                r#"{{"type":"function_call","call_id":{},"name":{},"arguments":{}}}"#,
                quoted(id),
                quoted(name),
                quoted(arguments)
            )),
            Part::Result { id, parts, .. } => {
                let [Part::Text(output)] = parts.as_slice() else { panic!("{parts:?}: one text is sampled") };
                let (id, output) = (quoted(id), quoted(output));
                items.push(format!(r#"{{"type":"function_call_output","call_id":{id},"output":{output}}}"#));
            }
            other => panic!("{other:?}: none is sampled"),
        }
    }
    if !content.is_empty() {
        items.insert(0, format!(r#"{{"role":"{role}","content":[{}]}}"#, content.join(",")));
    }
    items
}

fn tool(tool: &Tool) -> String {
    let schema = tool.schema.as_ref().map(|schema| format!(r#","parameters":{}"#, schema.as_str()));
    let description = tool.description.as_deref().map(|text| format!(r#","description":{}"#, quoted(text)));
    let (schema, description) = (schema.unwrap_or_default(), description.unwrap_or_default());
    format!(r#"{{"type":"function","name":{}{description}{schema}}}"#, quoted(&tool.name))
}

/// `asked` as a body of responses.
fn responses(asked: &Conversation) -> String {
    let items: Vec<String> = asked.turns.iter().flat_map(items).collect();
    let mut body = vec![r#""model":"m""#.to_owned(), format!(r#""input":[{}]"#, items.join(","))];
    if let [Part::Text(text)] = asked.instructions.as_slice() {
        body.push(format!(r#""instructions":{}"#, quoted(text)));
    }
    if !asked.tools.is_empty() {
        let tools: Vec<String> = asked.tools.iter().map(tool).collect();
        body.push(format!(r#""tools":[{}]"#, tools.join(",")));
    }
    match &asked.choice.which {
        Which::Unsaid => {}
        Which::Auto => body.push(r#""tool_choice":"auto""#.to_owned()),
        Which::Any => body.push(r#""tool_choice":"required""#.to_owned()),
        Which::Never => body.push(r#""tool_choice":"none""#.to_owned()),
        Which::This(name) => {
            body.push(format!(r#""tool_choice":{{"type":"function","name":{}}}"#, quoted(name)));
        }
    }
    body.extend(asked.choice.parallel.map(|flag| format!(r#""parallel_tool_calls":{flag}"#)));
    if let Format::Schema { name, schema, .. } = &asked.format {
        let (name, schema) = (quoted(name), schema.as_str());
        body.push(format!(
            r#""text":{{"format":{{"type":"json_schema","name":{name},"schema":{schema},"strict":true}}}}"#
        ));
    }
    if let Thinking::Effort(effort) = &asked.thinking {
        body.push(format!(r#""reasoning":{{"effort":{}}}"#, quoted(effort)));
    }
    let Sampling { max_tokens, temperature, top_p, .. } = &asked.sampling;
    body.extend(max_tokens.map(|most| format!(r#""max_output_tokens":{most}"#)));
    body.extend(temperature.map(|number| format!(r#""temperature":{number}"#)));
    body.extend(top_p.map(|number| format!(r#""top_p":{number}"#)));
    format!("{{{}}}", body.join(","))
}

proptest! {
    #[test]
    fn what_is_asked_of_responses_survives(asked in sampled::conversation()) {
        // Responses have no word for what ends an answer.
        let sampling = Sampling { stop: Vec::new(), ..asked.sampling };
        let asked = Conversation { sampling, ..asked };
        let found = read(Dialect::OpenAiResponses, responses(&asked).as_bytes());
        prop_assert_eq!(&found, &asked);
        prop_assert_eq!(by_chat(&found), asked);
    }

    #[test]
    fn what_is_asked_of_claude_by_invoke_survives(asked in sampled::conversation()) {
        let Ok(body) = Messages.request(&asked, CALL) else { return Ok(()) };
        let want = read(Dialect::AnthropicMessages, &body);
        let model = format!("\"model\":\"{}\"", CALL.model);
        let body = String::from_utf8(body.to_vec()).expect("text");
        prop_assert!(body.contains(&model), "{}", body);
        let body = body.replacen(&model, r#""anthropic_version":"bedrock-2023-05-31""#, 1);
        let path = ("m".to_owned(), Delivery::Whole);
        let relayed = bedrock::invoke::read(Bytes::from(body), path, Vec::new()).expect("an object");
        let found = faces::of(Dialect::BedrockInvoke).expect("a face").conversation(&relayed).expect("valid");
        prop_assert_eq!(&found, &want);
        let again = Messages.request(&found, CALL).expect("it came from there");
        prop_assert_eq!(read(Dialect::AnthropicMessages, &again), want);
    }

    #[test]
    fn a_prompt_survives(prompt in "\\PC{1,20}", most in 1_u32..5_000, seed: Option<i32>, stop in "\\PC{1,5}") {
        let seed = seed.map(|seed| format!(r#","seed":{seed}"#)).unwrap_or_default();
        let body = format!(
            r#"{{"model":"m","prompt":{},"max_tokens":{most},"temperature":0.25,"stop":[{}]{seed}}}"#,
            quoted(&prompt),
            quoted(&stop)
        );
        let found = read(Dialect::OpenAiCompletions, body.as_bytes());
        prop_assert_eq!(&found.turns, &[Turn { by: Speaker::User, parts: vec![Part::Text(prompt)] }]);
        prop_assert_eq!((found.sampling.max_tokens, &found.sampling.stop), (Some(most), &vec![stop]));
        prop_assert_eq!(by_chat(&found), found);
    }
}
