//! What a model does in a call, and what it says, in each weather.

use std::time::Duration;

use domain::fault::{Fault, Kind, Origin, Retry};
use testkit::SeededRng;

use crate::bank::PASSAGE;
use crate::simulation::options::Weather;
use crate::simulation::world::Chance;

/// One thing that a model does in a call.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Wait(Duration),
    Accept,
    Say(String),
    Fail(Fault),
    Hang,
    Done,
}

/// The name of a call in its answer: letters, so that no check of numbers looks at it.
pub(crate) fn name(n: u64) -> String {
    let letter = |digit: u32| char::from(b'a' + u8::try_from(digit).expect("a decimal digit"));
    format!("call{}", n.to_string().chars().filter_map(|c| c.to_digit(10)).map(letter).collect::<String>())
}

/// What a call says where nothing has to be true.
pub(crate) fn sentences(n: u64) -> Vec<String> {
    let name = name(n);
    ["first", "second", "third", "last"]
        .map(|part| format!("Here {name} says its {part} sentence. "))
        .to_vec()
}

/// No passage says so.
pub(super) const WRONG: &str = "Deposits at an insured bank are covered up to $900,000 per depositor.";

/// What a call says where a passage stands before it.
pub(super) fn grounded() -> Vec<String> {
    PASSAGE.split_inclusive(". ").map(str::to_owned).collect()
}

/// What a model does in a call.
pub(super) fn script(rng: &SeededRng, weather: Weather, answer: &[String]) -> Vec<Act> {
    let quick = Act::Wait(rng.millis(1, 400));
    let say = |n: usize| answer.iter().take(n).cloned().map(Act::Say);
    let whole = || [vec![Act::Accept], say(answer.len()).collect(), vec![Act::Done]].concat();
    let fault = Fault::provider;
    let wait = rng.millis(0, 20_000);
    match weather {
        Weather::Fair | Weather::Wrong => [vec![quick], whole()].concat(),
        Weather::Brownout(percent) if rng.percent(percent) => any(rng, answer),
        Weather::Brownout(_) => [vec![quick], whole()].concat(),
        Weather::Down => vec![quick, Act::Fail(fault(Kind::Transient))],
        Weather::Retired => vec![quick, Act::Fail(fault(Kind::RouteFatal))],
        Weather::Throttling if rng.percent(50) => vec![quick, Act::Fail(fault(Kind::Throttled))],
        Weather::Throttling => {
            vec![quick, Act::Fail(Fault { retry: Retry::After(wait), ..fault(Kind::Throttled) })]
        }
        Weather::Silent if rng.percent(50) => vec![Act::Hang],
        Weather::Silent => vec![quick, Act::Accept, Act::Hang],
        Weather::Breaking => {
            let n = usize::try_from(rng.below(4)).expect("few");
            let end = match rng.below(3) {
                0 => vec![Act::Fail(fault(Kind::Transient))],
                1 => vec![Act::Hang],
                _ => Vec::new(),
            };
            [vec![quick, Act::Accept], say(n).collect(), end].concat()
        }
        Weather::Slow => {
            let mut acts = vec![Act::Wait(wait), Act::Accept];
            for said in say(answer.len()) {
                acts.extend([Act::Wait(rng.millis(0, 5_000)), said]);
            }
            acts.push(Act::Done);
            acts
        }
    }
}

/// Anything that can go wrong.
fn any(rng: &SeededRng, answer: &[String]) -> Vec<Act> {
    let weather = [
        Weather::Down,
        Weather::Down,
        Weather::Throttling,
        Weather::Silent,
        Weather::Breaking,
        Weather::Breaking,
        Weather::Slow,
    ];
    let quick = Act::Wait(rng.millis(1, 400));
    match rng.below(20) {
        0 => vec![quick, Act::Fail(Fault::provider(Kind::Caller))],
        1 => vec![quick, Act::Fail(Fault::provider(Kind::Content))],
        2 => vec![quick, Act::Fail(Fault::provider(Kind::RouteFatal))],
        3 => vec![quick, Act::Accept, Act::Done],
        4 => {
            let (origin, kind) = (Origin::Mainstay, Kind::Unavailable);
            vec![Act::Fail(Fault { origin, kind, retry: Retry::After(Duration::from_secs(5)) })]
        }
        5 => vec![quick, Act::Accept, Act::Fail(Fault::provider(Kind::Timeout))],
        _ => script(rng, rng.pick(&weather), answer),
    }
}
