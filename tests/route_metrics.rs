//! Metrics of single routes and their Services: what is counted for whom, for how long, and how much of it there is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use gateway_tests::{
    Backend, Builder, Client, DOORS, Gateway, Reply, free_port, gateway, get, manifest, scaled,
};

const DOOR: &str = "external-http";
const REQUESTS: &str = "blastdoor_route_requests_total";
const COUNT: &str = "blastdoor_route_request_duration_seconds_count";
const BUCKET: &str = "blastdoor_route_request_duration_seconds_bucket";
const FOLDED: &str = "blastdoor_route_series_folded_total";

/// A sample: its name, its labels and its value.
type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

/// Reads a page of the text format strictly: every sample belongs to the type before it, and stands there once.
fn samples(page: &str) -> Samples {
    let (mut samples, mut types) = (Samples::new(), BTreeSet::new());
    let mut family = (String::new(), String::new());
    for line in page.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let words: Vec<&str> = comment.splitn(3, ' ').collect();
            match words[..] {
                ["TYPE", name, kind] => {
                    assert!(types.insert(name.to_owned()), "{name} has two types");
                    assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                    family = (name.to_owned(), kind.to_owned());
                }
                ["HELP", ..] => {}
                _ => panic!("{line}"),
            }
            continue;
        }
        let (name, labels, value) = sample(line);
        let suffixes: &[&str] = match family.1.as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        let names: Vec<String> = suffixes
            .iter()
            .map(|suffix| format!("{}{suffix}", family.0))
            .collect();
        assert!(names.contains(&name), "{line} is no sample of {family:?}");
        let before = samples.insert((name, labels), value);
        assert_eq!(before, None, "{line} stands there twice");
    }
    samples
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let end = line.find(['{', ' ']).unwrap();
    let name = line[..end].to_owned();
    assert!(
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
        "{line}"
    );
    let (mut labels, mut rest) = (BTreeMap::new(), &line[end..]);
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, quoted) = rest.trim_start_matches(',').split_once("=\"").unwrap();
            let (mut value, mut characters) = (String::new(), quoted.chars());
            loop {
                match characters.next().unwrap() {
                    '"' => break,
                    '\\' => value.push(match characters.next().unwrap() {
                        'n' => '\n',
                        plain @ ('\\' | '"') => plain,
                        other => panic!("{line}: \\{other}"),
                    }),
                    plain => value.push(plain),
                }
            }
            assert_eq!(labels.insert(label.to_owned(), value), None, "{line}");
            rest = characters.as_str();
        }
        rest = &rest[1..];
    }
    (name, labels, rest.strip_prefix(' ').unwrap().parse().unwrap())
}

/// How many series a door has about routes and Services.
fn series(samples: &Samples, door: &str) -> usize {
    let about_routes =
        |name: &str| name.starts_with("blastdoor_route_") || name.starts_with("blastdoor_service_");
    let keys = samples.keys();
    keys.filter(|(name, labels)| about_routes(name) && labels["listener"] == door)
        .count()
}

fn scrape(gateway: &Gateway) -> Samples {
    samples(&gateway.admin("/metrics").1)
}

/// The requests of an Ingress that were counted, by Service and class of status.
fn requests(gateway: &Gateway, ingress: &str) -> BTreeMap<(String, String), f64> {
    let samples = scrape(gateway).into_iter();
    let own = samples.filter(|((name, labels), _)| name == REQUESTS && labels["ingress"] == ingress);
    own.map(|((_, labels), value)| {
        assert_eq!(labels["namespace"], if ingress == "other" { "" } else { "test" });
        ((labels["service"].clone(), labels["status_class"].clone()), value)
    })
    .collect()
}

/// An Ingress with one rule for everything of a host, with these annotations.
fn rule(name: &str, host: &str, service: &str, annotations: &[(&str, &str)]) -> String {
    let lines: String = annotations
        .iter()
        .map(|(key, value)| format!("    {key}: {}\n", serde_json::to_string(value).unwrap()))
        .collect();
    let rule = manifest::ingress(name, DOOR, &[(host, "Prefix", "/", service)]);
    rule.replacen(
        "  namespace: test\n",
        &format!("  namespace: test\n  annotations:\n{lines}"),
        1,
    )
}

