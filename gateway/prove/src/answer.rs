//! What came back, and when two answers are alike.

/// The most that is read of one connection, in bytes.
pub(crate) const MOST_BYTES: usize = 256 * 1024;

/// Fields that differ between two answers whatever they answer.
const VARYING: &[&str] = &["date", "x-request-id", "cf-ray", "x-amzn-trace-id", "x-amz-cf-id"];

/// The field that only a gateway writes, and only towards its backends.
const DOOR_FIELD: &str = "x-blastdoor-door";

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Fields in their order, names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    /// As much of it as came.
    pub(crate) body: Vec<u8>,
}

/// How a connection, or a stream, ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The other side closed it, whether in order or not, or it was complete.
    Closed,
    /// Nothing more came for a while.
    Quiet,
    /// It was ended with this code of HTTP/2.
    Reset(String),
    /// There was no handshake, for this reason.
    Handshake(String),
    /// There was no connection, for this reason.
    Unreachable(String),
    /// No answer in time.
    Timeout,
}

/// Everything that came back for one shot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) answers: Vec<Answer>,
    pub(crate) end: End,
    /// The certificate that the door showed.
    pub(crate) certificate: Option<Vec<u8>>,
    /// A session of an earlier connection went on.
    pub(crate) resumed: bool,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Where it redirects to.
    pub(crate) fn location(&self) -> Option<&str> {
        self.field("location")
    }

    /// What is compared of it, with the host that was asked for written as a blank.
    fn comparable(&self, host: &str) -> (u16, Vec<(String, String)>, String) {
        let masked = |text: &str| mask(text, host);
        let fields = self.fields.iter();
        // How long a body is says no more than the body, which may name the host.
        let is_said =
            |name: &str| VARYING.contains(&name) || name == "content-length" && !self.body.is_empty();
        let fields = fields.filter(|(name, _)| !is_said(name));
        (
            self.status,
            fields
                .map(|(name, value)| (name.clone(), masked(value)))
                .collect(),
            masked(&String::from_utf8_lossy(&self.body)),
        )
    }

    /// The door that it names, where an echo shows what the gateway told it.
    pub(crate) fn door<'d>(&self, doors: impl Iterator<Item = &'d str>) -> Option<&'d str> {
        let body = String::from_utf8_lossy(&self.body).to_ascii_lowercase();
        let fields = self
            .fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}\n"));
        let text = fields.collect::<String>() + &body;
        let (_, rest) = text.split_once(DOOR_FIELD)?;
        let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        let name = rest.trim_start_matches(|letter| !is_of_name(letter));
        let end = name.find(|letter| !is_of_name(letter)).unwrap_or(name.len());
        let named = name.get(..end)?;
        doors.into_iter().find(|door| door.eq_ignore_ascii_case(named))
    }
}

/// `text` with a blank in the place of `host`, whatever the case of the host. All other letters stay as they are.
fn mask(text: &str, host: &str) -> String {
    let (lower, host) = (text.to_ascii_lowercase(), host.to_ascii_lowercase());
    let mut masked = String::with_capacity(text.len());
    let mut end = 0;
    if !host.is_empty() {
        for (start, found) in lower.match_indices(&host) {
            masked.push_str(text.get(end..start).unwrap_or_default());
            masked.push('\0');
            end = start + found.len();
        }
    }
    masked.push_str(text.get(end..).unwrap_or_default());
    masked
}

impl Outcome {
    pub(crate) fn failed(end: End) -> Self {
        Self {
            answers: Vec::new(),
            end,
            certificate: None,
            resumed: false,
        }
    }

    /// Nothing came in time behind the first answers, or there was no connection.
    pub(crate) fn is_silent(&self, skip: usize) -> bool {
        // Behind the start of a tunnel, it is for the application of the door's own host to say something.
        let is_tunnel = self.answers.last().is_some_and(|answer| answer.status == 101);
        self.judged(skip).is_empty()
            && !is_tunnel
            && matches!(self.end, End::Timeout | End::Quiet | End::Unreachable(_))
    }

