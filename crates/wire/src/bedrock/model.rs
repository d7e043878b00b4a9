//! Whose model an id names: makers differ in what their models take beside what Converse has a place for.

/// Who made a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// Anthropic: Claude.
    Claude,
    /// Amazon: Nova.
    Nova,
    /// Amazon: Titan, text and embeddings.
    Titan,
    /// OpenAI's open models.
    Gpt,
    /// Anyone else, or an id that does not say, as that of a provisioned model.
    Other,
}

/// Who made the model of this id: a plain one, one of an inference profile, or an ARN that ends with one.
#[must_use]
pub fn maker(id: &str) -> Maker {
    // The account and the region of an ARN are no part of the model's name.
    let name = id.rsplit('/').next().unwrap_or(id);
    let has = |part: &str| name.contains(part);
    match () {
        () if has("claude") => Maker::Claude,
        () if has("amazon.nova") => Maker::Nova,
        () if has("amazon.titan") => Maker::Titan,
        () if has("openai.gpt") => Maker::Gpt,
        () => Maker::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_who_made_the_model() {
        for (id, want) in [
            ("anthropic.claude-3-5-sonnet-20241022-v2:0", Maker::Claude),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", Maker::Claude),
            ("arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.amazon.nova-pro-v1:0", Maker::Nova),
            ("arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-text-express-v1", Maker::Titan),
            ("amazon.titan-embed-text-v2:0", Maker::Titan),
            ("openai.gpt-oss-120b-1:0", Maker::Gpt),
            ("meta.llama3-70b-instruct-v1:0", Maker::Other),
            (
                "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/claude12345ab/abcdefghijkl",
                Maker::Other,
            ),
        ] {
            assert_eq!(maker(id), want, "{id}");
        }
    }
}
