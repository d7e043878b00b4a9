//! Whether all that a caller's own request adds to the input is in its body, in any dialect. Parts and tools of a kind that is not known
//! to carry all they add count as fetched: pictures and files, earlier answers, what a provider runs itself, and whatever comes after
//! those. Fields of the whole request count by their names: no list holds all harmless ones of all servers.

use std::borrow::Cow;

use domain::chat::Dialect;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use wire::json::{Look, Named, names};

/// Kinds of parts, of tools, and of what is said of both, that carry all that they add: texts, calls and their results (the parts of
/// which have kinds of their own), tools that callers run, the kinds of JSON schemas, settings.
const CARRIED: [&[u8]; 70] = [
    b"adaptive",
    b"all",
    b"allowed_tools",
    b"any",
    b"apply_patch",
    b"apply_patch_call",
    b"apply_patch_call_output",
    b"approximate",
    b"array",
    b"auto",
    b"boolean",
    b"char_location",
    b"clear_thinking_20251015",
    b"clear_tool_uses_20250919",
    b"content",
    b"content_block_location",
    b"create_file",
    b"custom",
    b"custom_tool_call",
    b"custom_tool_call_output",
    b"default",
    b"delete_file",
    b"direct",
    b"disabled",
    b"enabled",
    b"ephemeral",
    b"exec",
    b"flex",
    b"function",
    b"function_call",
    b"function_call_output",
    b"grammar",
    b"input_text",
    b"input_tokens",
    b"integer",
    b"json",
    b"json_object",
    b"json_schema",
    b"local_shell",
    b"local_shell_call",
    b"local_shell_call_output",
    b"message",
    b"none",
    b"null",
    b"number",
    b"object",
    b"output_text",
    b"priority",
    b"reasoning",
    b"reasoning.encrypted",
    b"reasoning.summary",
    b"reasoning.text",
    b"reasoning_text",
    b"redacted_thinking",
    b"refusal",
    b"reserved",
    b"search_result",
    b"string",
    b"structural_tag",
    b"summary_text",
    b"text",
    b"thinking",
    b"thinking_turns",
    b"tokens",
    b"tool",
    b"tool_result",
    b"tool_use",
    b"tool_uses",
    b"update_file",
    b"url_citation",
];
/// How the kinds of tools begin that Anthropic names with their day, and callers run.
const CARRIED_TOOLS: [&[u8]; 3] = [b"bash_", b"memory_", b"text_editor_"];

/// Names of fields, or how they begin, that point to something, or hold a picture or the like, wherever they stand.
const POINTERS: [&[u8]; 20] = [
    b"audio",
    b"cached_content",
    b"cachedcontent",
    b"container_id",
    b"document",
    b"file",
    b"image",
    b"inline_data",
    b"inlinedata",
    b"input_audio",
    b"input_file",
    b"input_image",
    b"input_video",
    b"inputimage",
    b"item_reference",
    b"mediasource",
    b"s3location",
    b"systemtool",
    b"vector_store",
    b"video",
];
/// Fields of a request by which a provider adds to it.
const ADDING: [&[u8]; 18] = [
    b"chat_template",
    b"container",
    b"conversation",
    b"conversation_id",
    b"data_sources",
    b"enable_code_interpreter",
    b"enable_search",
    b"extra_body",
    b"mcp_servers",
    b"plugins",
    b"preset",
    b"previous_response_id",
    b"prompt_id",
    b"promptvariables",
    b"search_parameters",
    b"venice_parameters",
    b"web_search",
    b"web_search_options",
];
/// Fields whose objects are a caller's own JSON, which nobody looks into: schemas, arguments of calls, their results.
const OWN: [&[u8]; 16] = [
    b"$defs",
    b"arguments",
    b"definitions",
    b"env",
    b"guided_json",
    b"input",
    b"input_examples",
    b"input_schema",
    b"json",
    b"metadata",
    b"output_schema",
    b"parameter_definitions",
    b"parameters",
    b"properties",
    b"requestMetadata",
    b"schema",
];

/// Whether the input of a request with this body, which was checked to be JSON, may be more than the body.
pub(super) fn is_fetched(body: &[u8], dialect: Dialect) -> bool {
    let mut found = dialect == Dialect::OpenAiResponses && is_kept(body);
    names(body, &mut |named| {
        let look = look(named);
        found |= look == Look::No;
        look
    });
    found
}