    /// The answers behind the first ones.
    pub(crate) fn judged(&self, skip: usize) -> &[Answer] {
        self.answers.get(skip..).unwrap_or_default()
    }

    /// Whether two outcomes tell a client the same, each asked with a host of its own.
    pub(crate) fn is_alike(&self, host: &str, other: &Self, others_host: &str, skip: usize) -> bool {
        let (ours, theirs) = (self.judged(skip), other.judged(skip));
        let are_alike = ours.len() == theirs.len()
            && ours
                .iter()
                .zip(theirs)
                .all(|(ours, theirs)| ours.comparable(host) == theirs.comparable(others_host));
        // Whether a connection stays open for a moment longer says nothing where there is an answer.
        let have_answers = !ours.is_empty() && !theirs.is_empty();
        are_alike && (have_answers || self.end == other.end)
    }

    /// The statuses, or how it ended, for people.
    pub(crate) fn summary(&self, skip: usize) -> String {
        let answers = self.judged(skip);
        if answers.is_empty() {
            return match &self.end {
                End::Closed => "closed without an answer".to_owned(),
                End::Quiet | End::Timeout => "no answer in time".to_owned(),
                End::Reset(code) => format!("reset with {code}"),
                End::Handshake(reason) => format!("no handshake: {reason}"),
                End::Unreachable(reason) => format!("no connection: {reason}"),
            };
        }
        let statuses: Vec<String> = answers.iter().map(|answer| answer.status.to_string()).collect();
        statuses.join(", ")
    }
}

/// Splits what a connection of HTTP/1 brought into answers, of which the last may have a part of its body. An incomplete head
/// is left out. The first `to_head` answers have no body. Returns also whether nothing is missing.
pub(crate) fn parse(bytes: &[u8], to_head: usize, closed: bool) -> (Vec<Answer>, bool) {
    let mut answers = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some((answer, length)) = parse_one(rest, answers.len() < to_head, closed) else {
            return (answers, false);
        };
        let is_whole = length.is_some();
        rest = length.and_then(|length| rest.get(length..)).unwrap_or_default();
        let is_tunnel = answer.status == 101;
        // An interim answer is followed by the one that counts.
        if answer.status >= 200 || is_tunnel {
            answers.push(answer);
        }
        if !is_whole {
            return (answers, false);
        }
        if is_tunnel {
            // Whatever follows is the backend's. If it looks like an answer, it is taken for one.
            continue;
        }
    }
    (answers, true)
}