/// Every request counts once, for the Ingress whose rule matched and the Service that answered.
#[test]
fn requests_count_for_who_answered() {
    let failing = Reply::computed(|_| b"HTTP/1.1 500 Own\r\nContent-Length: 0\r\n\r\n".to_vec());
    let (main, canary, pages) = (
        Backend::start("main"),
        Backend::start("canary"),
        Backend::start("pages"),
    );
    let broken = Backend::with("broken", failing);
    let nginx = "nginx.ingress.kubernetes.io";
    let canary_rules = [
        (&*format!("{nginx}/canary"), "true"),
        (&*format!("{nginx}/canary-by-header"), "x-canary"),
    ];
    let page_rules = [
        (&*format!("{nginx}/custom-http-errors"), "500"),
        (&*format!("{nginx}/default-backend"), "pages"),
    ];
    let yaml = [
        rule("main", "a.test", "main", &[("blastdoor.dev/deny", "10.9.9.9/32")]),
        rule("canary", "a.test", "canary", &canary_rules),
        rule("paged", "paged.test", "broken", &page_rules),
        rule(
            "fallback",
            "fallback.test",
            "empty",
            &[(&*format!("{nginx}/default-backend"), "pages")],
        ),
        rule(
            "closed",
            "closed.test",
            "main",
            &[("blastdoor.dev/deny", "0.0.0.0/0, ::/0")],
        ),
        rule("empty", "empty.test", "empty", &[]),
        rule("dead", "dead.test", "dead", &[]),
        manifest::service("main", &[main.port()]),
        manifest::service("canary", &[canary.port()]),
        manifest::service("pages", &[pages.port()]),
        manifest::service("broken", &[broken.port()]),
        manifest::service("empty", &[]),
        manifest::service("dead", &[free_port()]),
    ];
    let gateway = gateway!()
        .door(DOOR, "")
        .manifest("all.yaml", &yaml.concat())
        .start();
    let door = gateway.door(DOOR);
    assert_eq!(get(door, "a.test", "/").status, 200);
    let mut client = Client::connect(door);
    for _ in 0..2 {
        let response = client
            .request("POST / HTTP/1.1\r\nHost: a.test\r\nX-Canary: always\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(response.unwrap().body, b"canary");
    }
    for (host, status) in [
        ("paged.test", 200),
        ("fallback.test", 200),
        ("closed.test", 403),
        ("empty.test", 503),
        ("dead.test", 502),
        ("nowhere.test", 404),
    ] {
        assert_eq!(get(door, host, "/").status, status, "{host}");
    }
    gateway.counts("blastdoor_requests_total", &[("listener", DOOR)], 9.0);
    for (ingress, service, class, count) in [
        ("main", "main", "2xx", 1.0),
        ("canary", "canary", "2xx", 2.0),
        ("paged", "pages", "2xx", 1.0),
        ("fallback", "pages", "2xx", 1.0),
        // The gateway answered, and no Service was to.
        ("closed", "", "4xx", 1.0),
        // No Service did, and this one was to.
        ("empty", "empty", "5xx", 1.0),
        ("dead", "dead", "5xx", 1.0),
    ] {
        let expected = BTreeMap::from([((service.to_owned(), class.to_owned()), count)]);
        assert_eq!(requests(&gateway, ingress), expected, "{ingress}");
        assert_eq!(gateway.metric(COUNT, &[("ingress", ingress)]), count, "{ingress}");
    }
    let all = gateway.metric(REQUESTS, &[("listener", DOOR)]);
    assert_eq!(all, 8.0, "the one without a route does not count");
    let bytes = |direction: &str, ingress: &str| {
        let name = format!("blastdoor_route_{direction}_body_bytes_total");
        gateway.metric(
            &name,
            &[("ingress", ingress), ("namespace", "test"), ("listener", DOOR)],
        )
    };
    assert_eq!(bytes("request", "canary"), 6.0);
    assert_eq!(bytes("response", "canary"), 12.0);
    assert_eq!(bytes("response", "main"), 4.0);
    assert_eq!(gateway.metric(FOLDED, &[("listener", DOOR)]), 0.0);
}

#[test]
fn the_histogram_is_short_and_cumulative() {
    let slow = Backend::with(
        "slow",
        Reply::script(|stream, _| {
            std::thread::sleep(std::time::Duration::from_millis(120));
            let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }),
    );
    let gateway = gateway!()
        .door(DOOR, "")
        .manifest("app.yaml", &manifest::app("slow", DOOR, "a.test", slow.port()))
        .start();
    assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 200);
    gateway.counts(COUNT, &[("ingress", "slow")], 1.0);
    let of = |bound: &str| gateway.metric(BUCKET, &[("ingress", "slow"), ("le", bound)]);
    assert_eq!(["0.025", "0.1"].map(of), [0.0; 2]);
    assert_eq!(["5.0", "+Inf"].map(of), [1.0; 2]);
    let bounds = scrape(&gateway).into_keys();
    let bounds = bounds.filter(|(name, labels)| name == BUCKET && labels["ingress"] == "slow");
    let bounds: BTreeSet<String> = bounds.map(|(_, labels)| labels["le"].clone()).collect();
    assert_eq!(
        bounds,
        BTreeSet::from(["0.025", "0.1", "0.5", "1.0", "5.0", "+Inf"].map(str::to_owned))
    );
    let sum = gateway.metric(
        "blastdoor_route_request_duration_seconds_sum",
        &[("ingress", "slow")],
    );
    assert!(sum >= 0.12, "{sum}");
}

