//! What is not there: the model or the address that Mainstay was told of, or something that a request names.
//!
//! Providers say both with one status and one type. A model that is gone is shut for everybody; a file or an item that one
//! caller named must not be.

/// Whether `message`, of an error that says that something is not there, speaks of the model or of the address. Only how it
/// begins counts: what a caller wrote may stand in it.
pub(crate) fn is_target(message: &str) -> bool {
    let message = message.trim().to_ascii_lowercase();
    let subject = message.strip_prefix("the ").unwrap_or(&message);
    // Without a subject nothing was found there at all.
    ["", "not found", "not found.", "file not found", "resource not found"].contains(&subject)
        || ["model", "deployment", "publisher model", "requested model"]
            .iter()
            .any(|target| subject.starts_with(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_sentence_begins_tells_what_is_not_there() {
        for (message, want) in [
            ("The model `m` does not exist or you do not have access to it.", true),
            ("model: claude-0", true),
            ("models/m is not found for API version v1beta", true),
            ("Publisher Model `m` was not found", true),
            ("Not found", true),
            (" ", true),
            ("File not found: file_model", false),
            ("Item with id 'model' not found.", false),
            ("Vector store with id 'vs_1' not found.", false),
        ] {
            assert_eq!(is_target(message), want, "{message}");
        }
    }
}
