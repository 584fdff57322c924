//! Lines of fields, and origins. Each is read a second time, in the simplest way.

#![allow(clippy::expect_used, reason = "a property that does not hold panics")]

use filter::cors::{Cors, CorsList, CrossOrigin, Manner, OriginRule, Verdict};
use filter::fields::{FieldEdits, Message};

/// Names that no filter may set, with one character for everything that is neither a letter nor a digit.
const NEVER: [&str; 15] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-blastdoor-door",
    "x-forwarded-client-cert",
];

/// Holds for every text that claims to be lines of fields.
pub fn field_line_properties(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    for message in [Message::Request, Message::Response] {
        let Ok(edits) = FieldEdits::of_lines(text, message) else {
            continue;
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let pairs: Vec<(String, &str)> = lines
            .map(|line| line.split_once(':').expect("a line has a colon"))
            .map(|(name, value)| (name.trim_end().to_ascii_lowercase(), value.trim()))
            .collect();
        let added: Vec<(String, String)> = edits
            .added
            .iter()
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect();
        // A line end that `lines` does not see counts as a space.
        let spaced = |value: &str| {
            let parts: Vec<&str> = value
                .split('\r')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .collect();
            parts.join(" ")
        };
        let written: Vec<(String, String)> = pairs
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.clone(), spaced(value)))
            .collect();
        assert_eq!(added, written, "what is written comes, in its order");
        let is_control = |byte: u8| byte.is_ascii_control() && byte != b'\t';
        assert!(
            !added.iter().any(|(_, value)| value.bytes().any(is_control)),
            "no value can end a line"
        );
        for (name, value) in &pairs {
            assert!(edits.removes(name.as_bytes()), "what is there before goes");
            assert!(edits.removes(folded(name).as_bytes()), "in every spelling");
            assert!(!NEVER.contains(&folded(name).as_str()), "{name}");
            assert!(message == Message::Response || name != "host");
            let others = pairs.iter().filter(|(other, _)| folded(other) == folded(name));
            assert!(
                others.clone().all(|(other, _)| other == name),
                "one spelling of each name"
            );
            assert!(
                !value.is_empty() || others.count() == 1,
                "removed or set, never both"
            );
        }
        // Of other values the debug form is the same.
        let masked: String = pairs
            .iter()
            .map(|(name, value)| format!("{name}:{}\n", if value.is_empty() { "" } else { "masked" }))
            .collect();
        let masked = FieldEdits::of_lines(&masked, message).expect("the same names");
        assert_eq!(format!("{edits:?}"), format!("{masked:?}"), "no value is shown");
    }
}

/// Holds for every text whose first line claims to be a list of origins; its other lines are origins of requests.
pub fn origin_properties(text: &[u8]) {
    let (list, origins) = text.split_at(text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len()));
    let Ok(list) = str::from_utf8(list) else { return };
    let _ = CorsList::parse(list);
    let Ok(rules) = OriginRule::list(list) else { return };
    let elements: Vec<&str> = list
        .split(',')
        .map(str::trim)
        .filter(|element| !element.is_empty())
        .collect();
    let is_any = elements.contains(&"*");
    let cors = Cors {
        origins: rules,
        methods: CorsList::parse("*").ok(),
        headers: CorsList::parse("*").ok(),
        exposed: None,
        credentials: true,
        max_age: None,
        vary: false,
        manner: Manner::Whole,
    };
    for origin in origins.split(|byte| *byte == b'\n') {
        let verdict = cors.verdict(Some(origin));
        let asked = CrossOrigin {
            is_options: true,
            origin: Some(origin),
            method: Some(origin),
            headers: Some(origin),
        };
        let fields = cors.preflight(&asked).expect("a preflight");
        let allowed = fields
            .added
            .iter()
            .find(|(name, _)| name == "access-control-allow-origin");
        match verdict {
            Verdict::Anybody => {
                assert!(is_any);
                assert_eq!(allowed.expect("it is said").1, "*", "never with the origin");
            }
            Verdict::Origin(_) | Verdict::Listed(_) => {
                assert!(!is_any);
                assert_eq!(allowed.expect("it is said").1.as_bytes(), origin);
                assert!(
                    elements.iter().any(|element| fits(element, origin)),
                    "{elements:?}"
                );
            }
            Verdict::Refused => {
                assert_eq!(allowed, None);
                assert!(
                    !is_any && !elements.iter().any(|element| fits(element, origin)),
                    "{elements:?}"
                );
            }
        }
    }
}

/// Whether an origin is one of those that an element of a list stands for.
fn fits(element: &str, origin: &[u8]) -> bool {
    let Ok(origin) = str::from_utf8(origin) else {
        return false;
    };
    let (element, origin) = (short(element), short(origin));
    let Some((before, after)) = element.split_once("://*.") else {
        return element == origin;
    };
    let Some(host) = origin.strip_prefix(&format!("{before}://")) else {
        return false;
    };
    let Some((label, rest)) = host.split_once('.') else {
        return false;
    };
    let is_label = !label.is_empty()
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    is_label && rest == after
}

/// In lower case, without the port that the scheme has anyway, and other ports without zeros before them.
fn short(origin: &str) -> String {
    let origin = origin.to_ascii_lowercase();
    let Some((before, port)) = origin.rsplit_once(':') else {
        return origin;
    };
    let Ok(number) = port.parse::<u16>() else {
        return origin;
    };
    let is_default =
        (before.starts_with("https://") && number == 443) || (before.starts_with("http://") && number == 80);
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    // Within brackets it is a part of the address.
    match (
        is_default,
        is_number && !before.is_empty() && before.contains("://"),
    ) {
        (_, false) => origin,
        (true, true) => before.to_owned(),
        (false, true) => format!("{before}:{number}"),
    }
}

fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
        .replace(|one: char| !one.is_ascii_alphanumeric(), "-")
}
