//! The same tests short and long: how many rounds they run, and where the long form writes what it saw.

use std::fs::File;
use std::io::Write as _;

/// Rounds of a test: `short`, unless the long form asks for more (`MAINSTAY_TEST_ROUNDS`).
pub(crate) fn rounds(short: usize) -> usize {
    number("MAINSTAY_TEST_ROUNDS").unwrap_or(short)
}

/// A number in the environment.
pub(crate) fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}: a number")))
}

/// Writes a line of the result down, where the long form keeps one (`MAINSTAY_TEST_FIGURES`).
pub(crate) fn tell(line: &str) {
    let Some(path) = std::env::var_os("MAINSTAY_TEST_FIGURES") else { return };
    let mut file = File::options().create(true).append(true).open(path).expect("a place for the figures");
    writeln!(file, "{line}").expect("room for the figures");
}

/// Seconds that a fault lasts: `short`, unless the long form asks for more (`MAINSTAY_TEST_SECONDS`).
pub(crate) fn seconds(short: u64) -> u64 {
    number("MAINSTAY_TEST_SECONDS").map_or(short, |seconds| seconds as u64)
}
