//! The names in JSON that was checked, with their values, however deep they stand: one pass, decoded only where there is a
//! backslash.

use std::borrow::Cow;

use memchr::memchr2;

/// A name and where its value is.
#[derive(Debug)]
pub struct Named<'a> {
    /// How many objects and arrays it stands in; 1 at the top.
    pub depth: usize,
    /// It, in the form that its escapes stand for.
    pub name: Cow<'a, [u8]>,
    /// From the first byte of its value to the end of everything.
    from: &'a [u8],
}

impl<'a> Named<'a> {
    /// The first byte of its value.
    #[must_use]
    pub fn first(&self) -> Option<u8> {
        self.from.first().copied()
    }

    /// Whether its value is `null`, or a list without anything in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let list = self.from.strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
        self.from.starts_with(b"null") || list.is_some_and(|list| list.starts_with(b"]"))
    }

    /// Its value, where that is a text.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'a, [u8]>> {
        (self.first() == Some(b'"')).then(|| decoded(self.from.get(..text_end(self.from, 0))))
    }
}

/// Where to look on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Within the value.
    Within,
    /// Behind it.
    Past,
    /// Nowhere.
    No,
}

/// Tells `see` every name in `json`, in their order.
pub fn names<'a>(json: &'a [u8], see: &mut dyn FnMut(&Named<'a>) -> Look) {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = json.get(at) {
        match byte {
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let end = text_end(json, at);
                let colon = past_space(json, end);
                if json.get(colon) != Some(&b':') {
                    at = end;
                    continue;
                }
                let value = past_space(json, colon + 1);
                let from = json.get(value..).unwrap_or_default();
                let named = Named { depth, name: decoded(json.get(at..end)), from };
                at = match see(&named) {
                    Look::Within => value,
                    Look::Past => value_end(json, value),
                    Look::No => return,
                };
                continue;
            }
            _ => {}
        }
        at += 1;
    }
}

/// What a text in its quotes says.
fn decoded(quoted: Option<&[u8]>) -> Cow<'_, [u8]> {
    let quoted = quoted.unwrap_or_default();
    let plain = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    let is_escaped = memchr::memchr(b'\\', plain).is_some();
    match is_escaped.then(|| serde_json::from_slice::<String>(quoted)) {
        Some(Ok(text)) => Cow::Owned(text.into_bytes()),
        _ => Cow::Borrowed(plain),
    }
}

/// `text` with what its escapes stand for, wherever they are in it; `None` where it has none.
#[must_use]
pub fn unescaped(text: &str) -> Option<String> {
    let mut rest = text;
    let (mut plain, mut has_escape) = (String::new(), false);
    while let Some((before, from)) = rest.split_once('\\') {
        plain.push_str(before);
        let (character, n) = escape(from).unwrap_or(('\\', 0));
        has_escape |= n > 0;
        plain.push(character);
        rest = from.get(n..).unwrap_or_default();
    }
    plain.push_str(rest);
    has_escape.then_some(plain)
}

/// The character that an escape stands for, and how many bytes it has after its backslash.
fn escape(from: &str) -> Option<(char, usize)> {
    let unit = |from: &str| u16::from_str_radix(from.strip_prefix('u')?.get(..4)?, 16).ok();
    Some(match *from.as_bytes().first()? {
        b'n' => ('\n', 1),
        b't' => ('\t', 1),
        b'r' => ('\r', 1),
        b'b' => ('\u{8}', 1),
        b'f' => ('\u{c}', 1),
        other @ (b'"' | b'\\' | b'/') => (char::from(other), 1),
        _ => {
            let first = unit(from)?;
            let second = from.get(5..).and_then(|rest| unit(rest.strip_prefix('\\')?));
            match char::decode_utf16([first].into_iter().chain(second)).next()? {
                Ok(character) => (character, if character.len_utf16() == 2 { 11 } else { 5 }),
                Err(_) => (char::REPLACEMENT_CHARACTER, 5),
            }
        }
    })
}

fn past_space(json: &[u8], at: usize) -> usize {
    let rest = json.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Behind the text whose first quote is at `at`.
fn text_end(json: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    loop {
        let rest = json.get(at..).unwrap_or_default();
        match memchr2(b'"', b'\\', rest) {
            Some(found) if rest.get(found) == Some(&b'"') => return at + found + 1,
            Some(found) => at += found + 2,
            None => return json.len(),
        }
    }
}

/// Behind the object, list or text at `at`; a word or a number has nothing in it that could be passed over.
fn value_end(json: &[u8], at: usize) -> usize {
    let (mut end, mut depth) = (at, 0_usize);
    while let Some(byte) = json.get(end) {
        match byte {
            b'"' => end = text_end(json, end),
            b'{' | b'[' => (end, depth) = (end + 1, depth + 1),
            b'}' | b']' if depth > 0 => (end, depth) = (end + 1, depth - 1),
            _ if depth == 0 => return end,
            _ => end += 1,
        }
        if depth == 0 {
            return end;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_in_their_order_and_decoded() {
        let json =
            br#" {"a" : {"\u0062":[{"c":"d\"}"},7]}, "skip":{"x":["]","}"],"y":{}},"e":null,"f":[ ],"g":1} "#;
        let mut seen = Vec::new();
        names(json, &mut |named| {
            let name = String::from_utf8(named.name.to_vec()).expect("text");
            let text = named.text().map(|text| String::from_utf8(text.to_vec()).expect("text"));
            let look = if name == "skip" { Look::Past } else { Look::Within };
            seen.push((named.depth, name, text, named.is_empty()));
            look
        });
        let of = |depth, name: &str, text: Option<&str>, is_empty| {
            (depth, name.to_owned(), text.map(str::to_owned), is_empty)
        };
        let want = [
            of(1, "a", None, false),
            of(2, "b", None, false),
            of(4, "c", Some("d\"}"), false),
            of(1, "skip", None, false),
            of(1, "e", None, true),
            of(1, "f", None, true),
            of(1, "g", None, false),
        ];
        assert_eq!(seen, want);
    }

    #[test]
    fn escapes_are_what_they_stand_for() {
        for (text, want) in [
            ("plain", None),
            (r"a \\d", Some(r"a \d")),
            (r"mary\u0040example.com", Some("mary@example.com")),
            (r"\\u0040", Some(r"\u0040")),
            (r"\u0040\ud83d\ude00\/\n", Some("@\u{1f600}/\n")),
            (r"\ud83dx\u00", Some("\u{fffd}x\\u00")),
            (r"\d \", None),
            (r"\é", None),
        ] {
            assert_eq!(unescaped(text).as_deref(), want, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, past: bool) {
            let _ = unescaped(&String::from_utf8_lossy(&bytes));
            names(&bytes, &mut |named| {
                let _ = (named.text(), named.is_empty());
                if past { Look::Past } else { Look::Within }
            });
        }

        /// Text made of JSON's own pieces.
        #[test]
        fn it_ends(pieces in proptest::collection::vec(proptest::prop_oneof![
            proptest::prelude::Just("{"), proptest::prelude::Just("}"), proptest::prelude::Just("["),
            proptest::prelude::Just("\"a\":"), proptest::prelude::Just("\""), proptest::prelude::Just("\\"),
            proptest::prelude::Just("1,"),
        ], 0..20), past: bool) {
            let mut n_seen = 0;
            let text = pieces.concat();
            names(text.as_bytes(), &mut |_| {
                n_seen += 1;
                if past { Look::Past } else { Look::Within }
            });
            proptest::prop_assert!(n_seen <= text.len());
        }
    }
}
