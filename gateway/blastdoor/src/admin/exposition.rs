//! The two text formats of `/metrics`, and which one a scraper asks for.
//!
//! The library writes OpenMetrics. The older format of Prometheus differs in the names of counters in comments, in what may
//! stand behind a value, and in the end of the page (Prometheus, "Exposition formats", text format 0.0.4).

use std::fmt;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use memchr::{memchr, memmem};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `text/plain; version=0.0.4`: what is sent unless the other is asked for.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// A quality is a number from 0 to 1 in thousandths (RFC 9110 12.4.2).
const WHOLE: u16 = 1000;

/// A media range of `Accept`, as far as it matters here.
struct Range<'a> {
    name: &'a [u8],
    version: Option<&'a [u8]>,
    quality: u16,
}

impl Format {
    /// What the field `Accept` asks for (RFC 9110 12.5.1). OpenMetrics must be named, and must not be wanted less than the
    /// text format; of two that are wanted alike, the first counts. A scraper that accepts neither gets the text format: a page
    /// that it may be able to read is better than an error.
    pub(super) fn accepted(accept: &str) -> Self {
        let mut open = 0;
        // The most precise range counts: the name itself, `text/*`, `*/*`.
        let mut text: [Option<u16>; 3] = [None; 3];
        let mut is_open_first = false;
        for range in elements(accept.as_bytes()).map(Range::of) {
            if range.is(b"application/openmetrics-text", b"1.0.0") {
                is_open_first |= text[0].is_none();
                open = open.max(range.quality);
                continue;
            }
            let names: [&[u8]; 3] = [b"text/plain", b"text/*", b"*/*"];
            for (name, quality) in names.into_iter().zip(&mut text) {
                if range.is(name, b"0.0.4") {
                    *quality = Some(quality.unwrap_or_default().max(range.quality));
                }
            }
        }
        let is_text_named = text[0].is_some();
        let text = text.into_iter().flatten().next().unwrap_or_default();
        let is_preferred = open > text || open == text && (is_open_first || !is_text_named);
        if open > 0 && is_preferred {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The value of `Content-Type`.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The page of everything in the registry.
    ///
    /// # Errors
    /// When a collector cannot write what it has.
    pub(super) fn page(self, registry: &Registry) -> Result<String, fmt::Error> {
        let mut page = String::new();
        encode(&mut page, registry)?;
        Ok(match self {
            Self::Text => text(&page),
            Self::OpenMetrics => page,
        })
    }
}

/// Whether the field `Accept-Encoding` asks for gzip (RFC 9110 12.5.3). It must be named, or meant by `*`, and must not be wanted
/// less than a page as it is.
pub(super) fn accepts_gzip(encodings: &str) -> bool {
    let (mut gzip, mut identity, mut rest) = (None, None, None);
    for element in elements(encodings.as_bytes()).map(Range::of) {
        let quality = match element.name {
            name if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => &mut gzip,
            name if name.eq_ignore_ascii_case(b"identity") => &mut identity,
            b"*" => &mut rest,
            _ => continue,
        };
        *quality = Some(element.quality);
    }
    let gzip = gzip.or(rest).unwrap_or_default();
    gzip > 0 && gzip >= identity.unwrap_or_default()
}

/// A page as gzip (RFC 1952), as fast as it goes: names and labels repeat so much that more effort saves little.
///
/// # Errors
/// None: a vector takes everything.
pub(super) fn gzip(page: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(page.len() / 8), Compression::fast());
    encoder.write_all(page)?;
    encoder.finish()
}

impl<'a> Range<'a> {
    fn of(element: &'a [u8]) -> Self {
        let mut parts = unquoted(element, b';').map(<[u8]>::trim_ascii);
        let mut range = Self {
            name: parts.next().unwrap_or_default(),
            version: None,
            quality: WHOLE,
        };
        for part in parts {
            let mut sides = part.splitn(2, |byte| *byte == b'=');
            let name = sides.next().unwrap_or_default();
            let value = sides.next().unwrap_or_default();
            if name.eq_ignore_ascii_case(b"q") {
                // What cannot be read is not wanted.
                range.quality = quality(value).unwrap_or_default();
            } else if name.eq_ignore_ascii_case(b"version") {
                let quoted = value
                    .strip_prefix(b"\"")
                    .and_then(|value| value.strip_suffix(b"\""));
                range.version = Some(quoted.unwrap_or(value));
            }
        }
        range
    }

