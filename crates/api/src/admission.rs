//! Who is let in, and through which door.

use std::net::IpAddr;
use std::sync::Arc;

use access::denied::Denied;
use access::gatekeeper::Gatekeeper;
use access::permission::Permission::Ask;
use access::permission::may;
use axum::extract::{MatchedPath, Request};
use domain::principal::{Principal, Role};
use domain::time::Moment;
use http::Method;
use telemetry::Watched;

use crate::bedrock::signed::Signer;
use crate::client_address::Proxies;
use crate::cors::Origins;
use crate::credential;
use crate::doors::{Door, Guard, Guards};
use crate::local;
use crate::problem::Problem;
use crate::router::Api;
use crate::serve::Peer;

/// What every request passes first.
pub(crate) struct Admission {
    pub(crate) api: Arc<Api>,
    pub(crate) origins: Origins,
    guards: Guards,
    proxies: Proxies,
}

impl Admission {
    pub(crate) fn new(api: &Arc<Api>, doors: &[Door]) -> Self {
        let origins = Origins::new(&api.config.cors_origins);
        let proxies = Proxies::new(&api.config.trusted_proxies);
        Self { api: Arc::clone(api), origins, guards: Guards::of(doors), proxies }
    }

    /// Whether everybody of this machine may ask, and nobody else.
    pub(crate) fn is_open(&self) -> bool {
        self.api.access.get().is_some_and(|keeper| keeper.is_open())
    }

    fn guard(&self, request: &Request) -> Guard {
        let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        self.guards.guard(path, request.method())
    }

    /// Whoever watches the request from outside: those that ask agents and models are watched, where anything is.
    pub(crate) fn watch(&self, request: &Request) -> Option<Arc<Watched>> {
        let hub = self.api.telemetry.as_ref()?;
        let path = request.extensions().get::<MatchedPath>()?;
        let is_asking = request.method() == Method::POST && self.guard(request) == Guard::May(Ask);
        is_asking.then(|| Watched::begin(hub, (request.method(), path.as_str()), request.headers()))
    }

    /// Until when a request may have to wait for the keys to be read.
    pub(crate) fn waits_until(&self, request: &Request) -> Result<Option<Moment>, Problem> {
        match self.api.access.get().is_none() && self.guard(request) != Guard::Open {
            true => self.api.deadline(request.headers()).map(Some),
            false => Ok(None),
        }
    }

    /// The token of a request, when its issuer should be asked for its keys first.
    pub(crate) fn to_prepare(&self, request: &Request) -> Option<(Arc<Gatekeeper>, String)> {
        let keeper = self.api.access.get().filter(|_| self.guard(request) != Guard::Open)?;
        let text = credential::find(request.headers()).ok().filter(|text| keeper.is_to_prepare(text))?;
        Some((Arc::clone(keeper), text.to_owned()))
    }

    /// Who asks; `None` at a door where nobody needs to say.
    pub(crate) fn admit(&self, request: &Request) -> Result<Option<Arc<Principal>>, Problem> {
        let guard = self.guard(request);
        let peer = request.extensions().get::<Peer>().map(|peer| peer.address.ip());
        let Some(keeper) = self.api.access.get() else {
            return if guard == Guard::Open {
                Ok(None)
            } else {
                Err(Problem::starting("no key was read yet"))
            };
        };
        if keeper.is_open() {
            local::check(request, peer)?;
            return Ok(Some(keeper.open_principal()));
        }
        match guard {
            Guard::Open => return Ok(None),
            Guard::MayOrLocal(_) if local::is_own(request, peer) => {
                return Ok(Some(Arc::new(Principal {
                    role: Role::Operator,
                    ..Principal::clone(&Principal::open())
                })));
            }
            Guard::AnyKey | Guard::May(_) | Guard::MayOrLocal(_) => {}
        }
        let admitted = self.check(keeper, guard, (request, peer));
        Ok(Some(admitted.inspect_err(|denied| self.api.metrics.denied(*denied))?))
    }

    fn check(
        &self,
        keeper: &Gatekeeper,
        guard: Guard,
        (request, peer): (&Request, Option<IpAddr>),
    ) -> Result<Arc<Principal>, Denied> {
        let principal = match request.extensions().get::<Signer>() {
            Some(Signer(principal)) => Arc::clone(principal),
            None => keeper.check(credential::find(request.headers())?)?,
        };
        if principal.grant.addresses.is_some() {
            let address = self.proxies.client(peer, request.headers());
            if !principal.grant.allows_address(address) {
                return Err(Denied::Address);
            }
        }
        match guard {
            Guard::May(permission) | Guard::MayOrLocal(permission) if !may(principal.role, permission) => {
                Err(Denied::Permission(permission))
            }
            _ => Ok(principal),
        }
    }
}
