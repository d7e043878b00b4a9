//! Checks that the native bodies share.

use serde_json::{Map, Value};

use crate::problem::Problem;

/// Longest id or name that a caller may send, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// A text that says something.
pub(crate) fn non_empty(field: &str, text: String) -> Result<String, Problem> {
    if text.trim().is_empty() {
        return Err(Problem::bad_field(format!("field `{field}`: write something; it is empty")));
    }
    Ok(text)
}

/// An id or name: short, printable.
pub(crate) fn name(field: &str, value: Option<String>) -> Result<Option<String>, Problem> {
    let Some(value) = value else { return Ok(None) };
    if value.is_empty() || value.len() > NAME_BYTES_MAX || value.chars().any(char::is_control) {
        return Err(Problem::bad_field(format!(
            "field `{field}`: 1 to {NAME_BYTES_MAX} bytes without control characters"
        )));
    }
    Ok(Some(value))
}

/// One of two names of the same field.
pub(crate) fn either<T>(
    (first_name, first): (&str, Option<T>),
    (second_name, second): (&str, Option<T>),
) -> Result<Option<T>, Problem> {
    match (first, second) {
        (Some(_), Some(_)) => Err(Problem::bad_field(format!(
            "send `{first_name}` or `{second_name}`, not both: they are the same field"
        ))),
        (first, second) => Ok(first.or(second)),
    }
}

/// Metadata as it is kept.
pub(crate) fn metadata(metadata: Option<Map<String, Value>>) -> Option<String> {
    metadata.map(|metadata| Value::Object(metadata).to_string())
}
