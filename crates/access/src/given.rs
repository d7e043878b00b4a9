//! What keys and the tokens of an issuer may be given, as people write it: lists of names, networks, tenants.

use std::sync::Arc;

use domain::grant::{Allowed, Network};

/// Entries of one list.
const LIST_MAX: usize = 200;
/// Bytes of one entry.
const ENTRY_MAX: usize = 200;
/// Bytes of a tenant's name.
const TENANT_MAX: usize = 64;

/// A list of names, each with a `*` at its end or without.
pub(crate) fn allowed(entries: &[String]) -> Result<Allowed, String> {
    let is_right = |entry: &String| {
        (1..=ENTRY_MAX).contains(&entry.len())
            && !entry.chars().any(char::is_control)
            && entry.find('*').is_none_or(|at| at + 1 == entry.len())
    };
    match entries.len() <= LIST_MAX && entries.iter().all(is_right) {
        true => Ok(Allowed::Only(entries.into())),
        false => Err(format!(
            "at most {LIST_MAX} names of at most {ENTRY_MAX} bytes; a `*` stands at the end only"
        )),
    }
}

/// A list of networks.
pub(crate) fn addresses(networks: &[Network]) -> Result<Arc<[Network]>, String> {
    match networks.len() <= LIST_MAX {
        true => Ok(networks.into()),
        false => Err(format!("at most {LIST_MAX}")),
    }
}

/// Whether a tenant may be called so.
pub(crate) fn tenant(name: &str) -> Result<(), String> {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    match (1..=TENANT_MAX).contains(&name.len()) && name.bytes().all(is_letter) {
        true => Ok(()),
        false => Err(format!("1 to {TENANT_MAX} of a-z, 0-9, hyphen, underscore and full stop")),
    }
}
