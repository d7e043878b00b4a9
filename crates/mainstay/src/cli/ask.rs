//! `mainstay ask QUESTION`: streams the answer with its sources, from a running server or composed here.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use api::health::Startup;
use clap::Args;
use domain::id::{AgentName, InteractionId, prefixed};
use domain::interaction::Door;
use domain::ports::{Clock, Ids};
use domain::principal::Principal;
use indicatif::ProgressBar;
use outbound::OutboundError;
use pipeline::listener::{Event, Listener, StepState};
use pipeline::turn::Turn;
use resilience::shedding::Gate;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cli::client::{ClientError, Told};
use crate::cli::reach::Reach;
use crate::cli::{Found, Places, terminal};
use crate::clock::{SystemClock, SystemIds};
use crate::compose::{Ground, compose};
use crate::{data, models};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// What to ask. Where no server runs on this machine, everything is started here for this one question.
    question: String,
    /// The agent to ask [default: the configured one].
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    #[command(flatten)]
    reach: Reach,
    /// Embedded model for a question that is answered here: a name of models.toml, `auto` or `none`.
    #[arg(long, value_name = "NAME|none")]
    model: Option<String>,
    #[command(flatten)]
    places: Places,
    /// Print the whole reply as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(options: Options) -> anyhow::Result<Found> {
    let clock = Arc::new(SystemClock::new());
    let mut screen = Screen::new(&options);
    let server = options.reach.server(Arc::clone(&clock))?;
    let asked = server.query(&options.question, options.agent.as_deref(), |told| screen.tell(told)).await;
    let answer = match asked {
        Ok(answer) => answer,
        Err(ClientError::Unreachable { url, source: OutboundError::Connect { .. } })
            if options.reach.is_here() =>
        {
            terminal::remark(format!("(no server answers at {url}: the answer is made here)"));
            Box::pin(ask_here(&options, clock, &mut screen)).await?
        }
        Err(error) => return Err(error.into()),
    };
    screen.finish(&answer);
    Ok(Found::Good)
}

/// What the terminal shows.
struct Screen {
    spinner: Option<ProgressBar>,
    printed: String,
    is_json: bool,
}

impl Screen {
    fn new(options: &Options) -> Self {
        let spinner = terminal::is_watched().then(ProgressBar::new_spinner);
        if let Some(spinner) = &spinner {
            spinner.enable_steady_tick(Duration::from_millis(120));
        }
        Self { spinner, printed: String::new(), is_json: options.json }
    }

    fn doing(&self, what: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(what.replace('_', " "));
        }
    }

    fn tell(&mut self, told: Told<'_>) {
        match told {
            Told::Step { name, is_running: true } => self.doing(name),
            Told::Step { .. } => {}
            Told::Text(text) => {
                self.stop_spinner();
                if !self.is_json {
                    terminal::part(text);
                }
                self.printed.push_str(text);
            }
        }
    }

    fn stop_spinner(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }

    fn finish(mut self, answer: &Value) {
        self.stop_spinner();
        if self.is_json {
            terminal::line(answer.to_string());
            return;
        }
        let response = answer["response"].as_str().unwrap_or_default();
        // What was streamed is the beginning of the reply: only the rest is new.
        terminal::line(response.strip_prefix(self.printed.as_str()).unwrap_or(response));
        let citations = answer["citations"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !citations.is_empty() {
            terminal::line("\nSources:");
        }
        for citation in citations {
            let text = |name: &str| citation[name].as_str().unwrap_or_default().to_owned();
            terminal::line(format!("  [{}] {}: {}", citation["n"], text("title"), text("source")));
        }
        let words = |name: &str| answer[name].as_str().unwrap_or("none").to_owned();
        terminal::remark(format!("({}; {}, tier {})", words("outcome"), words("model_used"), words("tier")));
    }
}

async fn ask_here(options: &Options, clock: Arc<SystemClock>, screen: &mut Screen) -> anyhow::Result<Value> {
    screen.doing("starting");
    let _lock = data::lock(&options.places.data)?;
    let source = options.places.source();
    let folder = source.read()?;
    let mut loaded = tokio::task::spawn_blocking(move || source.load(folder)).await??;
    if let Some(model) = &options.model {
        loaded.choose_model(model)?;
    }
    let request_timeout = loaded.config.server.request_timeout;
    let startup = Arc::new(Startup::default());
    let resilience = &loaded.config.resilience;
    let gate = Gate::new((resilience.shedding, resilience.memory), Arc::clone(&clock) as _);
    let ground = Ground {
        clock: Arc::clone(&clock),
        data: options.places.data.clone(),
        startup: Arc::clone(&startup),
        gate: Arc::new(gate),
        access: Arc::default(),
        telemetry: None,
        shutdown: CancellationToken::new(),
    };
    let wanted = models::Wanted::of(&loaded, &ground.data);
    let assembly = compose(loaded, ground).await?;
    let starting = models::start(Arc::clone(&assembly), wanted);
    tokio::pin!(starting);
    loop {
        tokio::select! {
            () = &mut starting => break,
            () = clock.sleep(Duration::from_millis(200)) => screen.doing(&startup.describe()),
        }
    }
    let interaction = InteractionId::new(prefixed("int", SystemIds::default().next_id()));
    let deadline = clock.now().after(request_timeout);
    let turn = Turn {
        text: options.question.clone(),
        agent: options.agent.as_deref().map(AgentName::from),
        ..Turn::new(interaction, Door::Query, Principal::open(), deadline)
    };
    let (sender, mut events) = mpsc::channel(64);
    let running = assembly.pipeline.run(turn, Listener::Live(sender));
    let showing = async {
        while let Some(event) = events.recv().await {
            match &event {
                Event::Step { name, state } => {
                    screen.tell(Told::Step { name, is_running: *state == StepState::Started });
                }
                Event::Text(text) => screen.tell(Told::Text(text)),
            }
        }
    };
    let (reply, ()) = Box::pin(async { futures_util::join!(running, showing) }).await;
    assembly.close().await;
    Ok(api::reply_body(&reply.context("no answer")?))
}
