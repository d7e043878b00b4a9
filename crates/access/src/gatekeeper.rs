//! Who is let in: the keys in memory, kept as they are in the store.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use domain::id::KeyId;
use domain::key::KeySet;
use domain::ports::{Clock, Keys, Rng, StoreError};
use domain::principal::Principal;
use domain::secret::Secret;
use domain::time::Moment;

use crate::denied::Denied;
use crate::jwt::issuer::Issuer;
use crate::jwt::{self, Tokens};
use crate::keyring::Keyring;
use crate::limits::{Meters, Now};
use crate::pepper::Pepper;

/// How often is looked whether another process changed keys: a key that was revoked there is refused here after this
/// time and that of one query.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a gatekeeper needs.
pub struct Parts {
    /// Where keys are kept.
    pub store: Arc<dyn Keys>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance that nobody can guess.
    pub rng: Arc<dyn Rng>,
    /// Under which keys are hashed.
    pub pepper: Pepper,
    /// A key with the rights of an owner that the configuration names.
    pub bootstrap: Option<Secret>,
    /// Who signs tokens.
    pub issuers: Vec<Issuer>,
}

/// Lets requests in, or not. Checking reads memory only.
pub struct Gatekeeper {
    pub(crate) parts: Parts,
    pub(crate) keyring: ArcSwap<Keyring>,
    bootstrap: Option<[u8; 32]>,
    open: Arc<Principal>,
    tokens: Tokens,
    /// Held by the one change of keys that this process makes: the others queue.
    pub(crate) changing: tokio::sync::Mutex<()>,
    /// How much keys may use; told when keys change.
    limits: OnceLock<Arc<Meters>>,
}

impl Gatekeeper {
    /// Reads all keys.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read: then nobody can be let in.
    pub async fn new(mut parts: Parts) -> Result<Self, StoreError> {
        let set = parts.store.keys().await?;
        let bootstrap = parts.bootstrap.as_ref().map(|key| parts.pepper.hash(key.expose()));
        let keyring = ArcSwap::from_pointee(Keyring::new(set, bootstrap));
        let tokens = Tokens::new(std::mem::take(&mut parts.issuers));
        let (changing, limits) = (tokio::sync::Mutex::default(), OnceLock::new());
        Ok(Self { parts, keyring, bootstrap, open: Principal::open(), tokens, changing, limits })
    }

    /// Whether nobody needs a key: there is none, and never was one, and nobody signs tokens.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.keyring.load().is_empty() && self.tokens.is_empty()
    }

    /// Who asks while nobody needs a key.
    #[must_use]
    pub fn open_principal(&self) -> Arc<Principal> {
        Arc::clone(&self.open)
    }

    /// Whether tokens of any issuer are taken.
    #[must_use]
    pub fn has_issuers(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Whether `text` is a token that cannot be checked before [`Gatekeeper::prepare`].
    #[must_use]
    pub fn is_to_prepare(&self, text: &str) -> bool {
        self.is_token(text) && self.tokens.is_to_prepare(text, self.parts.clock.now())
    }

    /// Asks the issuer of a token for its keys, or waits with those who do, until `deadline` at most. Cancel-safe.
    ///
    /// # Errors
    /// [`Denied::IssuerAway`] when the token's key is not known and the issuer does not answer, or was asked a moment ago.
    pub async fn prepare(&self, token: &str, deadline: Moment) -> Result<(), Denied> {
        let clock = self.parts.clock.as_ref();
        tokio::select! {
            prepared = self.tokens.prepare(token, clock) => prepared,
            () = clock.sleep_until(deadline) => Err(Denied::IssuerAway),
        }
    }

    fn is_token(&self, text: &str) -> bool {
        !self.tokens.is_empty() && jwt::is_meant(text)
    }

    /// Whose key or token `text` is.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn check(&self, text: &str) -> Result<Arc<Principal>, Denied> {
        match self.is_token(text) {
            true => self.tokens.check(text, self.parts.clock.wall()),
            false => self.keyring.load().check(&self.parts.pepper, text, || self.parts.clock.wall()),
        }
    }

    /// Who signs requests with this access key id, and with which secret: the id is a key's public part, the secret is
    /// derived from it and the pepper. `None` when there is no such key, or it may not be used any more.
    #[must_use]
    pub fn signer(&self, access_key_id: &str) -> Option<(Secret, Arc<Principal>)> {
        self.keyring.load().signer(&self.parts.pepper, access_key_id, self.parts.clock.wall())
    }

    /// Whether `by` may see what is counted for `key`: one that is kept, that of the configuration, or a token's subject.
    #[must_use]
    pub fn sees(&self, by: &Principal, key: &KeyId) -> bool {
        let keyring = self.keyring.load();
        let tenant = keyring.tenant_of(key).cloned().or_else(|| self.tokens.tenant_of(key));
        tenant.is_some_and(|tenant| by.scope().is_none_or(|own| *own == tenant))
    }

    /// Whether `key` is one that is kept, and may have limits of its own.
    #[must_use]
    pub fn keeps(&self, key: &KeyId) -> bool {
        self.keyring.load().keeps(key)
    }

    /// Looks whether someone else changed keys.
    ///
    /// # Errors
    /// [`StoreError`] when that cannot be known; what is known goes on serving.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        if self.parts.store.keys_head().await? != self.keyring.load().set.head {
            self.take(self.parts.store.keys().await?);
        }
        Ok(())
    }

    /// From now on `limits` go by what the keys say of theirs. Once, before requests are taken on.
    pub fn govern(&self, limits: Arc<Meters>) {
        let _ = self.limits.set(limits);
        self.tell_limits();
    }

    /// Lays what keys have of their own over the limits of all; to be called when these were changed.
    pub fn tell_limits(&self) {
        if let Some(limits) = self.limits.get() {
            limits.adopt(&self.keyring.load().set.keys, self.moment());
        }
    }

    fn moment(&self) -> Now {
        Now::of(self.parts.clock.as_ref())
    }

    /// Serves from `set` from now on, unless a newer one is served already.
    pub(crate) fn take(&self, set: KeySet) {
        let next = Arc::new(Keyring::new(set, self.bootstrap));
        self.keyring
            .rcu(|current| Arc::clone(if next.set.head > current.set.head { &next } else { current }));
        self.tell_limits();
    }

    /// Looks for changes of others for as long as it is awaited.
    pub async fn watch(&self) {
        let mut is_away = false;
        loop {
            self.parts.clock.sleep(LOOK_EVERY).await;
            match self.refresh().await {
                Ok(()) if std::mem::take(&mut is_away) => tracing::info!("the keys can be read again"),
                Ok(()) => {}
                Err(error) if !std::mem::replace(&mut is_away, true) => {
                    tracing::warn!(%error, "the keys cannot be read: those known so far are served with");
                }
                Err(_) => {}
            }
        }
    }
}
