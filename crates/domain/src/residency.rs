//! Where requests may be processed: a limit that nothing on their way may break, and the places that targets name.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// A place by the name that a configuration gives it, as `eu` or `de-fra`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(Arc<str>);

/// Longest name of a place in bytes.
const NAME_BYTES_MAX: usize = 32;
/// Most places that one limit names.
const PLACES_MAX: usize = 16;

/// A text that names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// The name is empty, too long, or has a sign that none may have.
    #[error("a place is 1 to 32 letters, digits, `-` and `_`, as `eu`")]
    Name,
    /// There are more than anyone needs.
    #[error("name 16 places at most")]
    TooMany,
}

impl Place {
    /// The place called `name`; case makes no difference.
    ///
    /// # Errors
    /// [`NoPlace::Name`].
    pub fn parse(name: &str) -> Result<Self, NoPlace> {
        let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_sign) {
            return Err(NoPlace::Name);
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }

    /// Several places, each once.
    ///
    /// # Errors
    /// [`NoPlace`] for the first name that is none, or when there are too many.
    pub fn parse_all<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<BTreeSet<Self>, NoPlace> {
        let mut places = BTreeSet::new();
        for name in names {
            places.insert(Self::parse(name)?);
            if places.len() > PLACES_MAX {
                return Err(NoPlace::TooMany);
            }
        }
        Ok(places)
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a request may be processed. Its order and equality make it a part of keys, as of a cache's.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Residency {
    /// Anywhere.
    #[default]
    Anywhere,
    /// In these places only; in none but this machine when there are none.
    Within(BTreeSet<Place>),
}

impl Residency {
    /// The limit that a setting or header writes: anywhere when it is left out.
    ///
    /// # Errors
    /// [`NoPlace`].
    pub fn parse<'a>(names: Option<impl IntoIterator<Item = &'a str>>) -> Result<Self, NoPlace> {
        names.map_or(Ok(Self::Anywhere), |names| Place::parse_all(names).map(Self::Within))
    }

    /// What both allow.
    #[must_use]
    pub fn narrowed(&self, by: &Self) -> Self {
        match (self, by) {
            (Self::Anywhere, other) | (other, Self::Anywhere) => other.clone(),
            (Self::Within(ours), Self::Within(theirs)) => {
                Self::Within(ours.intersection(theirs).cloned().collect())
            }
        }
    }

    /// Whether it allows nothing that `other` forbids.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Anywhere) => true,
            (Self::Anywhere, Self::Within(_)) => false,
            (Self::Within(ours), Self::Within(theirs)) => ours.is_subset(theirs),
        }
    }

    /// Whether what is processed in `places` stays within it. A target that may process in several places must be
    /// allowed in each; one that names none may be anywhere.
    #[must_use]
    pub fn allows(&self, places: &BTreeSet<Place>) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Within(allowed) => !places.is_empty() && places.is_subset(allowed),
        }
    }
}

impl fmt::Display for Residency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anywhere => f.write_str("anywhere"),
            Self::Within(places) if places.is_empty() => f.write_str("this machine"),
            Self::Within(places) => {
                for (index, place) in places.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{place}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(names: &str) -> BTreeSet<Place> {
        Place::parse_all(names.split_whitespace()).expect("places")
    }

    #[test]
    fn a_limit_allows_only_what_stays_within_it() {
        let within = |names| Residency::Within(places(names));
        for (limit, target, want) in [
            (Residency::Anywhere, "", true),
            (Residency::Anywhere, "us", true),
            (within("eu"), "eu", true),
            (within("eu"), "EU", true),
            (within("eu"), "us", false),
            (within("eu"), "", false),      // nobody knows where
            (within("eu"), "eu us", false), // it may leave
            (within("eu us"), "eu us", true),
            (within("eu us"), "us", true),
            (within(""), "eu", false),
            (within(""), "", false),
        ] {
            assert_eq!(limit.allows(&places(target)), want, "{limit} and {target}");
        }
    }

    #[test]
    fn limits_only_ever_become_narrower() {
        let limits = ["", "eu", "us", "eu us", "eu us ch"].map(|names| Residency::Within(places(names)));
        for a in limits.iter().chain([&Residency::Anywhere]) {
            for b in limits.iter().chain([&Residency::Anywhere]) {
                let both = a.narrowed(b);
                assert!(both.is_within(a) && both.is_within(b), "{a}; {b}");
                assert_eq!(a.is_within(b), both == *a, "{a}; {b}");
                for target in ["", "eu", "us", "ch", "eu us", "us ch"].map(places) {
                    assert_eq!(both.allows(&target), a.allows(&target) && b.allows(&target), "{a}; {b}");
                }
            }
        }
    }

    #[test]
    fn names_are_short_and_plain() {
        for name in ["", "e u", "eu,us", "é", "a234567890123456789012345678901234"] {
            assert_eq!(Place::parse(name), Err(NoPlace::Name), "{name}");
        }
        let many: Vec<String> = (0..17).map(|n| format!("p{n}")).collect();
        assert_eq!(Place::parse_all(many.iter().map(String::as_str)), Err(NoPlace::TooMany));
        assert_eq!(Residency::parse(None::<Vec<&str>>), Ok(Residency::Anywhere));
        assert_eq!(Residency::parse(Some(["EU"])).expect("a limit").to_string(), "eu");
    }
}
