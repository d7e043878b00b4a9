//! What Bedrock calls the kinds of images, documents and sounds, and how documents may be named.

use std::borrow::Cow;

/// MIME types and Bedrock's formats; the first of a format is how it is read.
const IMAGES: [(&str, &str); 5] = [
    ("image/png", "png"),
    ("image/jpeg", "jpeg"),
    ("image/jpg", "jpeg"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
];

const DOCUMENTS: [(&str, &str); 9] = [
    ("application/pdf", "pdf"),
    ("text/csv", "csv"),
    ("application/msword", "doc"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("text/html", "html"),
    ("text/plain", "txt"),
    ("text/markdown", "md"),
];

const SOUNDS: [(&str, &str); 10] = [
    ("audio/mpeg", "mp3"),
    ("audio/mp3", "mp3"),
    ("audio/wav", "wav"),
    ("audio/x-wav", "wav"),
    ("audio/opus", "opus"),
    ("audio/aac", "aac"),
    ("audio/flac", "flac"),
    ("audio/ogg", "ogg"),
    ("audio/mp4", "m4a"),
    ("audio/webm", "webm"),
];

/// Which of the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Image,
    Document,
    Sound,
}

fn list(sort: Sort) -> &'static [(&'static str, &'static str)] {
    match sort {
        Sort::Image => &IMAGES,
        Sort::Document => &DOCUMENTS,
        Sort::Sound => &SOUNDS,
    }
}

/// The MIME type of a format.
pub(super) fn kind(sort: Sort, format: &str) -> Option<&'static str> {
    list(sort).iter().find(|(_, known)| *known == format).map(|(kind, _)| *kind)
}

/// The format of a MIME type.
pub(super) fn format(sort: Sort, kind: &str) -> Option<&'static str> {
    list(sort).iter().find(|(known, _)| *known == kind).map(|(_, format)| *format)
}

/// Most characters of a document's name.
const NAME_CHARS_MAX: usize = 200;

/// `name` as Bedrock takes it: letters, digits, single spaces, `-`, `(`, `)`, `[` and `]`; not one of `taken`.
pub(super) fn document_name<'a>(name: Option<&'a str>, taken: &[Cow<'a, str>]) -> Cow<'a, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-()[]".contains(c);
    let name = name.filter(|name| !name.trim().is_empty()).unwrap_or("document");
    let mut fit = String::with_capacity(name.len());
    for c in name.trim().chars().take(NAME_CHARS_MAX - 4) {
        match c {
            c if plain(c) => fit.push(c),
            c if c.is_whitespace() && !fit.ends_with(' ') => fit.push(' '),
            c if c.is_whitespace() => {}
            _ => fit.push('-'),
        }
    }
    let fit = if fit == name { Cow::Borrowed(name) } else { Cow::Owned(fit) };
    // Two documents of one name are refused.
    let mut names = (1..=999).map(|n| if n == 1 { fit.clone() } else { Cow::Owned(format!("{fit}-{n}")) });
    names.find(|name| !taken.contains(name)).unwrap_or(fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_and_types_name_each_other() {
        for sort in [Sort::Image, Sort::Document, Sort::Sound] {
            for (mime, name) in list(sort) {
                assert_eq!(format(sort, mime), Some(*name));
                let read = kind(sort, name).expect("known");
                assert_eq!(format(sort, read), Some(*name));
            }
        }
        assert_eq!(format(Sort::Image, "image/svg+xml"), None);
    }

    #[test]
    fn documents_get_names_that_bedrock_takes() {
        for (name, want) in [
            (Some("Q3 report (final)"), "Q3 report (final)"),
            (Some("q3_report.pdf"), "q3-report-pdf"),
            (Some(" a  b\tc "), "a b c"),
            (Some(""), "document"),
            (None, "document"),
        ] {
            assert_eq!(document_name(name, &[]), want);
        }
        let taken = [Cow::Borrowed("a"), Cow::Borrowed("a-2")];
        assert_eq!(document_name(Some("a"), &taken), "a-3");
        assert!(document_name(Some(&"x".repeat(500)), &[]).len() <= 200);
    }
}
