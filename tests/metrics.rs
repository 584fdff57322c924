//! The page of metrics: it is what the reference says, and tells what alerts ask for.

use std::collections::{BTreeMap, BTreeSet};

use gateway_tests::{Backend, Client, Gateway, Reply, free_port, gateway, get, manifest};

const DOOR: &str = "external-http";
const OTHER: &str = "external-https";
const REFERENCE: &str = include_str!("../docs/reference-metrics.md");

/// Of each metric its type and the names of its labels.
type Metrics = BTreeMap<String, (String, BTreeSet<String>)>;

/// What the tables of the reference say. A row of another table has no type in its second column.
fn documented() -> Metrics {
    let mut metrics = Metrics::new();
    for line in REFERENCE.lines() {
        let line = line.replace("\\|", " ");
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", name, kind, labels, _, ""] = cells[..] else {
            continue;
        };
        if !["counter", "gauge", "histogram"].contains(&kind) {
            continue;
        }
        let labels = labels.split(", ").filter(|label| !["", "–"].contains(label));
        let labels = labels.map(|label| label.trim_matches('`').to_owned()).collect();
        let name = name.trim_matches('`').to_owned();
        let before = metrics.insert(name.clone(), (kind.to_owned(), labels));
        assert_eq!(before, None, "{name} is described twice");
    }
    metrics
}

/// What a scrape has.
fn exposed(page: &str) -> Metrics {
    let mut metrics = Metrics::new();
    let mut family = (String::new(), String::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            family = (name.to_owned(), kind.to_owned());
        }
        if line.starts_with('#') {
            continue;
        }
        let (name, kind) = &family;
        assert!(line.starts_with(name.as_str()), "{line} belongs to {name}");
        let labels = line
            .split_once('{')
            .map_or("", |(_, rest)| rest.split_once('}').unwrap().0);
        let labels = labels.split("\",").filter_map(|label| label.split_once('='));
        let labels = labels
            .map(|(label, _)| label.to_owned())
            .filter(|label| label != "le");
        let entry = metrics
            .entry(name.clone())
            .or_insert_with(|| (kind.clone(), BTreeSet::new()));
        entry.1.extend(labels);
    }
    metrics
}

/// Alerts and dashboards are compared with the reference, so the reference must be what there is.
#[test]
fn the_reference_has_what_a_scrape_has() {
    let backend = Backend::start("app");
    let builder = gateway!();
    let list = builder.folder().join("proxies.txt");
    std::fs::write(&list, "# fetched 2026-10-01\n127.0.0.0/8\n").unwrap();
    let gateway = builder
        .every_door("drain = { wait = \"60s\", timeout = \"5s\" }")
        .door(DOOR, &format!("trusted_proxies_file = \"{}\"", list.display()))
        .door(OTHER, "tls = { default_certificate = \"self-signed\" }")
        .manifest(
            "app.yaml",
            &manifest::app("app", "internal-http", "a.test", backend.port()),
        )
        .manifest(
            "dead.yaml",
            &manifest::app("dead", "internal-http", "dead.test", free_port()),
        )
        .start();
    let asked = [
        ("internal-http", "a.test", 200),
        (DOOR, "a.test", 404),
        // Three in a row take its endpoint out.
        ("internal-http", "dead.test", 502),
        ("internal-http", "dead.test", 502),
        ("internal-http", "dead.test", 502),
    ];
    for (door, host, status) in asked {
        assert_eq!(get(gateway.door(door), host, "/").status, status);
    }
    gateway.counts("blastdoor_cross_door_probes_total", &[("listener", DOOR)], 1.0);
    gateway.counts("blastdoor_requests_total", &[], 5.0);
    gateway.counts("blastdoor_service_endpoints_ejected", &[("service", "dead")], 1.0);
    gateway.terminate();
    gateway.until("it drains", |gateway| {
        gateway.metric("blastdoor_door_state", &[("state", "draining")]) == 4.0
    });
    let (documented, exposed) = (documented(), exposed(&gateway.admin("/metrics").1));
    assert!(exposed.len() > 40, "{exposed:?}");
    for (name, what) in &exposed {
        assert_eq!(
            Some(what),
            documented.get(name),
            "{name}: a scrape, and docs/reference-metrics.md"
        );
    }
    for name in documented.keys() {
        assert!(
            exposed.contains_key(name),
            "{name} is documented and was not scraped"
        );
    }
}

fn state(gateway: &Gateway, door: &str) -> Vec<&'static str> {
    let states = ["waiting", "ready", "draining", "closed"];
    let is =
        |state: &&str| gateway.metric("blastdoor_door_state", &[("listener", door), ("state", state)]) == 1.0;
    states.into_iter().filter(is).collect()
}

