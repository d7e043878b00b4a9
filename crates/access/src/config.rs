//! Settings of `[auth]`.

use std::collections::BTreeMap;

use domain::secret::{NotAReference, SecretRef};
use serde::Deserialize;

use crate::jwt::issuer;

/// Settings of `[auth]`. Changes need a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the secret is under which keys are kept, as `env::NAME` or `file::PATH`; when absent, one is made and kept
    /// in the data folder, in `pepper`. Without it all keys are of no use: keep a copy.
    pub pepper: Option<String>,
    /// Where a key with the rights of an owner is, as `env::NAME` or `file::PATH`: for containers, and as a way back in
    /// when all keys are lost. It has 32 letters at least.
    pub bootstrap_key: Option<String>,
    /// Who signs tokens (JWT, OpenID Connect) that are taken in place of keys, by name.
    pub issuers: BTreeMap<String, issuer::Config>,
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct InvalidAuth<'a> {
    /// Where it stands below `[auth]`.
    pub path: Vec<&'a str>,
    /// What is wrong.
    pub reason: String,
}

impl Config {
    /// What cannot be used, one after the other.
    #[must_use]
    pub fn mistakes<'a>(&'a self) -> Vec<InvalidAuth<'a>> {
        let references = [("pepper", &self.pepper), ("bootstrap_key", &self.bootstrap_key)];
        let mistake = |(key, text): (&'static str, &Option<String>)| {
            let error: NotAReference = SecretRef::parse(text.as_deref()?).err()?;
            Some(InvalidAuth { path: vec![key], reason: format!("[auth] {key}: {error}") })
        };
        let of_issuer = |(name, issuer): (&'a String, &'a issuer::Config)| {
            if name.contains('/') {
                // It stands before one in the names of its tokens' subjects, which say by it whose they are.
                let reason = format!("[auth.issuers.{name}]: the name of an issuer has no `/`");
                return Some(InvalidAuth { path: vec!["issuers", name.as_str()], reason });
            }
            let (key, reason) = issuer.validate().err()?;
            let path = vec!["issuers", name.as_str(), key];
            Some(InvalidAuth { path, reason: format!("[auth.issuers.{name}] {key}: {reason}") })
        };
        let of_issuers = self.issuers.iter().filter_map(of_issuer);
        references.into_iter().filter_map(mistake).chain(of_issuers).chain(self.same()).collect()
    }

    /// Issuers of which a token could be either's: the second one's roles would hold for nobody.
    fn same(&self) -> impl Iterator<Item = InvalidAuth<'_>> {
        self.issuers.iter().enumerate().filter_map(|(n, (name, issuer))| {
            let is_same = |other: &issuer::Config| {
                other.issuer == issuer.issuer && other.audience.iter().any(|one| issuer.audience.contains(one))
            };
            let (other, _) = self.issuers.iter().take(n).find(|(_, other)| is_same(other))?;
            let reason = format!(
                "[auth.issuers.{name}] audience: `{other}` has the same `issuer` and audience, and takes its tokens; give each \
                 an audience of its own"
            );
            Some(InvalidAuth { path: vec!["issuers", name.as_str(), "audience"], reason })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer() -> issuer::Config {
        let issuer = serde_json::json!({
            "issuer": "https://login.example/", "audience": ["mainstay"], "jwks_uri": "https://login.example/jwks",
            "algorithms": ["RS256"], "roles": { "staff": "app" },
        });
        serde_json::from_value(issuer).expect("settings")
    }

    #[test]
    fn an_issuers_name_ends_where_a_subjects_begins() {
        let issuers = ["corp", "corp/acme"].map(|name| (name.to_owned(), issuer()));
        let mut config = Config { issuers: issuers.into_iter().collect(), ..Config::default() };
        config.issuers.get_mut("corp/acme").expect("there").audience = vec!["acme".to_owned()];
        let paths: Vec<_> = config.mistakes().into_iter().map(|mistake| mistake.path).collect();
        assert_eq!(paths, [["issuers", "corp/acme"]]);
    }

    #[test]
    fn issuers_of_one_name_have_different_audiences() {
        for (audiences, is_wrong) in [
            ([&["mainstay"][..], &["mainstay"]], true),
            ([&["mainstay", "other"], &["third", "other"]], true),
            ([&["mainstay"], &["other"]], false),
        ] {
            let issuers = audiences.iter().zip(["corp", "partner"]).map(|(audience, name)| {
                let issuer = issuer::Config {
                    audience: audience.iter().map(|one| (*one).to_owned()).collect(),
                    ..issuer()
                };
                (name.to_owned(), issuer)
            });
            let config = Config { issuers: issuers.collect(), ..Config::default() };
            let paths: Vec<_> = config.mistakes().into_iter().map(|mistake| mistake.path).collect();
            let want: &[_] = if is_wrong { &[vec!["issuers", "partner", "audience"]] } else { &[] };
            assert_eq!(paths, want, "{audiences:?}");
        }
    }
}
