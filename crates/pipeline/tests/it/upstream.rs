//! Each fault of the fault-injecting upstream, through the real provider client, router and pipeline: the right
//! answer or the right error, no attempt too many, nothing of the provider's own words, no call left open.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use domain::chat::Delivery;
use domain::id::{AgentName, InteractionId, ProviderName};
use domain::interaction::{Door, Outcome};
use domain::ports::{ChatModel, Clock, Ids};
use domain::principal::Principal;
use domain::residency::Residency;
use domain::time::Moment;
use futures_util::{FutureExt, StreamExt, stream};
use pipeline::listener::Listener;
use pipeline::parts::{Parts, Pipeline, RecordsConfig};
use pipeline::relay::{Answer, Broken, Passed, Refused, RelayTurn, hash};
use pipeline::turn::Turn;
use providers::Remote;
use providers::remote;
use registry::snapshot::Current;
use resilience::breakers::Breakers;
use resilience::shedding::{Class, Gate};
use routing::Router;
use testkit::{Behaviour, CountingIds, ManualClock, SeededRng, Upstream};
use tokio_util::task::TaskTracker;

use crate::bank;
use crate::house::{self, OnePassage, Unobserved};

mod expected;
mod vendor;

use expected::{EXPECTED, alone};
use vendor::{Pair, Vendor};

/// The key that both providers are called with.
const KEY: &str = "sk-live-canary-0123456789";
/// The providers' own words for an error.
const WORDS: &str = "provider says no";
const SECOND: &str = "This is the other answer.";
/// The answer of the first provider with each word twice.
const DOUBLED: &str = "This This is is the the mock mock answer.answer.";

/// How a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `/v1/chat/completions`, streamed.
    Streamed,
    /// The same in one piece.
    Whole,
    /// `/generate`.
    Generate,
}

/// Who stands below the provider that misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Below {
    /// Another provider, which answers.
    Second,
    Nobody,
}

/// Two providers, the first of which misbehaves, and the pipeline before them.
struct House {
    first: Upstream,
    second: Option<Upstream>,
    clock: ManualClock,
    client: outbound::Client,
    pipeline: Arc<Pipeline>,
    /// How long the first provider's clock may run fast for each of its calls, as the fault takes so long.
    stalls: Duration,
    caller: Vendor,
    /// Of the database.
    _folder: tempfile::TempDir,
}

fn provider(
    (client, clock): (&outbound::Client, &ManualClock),
    name: &str,
    (upstream, vendor): (&Upstream, Vendor),
) -> Arc<dyn ChatModel> {
    let origin = client.origin(&outbound::OriginConfig {
        base_url: vendor.base_url(upstream),
        allow_private: true,
        secret: Some(vendor.secret(KEY)),
    });
    let origin = origin.expect("an origin");
    Arc::new(Remote::new(remote::Parts {
        provider: ProviderName::from(name),
        origin,
        protocol: vendor.protocol(),
        signer: None,
        clock: Arc::new(clock.clone()),
        ids: Arc::new(CountingIds::default()),
    }))
}

/// How long a fault takes on the clock: until the first token's limit, or until the time of the tier is over. An
/// answer in one piece has no other limit.
fn stalls(behaviour: &Behaviour, way: Way, below: Below) -> Duration {
    let share = Duration::from_secs(if below == Below::Second { 31 } else { 61 });
    match (behaviour, way) {
        (Behaviour::HangAfterFinish, _) => Duration::from_secs(2),
        (Behaviour::Hang(_) | Behaviour::Comments, Way::Streamed | Way::Generate) => {
            Duration::from_millis(15_500)
        }
        (Behaviour::EndlessWords, Way::Streamed) => Duration::from_secs(61),
        (Behaviour::Hang(_) | Behaviour::Comments | Behaviour::EndlessWords, _) => share,
        _ => Duration::ZERO,
    }
}