/// An Ingress that is changed, and one whose endpoints change, go on with their counters. One that is gone is gone, and so are
/// those of a door that is.
#[test]
fn series_last_as_long_as_their_route() {
    let (first, second) = (Backend::start("first"), Backend::start("second"));
    let app = |port| manifest::app("app", DOOR, "a.test", port);
    let gateway = gateway!()
        .door(DOOR, "drain = { wait = \"0s\", timeout = \"1s\" }")
        .manifest("app.yaml", &app(first.port()))
        .manifest(
            "stays.yaml",
            &manifest::app("stays", DOOR, "b.test", first.port()),
        )
        .start();
    let door = gateway.door(DOOR);
    let count = |expected: f64| gateway.counts(REQUESTS, &[("ingress", "app"), ("service", "app")], expected);
    assert_eq!(get(door, "a.test", "/").text(), "first");
    assert_eq!(get(door, "b.test", "/").text(), "first");
    count(1.0);
    // Other endpoints.
    gateway.put("app.yaml", &app(second.port()));
    let asked = std::cell::Cell::new(1.0);
    gateway.until("its endpoint changes", |_| {
        asked.set(asked.get() + 1.0);
        get(door, "a.test", "/").text() == "second"
    });
    let asked = asked.get();
    count(asked);
    // Another object of the same name.
    gateway.put(
        "app.yaml",
        &app(second.port()).replacen("path: \"/\"", "path: \"/only\"", 1),
    );
    gateway.until_status(DOOR, "a.test", "/only", 200);
    gateway.until_status(DOOR, "a.test", "/", 404);
    let changed = gateway.metric(REQUESTS, &[("ingress", "app")]);
    assert!(changed > asked, "{changed} after {asked}");
    gateway.put("app.yaml", "");
    gateway.until("its series are gone", |gateway| {
        let gone = |samples: &Samples| {
            samples
                .keys()
                .all(|(_, labels)| !labels.values().any(|value| value == "app"))
        };
        gone(&scrape(gateway))
    });
    assert_eq!(gateway.metric(REQUESTS, &[("ingress", "stays")]), 1.0);
    // It begins anew.
    gateway.put("app.yaml", &app(first.port()));
    gateway.until_status(DOOR, "a.test", "/only", 200);
    gateway.until("it counts again", |gateway| {
        gateway.metric(REQUESTS, &[("ingress", "app")]) >= 1.0
    });
    assert!(gateway.metric(REQUESTS, &[("ingress", "app")]) < changed);

    let text = std::fs::read_to_string(gateway.config()).unwrap();
    let start = text.find(&format!("[listeners.{DOOR}]")).unwrap();
    let end = text[start + 1..]
        .find("\n[")
        .map_or(text.len(), |length| start + 1 + length);
    std::fs::write(gateway.config(), format!("{}{}", &text[..start], &text[end..])).unwrap();
    gateway.until("the door is gone", |gateway| {
        scrape(gateway)
            .keys()
            .all(|(name, labels)| name != REQUESTS || labels["listener"] != DOOR)
    });
}

