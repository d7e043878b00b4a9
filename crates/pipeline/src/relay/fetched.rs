//! Whether all that a caller's own request adds to the input is in its body, in any dialect. What is not known to be so counts
//! as fetched: pictures and files, earlier answers, what a provider runs itself, and whatever comes after those.

use wire::json::{Look, Named, names};

/// Kinds of parts, of tools, and of what is said of both, that carry all that they add: texts, calls and their results (the parts of
/// which have kinds of their own), tools that callers run, the kinds of JSON schemas, settings.
const CARRIED: [&[u8]; 60] = [
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
    b"custom",
    b"custom_tool_call",
    b"custom_tool_call_output",
    b"default",
    b"disabled",
    b"enabled",
    b"ephemeral",
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
    b"reasoning",
    b"reasoning.encrypted",
    b"reasoning.summary",
    b"reasoning.text",
    b"reasoning_text",
    b"redacted_thinking",
    b"refusal",
    b"string",
    b"structural_tag",
    b"summary_text",
    b"text",
    b"thinking",
    b"thinking_turns",
    b"tool",
    b"tool_result",
    b"tool_use",
    b"tool_uses",
    b"url_citation",
];
/// How the kinds of tools begin that Anthropic names with their day, and callers run.
const CARRIED_TOOLS: [&[u8]; 3] = [b"bash_", b"memory_", b"text_editor_"];

/// Names of fields, or how they begin, that point to something, or hold a picture or the like, wherever they stand.
const POINTERS: [&[u8]; 18] = [
    b"audio",
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
const ADDING: [&[u8]; 12] = [
    b"container",
    b"conversation",
    b"conversation_id",
    b"data_sources",
    b"mcp_servers",
    b"plugins",
    b"previous_response_id",
    b"prompt_id",
    b"promptvariables",
    b"search_parameters",
    b"web_search",
    b"web_search_options",
];
/// Fields whose objects are a caller's own JSON, which nobody looks into: schemas, arguments of calls, their results.
const OWN: [&[u8]; 11] = [
    b"$defs",
    b"arguments",
    b"definitions",
    b"guided_json",
    b"input",
    b"input_schema",
    b"json",
    b"metadata",
    b"parameters",
    b"properties",
    b"schema",
];

/// Whether the input of a request with this body, which was checked to be JSON, may be more than the body.
pub(super) fn is_fetched(body: &[u8]) -> bool {
    let mut found = false;
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
    // At the top `input` is the request's own text, of a dialect that may have parts in it.
    if is_object && OWN.contains(&name) && (named.depth > 1 || name != b"input") {
        return Look::Past;
    }
    // Some providers take names in any case.
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    let begins = |known: &&[u8]| name.get(..known.len()).is_some_and(|name| name.eq_ignore_ascii_case(known));
    let is_carried = match named.depth {
        _ if is(b"type") => named.text().is_some_and(|kind| is_carried(&kind)),
        1 if is(b"prompt") => !is_object,
        1 if ADDING.iter().any(|known| is(known)) => false,
        _ => !POINTERS.iter().any(begins),
    };
    if is_carried || named.is_empty() { Look::Within } else { Look::No }
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
            r#"{"prompt":["a"],"metadata":{"type":"x","file":"y"}}"#,
            r#"{"thinking":{"type":"enabled"},"context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]}}"#,
        ] {
            assert!(!is_fetched(body.as_bytes()), "{body}");
        }
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
                assert!(is_fetched(body.as_bytes()), "{body}");
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
            assert!(is_fetched(body.as_bytes()), "{body}");
        }
    }
}
