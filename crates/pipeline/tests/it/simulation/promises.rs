//! What must hold whatever happens, looked at from outside the pipeline.

use domain::fault::Kind;
use domain::id::TargetId;
use domain::interaction::{AttemptResult, Interaction};
use domain::time::Moment;
use pipeline::turn::Recorded;
use std::time::Duration;

use super::disk::DiskWas;
use super::models;
use super::turns::{Call, CallEnd, Seen, Way, numbered};
use super::world::World;

fn is_remote(target: &str) -> bool {
    !target.starts_with("embedded/")
}

/// A call reached a model.
pub(crate) fn called(world: &World, turn: u64, call: Call) {
    let policy = &world.options.policy;
    let known = world.turns.with(turn, |seen| {
        let n = call.n;
        world.promise(!seen.has_released, || format!("turn {turn}: call {n} after its customer had text"));
        // A rival from a tier below counts where its walk stands.
        let in_tier = seen.walked().filter(|other| other.tier == call.tier && !other.is_rival).count();
        world.promise(
            call.is_rival || in_tier < usize::try_from(policy.attempts_per_tier).expect("few"),
            || format!("turn {turn}: call {n} is one too many in tier {}", call.tier),
        );
        let n_remote = seen.walked().filter(|other| is_remote(other.target.as_str())).count();
        let may_start = n_remote < usize::try_from(policy.attempts_per_request).expect("few");
        world.promise(may_start || !is_remote(call.target.as_str()), || {
            format!("turn {turn}: call {n} is one too many of the request")
        });
        world.promise(world.now() < seen.deadline, || format!("turn {turn}: call {n} after the deadline"));
        seen.calls.push(call);
    });
    world.promise(known.is_some(), || format!("a call for turn {turn}, which nobody asked"));
}

/// A record reached the store.
pub(crate) fn recorded(world: &World, interaction: &Interaction) {
    let id = &interaction.id;
    let turn = numbered(id.as_str()).unwrap_or_default();
    let known = world.turns.with(turn, |seen| {
        seen.n_records += 1;
        world.promise(seen.n_records == 1, || format!("{id} is recorded {} times", seen.n_records));
        let attempts = &interaction.attempts;
        let called: Vec<&TargetId> = seen.calls.iter().map(|call| &call.target).collect();
        let accounted: Vec<&TargetId> = attempts.iter().map(|attempt| &attempt.target).collect();
        world
            .promise(called == accounted, || format!("{id}: calls of {called:?}, attempts at {accounted:?}"));
        world.promise(attempts.iter().zip(1..).all(|(attempt, n)| attempt.n == n), || {
            format!("{id}: attempts out of order")
        });
        let is_failed = |result| matches!(result, AttemptResult::Failed(_));
        let n_failed =
            attempts.iter().filter(|attempt| is_failed(attempt.result) && is_remote(attempt.target.as_str()));
        let n_failed = n_failed.count();
        let most = usize::try_from(world.options.policy.attempts_per_request).expect("few");
        world.promise(n_failed <= most, || format!("{id}: {n_failed} failed attempts, at most {most}"));
        let n_answered = attempts.iter().filter(|attempt| attempt.result == AttemptResult::Answered).count();
        world.promise(n_answered <= 1 || !seen.way.is_relayed(), || format!("{id}: {n_answered} answers"));
        let has_rival = seen.calls.iter().any(|call| call.is_rival);
        if seen.way.is_relayed() && !has_rival {
            let all_failed = attempts.iter().rev().skip(1).all(|attempt| is_failed(attempt.result));
            world.promise(all_failed, || format!("{id}: another attempt after one that had not failed"));
        }
    });
    world.promise(known.is_some(), || format!("{id} is recorded, and nobody asked"));
}

