//! The main path end to end, over scripted models, a retriever that finds what it is told, and a store that can
//! be away.
//!
//! Reading order: this file (the house that turns run in), then one file for each promise.

#[path = "../../tests/it/bank.rs"]
mod bank;
mod doubles;
mod endings;
mod failures;
mod generations;
mod limited;
mod records;
mod relayed;
mod repeated;
mod shed;
mod streaming;

use access::limits::{Meters, Now};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::chat::{Finish, Message};
use domain::document::Retrieved;
use domain::id::{AgentName, InteractionId, ProviderName, SessionId};
use domain::interaction::{Door, Interaction, Outcome};
use domain::model::Tier;
use domain::ports::{ChatModel, Clock, Embedder, Ids, Records, Sessions};
use domain::principal::Principal;
use domain::residency::Residency;
use providers::Translated;
use registry::folder::Folder;
use registry::routes::{
    AssuredName, HedgeName, ModelConfig, OverridesConfig, ProviderPlaces, RouteConfig, Settings,
    StrategyName, TargetConfig, TierConfig, TierName, UnknownUseCase,
};
use registry::snapshot::{BuildSettings, Current, Snapshot};
use resilience::breakers::Breakers;
use resilience::memory;
use resilience::shedding::{self, Class, Gate};
use routing::Router;
use testkit::{CountingIds, Reply as Script, ScriptedModel, SeededRng, Step, TokioClock};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::cached::Cached;
use crate::listener::{Event, Listener};
use crate::parts::{Parts, Pipeline, RecordsConfig};
use crate::turn::{Reply, Turn, TurnError};
use bank::{PASSAGE, STATIC};
use doubles::{FakeRetriever, Finds, Ledger};

/// What is asked, and a sentence that answers it from the passage.
const QUESTION: &str = "Up to what amount is a deposit insured?";
const GOOD: &str = "Deposits at an insured bank are covered up to $250,000 per depositor.";
const ALSO_GOOD: &str = " Joint accounts are insured separately.";
/// Its number stands in no source.
const BAD: &str = " Deposits at an insured bank are covered up to $900,000 per depositor.";
/// Long and clear, but of nothing that the knowledge holds.
const OFF_TOPIC: &str = "How much rain falls over Patagonia during the autumn months of a normal year?";

/// Whatever a pipeline runs in.
struct House {
    pipeline: Arc<Pipeline>,
    clock: TokioClock,
    models: Vec<Arc<ScriptedModel>>,
    retriever: Arc<FakeRetriever>,
    ledger: Arc<Ledger>,
    ids: CountingIds,
}

/// What a house is built of.
struct Plan {
    /// The rungs of the route and what their models say.
    rungs: Vec<(TierName, Vec<Script>)>,
    unknown_use_case: UnknownUseCase,
    config: RecordsConfig,
    shedding: shedding::Config,
    limits: access::limits::Config,
    /// In place of the ledger.
    store: Option<Arc<store::Store>>,
    embedder: Option<Arc<dyn Embedder>>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            rungs: Vec::new(),
            unknown_use_case: UnknownUseCase::Default,
            config: RecordsConfig::default(),
            shedding: shedding::Config::default(),
            limits: access::limits::Config::default(),
            store: None,
            embedder: None,
        }
    }
}

/// `cloud/big` first, then `other/small`, then `embedded/default`.
fn model_of(rung: TierName) -> &'static str {
    match rung {
        TierName::Primary => "cloud/big",
        TierName::Fallback => "other/small",
        TierName::Embedded => "embedded/default",
    }
}

impl House {
    fn new(rungs: Vec<(TierName, Vec<Script>)>) -> Self {
        Self::build(Plan { rungs, ..Plan::default() })
    }

    /// One remote model that says `answers`, one a call.
    fn saying(answers: &[&str]) -> Self {
        Self::new(vec![(TierName::Primary, scripts(answers))])
    }

