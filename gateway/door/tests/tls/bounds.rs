//! Chains, keys and sets of authorities that cost more than a handshake should.

use std::sync::Arc;

use door::{Action, CaBundle, CaSource, ClientAuth, DefaultCertificate, TlsPolicy};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rustls::version::{TLS12, TLS13};

use crate::backends::{self, Backends};
use crate::rig::{
    Doors, Made, Rules, assert_reported, authority, client_with, made, params, secret, shake, tls_policy,
    tls_secret,
};

/// An RSA key of 4104 bits, of this test alone.
const LONG_KEY: &str = include_str!("rsa-4104.pem");

fn long_key() -> KeyPair {
    KeyPair::from_pem(LONG_KEY).unwrap()
}

/// A certificate and others behind it, as many as `count` in all.
fn chain_of(first: &Made, count: usize) -> Made {
    let other = made(&["other.test"]).chain;
    Made {
        chain: first.chain.clone() + &other.repeat(count - 1),
        key: first.key.clone(),
    }
}

/// A chain of two certificates, the second of about this many bytes.
fn chain_of_bytes(first: &Made, bytes: usize) -> Made {
    let names: Vec<String> = (0..bytes / 25)
        .map(|number| format!("{number:018}.test"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Made {
        chain: first.chain.clone() + &made(&names).chain,
        key: first.key.clone(),
    }
}

#[test]
fn a_chain_that_costs_too_much_is_a_problem_of_its_secret() {
    let (good, long) = (made(&["a.test"]), long_key());
    let signed = Made {
        chain: params(&["a.test"]).self_signed(&long).unwrap().pem(),
        key: LONG_KEY.to_owned(),
    };
    let issuer = Made {
        chain: good.chain.clone() + &signed.chain,
        key: good.key.clone(),
    };
    let rules = Rules {
        hosts: &["a.test"],
        tls: &[(&["a.test"], "one")],
        ..Rules::default()
    }
    .yaml();
    let within = [chain_of(&good, 10), chain_of_bytes(&good, 60_000)];
    let beyond = [
        (
            chain_of(&good, 11),
            "the certificate chain has 11 certificates; at most 10 are accepted",
        ),
        (chain_of(&good, 400), "has 400 certificates"),
        (chain_of_bytes(&good, 70_000), "bytes; at most 65536 are accepted"),
        (
            chain_of(&good, 501),
            "the certificate chain has more than 500 sections",
        ),
        (
            chain_of_bytes(&good, 1_000_000),
            "the certificate chain has more than 1048576 bytes",
        ),
        (
            signed,
            "the certificate chain has an RSA key of 4104 bits (certificate 1); at most 4096 are accepted",
        ),
        (issuer, "an RSA key of 4104 bits (certificate 2)"),
    ];
    for chain in within {
        let mut doors = Doors::new(&tls_policy(DefaultCertificate::SelfSigned));
        doors.publish(&(tls_secret("one", &chain) + &rules));
        assert_eq!(doors.shown(0, "a.test"), Some(good.der()));
    }
    let mut doors = Doors::new(&tls_policy(DefaultCertificate::SelfSigned));
    doors.publish(&(tls_secret("one", &good) + &rules));
    for (chain, message) in beyond {
        let lines = doors.publish(&(tls_secret("one", &chain) + &rules));
        let start = "error: Ingress test/app spec.tls[0].secretName: ";
        assert_reported(
            &lines,
            &[start, message, "its last good certificate stays in use"],
        );
        assert_eq!(doors.shown(0, "a.test"), Some(good.der()), "{message}");
    }
}

/// An authority's certificate with a key of 4104 bits.
fn long_authority() -> String {
    let mut params = params(&[]);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.self_signed(&long_key()).unwrap().pem()
}

#[test]
fn authorities_that_cost_too_much_are_refused() {
    let one = authority("one").pem;
    for (pem, message) in [
        (one.repeat(500), ""),
        (one.repeat(501), "has more than 500 sections"),
        (
            format!("{one}{}", " ".repeat(1 << 20)),
            "has more than 1048576 bytes",
        ),
        (
            long_authority(),
            "has an RSA key of 4104 bits (certificate 1); at most 4096 are accepted",
        ),
    ] {
        let told = CaBundle::from_pem(pem.as_bytes()).err();
        assert_eq!(told.map(|error| error.to_string()).unwrap_or_default(), message);
        if message.is_empty() {
            continue;
        }
        // A route whose authorities cannot be used is closed.
        let mut backends = Backends::new(&authority("platform"));
        let objects = secret("ours", "Opaque", &[("ca.crt", &pem)]);
        let rules = backends::rules(&[("blastdoor.dev/backend-tls-ca", "secret/ours")]);
        let (actions, lines) = backends.publish(&(backends::service("https", "") + &objects + &rules));
        assert!(matches!(&*actions, [Action::Blocked(_)]), "{actions:?}");
        assert!(lines.iter().any(|line| line.contains(message)), "{lines:?}");
    }
}

/// What a certificate of a stranger costs is decided before it is verified.
#[test]
fn clients_and_backends_show_chains_within_bounds() {
    let ours = authority("ours");
    let name = "app.test.svc";
    let short = ours.issue(&[name]);
    let common = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096).unwrap();
    let chains = [
        (chain_of(&short, 10), true),
        (chain_of(&short, 11), false),
        (chain_of_bytes(&short, 60_000), true),
        (ours.issue_for(&common, &[name]), true),
        (ours.issue_for(&long_key(), &[name]), false),
    ];
    let auth = ClientAuth::Required(CaSource::Given(Arc::new(
        CaBundle::from_pem(ours.pem.as_bytes()).unwrap(),
    )));
    let mut doors = Doors::new(&TlsPolicy {
        client_auth: auth,
        ..tls_policy(DefaultCertificate::SelfSigned)
    });
    doors.publish("");
    let mut gateway = Backends::new(&ours);
    let (actions, _) = gateway.publish(&(backends::service("https", "") + &backends::rules(&[])));
    for (chain, accepted) in chains {
        for version in [&TLS12, &TLS13] {
            let client = Arc::new(client_with(&[version], true, Some(&chain)));
            let shaken = shake(doors.tls(0).server_config(), &client, "a.test");
            assert_eq!(shaken.is_ok(), accepted, "{version:?}: {shaken:?}");
        }
        let tls = backends::tls(&actions[0]);
        assert_eq!(backends::speaks(tls, &backends::backend(&chain, None)), accepted);
    }
}
