//! `GET /v1/models` and `/v1/models/{id}` as Anthropic's SDKs read them.

use axum::Json;
use registry::clients::Listed;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::dialect::refusal::Refusal;
use crate::head::Head;
use crate::openai::models::{find, listed, snapshot};
use crate::parameters::Parameters;
use crate::path::Path;

/// Which part of the list.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Page {
    after_id: Option<String>,
    before_id: Option<String>,
    limit: Option<usize>,
}

/// Most entries of a page, and how many it has when the caller does not say.
const PAGE_MAX: usize = 1_000;
const PAGE: usize = 20;

pub(crate) async fn list(head: Head, Parameters(page): Parameters<Page>) -> Result<Json<Value>, Refusal> {
    page_of(&listed(&*snapshot(&head).await?, &head.caller), &page)
}

pub(crate) async fn show(head: Head, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let snapshot = snapshot(&head).await?;
    Ok(Json(model(&find(&snapshot, &head.caller, id)?)))
}

/// A page of `listed`.
fn page_of(listed: &[Listed], page: &Page) -> Result<Json<Value>, Refusal> {
    let limit = page.limit.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Refusal::field("limit", "1 to 1000"));
    }
    let position = |id: &String| listed.iter().position(|listed| listed.name == *id);
    let unknown = || Refusal::field("after_id", "the id of a model in this list");
    let start = match &page.after_id {
        Some(id) => position(id).ok_or_else(unknown)? + 1,
        None => 0,
    };
    let end = match &page.before_id {
        Some(id) => position(id).ok_or_else(unknown)?,
        None => listed.len(),
    };
    let (start, end, has_more) = match page.before_id {
        // The page that ends there.
        Some(_) => (end.saturating_sub(limit), end, end > limit),
        None => (start, (start + limit).min(end), start + limit < end),
    };
    let found = listed.get(start..end).unwrap_or_default();
    Ok(Json(json!({
        "data": found.iter().map(model).collect::<Vec<_>>(),
        "has_more": has_more,
        "first_id": found.first().map(|listed| &listed.name),
        "last_id": found.last().map(|listed| &listed.name),
    })))
}

/// When a model was made is not known here; the format has the epoch for that.
fn model(listed: &Listed) -> Value {
    json!({
        "type": "model",
        "id": listed.name,
        "display_name": listed.name,
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(page: &Page) -> (Vec<String>, Value) {
        let names = ["a", "b", "c"].map(|name| Listed { name: name.to_owned(), owner: "x".to_owned() });
        let Json(body) = page_of(&names, page).expect("a page");
        let ids = body["data"].as_array().expect("a list").iter();
        (
            ids.map(|model| model["id"].as_str().expect("a name").to_owned()).collect(),
            body["has_more"].clone(),
        )
    }

    #[test]
    fn lists_come_in_pages() {
        let id = |id: &str| Some(id.to_owned());
        for (page, want, has_more) in [
            (Page::default(), "abc", false),
            (Page { limit: Some(2), ..Page::default() }, "ab", true),
            (Page { limit: Some(2), after_id: id("b"), ..Page::default() }, "c", false),
            (Page { limit: Some(1), before_id: id("c"), ..Page::default() }, "b", true),
            (Page { before_id: id("c"), ..Page::default() }, "ab", false),
        ] {
            assert_eq!(ids(&page), (want.chars().map(String::from).collect(), json!(has_more)), "{page:?}");
        }
        for page in
            [Page { limit: Some(0), ..Page::default() }, Page { after_id: id("x"), ..Page::default() }]
        {
            assert!(page_of(&[], &page).is_err());
        }
    }
}
