//! Fields of readable lines. Callers' own words stand in some of them: what would end the line, or move the cursor of
//! whoever reads it, is written as an escape.

use std::fmt::{self, Debug, Write};

use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{self, Writer};

/// The message, then `name=value` for each other field.
pub(super) fn fields() -> impl for<'writer> FormatFields<'writer> + Send + Sync + 'static {
    let field = |writer: &mut Writer<'_>, field: &Field, value: &dyn Debug| {
        if field.name() != "message" {
            write!(writer, "{}=", field.name())?;
        }
        write!(Plain(writer), "{value:?}")
    };
    format::debug_fn(field).delimited(" ")
}

struct Plain<'a, 'writer>(&'a mut Writer<'writer>);

impl Write for Plain<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive(char::is_control) {
            let end = piece.char_indices().next_back().filter(|(_, last)| last.is_control());
            let (plain, _) = piece.split_at(end.map_or(piece.len(), |(at, _)| at));
            self.0.write_str(plain)?;
            if let Some((_, control)) = end {
                write!(self.0, "{}", control.escape_default())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_caller_writes_no_line_of_its_own() {
        let kept = Kept::default();
        let out = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || out.clone())
            .with_ansi(false)
            .with_target(false)
            .without_time()
            .fmt_fields(fields())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let error = "`a\n2026-11-22 ERROR forged\u{1b}[31m\u{9b}é`: no such field";
            tracing::warn!(target.id = "openai/m", %error, took_ms = 3, "`{error}` failed");
        });
        let plain = r"`a\n2026-11-22 ERROR forged\u{1b}[31m\u{9b}é`: no such field";
        let want = format!(" WARN `{plain}` failed target.id=\"openai/m\" error={plain} took_ms=3\n");
        assert_eq!(String::from_utf8_lossy(&kept.0.lock()), want);
    }
}