impl House {
    fn new(behaviour: &Behaviour, way: Way, (below, pair): (Below, Pair)) -> Self {
        let first = Upstream::start(behaviour.clone());
        let answers = Behaviour::Answer(testkit::upstream::Answer::of(SECOND));
        let second = (below == Below::Second).then(|| Upstream::start(answers));
        let clock = ManualClock::new();
        let port: Arc<dyn Clock> = Arc::new(clock.clone());
        // While the clock runs fast, connecting must not look slow.
        let settings = outbound::Config { connect: Duration::from_secs(60), ..outbound::Config::default() };
        let client = outbound::Client::new(Arc::clone(&port), settings);
        let rng = Arc::new(SeededRng::new(7));
        let mut models = BTreeMap::from([(
            ProviderName::from("first"),
            provider((&client, &clock), "first", (&first, pair.provider)),
        )]);
        let mut tiers = vec![vec!["first/model".to_owned()]];
        if let Some(second) = &second {
            let model = provider((&client, &clock), "second", (second, pair.provider));
            models.insert(ProviderName::from("second"), model);
            tiers.push(vec!["second/model".to_owned()]);
        }
        let router = Router::new(routing::Parts {
            clock: Arc::clone(&port),
            rng: rng.clone(),
            breakers: Breakers::new(resilience::breaker::Config::default(), Arc::clone(&port), rng),
            policy: resilience::policy::Config::default(),
        });
        router.provide(models);
        let folder = tempfile::tempdir().expect("a folder");
        let store =
            store::Store::open(&folder.path().join("m.db"), &store::Config::default()).expect("a store");
        let shedding = (resilience::shedding::Config::default(), resilience::memory::Config::default());
        let gate = Arc::new(Gate::new(shedding, Arc::clone(&port)));
        let pipeline = Arc::new(Pipeline::new(Parts {
            limits: house::unlimited(),
            cached: pipeline::cached::Cached::without_vectors(&cache::Config::default(), Arc::clone(&port)),
            clock: port,
            ids: Arc::new(CountingIds::new()) as Arc<dyn Ids>,
            current: Arc::new(Current::new(house::snapshot(&tiers, house::Extras::default()))),
            gate,
            router: Arc::new(router),
            retriever: Arc::new(OnePassage),
            sessions: store.clone(),
            records: store,
            config: RecordsConfig::default(),
            tasks: TaskTracker::new(),
        }));
        let stalls = stalls(behaviour, way, below);
        Self { first, second, clock, client, pipeline, stalls, caller: pair.caller, _folder: folder }
    }

