//! Every door: its method and path, what it takes to pass, and who answers. The router is made of this table and of
//! nothing else, so no path can be reached that is not in it.

use std::collections::HashMap;
use std::sync::Arc;

use access::permission::Permission::{
    self, Ask, GiveFeedback, OperateServer, ReadCosts, ReadKeys, ReadServer, ReadTurns, WriteBudgets,
    WriteKeys,
};
use axum::handler::Handler;
use axum::routing::{self, MethodRouter};
use http::Method;

use crate::router::Api;
use crate::{admin, anthropic, bedrock, health, metrics, native, openai, openapi};

/// What it takes to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Nothing.
    Open,
    /// Any key.
    AnyKey,
    /// A key whose role has this permission.
    May(Permission),
    /// The same, or a request of this machine itself.
    MayOrLocal(Permission),
}

/// Whose things are behind a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those of the caller's tenant: the handler sees no others.
    Tenant,
    /// Everybody's.
    Server,
}

use Guard::{AnyKey, May, MayOrLocal, Open};
use Scope::{Server, Tenant};

/// One method of one path.
pub(crate) struct Door {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) guard: Guard,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "said for readers, and for the test that walks all doors")
    )]
    pub(crate) scope: Scope,
    handler: MethodRouter<Arc<Api>>,
}

/// All doors.
#[rustfmt::skip] // A table.
pub(crate) fn all() -> Vec<Door> {
    vec![
        post("/generate", May(Ask), Tenant, native::generate::handle),
        post("/{environment}/generate", May(Ask), Tenant, native::generate::handle_in_environment),
        post("/query", May(Ask), Tenant, native::query::handle),
        post("/feedback", May(GiveFeedback), Tenant, native::feedback::give),
        get("/feedback", May(ReadTurns), Tenant, native::feedback::list),
        post("/v1/chat/completions", May(Ask), Tenant, openai::chat),
        post("/v1/responses", May(Ask), Tenant, openai::responses),
        post("/v1/completions", May(Ask), Tenant, openai::completions),
        post("/v1/embeddings", May(Ask), Tenant, openai::embeddings),
        post("/openai/v1/chat/completions", May(Ask), Tenant, openai::chat),
        post("/openai/v1/completions", May(Ask), Tenant, openai::completions),
        post("/openai/v1/embeddings", May(Ask), Tenant, openai::embeddings),
        get("/openai/v1/models", May(Ask), Tenant, openai::models::list),
        get("/openai/v1/models/{*id}", May(Ask), Tenant, openai::models::show),
        post("/openai/deployments/{*path}", May(Ask), Tenant, openai::azure::handle),
        get("/v1/models", May(Ask), Tenant, openai::models::list),
        get("/v1/models/{*id}", May(Ask), Tenant, openai::models::show),
        post("/v1/messages", May(Ask), Tenant, anthropic::messages),
        post("/v1/messages/count_tokens", May(Ask), Tenant, anthropic::count),
        post("/anthropic/v1/messages", May(Ask), Tenant, anthropic::messages),
        post("/anthropic/v1/messages/count_tokens", May(Ask), Tenant, anthropic::count),
        get("/anthropic/v1/models", May(Ask), Tenant, anthropic::models::list),
        get("/anthropic/v1/models/{*id}", May(Ask), Tenant, anthropic::models::show),
        post("/model/{id}/converse", May(Ask), Tenant, bedrock::converse),
        post("/model/{id}/converse-stream", May(Ask), Tenant, bedrock::converse_stream),
        post("/model/{id}/invoke", May(Ask), Tenant, bedrock::invoke),
        post("/model/{id}/invoke-with-response-stream", May(Ask), Tenant, bedrock::invoke_with_response_stream),
        get("/openapi.json", AnyKey, Server, openapi::document),
        get("/admin/v1/interactions", May(ReadTurns), Tenant, admin::interactions::list),
        get("/admin/v1/interactions/{id}", May(ReadTurns), Tenant, admin::interactions::show),
        get("/admin/v1/keys", May(ReadKeys), Tenant, admin::keys::list),
        post("/admin/v1/keys", May(WriteKeys), Tenant, admin::keys::create),
        get("/admin/v1/keys/{id}", May(ReadKeys), Tenant, admin::keys::show),
        delete("/admin/v1/keys/{id}", May(WriteKeys), Tenant, admin::keys::revoke),
        post("/admin/v1/keys/{id}/rotate", May(WriteKeys), Tenant, admin::keys::rotate),
        get("/admin/v1/budgets", May(ReadCosts), Tenant, admin::budgets::list),
        get("/admin/v1/budgets/{level}/{id}", May(ReadCosts), Tenant, admin::budgets::show),
        put("/admin/v1/budgets/{level}/{id}", May(WriteBudgets), Tenant, admin::budgets::set),
        post("/admin/v1/budgets/{level}/{id}/reset", May(WriteBudgets), Tenant, admin::budgets::reset),
        get("/admin/v1/costs", May(ReadCosts), Tenant, admin::costs::show),
        get("/admin/v1/breakers", May(ReadServer), Server, admin::breakers::list),
        post("/admin/v1/breakers/{target}/reset", May(OperateServer), Server, admin::breakers::reset),
        post("/admin/v1/breakers/{provider}/{model}/reset", May(OperateServer), Server, admin::breakers::reset_by_model),
        get("/health", Open, Server, health::live),
        get("/health/live", Open, Server, health::live),
        get("/health/ready", Open, Server, health::ready),
        get("/health/deep", May(ReadServer), Server, health::deep),
        get("/metrics", MayOrLocal(ReadServer), Server, metrics::scrape),
    ]
}

