//! Wrong configuration and wrong manifests: each has its message, its position and its exit status.

use gateway_tests::{gateway, manifest};

/// A complete configuration with one thing wrong in the door `external-http`.
fn wrong(lines: &str) -> gateway_tests::Output {
    gateway!().door("external-http", lines).run(&["check"])
}

/// `…/listeners.toml:12:8: …`
fn has_line_and_column(error: &str) -> bool {
    let Some((_, rest)) = error.split_once("listeners.toml:") else {
        return false;
    };
    let mut numbers = rest.split(':').take(2).map(str::parse::<usize>);
    numbers.all(|number| number.is_ok_and(|number| number > 0))
}

#[test]
fn each_wrong_key_has_its_message() {
    let table = [
        (
            "selector = \"\"",
            "listeners.external-http.selector: an empty selector would admit every Ingress",
        ),
        (
            "selector = \"!expose\"",
            "listeners.external-http.selector: `!expose` only excludes",
        ),
        (
            "selector = \"expose in ()\"",
            "listeners.external-http.selector: `expose in ()` is not a label selector: `expose in ()` has no value between the parentheses",
        ),
        (
            "selector = \"expose in (a\"",
            "listeners.external-http.selector: `expose in (a` is not a label selector",
        ),
        (
            "selector = \"expose=internal-http\"",
            "can admit the same Ingress; make them exclude each other, or set overlap = true on both",
        ),
        (
            "scheme = \"htp\"",
            "listeners.external-http.scheme: `htp` is not known; allowed: http, https",
        ),
        (
            "bind = \"10002\"",
            "listeners.external-http.bind: `10002` is not an address; allowed: `IP:PORT` or `[IPv6]:PORT`",
        ),
        (
            "behind = \"elb\"",
            "listeners.external-http.behind: `elb` is not known; allowed: none, alb, nlb, nlb-proxy-v2, gclb, cloudflare",
        ),
        (
            "client_ip = \"magic\"",
            "listeners.external-http.client_ip: `magic` is not known; allowed: peer, xff, proxy-protocol, header:NAME",
        ),
        (
            "trusted_proxies = [\"10.0.0.0/99\"]",
            "listeners.external-http.trusted_proxies[0]: `10.0.0.0/99` is not a network",
        ),
        (
            "trusted_proxies_file = \"none.txt\"",
            "listeners.external-http.trusted_proxies_file: ",
        ),
        (
            "proxy_protocol = \"maybe\"",
            "listeners.external-http.proxy_protocol: `maybe` is not known; allowed: off, optional, required",
        ),
        (
            "redirect = \"nowhere\"",
            "listeners.external-http.redirect: no door `nowhere` is declared",
        ),
        (
            "redirect = \"external-http\"",
            "listeners.external-http.redirect: a door cannot redirect to itself, and `external-http` is its name",
        ),
        (
            "redirect = \"internal-http\"",
            "listeners.external-http.redirect: door `internal-http` has scheme `http`",
        ),
        (
            "health_path = \"healthz\"",
            "listeners.external-http.health_path: `healthz` is not a path",
        ),
        (
            "idle_timeout = \"620\"",
            "listeners.external-http.idle_timeout: `620` is not a duration; allowed: a duration such as",
        ),
        (
            "idle_timeout = \"0s\"",
            "listeners.external-http.idle_timeout: zero would end everything at once, and `0s` is zero",
        ),
        (
            "drain = { wait = \"soon\" }",
            "listeners.external-http.drain.wait: `soon` is not a duration",
        ),
        (
            "namespaces = [\"Team A\"]",
            "listeners.external-http.namespaces[0]: `Team A` is not a namespace pattern",
        ),
        (
            "namespaces = []",
            "listeners.external-http.namespaces: an empty list would admit nothing",
        ),
        (
            "hosts = [\"*\"]",
            "listeners.external-http.hosts[0]: `*` is not a host",
        ),
        (
            "workers = 0",
            "listeners.external-http.workers: 0 is not a number of workers; allowed: 1 to 256",
        ),
        (
            "workers = \"two\"",
            "listeners.external-http.workers: invalid type: string \"two\"; allowed: a whole number",
        ),
        (
            "forwarded_port = 99999",
            "listeners.external-http.forwarded_port: invalid value: integer `99999`; allowed: a whole number from 0 to 65535",
        ),
        (
            "limits = { uri_bytes = \"long\" }",
            "listeners.external-http.limits.uri_bytes: `long` is not a size",
        ),
        (
            "limits = { uri_bytes = true }",
            "listeners.external-http.limits.uri_bytes: invalid type: boolean `true`; allowed: bytes as a number",
        ),
        (
            "limits = { body = -5 }",
            "listeners.external-http.limits.body: invalid value: integer `-5`; allowed: bytes as a number",
        ),
        (
            "limits = { body = \"much\" }",
            "listeners.external-http.limits.body: `much` is not a size; allowed: unlimited",
        ),
        (
            "limits = { header_bytes = 1 }",
            "listeners.external-http.limits.header_bytes: 1 bytes is out of range",
        ),
        (
            "limits = { connections = 0 }",
            "listeners.external-http.limits.connections: 0 would refuse every client",
        ),
        (
            "limits = { sockets = 1 }",
            "listeners.external-http.limits.sockets: unknown key",
        ),
        (
            "timeouts = { head = \"-1s\" }",
            "listeners.external-http.timeouts.head: `-1s` is not a duration",
        ),
        (
            "slector = \"x\"",
            "listeners.external-http.slector: unknown key; did you mean `selector`?",
        ),
        (
            "tls = {}",
            "listeners.external-http.tls: a door with scheme = \"http\" cannot end TLS",
        ),
    ];
    for (lines, message) in table {
        let output = wrong(lines);
        assert_eq!(output.status, 2, "{lines}: {output:?}");
        assert!(output.stderr.contains(message), "{lines}: {}", output.stderr);
        assert!(
            output.stderr.lines().any(has_line_and_column),
            "{lines}: no line and column in {}",
            output.stderr
        );
    }
}