    /// Runs `work` while the clock runs: with real time, and fast while the first provider stalls.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let (mut n_calls, mut fast_left) = (0, Duration::ZERO);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
            if self.first.calls() > n_calls {
                (n_calls, fast_left) = (self.first.calls(), self.stalls);
            }
            let step = Duration::from_millis(if fast_left.is_zero() { 5 } else { 500 });
            fast_left = fast_left.saturating_sub(step);
            self.clock.advance(step);
        }
    }

    fn deadline(&self) -> Moment {
        self.clock.now().after(Duration::from_secs(60))
    }

    /// Asks on `way`: what came of it in a word, and all that the customer could see.
    async fn ask(&self, way: Way) -> (String, String) {
        match way {
            Way::Generate => self.generate().await,
            Way::Streamed => self.relay(Delivery::Streamed).await,
            Way::Whole => self.relay(Delivery::Whole).await,
        }
    }

    async fn generate(&self) -> (String, String) {
        let interaction = InteractionId::from("int_1");
        let turn = Turn {
            text: "Say hello to my team.".to_owned(),
            agent: Some(AgentName::from("chat")),
            ..Turn::new(interaction, Door::Generate, Principal::open(), self.deadline())
        };
        let reply = Box::pin(self.pipeline.run(turn, Listener::Silent)).await.expect("a reply");
        let word = match (reply.interaction.outcome, reply.response.as_str()) {
            (Outcome::Degraded, text) if text.contains(bank::STATIC) => "degraded".to_owned(),
            (Outcome::Answered, Behaviour::TEXT) => "first".to_owned(),
            (Outcome::Answered, SECOND) => "second".to_owned(),
            (Outcome::Answered, DOUBLED) => "doubled".to_owned(),
            (outcome, text) => format!("{}: {text}", outcome.name()),
        };
        (word, format!("{reply:?}"))
    }

    async fn relay(&self, delivery: Delivery) -> (String, String) {
        let relayed = self.caller.asked(delivery);
        let snapshot = self.pipeline.current().pin();
        let turn = RelayTurn {
            interaction: InteractionId::from("int_1"),
            principal: Principal::open(),
            route: Arc::clone(&snapshot.default_agent.route),
            snapshot,
            request_hash: hash(&relayed.body),
            relayed: Arc::new(relayed),
            deadline: self.deadline(),
            streams_until: Some(self.deadline()),
            residency: Residency::Anywhere,
            affinity: None,
            class: Class::Interactive,
            cache: domain::cache::Wish::Default,
            observer: Arc::new(Unobserved),
            watcher: None,
        };
        let relaying = match Box::pin(self.pipeline.relay(turn)).await {
            Ok(relaying) => relaying,
            Err(Refused::Unanswered(mut unanswered)) => {
                // Whoever speaks the dialect is told in the provider's words why it refused the request itself.
                let reply = unanswered.reply.take();
                let word = match &reply {
                    Some(reply) if (400..500).contains(&reply.status) => format!("refused {}", reply.status),
                    _ => "unanswered".to_owned(),
                };
                let shown =
                    format!("{unanswered:?} {unanswered} {}", format!("{reply:?}").replace(WORDS, ""));
                return (word, shown);
            }
            Err(refused) => return (format!("{refused}"), String::new()),
        };
        let (mut bytes, mut broken) = (Vec::new(), None);
        match relaying.answer {
            Answer::Whole(whole) => bytes.extend_from_slice(&whole.bytes),
            Answer::Streamed(mut stream) => {
                while let Some(passed) = stream.next().await {
                    assert!(broken.is_none(), "nothing follows an error");
                    match passed {
                        Passed::Bytes(more) => bytes.extend_from_slice(&more),
                        Passed::Broken(Broken::Incomplete(error)) => broken = Some(error),
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
        let text = self.caller.shown(&bytes, delivery);
        let has_marker = text.contains(self.caller.end_marker());
        let words = self.caller.words(&text);
        let word = match (&broken, words.as_str()) {
            (Some(_), _) if has_marker => "a clean end of a broken answer".to_owned(),
            (Some(_), _) if words.starts_with("This ") || words.contains("more more") => "broken".to_owned(),
            (None, "This is ") => "cut".to_owned(),
            (None, DOUBLED) => "doubled".to_owned(),
            (None, "") => "empty".to_owned(),
            (None, Behaviour::TEXT) => "first".to_owned(),
            (None, SECOND) => "second".to_owned(),
            (broken, words) => format!("{words} {broken:?}"),
        };
        (word, format!("{text} {broken:?}"))
    }
}

/// Real time is short here: what takes its time is faster than its namesake.
fn hurried(name: &str, behaviour: Behaviour) -> Behaviour {
    match name {
        "drip" => Behaviour::SlowDrip(Duration::from_micros(200)),
        _ => behaviour,
    }
}

async fn check(name: &str, behaviour: &Behaviour, way: Way, (below, pair): (Below, Pair)) -> String {
    let house = House::new(behaviour, way, (below, pair));
    let (word, shown) = house.in_time(house.ask(way)).await;
    let at = format!("{name} {way:?} {below:?} {pair:?}");
    assert!(!shown.contains("canary"), "{at} shows the key: {shown}");
    assert!(!shown.contains(WORDS), "{at} shows the provider's words: {shown}");
    let (n_first, n_second) = (house.first.calls(), house.second.as_ref().map_or(0, Upstream::calls));
    // Two in each tier and three in all; an answer that does not hold is made again at most twice.
    let (in_tier_max, in_all_max) = if way == Way::Generate { (3, 5) } else { (2, 3) };
    assert!(n_first.max(n_second) <= in_tier_max, "{at}: {n_first} + {n_second} calls");
    assert!(n_first + n_second <= in_all_max, "{at}: {n_first} + {n_second} calls");
    let is_tried_elsewhere =
        matches!(word.as_str(), "second" | "unanswered" | "degraded") || way == Way::Generate;
    assert!(is_tried_elsewhere || n_second == 0, "{at}: {word}, and the other provider was called");
    for upstream in std::iter::once(&house.first).chain(&house.second) {
        let mut n_waits = 0;
        while upstream.calls_in_flight() > 0 {
            n_waits += 1;
            // Ten seconds: whether it is closed at all; on a busy machine a frame of 40 MiB takes its time.
            assert!(n_waits < 2_000, "{at}: a call is left open");
            tokio::time::sleep(Duration::from_millis(5)).await;
            house.clock.advance(Duration::from_millis(5));
        }
    }
    house.client.close().await;
    word
}

/// Every behaviour on each of `ways`, with and without a second provider.
async fn check_all(pair: Pair, ways: &[Way]) {
    let named = Behaviour::named();
    let is_asked =
        |behaviour: &Behaviour| !matches!(behaviour, Behaviour::Frame(_)) || pair.provider == Vendor::Bedrock;
    let names: BTreeSet<&str> = EXPECTED.iter().flat_map(|(names, _)| names.iter().copied()).collect();
    assert!(
        names.iter().copied().eq(named.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>()),
        "one row for each"
    );
    let mut cases = Vec::new();
    for (name, behaviour) in named.into_iter().filter(|(_, behaviour)| is_asked(behaviour)) {
        let behaviour = hurried(name, behaviour);
        for way in ways.iter().copied() {
            let (behaviour, want) = (behaviour.clone(), expected::of(name, way, pair));
            cases.push(
                async move {
                    let got = check(name, &behaviour, way, (Below::Second, pair)).await;
                    let got_alone = check(name, &behaviour, way, (Below::Nobody, pair)).await;
                    let wants = (want.to_owned(), alone(name, way, want));
                    ((got.clone(), got_alone.clone()) != wants)
                        .then(|| format!("{name} {way:?}: {got:?} and {got_alone:?}, not {wants:?}"))
                }
                .boxed_local(),
            );
        }
    }
    let wrong: Vec<String> =
        stream::iter(cases).buffer_unordered(24).filter_map(async |wrong| wrong).collect().await;
    assert!(wrong.is_empty(), "{pair:?}\n{}", wrong.join("\n"));
}

/// Every pair of who asks and who answers.
macro_rules! pairs {
    ($($test:ident: $caller:ident asks $provider:ident, $ways:expr;)*) => {$(
        #[tokio::test]
        async fn $test() {
            let pair = Pair { caller: Vendor::$caller, provider: Vendor::$provider };
            check_all(pair, &$ways).await;
        }
    )*};
}

/// All that nothing else covers: what `/generate` reads is what is read to be translated.
const ALL: [Way; 3] = [Way::Streamed, Way::Whole, Way::Generate];
const RELAYED: [Way; 2] = [Way::Streamed, Way::Whole];

pairs! {
    every_fault_of_openai_for_its_own_callers: OpenAi asks OpenAi, ALL;
    every_fault_of_anthropic_for_openais_callers: OpenAi asks Anthropic, RELAYED;
    every_fault_of_bedrock_for_openais_callers: OpenAi asks Bedrock, RELAYED;
    every_fault_of_gemini_for_openais_callers: OpenAi asks Gemini, ALL;
    every_fault_of_openai_for_anthropics_callers: Anthropic asks OpenAi, RELAYED;
    every_fault_of_anthropic_for_its_own_callers: Anthropic asks Anthropic, ALL;
    every_fault_of_bedrock_for_anthropics_callers: Anthropic asks Bedrock, RELAYED;
    every_fault_of_gemini_for_anthropics_callers: Anthropic asks Gemini, RELAYED;
    every_fault_of_openai_for_bedrocks_callers: Bedrock asks OpenAi, RELAYED;
    every_fault_of_anthropic_for_bedrocks_callers: Bedrock asks Anthropic, RELAYED;
    every_fault_of_bedrock_for_its_own_callers: Bedrock asks Bedrock, ALL;
    every_fault_of_gemini_for_bedrocks_callers: Bedrock asks Gemini, RELAYED;
    every_fault_of_bedrock_for_claudes_own_callers: Invoke asks Bedrock, RELAYED;
    every_fault_of_openai_for_claudes_callers: Invoke asks OpenAi, RELAYED;
}
