//! Edits to the fields of a head.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use http::header::{HOST, HeaderValue};

pub use http::header::HeaderName;
use http::uri::Authority;
use smallvec::SmallVec;

/// What changes in the fields of a head. Names and values have passed the grammar of all versions of HTTP, so that no edit
/// can split a head or fail when it is written.
///
/// Edits add up: applying one and then another is the same as applying [`then`](Self::then) of both.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FieldEdits {
    /// Names whose fields are not forwarded, in any spelling that somebody may read as them.
    pub removed: Vec<HeaderName>,
    /// Fields that come after the forwarded ones.
    pub added: Vec<(HeaderName, HeaderValue)>,
}

/// Edits that many heads have in common, until one of them gets more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedEdits(Option<Arc<FieldEdits>>);

/// Which head an edit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message {
    /// The one that a backend gets.
    Request,
    /// The one that a client gets.
    Response,
}

/// Why a field cannot be edited as it is written. Values never appear: they may be secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Not a token.
    #[error("`{0}` is not the name of a header field")]
    Name(Box<str>),
    /// The field belongs to a connection or frames a message.
    #[error(
        "`{0}` belongs to one connection or says where a message ends: only the gateway sets it; remove the line"
    )]
    OfConnection(Box<str>),
    /// What backends trust the gateway for.
    #[error("`{0}` is what the gateway asserts itself: nothing else may set it; remove the line")]
    Asserted(Box<str>),
    /// `Host` where it is no field.
    #[error("`Host` is no field to add; write `blastdoor.dev/host`")]
    Host,
    /// The value of `Host` is none.
    #[error("the value of `Host` is not a host with an optional port")]
    HostValue,
    /// A control character in a value.
    #[error("the value of `{0}` has control characters, which no header field may have")]
    Value(Box<str>),
    /// No colon.
    #[error("line {0} is not of the form `Name: value`")]
    Line(usize),
    /// Two spellings of one name.
    #[error("`{0}` is written twice, in spellings that some programs read as the same")]
    Twice(Box<str>),
    /// A name without a value and with one.
    #[error("`{0}` is written with and without a value; leave the value away only to remove the field")]
    Both(Box<str>),
}

impl FieldEdits {
    /// Nothing changes.
    pub const NONE: Self = Self {
        removed: Vec::new(),
        added: Vec::new(),
    };

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }

    /// The field goes, in every spelling, and comes with this value.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.remove(name.clone());
        self.added.push((name, value));
    }

    /// The field goes, in every spelling, whether it arrived or an earlier edit added it.
    pub fn remove(&mut self, name: HeaderName) {
        self.added.retain(|(other, _)| !is_same(other, &name));
        if !self.removes(name.as_str().as_bytes()) {
            self.removed.push(name);
        }
    }

    /// The field comes with this value, beside others of its name.
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.added.push((name, value));
    }

    /// These edits come after those that are there.
    pub fn then(&mut self, later: &Self) {
        if later.is_empty() {
            return;
        }
        if self.is_empty() {
            self.clone_from(later);
            return;
        }
        self.removed.reserve(later.removed.len());
        self.added.reserve(later.added.len());
        for name in &later.removed {
            self.remove(name.clone());
        }
        self.added.extend_from_slice(&later.added);
    }

    /// `Vary` names this field. `is_named`: the head that is edited does so already.
    pub fn vary(&mut self, by: &HeaderName, is_named: bool) {
        let says = |value: &HeaderValue| varies_by(value.as_bytes(), by);
        let mut added = self.added.iter();
        let is_added = added.any(|(name, value)| name == http::header::VARY && says(value));
        let is_forwarded = is_named && !self.removes(b"vary");
        if !is_added && !is_forwarded {
            self.append(http::header::VARY, title(by));
        }
    }

    /// Whether fields of this name, in some spelling, are not forwarded.
    #[must_use]
    pub fn removes(&self, name: &[u8]) -> bool {
        !self.removed.is_empty()
            && self
                .removed
                .iter()
                .any(|other| is_same_bytes(other.as_str().as_bytes(), name))
    }

    /// The lengths of the names that [`removes`](Self::removes) may be true for: the bit of each, modulo 64. Most fields are
    /// told apart by it.
    #[must_use]
    pub fn removed_lengths(&self) -> u64 {
        let lengths = self.removed.iter().map(|name| length_bit(name.as_str().len()));
        lengths.fold(0, |all, one| all | one)
    }

    /// As [`removes`](Self::removes), given [`removed_lengths`](Self::removed_lengths).
    #[inline]
    #[must_use]
    pub fn removes_one_of(&self, lengths: u64, name: &[u8]) -> bool {
        lengths & length_bit(name.len()) != 0 && self.removes(name)
    }

    /// Whether a field of exactly this name comes.
    #[must_use]
    pub fn adds(&self, name: &HeaderName) -> bool {
        self.added.iter().any(|(other, _)| other == name)
    }

    /// Edits as a map of names and values has them: each value replaces what is there, and an empty one removes it.
    ///
    /// # Errors
    /// When one of them cannot be honoured.
    pub fn of_map<'m>(
        fields: impl IntoIterator<Item = (&'m str, &'m str)>,
        message: Message,
    ) -> Result<Self, FieldError> {
        let mut edits = Self::default();
        for (written, value) in fields {
            let name = name(written, message)?;
            if edits.removes(name.as_str().as_bytes()) {
                return Err(FieldError::Twice(written.into()));
            }
            match value {
                "" => edits.remove(name),
                value => edits.set(name, self::value(written, value)?),
            }
        }
        Ok(edits)
    }

    /// Edits as text, one `Name: value` a line. The lines of one name replace together what is there; a name without a
    /// value is removed. Empty lines do not count.
    ///
    /// # Errors
    /// When one of them cannot be honoured.
    pub fn of_lines(text: &str, message: Message) -> Result<Self, FieldError> {
        let mut edits = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let (written, value) = line.split_once(':').ok_or(FieldError::Line(index + 1))?;
            let written = written.trim_end();
            let name = name(written, message)?;
            let value = value.trim();
            let is_known = edits.removes(name.as_str().as_bytes());
            if is_known && !edits.adds(&name) {
                let is_spelt_so = edits.removed.contains(&name);
                let error = if is_spelt_so {
                    FieldError::Both
                } else {
                    FieldError::Twice
                };
                return Err(error(written.into()));
            }
            match (is_known, value) {
                (true, "") => return Err(FieldError::Both(written.into())),
                (true, value) => edits.append(name, self::value(written, value)?),
                (false, "") => edits.remove(name),
                (false, value) => edits.set(name, self::value(written, value)?),
            }
        }
        Ok(edits)
    }
}

