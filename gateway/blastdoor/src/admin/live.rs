//! `/api/v1/live`: waits for the next request that matches, and tells what happened to it.
//!
//! Whoever asks holds the connection meanwhile. When it ends, nobody waits any more, and requests cost again what they cost
//! before.

use std::time::Duration;

use hyper::StatusCode;
use proxy::{Live, LiveFilter};
use route::{HostBuf, PathScratch, normalise_authority, normalise_path};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use wire::Version;

use super::answer::Answer;
use super::query::{Query, QueryError};
use crate::explain::{Question, QuestionError};
use crate::live::{InvalidWait, Told, Wait};

/// Its path.
pub(super) const PATH: &str = "/api/v1/live";

/// What is waited for, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    filter: LiveFilter,
    pub(super) wait: Wait,
}

/// What is wrong with a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum WantedError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Url(#[from] QuestionError),
    #[error("`url` says what `host` and `path` say; give one of them")]
    Twice,
    #[error("`{0}` is no host that a request can have")]
    Host(String),
    #[error("`{0}` is no path that a door takes: it begins with `/`, and has no query")]
    Path(String),
    #[error("`{0}` is not an address")]
    Client(String),
    #[error("there is no door `{0}`")]
    Door(String),
    #[error(transparent)]
    Wait(#[from] InvalidWait),
}

impl Wanted {
    /// # Errors
    /// When the query does not say what is to be waited for, or names a door that there is not.
    pub(super) fn read(query: &Query, is_door: impl Fn(&str) -> bool) -> Result<Self, WantedError> {
        query.only(&["url", "host", "path", "method", "client", "door", "wait"])?;
        // A form sends what is empty, too.
        let of = |name| Ok::<_, QueryError>(query.optional(name)?.filter(|value| !value.is_empty()));
        let (mut host, mut path, mut scheme) = (None, None, None);
        if let Some(url) = query.optional("url")? {
            if of("host")?.is_some() || of("path")?.is_some() {
                return Err(WantedError::Twice);
            }
            let question = Question::parse(url, None, [], None, None)?;
            let (authority, target) = question.place();
            (host, path) = (Some(host_of(authority)?), Some(path_of(target)?));
            scheme = question.scheme;
        }
        if let Some(written) = of("host")? {
            // The same letters become the same name as in a URL.
            let question = Question::parse(written, None, [], None, None)?;
            match question.place() {
                (authority, "/") if !written.contains(['/', '?', '#']) => host = Some(host_of(authority)?),
                _ => return Err(WantedError::Host(written.to_owned())),
            }
        }
        if let Some(written) = of("path")? {
            path = Some(path_of(written)?);
        }
        let client = of("client")?.map(|client| {
            let address = client.parse::<std::net::IpAddr>();
            address.map_err(|_invalid| WantedError::Client(client.to_owned()))
        });
        let listener = of("door")?.map(|door| {
            let known = is_door(door).then(|| door.parse().ok()).flatten();
            known.ok_or_else(|| WantedError::Door(door.to_owned()))
        });
        Ok(Self {
            filter: LiveFilter {
                listener: listener.transpose()?,
                scheme,
                host,
                path,
                method: of("method")?.map(str::to_ascii_uppercase),
                client: client.transpose()?.map(|client| client.to_canonical()),
            },
            wait: of("wait")?.map(str::parse).transpose()?.unwrap_or_default(),
        })
    }

    /// Waits. `None` if whoever asked has left.
    pub(super) async fn answer(
        self,
        live: &Live,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        version: Version,
    ) -> Option<Answer> {
        let Some(mut watching) = live.watch(self.filter) else {
            let answer = Answer::error(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many wait for requests already",
            );
            return Some(answer.with("Retry-After: 5\r\n"));
        };
        let wait = self.wait.duration();
        let watched = tokio::select! {
            watched = watching.outcome(wait, Wait::FOR_ITS_END) => watched,
            () = gone(stream, version) => return None,
        };
        Some(Answer::json(&Told::of(&watched, wait)))
    }
}