    fn build(plan: Plan) -> Self {
        let clock = TokioClock::new();
        let shared: Arc<dyn Clock> = Arc::new(clock);
        let rng = Arc::new(SeededRng::new(7));
        let tiers = plan.rungs.iter().map(|(rung, _)| *rung).collect::<Vec<_>>();
        let models: Vec<_> = plan
            .rungs
            .into_iter()
            .map(|(_, script)| Arc::new(ScriptedModel::new(Arc::clone(&shared), script)))
            .collect();
        let named = tiers.iter().zip(&models).map(|(rung, model)| {
            let provider = model_of(*rung).split('/').next().expect("a provider");
            let ids = Arc::new(CountingIds::new());
            let model = Translated::new(Arc::clone(model) as _, Arc::clone(&shared), ids);
            (ProviderName::from(provider), Arc::new(model) as Arc<dyn ChatModel>)
        });
        let router = Router::new(routing::Parts {
            clock: Arc::clone(&shared),
            rng: rng.clone(),
            breakers: Breakers::new(resilience::breaker::Config::default(), Arc::clone(&shared), rng),
            policy: resilience::policy::Config::default(),
        });
        router.provide(named.collect());
        let retriever = Arc::new(FakeRetriever::new(finds(0.9)));
        let ledger = Arc::new(Ledger::default());
        let (sessions, records): (Arc<dyn Sessions>, Arc<dyn Records>) = match plan.store {
            Some(store) => (store.clone(), store),
            None => (ledger.clone(), ledger.clone()),
        };
        let snapshot = snapshot(&tiers, plan.unknown_use_case);
        let now = Now { moment: clock.now(), wall: clock.wall() };
        let limits = Meters::new(&plan.limits, now).expect("valid limits");
        let embedder = plan.embedder;
        let cached = Cached {
            sentences: Arc::new(move || embedder.clone()),
            ..Cached::without_vectors(&cache::Config::default(), Arc::clone(&shared))
        };
        let pipeline = Arc::new(Pipeline::new(Parts {
            limits: Arc::new(limits),
            clock: Arc::clone(&shared),
            ids: Arc::new(CountingIds::new()),
            current: Arc::new(Current::new(snapshot)),
            router: Arc::new(router),
            retriever: retriever.clone(),
            sessions,
            records,
            cached,
            config: plan.config,
            gate: Arc::new(Gate::new((plan.shedding, memory::Config::default()), shared)),
            tasks: TaskTracker::new(),
        }));
        Self { pipeline, clock, models, retriever, ledger, ids: CountingIds::new() }
    }

    fn turn(&self, text: &str) -> Turn {
        let interaction = InteractionId::new(format!("int_{:032x}", self.ids.next_id()));
        let deadline = self.clock.now().after(Duration::from_secs(60));
        let turn = Turn::new(interaction, Door::Query, Principal::open(), deadline);
        Turn { text: text.to_owned(), ..turn }
    }

    /// Runs `turn` silently and checks that it left exactly one record, the reply's own.
    async fn run(&self, turn: Turn) -> Reply {
        let n_before = self.ledger.recorded().len();
        let reply = Box::pin(self.pipeline.run(turn.clone(), Listener::Silent)).await.expect("a reply");
        let recorded = self.ledger.recorded();
        assert_eq!(recorded.len(), n_before + 1, "one record a turn");
        let record = &recorded[n_before].interaction;
        assert_eq!(record.id, turn.interaction);
        assert_eq!(record.outcome, reply.interaction.outcome);
        reply
    }

    async fn ask(&self, text: &str) -> Reply {
        self.run(self.turn(text)).await
    }

    /// `/generate` for `agent`.
    async fn generate(&self, agent: &str, text: &str) -> Reply {
        let agent = Some(AgentName::from(agent));
        self.run(Turn { door: Door::Generate, agent, ..self.turn(text) }).await
    }

    /// Runs `turn` for a client that listens: the reply, and all text that was released, in its pieces. Nothing
    /// that was released is taken back.
    async fn listen(&self, turn: Turn) -> (Reply, Vec<String>) {
        let (sender, mut events) = mpsc::channel(256);
        let running = self.pipeline.run(turn, Listener::Live(sender));
        let reading = async {
            let mut released = Vec::new();
            while let Some(event) = events.recv().await {
                if let Event::Text(text) = event {
                    released.push(text);
                }
            }
            released
        };
        let (reply, released) = Box::pin(async { futures_util::join!(running, reading) }).await;
        let reply = reply.expect("a reply");
        assert!(reply.response.starts_with(&released.concat()), "{released:?} then {:?}", reply.response);
        assert_eq!(self.ledger.recorded().len(), 1, "one record a turn");
        (reply, released)
    }

    /// What the model at `index` was asked in its calls.
    fn prompts(&self, index: usize) -> Vec<Vec<Message>> {
        self.models[index].calls().iter().map(|call| call.request.messages.clone()).collect()
    }

    fn n_calls(&self, index: usize) -> usize {
        self.models[index].calls().len()
    }
}

fn scripts(answers: &[&str]) -> Vec<Script> {
    answers.iter().map(|answer| Script::text(answer)).collect()
}

