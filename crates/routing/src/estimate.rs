//! About what a call used whose provider accepted it and did not say, or not all of it: cut, cancelled, or silent about it.
//!
//! The rule (docs/costs.md tells it to users): a token for every four bytes begun of UTF-8 text, of what was asked and
//! of what was said until then; four tokens more for each message. In a caller's own body its JSON counts as text, and
//! each long run of base64 (an image) as 1,000 tokens.

use std::sync::Arc;

use domain::chat::{ChatRequest, Relayed};
use domain::token::{TokenCount, Usage};

const BYTES_A_TOKEN: u64 = 4;
const TOKENS_A_MESSAGE: u64 = 4;
const TOKENS_AN_IMAGE: u64 = 1_000;

/// A run of so many letters and digits without a space is no text.
const BASE64_BYTES_MIN: usize = 512;

/// What a call asks, for the case that its size must be estimated.
#[derive(Clone)]
pub(crate) enum Prompt {
    Texts(Arc<ChatRequest>),
    Body(Arc<Relayed>),
}

/// About what a call used that asked `prompt` and has got `said` bytes of an answer.
pub(crate) fn usage(prompt: &Prompt, said: u64) -> Usage {
    let input = match prompt {
        Prompt::Texts(request) => texts(request),
        Prompt::Body(relayed) => body(relayed),
    };
    Usage::of(input, count(text_tokens(said)))
}

/// What a call used whose provider stated `stated` before the answer broke off: what was read as it says, what was said as
/// it says or as it is `estimated`, whichever is more.
pub(crate) fn beyond(stated: Usage, estimated: Usage) -> Usage {
    let output = stated.output.max(estimated.output);
    match stated.input {
        // No call reads nothing: it has not said it yet.
        TokenCount(0) => Usage { output, reasoning_output: stated.reasoning_output, ..estimated },
        _ => Usage { output, ..stated },
    }
}

/// About how many tokens a request of texts has.
pub(crate) fn texts(request: &ChatRequest) -> TokenCount {
    let tokens = |bytes: usize| text_tokens(bytes as u64).saturating_add(TOKENS_A_MESSAGE);
    count(request.messages.iter().map(|message| tokens(message.text.len())).fold(0, u64::saturating_add))
}

/// About how many tokens a caller's own request has.
pub(crate) fn body(relayed: &Relayed) -> TokenCount {
    count(body_tokens(&relayed.body))
}

fn count(tokens: u64) -> TokenCount {
    TokenCount(u32::try_from(tokens).unwrap_or(u32::MAX))
}

fn text_tokens(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_A_TOKEN)
}

fn body_tokens(body: &[u8]) -> u64 {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte);
    let (mut n_text, mut n_images) = (0_u64, 0_u64);
    for run in body.chunk_by(|a, b| is_base64(a) == is_base64(b)) {
        match run.first().is_some_and(is_base64) && run.len() >= BASE64_BYTES_MIN {
            true => n_images = n_images.saturating_add(1),
            false => n_text = n_text.saturating_add(run.len() as u64),
        }
    }
    text_tokens(n_text).saturating_add(n_images.saturating_mul(TOKENS_AN_IMAGE))
}

#[cfg(test)]
mod tests {
    use domain::chat::{Message, Role};

    use super::*;

    #[test]
    fn texts_are_four_bytes_a_token_and_four_tokens_a_message() {
        for (texts, said, want) in [
            (&[][..], 0, (0, 0)),
            (&["abcde"], 1, (6, 1)),
            (&["abcd", "é"], 9, (10, 3)), // two bytes are a token begun
            (&[""], u64::MAX, (4, u32::MAX)),
        ] {
            let messages = texts.iter().map(|text| Message::new(Role::User, *text)).collect();
            let request = Arc::new(ChatRequest { messages, ..ChatRequest::default() });
            let used = usage(&Prompt::Texts(request), said);
            assert_eq!((used.input.0, used.output.0), want, "{texts:?}");
        }
    }

    #[test]
    fn an_image_is_not_read_as_text() {
        let text = r#"{"text":"What is this?","image":"data:image/png;base64,"#;
        let image = format!("{text}{}\"}}", "iVBORw0KGgo/".repeat(10_000));
        assert_eq!(body_tokens(text.as_bytes()), 14);
        assert_eq!(body_tokens(image.as_bytes()), 1_015);
        let long_word = "a".repeat(BASE64_BYTES_MIN - 1);
        assert_eq!(body_tokens(long_word.as_bytes()), 128);
    }
}