/// As doors compare it.
fn host_of(authority: &str) -> Result<String, WantedError> {
    let mut scratch = HostBuf::new();
    match normalise_authority(authority.as_bytes(), &mut scratch) {
        Ok(host) => Ok(host.as_str().to_owned()),
        Err(_) => Err(WantedError::Host(authority.to_owned())),
    }
}

/// As doors compare it.
fn path_of(written: &str) -> Result<String, WantedError> {
    let mut scratch = PathScratch::default();
    let path = normalise_path(written.as_bytes(), &mut scratch);
    path.ok()
        .filter(|_| !written.contains(['?', '#']))
        .and_then(|path| String::from_utf8(path.as_bytes().to_vec()).ok())
        .ok_or_else(|| WantedError::Path(written.to_owned()))
}

/// Ends when the client has closed its connection. What it still sends does not matter.
///
/// One that only sends no more (a half-closed connection) still waits for the answer, and looks the same until something is sent
/// to it: an interim response, which every client of HTTP/1.1 reads over (RFC 9110 15.2). Whoever has gone resets the connection
/// then, so that the next one fails. A client that leaves later than that holds its place until its wait is over.
async fn gone(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), version: Version) {
    const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    const PAUSES: [Duration; 3] = [
        Duration::from_millis(100),
        Duration::from_millis(500),
        Duration::from_secs(2),
    ];
    let mut bytes = [0; 1024];
    loop {
        match stream.read(&mut bytes).await {
            Ok(1..) => {}
            Ok(0) if version == Version::Http11 => break,
            Ok(0) | Err(_) => return,
        }
    }
    for pause in PAUSES {
        if stream.write_all(INTERIM).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
    if stream.write_all(INTERIM).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Wanted, String> {
        Wanted::read(&Query::parse(query.as_bytes()).unwrap(), |door| door == "a")
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_url_is_a_scheme_a_host_and_a_path() {
        let wanted = read(
            "url=https%3A%2F%2FShop.test%3A8443%2Fcart%3Fsecret&method=get&client=::ffff:192.0.2.7&wait=5s&door=a",
        );
        let wanted = wanted.unwrap();
        let expected = LiveFilter {
            listener: Some("a".parse().unwrap()),
            scheme: Some(door::Scheme::Https),
            host: Some("shop.test".to_owned()),
            path: Some("/cart".to_owned()),
            method: Some("GET".to_owned()),
            client: Some("192.0.2.7".parse().unwrap()),
        };
        assert_eq!(
            (wanted.filter, wanted.wait.duration()),
            (expected, Duration::from_secs(5))
        );
        for nothing in ["", "host=&path=&method=&client=&door="] {
            assert_eq!(read(nothing).unwrap().filter, LiveFilter::default(), "{nothing}");
        }
    }

    /// What is waited for is compared as doors compare it, and not letter by letter.
    #[test]
    fn spelling_does_not_matter() {
        let place = |query: &str| {
            let LiveFilter {
                scheme, host, path, ..
            } = read(query).unwrap().filter;
            (scheme, host.unwrap_or_default(), path.unwrap_or_default())
        };
        for (query, host, path) in [
            ("url=a.test", "a.test", "/"),
            ("url=A.test.:80/%257e/api/*", "a.test", "/~/api/*"),
            ("url=b%C3%BCcher.test/%C3%A4", "xn--bcher-kva.test", "/%C3%A4"),
            ("host=A.Test.", "a.test", ""),
            ("host=b%C3%BCcher.test", "xn--bcher-kva.test", ""),
            ("host=[::1]:80&path=/x", "[::1]", "/x"),
            ("path=/%2541*", "", "/A*"),
        ] {
            assert_eq!(place(query), (None, host.to_owned(), path.to_owned()), "{query}");
        }
    }

    #[test]
    fn what_cannot_be_waited_for_is_refused() {
        for wrong in [
            "urls=x",
            "url=",
            "url=http%3A%2F%2Fme%3Apw%40a.test%2F",
            "url=ftp%3A%2F%2Fa.test",
            "url=http%3A%2F%2Fa.test&host=b",
            "url=http%3A%2F%2Fa.test/a/../b",
            "host=a.test/x",
            "host=http://a.test",
            "host=a%20b",
            "path=x",
            "path=/x?y",
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
