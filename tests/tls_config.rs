//! Wrong TLS and PROXY settings and wrong Secrets: each has its message, its position and its exit status.

use gateway_tests::{Builder, gateway, manifest};

/// A certificate for these names, and its key, as PEM.
fn certificate(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A gateway whose door `external-https` has these settings.
fn tls(lines: &str) -> Builder {
    gateway!().door("external-https", lines)
}

#[test]
fn each_wrong_key_has_its_message() {
    let (chain, key) = certificate(&["a.test"]);
    let (_, other) = certificate(&["a.test"]);
    let table = [
        (
            "tls = { certificates = \"files\" }",
            "tls.certificates: `files` is not known; allowed: ingress",
        ),
        (
            "tls = { min_version = \"1.1\" }",
            "tls.min_version: `1.1` is not known; allowed: 1.2, 1.3",
        ),
        (
            "tls = { cert = \"x\" }",
            "tls.cert: unknown key; allowed: certificates, default_certificate, min_version, client_auth",
        ),
        (
            "tls = { default_certificate = \"selfsigned\" }",
            "tls.default_certificate: `selfsigned` is not known; allowed: { secret = \"ns/name\" }, { cert = \"FILE\", key = \"FILE\" }, \"self-signed\"",
        ),
        (
            "tls = { default_certificate = 1 }",
            "tls.default_certificate: invalid type: integer `1`; allowed: `{ secret = \"ns/name\" }`",
        ),
        (
            "tls = { default_certificate = { secert = \"a/b\" } }",
            "tls.default_certificate.secert: unknown key; did you mean `secret`?; allowed: secret, cert, key",
        ),
        (
            "tls = { default_certificate = {} }",
            "tls.default_certificate: a Secret, or both files, and nothing beside",
        ),
        (
            "tls = { default_certificate = { cert = \"a.crt\" } }",
            "tls.default_certificate: a Secret, or both files, and nothing beside",
        ),
        (
            "tls = { default_certificate = { secret = \"a/b\", cert = \"a.crt\", key = \"a.key\" } }",
            "tls.default_certificate: a Secret, or both files, and nothing beside",
        ),
        (
            "tls = { default_certificate = { secret = \"a\" } }",
            "tls.default_certificate.secret: `a` is not a Secret; allowed: `namespace/name`",
        ),
        (
            "tls = { default_certificate = { cert = \"gone.crt\", key = \"a.key\" } }",
            "tls.default_certificate.cert: `gone.crt` cannot be read: ",
        ),
        (
            "tls = { default_certificate = { cert = \"a.crt\", key = \"gone.key\" } }",
            "tls.default_certificate.key: `gone.key` cannot be read: ",
        ),
        (
            "tls = { default_certificate = { cert = \"a.crt\", key = \"other.key\" } }",
            "tls.default_certificate: `a.crt` and `other.key`: the private key does not belong to the first certificate of the chain",
        ),
        (
            "tls = { default_certificate = { cert = \"a.key\", key = \"a.key\" } }",
            "tls.default_certificate: `a.key` and `a.key`: the certificate chain holds no certificate",
        ),
        (
            "tls = { default_certificate = { cert = \"a.crt\", key = \"a.crt\" } }",
            "tls.default_certificate: `a.crt` and `a.crt`: the private key is missing or encrypted",
        ),
        (
            "tls = { client_auth = { mode = \"on\" } }",
            "tls.client_auth.mode: `on` is not known; allowed: off, optional, require",
        ),
        (
            "tls = { client_auth = { mode = \"require\" } }",
            "tls.client_auth.ca: missing; clients are verified against it; allowed: { secret = \"ns/name\" }, { file = \"FILE\" }",
        ),
        (
            "tls = { client_auth = { ca = { file = \"a.crt\" } } }",
            "tls.client_auth.mode: missing beside `ca`; allowed: off, optional, require",
        ),
        (
            "tls = { client_auth = { mode = \"require\", ca = {} } }",
            "tls.client_auth.ca: one of the two, please",
        ),
        (
            "tls = { client_auth = { mode = \"require\", ca = { file = \"gone.pem\" } } }",
            "tls.client_auth.ca.file: `gone.pem` cannot be read",
        ),
        (
            "tls = { client_auth = { mode = \"optional\", ca = { file = \"a.key\" } } }",
            "tls.client_auth.ca.file: `a.key` holds no certificate",
        ),
        (
            "tls = { client_auth = { mode = \"optional\", ca = { secret = \"X/y\" } } }",
            "tls.client_auth.ca.secret: `X/y` is not a Secret",
        ),
        (
            "tls = { client_auth = \"require\" }",
            "tls.client_auth: invalid type: string \"require\"",
        ),
        ("tls = {}\nh2c = true", "h2c: HTTP/2 in clear text excludes `tls`"),
        (
            "tls = {}\nscheme = \"http\"",
            "tls: a door with scheme = \"http\" cannot end TLS",
        ),
        (
            "limits = { h2_streams = 0 }",
            "limits.h2_streams: 0 is out of range; allowed: 1 to 1000",
        ),
        (
            "limits = { h2_streams = 1001 }",
            "limits.h2_streams: 1001 is out of range; allowed: 1 to 1000",
        ),
        (
            "passthrough = \"yes\"",
            "passthrough: invalid type: string \"yes\"",
        ),
        (
            "host_owner = \"team\"",
            "host_owner: `team` is not known; allowed: any, namespace",
        ),
        (
            "default_backend = []",
            "default_backend: an empty list would admit nothing; remove the key to admit all",
        ),
        (
            "default_backend = [\"Platform\"]",
            "default_backend[0]: `Platform` is not a namespace pattern",
        ),
        (
            "proxy_protocol = \"on\"",
            "proxy_protocol: `on` is not known; allowed: off, optional, required",
        ),
        (
            "client_ip = \"proxy-protocol\"",
            "client_ip: the client's address is to come from the PROXY header, which is off",
        ),
        (
            "behind = \"nlb-proxy-v2\"\nproxy_protocol = \"off\"",
            "proxy_protocol: the client's address is to come from the PROXY header, which is off",
        ),
    ];
    for (lines, message) in table {
        let builder = tls(lines)
            .file("a.crt", &chain)
            .file("a.key", &key)
            .file("other.key", &other);
        let output = builder.run(&["check"]);
        assert_eq!(output.status, 2, "{lines}: {output:?}");
        let message = format!("listeners.external-https.{message}");
        let message = message
            .strip_prefix("listeners.external-https.the ")
            .unwrap_or(&message);
        assert!(output.stderr.contains(message), "{lines}: {}", output.stderr);
        assert!(
            output.stderr.contains("listeners.toml:"),
            "{lines}: no place in {}",
            output.stderr
        );
        let content = key.lines().nth(1).unwrap();
        assert!(!output.stderr.contains(content), "{lines}: shows the key");
    }
}

#[test]
fn valid_tls_settings_are_accepted() {
    let (chain, key) = certificate(&["a.test"]);
    for lines in [
        "tls = {}",
        "tls = { certificates = \"ingress\", min_version = \"1.3\", default_certificate = \"self-signed\" }",
        "tls = { default_certificate = { cert = \"a.crt\", key = \"a.key\" } }",
        "tls = { client_auth = { mode = \"off\" } }",
        "tls = { client_auth = { mode = \"off\", ca = { file = \"a.crt\" } } }",
        "tls = { client_auth = { mode = \"require\", ca = { file = \"a.crt\" } } }",
        "tls = {}\nh2c = false",
        "tls = {}\npassthrough = false",
        "tls = { client_auth = { mode = \"require\", ca = { file = \"a.crt\" } } }\npassthrough = true",
        "passthrough = false",
        "host_owner = \"namespace\"\ndefault_backend = [\"platform\", \"team-*\"]",
        "h2c = true\nlimits = { h2_streams = 1000 }",
        "behind = \"nlb-proxy-v2\"\ntrusted_proxies = [\"10.0.0.0/8\"]",
        "proxy_protocol = \"optional\"\ntrusted_proxies = [\"10.0.0.0/8\"]",
    ] {
        let output = tls(lines)
            .file("a.crt", &chain)
            .file("a.key", &key)
            .run(&["check"]);
        assert_eq!((output.status, &*output.stderr), (0, ""), "{lines}: {output:?}");
    }
}

#[test]
fn a_door_that_sees_no_tls_passes_none_through() {
    let output = tls("passthrough = true").run(&["check"]);
    assert_eq!(output.status, 0, "{output:?}");
    assert!(
        output
            .stderr
            .contains("listeners.external-https.passthrough: has no effect without `tls`"),
        "{}",
        output.stderr
    );
}

#[test]
fn a_proxy_header_without_trusted_peers_is_a_warning() {
    for (lines, message) in [
        (
            "proxy_protocol = \"required\"",
            "nobody is trusted, so every connection is refused",
        ),
        (
            "behind = \"nlb-proxy-v2\"",
            "nobody is trusted, so every connection is refused",
        ),
        (
            "proxy_protocol = \"optional\"",
            "nobody is trusted, so every PROXY header is refused as malformed",
        ),
    ] {
        let output = tls(lines).run(&["check"]);
        assert_eq!(output.status, 0, "{lines}: {output:?}");
        assert_eq!(
            output.stderr.matches("warning: ").count(),
            1,
            "{lines}: {}",
            output.stderr
        );
        assert!(output.stderr.contains(message), "{lines}: {}", output.stderr);
    }
}

/// An Ingress with a certificate from Secret `one`, and the Secret with these entries.
fn with_secret(kind: &str, entries: &[(&str, &str)]) -> String {
    let ingress = manifest::ingress("app", "external-https", &[("a.test", "Prefix", "/", "app")]).replace(
        "spec:\n",
        "spec:\n  tls:\n  - hosts: [a.test]\n    secretName: one\n",
    );
    let entries: Vec<String> = entries
        .iter()
        .map(|(name, value)| format!("{name}: {}", serde_json::to_string(value).unwrap()))
        .collect();
    format!(
        "{ingress}{}apiVersion: v1\nkind: Secret\nmetadata: {{name: one, namespace: test}}\ntype: {kind}\nstringData: {{{}}}\n",
        manifest::service("app", &[8080]),
        entries.join(", ")
    )
}

#[test]
fn check_reports_broken_secrets() {
    let (chain, key) = certificate(&["a.test"]);
    let (foreign, foreign_key) = certificate(&["b.test"]);
    let tls_type = "kubernetes.io/tls";
    fn both<'a>(chain: &'a str, key: &'a str) -> [(&'a str, &'a str); 2] {
        [("tls.crt", chain), ("tls.key", key)]
    }
    let table = [
        (with_secret(tls_type, &both(&chain, &key)), None),
        (
            with_secret(tls_type, &both(&chain, &key)).replace("name: one, ", "name: other, "),
            Some((
                "error",
                "secretName",
                "Secret `test/one` does not exist; handshakes for `a.test` fail",
            )),
        ),
        (
            with_secret(tls_type, &[("tls.crt", &chain)]),
            Some(("error", "secretName", "has no `tls.key`")),
        ),
        (
            with_secret("Opaque", &[]),
            Some(("error", "secretName", "is of type `Opaque` and has no `tls.crt`")),
        ),
        (
            with_secret(tls_type, &both("hello", &key)),
            Some((
                "error",
                "secretName",
                "the certificate chain holds no certificate",
            )),
        ),
        (
            with_secret(tls_type, &both(&chain, "hello")),
            Some(("error", "secretName", "the private key is missing or encrypted")),
        ),
        (
            with_secret(tls_type, &both(&chain, &foreign_key)),
            Some((
                "error",
                "secretName",
                "the private key does not belong to the first certificate",
            )),
        ),
        (
            with_secret("Opaque", &both(&chain, &key)),
            Some((
                "warning",
                "secretName",
                "is of type `Opaque`, not `kubernetes.io/tls`; it is used",
            )),
        ),
        (
            with_secret(tls_type, &both(&foreign, &foreign_key)),
            Some(("warning", "hosts", "is not for `a.test`, but for `b.test`")),
        ),
    ];
    for (yaml, expected) in table {
        let output = tls("tls = {}")
            .manifest("a.yaml", &yaml)
            .run(&["check", "-o", "json"]);
        let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        let problems = report["problems"].as_array().unwrap();
        let Some((severity, part, message)) = expected else {
            assert_eq!((output.status, problems.len()), (0, 0), "{report:#}");
            continue;
        };
        assert_eq!((output.status, problems.len()), (1, 1), "{message}: {report:#}");
        let problem = &problems[0];
        assert_eq!(problem["severity"], severity, "{report:#}");
        assert_eq!(problem["object"]["kind"], "Ingress", "{report:#}");
        assert_eq!(problem["field"], format!("spec.tls[0].{part}"), "{report:#}");
        assert!(
            problem["message"].as_str().unwrap().contains(message),
            "{message}: {report:#}"
        );
        assert!(problem["line"].as_u64().unwrap() > 1, "{report:#}");
    }
}