/// [`Look::No`] where something may be fetched.
fn look(named: &Named<'_>) -> Look {
    let name = &*named.name;
    let is_object = named.first() == Some(b'{');
    // At the top these are the request's own, and may have parts and settings in them.
    let is_of_request = named.depth == 1 && !matches!(name, b"metadata" | b"requestMetadata");
    let is_own = is_object || name == b"input_examples";
    if is_own && OWN.contains(&name) && !is_of_request {
        return Look::Past;
    }
    // Some providers take names in any case.
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    let begins = |known: &&[u8]| name.get(..known.len()).is_some_and(|name| name.eq_ignore_ascii_case(known));
    let is_carried = match named.depth {
        // `null` is none that is known, either.
        _ if is(b"type") && named.first() == Some(b'n') => return Look::No,
        _ if is(b"type") => named.text().is_some_and(|kind| is_carried(&kind)),
        1 if is(b"prompt") => !is_object,
        // The voice of the answer.
        1 if is(b"audio") => true,
        1 if ADDING.iter().any(|known| is(known)) => false,
        _ => !POINTERS.iter().any(begins),
    };
    if is_carried || named.is_empty() { Look::Within } else { Look::No }
}

/// Whether an item of a response's input is one that OpenAI has kept, and puts in by its id: one that holds nothing, and reasoning without
/// its sealed form. An item that cannot be read may be one.
fn is_kept(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Request<'a> {
        #[serde(borrow, default)]
        input: Option<&'a RawValue>,
    }
    let request: Result<Request<'_>, _> = serde_json::from_slice(body);
    let Ok(Request { input: Some(input) }) = request else { return request.is_err() };
    // Else it is a text.
    let has_items = input.get().starts_with('[');
    let items: Result<Vec<Item<'_>>, _> = serde_json::from_str(input.get());
    has_items && items.map_or(true, |items| items.iter().any(Item::is_kept))
}

/// An item of a response's input.
#[derive(Deserialize)]
struct Item<'a> {
    #[serde(default)]
    id: Option<IgnoredAny>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    role: Option<IgnoredAny>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    encrypted_content: Option<Cow<'a, str>>,
}

impl Item<'_> {
    fn is_kept(&self) -> bool {
        match self.kind.as_deref() {
            Some("reasoning") => {
                let is_sealed = self.encrypted_content.as_deref().is_some_and(|sealed| !sealed.is_empty());
                let told = self.content.and_then(|content| content.get().strip_prefix('['));
                let is_told = told.is_some_and(|items| !items.trim_start().starts_with(']'));
                self.id.is_some() && !is_sealed && !is_told
            }
            Some(_) => false,
            None => self.role.is_none() || self.content.is_none(),
        }
    }
}

