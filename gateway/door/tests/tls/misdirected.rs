//! The 421 rule: which hosts a handshake entitles to.

use std::sync::Arc;

use door::{CaBundle, CaSource, ClientAuth, DefaultCertificate, DoorTls, Handshake, TlsPolicy};
use route::{HostBuf, normalise_authority, normalise_sni};

use crate::rig::{Doors, Rules, authority, made, policy, tls_policy, tls_secret};

fn handshake(tls: &DoorTls, sni: &str) -> Handshake {
    let mut scratch = HostBuf::new();
    let sni = (!sni.is_empty()).then(|| normalise_sni(sni.as_bytes(), &mut scratch).unwrap());
    tls.handshake(sni.as_ref())
}

fn admits(tls: &DoorTls, handshake: &Handshake, host: &str) -> bool {
    let mut scratch = HostBuf::new();
    let host = (!host.is_empty()).then(|| normalise_authority(host.as_bytes(), &mut scratch).unwrap());
    tls.admits(handshake, host.as_ref())
}

const RULES: [Rules<'static>; 3] = [
    Rules {
        name: "wild",
        door: "one",
        age: 1,
        hosts: &["*.test", "a.other"],
        tls: &[(&["*.test", "a.other"], "wildcard")],
        annotations: &[],
    },
    Rules {
        name: "own",
        door: "one",
        age: 2,
        hosts: &["own.test"],
        tls: &[(&["own.test"], "own")],
        annotations: &[],
    },
    Rules {
        name: "broken",
        door: "one",
        age: 3,
        hosts: &["broken.test"],
        tls: &[(&["broken.test"], "gone"), (&["copy.test"], "copy")],
        annotations: &[],
    },
];

#[test]
fn a_handshake_entitles_to_hosts_of_its_certificate_alone() {
    let wildcard = made(&["*.test", "a.other"]);
    let secrets = tls_secret("wildcard", &wildcard)
        + &tls_secret("own", &made(&["own.test"]))
        // The same certificate in another Secret.
        + &tls_secret("copy", &wildcard);
    let yaml = RULES.iter().fold(secrets, |yaml, rules| yaml + &rules.yaml());
    let mut doors = Doors::new(&tls_policy(DefaultCertificate::SelfSigned));
    doors.publish(&yaml);
    let tls = doors.tls(0);
    for (sni, host, admitted) in [
        // No server name: every host.
        ("", "a.test", true),
        ("", "own.test", true),
        ("", "nowhere.invalid", true),
        ("", "127.0.0.1", true),
        ("", "", true),
        // The name itself, however it is written, with or without a route.
        ("a.test", "a.test", true),
        ("A.Test.", "a.test", true),
        ("a.test", "A.TEST.:443", true),
        ("own.test", "own.test", true),
        ("nowhere.invalid", "nowhere.invalid", true),
        // Another host with the same certificate.
        ("a.test", "b.test", true),
        ("a.test", "a.other", true),
        ("a.other", "z.test", true),
        ("a.test", "copy.test", true),
        ("nowhere.invalid", "nobody.invalid", true),
        ("nowhere.invalid", "127.0.0.1", true),
        ("nowhere.invalid", "", true),
        // Another certificate, whether the host exists or not.
        ("a.test", "own.test", false),
        ("own.test", "a.test", false),
        ("a.test", "broken.test", false),
        ("a.test", "c.b.test", false),
        ("a.test", "nowhere.invalid", false),
        ("nowhere.invalid", "a.test", false),
        ("a.test", "127.0.0.1", false),
        ("a.test", "[::1]", false),
        ("a.test", "", false),
    ] {
        assert_eq!(
            admits(&tls, &handshake(&tls, sni), host),
            admitted,
            "{sni:?} {host:?}"
        );
    }
}

/// A renewed certificate counts as the same. One that now belongs to another namespace does not.
#[test]
fn renewal_does_not_break_connections() {
    let rules = RULES[0].yaml();
    let mut doors = Doors::new(&tls_policy(DefaultCertificate::SelfSigned));
    doors.publish(&(tls_secret("wildcard", &made(&["*.test"])) + &rules));
    let before = handshake(&doors.tls(0), "a.test");
    doors.publish(&(tls_secret("wildcard", &made(&["*.test"])) + &rules));
    assert!(admits(&doors.tls(0), &before, "b.test"));
    let moved = rules.replace("secretName: wildcard", "secretName: moved");
    doors.publish(&(tls_secret("moved", &made(&["*.test"])) + &moved));
    assert!(!admits(&doors.tls(0), &before, "b.test"));
    assert!(admits(&doors.tls(0), &before, "a.test"));
}

/// A connection from before a policy was tightened is no longer served.
#[test]
fn a_client_that_proved_less_than_required_is_refused() {
    let bundle = |name| {
        CaSource::Given(Arc::new(
            CaBundle::from_pem(authority(name).pem.as_bytes()).unwrap(),
        ))
    };
    let (one, other) = (bundle("one"), bundle("other"));
    let policies = [
        ClientAuth::Off,
        ClientAuth::Optional(one.clone()),
        ClientAuth::Required(one),
        ClientAuth::Optional(other.clone()),
        ClientAuth::Required(other),
    ];
    let tls: Vec<Arc<DoorTls>> = policies
        .iter()
        .map(|auth| {
            let mut doors = Doors::new(&tls_policy(DefaultCertificate::SelfSigned));
            let tls = TlsPolicy {
                client_auth: auth.clone(),
                ..tls_policy(DefaultCertificate::SelfSigned)
            };
            doors.publishers[0].reconfigure(policy("one", Some(tls)), ());
            doors.publish("");
            doors.tls(0)
        })
        .collect();
    // [what is required now][what was proved]
    let expected = [
        [true, true, true, true, true],
        [false, true, true, false, false],
        [false, false, true, false, false],
        [false, false, false, true, true],
        [false, false, false, false, true],
    ];
    for (now, row) in tls.iter().zip(expected) {
        let row_of = |sni: &str| {
            tls.iter()
                .map(|then| admits(now, &handshake(then, sni), "a.test"))
                .collect::<Vec<_>>()
        };
        assert_eq!(row_of("a.test"), row, "with a name");
        assert_eq!(row_of(""), row, "without");
    }
}
