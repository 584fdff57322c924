//! Versions, ALPN, client certificates, and which tickets resume where.

use std::sync::Arc;

use door::{CaBundle, CaSource, ClientAuth, DefaultCertificate, TlsPolicy, TlsVersion};
use route::ObjectKey;
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

use crate::rig::{
    Authority, Doors, Made, Rules, assert_reported, authority, client, client_with, made, policy, secret,
    shake, tls_policy, tls_secret,
};

fn given(authority: &Authority) -> CaSource {
    CaSource::Given(Arc::new(CaBundle::from_pem(authority.pem.as_bytes()).unwrap()))
}

fn with_auth(client_auth: ClientAuth) -> TlsPolicy {
    TlsPolicy {
        client_auth,
        ..tls_policy(DefaultCertificate::SelfSigned)
    }
}

#[test]
fn versions_and_alpn_are_those_of_the_policy() {
    let mut doors = Doors::new(&tls_policy(DefaultCertificate::SelfSigned));
    doors.publish("");
    let config = doors.tls(0);
    let old = Arc::new(client_with(&[&TLS12], true, None));
    let new = Arc::new(client_with(&[&TLS13], true, None));
    for client in [&old, &new] {
        let shaken = shake(config.server_config(), client, "a.test").unwrap();
        assert_eq!(shaken.alpn.as_deref(), Some(&b"h2"[..]));
    }
    let mut h1 = client_with(&[&TLS13], true, None);
    h1.alpn_protocols = vec![b"http/1.1".to_vec()];
    let shaken = shake(config.server_config(), &Arc::new(h1), "a.test").unwrap();
    assert_eq!(shaken.alpn.as_deref(), Some(&b"http/1.1"[..]));

    let strict = TlsPolicy {
        min_version: TlsVersion::V13,
        ..tls_policy(DefaultCertificate::SelfSigned)
    };
    doors.publishers[0].reconfigure(policy("one", Some(strict)), ());
    doors.publish("");
    assert!(shake(doors.tls(0).server_config(), &old, "a.test").is_err());
    assert!(shake(doors.tls(0).server_config(), &new, "a.test").is_ok());
}

#[test]
fn client_certificates_are_verified() {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let (friend, stranger) = (ours.issue(&["friend"]), theirs.issue(&["stranger"]));
    // (policy, no certificate, a valid one, one of a stranger)
    let table = [
        (ClientAuth::Off, [true, true, true]),
        (ClientAuth::Optional(given(&ours)), [true, true, false]),
        (ClientAuth::Required(given(&ours)), [false, true, false]),
    ];
    for (auth, expected) in table {
        let mut doors = Doors::new(&with_auth(auth.clone()));
        doors.publish("");
        for version in [&TLS12, &TLS13] {
            let shakes = |certificate: Option<&Made>| {
                let client = Arc::new(client_with(&[version], true, certificate));
                shake(doors.tls(0).server_config(), &client, "a.test").is_ok()
            };
            assert_eq!(
                [shakes(None), shakes(Some(&friend)), shakes(Some(&stranger))],
                expected,
                "{auth:?} {version:?}"
            );
        }
    }
}

/// Without authorities a door is closed. The last good ones stay in use.
#[test]
fn authorities_from_a_secret() {
    let ours = authority("ours");
    let friend = ours.issue(&["friend"]);
    let auth = ClientAuth::Required(CaSource::Secret(ObjectKey::new("test", "ca")));
    let mut doors = Doors::new(&with_auth(auth));
    let with_friend = Arc::new(client_with(rustls::ALL_VERSIONS, true, Some(&friend)));
    let good = secret("ca", "Opaque", &[("ca.crt", &ours.pem)]);
    for (yaml, message) in [
        (
            String::new(),
            "which does not exist; every handshake of the door fails until they are there",
        ),
        (
            secret("ca", "Opaque", &[("tls.crt", &ours.pem)]),
            "which has no `ca.crt`; every handshake",
        ),
        (
            secret("ca", "Opaque", &[("ca.crt", "hello")]),
            "which cannot be used: its `ca.crt` holds no certificate",
        ),
        (
            secret(
                "ca",
                "Opaque",
                &[(
                    "ca.crt",
                    &format!("{}{}", ours.pem, ours.pem.replace("MII", "MIJ")),
                )],
            ),
            "certificate 2 cannot be parsed",
        ),
        // A set that is smaller than it looks would refuse clients that it names.
        (
            secret(
                "ca",
                "Opaque",
                &[(
                    "ca.crt",
                    &format!("{}{}", ours.pem, ours.pem.replace(" CERT", " ROOT CERT")),
                )],
            ),
            "its `ca.crt` has a section `ROOT CERTIFICATE` in line",
        ),
        (
            secret(
                "ca",
                "Opaque",
                &[(
                    "ca.crt",
                    &format!("{}{}", ours.pem, ours.pem.replace("-----", "----")),
                )],
            ),
            "its `ca.crt` has a damaged",
        ),
    ] {
        let lines = doors.publish(&yaml);
        assert_reported(
            &lines,
            &[
                "error: Secret test/ca",
                "the authorities of clients of door `one` are in this Secret",
                message,
            ],
        );
        for client in [&with_friend, &client("a.test")] {
            assert!(
                shake(doors.tls(0).server_config(), client, "a.test").is_err(),
                "{message}"
            );
        }
    }
    let glued = format!(
        "\u{feff}{}{}",
        authority("others").pem.trim_end(),
        ours.pem.replace(" CERT", " X509 CERT")
    );
    for good in [&good, &secret("ca", "Opaque", &[("ca.crt", &glued)]), &good] {
        assert_eq!(doors.publish(good), [""; 0]);
        assert!(shake(doors.tls(0).server_config(), &with_friend, "a.test").is_ok());
    }
    assert!(shake(doors.tls(0).server_config(), &client("a.test"), "a.test").is_err());
    assert_reported(
        &doors.publish(""),
        &[
            "error: Secret test/ca",
            "which does not exist; the last good ones stay in use",
        ],
    );
    assert!(shake(doors.tls(0).server_config(), &with_friend, "a.test").is_ok());
    assert!(shake(doors.tls(0).server_config(), &client("a.test"), "a.test").is_err());
}