#[test]
fn every_error_is_reported_at_once() {
    let output = gateway!()
        .door(
            "external-http",
            "scheme = \"x\"\nbind = \"y\"\nunknown = 1\nworkers = 0",
        )
        .door("internal-http", "selector = \"\"")
        .run(&["run"]);
    assert_eq!(output.status, 2);
    assert_eq!(output.stderr.lines().count(), 5, "{}", output.stderr);
}

#[test]
fn an_installation_has_a_name_that_a_lease_can_have() {
    let wrong = [
        "",
        "-edge",
        "edge-",
        "Edge",
        "edge.internal",
        "a/b",
        &"x".repeat(64),
    ];
    for name in wrong {
        let output = gateway!()
            .source(&format!("instance = \"{name}\""))
            .run(&["check"]);
        let told =
            format!("source.instance: `{name}` cannot name an installation; allowed: lower-case letters");
        assert_eq!(
            (output.status, output.stderr.contains(&told)),
            (2, true),
            "{output:?}"
        );
    }
    let output = gateway!().source("most_followed = 0").run(&["check"]);
    let told = "source.most_followed: 0 would read nothing that an Ingress names";
    assert_eq!(
        (output.status, output.stderr.contains(told)),
        (2, true),
        "{output:?}"
    );
    let right = format!("instance = \"{}\"\nmost_followed = 1", "x".repeat(63));
    let output = gateway!().source(&right).run(&["check"]);
    assert_eq!(output.status, 0, "{output:?}");
}

#[test]
fn files_and_options() {
    let builder = gateway!();
    let folder = builder.folder().to_owned();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_blastdoor-under-test"));
    let run = |arguments: &[&str]| gateway_tests::command(program, arguments, &[], &folder);
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();

    let output = run(&["check", "--config", "nothing.toml"]);
    assert_eq!(
        (
            output.status,
            output.stderr.contains("nothing.toml: cannot be read")
        ),
        (2, true),
        "{output:?}"
    );
    write("empty.toml", "");
    let output = run(&["check", "--config", "empty.toml"]);
    assert_eq!(
        (output.status, output.stderr.contains("no door is declared")),
        (2, true),
        "{output:?}"
    );
    write("broken.toml", "[source]\nkind = \n");
    let output = run(&["check", "--config", "broken.toml"]);
    assert_eq!(
        (
            output.status,
            output.stderr.contains("broken.toml:2:8: is not valid TOML")
        ),
        (2, true),
        "{output:?}"
    );
    write(
        "files.toml",
        "[source]\nkind = \"files\"\n[listeners.a]\nbind = \"127.0.0.1:0\"\nselector = \"a=b\"\nscheme = \"http\"\n",
    );
    let output = run(&["check", "--config", "files.toml"]);
    assert_eq!(
        (output.status, output.stderr.contains("source.path: missing")),
        (2, true),
        "{output:?}"
    );
    let output = run(&["check", "--config", "files.toml", "--manifests", "nowhere"]);
    assert_eq!(
        (
            output.status,
            output.stderr.contains("`nowhere` is not a directory")
        ),
        (2, true),
        "{output:?}"
    );
    let output = run(&[
        "check",
        "--config",
        "files.toml",
        "--manifests",
        "manifests",
        "--doors",
        "b",
    ]);
    assert_eq!(
        (
            output.status,
            output
                .stderr
                .contains("--doors: no door `b` is declared; allowed: a")
        ),
        (2, true),
        "{output:?}"
    );
    assert_eq!(
        run(&["check", "--config", "files.toml", "--manifests", "manifests"]).status,
        0
    );
    assert_eq!(
        run(&["check", "--manifests", "manifests"]).status,
        0,
        "without a file: the standard four doors"
    );
    assert_eq!(run(&["check", "--no-such-option"]).status, 2);
    assert_eq!(run(&["no-such-command"]).status, 2);
}

