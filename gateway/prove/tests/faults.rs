//! Gateways with one fault each: every one is found, by the tricks that are for it, and the one without is not accused.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what cannot be had fails the test"
)]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use prove::{Control, Door, Expected, Http2, Own, Pair, Plan, ProxyHeader, Report, Target};

/// What a door makes of a request: the text of its head, and how many there were before it on the connection.
type Judge = dyn Fn(&str, usize) -> Answer + Send + Sync;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Inside,
    Outside,
    Unknown,
    /// As `Unknown`, in other words.
    OtherWords,
    Malformed,
    /// Nothing at all.
    Hangs,
}

/// The values of a field.
fn fields<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let named = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.trim()).collect()
}

/// The host that a request is for, if there is exactly one.
fn host(head: &str) -> Option<String> {
    let [host] = fields(head, "host")[..] else {
        return None;
    };
    let target = head.split(' ').nth(1).unwrap_or_default();
    let host = match target
        .strip_prefix("http://")
        .or_else(|| target.strip_prefix("https://"))
    {
        Some(rest) if !rest.starts_with(&format!("{host}/")) => return None,
        _ => host,
    };
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '.' || letter == '-';
    host.chars()
        .all(is_name)
        .then(|| host.trim_end_matches('.').to_ascii_lowercase())
}

/// What the outer door answers without a fault.
fn sound(head: &str) -> Answer {
    match host(head).as_deref() {
        Some("outside.test") => Answer::Outside,
        Some(_) => Answer::Unknown,
        None => Answer::Malformed,
    }
}

fn serve(judge: Arc<Judge>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let judge = Arc::clone(&judge);
            std::thread::spawn(move || connection(stream, &*judge));
        }
    });
    address
}

/// One request after the other; a chunked body ends where it says, and every other one where its length says.
fn connection(mut stream: TcpStream, judge: &Judge) {
    let mut pending = Vec::new();
    let mut buffer = [0; 8192];
    for number in 0.. {
        let end = loop {
            if let Some(end) = pending.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(count) => pending.extend_from_slice(&buffer[..count]),
            }
        };
        let head = String::from_utf8_lossy(&pending[..end]).into_owned();
        let mut rest = pending.split_off(end);
        if let Some(length) = fields(&head, "content-length").first() {
            let length = length.parse().unwrap_or(0).min(rest.len());
            rest.drain(..length);
        } else if fields(&head, "transfer-encoding") == ["chunked"] && rest.starts_with(b"0\r\n\r\n") {
            rest.drain(..5);
        }
        pending = rest;
        let (status, body) = match judge(&head, number) {
            Answer::Inside => (200, "inside"),
            Answer::Outside => (200, "outside"),
            Answer::Unknown => (404, "Not Found"),
            Answer::OtherWords => (404, "Not found"),
            Answer::Malformed => (400, "Bad Request"),
            Answer::Hangs => {
                std::thread::park();
                return;
            }
        };
        let body = if head.starts_with("HEAD ") { "" } else { body };
        let closes = status == 400
            || fields(&head, "connection")
                .iter()
                .any(|value| value.contains("close"));
        let length = body.len();
        let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nDate: {number}\r\n\r\n{body}");
        if stream.write_all(text.as_bytes()).is_err() || closes {
            return;
        }
    }
}

fn door(name: &str, address: SocketAddr, own: &str) -> Door {
    Door {
        name: name.to_owned(),
        address,
        tls: false,
        http2: Http2::No,
        wants_certificate: false,
        proxy: ProxyHeader::Off,
        bind: address,
        own: Some(Own {
            host: own.to_owned(),
            path: "/".to_owned(),
        }),
    }
}

