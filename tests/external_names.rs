//! Services of type ExternalName, with a DNS server that answers what the test wants. `gateway/control/src/names/tests.rs`
//! shows with a paused clock that an answer which cannot be renewed is kept for exactly a minute.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener};
use std::time::{Duration, Instant};

use gateway_tests::{Backend, Dns, Gateway, Told, gateway, get, manifest, scaled};

const DOOR: &str = "external-http";
const NAME: &str = "crm.example.com";

/// An Ingress for `host` that calls `port` of a Service for `external`.
fn app(name: &str, host: &str, external: &str, port: u16) -> String {
    manifest::ingress(name, DOOR, &[(host, "Prefix", "/", name)])
        .replace("number: 80", &format!("number: {port}"))
        + &format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: test\nspec:\n  type: ExternalName\n  externalName: {external}\n---\n"
        )
}

/// `[source]` with this DNS server, and loopback allowed.
fn source(dns: &Dns) -> String {
    dns.source() + "allow_loopback_backends = true"
}

fn status(gateway: &Gateway, host: &str) -> u16 {
    get(gateway.door(DOOR), host, "/").status
}

/// Answers with 200 and its name at this address.
fn serve(address: &str, port: u16, name: &'static str) {
    let listener = TcpListener::bind((address.parse::<IpAddr>().unwrap(), port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut writer, mut line) = (stream, String::new());
                while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                    if line == "\r\n" {
                        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
                        writer.write_all(head.as_bytes()).unwrap();
                    }
                    line.clear();
                }
            });
        }
    });
}

#[test]
fn a_name_is_resolved_and_served_and_followed() {
    let (dns, backend) = (Dns::start(), Backend::start("one"));
    serve("127.0.0.2", backend.port(), "two");
    dns.resolves(NAME, &["127.0.0.1"], 1);
    let gateway = gateway!()
        .source(&source(&dns))
        .manifest("app.yaml", &app("crm", "a.test", NAME, backend.port()))
        .start();
    gateway.until_status(DOOR, "a.test", "/", 200);
    assert_eq!(
        backend.last().field("host"),
        Some("a.test"),
        "the client's own host"
    );
    let asked = dns.asked();
    assert!(
        asked.len() >= 2 && asked.iter().all(|name| name == NAME),
        "the name and nothing made of search domains: {asked:?}"
    );

    dns.resolves(NAME, &["127.0.0.2"], 1);
    gateway.until("the other address", |gateway| {
        let response = get(gateway.door(DOOR), "a.test", "/");
        assert_eq!(response.status, 200, "no request is lost on the way");
        response.text() == "two"
    });

    // An alias is followed, and the TTL is that of its shortest part.
    let there = vec!["127.0.0.1".parse().unwrap()];
    dns.says(NAME, Told::Alias("other.example.com", 1, there, 3_000));
    gateway.until("the alias", |gateway| {
        get(gateway.door(DOOR), "a.test", "/").text() == "one"
    });
    dns.resolves(NAME, &["127.0.0.2"], 3_000);
    gateway.until("the end of the alias", |gateway| {
        get(gateway.door(DOOR), "a.test", "/").text() == "two"
    });
    // A long TTL is honoured: there are no more queries.
    std::thread::sleep(Duration::from_millis(200));
    let asked = dns.asked().len();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(dns.asked().len(), asked);
}

#[test]
fn nothing_waits_for_dns() {
    let (dns, backend) = (Dns::start(), Backend::start("crm"));
    dns.says(NAME, Told::Silence);
    let gateway = gateway!()
        .source(&source(&dns))
        .manifest("app.yaml", &app("crm", "a.test", NAME, backend.port()))
        .manifest(
            "plain.yaml",
            &manifest::app("plain", DOOR, "plain.test", backend.port()),
        )
        .start();
    assert_eq!(gateway.admin("/readyz").0, 200);
    assert_eq!(status(&gateway, "a.test"), 503, "never 404");
    assert_eq!(status(&gateway, "plain.test"), 200);
    gateway.says("DNS has not answered yet");
    dns.resolves(NAME, &["127.0.0.1"], 60);
    gateway.until_status(DOOR, "a.test", "/", 200);
}

#[test]
fn the_last_dns_answer_is_kept_while_there_is_no_other() {
    let (dns, backend) = (Dns::start(), Backend::start("crm"));
    dns.resolves(NAME, &["127.0.0.1"], 1);
    let gateway = gateway!()
        .source(&source(&dns))
        .manifest("app.yaml", &app("crm", "a.test", NAME, backend.port()))
        .start();
    gateway.until_status(DOOR, "a.test", "/", 200);
    let seconds = scaled("seconds for which an answer is kept", 6, 55);
    for (told, what) in [
        (Told::Failure, "Server Failure"),
        (Told::NoSuchName, "DNS knows no such name"),
    ] {
        dns.says(NAME, told);
        // Each has its own message.
        let says = |text: &str| {
            let text = format!("{what}; {text}").to_lowercase();
            gateway.until_patiently(&text, |gateway| gateway.stderr().to_lowercase().contains(&text));
        };
        says("the last answer stays in use");
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(seconds as u64) {
            assert_eq!(status(&gateway, "a.test"), 200);
            std::thread::sleep(Duration::from_millis(200));
        }
        if gateway_tests::full() {
            gateway.until_patiently("no answer is left", |gateway| status(gateway, "a.test") == 503);
            says("the rule answers 503");
        }
        dns.resolves(NAME, &["127.0.0.1"], 1);
        gateway.until_patiently("a fresh answer", |gateway| {
            gateway.metric("blastdoor_config_problems", &[]) == 0.0
        });
        assert_eq!(status(&gateway, "a.test"), 200);
    }
}

