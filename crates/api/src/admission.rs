//! Who is let in.

use std::net::IpAddr;
use std::sync::Arc;

use access::denied::Denied;
use access::gatekeeper::Gatekeeper;
use access::permission::Permission::Ask;
use access::permission::may;
use axum::extract::Request;
use domain::principal::Principal;
use domain::time::Moment;
use http::Method;
use telemetry::Watched;

use crate::bedrock::signed::Signer;
use crate::client_address::Proxies;
use crate::cors::Origins;
use crate::credential;
use crate::doors::Guard;
use crate::local;
use crate::problem::Problem;
use crate::serve::Peer;
use crate::server::Api;

/// What every request passes first.
pub(crate) struct Admission {
    pub(crate) api: Arc<Api>,
    pub(crate) origins: Origins,
    proxies: Proxies,
}

/// A request at a door.
#[derive(Clone, Copy)]
pub(crate) struct Visit<'a> {
    pub(crate) request: &'a Request,
    pub(crate) guard: Guard,
    /// The other end of the connection.
    pub(crate) peer: Peer,
}

impl Visit<'_> {
    fn address(&self) -> IpAddr {
        self.peer.address.ip()
    }
}

impl Admission {
    pub(crate) fn new(api: &Arc<Api>) -> Self {
        let origins = Origins::new(&api.config.cors_origins);
        let proxies = Proxies::new(&api.config.trusted_proxies);
        Self { api: Arc::clone(api), origins, proxies }
    }

    /// Whether everybody of this machine may ask, and nobody else.
    pub(crate) fn is_open(&self) -> bool {
        self.api.access.get().is_some_and(|keeper| keeper.is_open())
    }

    /// Whoever watches the request from outside: those that ask agents and models are watched, where anything is.
    pub(crate) fn watch(&self, (request, path): (&Request, &str), guard: Guard) -> Option<Arc<Watched>> {
        let hub = self.api.telemetry.as_ref()?;
        let is_asking = request.method() == Method::POST && guard == Guard::May(Ask);
        is_asking.then(|| Watched::begin(hub, (request.method(), path), request.headers()))
    }

    /// Until when a request may have to wait for the keys to be read.
    pub(crate) fn waits_until(&self, visit: Visit<'_>) -> Result<Option<Moment>, Problem> {
        match self.api.access.get().is_none() && visit.guard != Guard::Open {
            true => self.api.deadline(visit.request.headers()).map(Some),
            false => Ok(None),
        }
    }

    /// The token of a request, when keys of its issuer are needed first.
    pub(crate) fn to_prepare(&self, visit: Visit<'_>) -> Option<(Arc<Gatekeeper>, String)> {
        // At doors where nobody needs a token none is looked at.
        let is_free = visit.guard == Guard::Open;
        let keeper = self.api.access.get().filter(|keeper| !is_free && keeper.has_issuers())?;
        let found = credential::find(visit.request.headers()).ok();
        let text = found.filter(|text| keeper.is_to_prepare(text))?;
        Some((Arc::clone(keeper), text.to_owned()))
    }

    /// What is said to who is not let in; it is counted.
    pub(crate) fn denied(&self, denied: Denied) -> Problem {
        self.api.metrics.denied(denied);
        denied.into()
    }

    /// Who asks; `None` at a door where nobody needs to say.
    pub(crate) fn admit(&self, visit: Visit<'_>) -> Result<Option<Arc<Principal>>, Problem> {
        let Visit { request, guard, .. } = visit;
        let Some(keeper) = self.api.access.get() else {
            return if guard == Guard::Open {
                Ok(None)
            } else {
                Err(Problem::starting("no key was read yet"))
            };
        };
        if keeper.is_open() {
            local::check(request, visit.address())?;
            return Ok(Some(keeper.open_principal()));
        }
        if guard == Guard::Open {
            return Ok(None);
        }
        let admitted = self.check(keeper, visit);
        admitted.map(Some).map_err(|denied| self.denied(denied))
    }

    fn check(&self, keeper: &Gatekeeper, visit: Visit<'_>) -> Result<Arc<Principal>, Denied> {
        let Visit { request, guard, .. } = visit;
        let principal = match request.extensions().get::<Signer>() {
            Some(Signer(principal)) => {
                // What stands in front may have looked at the other one.
                let other = credential::own(request.headers())?.map(|key| keeper.check(key)).transpose()?;
                if other.is_some_and(|other| other.asker.key != principal.asker.key) {
                    return Err(Denied::Several);
                }
                Arc::clone(principal)
            }
            None => keeper.check(credential::find(request.headers())?)?,
        };
        if principal.grant.addresses.is_some() {
            let address = self.proxies.client(visit.address(), request.headers());
            if !principal.grant.allows_address(address) {
                return Err(Denied::Address);
            }
        }
        match guard {
            Guard::May(permission) if !may(principal.role, permission) => Err(Denied::Permission(permission)),
            _ => Ok(principal),
        }
    }
}
