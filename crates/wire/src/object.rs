//! Untrusted JSON read field by field: what nobody took is named in the end, and a mistake is named with its place.

use std::borrow::Cow;
use std::fmt;

use domain::conversation::Json;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::translation::ReadError;

/// Why a field that nobody took cannot be carried.
const UNKNOWN: &str = "only models of its own dialect understand this field";

/// A text that is borrowed from its JSON where that holds it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Texts)
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Value<'a> {
    /// As `messages[0].content`; empty for the whole body.
    pub place: String,
    raw: &'a str,
}

/// An object and where it stands. A field that is `null` counts as left out.
#[derive(Debug, Clone)]
pub struct Object<'a> {
    /// As `messages[0]`; empty for the whole body.
    pub place: String,
    fields: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Value<'a> {
    /// `raw` is one JSON value.
    #[must_use]
    pub fn new(place: String, raw: &'a str) -> Self {
        Self { place, raw }
    }

    /// Whether it is a text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.raw.starts_with('"')
    }

    /// A text.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] when it is none.
    pub fn text(&self) -> Result<String, ReadError> {
        self.parse("a text")
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] when it is none.
    pub fn flag(&self) -> Result<bool, ReadError> {
        self.parse("true or false")
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] when it is none.
    pub fn count(&self) -> Result<u32, ReadError> {
        self.parse("a whole number")
    }

    /// A whole number of 64 bits.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] when it is none.
    pub fn whole(&self) -> Result<i64, ReadError> {
        self.parse("a whole number")
    }

    /// Any number.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] when it is none.
    pub fn number(&self) -> Result<f64, ReadError> {
        // The library's own reading is faster, and off by the last bit at times. JSON has no infinity to be taken for one.
        let is_number = self.raw.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        self.raw.parse().ok().filter(|_| is_number).ok_or_else(|| self.invalid("a number"))
    }

    /// A list of at most 100,000 elements.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] when it is none.
    pub fn list(&self) -> Result<Vec<Value<'a>>, ReadError> {
        let is_list = self.raw.starts_with('[');
        let elements = serde_json::from_str(self.raw);
        // All of the body is JSON: of a list only its length is left to be wrong.
        let wanted = if is_list { "a list of at most 100,000 elements" } else { "a list" };
        let Elements(raw) = elements.map_err(|_| self.invalid(wanted))?;
        let place = |index| format!("{}[{index}]", self.place);
        Ok(raw.into_iter().enumerate().map(|(at, raw)| Value::new(place(at), raw.get())).collect())
    }

    /// An object.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] when it is none.
    pub fn object(&self) -> Result<Object<'a>, ReadError> {
        let Fields(fields) = serde_json::from_str(self.raw).map_err(|_| self.invalid("an object"))?;
        Ok(Object { place: self.place.clone(), fields })
    }

    /// An object, as it is written.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] when it is none.
    pub fn json_object(&self) -> Result<Json, ReadError> {
        if self.raw.starts_with('{') { Ok(Json::checked(self.raw)) } else { Err(self.invalid("an object")) }
    }

    /// The refusal that says what it should be.
    #[must_use]
    pub fn invalid(&self, wanted: &'static str) -> ReadError {
        ReadError::invalid(self.place.clone(), format!("must be {wanted}"))
    }

    /// The refusal that says why it cannot be carried.
    #[must_use]
    pub fn unsupported(&self, reason: &'static str) -> ReadError {
        ReadError::unsupported(self.place.clone(), reason)
    }

    fn parse<T: DeserializeOwned>(&self, wanted: &'static str) -> Result<T, ReadError> {
        serde_json::from_str(self.raw).map_err(|_| self.invalid(wanted))
    }
}

