//! `GET /openapi.json`: every path of the server, for machines.

use axum::response::{IntoResponse, Response};
use http::header;

const DOCUMENT: &str = include_str!("../openapi.json");

pub(crate) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::doors::{self, Door};

    /// The paths and methods of the table of doors.
    fn registered() -> Vec<(String, String)> {
        let door = |door: Door| (door.path.replace("{*", "{"), door.method.as_str().to_lowercase());
        doors::all().into_iter().map(door).collect()
    }

    #[test]
    fn the_document_holds_exactly_what_is_served() {
        let document: Value = serde_json::from_str(DOCUMENT).expect("JSON");
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let paths = document["paths"].as_object().expect("an object");
        let mut documented: Vec<(String, String)> = paths
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().expect("an object").keys();
                methods.map(move |method| (path.clone(), method.clone()))
            })
            .collect();
        let mut registered = registered();
        documented.sort();
        registered.sort();
        assert_eq!(documented, registered);
        assert!(registered.len() > 10, "{registered:?}");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    fields.values().for_each(|value| references(value, found));
                }
                Value::Array(values) => values.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document: Value = serde_json::from_str(DOCUMENT).expect("JSON");
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("within the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
