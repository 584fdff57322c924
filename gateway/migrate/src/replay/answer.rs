//! Answers, and what is different between two of them.

use std::hash::{DefaultHasher, Hasher as _};

/// What a gateway answered to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// `Location`, as [`normal_location`](Answer::normal_location) has it.
    pub location: Option<String>,
    /// The fields that are compared, in the order in which they were asked for; several lines of a field are one text.
    pub fields: Vec<Option<String>>,
    /// Its body.
    pub body: Body,
}

/// A body, as far as it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// It is not looked at.
    Ignored,
    /// This many bytes with this hash; more followed if it is `cut`.
    Read {
        /// Bytes that were read.
        bytes: u64,
        /// Of these bytes.
        hash: u64,
        /// The bound was reached.
        cut: bool,
    },
}

/// Reads a body piece by piece, up to a bound.
#[derive(Debug)]
pub struct BodyHash {
    hasher: DefaultHasher,
    bytes: u64,
    most: u64,
    cut: bool,
}

/// One thing that is different.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mismatch {
    /// `status`, `location`, `header NAME`, `body`, `error`.
    pub kind: String,
    /// What the old gateway answered.
    pub old: String,
    /// What the new one answered.
    pub new: String,
}

/// How much of a text of an answer is told.
const LONGEST: usize = 200;

impl BodyHash {
    /// Reads `most` bytes at most.
    #[must_use]
    pub fn new(most: u64) -> Self {
        Self {
            hasher: DefaultHasher::new(),
            bytes: 0,
            most,
            cut: false,
        }
    }

    /// Takes the next piece. Returns whether more is wanted.
    pub fn take(&mut self, piece: &[u8]) -> bool {
        let left = usize::try_from(self.most - self.bytes).unwrap_or(usize::MAX);
        let taken = piece.get(..left.min(piece.len())).unwrap_or_default();
        self.hasher.write(taken);
        self.bytes += taken.len() as u64;
        self.cut |= taken.len() < piece.len();
        !self.cut
    }

    /// What was read.
    #[must_use]
    pub fn finish(&self) -> Body {
        Body::Read {
            bytes: self.bytes,
            hash: self.hasher.finish(),
            cut: self.cut,
        }
    }
}

impl Answer {
    /// A `Location` that can be compared: absolute, without a port, without a query that repeats a secret of the log. What is
    /// relative is taken for what a browser would make of it.
    #[must_use]
    pub fn normal_location(written: &str, scheme: &str, host: &str, own_authority: &str) -> String {
        let (scheme, authority, path) = match written.split_once("://") {
            Some((scheme, rest)) => {
                let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let (authority, path) = rest.split_at(at);
                (scheme, authority, path)
            }
            None => match written.strip_prefix("//") {
                Some(rest) => {
                    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                    let (authority, path) = rest.split_at(at);
                    (scheme, authority, path)
                }
                None => (scheme, host, written),
            },
        };
        let name = |authority: &str| {
            let without_port = match authority.rsplit_once(':') {
                Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
                Some(_) | None => authority,
            };
            without_port.to_ascii_lowercase()
        };
        // A gateway that names the address at which it was asked means the host that was asked for.
        let host = if authority.eq_ignore_ascii_case(own_authority) {
            host.to_owned()
        } else {
            name(authority)
        };
        let path = if path.is_empty() { "/" } else { path };
        format!("{}://{host}{path}", scheme.to_ascii_lowercase())
    }
}