/// The Secrets that the configuration itself names.
#[test]
fn check_reports_secrets_of_doors() {
    let lines = "tls = { default_certificate = { secret = \"infra/tls\" }, client_auth = { mode = \"require\", ca = { secret = \"infra/ca\" } } }";
    let output = tls(lines).run(&["check"]);
    assert_eq!(output.status, 1, "{output:?}");
    for message in [
        "error: Secret infra/tls: the default certificate of door `external-https` is in this Secret, which does not exist; handshakes for names without their own certificate fail",
        "error: Secret infra/ca: the authorities of clients of door `external-https` are in this Secret, which does not exist; every handshake of the door fails until they are there",
    ] {
        assert!(output.stdout.contains(message), "{message}: {}", output.stdout);
    }
}

/// At a door without TLS, `spec.tls` is a note, and passthrough is impossible.
#[test]
fn doors_without_tls_report_spec_tls() {
    let (chain, key) = certificate(&["a.test"]);
    let yaml = with_secret("kubernetes.io/tls", &[("tls.crt", &chain), ("tls.key", &key)]);
    let output = gateway!().manifest("a.yaml", &yaml).run(&["check"]);
    assert_eq!(output.status, 0, "{output:?}");
    assert!(
        output
            .stdout
            .contains("note: Ingress test/app spec.tls: door `external-https` does not terminate TLS"),
        "{}",
        output.stdout
    );
    let annotation =
        "metadata:\n  annotations: {nginx.ingress.kubernetes.io/ssl-passthrough: \"true\"}\n  name: app\n";
    let yaml = yaml.replacen("metadata:\n  name: app\n", annotation, 1);
    let output = gateway!().manifest("a.yaml", &yaml).run(&["check"]);
    assert_eq!(output.status, 1, "{output:?}");
    assert!(
        output.stdout.contains("cannot pass it through; closed (503)"),
        "{}",
        output.stdout
    );
}

