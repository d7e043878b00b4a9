//! What comes of each behaviour.

use super::Way;
use super::vendor::{Pair, Vendor};

/// What comes of each behaviour where nothing is translated with a second provider below: streamed, in one piece, and from `/generate`.
///
/// `first` and `second` are whole answers of that provider. `broken` is a part of the first one's, and then an error.
/// `refused` is the provider's own 4xx, which is not tried elsewhere. What the first provider calls complete is passed
/// on as it is: `cut` by its own limit or filter, `doubled`, or `empty`.
pub(super) const EXPECTED: [(&[&str], [&str; 3]); 14] = [
    (
        &[
            "answer",
            "slow",
            "split",
            "drip",
            "html",
            "no-done",
            "no-usage",
            "no-finish",
            "never-closes",
            "hang-after-finish",
            "crlf",
            "clutter",
            "early-hints",
            "close-after",
            "brownout",
            "json",
        ],
        ["first", "first", "first"],
    ),
    (&["text-after-end"], ["first", "second", "first"]),
    (&["length-too-long"], ["first", "second", "first"]),
    (&["duplicate"], ["doubled", "first", "doubled"]),
    (&["content-filter", "length"], ["cut", "cut", "degraded"]),
    (&["no-words"], ["empty", "empty", "second"]),
    (&["too-long", "filtered"], ["refused 400", "refused 400", "degraded"]),
    (
        &[
            "down",
            "html-error",
            "redirect",
            "echo-key",
            "hang",
            "hang-head",
            "reset",
            "reset-head",
            "close",
            "cut-first",
            "malformed",
            "error-first",
            "empty",
            "no-body",
            "comments",
            "huge-head",
            "huge-frame",
            "surrogate",
            "invalid-utf8",
            "gzip",
            "no-http",
        ],
        ["second", "second", "second"],
    ),
    (&THROTTLED, ["second", "second", "second"]),
    (&["cut"], ["second", "first", "second"]),
    (
        &[
            "hang-mid",
            "reset-mid",
            "cut-frames",
            "unfinished",
            "malformed-mid",
            "error-mid",
            "length-too-short",
        ],
        ["broken", "second", "second"],
    ),
    // Its words never end, so its time does: long after its stream began.
    (&["endless"], ["broken", "second", "second"]),
    // Of event streams only; what has come in one piece has no frames.
    (&["frame-huge-header", "frame-unknown"], ["first", "first", "first"]),
    (
        &[
            "frame-checksum",
            "frame-prelude",
            "frame-truncated",
            "frame-length",
            "frame-header-length",
            "frame-nameless",
            "frame-error",
        ],
        ["broken", "first", "second"],
    ),
];

/// What comes of it with a second provider below.
pub(super) fn of(name: &str, way: Way, pair: Pair) -> &'static str {
    let is_translated = pair.is_translated();
    // Claude's own stream has one within Bedrock's.
    let has_no_marker = match pair.provider {
        Vendor::Bedrock => pair.caller != Vendor::Invoke,
        provider => provider == Vendor::Gemini,
    };
    match (name, way) {
        // What comes in place of server-sent events may be JSON, too; in place of Bedrock's frames it is none of its answers.
        ("json", Way::Streamed | Way::Generate) if pair.provider == Vendor::Bedrock => return "second",
        // Others mean it when they end without a word; Gemini often only failed to give its answer.
        ("no-words", Way::Streamed | Way::Whole) if pair.provider == Vendor::Gemini => return "second",
        // Only OpenAI's own bytes are taken for whole without a reason for their end, and the streams of those that
        // have an end marker.
        ("no-finish", Way::Whole) if is_translated || pair.provider != Vendor::OpenAi => return "second",
        ("no-finish", _) if has_no_marker => return if way == Way::Streamed { "broken" } else { "second" },
        // More of it has come by then: its frames are shorter.
        ("cut", Way::Streamed) if has_no_marker => return "broken",
        _ => {}
    }
    let row = EXPECTED.iter().find(|(names, _)| names.contains(&name));
    let [streamed, whole, generate] = row.expect("a row").1;
    match way {
        Way::Streamed => streamed,
        Way::Whole => whole,
        Way::Generate => generate,
    }
}

/// What these say of the waiting time is passed on when nobody else can be asked.
const THROTTLED: [&str; 7] = [
    "throttled",
    "throttled-date",
    "throttled-for-ever",
    "throttled-in-the-past",
    "throttled-nonsense",
    "burst",
    "no-credit",
];

/// What comes of it without a second provider.
pub(super) fn alone(name: &str, way: Way, with_second: &str) -> String {
    match (with_second, way) {
        ("second", Way::Generate) => "degraded",
        ("second", _) if THROTTLED.contains(&name) => "refused 429",
        ("second", _) => "unanswered",
        (other, _) => other,
    }
    .to_owned()
}
