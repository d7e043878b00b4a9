//! The JSON of a key's grant.

use std::sync::Arc;

use domain::grant::{Allowed, Grant, Network};
use domain::residency::{Place, Residency};
use serde::{Deserialize, Serialize};

use super::Unreadable;
use super::parts::{from_json, to_json};

/// `null` means everything, as in the domain's `Allowed::All`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredGrant {
    agents: Option<Vec<String>>,
    models: Option<Vec<String>>,
    routes: Option<Vec<String>>,
    addresses: Option<Vec<String>>,
    #[serde(default)]
    residency: Option<Vec<String>>,
}

fn list(allowed: &Allowed) -> Option<Vec<String>> {
    match allowed {
        Allowed::All => None,
        Allowed::Only(names) => Some(names.to_vec()),
    }
}

fn allowed(list: Option<Vec<String>>) -> Allowed {
    list.map_or(Allowed::All, |names| Allowed::Only(names.into()))
}

/// A grant as JSON text.
pub(crate) fn grant_json(grant: &Grant) -> String {
    to_json(&StoredGrant {
        agents: list(&grant.agents),
        models: list(&grant.models),
        routes: list(&grant.routes),
        addresses: grant.addresses.as_ref().map(|nets| nets.iter().map(Network::to_string).collect()),
        residency: match &grant.residency {
            Residency::Anywhere => None,
            Residency::Within(places) => Some(places.iter().map(Place::to_string).collect()),
        },
    })
}

/// The grant of that text. One with a field that is not known is refused: it may be a limit that this version does not
/// keep.
pub(crate) fn grant(json: &str) -> Result<Grant, Unreadable> {
    let stored: StoredGrant = from_json("grants", json)?;
    let network = |text: String| {
        Network::parse(&text).map_err(|_| Unreadable("an address of a key's grant is no network".to_owned()))
    };
    let addresses = stored
        .addresses
        .map(|texts| texts.into_iter().map(network).collect::<Result<Arc<[_]>, _>>())
        .transpose()?;
    Ok(Grant {
        agents: allowed(stored.agents),
        models: allowed(stored.models),
        routes: allowed(stored.routes),
        addresses,
        residency: Residency::parse(stored.residency.as_ref().map(|names| names.iter().map(String::as_str)))
            .map_err(|_| Unreadable("a residency of a key's grant is no place".to_owned()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_that_is_not_understood_is_refused() {
        let whole =
            r#"{"agents":null,"models":["a/*"],"routes":[],"addresses":["10.0.0.0/8"],"residency":["eu"]}"#;
        assert_eq!(grant_json(&grant(whole).expect("known")), whole);
        // As it was written before keys had a residency.
        let before = r#"{"agents":null,"models":null,"routes":null,"addresses":null}"#;
        assert_eq!(grant(before).expect("known"), Grant::default());
        for text in [
            r#"{"agents":null,"models":null,"routes":null,"addresses":null,"hours":"9-17"}"#,
            r#"{"agents":null,"models":null,"routes":null,"addresses":["everywhere"]}"#,
            r#"{"agents":null,"models":null,"routes":null,"addresses":null,"residency":["e u"]}"#,
            "",
        ] {
            assert!(grant(text).is_err(), "{text}");
        }
    }
}
