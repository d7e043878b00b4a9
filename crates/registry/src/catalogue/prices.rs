//! What a model costs, as people write it: in the catalogue by days, in `mainstay.toml` also in single keys.

use domain::hex;
use domain::model::{PriceList, Prices};
use domain::money::Nanos;
use domain::price::{LongPrompts, PriceVersion, Rates};
use domain::time::Day;
use domain::token::TokenCount;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::date;
use crate::routes::ModelConfig;

/// What a model costs in some days, in US dollars for each million tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceConfig {
    /// The day the prices were read.
    pub as_of: toml::value::Datetime,
    /// The first day on which they hold; when left out, they always did.
    pub from: Option<toml::value::Datetime>,
    /// The first day on which they hold no more.
    pub until: Option<toml::value::Datetime>,
    /// Prompt tokens.
    pub input: f64,
    /// Generated tokens. An embedding has none.
    #[serde(default)]
    pub output: f64,
    /// Prompt tokens read from the provider's cache; else as `input`.
    pub cached_input: Option<f64>,
    /// Prompt tokens written to the provider's cache; else as `input`.
    pub cache_write: Option<f64>,
    /// Prompt tokens written to the provider's cache for its longer time; else as `cache_write`.
    pub cache_write_hour: Option<f64>,
    /// Generated tokens that the model says to itself; else as `output`.
    pub reasoning: Option<f64>,
    /// Other prices for calls with long prompts; they hold for all tokens of such a call.
    pub long: Option<LongConfig>,
}

/// What calls with long prompts cost.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongConfig {
    /// A prompt of more tokens than this is long.
    pub over: u32,
    /// As above.
    pub input: f64,
    /// As above.
    #[serde(default)]
    pub output: f64,
    /// As above.
    pub cached_input: Option<f64>,
    /// As above.
    pub cache_write: Option<f64>,
    /// As above.
    pub cache_write_hour: Option<f64>,
    /// As above.
    pub reasoning: Option<f64>,
}

/// The prices that stand in `mainstay.toml`, in one of their two forms.
pub(super) fn own(config: &ModelConfig) -> Result<PriceList, String> {
    let parts = [
        config.price_cached_input_per_million,
        config.price_cache_write_per_million,
        config.price_cache_write_hour_per_million,
        config.price_reasoning_per_million,
    ];
    match (config.price_input_per_million, config.price_output_per_million) {
        (None, None) if parts.iter().all(Option::is_none) => list(&config.prices),
        (Some(input), Some(output)) if config.prices.is_empty() => {
            let [cached_input, cache_write, cache_write_hour, reasoning] = parts;
            let given = Given { input, output, cached_input, cache_write, cache_write_hour, reasoning };
            let rates = given.rates("price_", "_per_million")?;
            Ok(versioned(date("price_as_of", config.price_as_of)?, (None, None), (rates, None)).into())
        }
        (Some(_), Some(_)) => Err("give prices or price_…_per_million, not both".to_owned()),
        _ => Err("give both price_input_per_million and price_output_per_million, or neither".to_owned()),
    }
}

pub(super) fn list(configs: &[PriceConfig]) -> Result<PriceList, String> {
    let prices = configs.iter().map(prices).collect::<Result<Vec<_>, _>>()?;
    for (n, one) in prices.iter().enumerate() {
        let overlaps = |other: &Prices| {
            let begins_before_end = |a: Option<Day>, b: Option<Day>| a.zip(b).is_none_or(|(a, b)| a < b);
            begins_before_end(one.from, other.until) && begins_before_end(other.from, one.until)
        };
        if prices.iter().skip(n + 1).any(overlaps) {
            return Err("prices: two of them hold on the same day".to_owned());
        }
    }
    Ok(PriceList(prices))
}