/// So many Ingresses for a door with a Service each, all at one endpoint.
fn many(builder: Builder, door: &str, count: usize, port: u16) -> Builder {
    let mut builder = builder;
    let numbers: Vec<usize> = (0..count).collect();
    for (part, numbers) in numbers.chunks(1_000).enumerate() {
        let yaml: String = numbers.iter().map(|number| app(door, *number, port)).collect();
        builder = builder.manifest(&format!("{door}-{part}.yaml"), &yaml);
    }
    builder
}

fn app(door: &str, number: usize, port: u16) -> String {
    manifest::app(
        &format!("app-{number}"),
        door,
        &format!("app-{number}.test"),
        port,
    )
    .replace("namespace: test", &format!("namespace: {door}"))
}

/// Sends a request to each of so many.
fn ask_all(gateway: &Gateway, door: &str, count: usize) {
    let mut client = Client::connect(gateway.door(door));
    for number in 0..count {
        let response = client.get(&format!("app-{number}.test"), "/").expect("an answer");
        assert_eq!(response.status, 200, "{number}");
    }
    gateway.counts(
        "blastdoor_requests_total",
        &[("listener", door), ("status_class", "2xx")],
        count as f64,
    );
}

/// What comes too late for series of its own counts as `other`, and nothing is lost. A changed bound is live.
#[test]
fn the_bound_is_of_the_door_and_may_change() {
    let backend = Backend::start("app");
    backend.count_only();
    let limited = gateway!().door(DOOR, "limits = { route_series = 100 }");
    let gateway = many(
        many(limited, DOOR, 50, backend.port()),
        "internal-http",
        50,
        backend.port(),
    )
    .start();
    for door in [DOOR, "internal-http"] {
        ask_all(&gateway, door, 50);
    }
    let found = scrape(&gateway);
    assert!(
        (60..=100).contains(&series(&found, DOOR)),
        "{}",
        series(&found, DOOR)
    );
    let listener = [("listener", DOOR)];
    assert_eq!(gateway.metric(REQUESTS, &listener), 50.0);
    assert_eq!(gateway.metric(COUNT, &listener), 50.0);
    let other = [("listener", DOOR), ("namespace", ""), ("ingress", "other")];
    let (others, folded) = (
        gateway.metric(REQUESTS, &other),
        gateway.metric(FOLDED, &listener),
    );
    assert!(others >= 20.0 && folded > others, "{others}, {folded}");
    assert_eq!(gateway.metric(FOLDED, &[("listener", "internal-http")]), 0.0);
    assert_eq!(
        gateway.metric(REQUESTS, &[("ingress", "other"), ("listener", "internal-http")]),
        0.0
    );
    // Again: the same requests for the same series.
    ask_again(&gateway, 50, 100.0);
    assert_eq!(gateway.metric(REQUESTS, &other), 2.0 * others);
    assert_eq!(gateway.metric(FOLDED, &listener), folded);

    let set = |from: &str, to: &str| {
        let text = std::fs::read_to_string(gateway.config()).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(gateway.config(), text.replace(from, to)).unwrap();
    };
    set("route_series = 100", "route_series = 2000");
    gateway.until("the others have series of their own", |gateway| {
        let _answer = get(gateway.door(DOOR), "app-49.test", "/");
        gateway.metric(REQUESTS, &[("listener", DOOR), ("ingress", "app-49")]) > 0.0
    });
    set("route_series = 2000", "route_series = 0");
    gateway.until("nothing is counted", |gateway| {
        let _answer = get(gateway.door(DOOR), "app-1.test", "/");
        gateway.metric(REQUESTS, &listener) == 0.0
    });
}

