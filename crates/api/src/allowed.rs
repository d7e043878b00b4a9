//! What a key may use of what there is.

use domain::principal::Principal;
use registry::clients::{NameError, Named};
use registry::snapshot::Snapshot;

use crate::dialect::refusal::Refusal;
use crate::problem::Problem;

/// What `name` leads to, if `principal` may use it; a bare id means models of `own_kinds` first, and of several the one that
/// it may use. Where nothing has that name, only what it may use is told.
pub(crate) fn named(
    principal: &Principal,
    (snapshot, name): (&Snapshot, &str),
    own_kinds: &[&str],
) -> Result<Named, Refusal> {
    let told = |error: NameError| error.telling(|known| may_be_named(principal, (snapshot, known)));
    let named = match snapshot.named_among(name, own_kinds).map_err(told) {
        Ok(named) => named,
        Err(error) => match error.only() {
            Some(only) => snapshot.named(only)?,
            None => return Err(error.into()),
        },
    };
    match may_use(principal, &named) {
        true => Ok(named),
        false => Err(Problem::forbidden(format!("this key may not use `{name:.100}`")).into()),
    }
}

/// Whether `name` leads to something that `principal` may use.
pub(crate) fn may_be_named(principal: &Principal, (snapshot, name): (&Snapshot, &str)) -> bool {
    snapshot.named(name).is_ok_and(|named| may_use(principal, &named))
}

fn may_use(principal: &Principal, named: &Named) -> bool {
    match named {
        Named::Agent(serving) => principal.grant.agents.allows(serving.loaded.agent.version.name.as_str()),
        Named::Route(route) => principal.grant.allows_route(route),
    }
}