fn prices(config: &PriceConfig) -> Result<Prices, String> {
    let (from, until) = (date("from", config.from)?, date("until", config.until)?);
    if from.zip(until).is_some_and(|(from, until)| from >= until) {
        return Err("prices: `from` must be before `until`".to_owned());
    }
    let given = Given {
        input: config.input,
        output: config.output,
        cached_input: config.cached_input,
        cache_write: config.cache_write,
        cache_write_hour: config.cache_write_hour,
        reasoning: config.reasoning,
    };
    let long = config.long.as_ref().map(|long| {
        let given = Given {
            input: long.input,
            output: long.output,
            cached_input: long.cached_input,
            cache_write: long.cache_write,
            cache_write_hour: long.cache_write_hour,
            reasoning: long.reasoning,
        };
        Ok::<_, String>(LongPrompts { over: TokenCount(long.over), rates: given.rates("long.", "")? })
    });
    let as_of = date("as_of", Some(config.as_of))?;
    Ok(versioned(as_of, (from, until), (given.rates("", "")?, long.transpose()?)))
}

/// Prices with a name that changes whenever they do.
fn versioned(
    as_of: Option<Day>,
    (from, until): (Option<Day>, Option<Day>),
    (rates, long): (Rates, Option<LongPrompts>),
) -> Prices {
    // The text is made of numbers and days only, so that it is the same wherever it is made.
    let day = |day: Option<Day>| day.map_or_else(|| "-".to_owned(), |day| day.to_string());
    let numbers = |rates: &Rates| {
        [
            rates.input_per_million,
            rates.output_per_million,
            rates.cached_input_per_million,
            rates.cache_write_per_million,
            rates.cache_write_hour_per_million,
            rates.reasoning_per_million,
        ]
        .map(|price| price.0.to_string())
        .join(",")
    };
    let long_text = long.map_or_else(String::new, |long| format!("{}:{}", long.over.0, numbers(&long.rates)));
    let text = format!("{};{};{};{long_text}", day(from), day(until), numbers(&rates));
    let digest = Sha256::digest(text.as_bytes());
    let hash = hex::of(digest.get(..4).unwrap_or_default());
    let as_of = as_of.map_or_else(|| "undated".to_owned(), |day| day.to_string());
    Prices { version: PriceVersion::new(format!("{as_of}:{hash}")), from, until, rates, long }
}

/// Prices as written.
struct Given {
    input: f64,
    output: f64,
    cached_input: Option<f64>,
    cache_write: Option<f64>,
    cache_write_hour: Option<f64>,
    reasoning: Option<f64>,
}

impl Given {
    fn rates(&self, before: &str, after: &str) -> Result<Rates, String> {
        let nanos = |name: &str, usd: f64| {
            price_nanos(usd).ok_or_else(|| {
                format!("{before}{name}{after}: {usd} is no price (0, or 0.000000001 to 1,000,000 USD)")
            })
        };
        let or = |name: &str, usd: Option<f64>, other: Nanos| usd.map_or(Ok(other), |usd| nanos(name, usd));
        let (input, output) = (nanos("input", self.input)?, nanos("output", self.output)?);
        let cache_write = or("cache_write", self.cache_write, input)?;
        Ok(Rates {
            input_per_million: input,
            output_per_million: output,
            cached_input_per_million: or("cached_input", self.cached_input, input)?,
            cache_write_per_million: cache_write,
            cache_write_hour_per_million: or("cache_write_hour", self.cache_write_hour, cache_write)?,
            reasoning_per_million: or("reasoning", self.reasoning, output)?,
        })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "bounded to 10^15 the line before, far inside i64")]
fn price_nanos(usd: f64) -> Option<Nanos> {
    let nanos = (0.0..=1_000_000.0).contains(&usd).then(|| Nanos((usd * 1e9).round() as i64));
    // What is too little to be counted is not free.
    nanos.filter(|nanos| nanos.0 > 0 || usd == 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_counted_or_refused() {
        for (usd, want) in [
            (0.0, Some(0)),
            (1e-9, Some(1)),
            (1e-10, None),
            (0.15, Some(150_000_000)),
            (-1.0, None),
            (1e7, None),
            (f64::NAN, None),
        ] {
            assert_eq!(price_nanos(usd), want.map(Nanos), "{usd}");
        }
    }
}
