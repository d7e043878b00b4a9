//! Signed tokens (JWT, RFC 7519) of issuers that the configuration names, as OpenID Connect makes them.
//!
//! Reading order: this file (a token checked), `jwk` (keys and signatures), [`issuer`] (settings), `published`
//! (an issuer's keys as they are fetched). Only the algorithms of RFC 7518 with a public key are known here: `none`, and a public key used as a secret
//! (HS256), cannot be asked for. What a token says of where its key is (`jku`, `x5u`, `jwk`, `x5c`) is not even read.

pub mod issuer;
mod jwk;
mod published;

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::id::{KeyId, TenantId};
use domain::ports::Clock;
use domain::principal::{Asker, Principal};
use domain::time::{Moment, Timestamp};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::denied::Denied;
use crate::given;
use issuer::Issuer;
use jwk::Algorithm;

/// Bytes of a token.
const BYTES_MAX: usize = 16 << 10;
/// How far the clocks of issuer and server may differ.
const LEEWAY_S: i64 = 60;
/// Bytes of a subject.
const SUBJECT_MAX: usize = 255;
/// Tokens whose signature was checked and that are remembered.
const REMEMBERED_MAX: usize = 10_000;

/// What a token's first part says; all else that it may say is ignored.
#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// A token taken apart; nothing of it is checked.
struct Parts<'a> {
    header: Header,
    claims: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