fn is_carried(kind: &[u8]) -> bool {
    CARRIED.contains(&kind) || CARRIED_TOOLS.iter().any(|tool| kind.starts_with(tool))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_body_is_not_fetched() {
        for body in [
            r#"{"messages":[{"role":"user","content":"an \"image_url\" of type \"image\""}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"Hi","cache_control":{"type":"ephemeral"}}]}]}"#,
            r#"{"messages":[{"role":"assistant","content":"a","audio":null,"images":[ ]}],"previous_response_id":null}"#,
            r#"{"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{
                "type":{"type":["string","null"]},"file_path":{"type":"string"},"image":{"type":"string","default":"x"}}}}}]}"#,
            r#"{"tools":[{"name":"f","input_schema":{"type":"object","properties":{"video":{}}}},{"type":"bash_20250124"}]}"#,
            r#"{"messages":[{"content":[{"type":"tool_use","id":"1","name":"f","input":{"type":"bug","file":"a"}},
                {"type":"tool_result","content":[{"type":"text","text":"a"}]},{"type":"thinking","thinking":"a"}]}]}"#,
            r#"{"input":[{"type":"message","content":[{"type":"input_text","text":"a"}]},{"type":"reasoning","summary":[]},
                {"type":"function_call","arguments":"{}"}],"text":{"format":{"type":"json_schema","schema":{"type":"x"}}}}"#,
            r#"{"messages":[{"content":[{"toolUse":{"input":{"image":1}}},{"cachePoint":{"type":"default"}}]}],
                "toolConfig":{"tools":[{"toolSpec":{"inputSchema":{"json":{"type":"object"}}}}]}}"#,
            r#"{"prompt":"a"}"#,
            r#"{"audio":{"voice":"alloy","format":"wav"},"modalities":["text","audio"]}"#,
            r#"{"messages":[{"content":[{"type":"tool_use","id":"t","name":"f","input":{},"caller":{"type":"direct"}}]}]}"#,
            r#"{"input":[{"type":"apply_patch_call","operation":{"type":"create_file"}},{"type":"local_shell_call","action":{"type":"exec","env":{"file":"a"}}}]}"#,
            r#"{"serviceTier":{"type":"flex"},"requestMetadata":{"type":"batch"}}"#,
            r#"{"tools":[{"name":"f","input_examples":[{"file_path":"a"}],"output_schema":{"anyOf":[{"type":["string","null"]}]}}]}"#,
            r#"{"prompt":["a"],"metadata":{"type":"x","file":"y"}}"#,
            r#"{"thinking":{"type":"enabled"},"context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]}}"#,
        ] {
            assert!(!is_fetched(body.as_bytes(), Dialect::OpenAiChat), "{body}");
        }
    }

    #[test]
    fn what_a_provider_kept_is_fetched() {
        for (item, want) in [
            (r#"{"id":"msg_1"}"#, true),
            (r#"{"id":"msg_1","type":null}"#, true),
            (r#"{"type":"item_reference","id":"msg_1"}"#, true),
            (r#"{"type":"reasoning","id":"rs_1","summary":[]}"#, true),
            (r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":null,"content":[]}"#, true),
            (r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAAA"}"#, false),
            (r#"{"type":"reasoning","id":"rs_1","content":[{"type":"reasoning_text","text":"a"}]}"#, false),
            (
                r#"{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"a"}]}"#,
                false,
            ),
            (r#"{"role":"user","content":"a"}"#, false),
            // What cannot be read hides nothing that stands beside it.
            (r#"{"id":"msg_1"},{"role":"user","content":"a","encrypted_content":7}"#, true),
            (r#"{"id":"msg_1"},{"type":["message"],"role":"user"}"#, true),
            (r#"{"id":"msg_1"},7"#, true),
            (
                r#"{"type":"function_call","id":"fc_1","name":"f","arguments":"{}","caller":{"type":"direct"}}"#,
                false,
            ),
        ] {
            let body = format!(r#"{{"model":"m","input":[{item}]}}"#);
            assert_eq!(is_fetched(body.as_bytes(), Dialect::OpenAiResponses), want, "{body}");
        }
        assert!(!is_fetched(br#"{"model":"m","input":"a"}"#, Dialect::OpenAiResponses));
    }

    #[test]
    fn what_a_provider_fetches_runs_or_remembers_is() {
        for part in [
            r#"{"type":"image_url","image_url":{"url":"https://e.x/a.png"}}"#,
            r#"{"type":"\u0069mage_url"}"#,
            r#"{"\u0074ype":"image_url"}"#,
            r#"{"Type":"image_url"}"#,
            r#"{"type":"text","type":"x_url"}"#,
            r#"{"type":["image_url"]}"#,
            r#"{"\u0069mage_url":"https://e.x/a.png"}"#,
            r#"{"Image_URL":"https://e.x/a.png"}"#,
            r#"{"type":"video_url"}"#,
            r#"{"type":"audio_url"}"#,
            r#"{"type":"document","source":{"type":"url"}}"#,
            r#"{"type":"tool_result","content":[{"type":"image"}]}"#,
            r#"{"type":"item_reference","id":"msg_1"}"#,
            r#"{"type":"of_the_future"}"#,
            r#"{"image":{"source":{"s3Location":{"uri":"s3://a"}}}}"#,
            r#"{"video":{}}"#,
        ] {
            for field in ["messages", "input", "tools", "system"] {
                let body = format!(r#"{{"{field}":[{{"content":[{part}]}}]}}"#);
                assert!(is_fetched(body.as_bytes(), Dialect::OpenAiChat), "{body}");
            }
        }
        for body in [
            r#"{"tools":[{"type":"web_search_20250305"}]}"#,
            r#"{"tools":[{"type":"web_fetch_20250910"}]}"#,
            r#"{"tools":[{"type":"code_execution_20250825"}]}"#,
            r#"{"tools":[{"type":"shell"}]}"#,
            r#"{"tools":[{"type":"computer_use_preview"}]}"#,
            r#"{"tools":[{"type":"file_search","vector_store_ids":["a"]}]}"#,
            r#"{"tools":[{"type":"mcp"}]}"#,
            r#"{"enable_search":true}"#,
            r#"{"extra_body":{"google":{"cached_content":"cachedContents/1"}}}"#,
            r#"{"parameters":{"file":"a"}}"#,
            r#"{"google":{"cachedContent":"a"}}"#,
            r#"{"container":"c_1"}"#,
            r#"{"\u0063ontainer":"c_1"}"#,
            r#"{"prompt":{"id":"pmpt_1"}}"#,
            r#"{"previous_response_id":"resp_1"}"#,
            r#"{"conversation":"conv_1"}"#,
            r#"{"web_search_options":{}}"#,
            r#"{"mcp_servers":[{}]}"#,
            r#"{"input":{"image":"https://e.x/a.png"}}"#,
            r#"{"input":[{"image":"https://e.x/a.png"}]}"#,
            r#"{"toolConfig":{"tools":[{"systemTool":{"name":"nova_grounding"}}]}}"#,
            r#"{"additionalModelRequestFields":{"tools":[{"type":"web_search_20250305"}]}}"#,
        ] {
            assert!(is_fetched(body.as_bytes(), Dialect::OpenAiChat), "{body}");
        }
    }
}