/// The first answer and its length in bytes; without a length, the end of its body is missing.
fn parse_one(bytes: &[u8], to_head: bool, closed: bool) -> Option<(Answer, Option<usize>)> {
    let end = find(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let fields = lines.filter_map(|line| line.split_once(':'));
    let fields: Vec<(String, String)> = fields
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer {
        status,
        fields,
        body: Vec::new(),
    };
    let start = end + 4;
    let rest = bytes.get(start..)?;
    if to_head || status < 200 || status == 204 || status == 304 {
        return Some((answer, Some(start)));
    }
    let length = match (answer.field("transfer-encoding"), answer.field("content-length")) {
        (Some(_), _) => chunked(rest, &mut answer.body),
        (None, length) => {
            let length: Option<usize> = match length {
                Some(length) => length.parse().ok(),
                None => closed.then_some(rest.len()),
            };
            let body = length.and_then(|length| rest.get(..length));
            answer.body = body.unwrap_or(rest).to_vec();
            body.map(<[u8]>::len)
        }
    };
    Some((answer, length.map(|length| start + length)))
}

/// Takes a chunked body apart, as far as its chunks are there; returns its length with all that frames it.
fn chunked(bytes: &[u8], body: &mut Vec<u8>) -> Option<usize> {
    let mut place = 0;
    loop {
        let rest = bytes.get(place..)?;
        let line = find(rest, b"\r\n")?;
        let text = std::str::from_utf8(rest.get(..line)?).ok()?;
        let size = usize::from_str_radix(text.split(';').next()?.trim(), 16).ok()?;
        let start = line + 2;
        if size == 0 {
            // Trailers end with an empty line.
            let mut trailers = start;
            loop {
                let line = find(rest.get(trailers..)?, b"\r\n")?;
                trailers += line + 2;
                if line == 0 {
                    return Some(place + trailers);
                }
            }
        }
        let end = start.checked_add(size)?;
        body.extend_from_slice(rest.get(start..end)?);
        place += end + 2;
    }
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(u16, String)> {
        let (answers, complete) = parse(text.as_bytes(), 0, true);
        assert!(complete, "{text:?}");
        let shown = |answer: &Answer| (answer.status, String::from_utf8_lossy(&answer.body).into_owned());
        answers.iter().map(shown).collect()
    }

    #[test]
    fn answers_of_one_connection_are_told_apart() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc\
                    HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1;x=y\r\nf\r\n0\r\nA: b\r\n\r\n\
                    HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\nrest";
        let expected = [(404, "abc"), (200, "def"), (204, ""), (200, "rest")];
        assert_eq!(
            parsed(text),
            expected.map(|(status, body)| (status, body.to_owned()))
        );
        let (answers, complete) = parse(b"HTTP/1.1 200 OK\r\nContent-Le", 0, false);
        assert!(answers.is_empty() && !complete);
        let (answers, complete) = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 1, false);
        assert!(answers.len() == 1 && complete);
    }

    /// An application that streams has answered.
    #[test]
    fn an_answer_counts_before_its_body_ends() {
        for (fields, body) in [
            ("Content-Length: 9", "abc"),
            ("Transfer-Encoding: chunked", "3\r\nabc\r\n5\r\nd"),
            ("Content-Type: text/event-stream", "abc"),
            ("Content-Length: nine", "abc"),
        ] {
            let text = format!("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}");
            let (answers, complete) = parse(text.as_bytes(), 0, false);
            let [_, answer] = &*answers else {
                panic!("{answers:?} of {text:?}");
            };
            assert_eq!(
                (answer.status, &*answer.body, complete),
                (200, b"abc".as_slice(), false)
            );
        }
    }

    #[test]
    fn date_and_request_id_and_the_name_itself_make_no_difference() {
        let outcome = |host: &str, number: u8, status: u16| {
            let text = format!(
                "HTTP/1.1 {status} Not Found\r\nDate: {number}\r\nX-Request-ID: {number}\r\nServer: x\r\nContent-Length: {}\r\n\r\nno {host}",
                host.len() + 3
            );
            Outcome {
                answers: parse(text.as_bytes(), 0, true).0,
                end: End::Closed,
                certificate: None,
                resumed: false,
            }
        };
        assert_eq!(mask("At a.test, A.TEST and Ä", "a.test"), "At \0, \0 and Ä");
        let (a, b) = (outcome("a.test", 1, 404), outcome("nowhere.invalid", 2, 404));
        assert!(a.is_alike("a.test", &b, "nowhere.invalid", 0));
        assert!(!a.is_alike("a.test", &outcome("b.test", 1, 404), "nowhere.invalid", 0));
        assert!(!a.is_alike(
            "a.test",
            &outcome("nowhere.invalid", 1, 410),
            "nowhere.invalid",
            0
        ));
    }

    #[test]
    fn an_echo_names_its_door() {
        let of = |body: &str| {
            let answer = Answer {
                status: 200,
                fields: Vec::new(),
                body: body.as_bytes().to_vec(),
            };
            answer
                .door(["inside", "outside", "outside-tls"].into_iter())
                .map(str::to_owned)
        };
        assert_eq!(
            of("host: a\nx-blastdoor-door: outside-tls\n").as_deref(),
            Some("outside-tls")
        );
        assert_eq!(
            of("{\"X-Blastdoor-Door\": [\"inside\"]}").as_deref(),
            Some("inside")
        );
        assert_eq!(of("X-Blastdoor-Door=elsewhere"), None);
        assert_eq!(of("nothing of it"), None);
    }
}
