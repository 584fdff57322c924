//! `/api/v1/live`: waits for the next request that matches, and tells what happened to it.
//!
//! Whoever asks holds the connection meanwhile. When it ends, nobody waits any more, and requests cost again what they cost
//! before.

use std::time::Duration;

use hyper::StatusCode;
use proxy::{AttemptStep, Live, LiveFilter, SentHead, Story, StoryRule};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::answer::Answer;
use super::query::{Query, QueryError};

/// Its path.
pub(super) const PATH: &str = "/api/v1/live";

/// How long is waited if nothing is said, and at most.
const WAIT: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(600);

/// What is waited for, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    filter: LiveFilter,
    pub(super) wait: Duration,
}

impl Wanted {
    /// # Errors
    /// What is wrong with the query, in words.
    pub(super) fn read(query: &Query) -> Result<Self, String> {
        let words = |error: QueryError| error.to_string();
        query
            .only(&["url", "host", "path", "method", "client", "door", "wait"])
            .map_err(words)?;
        let of = |name| query.optional(name).map_err(words);
        let (mut host, mut path) = (of("host")?.map(str::to_owned), of("path")?.map(str::to_owned));
        if let Some(url) = of("url")? {
            if host.is_some() || path.is_some() {
                return Err("`url` says what `host` and `path` say; give one of them".to_owned());
            }
            let (found, rest) =
                split(url).ok_or_else(|| format!("`{url}` is not a URL such as http://HOST/PATH"))?;
            (host, path) = (Some(found), Some(rest));
        }
        if let Some(path) = path.as_ref().filter(|path| !path.starts_with('/')) {
            return Err(format!("`{path}` is not a path: it begins with `/`"));
        }
        let client = of("client")?.map(|client| {
            let address = client.parse::<std::net::IpAddr>();
            address.map_err(|_invalid| format!("`{client}` is not an address"))
        });
        let listener = of("door")?.map(|door| {
            door.parse()
                .map_err(|error: route::InvalidListenerName| error.to_string())
        });
        let wait = match of("wait")? {
            None => WAIT,
            Some(wait) => {
                let seconds = wait
                    .strip_suffix('s')
                    .unwrap_or(wait)
                    .parse()
                    .map(Duration::from_secs);
                let allowed = seconds
                    .ok()
                    .filter(|wait| (Duration::from_secs(1)..=LONGEST).contains(wait));
                allowed.ok_or_else(|| {
                    format!(
                        "`{wait}` is not a wait; allowed: seconds from 1s to {}s",
                        LONGEST.as_secs()
                    )
                })?
            }
        };
        Ok(Self {
            filter: LiveFilter {
                listener: listener.transpose()?,
                host: host.map(|host| host.to_ascii_lowercase()),
                path,
                method: of("method")?.map(str::to_ascii_uppercase),
                client: client.transpose()?.map(|client| client.to_canonical()),
            },
            wait,
        })
    }

    /// Waits. `None` if whoever asked has left.
    pub(super) async fn answer(self, live: &Live, stream: &mut (impl AsyncRead + Unpin)) -> Option<Answer> {
        let Some(mut watching) = live.watch(self.filter) else {
            let answer = Answer::error(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many wait for requests already",
            );
            return Some(answer.with("Retry-After: 5\r\n"));
        };
        let told = tokio::select! {
            told = watching.told() => told,
            () = tokio::time::sleep(self.wait) => None,
            () = gone(stream) => return None,
        };
        Some(Answer::json(&match told {
            Some(story) => shown(&story),
            None if watching.is_claimed() => json!({
                "matched": true,
                "under_way": true,
                "note": "a request has come and has not ended yet: wait for longer",
            }),
            None => json!({ "matched": false, "waited_s": self.wait.as_secs() }),
        }))
    }
}

/// Host and path of a URL, without port and query.
fn split(url: &str) -> Option<(String, String)> {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let rest = rest.unwrap_or(url);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at_checked(slash)?,
        None => (rest, "/"),
    };
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    (!host.is_empty() && !host.contains('@')).then(|| (host.to_owned(), path.to_owned()))
}

