//! How much a caller's own request may use, from its bytes: an upper bound, found without reading what its texts say.

use domain::chat::{Dialect, FieldSpan, Relayed, Tools};
use domain::spending::{Input, Weight};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::fetched::is_fetched;

/// Names of the field that limits an answer.
const OUTPUT_LIMITS: [&str; 4] =
    ["max_tokens", "max_completion_tokens", "max_output_tokens", "max_tokens_to_sample"];
/// Names of objects, in Bedrock's dialects, that hold that limit.
const NESTED: [&str; 2] = ["inferenceConfig", "textGenerationConfig"];

/// Such an object. Two names for one limit make it unreadable.
#[derive(Deserialize)]
struct Nested<'a> {
    #[serde(rename = "maxTokens", alias = "max_new_tokens", alias = "maxTokenCount", borrow)]
    most: Option<&'a RawValue>,
}

/// What a request says of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    AtMost(u32),
    /// Something that a provider may read, and that is no number here: nothing is taken for granted.
    Unclear,
}

impl Said {
    /// Some providers take a number in quotes, or one written as `5e3`.
    fn read(json: &str) -> Self {
        let json = json.trim();
        if json == "null" {
            return Self::Nothing;
        }
        let quoted = json.strip_prefix('"').and_then(|json| json.strip_suffix('"'));
        let digits = quoted.unwrap_or(json).trim();
        if let Ok(number) = digits.parse() {
            return Self::AtMost(narrow(number));
        }
        match digits.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => {
                // Beyond 64 bits there is no difference any more.
                let whole = format!("{:.0}", number.ceil()).parse().unwrap_or(u64::MAX);
                Self::AtMost(narrow(whole))
            }
            _ => Self::Unclear,
        }
    }

    /// Where two say it, the provider chooses: the larger one is the bound.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unclear, _) | (_, Self::Unclear) => Self::Unclear,
            (Self::AtMost(one), Self::AtMost(other)) => Self::AtMost(one.max(other)),
            (said, Self::Nothing) | (Self::Nothing, said) => said,
        }
    }
}

/// The fields that ask for more than one answer: `best_of` are made, and `n` of them shown.
const ANSWERS: [&str; 2] = ["n", "best_of"];
/// The field that may hold several prompts, each of which is answered so often.
const PROMPT: &str = "prompt";
/// What providers say to a model beside the body when it may call tools (Anthropic: up to 346 tokens, 245 more for its tool of
/// the shell, 700 for that of texts, platform docs, 2026-11), and the names of roles.
const AROUND_TOKENS: u32 = 64;
const AROUND_TOOLS_TOKENS: u32 = 2_048;