fn ask_again(gateway: &Gateway, count: usize, all: f64) {
    let mut client = Client::connect(gateway.door(DOOR));
    for number in 0..count {
        assert_eq!(
            client.get(&format!("app-{number}.test"), "/").unwrap().status,
            200
        );
    }
    gateway.counts(REQUESTS, &[("listener", DOOR)], all);
}

/// 10,000 Ingresses at one door, and as many distributed over four, all of them requested.
#[test]
fn ten_thousand_ingresses_stay_within_the_bounds() {
    let backend = Backend::start("app");
    backend.count_only();
    let (at_one, at_each) = (
        scaled("Ingresses", 3_000, 10_000),
        scaled("Ingresses at each of four doors", 1_250, 2_500),
    );
    for (doors, count) in [(&[DOOR][..], at_one), (&DOORS[..], at_each)] {
        let mut builder = gateway!().log("access = \"off\"");
        for door in doors {
            builder = many(builder.door(door, ""), door, count, backend.port());
        }
        let gateway = builder.start();
        for door in doors {
            ask_all(&gateway, door, count);
        }
        let begun = std::time::Instant::now();
        let page = gateway.admin("/metrics").1;
        let took = begun.elapsed();
        let found = samples(&page);
        for door in doors {
            let listener = [("listener", *door)];
            let own = series(&found, door);
            eprintln!("{count} Ingresses at {door}: {own} series");
            assert!(
                (4_000..=5_000).contains(&own) || count < 2_500 && own <= 5_000,
                "{own}"
            );
            assert_eq!(gateway.metric(REQUESTS, &listener), count as f64, "{door}");
            assert_eq!(gateway.metric(COUNT, &listener), count as f64, "{door}");
            assert!(gateway.metric(FOLDED, &listener) > 0.0, "{door}");
        }
        eprintln!(
            "{} doors, a page of {} bytes in {took:?}",
            doors.len(),
            page.len()
        );
        // As scrapers ask for it.
        let begun = std::time::Instant::now();
        let (head, body) = raw_page(&gateway, "Accept-Encoding: gzip\r\n");
        eprintln!("{} bytes as gzip in {:?}", body.len(), begun.elapsed());
        assert!(head.contains("\r\nContent-Encoding: gzip\r\n"), "{head}");
        assert!(body.len() < 2 * 1024 * 1024 / 4, "{} bytes", body.len());
        // As text, four full doors have more than 2 MiB.
        let most = if doors.len() == 1 { 1 } else { 3 };
        assert!(page.len() < most * 1024 * 1024, "{} bytes", page.len());
    }
}

/// Connections, retries and ejections of each Service, and which endpoints are out.
#[test]
fn services_show_what_is_wrong_with_their_endpoints() {
    let backend = Backend::start("good");
    let dead = free_port();
    let yaml = manifest::ingress("mixed", DOOR, &[("a.test", "Prefix", "/", "mixed")])
        + &manifest::service("mixed", &[backend.port(), dead])
        + &manifest::app("good", DOOR, "b.test", backend.port());
    let gateway = gateway!().door(DOOR, "").manifest("all.yaml", &yaml).start();
    let of = |metric: &str, service: &str| {
        let name = format!("blastdoor_service_{metric}");
        gateway.metric(
            &name,
            &[("listener", DOOR), ("namespace", "test"), ("service", service)],
        )
    };
    gateway.until("the dead endpoint is out", |gateway| {
        let mut client = Client::connect(gateway.door(DOOR));
        let request = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
        assert_eq!(client.request(request).unwrap().status, 200);
        of("ejections_total", "mixed") == 1.0
    });
    assert_eq!(get(gateway.door(DOOR), "b.test", "/").status, 200);
    assert_eq!(of("endpoints_ejected", "mixed"), 1.0);
    assert!(of("connect_failures_total", "mixed") >= 3.0);
    assert!(of("retries_total", "mixed") >= 3.0);
    assert!(of("connects_total", "mixed") >= 1.0);
    assert!(of("connect_seconds_total", "mixed") > 0.0);
    for metric in [
        "endpoints_ejected",
        "ejections_total",
        "connect_failures_total",
        "retries_total",
    ] {
        assert_eq!(of(metric, "good"), 0.0, "{metric}");
    }
    // The endpoint leaves the Service.
    let without = yaml.replace(&manifest::slices("mixed", &[dead], "{}"), "");
    assert_ne!(without, yaml);
    gateway.put("all.yaml", &without);
    gateway.until("no endpoint is out", |_| of("endpoints_ejected", "mixed") == 0.0);
}

