//! Which door a request is for. It is found once, so that what is guarded is what answers.

use std::future::ready;
use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::{HeaderValue, Method, header};
use matchit::Router;

use crate::doors::{Answering, Door, Guard};
use crate::path::Sent;
use crate::problem::Problem;
use crate::server::Api;

/// All doors, by their paths.
pub(crate) struct Doors(Router<Place>);

/// A path of the table.
struct Place {
    path: &'static str,
    doors: Vec<Door>,
}

/// What is at a request's path.
pub(crate) struct Found<'a> {
    place: Option<&'a Place>,
    door: Option<&'a Door>,
    sent: Option<Sent>,
}

impl Doors {
    /// Those of the table; the tests find each of them.
    pub(crate) fn of(doors: Vec<Door>) -> Self {
        let mut places: Vec<Place> = Vec::new();
        for door in doors {
            match places.iter_mut().find(|place| place.path == door.path) {
                Some(place) => place.doors.push(door),
                None => places.push(Place { path: door.path, doors: vec![door] }),
            }
        }
        let mut router = Router::new();
        for place in places {
            let path = place.path;
            if let Err(error) = router.insert(path, place) {
                tracing::error!(%error, path, "a door stands in another's way and stays shut");
            }
        }
        Self(router)
    }

    /// The door for `method` at `path`. `HEAD` is asked at the door of `GET`.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let Ok(matched) = self.0.at(path) else { return Found { place: None, door: None, sent: None } };
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let door = matched.value.doors.iter().find(|door| door.method == method);
        Found { place: Some(matched.value), door, sent: Sent::of(matched.value.path, &matched.params) }
    }
}

impl Found<'_> {
    /// The path as the table writes it.
    pub(crate) fn path(&self) -> &'static str {
        self.place.map_or("unmatched", |place| place.path)
    }

    /// What it takes to pass. What no door is made for takes a key, too: strangers learn nothing of what there is.
    pub(crate) fn guard(&self) -> Guard {
        self.door.map_or(Guard::AnyKey, |door| door.guard)
    }

    /// The reply to a request that was let in.
    pub(crate) fn answer(self, mut request: Request, api: Arc<Api>) -> Answering {
        let Some(door) = self.door else {
            let response = self.place.map_or_else(|| not_found(request.uri().path()), not_allowed);
            return Box::pin(ready(response));
        };
        if let Some(sent) = self.sent {
            request.extensions_mut().insert(sent);
        }
        let is_head = request.method() == Method::HEAD;
        let answering = door.answer(request, api);
        if is_head { Box::pin(answering.map(without_body)) } else { answering }
    }
}

/// What providers offer below `/v1`, and Mainstay does not.
const ELSEWHERE: [&str; 17] = [
    "files",
    "uploads",
    "batches",
    "messages/batches",
    "responses/",
    "conversations",
    "vector_stores",
    "containers",
    "images",
    "videos",
    "audio",
    "realtime",
    "moderations",
    "fine_tuning",
    "evals",
    "assistants",
    "threads",
];

fn not_found(path: &str) -> Response {
    let below = path.trim_start_matches("/openai").trim_start_matches("/anthropic");
    let is_elsewhere = below
        .strip_prefix("/v1/")
        .is_some_and(|asked| ELSEWHERE.iter().any(|offered| asked.starts_with(offered)));
    let told = match is_elsewhere {
        true => "Mainstay does not offer this: ask the provider itself; what there is stands in docs/API.md",
        false => "nothing has this path; the native doors are /generate, /query and /feedback",
    };
    Problem::not_found(told).into_response()
}

fn not_allowed(place: &Place) -> Response {
    let problem = Problem::method_not_allowed("see the `allow` header for the methods of this path");
    let mut response = problem.into_response();
    let methods = place.doors.iter().map(|door| match door.method {
        Method::GET => "GET,HEAD",
        ref other => other.as_str(),
    });
    let methods = methods.collect::<Vec<_>>().join(",");
    if let Ok(methods) = HeaderValue::try_from(methods) {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response
}

/// The head alone, with the length that the body would have had.
fn without_body(mut response: Response) -> Response {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    *response.body_mut() = Body::empty();
    response
}

#[cfg(test)]
mod tests {
    use access::permission::Permission::Ask;

    use super::*;
    use crate::doors;

    #[test]
    fn what_no_door_is_made_for_takes_a_key() {
        let doors = Doors::of(doors::all());
        for (path, method, want) in [
            ("/health/live", Method::GET, Guard::Open),
            ("/health/live", Method::HEAD, Guard::Open),
            ("/health/live", Method::POST, Guard::AnyKey),
            ("/query", Method::POST, Guard::May(Ask)),
            ("/query", Method::PUT, Guard::AnyKey),
            ("/nowhere", Method::GET, Guard::AnyKey),
            ("", Method::GET, Guard::AnyKey),
            ("*", Method::OPTIONS, Guard::AnyKey),
        ] {
            assert_eq!(doors.find(&method, path).guard(), want, "{method} {path:?}");
        }
    }

    #[test]
    fn each_door_of_the_table_is_found_at_its_path() {
        let doors = Doors::of(doors::all());
        for door in doors::all() {
            let found = doors.find(&door.method, &door.path.replace(['{', '}', '*'], ""));
            assert_eq!((found.path(), found.guard()), (door.path, door.guard));
            assert_eq!(found.sent.is_some(), door.path.contains('{'), "{}", door.path);
        }
    }
}
