//! `X-Forwarded-Client-Cert`.

use door::client_identity;
use rcgen::{CertificateParams, DnType, SanType};
use rustls::pki_types::CertificateDer;

use crate::rig::{made_with, params};

fn named(subject: &[(DnType, &str)], names: Vec<SanType>) -> CertificateParams {
    let mut params = params(&[]);
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in subject {
        params.distinguished_name.push(kind.clone(), *value);
    }
    params.subject_alt_names = names;
    params
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

#[test]
fn the_identity_field_has_envoys_format() {
    use DnType::{CommonName, CountryName, OrganizationName};
    let table = [
        (
            named(
                &[
                    (CountryName, "DE"),
                    (OrganizationName, "Shop"),
                    (CommonName, "web"),
                ],
                vec![dns("web.test"), uri("spiffe://shop/web"), dns("*.test")],
            ),
            "Subject=\"CN=web,O=Shop,C=DE\";URI=spiffe://shop/web;DNS=web.test;DNS=*.test",
        ),
        (named(&[], Vec::new()), "Subject=\"\""),
        // Nothing in a name ends the field, the element or the quotes early.
        (
            named(&[(CommonName, "a\";URI=spiffe://admin")], Vec::new()),
            "Subject=\"CN=a\\22\\3BURI=spiffe://admin\"",
        ),
        (named(&[(CommonName, "a\\")], Vec::new()), "Subject=\"CN=a\\5C\""),
        (
            named(&[(CommonName, "a,O=b")], Vec::new()),
            "Subject=\"CN=a\\2CO=b\"",
        ),
        (
            named(&[(CommonName, "a\r\nX: y")], Vec::new()),
            "Subject=\"CN=a\\0d\\0aX: y\"",
        ),
        (
            named(&[(CommonName, " ü#")], Vec::new()),
            "Subject=\"CN=\\20\\C3\\BC#\"",
        ),
        (
            named(
                &[(CommonName, "x")],
                vec![
                    uri("urn:a;URI=b"),
                    uri("urn:\"q\""),
                    uri("urn:a,b"),
                    uri("urn:\n"),
                    uri("urn:ok"),
                ],
            ),
            "Subject=\"CN=x\";URI=urn:ok",
        ),
    ];
    for (params, expected) in table {
        let certificate = made_with(&params).der();
        let value = client_identity(&certificate);
        let (hash, rest) = value.split_once(';').unwrap();
        assert_eq!(rest, expected);
        assert!(hash.len() == 5 + 64 && hash.starts_with("Hash="), "{hash}");
        assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
}

#[test]
fn the_identity_field_is_bounded() {
    let many = (0..1_000).map(|number| dns(&format!("{number}.test"))).collect();
    let long = "x".repeat(30_000);
    let certificate = made_with(&named(&[(DnType::CommonName, &long)], many)).der();
    let value = client_identity(&certificate);
    assert!(value.len() < 2_000, "{}", value.len());
    assert!(value.contains(";Subject=\"\";DNS=0.test;"), "{value}");
}

#[test]
fn anything_that_is_no_certificate_becomes_a_hash() {
    let value = client_identity(&CertificateDer::from(b"hello".to_vec()));
    assert_eq!(
        value,
        "Hash=2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    );
}