/// Manifests may hold any name. None breaks the page, and none passes for another.
#[test]
fn hostile_names_stay_in_their_labels() {
    let backend = Backend::start("app");
    let names = [
        "other",
        "a\"} 1\nblastdoor_route_requests_total{x=\"y",
        "back\\slash",
        "ä # {b}",
    ];
    let mut yaml = String::new();
    for (number, name) in names.iter().enumerate() {
        let rule = manifest::ingress("NAME", DOOR, &[(&format!("{number}.test"), "Prefix", "/", "app")]);
        yaml += &rule.replacen("NAME", &serde_json::to_string(name).unwrap(), 1);
    }
    yaml += &manifest::service("app", &[backend.port()]);
    let gateway = gateway!().door(DOOR, "").manifest("all.yaml", &yaml).start();
    let mut served = BTreeSet::new();
    for (number, name) in names.iter().enumerate() {
        if get(gateway.door(DOOR), &format!("{number}.test"), "/").status == 200 {
            served.insert((*name).to_owned());
        }
    }
    assert!(served.contains("other"));
    gateway.counts(REQUESTS, &[("listener", DOOR)], served.len() as f64);
    let counted = scrape(&gateway).into_keys().filter(|(name, _)| name == REQUESTS);
    let counted = counted.map(|(_, labels)| {
        assert_eq!(labels["namespace"], "test");
        labels["ingress"].clone()
    });
    assert_eq!(counted.collect::<BTreeSet<_>>(), served);
}

/// The page that is asked for: head and body.
fn raw_page(gateway: &Gateway, accept: &str) -> (String, Vec<u8>) {
    let mut stream = UnixStream::connect(gateway.admin_socket()).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: admin\r\n{accept}\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("\r\nVary: Accept, Accept-Encoding\r\n"),
        "{head}"
    );
    (head, body)
}

/// The same in the format that is asked for: content type and body.
fn page(gateway: &Gateway, accept: &str) -> (String, String) {
    let (head, body) = raw_page(gateway, accept);
    let media_type = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Type: "))
        .unwrap();
    (media_type.to_owned(), String::from_utf8(body).unwrap())
}

/// The text format, unless OpenMetrics is asked for. Both say the same.
#[test]
fn scrapers_get_the_format_that_they_ask_for() {
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(DOOR, "")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 200);
    gateway.counts(REQUESTS, &[("ingress", "app")], 1.0);
    let prometheus = "Accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                      text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n";
    for (accept, expected) in [
        ("", TEXT),
        ("Accept: */*\r\n", TEXT),
        ("Accept: text/html, */*;q=0.1\r\n", TEXT),
        ("Accept: application/openmetrics-text;q=0.2, text/plain\r\n", TEXT),
        ("Accept: application/openmetrics-text;q=0\r\n", TEXT),
        ("Accept: application/openmetrics-text\r\n", OPEN),
        (
            "Accept: text/plain;q=0.5\r\nAccept: application/openmetrics-text\r\n",
            OPEN,
        ),
        (prometheus, OPEN),
    ] {
        assert_eq!(page(&gateway, accept).0, expected, "{accept:?}");
    }
    let (text, open) = (page(&gateway, "").1, page(&gateway, prometheus).1);
    let mut unpacked = String::new();
    let (_, packed) = raw_page(&gateway, "Accept-Encoding: gzip\r\n");
    flate2::read::GzDecoder::new(&*packed)
        .read_to_string(&mut unpacked)
        .unwrap();
    assert!(open.ends_with("\n# EOF\n") && !text.contains("# EOF"));
    assert!(open.contains("\n# TYPE blastdoor_route_requests counter\n"));
    assert!(text.contains(&format!("\n# TYPE {REQUESTS} counter\n")));
    let names = |page: &str| {
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&text), names(&open));
    assert_eq!(names(&text), names(&unpacked));
    assert!(samples(&text).len() > 100);
}