    fn is(&self, name: &[u8], version: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name) && self.version.is_none_or(|asked| asked == version)
    }
}

/// The elements of a list, whose parameters may be quoted.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    unquoted(value, b',')
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// The parts between separators outside of quotes (RFC 9110 5.6.4).
fn unquoted(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |byte| {
        let is_escaped = std::mem::take(&mut escaped);
        match byte {
            b'\\' => escaped = quoted && !is_escaped,
            b'"' if !is_escaped => quoted = !quoted,
            _ => {}
        }
        *byte == separator && !quoted
    })
}

/// `0`, `1`, or with up to three decimals.
fn quality(text: &[u8]) -> Option<u16> {
    let (first, decimals) = text.split_first()?;
    let decimals = match decimals {
        [] => decimals,
        [b'.', decimals @ ..] => decimals,
        _ => return None,
    };
    if decimals.len() > 3 || !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = decimals.iter().chain(b"000").take(3);
    let thousandths = digits.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match (first, thousandths) {
        (b'0', _) => Some(thousandths),
        (b'1', 0) => Some(WHOLE),
        _ => None,
    }
}

/// A page of OpenMetrics in the text format: comments name counters as their samples are named, types are those of the
/// format, help has no escaped quotes, and there are no units, exemplars, times of creation or end of the page.
///
/// Samples are nearly all of a page, and nearly all of them are the same in both formats: they are copied a family at a time.
fn text(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    // The help of the metric whose type comes next.
    let mut help = None;
    let mut created = None;
    let mut rest = page;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("# ") {
            let (comment, next) = after.split_once('\n').unwrap_or((after, ""));
            rest = next;
            add_comment(comment, &mut help, &mut created, &mut out);
            continue;
        }
        // No label has a line of its own: ends of lines are escaped in values.
        let end = memmem::find(rest.as_bytes(), b"\n# ").map_or(rest.len(), |end| end + 1);
        let (samples, next) = rest.split_at(end);
        rest = next;
        add_samples(samples, created, &mut out);
    }
    out
}

fn add_comment<'p>(
    comment: &'p str,
    help: &mut Option<(&'p str, &'p str)>,
    created: &mut Option<&'p str>,
    out: &mut String,
) {
    let mut words = comment.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some("HELP"), Some(name), said) => *help = Some((name, said.unwrap_or_default())),
        (Some("TYPE"), Some(name), Some(kind)) => {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "stateset" => ("", "gauge"),
                "unknown" | "gaugehistogram" => ("", "untyped"),
                kind => ("", kind),
            };
            *created = matches!(kind, "counter" | "histogram" | "summary").then_some(name);
            if let Some((_, said)) = help.take().filter(|(named, _)| *named == name) {
                let said = said.replace("\\\"", "\"");
                out.extend(["# HELP ", name, suffix, " ", &said, "\n"]);
            }
            out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        }
        // UNIT and EOF.
        _ => {}
    }
}

/// Adds the samples of a family; `created`: its name, if they may have times of creation.
fn add_samples(samples: &str, created: Option<&str>, out: &mut String) {
    let bytes = samples.as_bytes();
    let has_times = created.is_some() && memmem::find(bytes, b"_created").is_some();
    if !has_times && memchr(b'#', bytes).is_none() {
        out.push_str(samples);
        return;
    }
    for line in samples.lines() {
        let is_time = created.is_some_and(|name| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with("_created{") || rest.starts_with("_created "))
        });
        if !is_time {
            out.extend([without_exemplar(line), "\n"]);
        }
    }
}

