//! The problems of Secrets that are unusable or unusual.

use door::DefaultCertificate;
use rcgen::date_time_ymd;

use crate::rig::{Doors, Rules, assert_reported, made, made_with, params, secret, tls_policy, tls_secret};

const FAILS: &str = "; handshakes for `a.test` fail";

#[test]
fn each_error_has_its_own_message() {
    let (good, other) = (made(&["a.test"]), made(&["a.test"]));
    let not_base64 = good.key.replace("MIG", "!!!");
    let twice = format!("{}{}", good.chain, good.chain.replace("MII", "MIJ"));
    let longer = format!("{}{}", good.chain, good.chain.replace(" CERTIFICATE", " PKCS7"));
    let tls = "kubernetes.io/tls";
    let table = [
        (String::new(), "Secret `test/one` does not exist"),
        (
            secret("one", tls, &[("tls.crt", &good.chain)]),
            "Secret `test/one` is of type `kubernetes.io/tls` and has no `tls.key`",
        ),
        (
            secret("one", tls, &[("tls.crt", ""), ("tls.key", &good.key)]),
            "and has no `tls.crt`",
        ),
        (
            secret("one", "Opaque", &[]),
            "Secret `test/one` is of type `Opaque` and has no `tls.crt`; write a Secret of type `kubernetes.io/tls`",
        ),
        (
            secret("one", tls, &[("tls.crt", "hello"), ("tls.key", &good.key)]),
            "Secret `test/one` cannot be used: the certificate chain holds no certificate",
        ),
        (
            secret("one", tls, &[("tls.crt", &twice), ("tls.key", &good.key)]),
            "certificate 2 of the chain cannot be parsed",
        ),
        (
            secret("one", tls, &[("tls.crt", &good.chain), ("tls.key", "hello")]),
            "the private key is missing or encrypted",
        ),
        (
            secret("one", tls, &[("tls.crt", &good.chain), ("tls.key", &good.chain)]),
            "the private key is missing or encrypted",
        ),
        (
            secret("one", tls, &[("tls.crt", &good.chain), ("tls.key", &not_base64)]),
            "the private key has a section `PRIVATE KEY` in line 1 that is not base64",
        ),
        (
            secret("one", tls, &[("tls.crt", &longer), ("tls.key", &good.key)]),
            "the certificate chain has a section `PKCS7` in line",
        ),
        (
            secret("one", tls, &[("tls.crt", &good.chain), ("tls.key", &other.key)]),
            "the private key does not belong to the first certificate of the chain",
        ),
    ];
    for (yaml, message) in table {
        let rules = Rules {
            hosts: &["a.test"],
            tls: &[(&["a.test"], "one")],
            ..Rules::default()
        };
        let mut doors = Doors::new(&tls_policy(DefaultCertificate::SelfSigned));
        let lines = doors.publish(&(yaml + &rules.yaml()));
        assert_reported(
            &lines,
            &["error: Ingress test/app spec.tls[0].secretName: ", message, FAILS],
        );
        assert_eq!(doors.shown(0, "a.test"), None, "{message}");
        let content = good.key.lines().nth(1).unwrap();
        assert!(lines.iter().all(|line| !line.contains(content)), "{lines:?}");
    }
}