#[test]
fn a_name_that_does_not_resolve_is_a_problem_of_its_own() {
    let (dns, backend) = (Dns::start(), Backend::start("crm"));
    dns.resolves(NAME, &["127.0.0.1"], 60);
    let gateway = gateway!()
        .source(&source(&dns))
        .manifest("good.yaml", &app("good", "good.test", NAME, backend.port()))
        .manifest(
            "gone.yaml",
            &app("gone", "gone.test", "gone.example.com", backend.port()),
        )
        .start();
    gateway.until_status(DOOR, "good.test", "/", 200);
    gateway.until("told", |gateway| {
        gateway.stderr().contains("DNS knows no such name")
    });
    assert_eq!(status(&gateway, "gone.test"), 503);
    assert_eq!(status(&gateway, "good.test"), 200);
    gateway.counts("blastdoor_config_problems", &[("severity", "error")], 1.0);

    dns.resolves("gone.example.com", &["127.0.0.1"], 60);
    gateway.until_status(DOOR, "gone.test", "/", 200);
    gateway.until("no problem any more", |gateway| {
        gateway.metric("blastdoor_config_problems", &[]) == 0.0
    });
}

/// DNS rebinding: a name that resolves to a good address today, and to the gateway or a metadata service tomorrow.
#[test]
fn refused_addresses_stay_refused() {
    let (dns, backend) = (Dns::start(), Backend::start("crm"));
    for name in [NAME, "metadata.example.com"] {
        dns.resolves(name, &["192.0.2.1"], 1);
    }
    let gateway = gateway!()
        .source(&dns.source())
        .manifest("app.yaml", &app("crm", "a.test", NAME, backend.port()))
        .manifest("meta.yaml", &app("meta", "meta.test", "metadata.example.com", 80))
        .manifest(
            "local.yaml",
            &app("local", "local.test", "localhost", backend.port()),
        )
        .start();
    dns.resolves(NAME, &["127.0.0.1", "::1", "::ffff:127.0.0.1"], 1);
    dns.resolves("metadata.example.com", &["169.254.169.254"], 1);
    for problem in [
        format!("is 127.0.0.1:{}, which is a loopback address", backend.port()),
        format!("is [::1]:{}, which is a loopback address", backend.port()),
        "is 169.254.169.254:80, which is a link-local address".to_owned(),
        format!("`localhost` is 127.0.0.1:{}", backend.port()),
    ] {
        gateway.until(&problem, |gateway| gateway.stderr().contains(&problem));
    }
    for host in ["a.test", "meta.test", "local.test"] {
        assert_eq!(status(&gateway, host), 503, "{host}");
    }
    assert_eq!(backend.connections(), 0);
}

/// The gateway's own ports, whatever address of its own the name has.
#[test]
fn a_name_does_not_make_the_gateway_its_own_backend() {
    let dns = Dns::start();
    dns.resolves(NAME, &["127.0.0.1"], 1);
    let gateway = gateway!().source(&source(&dns)).start();
    let own = gateway.door("internal-http").port();
    gateway.put("app.yaml", &app("crm", "a.test", NAME, own));
    gateway.until("refused", |gateway| {
        gateway
            .stderr()
            .contains("which is one of the gateway's own ports")
    });
    assert_eq!(status(&gateway, "a.test"), 503);
}

#[test]
fn without_the_key_no_dns_query_is_sent() {
    let (dns, backend) = (Dns::start(), Backend::start("crm"));
    dns.resolves(NAME, &["127.0.0.1"], 60);
    let resolvers = format!(
        "resolvers = [\"{}\"]\nallow_loopback_backends = true",
        dns.address()
    );
    let gateway = gateway!()
        .source(&resolvers)
        .manifest("app.yaml", &app("crm", "a.test", NAME, backend.port()))
        .start();
    assert_eq!(status(&gateway, "a.test"), 503);
    gateway.says("is of type ExternalName, which is refused");
    gateway.says("has no effect without allow_external_names");
    assert_eq!(dns.asked(), [""; 0]);
}

#[test]
fn check_sends_no_dns_query_and_says_so() {
    let dns = Dns::start();
    let builder = gateway!()
        .source(&source(&dns))
        .manifest("app.yaml", &app("crm", "a.test", NAME, 80));
    let output = builder.run(&["check"]);
    assert_eq!(output.status, 0, "a note is no fault: {output:?}");
    assert!(output.stdout.contains("DNS is not queried here"), "{output:?}");
    assert_eq!(dns.asked(), [""; 0]);

    let refused = builder.source("").run(&["check"]);
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(
        refused.stdout.contains("`[source] allow_external_names`"),
        "{refused:?}"
    );
}

#[test]
fn resolvers_are_addresses() {
    for (written, key) in [
        ("[\"dns.example.com\"]", "source.resolvers[0]"),
        ("[\"10.0.0.1\", \"10.0.0.2:0\"]", "source.resolvers[1]"),
        ("[\"0.0.0.0\"]", "source.resolvers[0]"),
        ("[]", "source.resolvers"),
    ] {
        let lines = format!("allow_external_names = true\nresolvers = {written}");
        let output = gateway!().source(&lines).run(&["check"]);
        assert_eq!(output.status, 2, "{written}: {output:?}");
        assert!(output.stderr.contains(key), "{written}: {output:?}");
    }
    let lines = "allow_external_names = true\nresolvers = [\"10.0.0.1\", \"[fd00::1]:5353\", \"fd00::2\"]";
    assert_eq!(gateway!().source(lines).run(&["check"]).status, 0);
}