impl<'a> Object<'a> {
    /// Takes a field.
    pub fn take(&mut self, key: &str) -> Option<Value<'a>> {
        let at = self.fields.iter().position(|(name, _)| name == key)?;
        let (_, raw) = self.fields.swap_remove(at);
        (raw != "null").then(|| Value::new(self.place_of(key), raw))
    }

    /// Takes a field that must be there.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] when it is not.
    pub fn demand(&mut self, key: &str) -> Result<Value<'a>, ReadError> {
        self.take(key).ok_or_else(|| ReadError::invalid(self.place_of(key), "is required"))
    }

    /// Takes a text, or none.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] when it is none.
    pub fn text(&mut self, key: &str) -> Result<Option<String>, ReadError> {
        self.take(key).map(|value| value.text()).transpose()
    }

    /// Takes a text that must be there.
    ///
    /// # Errors
    /// [`ReadError::Invalid`] when it is none.
    pub fn demand_text(&mut self, key: &str) -> Result<String, ReadError> {
        self.demand(key)?.text()
    }

    /// Takes a field whose only value that another dialect needs no word for is `usual`.
    ///
    /// # Errors
    /// [`ReadError::Unsupported`] for every other value.
    pub fn take_usual(&mut self, key: &str, usual: &[&str]) -> Result<(), ReadError> {
        match self.take(key) {
            Some(value) if !usual.contains(&value.raw) => Err(value.unsupported(UNKNOWN)),
            _ => Ok(()),
        }
    }

    /// That nothing is left.
    ///
    /// # Errors
    /// [`ReadError::Unsupported`] that names the first field that nobody took.
    pub fn finish(self) -> Result<(), ReadError> {
        match self.fields.iter().find(|(_, raw)| *raw != "null") {
            Some((key, _)) => Err(ReadError::unsupported(self.place_of(key), UNKNOWN)),
            None => Ok(()),
        }
    }

    fn place_of(&self, key: &str) -> String {
        let key: String = key.chars().take(64).collect();
        if self.place.is_empty() { key } else { format!("{}.{key}", self.place) }
    }
}

/// Most elements of a list; each costs far more here than its two bytes may have.
const ELEMENTS_MAX: usize = 100_000;

/// A list's elements as they are written.
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> Visitor<'de> for Bounded {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Elements<'de>, S::Error> {
                let mut elements = Vec::new();
                while let Some(element) = list.next_element()? {
                    if elements.len() == ELEMENTS_MAX {
                        return Err(S::Error::custom("too many elements"));
                    }
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(Bounded)
    }
}

/// An object's fields in their order, their values as they are written.
pub(crate) struct Fields<'a>(pub(crate) Vec<(Cow<'a, str>, &'a str)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields<'de>, M::Error> {
                let mut fields = Vec::new();
                while let Some((Text(key), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    fields.push((key, value.get()));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(raw: &str) -> Object<'_> {
        Value::new(String::new(), raw).object().expect(raw)
    }

    #[test]
    fn lists_have_a_bound() {
        let list = |n: usize| format!("[{}0]", "0,".repeat(n - 1));
        let length = |raw: &str| Value::new("l".to_owned(), raw).list().map(|list| list.len());
        assert_eq!(length(&list(ELEMENTS_MAX)), Ok(ELEMENTS_MAX));
        let wanted = "must be a list of at most 100,000 elements";
        assert_eq!(length(&list(ELEMENTS_MAX + 1)), Err(ReadError::invalid("l", wanted)));
        assert_eq!(length("{}"), Err(ReadError::invalid("l", "must be a list")));
    }

    #[test]
    fn what_nobody_took_is_named() {
        let mut body = object(r#"{"a":1,"b\u0061":[{"x":"\u00e9"},2],"left":null,"more":{}}"#);
        assert_eq!(body.demand("a").and_then(|value| value.count()), Ok(1));
        let list = body.demand("ba").and_then(|value| value.list()).expect("a list");
        assert_eq!(list[0].object().expect("an object").demand_text("x"), Ok("é".to_owned()));
        assert_eq!(list[1].text(), Err(ReadError::invalid("ba[1]", "must be a text")));
        assert!(body.take("left").is_none());
        assert_eq!(body.finish(), Err(ReadError::unsupported("more", UNKNOWN)));
        assert_eq!(object(r#"{"left":null}"#).finish(), Ok(()));
    }

    #[test]
    fn only_the_usual_value_needs_no_word() {
        assert_eq!(object(r#"{"a":false}"#).take_usual("a", &["false"]), Ok(()));
        assert_eq!(object("{}").take_usual("a", &["false"]), Ok(()));
        let refused = ReadError::unsupported("a", UNKNOWN);
        assert_eq!(object(r#"{"a":true}"#).take_usual("a", &["false"]), Err(refused));
    }
}