/// What is different between the answers of two gateways; `Err` is why there was none. `fields` are the names of those that are
/// compared.
#[must_use]
pub fn compare(
    old: &Result<Answer, String>,
    new: &Result<Answer, String>,
    fields: &[String],
) -> Vec<Mismatch> {
    let mismatch = |kind: &str, old: String, new: String| Mismatch {
        kind: kind.to_owned(),
        old: cut(&old),
        new: cut(&new),
    };
    let (old, new) = match (old, new) {
        (Ok(old), Ok(new)) => (old, new),
        (old, new) => {
            let told = |answer: &Result<Answer, String>| match answer {
                Ok(answer) => answer.status.to_string(),
                Err(error) => error.clone(),
            };
            return vec![mismatch("error", told(old), told(new))];
        }
    };
    let mut found = Vec::new();
    if old.status != new.status {
        found.push(mismatch("status", old.status.to_string(), new.status.to_string()));
    }
    if old.location != new.location {
        // Each request has its own: the groups are by what is there at all, and by the origin.
        let told = |location: &Option<String>| location.as_deref().map_or("none".to_owned(), without_query);
        found.push(mismatch("location", told(&old.location), told(&new.location)));
    }
    for ((name, old), new) in fields.iter().zip(&old.fields).zip(&new.fields) {
        if old != new {
            let told = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
            found.push(mismatch(&format!("header {name}"), told(old), told(new)));
        }
    }
    // Another status has another body, which says nothing more, and nobody reads that of a redirect.
    let is_redirect = (300..400).contains(&old.status);
    if old.status == new.status && !is_redirect && old.body != new.body {
        let told = |body: Body| match body {
            Body::Ignored => "not read".to_owned(),
            Body::Read { .. } => "another body".to_owned(),
        };
        found.push(mismatch("body", told(old.body), told(new.body)));
    }
    found
}

fn without_query(location: &str) -> String {
    location.split(['?', '#']).next().unwrap_or_default().to_owned()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => {
            let (kept, _) = text.split_at(at);
            format!("{kept}…")
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_compared_without_ports_and_spellings() {
        let table = [
            ("/app", "http://a.test/app"),
            ("http://a.test:8080/app?x", "http://a.test/app?x"),
            ("HTTP://A.test", "http://a.test/"),
            ("http://127.0.0.1:8080/x", "http://a.test/x"),
            ("//b.test/x", "http://b.test/x"),
            ("https://a.test/x", "https://a.test/x"),
        ];
        for (written, expected) in table {
            let normal = Answer::normal_location(written, "http", "a.test", "127.0.0.1:8080");
            assert_eq!(normal, expected, "{written}");
        }
    }

    #[test]
    fn each_difference_has_its_kind() {
        let body = |bytes: &[u8]| {
            let mut hash = BodyHash::new(4);
            hash.take(bytes);
            hash.finish()
        };
        let answer = |status, location: Option<&str>, field: Option<&str>, bytes: &[u8]| {
            Ok(Answer {
                status,
                location: location.map(str::to_owned),
                fields: vec![field.map(str::to_owned)],
                body: body(bytes),
            })
        };
        let fields = ["Vary".to_owned()];
        let kinds = |old: &Result<Answer, String>, new: &Result<Answer, String>| {
            let found = compare(old, new, &fields);
            found
                .into_iter()
                .map(|it| format!("{} {} {}", it.kind, it.old, it.new))
                .collect::<Vec<_>>()
        };
        let plain = answer(200, None, None, b"abcd");
        assert_eq!(
            kinds(&plain, &answer(200, None, None, b"abcd")),
            Vec::<String>::new()
        );
        assert_eq!(
            kinds(&plain, &answer(200, None, None, b"abcde")),
            ["body another body another body"]
        );
        assert_eq!(kinds(&plain, &answer(404, None, None, b"x")), ["status 200 404"]);
        assert_eq!(
            kinds(&plain, &answer(200, None, Some("*"), b"abcd")),
            ["header Vary none *"]
        );
        let redirect = answer(302, Some("http://a/?secret"), None, b"");
        assert_eq!(
            kinds(&redirect, &answer(302, Some("http://b/"), None, b"")),
            ["location http://a/ http://b/"]
        );
        assert_eq!(
            kinds(&plain, &Err("timed out".to_owned())),
            ["error 200 timed out"]
        );
    }
}
