//! Number words.

/// A number word's part in a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelled {
    /// Below ten.
    Unit(u64),
    /// Ten to nineteen.
    Teen(u64),
    /// Twenty, thirty, …
    Ten(u64),
    /// Hundred, thousand, million, …
    Scale(u64),
    /// First, second, …; names a part of one behind a number.
    Ordinal(u64),
    /// Half, quarter, sixths: one of so many parts.
    Part(u64),
}

/// What `word` (lower-case) says, if it is a number word.
pub(super) fn read(word: &str) -> Option<Spelled> {
    let spelled = match word {
        "zero" => Spelled::Unit(0),
        "one" => Spelled::Unit(1),
        "two" => Spelled::Unit(2),
        "three" => Spelled::Unit(3),
        "four" => Spelled::Unit(4),
        "five" => Spelled::Unit(5),
        "six" => Spelled::Unit(6),
        "seven" => Spelled::Unit(7),
        "eight" => Spelled::Unit(8),
        "nine" => Spelled::Unit(9),
        "ten" => Spelled::Teen(10),
        "eleven" => Spelled::Teen(11),
        "twelve" => Spelled::Teen(12),
        "thirteen" => Spelled::Teen(13),
        "fourteen" => Spelled::Teen(14),
        "fifteen" => Spelled::Teen(15),
        "sixteen" => Spelled::Teen(16),
        "seventeen" => Spelled::Teen(17),
        "eighteen" => Spelled::Teen(18),
        "nineteen" => Spelled::Teen(19),
        "twenty" => Spelled::Ten(20),
        "thirty" => Spelled::Ten(30),
        "forty" => Spelled::Ten(40),
        "fifty" => Spelled::Ten(50),
        "sixty" => Spelled::Ten(60),
        "seventy" => Spelled::Ten(70),
        "eighty" => Spelled::Ten(80),
        "ninety" => Spelled::Ten(90),
        "hundred" => Spelled::Scale(100),
        "thousand" => Spelled::Scale(1_000),
        "million" | "mln" => Spelled::Scale(1_000_000),
        "billion" => Spelled::Scale(1_000_000_000),
        "trillion" => Spelled::Scale(1_000_000_000_000),
        "half" | "halves" => Spelled::Part(2),
        "quarter" | "quarters" => Spelled::Part(4),
        _ => return ordinal(word),
    };
    Some(spelled)
}

fn ordinal(word: &str) -> Option<Spelled> {
    const ORDINALS: [&str; 19] = [
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "sixth",
        "seventh",
        "eighth",
        "ninth",
        "tenth",
        "eleventh",
        "twelfth",
        "thirteenth",
        "fourteenth",
        "fifteenth",
        "sixteenth",
        "seventeenth",
        "eighteenth",
        "nineteenth",
    ];
    const TENTHS: [&str; 8] = [
        "twentieth",
        "thirtieth",
        "fortieth",
        "fiftieth",
        "sixtieth",
        "seventieth",
        "eightieth",
        "ninetieth",
    ];
    let find = |word: &str| {
        let low = (1..).zip(ORDINALS).find(|(_, name)| *name == word).map(|(value, _)| value);
        low.or_else(|| (2..).zip(TENTHS).find(|(_, name)| *name == word).map(|(value, _)| value * 10))
            .or_else(|| (word == "hundredth").then_some(100))
    };
    if let Some(value) = find(word) {
        return Some(Spelled::Ordinal(value));
    }
    word.strip_suffix('s').and_then(find).filter(|&value| value > 2).map(Spelled::Part)
}
