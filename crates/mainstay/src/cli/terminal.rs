//! What is printed: the one place beside logging that writes to the terminal.

use std::io::{ErrorKind, IsTerminal, Write};

use crate::logging;

/// What a shell reports of a program that SIGPIPE ended: its reader had seen enough.
const READER_GONE: i32 = 128 + 13;

/// Prints a line of a result.
pub(crate) fn line(text: impl AsRef<str>) {
    part(&format!("{}\n", text.as_ref()));
}

/// Prints a part of a line at once, as answers come. A reader that went away ends the program quietly; a result that
/// cannot be written ends it with a reason.
pub(crate) fn part(text: &str) {
    let mut out = std::io::stdout().lock();
    let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) else { return };
    if error.kind() != ErrorKind::BrokenPipe {
        remark(format!("mainstay: could not write the result: {error}"));
    }
    logging::flush();
    std::process::exit(match error.kind() {
        ErrorKind::BrokenPipe => READER_GONE,
        _ => super::FAILED.into(),
    });
}

/// Prints a remark beside the result.
pub(crate) fn remark(text: impl AsRef<str>) {
    logging::remark(text.as_ref());
}

/// An error with its causes, none of them told twice: some tell theirs themselves.
pub(crate) fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if told.contains(&cause) {
            continue;
        }
        if !told.is_empty() {
            told.push_str(": ");
        }
        told.push_str(&cause);
    }
    told
}

/// Whether a person watches remarks.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn no_cause_is_told_twice() {
        let missing = || std::io::Error::new(ErrorKind::NotFound, "no such file");
        let outer = anyhow::Error::from(missing());
        for (error, want) in [
            (outer.context("could not read it"), "could not read it: no such file"),
            (anyhow::Error::from(missing()).context("a.toml: no such file"), "a.toml: no such file"),
            (anyhow::anyhow!("alone"), "alone"),
        ] {
            assert_eq!(told(&error), want);
        }
        let nested = Err::<(), _>(missing()).context("x: no such file").context("start");
        assert_eq!(told(&nested.expect_err("an error")), "start: x: no such file");
    }
}