/// Byte order marks, certificates without a line break between them, old labels: read as OpenSSL reads them.
#[test]
fn unusual_pem_is_read() {
    let (good, other) = (made(&["a.test"]), made(&["intermediate"]));
    let marked = format!("\u{feff}{}", good.key);
    let table = [
        (
            format!("\u{feff}{}", good.chain),
            &good.key,
            "`tls.crt` of Secret `test/one` begins with a byte order mark",
        ),
        (
            good.chain.clone(),
            &marked,
            "`tls.key` of Secret `test/one` begins with a byte order mark",
        ),
        (format!("{}{}", good.chain.trim_end(), other.chain), &good.key, ""),
        (
            good.chain.replace(" CERTIFICATE", " X509 CERTIFICATE") + &other.chain,
            &good.key,
            "",
        ),
        (
            good.chain.replace(" CERTIFICATE", " TRUSTED CERTIFICATE") + &other.chain,
            &good.key,
            "",
        ),
        (good.chain.replace('\n', "\r\n"), &good.key, ""),
    ];
    for (chain, key, message) in table {
        let rules = Rules {
            hosts: &["a.test"],
            tls: &[(&["a.test"], "one")],
            ..Rules::default()
        };
        let yaml = secret(
            "one",
            "kubernetes.io/tls",
            &[("tls.crt", &chain), ("tls.key", key)],
        ) + &rules.yaml();
        let mut doors = Doors::new(&tls_policy(DefaultCertificate::None));
        let lines = doors.publish(&yaml);
        assert_eq!(doors.shown(0, "a.test"), Some(good.der()), "{chain}");
        if message.is_empty() {
            assert_eq!(lines, [""; 0], "{chain}");
        } else {
            assert_reported(&lines, &["warning: Ingress test/app spec.tls[0]: ", message]);
        }
    }
}

#[test]
fn unusual_certificates_are_reported_and_served() {
    let mut old = params(&["a.test"]);
    (old.not_before, old.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
    let mut early = params(&["a.test"]);
    early.not_before = date_time_ymd(2999, 1, 1);
    let good = made(&["a.test"]);
    let opaque = secret(
        "one",
        "Opaque",
        &[("tls.crt", &good.chain), ("tls.key", &good.key)],
    );
    let table = [
        (
            tls_secret("one", &made_with(&old)),
            "secretName: the certificate in Secret `test/one` expired at 2020-01-01T00:00:00Z; renew it; it is still served",
        ),
        (
            tls_secret("one", &made_with(&early)),
            "secretName: the certificate in Secret `test/one` is not valid before 2999-01-01T00:00:00Z; it is still served",
        ),
        (
            tls_secret("one", &made(&["b.test", "*.a.test"])),
            "hosts: the certificate in Secret `test/one` is not for `a.test`, but for `b.test`, `*.a.test`",
        ),
        (
            tls_secret("one", &made(&[])),
            "hosts: the certificate in Secret `test/one` is not for `a.test`, but for no host",
        ),
        (
            opaque,
            "secretName: Secret `test/one` is of type `Opaque`, not `kubernetes.io/tls`; it is used",
        ),
    ];
    for (yaml, message) in table {
        let rules = Rules {
            hosts: &["a.test"],
            tls: &[(&["a.test"], "one")],
            ..Rules::default()
        };
        let mut doors = Doors::new(&tls_policy(DefaultCertificate::None));
        let lines = doors.publish(&(yaml + &rules.yaml()));
        assert_eq!(
            lines,
            [format!("warning: Ingress test/app spec.tls[0].{message}")
                .replace("`*.a.test`", "`*.a.test`; clients that verify it will refuse it")
                .replace("no host", "no host; clients that verify it will refuse it")]
        );
        assert!(doors.shown(0, "a.test").is_some(), "{message}");
    }
}

#[test]
fn entries_without_effect_are_reported() {
    let one = made(&["b.test"]);
    let rules = Rules {
        hosts: &["a.test"],
        tls: &[(&["a.test"], ""), (&[], "one")],
        ..Rules::default()
    };
    let yaml = tls_secret("one", &one) + &rules.yaml();
    let mut doors = Doors::new(&tls_policy(DefaultCertificate::None));
    let lines = doors.publish(&yaml);
    assert_reported(
        &lines,
        &[
            "warning",
            "spec.tls[0]: no `secretName`, and door `one` has no default certificate",
        ],
    );
    assert_reported(
        &lines,
        &[
            "warning",
            "spec.tls[1].secretName: there are no `hosts`, and the certificate in Secret `test/one` is for `b.test`",
        ],
    );
    let mut doors = Doors::new(&tls_policy(DefaultCertificate::SelfSigned));
    assert_eq!(
        doors.publish(&yaml).len(),
        1,
        "the default certificate is what it asks for"
    );
}