/// Until the end of the drain, how long it may still last; after it, what it has cut.
#[test]
fn drains_say_when_they_end_and_what_they_cut() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(OTHER, "drain = { wait = \"100ms\", timeout = \"2s\" }")
        .manifest("app.yaml", &manifest::app("app", OTHER, "a.test", backend.port()))
        .start();
    assert_eq!(state(&gateway, OTHER), ["ready"]);
    assert!(
        !gateway
            .admin("/metrics")
            .1
            .contains("blastdoor_drain_left_seconds{")
    );
    backend.reply(Reply::script(|_, _| {
        std::thread::sleep(std::time::Duration::from_secs(60))
    }));
    let mut slow = Client::connect(gateway.door(OTHER));
    slow.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    gateway.until("the slow request is under way", |_| backend.requests() == 1);

    let text = std::fs::read_to_string(gateway.config()).unwrap();
    let start = text.find(&format!("[listeners.{OTHER}]")).unwrap();
    let end = text[start + 1..]
        .find("\n[")
        .map_or(text.len(), |length| start + 1 + length);
    std::fs::write(gateway.config(), format!("{}{}", &text[..start], &text[end..])).unwrap();
    let listener = [("listener", OTHER)];
    gateway.until("it drains", |gateway| {
        let left = gateway.metric("blastdoor_drain_left_seconds", &listener);
        assert!(left <= 2.1, "{left}");
        left > 0.0
    });
    assert_eq!(
        gateway.metric("blastdoor_drain_cut_requests_total", &listener),
        0.0
    );
    gateway.counts("blastdoor_drain_cut_requests_total", &listener, 1.0);
    assert!(
        !gateway
            .admin("/metrics")
            .1
            .contains("blastdoor_drain_left_seconds{")
    );
    assert_eq!(
        state(&gateway, OTHER),
        Vec::<&str>::new(),
        "it is no door any more"
    );
    assert_eq!(state(&gateway, DOOR), ["ready"]);
}

#[test]
fn a_configuration_that_cannot_be_taken_over_is_told() {
    let builder = gateway!();
    let list = builder.folder().join("proxies.txt");
    let fetched =
        |day: u8| std::fs::write(&list, format!("# fetched 1970-01-0{day}\n127.0.0.0/8\n")).unwrap();
    fetched(2);
    let gateway = builder
        .door(DOOR, &format!("trusted_proxies_file = \"{}\"", list.display()))
        .start();
    let successful = |expected: f64| gateway.counts("blastdoor_config_last_reload_successful", &[], expected);
    let dated = |expected: f64| gateway.counts("blastdoor_trusted_proxies_fetched_seconds", &[], expected);
    successful(1.0);
    dated(86_400.0);
    let good = std::fs::read_to_string(gateway.config()).unwrap();
    std::fs::write(gateway.config(), format!("{good}\nno_such_key = 1\n")).unwrap();
    successful(0.0);
    std::fs::write(gateway.config(), &good).unwrap();
    successful(1.0);
    std::fs::remove_file(&list).unwrap();
    successful(0.0);
    dated(86_400.0);
    fetched(3);
    successful(1.0);
    dated(172_800.0);
    std::fs::write(&list, "127.0.0.0/8\n").unwrap();
    gateway.until("a list without a date has no age", |gateway| {
        !gateway
            .admin("/metrics")
            .1
            .contains("blastdoor_trusted_proxies_fetched_seconds{")
    });
}

/// Otherwise no door would be without requests, and every drain would look like errors.
#[test]
fn health_checks_at_a_door_are_no_requests() {
    let gateway = gateway!()
        .every_door("drain = { wait = \"60s\", timeout = \"5s\" }")
        .door(
            DOOR,
            "trusted_proxies = [\"127.0.0.0/8\"]\nhealth_path = \"/healthz\"",
        )
        .start();
    let address = gateway.door(DOOR);
    assert_eq!(get(address, "a.test", "/healthz").status, 200);
    gateway.terminate();
    gateway.until("red", |_| get(address, "a.test", "/healthz").status == 503);
    assert_eq!(get(address, "a.test", "/other").status, 404);
    gateway.counts("blastdoor_requests_total", &[("listener", DOOR)], 1.0);
    gateway.until("they are in the access log", |gateway| {
        let log = gateway.access_log();
        [200, 503]
            .iter()
            .all(|status| log.iter().any(|line| line["status"] == *status))
    });
    assert_eq!(
        gateway.metric("blastdoor_request_duration_seconds_count", &[]),
        1.0
    );
    assert_eq!(
        gateway.metric("blastdoor_refusals_total", &[("reason", "drained")]),
        0.0
    );
}

/// A listener of a load balancer that forwards to the wrong target group.
#[test]
fn another_scheme_than_the_doors_is_counted() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(OTHER, "trusted_proxies = [\"127.0.0.0/8\"]")
        .manifest("app.yaml", &manifest::app("app", OTHER, "a.test", backend.port()))
        .manifest(
            "plain.yaml",
            &manifest::app("plain", DOOR, "b.test", backend.port()),
        )
        .start();
    let ask = |door: &str, host: &str, said: &str| {
        let mut client = Client::connect(gateway.door(door));
        let answer = client.request(format!("GET / HTTP/1.1\r\nHost: {host}\r\n{said}\r\n"));
        assert_eq!(answer.unwrap().status, 200, "{said}");
    };
    let table = [
        ("", 0.0),
        ("X-Forwarded-Proto: https\r\n", 0.0),
        ("X-Forwarded-Proto: http\r\n", 1.0),
        ("X-Forwarded-Proto: https, HTTP \r\n", 2.0),
        ("X-Forwarded-Proto: http, https\r\n", 2.0),
        ("X-Forwarded-Proto: wss\r\n", 2.0),
    ];
    for (said, expected) in table {
        ask(OTHER, "a.test", said);
        gateway.counts(
            "blastdoor_scheme_mismatches_total",
            &[("listener", OTHER)],
            expected,
        );
    }
    ask(DOOR, "b.test", "X-Forwarded-Proto: https\r\n");
    let stranger = gateway.metric("blastdoor_scheme_mismatches_total", &[("listener", DOOR)]);
    assert_eq!(stranger, 0.0, "nobody is trusted there");
}
