//! The scanner behind [`super::check`]: a state machine over bytes with an explicit stack.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{Field, JsonError, Limits, Reason};

/// A scan under way.
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
    limits: Limits,
    /// What is open, outermost first; never longer than the depth limit.
    open: Vec<Open>,
    n_keys: usize,
    top_keys: BTreeSet<Cow<'a, str>>,
    fields: Vec<Field<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Array,
    Object,
}

/// What must come next.
#[derive(Clone, Copy)]
enum Next {
    Value,
    ValueOrArrayEnd,
    Key,
    KeyOrObjectEnd,
    /// A comma or the end of what is open; at the top the end of the text.
    AfterValue,
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str, limits: Limits) -> Self {
        Self {
            text,
            at: 0,
            limits,
            open: Vec::new(),
            n_keys: 0,
            top_keys: BTreeSet::new(),
            fields: Vec::new(),
        }
    }

    /// Checks the whole text; the fields at its top, in their order.
    pub(super) fn run(mut self) -> Result<Vec<Field<'a>>, JsonError> {
        let mut next = Next::Value;
        loop {
            self.skip_space();
            next = match next {
                Next::Value => self.value()?,
                Next::ValueOrArrayEnd if self.peek() == Some(b']') => self.close(),
                Next::ValueOrArrayEnd => self.value()?,
                Next::KeyOrObjectEnd if self.peek() == Some(b'}') => self.close(),
                Next::Key | Next::KeyOrObjectEnd => self.key()?,
                Next::AfterValue => match (self.open.last(), self.peek()) {
                    (None, None) => return Ok(self.fields),
                    (None, Some(_)) => return Err(self.error("the end")),
                    (Some(Open::Array), Some(b']')) | (Some(Open::Object), Some(b'}')) => self.close(),
                    (Some(Open::Array), Some(b',')) => {
                        self.at += 1;
                        Next::Value
                    }
                    (Some(Open::Object), Some(b',')) => {
                        self.at += 1;
                        Next::Key
                    }
                    (Some(Open::Array), _) => return Err(self.error("`,` or `]`")),
                    (Some(Open::Object), _) => return Err(self.error("`,` or `}`")),
                },
            };
        }
    }

    fn value(&mut self) -> Result<Next, JsonError> {
        let start = self.at;
        if let Some(field) = self.top_field() {
            field.value.start = start;
        }
        match self.peek() {
            Some(b'{') => return self.open(Open::Object),
            Some(b'[') => return self.open(Open::Array),
            Some(b'"') => self.string()?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => return Err(self.error("a value")),
        }
        self.end_value();
        Ok(Next::AfterValue)
    }

    /// The field at the top whose value is being read.
    fn top_field(&mut self) -> Option<&mut Field<'a>> {
        if self.open == [Open::Object] { self.fields.last_mut() } else { None }
    }

    fn end_value(&mut self) {
        let end = self.at;
        if let Some(field) = self.top_field() {
            field.value.end = end;
        }
    }

    fn open(&mut self, what: Open) -> Result<Next, JsonError> {
        if self.open.len() == self.limits.depth_max {
            return Err(JsonError { offset: self.at, reason: Reason::TooDeep });
        }
        self.open.push(what);
        self.at += 1;
        Ok(match what {
            Open::Array => Next::ValueOrArrayEnd,
            Open::Object => Next::KeyOrObjectEnd,
        })
    }

    fn close(&mut self) -> Next {
        self.open.pop();
        self.at += 1;
        self.end_value();
        Next::AfterValue
    }

    fn key(&mut self) -> Result<Next, JsonError> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.error("a key"));
        }
        self.n_keys += 1;
        if self.n_keys > self.limits.keys_max {
            return Err(JsonError { offset: start, reason: Reason::TooManyKeys });
        }
        self.string()?;
        if self.open.len() == 1 {
            self.remember(start)?;
        }
        self.skip_space();
        self.literal(b':', "`:`")?;
        Ok(Next::Value)
    }

    /// Keeps the top-level key that began at `start`, in the form that its escapes stand for.
    fn remember(&mut self, start: usize) -> Result<(), JsonError> {
        let quoted = self.text.get(start..self.at).unwrap_or_default();
        let plain = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
        let key = match plain.contains('\\').then(|| serde_json::from_str::<String>(quoted)) {
            Some(Ok(unescaped)) => Cow::Owned(unescaped),
            _ => Cow::Borrowed(plain),
        };
        if !self.top_keys.insert(key.clone()) {
            return Err(JsonError { offset: start, reason: Reason::DuplicateKey(key.into_owned()) });
        }
        self.fields.push(Field { key, value: 0..0 });
        Ok(())
    }

    fn string(&mut self) -> Result<(), JsonError> {
        self.literal(b'"', "a text")?;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            self.at += plain.unwrap_or(rest.len());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(self.error("no control character in a text")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                return Ok(());
            }
            Some(b'u') => {}
            _ => return Err(self.error("an escape")),
        }
        let lone = JsonError { offset: start, reason: Reason::LoneSurrogate };
        match self.hex_escape()? {
            0xDC00..=0xDFFF => Err(lone),
            0xD800..=0xDBFF => {
                if !self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(b"\\u")) {
                    return Err(lone);
                }
                self.at += 1;
                if matches!(self.hex_escape()?, 0xDC00..=0xDFFF) { Ok(()) } else { Err(lone) }
            }
            _ => Ok(()),
        }
    }

    /// Reads `uXXXX`.
    fn hex_escape(&mut self) -> Result<u32, JsonError> {
        self.at += 1;
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.error("four hexadecimal digits"))?;
            self.at += 1;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.error("a digit"));
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn word(&mut self, word: &'static str) -> Result<(), JsonError> {
        word.bytes().try_for_each(|byte| self.literal(byte, "a value"))
    }

    fn literal(&mut self, byte: u8, name: &'static str) -> Result<(), JsonError> {
        if self.peek() != Some(byte) {
            return Err(self.error(name));
        }
        self.at += 1;
        Ok(())
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn error(&self, expected: &'static str) -> JsonError {
        let reason = if self.peek().is_some() { Reason::Expected(expected) } else { Reason::Incomplete };
        JsonError { offset: self.at, reason }
    }
}