/// The kinds of two handshakes with the same client, the second with `second`.
fn kinds(
    version: &'static rustls::SupportedProtocolVersion,
    certificate: Option<&Made>,
    doors: &mut Doors,
    door: usize,
    name: [&str; 2],
    between: impl FnOnce(&mut Doors),
) -> [Option<HandshakeKind>; 2] {
    let client = Arc::new(client_with(&[version], true, certificate));
    // The client stores tickets by server name, so it offers one only under the same name.
    let shake = |doors: &Doors, door: usize, name: &str| {
        shake(doors.tls(door).server_config(), &client, name)
            .ok()
            .map(|shaken| shaken.kind)
    };
    let first = shake(doors, 0, name[0]);
    between(doors);
    [first, shake(doors, door, name[1])]
}

#[test]
fn tickets_resume_only_at_their_own_door_and_policy() {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let friend = ours.issue(&["friend"]);
    let full = Some(HandshakeKind::Full);
    let resumed = Some(HandshakeKind::Resumed);
    let same = ["a.test", "a.test"];
    for version in [&TLS12, &TLS13] {
        let fresh = || {
            let mut doors = Doors::new(&tls_policy(DefaultCertificate::SelfSigned));
            doors.publish("");
            doors
        };
        assert_eq!(
            kinds(version, None, &mut fresh(), 0, same, |_| {}),
            [full, resumed]
        );
        assert_eq!(
            kinds(version, None, &mut fresh(), 1, same, |_| {}),
            [full, full],
            "another door"
        );

        // Other certificates and the same policy: sessions can be resumed.
        let rotate = |doors: &mut Doors| {
            let rules = Rules {
                hosts: &["a.test"],
                tls: &[(&["a.test"], "one")],
                ..Rules::default()
            };
            doors.publish(&(tls_secret("one", &made(&["a.test"])) + &rules.yaml()));
        };
        assert_eq!(
            kinds(version, None, &mut fresh(), 0, same, rotate),
            [full, resumed],
            "rotated"
        );

        let tighten = |auth: ClientAuth| {
            move |doors: &mut Doors| {
                doors.publishers[0].reconfigure(policy("one", Some(with_auth(auth))), ());
                doors.publish("");
            }
        };
        let required = ClientAuth::Required(given(&ours));
        assert_eq!(
            kinds(version, None, &mut fresh(), 0, same, tighten(required.clone())),
            [full, None]
        );
        let with_friend = Some(&friend);
        assert_eq!(
            kinds(
                version,
                with_friend,
                &mut fresh(),
                0,
                same,
                tighten(required.clone())
            ),
            [full, full],
            "the ticket from before proves nothing"
        );
        let strict = || {
            let mut doors = Doors::new(&with_auth(required.clone()));
            doors.publish("");
            doors
        };
        assert_eq!(
            kinds(version, with_friend, &mut strict(), 0, same, |_| {}),
            [full, resumed]
        );
        let other = ClientAuth::Required(given(&theirs));
        assert_eq!(
            kinds(version, with_friend, &mut strict(), 0, same, tighten(other)),
            [full, None],
            "other authorities"
        );
        let there_and_back = |doors: &mut Doors| {
            tighten(ClientAuth::Off)(doors);
            tighten(required.clone())(doors);
        };
        assert_eq!(
            kinds(version, with_friend, &mut strict(), 0, same, there_and_back),
            [full, full]
        );
    }
}
