//! What a key may use of what there is.

use domain::principal::Principal;
use registry::clients::Named;

use crate::problem::Problem;

/// Whether a principal may use what `name` leads to.
pub(crate) fn check(principal: &Principal, name: &str, named: &Named) -> Result<(), Problem> {
    let is_allowed = match named {
        Named::Agent(serving) => principal.grant.agents.allows(serving.loaded.agent.version.name.as_str()),
        Named::Route(route) => principal.grant.allows_route(route),
    };
    match is_allowed {
        true => Ok(()),
        false => Err(Problem::forbidden(format!("this key may not use `{name:.100}`"))),
    }
}
