//! Counts of what a call used, read as far as they make sense: what is said of one of them must not hide the others.

use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;

/// A count: a whole number, also one written as `1000.0` or `1e3`; whatever else stands there is as if it were absent.
pub(crate) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let raw: &RawValue = Deserialize::deserialize(deserializer)?;
    Ok(raw.get().parse().ok().or_else(|| whole(raw.get().parse().ok()?)))
}

/// The same, for what means nothing without it.
pub(crate) fn tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let count = count(deserializer)?.ok_or_else(|| serde::de::Error::custom("no count"))?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// What can be read, or its default.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    let raw: &'de RawValue = Deserialize::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).unwrap_or_default())
}

/// An object of counts; whatever else stands there is as if it were absent.
pub(crate) fn object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let raw: &'de RawValue = Deserialize::deserialize(deserializer)?;
    // A list would be taken for the fields in their order.
    let is_object = raw.get().starts_with('{');
    Ok(serde_json::from_str(raw.get()).ok().filter(|_| is_object))
}

/// `number` where it is a count.
fn whole(number: f64) -> Option<u64> {
    let is_whole = number.is_finite() && number >= 0.0 && number.fract() == 0.0;
    // Beyond 64 bits there is no such count.
    if is_whole { format!("{number:.0}").parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    struct Counts {
        #[serde(default, deserialize_with = "count")]
        n: Option<u64>,
        #[serde(default, deserialize_with = "object")]
        within: Option<Box<Counts>>,
    }

    #[test]
    fn a_count_that_makes_no_sense_is_left_out_alone() {
        for (n, want) in [
            ("7", Some(7)),
            ("1000.0", Some(1_000)),
            ("1e3", Some(1_000)),
            ("0", Some(0)),
            ("null", None),
            ("-7", None),
            ("0.5", None),
            ("1e300", None),
            ("\"7\"", None),
            ("true", None),
            ("[7]", None),
            ("{\"n\":7}", None),
        ] {
            let read: Counts = serde_json::from_str(&format!(r#"{{"n":{n},"within":{{"n":1}}}}"#)).expect(n);
            let within = Some(Box::new(Counts { n: Some(1), within: None }));
            assert_eq!(read, Counts { n: want, within }, "{n}");
        }
        for within in ["null", "7", "[7]", "\"{}\""] {
            let read: Counts =
                serde_json::from_str(&format!(r#"{{"within":{within},"n":7}}"#)).expect(within);
            assert_eq!(read, Counts { n: Some(7), within: None }, "{within}");
        }
    }
}
