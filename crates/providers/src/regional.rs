//! A provider with several regions: each call goes to the client of its own, and never to another.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::chat::{ChatCall, ConverseCall, RelayCall};
use domain::fault::Fault;
use domain::id::{ProviderName, RegionName};
use domain::ports::{BoxFuture, CallError, ChatModel, ChatStream, ModelError, RelayedStream, SayingStream};
use parking_lot::Mutex;

type Clients = BTreeMap<RegionName, Arc<dyn ChatModel>>;

/// Makes the client of a region that the settings do not name.
pub(crate) type Known = Box<dyn Fn(&RegionName) -> Result<Arc<dyn ChatModel>, ModelError> + Send + Sync>;

/// The clients of a provider.
pub(crate) struct Regional {
    provider: ProviderName,
    home: Arc<dyn ChatModel>,
    regions: Clients,
    known: Option<Known>,
    /// Those of regions that the settings do not name, as they are first called; routes name them, so they are few.
    others: Mutex<Clients>,
}

impl Regional {
    pub(crate) fn new(provider: ProviderName, home: Arc<dyn ChatModel>, regions: Clients) -> Self {
        Self { provider, home, regions, known: None, others: Mutex::default() }
    }

    /// The same for a provider that has more regions than the settings name.
    pub(crate) fn with_known(self, known: Known) -> Self {
        Self { known: Some(known), ..self }
    }

    fn client(&self, region: Option<&RegionName>) -> Result<Arc<dyn ChatModel>, ModelError> {
        let Some(region) = region else { return Ok(Arc::clone(&self.home)) };
        if let Some(client) = self.regions.get(region) {
            return Ok(Arc::clone(client));
        }
        let Some(known) = &self.known else {
            // A change of the configuration may have taken it away while the turn was under way.
            let detail = format!("`{}` has no region `{region}`", self.provider);
            return Err(ModelError { fault: Fault::unavailable(), detail });
        };
        let mut others = self.others.lock();
        if let Some(client) = others.get(region) {
            return Ok(Arc::clone(client));
        }
        let client = known(region)?;
        others.insert(region.clone(), Arc::clone(&client));
        Ok(client)
    }
}

impl ChatModel for Regional {
    fn chat(&self, call: ChatCall) -> BoxFuture<'_, Result<ChatStream, CallError>> {
        match self.client(call.region.as_ref()) {
            Ok(client) => Box::pin(async move { client.chat(call).await }),
            Err(error) => Box::pin(std::future::ready(Err(error.into()))),
        }
    }

    fn relay(&self, call: RelayCall) -> BoxFuture<'_, Result<RelayedStream, CallError>> {
        match self.client(call.region.as_ref()) {
            Ok(client) => Box::pin(async move { client.relay(call).await }),
            Err(error) => Box::pin(std::future::ready(Err(error.into()))),
        }
    }

    fn converse(&self, call: ConverseCall) -> BoxFuture<'_, Result<SayingStream, CallError>> {
        match self.client(call.region.as_ref()) {
            Ok(client) => Box::pin(async move { client.converse(call).await }),
            Err(error) => Box::pin(std::future::ready(Err(error.into()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::id::ModelId;
    use domain::time::Moment;
    use futures_util::FutureExt;

    use super::*;

    /// Says its name in its refusal.
    struct Named(&'static str);

    impl ChatModel for Named {
        fn chat(&self, _: ChatCall) -> BoxFuture<'_, Result<ChatStream, CallError>> {
            let error = ModelError { fault: Fault::unavailable(), detail: self.0.to_owned() };
            Box::pin(std::future::ready(Err(error.into())))
        }
    }

    fn asked(regional: &Regional, region: Option<&str>) -> String {
        let call = ChatCall {
            model: ModelId::from("p/m"),
            region: region.map(RegionName::from),
            request: Arc::default(),
            deadline: Moment::default(),
            trace: None,
            meter: domain::meter::Meter::default(),
        };
        let ended = regional.chat(call).now_or_never().expect("at once");
        ended.err().expect("a refusal").error.detail
    }

    #[test]
    fn a_region_that_is_known_by_name_has_one_client() {
        let n_made = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let made = Arc::clone(&n_made);
        let regions = [(RegionName::from("eu"), Arc::new(Named("eu")) as Arc<dyn ChatModel>)].into();
        let regional = Regional::new(ProviderName::from("p"), Arc::new(Named("home")), regions);
        let regional = regional.with_known(Box::new(move |_| {
            made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(Arc::new(Named("known")))
        }));
        let found =
            [None, Some("eu"), Some("us-west-2"), Some("us-west-2")].map(|region| asked(&regional, region));
        assert_eq!(found, ["home", "eu", "known", "known"]);
        assert_eq!(n_made.load(std::sync::atomic::Ordering::Relaxed), 1);
    }

    #[test]
    fn a_call_goes_to_its_own_region_and_never_to_another() {
        let regions = [("eu", Arc::new(Named("eu")) as Arc<dyn ChatModel>), ("us", Arc::new(Named("us")))];
        let regions = regions.map(|(name, client)| (RegionName::from(name), client)).into();
        let regional = Regional::new(ProviderName::from("p"), Arc::new(Named("home")), regions);
        for (region, want) in [
            (None, "home"),
            (Some("eu"), "eu"),
            (Some("us"), "us"),
            (Some("mars"), "`p` has no region `mars`"),
        ] {
            assert_eq!(asked(&regional, region), want);
        }
    }
}