/// The weight of `relayed`. No tokenizer makes more tokens of a text than it has bytes, and JSON only adds to them.
pub(super) fn of(relayed: &Relayed) -> Weight {
    if relayed.dialect == Dialect::AnthropicCountTokens {
        // Counting is free.
        return Weight { input: Input::AtMost(0), output_max: Some(0), answers: 1 };
    }
    let around = if relayed.tools == Tools::Named { AROUND_TOOLS_TOKENS } else { AROUND_TOKENS };
    let bytes = u32::try_from(relayed.body.len()).unwrap_or(u32::MAX).saturating_add(around);
    let json = |field: &FieldSpan| std::str::from_utf8(relayed.body.get(field.value.clone())?).ok();
    let said = |field: &FieldSpan| json(field).map_or(Said::Unclear, Said::read);
    let nested = |field: &FieldSpan| {
        let object = json(field).and_then(|json| serde_json::from_str::<Nested<'_>>(json).ok());
        object
            .map_or(Said::Unclear, |object| object.most.map_or(Said::Nothing, |most| Said::read(most.get())))
    };
    let all = |names: &[&str], said: &dyn Fn(&FieldSpan) -> Said| {
        let found = relayed.fields.iter().filter(|field| names.contains(&field.name)).map(said);
        found.fold(Said::Nothing, Said::or)
    };
    let is_answered = relayed.dialect != Dialect::OpenAiEmbeddings;
    Weight {
        input: if is_fetched(&relayed.body, relayed.dialect) {
            Input::UpToContext(bytes)
        } else {
            Input::AtMost(bytes)
        },
        output_max: match all(&OUTPUT_LIMITS, &said).or(all(&NESTED, &nested)) {
            _ if !is_answered => Some(0),
            Said::AtMost(most) => Some(most),
            Said::Nothing | Said::Unclear => None,
        },
        answers: match all(&ANSWERS, &said) {
            Said::Nothing => prompts(relayed),
            Said::AtMost(each) => each.max(1).saturating_mul(prompts(relayed)),
            Said::Unclear => u32::MAX,
        },
    }
}

/// How many prompts a body holds: a list of texts, or of lists of tokens, holds several.
fn prompts(relayed: &Relayed) -> u32 {
    let field = relayed.fields.iter().find(|field| field.name == PROMPT);
    let list = field.and_then(|field| relayed.body.get(field.value.clone()));
    let Some(list) =
        list.filter(|list| relayed.dialect == Dialect::OpenAiCompletions && list.starts_with(b"["))
    else {
        return 1;
    };
    let is_one =
        list.get(1..).is_some_and(|rest| rest.trim_ascii_start().first().is_some_and(u8::is_ascii_digit));
    let several = serde_json::from_slice::<Vec<IgnoredAny>>(list).map_or(1, |all| all.len());
    if is_one { 1 } else { u32::try_from(several).unwrap_or(u32::MAX).max(1) }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_body_is_weighed_by_its_bytes_and_what_it_asks_for() {
        for (body, is_fetched, output_max, answers) in [
            (r#"{"model":"x","messages":[]}"#, false, None, 1),
            (r#"{"model":"x","max_tokens":7,"messages":[]}"#, false, Some(7), 1),
            (r#"{"model":"x","max_tokens":7,"max_completion_tokens":9,"n":3}"#, false, Some(9), 3),
            (r#"{"model":"x","max_tokens":null,"n":0}"#, false, None, 1),
            (r#"{"model":"x","max_tokens":99999999999}"#, false, Some(u32::MAX), 1),
            (r#"{"model":"x","max_tokens":1,"max_completion_tokens":5e3}"#, false, Some(5_000), 1),
            (r#"{"model":"x","max_tokens":1,"max_completion_tokens":"5000"}"#, false, Some(5_000), 1),
            (r#"{"model":"x","max_tokens":1,"max_completion_tokens":4999.5}"#, false, Some(5_000), 1),
            (r#"{"model":"x","max_tokens":1e300}"#, false, Some(u32::MAX), 1),
            (r#"{"model":"x","max_tokens":1,"max_completion_tokens":"5_000"}"#, false, None, 1),
            (r#"{"model":"x","max_tokens":1,"max_completion_tokens":-1}"#, false, None, 1),
            (r#"{"model":"x","max_tokens":1,"max_completion_tokens":[5000]}"#, false, None, 1),
            (r#"{"model":"x","max_tokens":7,"n":1e2}"#, false, Some(7), 100),
            (r#"{"model":"x","max_tokens":7,"n":"100"}"#, false, Some(7), 100),
            (r#"{"model":"x","max_tokens":7,"n":true}"#, false, Some(7), u32::MAX),
            (r#"{"model":"x","messages":[{"content":[{"type":"image_url"}]}]}"#, true, None, 1),
            (r#"{"model":"x","web_search_options":{}}"#, true, None, 1),
        ] {
            let asked = wire::openai::relay::read(Bytes::from_static(body.as_bytes())).expect(body);
            let weight = of(&asked);
            let (Input::AtMost(bytes) | Input::UpToContext(bytes)) = weight.input;
            assert!(usize::try_from(bytes).expect("small") >= body.len(), "{body}");
            assert_eq!(matches!(weight.input, Input::UpToContext(_)), is_fetched, "{body}");
            assert_eq!((weight.output_max, weight.answers), (output_max, answers), "{body}");
        }
    }

    #[test]
    fn every_answer_to_every_prompt_of_older_completions_counts() {
        for (fields, want) in [
            (r#""prompt":"a""#, 1),
            (r#""prompt":"a","n":2,"best_of":5"#, 5),
            (r#""prompt":["a","b"],"n":3"#, 6),
            (r#""prompt":[ 1,2,3 ]"#, 1), // the tokens of one
            (r#""prompt":[[1],[2,3]],"best_of":4"#, 8),
            (r#""prompt":[]"#, 1),
        ] {
            let body = Bytes::from(format!(r#"{{"model":"x",{fields}}}"#));
            let asked = wire::openai::completions::read(body).expect(fields);
            assert_eq!(of(&asked).answers, want, "{fields}");
        }
    }

    #[test]
    fn vectors_have_no_answer_and_counting_is_free() {
        let body = Bytes::from_static(br#"{"model":"x","input":"a","max_tokens":9}"#);
        let asked = wire::openai::embeddings::read(body).expect("valid");
        let weight = of(&asked);
        assert!(matches!(weight.input, Input::AtMost(bytes) if bytes >= 40) && weight.output_max == Some(0));
        let body = Bytes::from_static(br#"{"model":"x","messages":[]}"#);
        let dialect = Dialect::AnthropicCountTokens;
        let asked = wire::anthropic::relay::read(body, dialect, Vec::new()).expect("valid");
        assert_eq!(of(&asked), Weight { input: Input::AtMost(0), output_max: Some(0), answers: 1 });
    }

    #[test]
    fn limits_that_stand_deeper_are_found() {
        for (body, want) in [
            (r#"{"messages":[],"inferenceConfig":{"maxTokens":200,"topP":1}}"#, Some(200)),
            (r#"{"messages":[],"inferenceConfig":{"topP":1}}"#, None),
            (r#"{"messages":[],"inferenceConfig":{"maxTokens":200,"max_new_tokens":1}}"#, None),
            (r#"{"messages":[{"maxTokens":5}]}"#, None),
            (r#"{"messages":[],"inferenceConfig":{"maxTokens":2e2}}"#, Some(200)),
            (r#"{"messages":[],"inferenceConfig":{"maxTokens":"200"}}"#, Some(200)),
            (r#"{"messages":[],"inferenceConfig":"200"}"#, None),
        ] {
            let body = Bytes::from_static(body.as_bytes());
            let model = ("x".to_owned(), domain::chat::Delivery::Whole);
            let asked = wire::bedrock::converse::relay::read(body, model).expect("valid");
            assert_eq!(of(&asked).output_max, want);
        }
    }
}