/// A reply reached its customer `at` this time.
pub(crate) fn in_time(world: &World, turn: u64, seen: &Seen, disk: DiskWas) {
    // A store that is ill gets two seconds to confirm, also when the deadline is near.
    let grace = match disk {
        DiskWas::Ill => Duration::from_secs(2),
        DiskWas::Well => Duration::ZERO,
    };
    let late = world.now().since(seen.deadline.after(grace));
    world.promise(late.is_zero(), || format!("turn {turn}: the reply came {late:?} after its deadline"));
}

/// Whether a reply says that it was not recorded.
pub(crate) fn told(world: &World, turn: u64, recorded: Recorded, disk: DiskWas) {
    world.promise(recorded == Recorded::Yes || disk == DiskWas::Ill, || {
        format!("turn {turn}: not recorded on a good disk")
    });
}

/// How much of an answer a text should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    Beginning,
}

/// The text that a customer has must be of one call, from its beginning; whole, where the answer says that it is.
pub(crate) fn text_of_one_call(world: &World, turn: u64, text: &str, extent: Extent) {
    let said: Vec<u64> =
        world.turns.with(turn, |seen| seen.calls.iter().map(|call| call.n).collect()).unwrap_or_default();
    let speakers: Vec<u64> =
        said.into_iter().filter(|n| text.contains(&format!("{} ", models::name(*n)))).collect();
    world.promise(speakers.len() <= 1, || format!("turn {turn}: an answer of calls {speakers:?}"));
    let Some(speaker) = speakers.first() else { return };
    let whole = models::sentences(*speaker).concat();
    let is_as_said = match extent {
        Extent::Whole => text.trim() == whole.trim(),
        Extent::Beginning => whole.starts_with(text),
    };
    world.promise(is_as_said, || format!("turn {turn}: the answer of call {speaker} came as {text:?}"));
}

/// No model answered: each that might have must have failed in this turn, or refused calls, or there was no time or
/// attempt left for it.
pub(crate) fn had_no_one_to_ask(world: &World, turn: u64, seen: &Seen, route: &[Vec<TargetId>]) {
    let policy = &world.options.policy;
    let ends = |call: &Call| call.end;
    // A request that is itself at fault is not asked elsewhere.
    if seen.calls.iter().map(ends).any(|end| matches!(end, CallEnd::Failed(Kind::Caller | Kind::Content))) {
        return;
    }
    let reserve = Duration::from_millis(160);
    let has_time = world.now().after(reserve) < seen.deadline;
    let n_remote = seen
        .calls
        .iter()
        .filter(|call| is_remote(call.target.as_str()) && call.end != CallEnd::Answered)
        .count();
    let has_attempts = n_remote < usize::try_from(policy.attempts_per_request).expect("few");
    for tier in route {
        let has_failed = |target: &TargetId| seen.calls.iter().any(|call| call.target == *target);
        let tier_was_asked = tier.iter().any(has_failed);
        let is_free = |target: &&TargetId| {
            !world.refused_since(target, seen.started) && (has_attempts || !is_remote(target.as_str()))
        };
        let free = tier.iter().find(is_free);
        world.promise(tier_was_asked || free.is_none() || !has_time, || {
            format!(
                "turn {turn}: no model answered, and nobody asked `{}`",
                free.map_or("", TargetId::as_str)
            )
        });
    }
}

/// All turns are over.
pub(crate) fn at_the_end(world: &World) {
    for (turn, seen) in world.turns.all().iter() {
        if let Some(wanted) = seen.wants_records {
            world.promise(seen.n_records == wanted, || {
                format!("turn {turn} ({:?}): {} records, not {wanted}", seen.way, seen.n_records)
            });
        }
        let open = seen.calls.iter().find(|call| call.end == CallEnd::Open);
        world.promise(open.is_none(), || format!("turn {turn}: call {open:?} is still open"));
    }
}

/// When a turn of this way must be over.
pub(crate) fn ends_by(world: &World, seen: &Seen) -> Moment {
    let longest = match seen.way {
        Way::Streamed => world.options.policy.call_max,
        Way::Generate | Way::Live | Way::Query | Way::Whole => Duration::ZERO,
    };
    seen.deadline.after(longest).after(Duration::from_secs(4))
}
