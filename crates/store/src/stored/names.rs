//! Enums as the stable texts they are stored as. Writing uses the domain's own names where it has them.

use domain::chat::{Dialect, Role};
use domain::fault::Kind;
use domain::feedback::{FeedbackKind, Thumb};
use domain::interaction::{AttemptResult, Chosen, Door, GuardrailAction, Outcome, Side};
use domain::model::Tier;
use domain::signal::step;

use super::Unreadable;

fn unknown(what: &str, name: &str) -> Unreadable {
    Unreadable(format!("unknown {what} `{name}`"))
}

pub(crate) fn door(name: &str) -> Result<Door, Unreadable> {
    match name {
        "generate" => Ok(Door::Generate),
        "query" => Ok(Door::Query),
        _ => {
            let relayed = Dialect::ALL.into_iter().map(Door::Relayed).find(|door| door.name() == name);
            relayed.ok_or_else(|| unknown("door", name))
        }
    }
}

pub(crate) fn outcome(name: &str) -> Result<Outcome, Unreadable> {
    match name {
        "answered" => Ok(Outcome::Answered),
        "declined" => Ok(Outcome::Declined),
        "clarify" => Ok(Outcome::Clarify),
        "escalated" => Ok(Outcome::Escalated),
        "blocked" => Ok(Outcome::Blocked),
        "degraded" => Ok(Outcome::Degraded),
        "failed" => Ok(Outcome::Failed),
        _ => Err(unknown("outcome", name)),
    }
}

pub(crate) fn tier(name: &str) -> Result<Tier, Unreadable> {
    match name {
        "primary" => Ok(Tier::Primary),
        "fallback" => Ok(Tier::Fallback),
        "embedded" => Ok(Tier::Embedded),
        "degraded" => Ok(Tier::Degraded),
        _ => Err(unknown("tier", name)),
    }
}

pub(crate) fn chosen(name: &str) -> Result<Chosen, Unreadable> {
    Chosen::ALL.into_iter().find(|chosen| chosen.name() == name).ok_or_else(|| unknown("choice", name))
}

pub(crate) fn guardrail_action(name: &str) -> Result<GuardrailAction, Unreadable> {
    match name {
        "none" => Ok(GuardrailAction::None),
        "masked" => Ok(GuardrailAction::Masked),
        "blocked" => Ok(GuardrailAction::Blocked),
        _ => Err(unknown("guardrail action", name)),
    }
}

pub(crate) fn side(name: &str) -> Result<Side, Unreadable> {
    match name {
        "input" => Ok(Side::Input),
        "output" => Ok(Side::Output),
        _ => Err(unknown("side", name)),
    }
}

pub(crate) fn attempt_result(name: &str) -> Result<AttemptResult, Unreadable> {
    let kind = match name {
        "answered" => return Ok(AttemptResult::Answered),
        "cancelled" => return Ok(AttemptResult::Cancelled),
        "cached" => return Ok(AttemptResult::Cached),
        "transient" => Kind::Transient,
        "throttled" => Kind::Throttled,
        "timeout" => Kind::Timeout,
        "route_fatal" => Kind::RouteFatal,
        "caller" => Kind::Caller,
        "content" => Kind::Content,
        "truncated" => Kind::Truncated,
        "unavailable" => Kind::Unavailable,
        _ => return Err(unknown("attempt result", name)),
    };
    Ok(AttemptResult::Failed(kind))
}

pub(crate) fn role(name: &str) -> Result<Role, Unreadable> {
    match name {
        "system" => Ok(Role::System),
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        _ => Err(unknown("role", name)),
    }
}

pub(crate) fn feedback_kind_name(kind: FeedbackKind) -> &'static str {
    match kind {
        FeedbackKind::Explicit => "explicit",
        FeedbackKind::Implicit => "implicit",
    }
}

pub(crate) fn feedback_kind(name: &str) -> Result<FeedbackKind, Unreadable> {
    match name {
        "explicit" => Ok(FeedbackKind::Explicit),
        "implicit" => Ok(FeedbackKind::Implicit),
        _ => Err(unknown("feedback kind", name)),
    }
}

pub(crate) fn thumb_name(thumb: Thumb) -> &'static str {
    match thumb {
        Thumb::Up => "up",
        Thumb::Down => "down",
    }
}

pub(crate) fn thumb(name: &str) -> Result<Thumb, Unreadable> {
    match name {
        "up" => Ok(Thumb::Up),
        "down" => Ok(Thumb::Down),
        _ => Err(unknown("thumb", name)),
    }
}

/// The step of this name; `unknown` for one that only another version has.
pub(crate) fn step(name: &str) -> &'static str {
    step::ALL.into_iter().find(|known| *known == name).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back_as_what_it_names() {
        for value in Outcome::ALL {
            assert_eq!(outcome(value.name()), Ok(value));
        }
        for value in [Tier::Primary, Tier::Fallback, Tier::Embedded, Tier::Degraded] {
            assert_eq!(tier(value.name()), Ok(value));
        }
        for value in [GuardrailAction::None, GuardrailAction::Masked, GuardrailAction::Blocked] {
            assert_eq!(guardrail_action(value.name()), Ok(value));
        }
        for value in [Door::Generate, Door::Query].into_iter().chain(Dialect::ALL.map(Door::Relayed)) {
            assert_eq!(door(value.name()), Ok(value));
        }
        for value in [Side::Input, Side::Output] {
            assert_eq!(side(value.name()), Ok(value));
        }
        for value in [Role::System, Role::User, Role::Assistant] {
            assert_eq!(role(value.name()), Ok(value));
        }
        for value in [FeedbackKind::Explicit, FeedbackKind::Implicit] {
            assert_eq!(feedback_kind(feedback_kind_name(value)), Ok(value));
        }
        for value in [Thumb::Up, Thumb::Down] {
            assert_eq!(thumb(thumb_name(value)), Ok(value));
        }
        let kinds = [
            Kind::Transient,
            Kind::Throttled,
            Kind::Timeout,
            Kind::RouteFatal,
            Kind::Caller,
            Kind::Content,
            Kind::Truncated,
            Kind::Unavailable,
        ];
        let failed = kinds.into_iter().map(AttemptResult::Failed);
        for value in failed.chain([AttemptResult::Answered, AttemptResult::Cancelled, AttemptResult::Cached])
        {
            assert_eq!(attempt_result(value.name()), Ok(value));
        }
    }

    #[test]
    fn an_unknown_name_is_refused_and_an_unknown_step_is_marked() {
        assert_eq!(tier("tertiary"), Err(Unreadable("unknown tier `tertiary`".to_owned())));
        for name in step::ALL {
            assert_eq!(step(name), name);
        }
        assert_eq!(step("time_travel"), "unknown");
    }
}
