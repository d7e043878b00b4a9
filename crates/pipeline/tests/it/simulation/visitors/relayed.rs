//! Those who ask for a bare model, or for the route of the agents in their own dialect.

use std::sync::Arc;

use bytes::Bytes;
use domain::id::{InteractionId, TargetId};
use domain::model::Route;
use domain::principal::Principal;
use domain::residency::Residency;
use futures_util::StreamExt;
use pipeline::parts::OnFailure;
use pipeline::relay::{Answer, Broken, Passed, Refused, RelayTurn, hash};
use pipeline::turn::Recorded;
use resilience::shedding::Class;

use super::{Ended, Visitor};
use crate::house::Unobserved;
use crate::simulation::disk::DiskWas;
use crate::simulation::lobby::Acknowledged;
use crate::simulation::process::Process;
use crate::simulation::promises::{self, Extent};
use crate::simulation::turns::{Way, mark};
use crate::simulation::world::Chance;

impl Visitor<'_> {
    /// A bare model, or the route of the agents; whether it was answered, and recorded.
    pub(super) async fn relay(&self, process: &Process, turn: u64, route: Option<Arc<Route>>) -> Ended<bool> {
        let seen = self.seen(turn);
        let snapshot = process.pipeline.current().pin();
        let route = route.unwrap_or_else(|| Arc::clone(&snapshot.default_agent.route));
        let stream = if seen.way == Way::Streamed { ",\"stream\":true" } else { "" };
        let body =
            format!(r#"{{"model":"x","messages":[{{"role":"user","content":"{}"}}]{stream}}}"#, mark(turn));
        let body = Bytes::from(body);
        let asked = RelayTurn {
            interaction: InteractionId::new(format!("int_{turn:032x}")),
            principal: Principal::open(),
            route: Arc::clone(&route),
            snapshot,
            request_hash: hash(&body),
            relayed: Arc::new(wire::openai::relay::read(body).expect("valid")),
            deadline: seen.deadline,
            streams_until: None,
            residency: Residency::Anywhere,
            affinity: None,
            class: self.rng.pick(&Class::ALL),
            watcher: None,
            cache: domain::cache::Wish::Default,
            observer: Arc::new(Unobserved),
        };
        let work = async {
            match process.pipeline.relay(asked).await {
                Ok(relaying) => {
                    promises::in_time(self.world(), turn, &seen, self.machine.disk.was(seen.started));
                    self.read(turn, relaying.answer).await
                }
                Err(Refused::Unanswered(unanswered)) => {
                    self.world().note(format_args!("turn {turn} is unanswered: {unanswered}"));
                    self.unanswered(process, turn, &route);
                    false
                }
                Err(Refused::Shed(shed)) => {
                    self.turned_away(process, turn, shed.retry_after);
                    self.world().turns.with(turn, |seen| seen.wants_records = Some(0));
                    false
                }
                Err(Refused::Limited(refusal)) => {
                    self.world().promise(false, || format!("turn {turn} is limited by nothing: {refusal}"));
                    false
                }
                Err(Refused::Incomplete(error)) => {
                    self.world().promise(false, || format!("turn {turn} is answered in part: {error}"));
                    false
                }
                Err(Refused::NotCached(error) | Refused::NotRecorded(error)) => {
                    self.refused(turn, &error, None);
                    false
                }
            }
        };
        self.wait(process, turn, work).await
    }

    fn unanswered(&self, process: &Process, turn: u64, route: &Route) {
        let world = self.world();
        world.observe(&process.router);
        let seen = self.seen(turn);
        world.turns.with(turn, |seen| seen.wants_records = Some(1));
        promises::in_time(world, turn, &seen, self.machine.disk.was(seen.started));
        let ids =
            |targets: &[domain::model::Target]| targets.iter().map(|target| target.id.clone()).collect();
        let tiers: Vec<Vec<TargetId>> = route.tiers.iter().map(|tier| ids(&tier.targets)).collect();
        promises::had_no_one_to_ask(world, turn, &seen, &tiers);
    }

    async fn read(&self, turn: u64, answer: Answer) -> bool {
        let world = self.world();
        let (mut text, mut broken, mut recorded) = (String::new(), None, Recorded::Yes);
        match answer {
            Answer::Whole(whole) => {
                text = String::from_utf8(whole.bytes.to_vec()).expect("text");
                recorded = whole.recorded;
            }
            Answer::Streamed(mut stream) => {
                while let Some(passed) = stream.next().await {
                    world.promise(broken.is_none(), || format!("turn {turn} goes on after its end"));
                    match passed {
                        Passed::Bytes(bytes) => {
                            world.turns.with(turn, |seen| seen.has_released = true);
                            text.push_str(std::str::from_utf8(&bytes).expect("text"));
                        }
                        Passed::Continued(_) => {}
                        Passed::Unrecorded => recorded = Recorded::No,
                        Passed::Broken(reason) => broken = Some(reason),
                    }
                }
            }
        }
        self.passed(turn, &text, (broken, recorded))
    }

    /// A relayed answer has come to its end: whether it is whole and recorded.
    fn passed(&self, turn: u64, text: &str, (broken, recorded): (Option<Broken>, Recorded)) -> bool {
        let world = self.world();
        world.note(format_args!("turn {turn} has its answer: {broken:?}, recorded: {recorded:?}"));
        let seen = self.seen(turn);
        let disk = self.machine.disk.was(seen.started);
        promises::told(world, turn, recorded, disk);
        world.turns.with(turn, |seen| seen.wants_records = Some(1));
        let is_whole = match seen.way {
            Way::Streamed => text.ends_with("data: [DONE]\n\n"),
            _ => true,
        };
        world.promise(is_whole == broken.is_none(), || {
            format!("turn {turn}: end marker {is_whole}, and {broken:?}")
        });
        if matches!(broken, Some(Broken::NotRecorded)) {
            let may_be = disk == DiskWas::Ill && world.options.records.on_failure == OnFailure::Refuse;
            world.promise(may_be, || format!("turn {turn} is not recorded on a good disk"));
        }
        let content: String =
            text.split("\"content\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let extent = if is_whole { Extent::Whole } else { Extent::Beginning };
        promises::text_of_one_call(world, turn, &content, extent);
        if is_whole && recorded == Recorded::Yes {
            let id = format!("int_{turn:032x}");
            let hash = hash(text.as_bytes());
            let is_late = self.is_late();
            let acknowledged = Acknowledged { response: hash.as_str().to_owned(), is_late };
            self.machine.lobby.acknowledged.lock().insert(id, acknowledged);
        }
        is_whole && recorded == Recorded::Yes
    }
}