impl SharedEdits {
    /// Nothing changes.
    pub const NONE: Self = Self(None);

    /// As [`FieldEdits::then`]. The first edits of a head are not copied.
    pub fn then(&mut self, later: &Self) {
        match (&self.0, &later.0) {
            (_, None) => {}
            (None, Some(_)) => self.0.clone_from(&later.0),
            (Some(_), Some(later)) => self.to_mut().then(later),
        }
    }

    /// The edits of this head alone.
    pub fn to_mut(&mut self) -> &mut FieldEdits {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

impl From<FieldEdits> for SharedEdits {
    fn from(edits: FieldEdits) -> Self {
        Self((!edits.is_empty()).then(|| Arc::new(edits)))
    }
}

impl Deref for SharedEdits {
    type Target = FieldEdits;

    fn deref(&self) -> &FieldEdits {
        static NONE: FieldEdits = FieldEdits::NONE;
        self.0.as_deref().unwrap_or(&NONE)
    }
}

/// The names alone: values may be secrets.
impl fmt::Debug for FieldEdits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let added: SmallVec<[&HeaderName; 8]> = self.added.iter().map(|(name, _)| name).collect();
        formatter
            .debug_struct("FieldEdits")
            .field("removed", &self.removed)
            .field("added", &added.as_slice())
            .finish()
    }
}

/// Names that belong to one connection, or say where a message ends (RFC 9110 7.6.1, RFC 9112 6), in lower case.
const OF_CONNECTION: [&str; 13] = [
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
];

/// Names that the gateway asserts, in lower case.
const ASSERTED: [&str; 2] = ["x-blastdoor-door", "x-forwarded-client-cert"];

/// The name of a field that may be edited.
///
/// # Errors
/// When it is no name, or one that no filter may set or remove, in whatever spelling.
pub fn name(written: &str, message: Message) -> Result<HeaderName, FieldError> {
    let is_one_of = |names: &[&str]| {
        let mut names = names.iter();
        names.any(|name| is_same_bytes(name.as_bytes(), written.as_bytes()))
    };
    let name = HeaderName::from_bytes(written.as_bytes()).map_err(|_| FieldError::Name(written.into()))?;
    if is_one_of(&OF_CONNECTION) {
        return Err(FieldError::OfConnection(written.into()));
    }
    if is_one_of(&ASSERTED) {
        return Err(FieldError::Asserted(written.into()));
    }
    if message == Message::Request && name == HOST {
        return Err(FieldError::Host);
    }
    Ok(name)
}

