//! Failures become the errors that SDKs act on.

use domain::fault::Fault;
use domain::id::RouteName;
use domain::ports::ModelError;

use domain::chat::ErrorReply;

use super::*;

fn unanswered(fault: Fault, status: Option<u16>) -> Unanswered {
    let words = |status| ErrorReply {
        status,
        message: "too long".to_owned(),
        kind: None,
        parameter: Some("messages".to_owned()),
        code: Some("context_length_exceeded".to_owned()),
    };
    Unanswered {
        route: RouteName::from("standard"),
        reason: Reason::Exhausted,
        fault,
        skipped: Vec::new(),
        last: Some(ModelError { fault, detail: "`one` answered with status 400".to_owned() }),
        last_tier: None,
        reply: status.map(words).map(Box::new),
    }
}

#[test]
fn failures_become_the_statuses_that_sdks_act_on() {
    let caller = Fault::caller(Retry::Never);
    let throttled =
        Fault { retry: Retry::After(Duration::from_millis(2_100)), ..Fault::provider(Kind::Throttled) };
    for (fault, reply, want) in [
        (caller, Some(400), (400, "context_length_exceeded", None)),
        (caller, Some(422), (422, "context_length_exceeded", None)),
        (caller, None, (400, "invalid_request", None)),
        (Fault::provider(Kind::Content), None, (400, "content_filter", None)),
        (throttled, Some(429), (429, "context_length_exceeded", Some(3))),
        (throttled, None, (429, "rate_limit_exceeded", Some(3))),
        // Our own key is not the caller's fault.
        (Fault::provider(Kind::RouteFatal), Some(401), (503, "all_targets_exhausted", Some(1))),
        (Fault::provider(Kind::Transient), Some(500), (503, "all_targets_exhausted", Some(1))),
        (Fault::provider(Kind::Timeout), None, (503, "upstream_timeout", Some(1))),
    ] {
        let error = Refusal::from(unanswered(fault, reply));
        let found = (error.status.as_u16(), error.code.as_str(), error.retry_after_s);
        assert_eq!(found, want, "{fault:?} {reply:?}");
    }
}

#[test]
fn a_model_that_gave_up_is_told_with_its_reason() {
    let fault = Fault { retry: Retry::Here, ..Fault::unavailable() };
    let error = Refusal::from(unanswered(fault, Some(400)));
    assert_eq!((error.status.as_u16(), error.code.as_str()), (503, "all_targets_exhausted"));
    assert!(error.message.ends_with("(the last failure: too long)"), "{}", error.message);
    let hidden = Refusal::from(unanswered(Fault::provider(Kind::Transient), Some(500)));
    assert!(hidden.message.ends_with("(the last failure: transient)"), "{}", hidden.message);
}

#[test]
fn when_no_call_was_made_it_is_told_when_one_may_be() {
    let fault = Fault { retry: Retry::After(Duration::from_secs(29)), ..Fault::unavailable() };
    let shut = |why| routing::Skipped { target: domain::id::TargetId::from("one/alpha"), why };
    let open = Why::Refused(Shut::Open { until: domain::time::Moment::default() });
    for (why, code) in [(open, "breaker_open"), (Why::NoProvider, "upstream_unavailable")] {
        let unanswered = Unanswered {
            reason: Reason::NoCandidate,
            last: None,
            skipped: vec![shut(why)],
            ..unanswered(fault, None)
        };
        let error = Refusal::from(unanswered);
        assert_eq!((error.status.as_u16(), error.code.as_str()), (503, code));
        assert_eq!(error.retry_after_s, Some(29));
    }
    let throttled = Fault { retry: Retry::After(Duration::from_secs(2)), ..Fault::provider(Kind::Throttled) };
    let waits = Unanswered { reason: Reason::NoCandidate, last: None, ..unanswered(throttled, None) };
    let error = Refusal::from(waits);
    assert_eq!((error.status.as_u16(), error.code.as_str()), (429, "rate_limit_exceeded"));
    assert_eq!(error.retry_after_s, Some(2));
}
