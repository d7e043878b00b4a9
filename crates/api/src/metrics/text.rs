//! The two text formats of metrics: OpenMetrics 1.0, as the library writes it, for whoever asks for that; else Prometheus'
//! own, version 0.0.4, which everything reads.

use http::{HeaderMap, header};

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    Prometheus,
}

impl Format {
    /// What a scraper asks for.
    pub(super) fn asked(headers: &HeaderMap) -> Self {
        let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let asks = |range: &str| {
            let (media, parameters) = range.split_once(';').unwrap_or((range, ""));
            media.trim().eq_ignore_ascii_case("application/openmetrics-text")
                && !parameters.split(';').any(|parameter| is_never(parameter.trim()))
        };
        match accepts.flat_map(|accept| accept.split(',')).any(asks) {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// `text`, which is OpenMetrics, in this format.
    pub(super) fn write(self, text: String) -> String {
        match self {
            Self::OpenMetrics => text,
            Self::Prometheus => prometheus(&text),
        }
    }
}

/// A quality of zero.
fn is_never(parameter: &str) -> bool {
    parameter.strip_prefix("q=").and_then(|quality| quality.parse::<f32>().ok()) == Some(0.0)
}

/// There a counter's name ends in `_total` where it is described, too, and there are neither units nor an end.
fn prometheus(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    // A family's help stands before its type, which says how the family is called.
    let mut help: Option<(&str, &str)> = None;
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap_or((typed, "untyped"));
            let end = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                written += &format!("# HELP {name}{end} {help}\n");
            }
            written += &format!("# TYPE {name}{end} {kind}\n");
        } else if !line.starts_with("# ") {
            written.push_str(line);
            written.push('\n');
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn whoever_asks_for_openmetrics_gets_it() {
        for (accept, want) in [
            (None, Format::Prometheus),
            (Some("*/*"), Format::Prometheus),
            (Some("text/plain;version=0.0.4;q=0.5,*/*;q=0.1"), Format::Prometheus),
            (Some("application/openmetrics-text;q=0,text/plain"), Format::Prometheus),
            (
                Some("application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5"),
                Format::OpenMetrics,
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(accept.map(|accept| (header::ACCEPT, HeaderValue::from_static(accept))));
            assert_eq!(Format::asked(&headers), want, "{accept:?}");
        }
    }

    #[test]
    fn counters_are_described_by_their_whole_names() {
        let text = "# HELP a Things.\n# TYPE a counter\na_total{b=\"# HELP\"} 1\n# HELP t_seconds Time.\n\
                    # TYPE t_seconds histogram\n# UNIT t_seconds seconds\nt_seconds_sum 0.5\n# EOF\n";
        let want = "# HELP a_total Things.\n# TYPE a_total counter\na_total{b=\"# HELP\"} 1\n# HELP t_seconds Time.\n\
                    # TYPE t_seconds histogram\nt_seconds_sum 0.5\n";
        assert_eq!(Format::Prometheus.write(text.to_owned()), want);
        assert_eq!(Format::OpenMetrics.write(text.to_owned()), text);
    }
}