/// The value of a field. Line ends within it count as spaces, as in Go: YAML makes them easily.
///
/// # Errors
/// When it has other control characters; `name` is for that message.
pub fn value(name: &str, written: &str) -> Result<HeaderValue, FieldError> {
    let written = written.trim();
    let parsed = match written.contains(['\n', '\r']) {
        false => HeaderValue::from_bytes(written.as_bytes()),
        true => {
            let lines: Vec<&str> = written
                .split(['\n', '\r'])
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .collect();
            HeaderValue::from_bytes(lines.join(" ").as_bytes())
        }
    };
    parsed.map_err(|_| FieldError::Value(name.into()))
}

/// The value of `Host`.
///
/// # Errors
/// When it is not a host with an optional port.
pub fn host(written: &str) -> Result<Authority, FieldError> {
    let authority = Authority::try_from(written).map_err(|_| FieldError::HostValue)?;
    // User information is valid in a URI, never in `Host`.
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(FieldError::HostValue);
    }
    Ok(authority)
}

#[inline]
fn length_bit(length: usize) -> u64 {
    1 << (length & 63)
}

/// Whether somebody may read the two names as one: all characters alike that are neither letters nor digits, as in CGI
/// variables.
fn is_same(left: &HeaderName, right: &HeaderName) -> bool {
    is_same_bytes(left.as_str().as_bytes(), right.as_str().as_bytes())
}

fn is_same_bytes(left: &[u8], right: &[u8]) -> bool {
    let same = |(left, right): (&u8, &u8)| {
        left.eq_ignore_ascii_case(right) || !(left.is_ascii_alphanumeric() || right.is_ascii_alphanumeric())
    };
    left.len() == right.len() && left.iter().zip(right).all(same)
}

/// Whether a value of `Vary` names this field, or everything.
#[must_use]
pub fn varies_by(vary: &[u8], name: &HeaderName) -> bool {
    vary.split(|byte| *byte == b',').any(|element| {
        let element = element.trim_ascii();
        element == b"*" || element.eq_ignore_ascii_case(name.as_str().as_bytes())
    })
}

