//! A provider with several regions: each call goes to the client of its own, and never to another.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::chat::{ChatCall, RelayCall};
use domain::fault::Fault;
use domain::id::{ProviderName, RegionName};
use domain::ports::{BoxFuture, ChatModel, ChatStream, ModelError, RelayError, RelayedStream};

/// The clients of a provider.
pub(crate) struct Regional {
    provider: ProviderName,
    home: Arc<dyn ChatModel>,
    regions: BTreeMap<RegionName, Arc<dyn ChatModel>>,
}

impl Regional {
    pub(crate) fn new(
        provider: ProviderName,
        home: Arc<dyn ChatModel>,
        regions: BTreeMap<RegionName, Arc<dyn ChatModel>>,
    ) -> Self {
        Self { provider, home, regions }
    }

    fn client(&self, region: Option<&RegionName>) -> Result<&dyn ChatModel, ModelError> {
        let Some(region) = region else { return Ok(&*self.home) };
        // A change of the configuration may have taken it away while the turn was under way.
        self.regions.get(region).map(|client| &**client).ok_or_else(|| {
            let detail = format!("`{}` has no region `{region}`", self.provider);
            ModelError { fault: Fault::unavailable(), detail }
        })
    }
}

impl ChatModel for Regional {
    fn chat(&self, call: ChatCall) -> BoxFuture<'_, Result<ChatStream, ModelError>> {
        match self.client(call.region.as_ref()) {
            Ok(client) => client.chat(call),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn relay(&self, call: RelayCall) -> BoxFuture<'_, Result<RelayedStream, RelayError>> {
        match self.client(call.region.as_ref()) {
            Ok(client) => client.relay(call),
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
        fn chat(&self, _: ChatCall) -> BoxFuture<'_, Result<ChatStream, ModelError>> {
            let error = ModelError { fault: Fault::unavailable(), detail: self.0.to_owned() };
            Box::pin(std::future::ready(Err(error)))
        }
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
            let call = ChatCall {
                model: ModelId::from("p/m"),
                region: region.map(RegionName::from),
                request: Arc::default(),
                deadline: Moment::default(),
            };
            let ended = regional.chat(call).now_or_never().expect("at once");
            assert_eq!(ended.err().expect("a refusal").detail, want);
        }
    }
}
