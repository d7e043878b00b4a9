//! What regular expressions say better than a parser: dates, times, telephone numbers, and digits that are
//! no numbers at all.

use std::ops::Range;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{Form, Kind, Number, Quantity};

/// Numbers found by pattern and the ranges that the parser must pass over.
pub(super) struct Found {
    pub(super) numbers: Vec<Number>,
    pub(super) taken: Vec<Range<usize>>,
}

static NO_NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    compile(concat!(
        // Addresses. Classes of all letters are not written in both cases: they hold both, and finding that takes long.
        r"(?i:\bhttps?://|\bwww\.)[^\s)>\]]+|[\w.+-]+@[\w-]+\.[\w.-]+",
        r"|\[\^?\d{1,3}(?:\s*,\s*\d{1,3})*\]", // citation marks
        r"|(?m:^)[ \t>*_#-]*(?:(?i:step)[ \t]+)?\d{1,3}(?:[.):][*_]{0,3}(?:[ \t]|$)|[*_]+[.):][ \t])", // list numerals
        r"|(?m:(?:^|[\s;,:]))\(\d\)", // (1) in running text
        r"|\b24/7\b",
    ))
});

const MONTH: &str = r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?";

static MONTH_DAY: LazyLock<Regex> = LazyLock::new(|| {
    compile(&format!(
        r"(?i)\b{MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b(?:,?\s+(?P<year>(?:19|20)\d{{2}})\b)?"
    ))
});
static DAY_MONTH: LazyLock<Regex> = LazyLock::new(|| {
    compile(&format!(
        r"(?i)\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{MONTH}(?:,?\s+(?P<year>(?:19|20)\d{{2}})\b)?"
    ))
});
static ISO_DATE: LazyLock<Regex> =
    LazyLock::new(|| compile(r"\b(?P<year>(?:19|20)\d{2})-(?P<month>\d{2})-(?P<day>\d{2})\b"));
static SLASH_DATE: LazyLock<Regex> =
    LazyLock::new(|| compile(r"\b(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>(?:19|20)\d{2})\b"));
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?i)\b(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))?\s*(?P<half>[ap])\.?m\b\.?|\b(?P<h>\d{1,2}):(?P<m>\d{2})\b",
    )
});
static PHONE: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?:\+?1[-. ]?)?(?:\(\d{3}\)[-. ]?|\b\d{3}[-. ])(?:\d{3}[-. ]\d{4}\b|[A-Z]{3}[- ][A-Z]{4}\b|[A-Z]{4}[- ][A-Z]{3}\b|[A-Z]{7}\b)",
    )
});

/// Finds them all; earlier patterns win where two meet.
pub(super) fn find(text: &str) -> Found {
    let mut found = Found { numbers: Vec::new(), taken: Vec::new() };
    found.taken.extend(NO_NUMBER.find_iter(text).map(|hit| hit.range()));
    if !text.contains(|c: char| c.is_ascii_digit()) {
        return found;
    }
    for hit in PHONE.find_iter(text) {
        found.add(hit.range(), |range| phone(&text[range.clone()], range));
    }
    for pattern in [&*ISO_DATE, &*SLASH_DATE, &*MONTH_DAY, &*DAY_MONTH] {
        for hit in pattern.captures_iter(text) {
            found.add(hit.get_match().range(), |range| date(&hit, range));
        }
    }
    for hit in TIME.captures_iter(text) {
        found.add(hit.get_match().range(), |range| time(&hit, range));
    }
    found
}

impl Found {
    fn add(&mut self, range: Range<usize>, read: impl FnOnce(&Range<usize>) -> Vec<Number>) {
        if self.taken.iter().any(|taken| taken.start < range.end && range.start < taken.end) {
            return;
        }
        let numbers = read(&range);
        if !numbers.is_empty() {
            self.numbers.extend(numbers);
            self.taken.push(range);
        }
    }
}

fn compile(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern")
}

fn number(kind: Kind, value: u64, range: &Range<usize>) -> Number {
    Number { value: Quantity::whole(value), kind, form: Form::Digits, start: range.start, end: range.end }
}

/// Letters of a vanity number stand for the digits of their key.
fn phone(text: &str, range: &Range<usize>) -> Vec<Number> {
    let digits: String = text
        .chars()
        .filter_map(|c| match c {
            '0'..='9' => Some(c),
            'A'..='C' => Some('2'),
            'D'..='F' => Some('3'),
            'G'..='I' => Some('4'),
            'J'..='L' => Some('5'),
            'M'..='O' => Some('6'),
            'P'..='S' => Some('7'),
            'T'..='V' => Some('8'),
            'W'..='Z' => Some('9'),
            _ => None,
        })
        .collect();
    let national = digits.strip_prefix('1').filter(|rest| rest.len() == 10).unwrap_or(&digits);
    national.parse().map(|value| vec![number(Kind::Phone, value, range)]).unwrap_or_default()
}

fn date(hit: &Captures<'_>, range: &Range<usize>) -> Vec<Number> {
    let part = |name: &str| hit.name(name).map(|part| part.as_str());
    let month = part("month").and_then(month_of);
    let day: Option<u64> = part("day").and_then(|day| day.parse().ok());
    let (Some(month), Some(day @ 1..=31)) = (month, day) else { return Vec::new() };
    let mut numbers = vec![number(Kind::Day, month * 100 + day, range)];
    if let Some(year) = part("year").and_then(|year| year.parse().ok()) {
        numbers.push(number(Kind::Plain, year, range));
    }
    numbers
}

fn month_of(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    if let Ok(value) = text.parse() {
        return (1..=12).contains(&value).then_some(value);
    }
    let folded = text.to_lowercase();
    (1..).zip(MONTHS).find(|(_, name)| folded.starts_with(name)).map(|(value, _)| value)
}

fn time(hit: &Captures<'_>, range: &Range<usize>) -> Vec<Number> {
    let part = |name: &str| hit.name(name).and_then(|part| part.as_str().parse::<u64>().ok());
    let hour = part("hour").or_else(|| part("h")).unwrap_or(99);
    let minute = part("minute").or_else(|| part("m")).unwrap_or(0);
    if hour > 24 || minute > 59 {
        return Vec::new();
    }
    let half = hit.name("half").map(|half| half.as_str().to_lowercase());
    let hour = match half.as_deref() {
        Some("p") if hour < 12 => hour + 12,
        Some("a") if hour == 12 => 0,
        _ => hour,
    };
    vec![number(Kind::Time, hour * 100 + minute, range)]
}
