//! W3C trace context (level 2, 2024): who called whom under which trace, as header fields carry it.

use std::fmt;
use std::sync::Arc;

/// One trace, over all services that a request passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// One span of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

impl TraceId {
    /// `None` for zero, which names no trace.
    #[must_use]
    pub fn new(id: u128) -> Option<Self> {
        (id != 0).then_some(Self(id))
    }

    /// As it stands in messages.
    #[must_use]
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The part that is left to chance: the last eight bytes, of which the last seven are random wherever level 2 is kept.
    #[must_use]
    pub fn chance(self) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = self.bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl SpanId {
    /// `None` for zero, which names no span.
    #[must_use]
    pub fn new(id: u64) -> Option<Self> {
        (id != 0).then_some(Self(id))
    }

    /// As it stands in messages.
    #[must_use]
    pub fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The id of the `n`th span that this one begins: always the same, so that a call can carry it before there is
    /// anything else of that span. Spread over all ids by SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
    #[must_use]
    pub fn child(self, n: u32) -> Self {
        let mut id = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(u64::from(n) + 1));
        id = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        id = (id ^ (id >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        id ^= id >> 31;
        Self(if id == 0 { 1 } else { id })
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// `traceparent`: a span that calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The span of whoever calls.
    pub span: SpanId,
    flags: u8,
}

const SAMPLED: u8 = 1;
/// The trace's id is random: a sampler may decide by it.
const RANDOM: u8 = 2;

/// Whether a trace is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampled {
    /// It is.
    Yes,
    /// It is not.
    No,
}

impl TraceParent {
    /// A trace that begins here, with a random id.
    #[must_use]
    pub fn new(trace: TraceId, span: SpanId, sampled: Sampled) -> Self {
        Self { trace, span, flags: RANDOM }.marked(sampled)
    }

    /// Reads a header field. Nothing is taken of one that is not as the recommendation says.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let (version, flags) = (hex(version, 2)?, hex(flags, 2)?);
        // A later version may say more, after a dash; this one may not.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let trace = TraceId::new(hex(trace, 32)?)?;
        let span = SpanId::new(u64::try_from(hex(span, 16)?).ok()?)?;
        let flags = u8::try_from(flags).ok()? & (SAMPLED | RANDOM);
        Some(Self { trace, span, flags })
    }

    /// Whether whoever calls keeps the trace.
    #[must_use]
    pub fn sampled(self) -> Sampled {
        if self.flags & SAMPLED == 0 { Sampled::No } else { Sampled::Yes }
    }

    /// The flags as a header field carries them.
    #[must_use]
    pub fn flags(self) -> u8 {
        self.flags
    }

    /// The same with this decision.
    #[must_use]
    pub fn marked(self, sampled: Sampled) -> Self {
        let flags = match sampled {
            Sampled::Yes => self.flags | SAMPLED,
            Sampled::No => self.flags & !SAMPLED,
        };
        Self { flags, ..self }
    }

    /// The same trace, seen from another of its spans.
    #[must_use]
    pub fn at(self, span: SpanId) -> Self {
        Self { span, ..self }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// `digits` lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_right = text.len() == digits && text.bytes().all(is_digit);
    is_right.then(|| u128::from_str_radix(text, 16).ok())?
}

/// `tracestate`: what other systems put beside a trace, to be passed on as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceState(Arc<str>);

/// Most entries that the recommendation allows.
const ENTRIES_MAX: usize = 32;
/// Most bytes that are passed on: as many as the recommendation asks to.
const STATE_BYTES_MAX: usize = 512;
/// Where there are more, entries longer than this are the first to go.
const LONG_ENTRY_BYTES: usize = 128;

impl TraceState {
    /// Reads the header fields of one request. A list that is not as the recommendation says is dropped whole; one that
    /// is too long loses its long entries, then its last ones.
    pub fn parse<'a>(fields: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut entries: Vec<&str> = Vec::new();
        for entry in fields.flat_map(|field| field.split(',')) {
            let entry = entry.trim_matches([' ', '\t']);
            if entry.is_empty() {
                continue;
            }
            if entries.len() == ENTRIES_MAX || !is_entry(entry) {
                return None;
            }
            entries.push(entry);
        }
        if joined_bytes(&entries) > STATE_BYTES_MAX {
            entries.retain(|entry| entry.len() <= LONG_ENTRY_BYTES);
        }
        while joined_bytes(&entries) > STATE_BYTES_MAX {
            entries.pop();
        }
        (!entries.is_empty()).then(|| Self(entries.join(",").into()))
    }

    /// As a header field carries it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn joined_bytes(entries: &[&str]) -> usize {
    entries.iter().map(|entry| entry.len() + 1).sum::<usize>().saturating_sub(1)
}

fn is_entry(entry: &str) -> bool {
    let Some((key, value)) = entry.split_once('=') else { return false };
    let starts = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_key = key.len() <= 256
        && key.bytes().next().is_some_and(starts)
        && key.bytes().all(|byte| starts(byte) || b"_-*/@".contains(&byte));
    let is_value = (1..=256).contains(&value.len())
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=');
    is_key && is_value
}

/// What a call of a model carries of the trace that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallTrace {
    /// The call's own span.
    pub parent: TraceParent,
    /// What others put beside the trace.
    pub state: Option<TraceState>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_parent_is_read_as_the_recommendation_says_or_not_at_all() {
        let cases = [
            (format!("00-{TRACE}-{SPAN}-01"), Some(format!("00-{TRACE}-{SPAN}-01"))),
            (format!("00-{TRACE}-{SPAN}-00"), Some(format!("00-{TRACE}-{SPAN}-00"))),
            // Flags that nobody has named yet are not passed on.
            (format!("00-{TRACE}-{SPAN}-ff"), Some(format!("00-{TRACE}-{SPAN}-03"))),
            // A later version is read as far as this one goes.
            (format!("cc-{TRACE}-{SPAN}-01-more"), Some(format!("00-{TRACE}-{SPAN}-01"))),
            (format!("cc-{TRACE}-{SPAN}-01"), Some(format!("00-{TRACE}-{SPAN}-01"))),
            (format!("cc-{TRACE}-{SPAN}-01.more"), None),
            (format!("ff-{TRACE}-{SPAN}-01"), None),
            (format!("00-{TRACE}-{SPAN}-01-more"), None),
            (format!("00-{TRACE}-{SPAN}-1"), None),
            (format!("0-{TRACE}-{SPAN}-01"), None),
            (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), None),
            (format!("00-{}-{SPAN}-01", "0".repeat(32)), None),
            (format!("00-{TRACE}-{}-01", "0".repeat(16)), None),
            (format!("00-{TRACE}-{SPAN}"), None),
            (format!("00-+bf92f3577b34da6a3ce929d0e0e4736-{SPAN}-01"), None),
            (format!(" 00-{TRACE}-{SPAN}-01"), None),
            (String::new(), None),
        ];
        for (text, want) in cases {
            let read = TraceParent::parse(&text).map(|parent| parent.to_string());
            assert_eq!(read, want, "{text}");
        }
    }

    #[test]
    fn a_decision_is_marked_and_read_again() {
        let parent = TraceParent::parse(&format!("00-{TRACE}-{SPAN}-01")).expect("a parent");
        assert_eq!(parent.sampled(), Sampled::Yes);
        assert_eq!(parent.marked(Sampled::No).to_string(), format!("00-{TRACE}-{SPAN}-00"));
        let begun = TraceParent::new(parent.trace, parent.span, Sampled::Yes);
        assert_eq!(begun.to_string(), format!("00-{TRACE}-{SPAN}-03"), "its id is random");
        assert_eq!(parent.trace.chance(), 0xa3ce_929d_0e0e_4736);
    }

    #[test]
    fn children_are_many_and_always_the_same() {
        let span = SpanId(7);
        let children: std::collections::HashSet<_> = (0..10_000).map(|n| span.child(n)).collect();
        assert_eq!(children.len(), 10_000);
        assert!(!children.contains(&span));
        assert_eq!(span.child(3), SpanId(7).child(3));
        assert_ne!(span.child(3), SpanId(8).child(3));
    }

    #[test]
    fn a_state_is_passed_on_within_its_limits() {
        let long = format!("big={}", "x".repeat(200));
        let many = (0..33).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(",");
        let filling = (0..8).map(|n| format!("k{n}={}", "x".repeat(70))).collect::<Vec<_>>();
        let first_of_filling = filling.iter().take(6).cloned().collect::<Vec<_>>().join(",");
        for (fields, want) in [
            (
                vec!["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"],
                Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
            ),
            (vec!["a=1 , ,b=2", "c@d=3"], Some("a=1,b=2,c@d=3")),
            (vec![""], None),
            (vec![], None),
            (vec!["a=1,B=2"], None),
            (vec!["a"], None),
            (vec!["a="], None),
            (vec!["a=1=2"], None),
            (vec!["a=\u{e9}"], None),
            (vec![many.as_str()], None),
            // Too long: long entries go first, then the last ones.
            (vec!["a=1", &long, &long, &long], Some("a=1")),
            (filling.iter().map(String::as_str).collect(), Some(&first_of_filling)),
        ] {
            let read = TraceState::parse(fields.iter().copied());
            assert_eq!(read.as_ref().map(TraceState::as_str), want, "{fields:?}");
        }
    }
}
