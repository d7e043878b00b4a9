//! All keys in memory: what requests are checked against. It is made anew when keys change and swapped whole.

use std::collections::HashMap;
use std::sync::Arc;

use domain::id::{KeyId, TenantId};
use domain::key::{Key, KeySet};
use domain::principal::{Asker, Principal};
use domain::secret::Secret;
use domain::time::Timestamp;
use subtle::ConstantTimeEq;

use crate::denied::Denied;
use crate::pepper::Pepper;
use crate::token;

/// The asker of the key that the configuration names.
pub(crate) const BOOTSTRAP: &str = "bootstrap";

/// A key ready for checking.
struct Entry {
    hash: [u8; 32],
    expires: Option<Timestamp>,
    is_revoked: bool,
    principal: Arc<Principal>,
}

/// All keys.
pub(crate) struct Keyring {
    entries: HashMap<Box<str>, Entry>,
    bootstrap: Option<([u8; 32], Arc<Principal>)>,
    /// As they are kept.
    pub(crate) set: KeySet,
}

impl Keyring {
    pub(crate) fn new(set: KeySet, bootstrap: Option<[u8; 32]>) -> Self {
        let entry = |key: &Key| {
            let principal = Arc::new(principal(key));
            let (hash, expires, is_revoked) = (key.hash, key.expires, key.revoked.is_some());
            (Box::from(key.id.as_str()), Entry { hash, expires, is_revoked, principal })
        };
        let owner = || {
            let asker = Asker { key: KeyId::from(BOOTSTRAP), ..Asker::default() };
            Arc::new(Principal { asker, ..Principal::clone(&Principal::open()) })
        };
        let entries = set.keys.iter().map(entry).collect();
        Self { entries, bootstrap: bootstrap.map(|hash| (hash, owner())), set }
    }

    /// Whether there is no key and never was one: then nobody needs one.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.bootstrap.is_none()
    }

    /// Whether the configuration names a key.
    pub(crate) fn has_bootstrap(&self) -> bool {
        self.bootstrap.is_some()
    }

    /// Whether this key is kept, also when it ended.
    pub(crate) fn keeps(&self, key: &KeyId) -> bool {
        self.entries.contains_key(key.as_str())
    }

    /// The tenant of a key.
    pub(crate) fn tenant_of(&self, key: &KeyId) -> Option<&TenantId> {
        let kept = self.entries.get(key.as_str()).map(|entry| &entry.principal);
        let bootstrap = self.bootstrap.as_ref().map(|(_, owner)| owner);
        let found = kept.or_else(|| bootstrap.filter(|owner| owner.asker.key == *key));
        found.map(|principal| &principal.asker.tenant)
    }

    /// Whose key `text` is. Every wrong one takes the same steps: one HMAC, one look-up, two comparisons.
    pub(crate) fn check(
        &self,
        pepper: &Pepper,
        text: &str,
        now: impl FnOnce() -> Timestamp,
    ) -> Result<Arc<Principal>, Denied> {
        if text.len() > token::BYTES_MAX {
            return Err(Denied::Unknown);
        }
        let hash = pepper.hash(text);
        let entry = token::public_part(text).and_then(|public| self.entries.get(public));
        let expected = entry.map_or(&[0; 32], |entry| &entry.hash);
        let is_right = bool::from(expected.ct_eq(&hash)) && entry.is_some();
        if let Some(entry) = entry.filter(|_| is_right) {
            return entry.check(now);
        }
        match &self.bootstrap {
            Some((expected, owner)) if bool::from(expected.ct_eq(&hash)) => Ok(Arc::clone(owner)),
            _ if token::is_mistyped(text) => Err(Denied::Mistyped),
            _ => Err(Denied::Unknown),
        }
    }

    /// The usable key with this public part, and the secret that its holder signs requests with.
    pub(crate) fn signer(
        &self,
        pepper: &Pepper,
        public: &str,
        now: Timestamp,
    ) -> Option<(Secret, Arc<Principal>)> {
        let (secret, entry) = (pepper.signing_secret(&KeyId::from(public)), self.entries.get(public)?);
        entry.check(|| now).ok().map(|principal| (secret, principal))
    }
}

impl Entry {
    /// Only whoever has the key itself learns why it is of no use any more.
    fn check(&self, now: impl FnOnce() -> Timestamp) -> Result<Arc<Principal>, Denied> {
        if self.is_revoked {
            return Err(Denied::Revoked);
        }
        match self.expires {
            Some(expires) if expires <= now() => Err(Denied::Expired),
            _ => Ok(Arc::clone(&self.principal)),
        }
    }
}