/// Attacks a door that judges like this with the host of another.
fn attack(judge: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Report {
    attack_within(Duration::from_secs(3), judge)
}

fn attack_within(
    patience: Duration,
    judge: impl Fn(&str, usize) -> Answer + Send + Sync + 'static,
) -> Report {
    let inside = serve(Arc::new(|head: &str, _| match host(head).as_deref() {
        Some("inside.test") => Answer::Inside,
        _ => Answer::Unknown,
    }));
    let outside = serve(Arc::new(judge));
    let nowhere = "nowhere.invalid";
    let plan = Plan {
        doors: vec![
            door("inside", inside, "inside.test"),
            door("outside", outside, "outside.test"),
        ],
        pairs: vec![Pair {
            from: 0,
            at: 1,
            targets: vec![Target {
                host: "inside.test".to_owned(),
                path: "/secret".to_owned(),
                ingress: "shop/inside".to_owned(),
                expected: Expected::Nothing,
                has_certificate: false,
                controls: vec![Control {
                    host: "unknown.invalid".to_owned(),
                    path: "/secret".to_owned(),
                }],
            }],
            ..Pair::default()
        }],
        nowhere: nowhere.to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let tasks = tokio::task::LocalSet::new();
    let options = prove::Options {
        patience,
        ..prove::Options::default()
    };
    tasks
        .block_on(&runtime, prove::run(plan, &options, |_| {}))
        .unwrap()
}

/// The tricks that got through.
fn leaks(report: &Report) -> BTreeSet<String> {
    let cell = &report.pairs[0];
    assert_eq!(cell.not_tried, Vec::<String>::new());
    assert_eq!(cell.attacks, cell.blocked + cell.leaks.len());
    assert_eq!(report.is_clean(), cell.leaks.is_empty());
    cell.leaks.iter().map(|leak| leak.trick.clone()).collect()
}

fn found(expected: &[&str]) -> BTreeSet<String> {
    expected.iter().map(|trick| (*trick).to_owned()).collect()
}

#[test]
fn a_sound_door_is_not_accused() {
    let report = attack(|head, _| sound(head));
    assert_eq!(leaks(&report), found(&[]));
    assert!(report.pairs[0].tricks > 80, "{}", report.pairs[0].tricks);
}

#[test]
fn a_joined_table_is_found() {
    let report = attack(|head, _| match host(head).as_deref() {
        Some("inside.test") => Answer::Inside,
        _ => sound(head),
    });
    let leaks = leaks(&report);
    for trick in [
        "host",
        "absolute-form",
        "second-request",
        "pipelined",
        "host-trailing-dot",
        "chunked",
    ] {
        assert!(leaks.contains(trick), "{trick} in {leaks:?}");
    }
    assert!(!leaks.contains("x-forwarded-host"), "{leaks:?}");
}

/// The last of two hosts is the one that is served, while the first was checked.
#[test]
fn the_wrong_one_of_two_hosts_is_found() {
    let report = attack(|head, _| match fields(head, "host")[..] {
        [first, .., "inside.test"] if first != "inside.test" => Answer::Inside,
        _ => sound(head),
    });
    let expected = [
        "host-twice",
        "host-twice-with-nowhere",
        "host-named-by-connection",
    ];
    assert!(
        leaks(&report).is_superset(&found(&expected)),
        "{:?}",
        leaks(&report)
    );
    assert!(!leaks(&report).contains("host"));
}

#[test]
fn fields_that_override_the_host_are_found() {
    for (field, trick) in [
        ("x-forwarded-host", "x-forwarded-host"),
        ("x-host", "x-host"),
        ("x-envoy-original-dst-host", "x-envoy-original-dst-host"),
        ("x-original-url", "x-original-url"),
        ("x-rewrite-url", "x-rewrite-url"),
    ] {
        let report = attack(move |head, _| {
            let is_inside = |value: &&str| value.contains("inside.test");
            match fields(head, field).iter().any(is_inside) {
                true => Answer::Inside,
                false => sound(head),
            }
        });
        assert_eq!(leaks(&report), found(&[trick]));
    }
}

/// The target decides which backend gets the request, and `Host` whether it may pass.
#[test]
fn an_absolute_target_that_nobody_checks_is_found() {
    let report = attack(|head, _| {
        let of_own = fields(head, "host") == ["outside.test"];
        match head.starts_with("GET http://inside.test/") && of_own {
            true => Answer::Inside,
            false => sound(head),
        }
    });
    assert_eq!(leaks(&report), found(&["absolute-form-over-own"]));
}

/// Only the first request of a connection is checked.
#[test]
fn an_unchecked_second_request_is_found() {
    let report = attack(|head, number| match host(head).as_deref() {
        Some("inside.test") if number > 0 => Answer::Inside,
        _ => sound(head),
    });
    let leaks = leaks(&report);
    let expected = ["second-request", "pipelined", "second-request-after-nowhere"];
    assert!(leaks.is_superset(&found(&expected)), "{leaks:?}");
    assert!(!leaks.contains("host"), "{leaks:?}");
}

/// The answer is a refusal, and tells that the host exists.
#[test]
fn other_words_are_found() {
    let report = attack(|head, _| match host(head).as_deref() {
        Some("inside.test") => Answer::OtherWords,
        _ => sound(head),
    });
    assert!(leaks(&report).contains("host"));
    assert!(
        report.pairs[0].leaks[0].why.contains("other bytes"),
        "{:?}",
        report.pairs[0].leaks[0]
    );
}

/// What happens once may have another reason.
#[test]
fn a_difference_that_does_not_last_is_none() {
    let seen = std::sync::atomic::AtomicUsize::new(0);
    let report = attack(move |head, _| {
        let is_inside = host(head).as_deref() == Some("inside.test");
        match is_inside
            && seen
                .fetch_add(1, std::sync::atomic::Ordering::SeqCst)
                .is_multiple_of(2)
        {
            true => Answer::Malformed,
            false => sound(head),
        }
    });
    assert_eq!(leaks(&report), found(&[]));
}

/// A door that does not have the host itself proves nothing by refusing it, and neither does one that hangs.
#[test]
fn what_proves_nothing_is_told() {
    let report = attack_within(Duration::from_millis(300), |head, _| {
        match host(head).as_deref() {
            Some("nowhere.invalid" | "unknown.invalid") => sound(head),
            _ => Answer::Hangs,
        }
    });
    let cell = &report.pairs[0];
    assert_eq!(cell.leaks, Vec::new());
    assert!(!cell.not_tried.is_empty() && !report.is_clean(), "{cell:?}");
}