/// Whether a text is meant as a token: three parts, of which the first is an object of JSON in base64.
#[must_use]
pub fn is_meant(text: &str) -> bool {
    // `{` and what may follow it: white space or a quote, also as its first four bits.
    let is_object = ["eyJ", "eyA", "ewo", "ewk", "ew0"].iter().any(|begin| text.starts_with(begin));
    is_object && text.bytes().filter(|byte| *byte == b'.').count() == 2
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Result<Self, Denied> {
        let unreadable = Denied::Token("it cannot be read");
        if token.len() > BYTES_MAX {
            return Err(Denied::Token("it is too long"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(unreadable)?;
        let (header, claims) = signed.split_once('.').ok_or(unreadable)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| unreadable);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| unreadable)?;
        let claims = serde_json::from_slice(&decode(claims)?).map_err(|_| unreadable)?;
        if header.crit.is_some() {
            return Err(Denied::Token("it needs an extension that is not known here"));
        }
        Ok(Self { header, claims, signed, signature: decode(signature)? })
    }
}

/// A token that held.
struct Remembered {
    principal: Arc<Principal>,
    ends: i64,
    /// The issuer, and which of its sets of keys it held with.
    issuer: usize,
    keys: u64,
}

/// All issuers, and the tokens that held.
#[derive(Default)]
pub(crate) struct Tokens {
    issuers: Vec<Issuer>,
    remembered: Mutex<HashMap<[u8; 32], Remembered>>,
}

impl Tokens {
    pub(crate) fn new(issuers: Vec<Issuer>) -> Self {
        Self { issuers, remembered: Mutex::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// Whether `token` has to wait for keys of its issuer, or is to be refused for want of them.
    pub(crate) fn is_to_prepare(&self, token: &str, now: Moment) -> bool {
        let Ok(parts) = Parts::of(token) else { return false };
        let issuer = self.issuer(&parts);
        issuer.is_ok_and(|(_, issuer)| issuer.published.concerns(parts.header.kid.as_deref(), now))
    }

    /// Sees to it that the key of `token` is known, if its issuer has it. What is wrong with it is found by checking it.
    ///
    /// # Errors
    /// [`Denied::IssuerAway`].
    pub(crate) async fn prepare(&self, token: &str, clock: &dyn Clock) -> Result<(), Denied> {
        let Ok(parts) = Parts::of(token) else { return Ok(()) };
        let Ok((_, issuer)) = self.issuer(&parts) else { return Ok(()) };
        issuer.published.prepare(parts.header.kid.as_deref(), (&issuer.name, clock)).await
    }

    /// Whose token it is.
    pub(crate) fn check(&self, token: &str, now: Timestamp) -> Result<Arc<Principal>, Denied> {
        let now = now.0.div_euclid(1_000_000);
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(found) = self.remembered.lock().get(&hash)
            && found.ends + LEEWAY_S > now
            && self
                .issuers
                .get(found.issuer)
                .is_some_and(|issuer| issuer.published.generation() == found.keys)
        {
            return Ok(Arc::clone(&found.principal));
        }
        let parts = Parts::of(token)?;
        let (index, issuer) = self.issuer(&parts)?;
        let keys = issuer.published.generation();
        verify(issuer, &parts)?;
        let ends = check_times(&parts.claims, now)?;
        check_audience(issuer, &parts.claims)?;
        let principal = Arc::new(principal(issuer, &parts.claims)?);
        let mut remembered = self.remembered.lock();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.retain(|_, found| found.ends + LEEWAY_S > now);
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
        }
        let held = Remembered { principal: Arc::clone(&principal), ends, issuer: index, keys };
        remembered.insert(hash, held);
        Ok(principal)
    }

    /// The tenant of a token's subject, by the name that it has as an asker; `None` for what is none.
    pub(crate) fn tenant_of(&self, key: &KeyId) -> Option<TenantId> {
        let of = |issuer: &Issuer| {
            let subject = key.as_str().strip_prefix(issuer.name.as_str())?.strip_prefix('/')?;
            match &issuer.config.tenant_claim {
                None => Some(TenantId::from(issuer.config.tenant.as_str())),
                Some(_) => subject.split_once('/').map(|(tenant, _)| TenantId::from(tenant)),
            }
        };
        self.issuers.iter().find_map(of)
    }

    /// Of several with one name the one whose audience the token is meant for.
    fn issuer(&self, parts: &Parts<'_>) -> Result<(usize, &Issuer), Denied> {
        let named = parts.claims.get("iss").and_then(Value::as_str);
        let is_named = |issuer: &Issuer| Some(issuer.config.issuer.as_str()) == named;
        let of_name = || self.issuers.iter().enumerate().filter(|(_, issuer)| is_named(issuer));
        let mut meant = of_name().filter(|(_, issuer)| check_audience(issuer, &parts.claims).is_ok());
        match (meant.next(), meant.next()) {
            (Some(_), Some(_)) => Err(Denied::Token("it is meant for two issuers")),
            (meant, _) => meant.or_else(|| of_name().next()).ok_or(Denied::Unknown),
        }
    }
}

fn verify(issuer: &Issuer, parts: &Parts<'_>) -> Result<(), Denied> {
    let algorithm = Algorithm::parse(&parts.header.alg).filter(|found| issuer.algorithms.contains(found));
    let algorithm = algorithm.ok_or(Denied::Token("its algorithm is not one of its issuer's"))?;
    let key = issuer.published.key(parts.header.kid.as_deref(), algorithm)?;
    match key.verify(algorithm, parts.signed.as_bytes(), &parts.signature) {
        true => Ok(()),
        false => Err(Denied::Token("its signature is wrong")),
    }
}

/// A time in seconds; a fraction is cut.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Denied> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = value.as_i64();
    #[expect(clippy::cast_possible_truncation, reason = "a float out of range saturates")]
    let found = whole.or_else(|| value.as_f64().map(|value| value as i64));
    found.map(Some).ok_or(Denied::Token("one of its times is no number"))
}

/// When it ends.
fn check_times(claims: &Map<String, Value>, now: i64) -> Result<i64, Denied> {
    let ends = seconds(claims, "exp")?.ok_or(Denied::Token("it does not say when it ends"))?;
    if now >= ends.saturating_add(LEEWAY_S) {
        return Err(Denied::Token("it has expired"));
    }
    for name in ["nbf", "iat"] {
        if seconds(claims, name)?.is_some_and(|begins| now < begins.saturating_sub(LEEWAY_S)) {
            return Err(Denied::Token("its time has not come yet"));
        }
    }
    // Remembered until its end, and not longer by its leeway twice.
    Ok(ends.min(i64::MAX - LEEWAY_S))
}

fn check_audience(issuer: &Issuer, claims: &Map<String, Value>) -> Result<(), Denied> {
    let is_meant = |value: &Value| {
        value.as_str().is_some_and(|found| issuer.config.audience.iter().any(|own| own == found))
    };
    let is_ours = match claims.get("aud") {
        Some(Value::Array(all)) => all.iter().any(is_meant),
        Some(one) => is_meant(one),
        None => false,
    };
    if is_ours { Ok(()) } else { Err(Denied::Token("it is meant for someone else")) }
}

fn principal(issuer: &Issuer, claims: &Map<String, Value>) -> Result<Principal, Denied> {
    let subject = claims.get("sub").and_then(Value::as_str).filter(|subject| {
        (1..=SUBJECT_MAX).contains(&subject.len()) && !subject.chars().any(char::is_control)
    });
    let subject = subject.ok_or(Denied::Token("it does not say whose it is"))?;
    let groups: Vec<&str> = match claims.get(&issuer.config.groups_claim) {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => vec![one],
        _ => Vec::new(),
    };
    // Roles are in the order of their reach: of several the widest counts.
    let role = groups.iter().filter_map(|group| issuer.roles.get(*group)).min().copied();
    let role = role.ok_or(Denied::Token("none of its groups has a role"))?;
    let tenant = match &issuer.config.tenant_claim {
        None => issuer.config.tenant.as_str(),
        Some(claim) => {
            let named = claims.get(claim).and_then(Value::as_str);
            let named = named.filter(|name| given::tenant(name).is_ok());
            named.ok_or(Denied::Token("it does not name a tenant"))?
        }
    };
    // Where tokens name their tenant, subjects of the same name are others in another one: rates and budgets are counted
    // by this, and records tell them apart by it.
    let key = match &issuer.config.tenant_claim {
        None => format!("{}/{subject}", issuer.name),
        Some(_) => format!("{}/{tenant}/{subject}", issuer.name),
    };
    let asker = Asker { tenant: TenantId::from(tenant), key: KeyId::from(key) };
    // What it makes may live on: a token lives for minutes.
    Ok(Principal { asker, role, grant: issuer.grant.clone(), expires: None })
}

#[cfg(test)]
mod tests;