fn principal(key: &Key) -> Principal {
    Principal {
        asker: Asker { tenant: key.tenant.clone(), key: key.id.clone() },
        role: key.role,
        grant: key.grant.clone(),
        expires: key.expires,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use testkit::{ManualClock, MemoryKeys, SeededRng};

    use super::*;
    use crate::doubles::gatekeeper;
    use crate::minting::Wanted;

    /// One of each kind of key that is refused, and a right one.
    async fn kinds() -> (crate::gatekeeper::Gatekeeper, [(&'static str, String, Result<(), Denied>); 7]) {
        let (store, clock) = (Arc::<MemoryKeys>::default(), Arc::new(ManualClock::new()));
        let keeper = gatekeeper(&store, &clock, Some(&"b".repeat(67))).await;
        let owner = keeper.check(&"b".repeat(67)).expect("the bootstrap key");
        let make = async |expires| {
            let name = "one".to_owned();
            let wanted = Wanted { name, expires, ..Wanted::default() };
            keeper.mint(&owner, wanted).await.expect("minted")
        };
        let soon = Some(domain::ports::Clock::wall(clock.as_ref()).after(Duration::from_secs(1)));
        let (right, revoked, expired) = (make(None).await, make(None).await, make(soon).await);
        clock.advance(Duration::from_secs(2));
        keeper.revoke(&owner, &revoked.key.id).await.expect("revoked");
        let text = |secret: &Secret| secret.expose().to_owned();
        let (_, stranger) = token::mint(&SeededRng::new(99));
        // The public part of one key, all else of another.
        let crossed = format!("{}{}", &right.secret.expose()[..19], &stranger.expose()[19..]);
        let cut = format!("{}x", &right.secret.expose()[..66]);
        let kinds = [
            ("right", text(&right.secret), Ok(())),
            ("crossed", crossed, Err(Denied::Mistyped)),
            ("mistyped", cut, Err(Denied::Mistyped)),
            ("stranger", text(&stranger), Err(Denied::Unknown)),
            ("foreign", "x".repeat(67), Err(Denied::Unknown)),
            ("revoked", text(&revoked.secret), Err(Denied::Revoked)),
            ("expired", text(&expired.secret), Err(Denied::Expired)),
        ];
        (keeper, kinds)
    }

    #[tokio::test]
    async fn every_kind_of_wrong_key_is_refused() {
        let (keeper, kinds) = kinds().await;
        for (kind, key, want) in kinds {
            assert_eq!(keeper.check(&key).map(drop), want, "{kind}");
        }
        let owner = keeper.check(&"b".repeat(67)).expect("the bootstrap key");
        assert!(keeper.sees(&owner, &owner.asker.key) && !keeper.keeps(&owner.asker.key));
        for key in [String::new(), "b".repeat(66), "x".repeat(1 << 20)] {
            assert_eq!(keeper.check(&key), Err(Denied::Unknown));
        }
    }

    /// Time says nothing of which keys there are: those whose holder knows nothing take the same, within 25 %.
    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "this measures real time")]
    async fn wrong_keys_take_the_same_time() {
        let (keeper, kinds) = kinds().await;
        let wrong: Vec<&(_, String, _)> = kinds.iter().filter(|(kind, ..)| *kind != "right").collect();
        let mut fastest = vec![Duration::MAX; wrong.len()];
        // In turn, and the fastest of many rounds of each: what else the machine does is the same for all.
        for _ in 0..400 {
            for ((_, key, _), fastest) in wrong.iter().zip(&mut fastest) {
                let began = Instant::now();
                for _ in 0..20 {
                    let _ = std::hint::black_box(keeper.check(std::hint::black_box(key)));
                }
                *fastest = (*fastest).min(began.elapsed());
            }
        }
        let told: Vec<_> = wrong.iter().map(|(kind, ..)| *kind).zip(&fastest).collect();
        let unknown = ["crossed", "mistyped", "stranger"];
        let of_unknown = told.iter().filter(|(kind, _)| unknown.contains(kind)).map(|(_, took)| **took);
        let (least, most) = (of_unknown.clone().min(), of_unknown.max());
        assert!(most.expect("some") < least.expect("some").mul_f64(1.25), "{told:?}");
    }
}