/// Ends when the client has closed its connection. What it still sends does not matter.
async fn gone(stream: &mut (impl AsyncRead + Unpin)) {
    let mut bytes = [0; 1024];
    while matches!(stream.read(&mut bytes).await, Ok(1..)) {}
}

/// Milliseconds, with three digits behind the point.
fn ms(duration: Duration) -> Value {
    let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    json!(f64::from(micros) / 1000.0)
}

fn shown(story: &Story) -> Value {
    let filters = story.filters.iter().map(|filter| {
        json!({
            "filter": filter.kind,
            "verdict": filter.verdict.as_str(),
            "at_ms": ms(filter.at),
            "took_ms": ms(filter.took),
        })
    });
    let time = story
        .time
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    json!({
        "matched": true,
        "listener": story.listener.as_str(),
        "request": {
            "time_unix_ms": u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            "id": story.request_id,
            "client": story.client.to_string(),
            "peer": story.peer.to_string(),
            "scheme": story.scheme,
            "http_version": story.version,
            "tls_version": story.tls,
            "method": story.method,
            "host": story.host,
            "path": story.path,
            "bytes": story.bytes_in,
            "trace_id": story.trace_id().map(|trace| trace.to_string()),
            "sampled": story.is_sampled(),
            "amzn_trace_id": story.amazon_trace,
        },
        "rule": story.rule.as_ref().map(rule),
        "phases": {
            "head_read_ms": ms(story.head),
            "decided_ms": story.decided.map(ms),
            "ended_ms": ms(story.ended),
        },
        "filters": filters.collect::<Vec<_>>(),
        "attempts": story.attempts.iter().map(attempt).collect::<Vec<_>>(),
        "sent": story.sent.as_ref().map(sent),
        "answer": {
            "status": story.status,
            "bytes": story.bytes_out,
            "refusal": story.refusal,
            "detail": story.detail,
        },
    })
}

fn rule(rule: &StoryRule) -> Value {
    json!({
        "ingress": rule.ingress,
        "host": rule.host,
        "path": rule.path,
        "service": rule.service,
    })
}

fn attempt(attempt: &AttemptStep) -> Value {
    json!({
        "endpoint": attempt.endpoint.to_string(),
        "connection": if attempt.kept { "kept" } else { "new" },
        "at_ms": ms(attempt.at),
        "connected_ms": attempt.connected.map(ms),
        "first_byte_ms": attempt.first_byte.map(ms),
        "ended_ms": ms(attempt.ended),
        "status": attempt.status,
        "fault": attempt.fault,
        "detail": attempt.detail,
    })
}

fn sent(head: &SentHead) -> Value {
    let own: serde_json::Map<String, Value> = head
        .own
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    json!({
        "method": head.method,
        "path": head.path,
        "fields": head.fields,
        "own_fields": own,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Wanted, String> {
        Wanted::read(&Query::parse(query.as_bytes()).unwrap())
    }

    #[test]
    fn a_url_is_a_host_and_a_path() {
        let wanted = read(
            "url=https%3A%2F%2FShop.test%3A8443%2Fcart%3Fsecret&method=get&client=::ffff:192.0.2.7&wait=5s&door=a",
        );
        let expected = Wanted {
            filter: LiveFilter {
                listener: Some("a".parse().unwrap()),
                host: Some("shop.test".to_owned()),
                path: Some("/cart".to_owned()),
                method: Some("GET".to_owned()),
                client: Some("192.0.2.7".parse().unwrap()),
            },
            wait: Duration::from_secs(5),
        };
        assert_eq!(wanted, Ok(expected));
        assert_eq!(read("").unwrap().filter, LiveFilter::default());
        assert_eq!(read("url=a.test").unwrap().filter.path.as_deref(), Some("/"));
    }

    #[test]
    fn what_cannot_be_waited_for_is_refused() {
        for wrong in [
            "urls=x",
            "url=",
            "url=http%3A%2F%2Fme%3Apw%40a.test%2F",
            "url=http%3A%2F%2Fa.test&host=b",
            "path=x",
            "client=me",
            "door=A_B",
            "wait=0",
            "wait=601s",
            "wait=1h",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