#[test]
fn the_environment_overrides_the_file() {
    let builder = |name: &str, value: &str| gateway!().env(name, value).run(&["check"]);
    let table = [
        (
            "BLASTDOOR_LISTENERS__EXTERNAL_HTTP__SCHEME",
            "gopher",
            "environment variable BLASTDOOR_LISTENERS__EXTERNAL_HTTP__SCHEME: listeners.external-http.scheme: `gopher`",
        ),
        (
            "BLASTDOOR_LISTENERS__EXTERNAL_HTTP__LIMITS__HEADERS",
            "0",
            "listeners.external-http.limits.headers: 0 is out of range",
        ),
        (
            "BLASTDOOR_LISTENERS__EXTERNAL_HTTP__TRUSTED_PROXIES",
            "[\"x\"]",
            "listeners.external-http.trusted_proxies[0]: `x` is not a network",
        ),
        (
            "BLASTDOOR_LISTENERS__NO_SUCH_DOOR__BIND",
            "x",
            "no such door is declared",
        ),
        (
            "BLASTDOOR_LOG__FORMAT",
            "xml",
            "log.format: `xml` is not known; allowed: auto, json, text",
        ),
        ("BLASTDOOR_ADMIN__BIND", "x", "admin.bind: `x` is not an address"),
        ("BLASTDOOR_SOURCE__UNKNOWN", "x", "source.unknown: unknown key"),
        // One of two values that contradict each other.
        (
            "BLASTDOOR_LISTENERS__EXTERNAL_HTTP__SELECTOR",
            "expose=internal-http",
            "can admit the same Ingress",
        ),
        (
            "BLASTDOOR_LISTENERS__EXTERNAL_HTTP__TLS__MIN_VERSION",
            "1.3",
            "listeners.external-http.tls: a door with scheme = \"http\" cannot end TLS",
        ),
        (
            "BLASTDOOR_LISTENERS__EXTERNAL_HTTP__PROXY_PROTOCOL__MODE",
            "off",
            "listeners.external-http.proxy_protocol: invalid type: map",
        ),
        (
            "BLASTDOOR_LISTENERS__EXTERNAL_HTTP__CLIENT_IP",
            "proxy-protocol",
            "the client's address is to come from the PROXY header, which is off",
        ),
    ];
    for (name, value, message) in table {
        let output = builder(name, value);
        let told = |line: &str| line.contains(message) && line.contains(name);
        assert_eq!(
            (output.status, output.stderr.lines().any(told)),
            (2, true),
            "{name}: {}",
            output.stderr
        );
    }
    for (name, value) in [
        ("BLASTDOOR_SERVICE_HOST", "10.0.0.1"),
        ("BLASTDOOR_PORT", "tcp://10.0.0.1:10000"),
        ("BLASTDOOR_PORT_10000_TCP_ADDR", "10.0.0.1"),
        ("BLASTDOOR_LISTENERS__EXTERNAL_HTTP__WORKERS", "2"),
    ] {
        assert_eq!(builder(name, value).status, 0, "{name}");
    }
}

#[test]
fn addresses_that_cannot_be_bound() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let output = gateway!()
        .door("external-http", &format!("bind = \"{address}\""))
        .run(&["run"]);
    assert_eq!(output.status, 1);
    let message = format!("listener `external-http`: address {address} is already in use");
    assert!(output.stderr.contains(&message), "{}", output.stderr);
}