/// The files of a certificate are watched. What cannot be used is counted and changes nothing.
#[test]
fn files_are_watched() {
    let until = |year: i32| {
        let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        (
            params.self_signed(&key).unwrap().pem(),
            key.serialize_pem(),
            params.not_after.unix_timestamp(),
        )
    };
    let (chain, key, first) = until(2040);
    let gateway = tls("tls = { default_certificate = { cert = \"a.crt\", key = \"a.key\" } }")
        .file("a.crt", &chain)
        .file("a.key", &key)
        .start();
    let folder = gateway.config().parent().unwrap().to_owned();
    let labels = [("listener", "external-https"), ("secret", "default")];
    let ends = |gateway: &gateway_tests::Gateway, time: i64| {
        let time = time as f64;
        gateway.metric("blastdoor_certificate_expiry_seconds", &labels) == time
    };
    let errors = |gateway: &gateway_tests::Gateway| {
        gateway.metric("blastdoor_config_problems", &[("severity", "error")])
    };
    gateway.until("the first certificate", |gateway| ends(gateway, first));

    // One file after the other: for a moment they do not match.
    let (chain, key, second) = until(2050);
    std::fs::write(folder.join("a.crt"), chain).unwrap();
    gateway.until("a mismatch is told", |gateway| errors(gateway) > 0.0);
    assert!(ends(&gateway, first));
    std::fs::write(folder.join("a.key"), key).unwrap();
    gateway.until("the second certificate", |gateway| ends(gateway, second));
    gateway.until("no problem is left", |gateway| errors(gateway) == 0.0);

    std::fs::remove_file(folder.join("a.key")).unwrap();
    gateway.until("the loss is told", |gateway| errors(gateway) > 0.0);
    assert!(ends(&gateway, second));
}
