//! Those who ask an agent, and say what they think of its answer.

use std::{pin::Pin, time::Duration};

use domain::feedback::{Feedback, FeedbackKind};
use domain::id::{AgentName, FeedbackId, InteractionId, TargetId};
use domain::interaction::{Door, Interaction, Outcome};
use domain::ports::Clock;
use domain::time::Moment;
use pipeline::feedback::Taken;
use pipeline::listener::{Event, Listener};
use pipeline::turn::{Recorded, Reply, Turn, TurnError};
use resilience::shedding::Class;
use tokio::sync::mpsc;

use super::{Ended, Message, Visitor};
use crate::bank::STATIC;
use crate::simulation::disk::DiskWas;
use crate::simulation::process::Process;
use crate::simulation::promises::{self, Extent};
use crate::simulation::turns::{Call, CallEnd, Way, mark, numbered};
use crate::simulation::world::{Chance, World};

impl Visitor<'_> {
    /// A turn of an agent; how it ended, where it has a reply of its own.
    pub(super) async fn run(
        &mut self,
        process: &Process,
        turn: u64,
        way: Way,
    ) -> Ended<Option<(Outcome, Recorded)>> {
        let seen = self.seen(turn);
        let session_slot = self.rng.below(self.world().options.visitors.n_sessions);
        let message = (way == Way::Query).then(|| self.message(session_slot, turn));
        let agent =
            if self.rng.percent(if way == Way::Query { 30 } else { 10 }) { "general" } else { "chat" };
        // Whoever asks the same again asks in the same words.
        let is_new = message.as_ref().is_none_or(|message| message.turns.len() == 1);
        let wants_person = way == Way::Query && is_new && self.rng.percent(10);
        let wish = if wants_person { "I want a human to look at it. " } else { "" };
        let asked = Turn {
            interaction: InteractionId::new(format!("int_{turn:032x}")),
            door: if way == Way::Query { Door::Query } else { Door::Generate },
            text: format!("{wish}Up to what amount is a deposit insured? {}", mark(turn)),
            agent: Some(AgentName::from(agent)),
            session: message.as_ref().and_then(|message| message.session.clone()),
            principal: domain::principal::Principal::open(),
            user_id: None,
            message_id: message.as_ref().map(|message| message.id.clone()),
            metadata: None,
            max_tokens: None,
            temperature: None,
            deadline: seen.deadline,
            residency: domain::residency::Residency::Anywhere,
            class: self.rng.pick(&Class::ALL),
            watcher: None,
            cache: domain::cache::Wish::Default,
        };
        self.last_message = message;
        let session = asked.session.clone();
        self.world().turns.with(turn, |seen| seen.session = session.as_ref().map(ToString::to_string));
        let work = async {
            match way {
                Way::Live => self.listen(process, turn, asked).await,
                _ => (process.pipeline.run(asked, Listener::Silent).await, String::new()),
            }
        };
        let (reply, released) = match self.wait(process, turn, work).await {
            Ended::With(done) => done,
            Ended::Left => return Ended::Left,
            Ended::CutOff => return Ended::CutOff,
        };
        self.world().observe(&process.router);
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => {
                self.refused(turn, &error, session.as_ref());
                return Ended::With(None);
            }
        };
        if let Some(retry_after) = reply.retry_after {
            self.turned_away(process, turn, retry_after);
        }
        self.replied(turn, &reply, &released);
        if let Some(message) = self.last_message.as_mut().filter(|_| reply.retry_after.is_none()) {
            message.session.clone_from(&reply.interaction.session);
            message.answer = (reply.recorded == Recorded::Yes).then(|| reply.response.clone());
        }
        if let (Way::Query, Some(session)) = (way, &reply.interaction.session) {
            self.machine.lobby.sessions.lock().entry(session_slot).or_insert_with(|| session.clone());
        }
        if self.rng.percent(10) {
            self.rate(process, &reply.interaction).await;
        }
        Ended::With(Some((reply.interaction.outcome, reply.recorded)))
    }

    /// A new message, or the last one again.
    fn message(&mut self, session_slot: u64, turn: u64) -> Message {
        let again =
            self.last_message.take().filter(|message| message.session.is_some() && self.rng.percent(30));
        let mut message = again.unwrap_or_else(|| {
            self.n_messages += 1;
            Message {
                id: format!("visitor{}-{}", self.index, self.n_messages),
                session: self.machine.lobby.sessions.lock().get(&session_slot).cloned(),
                since: self.world().now(),
                turns: Vec::new(),
                answer: None,
            }
        });
        message.turns.push(turn);
        message
    }

    async fn listen(&self, process: &Process, turn: u64, asked: Turn) -> (Result<Reply, TurnError>, String) {
        let (sender, mut events) = mpsc::channel(16);
        let running = process.pipeline.run(asked, Listener::Live(sender));
        let reading = async {
            let mut released = String::new();
            while let Some(event) = events.recv().await {
                if let Event::Text(text) = event {
                    released.push_str(&text);
                    self.world().turns.with(turn, |seen| seen.has_released = true);
                }
            }
            released
        };
        futures_util::join!(running, reading)
    }

    fn replied(&self, turn: u64, reply: &Reply, released: &str) {
        let world = self.world();
        let Reply { interaction, response, recorded, .. } = reply;
        world.note(format_args!(
            "turn {turn} is {} by {:?}, recorded: {recorded:?}",
            interaction.outcome.name(),
            interaction.model_used
        ));
        let seen = self.seen(turn);
        let disk = self.machine.disk.was(seen.started);
        promises::in_time(world, turn, &seen, disk);
        promises::told(world, turn, *recorded, disk);
        world.promise(response.starts_with(released), || {
            format!("turn {turn}: what was released is taken back")
        });
        if numbered(interaction.id.as_str()) != Some(turn) {
            return self.repeated(turn, reply);
        }
        world.turns.with(turn, |seen| seen.wants_records = Some(1));
        if *recorded == Recorded::Yes {
            self.machine.lobby.acknowledge(interaction);
        }
        if let Some(message) = self.last_message.as_ref().filter(|_| seen.way == Way::Query) {
            let is_new = message.answer.is_none()
                || reply.retry_after.is_some()
                || self.machine.disk.was(message.since) == DiskWas::Ill;
            world.promise(is_new, || format!("turn {turn} was answered before, and is made again"));
        }
        match interaction.outcome {
            Outcome::Answered => {
                let is_broken_live =
                    seen.way == Way::Live && seen.calls.last().is_some_and(|call| !is_whole(call));
                let extent = if is_broken_live { Extent::Beginning } else { Extent::Whole };
                promises::text_of_one_call(world, turn, response, extent);
            }
            Outcome::Degraded => {
                world.promise(response.contains(STATIC), || format!("turn {turn} is degraded: {response}"));
                if released.is_empty() && reply.retry_after.is_none() {
                    let route = route(&self.machine.world);
                    promises::had_no_one_to_ask(world, turn, &seen, &route);
                }
            }
            Outcome::Escalated => {
                let has_case = interaction.case.is_some();
                world.promise(has_case == (*recorded == Recorded::Yes), || {
                    format!("turn {turn}: case {:?}, recorded: {recorded:?}", interaction.case)
                });
            }
            other => world.promise(false, || format!("turn {turn} ends {}", other.name())),
        }
        world.promise(!response.contains("900,000"), || format!("turn {turn}: what no passage says is said"));
    }

    /// The answer to the same message, given before.
    fn repeated(&self, turn: u64, reply: &Reply) {
        let world = self.world();
        world.turns.with(turn, |seen| seen.wants_records = Some(0));
        let before = numbered(reply.interaction.id.as_str()).unwrap_or_default();
        let message = self.last_message.as_ref();
        let is_same = message.is_some_and(|message| message.turns.contains(&before));
        world.promise(is_same, || format!("turn {turn} is answered with turn {before}"));
        // On a slow disk the record of an earlier answer may land after that of a later one.
        let steady = message.filter(|message| self.machine.disk.was(message.since) == DiskWas::Well);
        let answer = steady.and_then(|message| message.answer.as_ref());
        let is_as_before = answer.is_none_or(|answer| *answer == reply.response);
        world.promise(is_as_before, || format!("turn {turn} is answered again, and otherwise"));
    }

    async fn rate(&self, process: &Process, interaction: &Interaction) {
        let id = format!("fbk_{}_{}", self.index, interaction.id);
        let feedback = Feedback {
            id: FeedbackId::from(id.as_str()),
            interaction: interaction.id.clone(),
            session: None,
            kind: FeedbackKind::Explicit,
            rating: Some(5),
            thumb: None,
            comments: None,
            signal: None,
            metadata: None,
            at: self.world().clock.wall(),
        };
        let disk = self.machine.disk.was(Moment::default());
        let taken = match self.patiently(process, process.pipeline.collect_feedback(None, feedback)).await {
            Ended::With(taken) => taken,
            Ended::Left | Ended::CutOff => return,
        };
        match taken {
            Ok(Taken::Kept(_)) => {
                let mut kept = self.machine.lobby.feedback.lock();
                if !kept.contains(&id) {
                    kept.push(id);
                }
            }
            Ok(Taken::UnknownInteraction) => {
                let is_known = self.machine.lobby.acknowledged.lock().contains_key(interaction.id.as_str());
                self.world().promise(!is_known || disk == DiskWas::Ill, || {
                    format!("{} was acknowledged, and feedback on it does not know it", interaction.id)
                });
            }
            Err(_) => {}
        }
    }

    /// Waits for `work` for a while, or until the process goes.
    async fn patiently<T>(&self, process: &Process, work: impl Future<Output = T>) -> Ended<T> {
        let _serving = process.serving.token();
        let is_leaving = self.rng.percent(self.leaving_percent);
        let patience = if is_leaving { self.rng.millis(0, 30) } else { Duration::from_secs(60) };
        let mut work: Pin<Box<dyn Future<Output = T> + '_>> = Box::pin(work);
        tokio::select! {
            biased;
            () = process.gone.cancelled() => Ended::CutOff,
            done = &mut work => Ended::With(done),
            () = self.world().sleep(patience) => Ended::Left,
        }
    }
}

/// Whether a call came to a good end.
fn is_whole(call: &Call) -> bool {
    call.end == CallEnd::Answered
}

/// The route of the agents.
fn route(world: &World) -> Vec<Vec<TargetId>> {
    let ids = |tier: &Vec<String>| tier.iter().map(|model| TargetId::from(model.as_str())).collect();
    world.options.tiers.iter().map(ids).collect()
}
