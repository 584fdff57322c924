//! Limits that all replicas keep together, at a Redis or Valkey server.
//!
//! The same algorithm as in [`rate`](crate::rate), as one script that the server runs as a whole, by the server's clock.
//! Its numbers are microseconds: a script counts in double precision, which holds whole microseconds since 1970.

use std::fmt;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use crate::rate::{Rate, Wait};
use crate::source::Key;
use crate::url;

/// Takes one token of each bucket, or none at all. `KEYS`: the buckets; `ARGV`: for each its interval and its tolerance,
/// in microseconds. Returns for how many microseconds the request comes too early; 0 means that it is admitted.
pub const SCRIPT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full, early = {}, 0
for i, key in ipairs(KEYS) do
  local arrival = math.max(tonumber(redis.call('GET', key)) or 0, now)
  early = math.max(early, arrival - now - tonumber(ARGV[2 * i]))
  full[i] = arrival + tonumber(ARGV[2 * i - 1])
end
if early > 0 then
  return math.ceil(early)
end
for i, key in ipairs(KEYS) do
  redis.call('SET', key, string.format('%.3f', full[i]), 'PX', math.ceil((full[i] - now) / 1000))
end
return 0
";

/// What the server says of a request.
///
/// # Errors
/// For how long it comes too early.
pub fn verdict(early: i64) -> Result<(), Wait> {
    match u64::try_from(early) {
        Ok(early @ 1..) => Err(Wait::of_nanos(early.saturating_mul(1000))),
        Ok(0) | Err(_) => Ok(()),
    }
}

/// The two arguments of a bucket.
#[must_use]
pub fn arguments(rate: &Rate) -> [String; 2] {
    [rate.interval(), rate.tolerance()].map(|nanos| format!("{}.{:03}", nanos / 1000, nanos % 1000))
}

/// The name of a bucket at the server. `prefix` says which limit of which object at which door.
#[must_use]
pub fn bucket_name(prefix: &str, key: Key<'_>) -> String {
    let mut name = String::with_capacity(prefix.len() + 40);
    name.push_str(prefix);
    match key {
        Key::Address(address) => {
            let _ = write!(name, "{address}");
        }
        // Never the text itself: it may be a token or a password, of any length.
        Key::Text(text) => {
            name.push('#');
            for byte in digest(&SHA256, text).as_ref().iter().take(16) {
                let _ = write!(name, "{byte:02x}");
            }
        }
    }
    name
}

/// A server that keeps limits, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The server, by one or more addresses. The first that answers is used.
    pub endpoints: Box<[StoreEndpoint]>,
    /// As whom the gateway logs in.
    pub login: Login,
    /// The number of the database.
    pub db: u32,
    /// TLS to the server, if any.
    pub tls: Option<StoreTls>,
    /// For a connection.
    pub connect: Duration,
    /// For an answer. Less than what the gateway waits for has an effect.
    pub answer: Duration,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreEndpoint {
    /// The host as it is written, which its certificate must name.
    pub host: Box<str>,
    /// The port as it is written.
    pub port: u16,
    /// What the host stands for.
    pub addresses: Box<[SocketAddr]>,
}

/// Who logs in at a server.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The user; the server's default without.
    pub username: Option<Box<str>>,
    /// The password, if the server wants one.
    pub password: Option<Box<str>>,
}

/// TLS towards a server.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StoreTls {
    /// The authorities that may have signed the server's certificate, PEM; without, those of this machine.
    pub authorities: Option<Box<[u8]>>,
    /// What the gateway shows: certificate and key, PEM.
    pub identity: Option<ShownCertificate>,
    /// The server's certificate is not verified.
    pub unverified: bool,
}

/// A certificate with its key, PEM both.
pub type ShownCertificate = (Box<[u8]>, Box<[u8]>);

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

impl fmt::Debug for StoreTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreTls")
            .field("unverified", &self.unverified)
            .finish_non_exhaustive()
    }
}