/// The addresses of doors and of the admin port must not overlap.
#[test]
fn overlapping_addresses_are_errors() {
    let table = [
        (
            "127.0.0.1:18080",
            "127.0.0.1:18080",
            "`127.0.0.1:18080` is also the address of",
        ),
        (
            "0.0.0.0:18080",
            "127.0.0.1:18080",
            "`0.0.0.0:18080` meets `127.0.0.1:18080`, the address of",
        ),
        (
            "127.0.0.1:18080",
            "[::]:18080",
            "`127.0.0.1:18080` meets `[::]:18080`, the address of",
        ),
    ];
    for (one, other, message) in table {
        let doors = gateway!()
            .door("external-http", &format!("bind = \"{one}\""))
            .door("internal-http", &format!("bind = \"{other}\""))
            .run(&["check"]);
        assert_eq!(doors.status, 2, "{doors:?}");
        assert!(
            doors.stderr.contains(&format!(
                "listeners.external-http.bind: {message} door `internal-http` (listeners.internal-http.bind)"
            )),
            "{}",
            doors.stderr
        );
        let variable = "BLASTDOOR_ADMIN__BIND";
        let admin = gateway!()
            .door("external-http", &format!("bind = \"{other}\""))
            .env(variable, one)
            .run(&["check"]);
        assert_eq!(admin.status, 2, "{admin:?}");
        assert!(
            admin.stderr.contains(&format!("environment variable {variable}: admin.bind: {message} door `external-http` (listeners.external-http.bind)")),
            "{}",
            admin.stderr
        );
    }
}

#[test]
fn check_reports_broken_manifests() {
    let ok = manifest::app("app", "external-http", "a.test", 8080);
    let builder = gateway!()
        .manifest("a.yaml", &ok)
        .manifest(
            "b.yaml",
            &ok.replace("name: app", "name: typo")
                .replace("expose: external-http", "expose: external-htp"),
        )
        .manifest("c.yaml", "apiVersion: v1\nkind: Service\nmetadata:\n  name: [\n")
        .manifest(
            "d.yaml",
            &manifest::ingress("host", "external-http", &[("*.*.test", "Prefix", "/", "app")]),
        )
        .manifest(
            "e.yaml",
            &manifest::ingress("gone", "external-http", &[("g.test", "Prefix", "/", "gone")]),
        );
    let output = builder.run(&["check", "-o", "json"]);
    assert_eq!(output.status, 1, "{output:?}");
    let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let problems = report["problems"].as_array().unwrap();
    let find = |object: &str| {
        problems
            .iter()
            .find(|problem| problem["object"]["name"] == object)
            .unwrap_or_else(|| panic!("{object}: {report:#}"))
    };
    let typo = find("typo");
    assert_eq!(
        (&typo["severity"], &typo["object"]["kind"]),
        (&"warning".into(), &"Ingress".into())
    );
    assert!(
        typo["message"]
            .as_str()
            .unwrap()
            .contains("no door's selector matches `expose=external-htp`")
    );
    assert_eq!(find("host")["field"], "spec.rules[0].host");
    assert!(
        find("gone")["message"]
            .as_str()
            .unwrap()
            .contains("Service `test/gone` does not exist")
    );
    let broken = problems
        .iter()
        .find(|problem| {
            problem["file"]
                .as_str()
                .is_some_and(|file| file.ends_with("/c.yaml"))
        })
        .unwrap();
    assert_eq!(
        (&broken["severity"], broken["line"].is_u64()),
        (&"error".into(), true),
        "{broken}"
    );
}

/// A variable of the gateway's counts whatever its bytes: a setting must not be ignored because it is garbage.
#[test]
fn a_variable_that_is_not_utf8_is_an_error() {
    use std::os::unix::ffi::OsStrExt as _;
    let builder = gateway!();
    let config = builder.folder().join("listeners.toml");
    std::fs::write(&config, builder.config()).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_blastdoor-under-test"))
        .args(["check", "--config", config.to_str().unwrap()])
        .env(
            "BLASTDOOR_LISTENERS__EXTERNAL_HTTP__HOSTS",
            std::ffi::OsStr::from_bytes(b"[\"\xff.test\"]"),
        )
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("listeners.external-http.hosts[0]: "), "{stderr}");
}