/// An answer that stops for `finish` instead of by itself.
fn cut(text: &str, finish: Finish) -> Script {
    Script::Steps(vec![Step::Delta(text.to_owned()), Step::Done(finish, None)])
}

/// The passage, found with `confidence`, where 0.5 is enough.
fn finds(confidence: f32) -> Finds {
    Finds::Passages(Retrieved { passages: vec![bank::passage()], confidence, abstain_below: 0.5 })
}

/// How an interaction ended, in the words of a reply.
fn told(interaction: &Interaction) -> (Outcome, Option<Tier>, &str) {
    (interaction.outcome, interaction.tier, interaction.model_used.as_deref().unwrap_or("none"))
}

fn step_names(interaction: &Interaction) -> Vec<&str> {
    interaction.steps.iter().map(|step| step.name).collect()
}

fn snapshot(tiers: &[TierName], unknown_use_case: UnknownUseCase) -> Snapshot {
    let target = |rung: TierName| TargetConfig::of(model_of(rung));
    let tier = |rung: &TierName| TierConfig {
        name: *rung,
        strategy: StrategyName::Weighted,
        quality_min: None,
        sticky: None,
        prefer: None,
        targets: vec![target(*rung)],
        overrides: OverridesConfig::default(),
    };
    let prices = |input| ModelConfig {
        price_input_per_million: Some(input),
        price_output_per_million: Some(1.0),
        ..ModelConfig::default()
    };
    let mut routes = Settings {
        models: BTreeMap::from([
            ("cloud/big".to_owned(), prices(1.0)),
            ("other/small".to_owned(), prices(0.5)),
        ]),
        routes: BTreeMap::from([(
            "standard".to_owned(),
            RouteConfig {
                tiers: tiers.iter().map(tier).collect(),
                hedge: HedgeName::Off,
                assured: AssuredName::Off,
                cache: None,
            },
        )]),
        providers: ["cloud", "other"].map(|name| (name.to_owned(), ProviderPlaces::default())).into(),
        ..Settings::default()
    };
    routes.defaults.unknown_use_case = unknown_use_case;
    let settings =
        BuildSettings { routes, file: "mainstay.toml".to_owned(), session_ttl: Duration::from_secs(3_600) };
    Snapshot::build(&folder(), &settings).expect("a snapshot")
}

/// Agents `general` (kept for a session), `private` (nothing kept), `kept` (everything kept), `chat` (without
/// knowledge), `cached`, `own` and `alike` (which give answers again: to the same question, to the same key, to questions
/// that mean the same).
fn folder() -> Folder {
    let agents = [
        ("general", "knowledge = [\"finance\"]\n"),
        ("private", "knowledge = [\"finance\"]\nretention = \"none\"\n"),
        ("kept", "knowledge = [\"finance\"]\nretention = \"record\"\nretention_generate = \"record\"\n"),
        ("chat", ""),
        ("cached", "knowledge = [\"finance\"]\n[cache]\nttl = \"10m\"\n"),
        ("own", "knowledge = [\"finance\"]\n[cache]\nscope = \"key\"\n"),
        ("alike", "knowledge = [\"finance\"]\n[cache]\nmatching = \"semantic\"\n"),
    ];
    let mut examples = String::new();
    for subject in ["wire", "card", "account", "transfer", "check", "late", "annual", "monthly"] {
        for (intent, text) in [
            ("fee", format!("what is the {subject} fee")),
            ("insurance", format!("is my {subject} deposit insured")),
            ("person", format!("let me speak to someone about my {subject}")),
        ] {
            examples.push_str(&format!("{{\"text\":\"{text}\",\"intent\":\"{intent}\"}}\n"));
        }
    }
    bank::folder(&agents, GUARDRAILS, &examples)
}

const GUARDRAILS: &str = "schema = 1\nid = \"default\"\n\
    [messages]\ninput = \"Please leave secrets out.\"\noutput = \"This was withheld.\"\n\
    [[rules]]\nid = \"secret\"\nkind = \"pattern\"\npattern = \"hunter2\"\naction = \"block\"\nsides = [\"input\", \"output\"]\n\
    [[rules]]\nid = \"account\"\nkind = \"pattern\"\npattern = 'acct-\\d+'\naction = \"mask\"\nsides = [\"input\", \"output\"]\n";

/// Turns of one session and what they need.
fn in_session(turn: Turn, session: &str) -> Turn {
    Turn { session: Some(SessionId::from(session)), ..turn }
}

/// The error of a turn that gets no reply.
async fn refused(house: &House, turn: Turn) -> TurnError {
    Box::pin(house.pipeline.run(turn, Listener::Silent)).await.expect_err("no reply")
}