/// A door of a method.
macro_rules! method {
    ($name:ident, $method:ident) => {
        fn $name<H, T>(path: &'static str, guard: Guard, scope: Scope, handler: H) -> Door
        where
            H: Handler<T, Arc<Api>>,
            T: 'static,
        {
            Door { method: Method::$method, path, guard, scope, handler: routing::$name(handler) }
        }
    };
}

method!(get, GET);
method!(post, POST);
method!(put, PUT);
method!(delete, DELETE);

impl Door {
    /// Lets requests through it.
    pub(crate) fn open(self, router: axum::Router<Arc<Api>>) -> axum::Router<Arc<Api>> {
        router.route(self.path, self.handler)
    }
}

/// What each door asks for, to look up.
pub(crate) struct Guards(HashMap<&'static str, Vec<(Method, Guard)>>);

impl Guards {
    pub(crate) fn of(doors: &[Door]) -> Self {
        let mut guards: HashMap<_, Vec<_>> = HashMap::new();
        for door in doors {
            guards.entry(door.path).or_default().push((door.method.clone(), door.guard));
        }
        Self(guards)
    }

    /// What a request takes to pass whose path is this one of the table (`None`: no path of it). What no door is made
    /// for takes a key, too: strangers learn nothing of what there is.
    pub(crate) fn guard(&self, path: Option<&str>, method: &Method) -> Guard {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let doors = path.and_then(|path| self.0.get(path));
        let door = doors.and_then(|doors| doors.iter().find(|(of, _)| of == method));
        door.map_or(AnyKey, |(_, guard)| *guard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_to_everybodys_things_ask_for_permissions_that_tenants_do_not_give() {
        for door in all() {
            let asks_for_server = match door.guard {
                May(permission) | MayOrLocal(permission) => {
                    Some([ReadServer, OperateServer].contains(&permission))
                }
                Open | AnyKey => None,
            };
            if let Some(asks_for_server) = asks_for_server {
                assert_eq!(asks_for_server, door.scope == Server, "{} {}", door.method, door.path);
            }
        }
    }

    #[test]
    fn only_health_is_open() {
        let open = all().into_iter().filter(|door| door.guard == Open).map(|door| door.path);
        assert_eq!(open.collect::<Vec<_>>(), ["/health", "/health/live", "/health/ready"]);
    }

    #[test]
    fn what_no_door_is_made_for_takes_a_key() {
        let guards = Guards::of(&all());
        for (path, method, want) in [
            (Some("/health/live"), Method::GET, Open),
            (Some("/health/live"), Method::HEAD, Open),
            (Some("/health/live"), Method::POST, AnyKey),
            (Some("/query"), Method::POST, May(Ask)),
            (Some("/query"), Method::PUT, AnyKey),
            (Some("/nowhere"), Method::GET, AnyKey),
            (None, Method::GET, AnyKey),
        ] {
            assert_eq!(guards.guard(path, &method), want, "{method} {path:?}");
        }
    }
}