/// The host and port of an endpoint as Traefik writes it: `redis:6379`, `10.0.0.1:6379`, `[2001:db8::1]:6379`.
///
/// # Errors
/// If `text` is no such endpoint, ready for a problem.
pub fn host_and_port(text: &str) -> Result<(&str, u16), String> {
    // A URL may have a password before its `@`.
    let unreadable = || match text.contains('@') {
        true => "it is not a host and a port like `redis:6379`; write neither a user nor a password there"
            .to_owned(),
        false => format!("`{text}` is not a host and a port like `redis:6379`"),
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(unreadable)?;
    let port = url::port(port);
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']').filter(|v6| v6.contains(':')),
        None => Some(host).filter(|host| !host.contains(':')),
    };
    let host = host.filter(|host| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        !host.is_empty() && host.len() <= 253 && host.bytes().all(known)
    });
    Ok((host.ok_or_else(unreadable)?, port.ok_or_else(unreadable)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_microseconds() {
        let rate = Rate::new(7, Duration::from_secs(1), 3).unwrap();
        assert_eq!(arguments(&rate), ["142857.143", "285714.286"]);
    }

    #[test]
    fn a_bucket_tells_no_text() {
        let prefix = "blastdoor:web:shop/api:0:";
        let address = Key::Address("2001:db8::".parse().unwrap());
        assert_eq!(
            bucket_name(prefix, address),
            "blastdoor:web:shop/api:0:2001:db8::"
        );
        let secret = bucket_name(prefix, Key::Text(b"hunter2"));
        assert_eq!(secret.len(), prefix.len() + 1 + 32);
        assert!(!secret.contains("hunter2"));
        assert_eq!(secret, bucket_name(prefix, Key::Text(b"hunter2")));
        assert_ne!(secret, bucket_name(prefix, Key::Text(b"hunter3")));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let store = Store {
            endpoints: Box::default(),
            login: Login {
                username: Some("ada".into()),
                password: Some("hunter2".into()),
            },
            db: 0,
            tls: Some(StoreTls {
                identity: Some((b"cert".as_slice().into(), b"hunter2".as_slice().into())),
                ..StoreTls::default()
            }),
            connect: Duration::ZERO,
            answer: Duration::ZERO,
        };
        let shown = format!("{store:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("104, 117"),
            "{shown}"
        );
    }

    proptest::proptest! {
        /// Whatever somebody writes: an error, or something that is checked.
        #[test]
        fn no_text_is_too_odd(text in "[0-9a-f.:/,smh% \\[\\]-]{0,24}|\\PC{0,16}") {
            let _ = crate::cidr::Networks::parse(&text);
            let _ = Rate::parse(&text, None);
            let _ = crate::source::Source::parse(&text);
            if let Ok(time) = crate::duration::parse_duration(&text) {
                proptest::prop_assert!(time <= crate::duration::LONGEST);
            }
            if let Ok((host, port)) = host_and_port(&text) {
                proptest::prop_assert!(port > 0 && text.contains(host));
            }
        }
    }

    #[test]
    fn endpoints() {
        let table = [
            ("redis:6379", ("redis", 6379)),
            ("redis.cache.svc:1", ("redis.cache.svc", 1)),
            ("10.0.0.1:65535", ("10.0.0.1", 65535)),
            ("[2001:db8::1]:6379", ("2001:db8::1", 6379)),
        ];
        for (text, expected) in table {
            assert_eq!(host_and_port(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "redis",
            ":6379",
            "redis:",
            "redis:0",
            "redis:65536",
            "redis:+1",
            "2001:db8::1:6379",
            "[::1]",
            "[redis]:1",
            "redis://redis:6379",
            "a b:1",
            "user@redis:1",
            "[::1:1",
        ] {
            assert!(host_and_port(text).is_err(), "{text}");
        }
        let message = host_and_port("redis://:s3cretpw@redis:6379").unwrap_err();
        assert!(!message.contains("s3cretpw"), "{message}");
    }
}