/// A sample without what may stand behind its value: ` # {...}`. A label may contain the same.
fn without_exemplar(line: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    let end = line.bytes().position(|byte| {
        let is_escaped = std::mem::take(&mut escaped);
        match byte {
            b'\\' => escaped = quoted && !is_escaped,
            b'"' if !is_escaped => quoted = !quoted,
            _ => {}
        }
        byte == b'#' && !quoted
    });
    match end.and_then(|end| line.get(..end)) {
        Some(sample) => sample.trim_ascii_end(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::histogram::Histogram;
    use prometheus_client::metrics::info::Info;
    use prometheus_client::registry::Unit;

    use super::*;

    fn accepted(values: &[&str]) -> Format {
        Format::accepted(&values.join(", "))
    }

    #[test]
    fn open_metrics_must_be_asked_for() {
        let table: [(&[&str], Format); 26] = [
            (&[], Format::Text),
            (&[""], Format::Text),
            (&["*/*"], Format::Text),
            (&["text/plain"], Format::Text),
            (&["application/json"], Format::Text),
            (&["application/*"], Format::Text),
            (&["application/openmetrics-text"], Format::OpenMetrics),
            (
                &["Application/OpenMetrics-Text; Version=1.0.0"],
                Format::OpenMetrics,
            ),
            (
                &["application/openmetrics-text;version=\"1.0.0\""],
                Format::OpenMetrics,
            ),
            (&["application/openmetrics-text;version=0.0.1"], Format::Text),
            (&["application/openmetrics-text;version=2.0.0"], Format::Text),
            (&["application/openmetrics-text;q=0"], Format::Text),
            (&["application/openmetrics-text;q=0.000, */*;q=0.1"], Format::Text),
            (&["application/openmetrics-text;q=1.5"], Format::Text),
            (&["application/openmetrics-text;q=0.1"], Format::OpenMetrics),
            (&["application/openmetrics-text, text/plain"], Format::OpenMetrics),
            (&["text/plain, application/openmetrics-text"], Format::Text),
            (
                &["text/plain;q=0.5, application/openmetrics-text;q=0.6"],
                Format::OpenMetrics,
            ),
            (
                &["text/plain;q=0.6", "application/openmetrics-text;q=0.5"],
                Format::Text,
            ),
            (
                &["text/*;q=0.6, application/openmetrics-text;q=0.5"],
                Format::Text,
            ),
            (&["*/*, application/openmetrics-text"], Format::OpenMetrics),
            // The precise range counts, whatever a wider one says.
            (
                &["*/*, text/plain;q=0.1, application/openmetrics-text;q=0.5"],
                Format::OpenMetrics,
            ),
            (&["a/b;c=\", application/openmetrics-text\""], Format::Text),
            (
                &["a/b;c=\"\\\"\", application/openmetrics-text"],
                Format::OpenMetrics,
            ),
            // Prometheus 2, and 3 without protocol buffers.
            (
                &[
                    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                   text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                ],
                Format::OpenMetrics,
            ),
            (
                &[
                    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                   application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                   text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                ],
                Format::OpenMetrics,
            ),
        ];
        for (values, expected) in table {
            assert_eq!(accepted(values), expected, "{values:?}");
        }
    }

    #[test]
    fn gzip_must_be_asked_for() {
        let table = [
            ("", false),
            ("gzip", true),
            ("GZIP", true),
            ("x-gzip", true),
            ("br, gzip;q=0.1", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000, *", false),
            ("*", true),
            ("*;q=0", false),
            ("br, deflate", false),
            ("gzipped", false),
            ("identity", false),
            ("identity, gzip", true),
            ("identity, gzip;q=0.5", false),
            ("gzip;q=x", false),
        ];
        for (encodings, expected) in table {
            assert_eq!(accepts_gzip(encodings), expected, "{encodings:?}");
        }
    }

    #[test]
    fn a_page_comes_back_from_gzip() {
        let page = "blastdoor_route_requests_total{listener=\"out\"} 1\n".repeat(10_000);
        let compressed = gzip(page.as_bytes()).unwrap();
        assert!(compressed.len() < page.len() / 50, "{}", compressed.len());
        let mut back = String::new();
        flate2::read::GzDecoder::new(&*compressed)
            .read_to_string(&mut back)
            .unwrap();
        assert_eq!(back, page);
    }

    #[test]
    fn a_quality_has_three_decimals_at_most() {
        let table = [
            ("0", Some(0)),
            ("1", Some(1000)),
            ("0.5", Some(500)),
            ("0.123", Some(123)),
            ("1.000", Some(1000)),
            ("0.", Some(0)),
            ("1.001", None),
            ("0.1234", None),
            ("2", None),
            ("", None),
            ("0,5", None),
            ("-1", None),
        ];
        for (text, expected) in table {
            assert_eq!(quality(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn every_kind_of_metric_has_its_place_in_the_text_format() {
        let mut registry = Registry::default();
        let counter = Counter::<u64>::default();
        counter.inc_by(3);
        registry.register("asked", "What \"they\" asked", counter);
        registry.register("open", "Open doors", Gauge::<i64>::default());
        registry.register_with_unit("held", "Held", Unit::Bytes, Gauge::<i64>::default());
        registry.register("build", "The build", Info::new([("version", "1 # {2}")]));
        let histogram = Histogram::new([0.5]);
        histogram.observe(0.25);
        registry.register("took_seconds", "Took", histogram);
        assert_eq!(
            Format::Text.page(&registry).unwrap(),
            "# HELP asked_total What \"they\" asked.\n\
             # TYPE asked_total counter\n\
             asked_total 3\n\
             # HELP open Open doors.\n\
             # TYPE open gauge\n\
             open 0\n\
             # HELP held_bytes Held.\n\
             # TYPE held_bytes gauge\n\
             held_bytes 0\n\
             # HELP build_info The build.\n\
             # TYPE build_info gauge\n\
             build_info{version=\"1 # {2}\"} 1\n\
             # HELP took_seconds Took.\n\
             # TYPE took_seconds histogram\n\
             took_seconds_sum 0.25\n\
             took_seconds_count 1\n\
             took_seconds_bucket{le=\"0.5\"} 1\n\
             took_seconds_bucket{le=\"+Inf\"} 1\n"
        );
        let open = Format::OpenMetrics.page(&registry).unwrap();
        assert!(open.contains("# TYPE asked counter\nasked_total 3\n") && open.ends_with("# EOF\n"));
    }

    #[test]
    fn what_only_open_metrics_has_is_left_out() {
        let page = "# HELP a Say \\\"a\\\" and \\\\ and \\n.\n\
                    # TYPE a counter\n\
                    # UNIT a seconds\n\
                    a_total{b=\"1 # {c=\\\"2\\\"} 3\"} 4 # {trace_id=\"5\"} 6 7\n\
                    a_created{b=\"1\"} 1.5\n\
                    # TYPE created_gauge gauge\n\
                    created_gauge_created 1\n\
                    # TYPE u unknown\n\
                    u 1\n\
                    # EOF\n";
        let expected = "# HELP a_total Say \"a\" and \\\\ and \\n.\n\
                        # TYPE a_total counter\n\
                        a_total{b=\"1 # {c=\\\"2\\\"} 3\"} 4\n\
                        # TYPE created_gauge gauge\n\
                        created_gauge_created 1\n\
                        # TYPE u untyped\n\
                        u 1\n";
        assert_eq!(text(page), expected);
    }

    /// What is written for one family is no matter of another, with or without an end of the last line.
    #[test]
    fn each_family_is_copied_for_itself() {
        let page = "# TYPE a counter\n\
                    a_total{b=\"c_created 1\"} 1\n\
                    # HELP empty Nothing\n\
                    # TYPE empty counter\n\
                    # TYPE d counter\n\
                    a_created{b=\"not of d\"} 2\n\
                    d_total{e=\"\\n# TYPE x\"} 3 # {f=\"4\"} 5\n\
                    d_created 6\n\
                    # TYPE g gauge\n\
                    g 7";
        let expected = "# TYPE a_total counter\n\
                        a_total{b=\"c_created 1\"} 1\n\
                        # HELP empty_total Nothing\n\
                        # TYPE empty_total counter\n\
                        # TYPE d_total counter\n\
                        a_created{b=\"not of d\"} 2\n\
                        d_total{e=\"\\n# TYPE x\"} 3\n\
                        # TYPE g gauge\n\
                        g 7";
        assert_eq!(text(page), expected);
    }
}