/// A name as people write it in a list.
fn title(name: &HeaderName) -> HeaderValue {
    if name == http::header::ORIGIN {
        return HeaderValue::from_static("Origin");
    }
    HeaderValue::from_name(name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &'static str, value: &'static str) -> FieldEdits {
        let mut edits = FieldEdits::default();
        edits.set(HeaderName::from_static(name), HeaderValue::from_static(value));
        edits
    }

    /// The fields of a head as a simple list, edited the naive way.
    fn applied(edits: &FieldEdits, head: &[(&str, &str)]) -> Vec<(String, String)> {
        let kept = head.iter().filter(|(name, _)| !edits.removes(name.as_bytes()));
        let kept = kept.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let added = edits.added.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        kept.chain(added).collect()
    }

    #[derive(Debug, Clone)]
    enum Step {
        Set(usize, u8),
        Remove(usize),
        Append(usize, u8),
    }

    const NAMES: [&str; 5] = ["x-a", "x_a", "x-b", "x.b", "x-ab"];

    fn step() -> impl proptest::strategy::Strategy<Value = Step> {
        use proptest::prelude::*;
        prop_oneof![
            (0..5_usize, any::<u8>()).prop_map(|(name, value)| Step::Set(name, value)),
            (0..5_usize).prop_map(Step::Remove),
            (0..5_usize, any::<u8>()).prop_map(|(name, value)| Step::Append(name, value)),
        ]
    }

    fn take(step: &Step, edits: &mut FieldEdits) {
        let name = |index: usize| HeaderName::from_static(NAMES[index]);
        match *step {
            Step::Set(index, value) => edits.set(name(index), u16::from(value).into()),
            Step::Remove(index) => edits.remove(name(index)),
            Step::Append(index, value) => edits.append(name(index), u16::from(value).into()),
        }
    }

    fn folded(name: &str) -> String {
        name.to_lowercase()
            .replace(|one: char| !one.is_ascii_alphanumeric(), "-")
    }

    proptest::proptest! {
        #[test]
        fn edits_add_up(first in proptest::collection::vec(step(), 0..8), second in proptest::collection::vec(step(), 0..8)) {
            let mut oracle: Vec<(String, String)> = NAMES.iter().map(|name| ((*name).to_owned(), "old".to_owned())).collect();
            for step in first.iter().chain(&second) {
                let (Step::Set(index, _) | Step::Remove(index) | Step::Append(index, _)) = step;
                if !matches!(step, Step::Append(..)) {
                    oracle.retain(|(name, _)| folded(name) != folded(NAMES[*index]));
                }
                if let Step::Set(_, value) | Step::Append(_, value) = step {
                    oracle.push((NAMES[*index].to_owned(), value.to_string()));
                }
            }
            let (mut before, mut after) = (FieldEdits::default(), FieldEdits::default());
            first.iter().for_each(|step| take(step, &mut before));
            second.iter().for_each(|step| take(step, &mut after));
            let (mut shared, kept) = (SharedEdits::from(before.clone()), SharedEdits::from(after.clone()));
            shared.then(&kept);
            before.then(&after);
            proptest::prop_assert_eq!(&*shared, &before);
            proptest::prop_assert_eq!(&*kept, &after, "what others share stays");
            let head = NAMES.map(|name| (name, "old"));
            let lengths = before.removed_lengths();
            for name in NAMES {
                proptest::prop_assert_eq!(before.removes(name.as_bytes()), before.removes_one_of(lengths, name.as_bytes()));
            }
            proptest::prop_assert_eq!(applied(&before, &head), oracle);
        }

        #[test]
        fn whatever_is_written_is_read_or_refused(text in "\\PC{0,60}|([A-Za-z_.-]{1,9}: ?[ -~]{0,9}\n){0,4}") {
            for message in [Message::Request, Message::Response] {
                let _ = FieldEdits::of_lines(&text, message);
                let _ = FieldEdits::of_map([(&*text, "")], message);
            }
        }
    }

    #[test]
    fn lines_become_edits() {
        let edits = FieldEdits::of_lines(
            "X-A: 1\n\n  Link:  </a>; rel=b  \nLink: </c>\r\nServer:\n",
            Message::Response,
        );
        let mut expected = set("x-a", "1");
        expected.set(http::header::LINK, HeaderValue::from_static("</a>; rel=b"));
        expected.append(http::header::LINK, HeaderValue::from_static("</c>"));
        expected.remove(http::header::SERVER);
        assert_eq!(edits, Ok(expected));
    }

    #[test]
    fn what_cannot_be_a_line_is_refused() {
        let table = [
            ("X-A", FieldError::Line(1)),
            ("X-B: 1\nX-A", FieldError::Line(2)),
            ("X A: 1", FieldError::Name("X A".into())),
            (": 1", FieldError::Name("".into())),
            ("X-A: 1\nx_a: 2", FieldError::Twice("x_a".into())),
            ("X-A: 1\nX-A:", FieldError::Both("X-A".into())),
            ("X-A:\nx-a: 1", FieldError::Both("x-a".into())),
            ("X-A: a\u{1}b", FieldError::Value("X-A".into())),
            (
                "Content_Length: 3",
                FieldError::OfConnection("Content_Length".into()),
            ),
            ("Upgrade:", FieldError::OfConnection("Upgrade".into())),
            (
                "X.Blastdoor.Door: a",
                FieldError::Asserted("X.Blastdoor.Door".into()),
            ),
            (
                "x-forwarded-client-cert:",
                FieldError::Asserted("x-forwarded-client-cert".into()),
            ),
            ("Host: a.test", FieldError::Host),
        ];
        for (text, error) in table {
            assert_eq!(FieldEdits::of_lines(text, Message::Request), Err(error), "{text}");
        }
        assert!(FieldEdits::of_lines("Host: a.test", Message::Response).is_ok());
    }

    #[test]
    fn a_map_replaces_and_removes() {
        let edits = FieldEdits::of_map([("X-Policy", "a\n  b"), ("Server", "")], Message::Response).unwrap();
        assert_eq!(edits.added, set("x-policy", "a b").added);
        assert!(edits.removes(b"SERVER") && edits.removes(b"X_Policy") && !edits.removes(b"x-polic"));
        let twice = FieldEdits::of_map([("X-A", ""), ("x-a", "1")], Message::Response);
        assert_eq!(twice, Err(FieldError::Twice("x-a".into())));
    }

    #[test]
    fn a_host_is_a_host_with_a_port() {
        for good in ["a.test", "a.test:81", "[::1]:8080", "A_b"] {
            assert!(host(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a b",
            "user@a.test",
            "http://a.test",
            "a.test/x",
            ":80",
            "a.test\r\nX: y",
        ] {
            assert_eq!(host(bad), Err(FieldError::HostValue), "{bad}");
        }
    }

    #[test]
    fn a_response_varies_once() {
        let origin = http::header::ORIGIN;
        let mut edits = FieldEdits::default();
        edits.vary(&origin, true);
        assert!(edits.is_empty());
        edits.vary(&origin, false);
        edits.vary(&origin, false);
        assert_eq!(
            edits.added,
            [(http::header::VARY, HeaderValue::from_static("Origin"))]
        );
        // What the backend says is removed, so that it counts no more.
        edits.remove(http::header::VARY);
        edits.vary(&origin, true);
        assert_eq!(edits.added.len(), 1);
        assert!(
            varies_by(b"Accept, origin", &origin)
                && varies_by(b" *", &origin)
                && !varies_by(b"Origins", &origin)
        );
    }

    #[test]
    fn values_are_never_shown() {
        let edits = set("authorization", "Bearer secret");
        let shown = format!("{edits:?}");
        assert!(
            shown.contains("authorization") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
