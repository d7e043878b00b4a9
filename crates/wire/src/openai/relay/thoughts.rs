//! Thoughts in the messages of a request that is passed on to a provider that refuses them: answers of other models that
//! a caller sends back as they came.

use memchr::memmem;
use serde_json::value::RawValue;

use crate::json;
use crate::request::LIMITS;

const FIELDS: [&str; 2] = ["reasoning_content", "reasoning_details"];

/// The list `messages` without them; `None` when there are none.
pub(super) fn without(messages: &[u8]) -> Option<String> {
    // Nearly no request has any, and finding that out is cheap.
    memmem::find(messages, b"\"reasoning_")?;
    let list: Vec<&RawValue> = serde_json::from_slice(messages).ok()?;
    let mut is_changed = false;
    let mut kept = String::with_capacity(messages.len());
    for (index, message) in list.into_iter().enumerate() {
        kept.push(if index == 0 { '[' } else { ',' });
        match rest(message.get()) {
            Some(rest) => {
                is_changed = true;
                kept.push_str(&rest);
            }
            None => kept.push_str(message.get()),
        }
    }
    kept.push(']');
    is_changed.then_some(kept)
}

/// The other fields of a message, their values byte for byte; `None` when there are only others.
fn rest(message: &str) -> Option<String> {
    let fields = json::fields(message.as_bytes(), LIMITS).ok()?;
    let others: Vec<_> = fields.iter().filter(|field| !FIELDS.contains(&&*field.key)).collect();
    if others.len() == fields.len() {
        return None;
    }
    let said = others.into_iter().map(|field| {
        let value = message.get(field.value.clone()).unwrap_or_default();
        format!("{}:{value}", serde_json::Value::from(&*field.key))
    });
    Some(format!("{{{}}}", said.collect::<Vec<_>>().join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_thoughts_are_left_out() {
        for (messages, want) in [
            (r#"[{"role":"user","content":"\"reasoning_content\""}]"#, None),
            (r#"[{"role":"user","content":[{"reasoning_content":1}]}]"#, None),
            (r#"{"reasoning_content":1}"#, None),
            (r#"["reasoning_content"]"#, None),
            (
                r#"[ {"role" : "user"}, {"role":"assistant","reasoning_content":"Hm.","content":"\u00e9", "x" : 1.50,"reasoning_details":[{"a":[]}]} ,7]"#,
                Some(r#"[{"role" : "user"},{"role":"assistant","content":"\u00e9","x":1.50},7]"#),
            ),
            (r#"[{"reasoning_details":null}]"#, Some("[{}]")),
        ] {
            assert_eq!(without(messages.as_bytes()).as_deref(), want, "{messages}");
        }
    }
}
