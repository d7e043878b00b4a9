//! From text to numbers: a parser without memory of what it has seen.

use super::lex::{Item, Token, lex};
use super::pattern;
use super::spelled::{self, Spelled};
use super::{Form, Kind, Number, Quantity};

/// The numbers of `text` in their order: amounts, percentages, dates, telephone numbers, ages, fractions,
/// in digits or English words. Numerals of lists, citation marks, and digits in addresses are none.
#[must_use]
pub fn numbers(text: &str) -> Vec<Number> {
    let found = pattern::find(text);
    let tokens = lex(text, &found.taken);
    let mut numbers = found.numbers;
    let mut parser = Parser { tokens: &tokens, at: 0 };
    while parser.at < tokens.len() {
        match parser.number() {
            Some(number) => numbers.push(number),
            None => parser.at += 1,
        }
    }
    numbers.sort_by_key(|number| (number.start, number.end));
    spread_units(text, &mut numbers);
    for number in &mut numbers {
        if number.kind == Kind::Plain && super::is_followed_by_unit(&text[number.end..]) {
            number.kind = Kind::Count;
        }
    }
    numbers
}

/// In a range the unit stands once: `10 to 15 percent`, `$5–10`.
fn spread_units(text: &str, numbers: &mut [Number]) {
    for at in 1..numbers.len() {
        let (before, after) = (&numbers[at - 1], &numbers[at]);
        let between = text.get(before.end..after.start).unwrap_or_default().trim();
        if !matches!(between, "to" | "and" | "or" | "-" | "–" | "—") {
            continue;
        }
        match (before.kind, after.kind) {
            (Kind::Plain, Kind::Percent | Kind::Money) => numbers[at - 1].kind = after.kind,
            (Kind::Money, Kind::Plain) if between != "and" && between != "or" => {
                numbers[at].kind = Kind::Money
            }
            _ => {}
        }
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
}

/// A number without what stands around it.
struct Core {
    value: Quantity,
    kind: Kind,
    form: Form,
}

impl Parser<'_> {
    /// The number that begins here, moved past it; `None` (and not moved) when none does.
    fn number(&mut self) -> Option<Number> {
        let first = self.at;
        let mut kind = None;
        while self.is_currency(self.at) {
            kind = Some(Kind::Money);
            self.at += 1;
        }
        let Some(core) = self.core() else {
            self.at = first;
            return None;
        };
        let mut value = core.value;
        let mut kind = kind.unwrap_or(core.kind);
        if matches!(kind, Kind::Plain | Kind::Fraction) {
            match self.unit() {
                Some(Unit::Percent) => kind = Kind::Percent,
                Some(Unit::Money) => kind = Kind::Money,
                Some(Unit::Cents) => {
                    kind = Kind::Money;
                    value = value.hundredth();
                }
                None => {}
            }
        }
        let (start, end) = (self.tokens[first].start, self.tokens[self.at - 1].end);
        Some(Number { value, kind, form: core.form, start, end })
    }

    fn core(&mut self) -> Option<Core> {
        match self.item(self.at)? {
            Item::Digits(value) => Some(self.digits(*value)),
            Item::Part(value) => {
                let value = *value;
                self.at += 1;
                Some(Core { value, kind: Kind::Fraction, form: Form::Digits })
            }
            Item::Word(_) => self.spelled(),
            Item::Mark(_) => None,
        }
    }

    fn digits(&mut self, value: Quantity) -> Core {
        let number = self.at;
        self.at += 1;
        if let Some(part) = self.fraction_of(value) {
            return Core { value: part, kind: Kind::Fraction, form: Form::Digits };
        }
        let mut value = value.plus(self.mixed_part());
        let is_stuck = self.touches(number);
        let suffix = self.word(self.at).filter(|_| is_stuck).map(str::to_owned);
        let is_amount = number > 0 && self.is_currency(number - 1);
        let account = matches!(value.0 / Quantity::ONE, 401 | 403 | 457);
        let factor = match suffix.as_deref() {
            Some("k") if is_amount || !account => Some(1_000),
            Some("m" | "mm" | "mn") => Some(1_000_000),
            Some("b" | "bn") if is_amount || !account => Some(1_000_000_000),
            Some("st" | "nd" | "rd" | "th") => {
                self.at += 1;
                return Core { value, kind: Kind::Ordinal, form: Form::Digits };
            }
            _ => None,
        };
        if let Some(factor) = factor {
            self.at += 1;
            value = value.times(factor);
        }
        value = value.plus(self.and_a_half());
        while let Some(Spelled::Scale(factor)) = self.spelled_at(self.at) {
            value = value.times(factor);
            self.at += 1;
        }
        Core { value, kind: Kind::Plain, form: Form::Digits }
    }

    /// `1/6` as one part of six.
    fn fraction_of(&mut self, part: Quantity) -> Option<Quantity> {
        let stuck = self.touches(self.at - 1) && self.touches(self.at);
        let (Item::Mark('/' | '⁄'), Item::Digits(of)) = (self.item(self.at)?, self.item(self.at + 1)?)
        else {
            return None;
        };
        let (part, of) = (part.0 / Quantity::ONE, of.0 / Quantity::ONE);
        let (part, of) = (u64::try_from(part).ok()?, u64::try_from(of).ok()?);
        if !stuck || part >= of || of > 100 {
            return None;
        }
        self.at += 2;
        Some(Quantity::ratio(part, of))
    }

    /// The part behind a whole number: `59½`, `59 1/2`, `59-1/2`.
    fn mixed_part(&mut self) -> Quantity {
        let after = if self.item(self.at) == Some(&Item::Mark('-')) { self.at + 1 } else { self.at };
        match self.item(after) {
            Some(Item::Part(part)) => {
                let part = *part;
                self.at = after + 1;
                part
            }
            Some(Item::Digits(part)) => {
                let (part, before) = (*part, self.at);
                self.at = after + 1;
                let of = self.item(after + 2).cloned();
                let common = [2, 3, 4, 8].map(|of| Item::Digits(Quantity::whole(of)));
                if of.is_some_and(|of| common.contains(&of))
                    && let Some(part) = self.fraction_of(part)
                {
                    return part;
                }
                self.at = before;
                Quantity(0)
            }
            _ => Quantity(0),
        }
    }

    /// `and a half`, `and a quarter` behind a number.
    fn and_a_half(&mut self) -> Quantity {
        let is_phrase =
            self.word(self.at) == Some("and") && matches!(self.word(self.at + 1), Some("a" | "one"));
        match self.spelled_at(self.at + 2) {
            Some(Spelled::Part(of)) if is_phrase => {
                self.at += 3;
                Quantity::ratio(1, of)
            }
            _ => Quantity(0),
        }
    }

    /// A number in words: `two hundred and fifty thousand`, `twenty-first`, `one sixth`, `half`.
    fn spelled(&mut self) -> Option<Core> {
        let form = Form::Words;
        match (self.word(self.at)?, self.spelled_at(self.at), self.spelled_at(self.at + 1)) {
            ("a" | "an", None, Some(Spelled::Scale(factor))) => {
                self.at += 2;
                return Some(Core { value: Quantity::whole(factor), kind: Kind::Plain, form });
            }
            (_, Some(Spelled::Part(2)), _) if self.word(self.at) == Some("half") => {
                self.at += 1;
                return Some(Core { value: Quantity::ratio(1, 2), kind: Kind::Fraction, form });
            }
            (_, Some(Spelled::Ordinal(value)), _) => {
                self.at += 1;
                return Some(Core { value: Quantity::whole(value), kind: Kind::Ordinal, form });
            }
            (_, Some(Spelled::Unit(_) | Spelled::Teen(_) | Spelled::Ten(_)), _) => {}
            _ => return None,
        }
        self.cardinal(form)
    }

    fn cardinal(&mut self, form: Form) -> Option<Core> {
        let (mut total, mut group) = (0_u64, 0_u64);
        let mut last: Option<Spelled> = None;
        loop {
            let start = self.skip_joint(last);
            match (last, self.spelled_at(start)) {
                (None | Some(Spelled::Scale(_) | Spelled::Ten(_)), Some(Spelled::Unit(value)))
                | (None | Some(Spelled::Scale(_)), Some(Spelled::Teen(value) | Spelled::Ten(value))) => {
                    group = group.saturating_add(value);
                }
                (Some(_), Some(Spelled::Scale(100))) => group = group.saturating_mul(100),
                (Some(_), Some(Spelled::Scale(factor))) => {
                    total = total.saturating_add(group.saturating_mul(factor));
                    group = 0;
                }
                (Some(Spelled::Ten(_)), Some(Spelled::Ordinal(value))) if value < 10 => {
                    self.at = start + 1;
                    let value = Quantity::whole(total.saturating_add(group).saturating_add(value));
                    return Some(Core { value, kind: Kind::Ordinal, form });
                }
                (Some(_), Some(Spelled::Ordinal(of) | Spelled::Part(of))) if of > 1 && total == 0 => {
                    self.at = start + 1;
                    return Some(Core { value: Quantity::ratio(group, of), kind: Kind::Fraction, form });
                }
                _ => break,
            }
            last = self.spelled_at(start);
            self.at = start + 1;
        }
        last?;
        let mut value = Quantity::whole(total.saturating_add(group)).plus(self.and_a_half());
        while let Some(Spelled::Scale(factor)) = self.spelled_at(self.at) {
            value = value.times(factor);
            self.at += 1;
        }
        Some(Core { value, kind: Kind::Plain, form })
    }

    /// Past the hyphen of `twenty-five` or the `and` of `two hundred and fifty`, where a number goes on.
    fn skip_joint(&self, last: Option<Spelled>) -> usize {
        let is_joint = match last {
            None => false,
            Some(Spelled::Scale(_)) if self.word(self.at) == Some("and") => {
                matches!(
                    self.spelled_at(self.at + 1),
                    Some(Spelled::Unit(_) | Spelled::Teen(_) | Spelled::Ten(_))
                )
            }
            Some(_) => self.item(self.at) == Some(&Item::Mark('-')) && self.spelled_at(self.at + 1).is_some(),
        };
        if is_joint { self.at + 1 } else { self.at }
    }

    fn unit(&mut self) -> Option<Unit> {
        let at = if self.item(self.at) == Some(&Item::Mark('-')) { self.at + 1 } else { self.at };
        let (unit, length) = match self.item(at)? {
            Item::Mark('%') => (Unit::Percent, 1),
            Item::Mark('¢') => (Unit::Cents, 1),
            Item::Mark('€' | '£') => (Unit::Money, 1),
            Item::Word(word) => match word.as_str() {
                "percent" | "pct" | "percentage" => (Unit::Percent, 1),
                "per" if self.word(at + 1) == Some("cent") => (Unit::Percent, 2),
                "dollar" | "dollars" | "usd" | "bucks" | "euros" => (Unit::Money, 1),
                "cent" | "cents" => (Unit::Cents, 1),
                "us" | "u" if self.word(at + 1) == Some("dollars") => (Unit::Money, 2),
                _ => return None,
            },
            _ => return None,
        };
        self.at = at + length;
        Some(unit)
    }

    fn item(&self, at: usize) -> Option<&Item> {
        self.tokens.get(at).map(|token| &token.item)
    }

    fn word(&self, at: usize) -> Option<&str> {
        match self.item(at)? {
            Item::Word(word) => Some(word),
            _ => None,
        }
    }

    fn spelled_at(&self, at: usize) -> Option<Spelled> {
        spelled::read(self.word(at)?)
    }

    /// Whether the token at `at` and the next one stand without a blank between them.
    fn touches(&self, at: usize) -> bool {
        match (self.tokens.get(at), self.tokens.get(at + 1)) {
            (Some(left), Some(right)) => left.end == right.start,
            _ => false,
        }
    }

    fn is_currency(&self, at: usize) -> bool {
        let is_before_amount = matches!(self.item(at + 1), Some(Item::Digits(_) | Item::Mark('$')));
        match self.item(at) {
            Some(Item::Mark('$' | '€' | '£' | '¥')) => true,
            Some(Item::Word(word)) => matches!(word.as_str(), "usd" | "us") && is_before_amount,
            _ => false,
        }
    }
}

enum Unit {
    Percent,
    Money,
    Cents,
}
