//! Every door: its method and path, what it takes to pass, and who answers. What is found (`finding`) is found in this
//! table and nowhere else, so no path can be reached that is not in it.

use std::pin::Pin;
use std::sync::Arc;

use access::permission::Permission::{
    self, Ask, GiveFeedback, OperateServer, ReadCosts, ReadKeys, ReadServer, ReadTurns, WriteBudgets,
    WriteKeys,
};
use axum::extract::Request;
use axum::handler::Handler;
use axum::response::Response;
use http::Method;

use crate::server::Api;
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
}

/// Whose things are behind a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those of the caller's tenant: the handler sees no others.
    Tenant,
    /// Everybody's.
    Server,
}

use Guard::{AnyKey, May, Open};
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
    handle: Handle,
}

/// A reply that is being made.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;
type Handle = Box<dyn Fn(Request, Arc<Api>) -> Answering + Send + Sync>;

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
        post("/openai/v1/responses", May(Ask), Tenant, openai::responses),
        post("/openai/responses", May(Ask), Tenant, openai::responses),
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
        get("/metrics", May(ReadServer), Server, metrics::scrape),
    ]
}

/// A door of a method.
macro_rules! method {
    ($name:ident, $method:ident) => {
        fn $name<H, T>(path: &'static str, guard: Guard, scope: Scope, handler: H) -> Door
        where
            H: Handler<T, Arc<Api>, Future = Answering> + Sync,
            T: 'static,
        {
            let handle = Box::new(move |request, api| handler.clone().call(request, api));
            Door { method: Method::$method, path, guard, scope, handle }
        }
    };
}

method!(get, GET);
method!(post, POST);
method!(put, PUT);
method!(delete, DELETE);

impl Door {
    /// Answers a request that was let in.
    pub(crate) fn answer(&self, request: Request, api: Arc<Api>) -> Answering {
        (self.handle)(request, api)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_to_everybodys_things_ask_for_permissions_that_tenants_do_not_give() {
        for door in all() {
            let asks_for_server = match door.guard {
                May(permission) => Some([ReadServer, OperateServer].contains(&permission)),
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
}
