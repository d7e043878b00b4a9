//! What is printed: the one place beside logging that writes to the terminal.

use std::io::{IsTerminal, Write};

/// Prints a line of a result.
#[expect(clippy::print_stdout, reason = "this is where results are printed")]
pub(crate) fn line(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

/// Prints a part of a line at once, as answers come. A reader that went away ends the program quietly.
pub(crate) fn part(text: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Prints a remark beside the result.
#[expect(clippy::print_stderr, reason = "this is where remarks are printed")]
pub(crate) fn remark(text: impl AsRef<str>) {
    eprintln!("{}", text.as_ref());
}

/// Whether a person watches remarks.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}
