use super::*;

/// A certificate and its key, as PEM.
fn made() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn chain(text: impl AsRef<[u8]>) -> Result<usize, PemError> {
    certificates(text.as_ref(), Purpose::Chain).map(|found| found.len())
}

fn authorities(text: impl AsRef<[u8]>) -> Result<usize, PemError> {
    certificates(text.as_ref(), Purpose::Authorities).map(|found| found.len())
}

fn relabelled(pem: &str, label: &str) -> String {
    pem.replace(" CERTIFICATE-----", &format!(" {label}-----"))
}

/// `pem` with these bytes behind the certificate, as `openssl x509 -trustout` writes it.
fn trusted(pem: &str, opinion: &[u8]) -> String {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let both = [der.as_ref(), opinion].concat();
    let body = base64(&both);
    format!("-----BEGIN TRUSTED CERTIFICATE-----\n{body}\n-----END TRUSTED CERTIFICATE-----\n")
}

/// The plainest encoder there is.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..part.len()].copy_from_slice(part);
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for digit in 0..4 {
            text.push(match digit <= part.len() {
                true => char::from(ALPHABET[(bits >> (18 - 6 * digit)) as usize & 63]),
                false => '=',
            });
        }
    }
    text
}

#[test]
fn pem_that_openssl_reads_is_read_completely() {
    let ((one, key), (two, _)) = (made(), made());
    let glued = format!("{}{}", one.trim_end(), two);
    assert!(glued.contains("-----END CERTIFICATE----------BEGIN CERTIFICATE-----"));
    let both = format!("{one}{two}");
    let aliased = trusted(&two, &[0x30, 4, 0x0c, 2, b'm', b'e']);
    let table = [
        (both.clone(), 2),
        (glued, 2),
        (format!("\u{feff}{both}"), 2),
        (format!("{one}\u{feff}{two}"), 2),
        (format!("{}\n{one}{}\n{two}", "=".repeat(64), "/".repeat(64)), 2),
        (
            format!(
                "VeriSign\n{}\n{both}Modulus={}\n",
                "=".repeat(60),
                "AB".repeat(40)
            ),
            2,
        ),
        (both.replace('\n', "\r\n"), 2),
        (both.replace('\n', "\r"), 2),
        (both.replace('\n', " "), 2),
        (both.replace('\n', "\n    "), 2),
        (both.replace('\n', "\n\n"), 2),
        (both.replace('\n', ""), 2),
        (format!("{}{two}", relabelled(&one, "X509 CERTIFICATE")), 2),
        (format!("{}{two}", relabelled(&one, "TRUSTED CERTIFICATE")), 2),
        (format!("{one}{aliased}"), 2),
        (format!("{one}{}", trusted(&two, &[0x30, 0])), 2),
        (
            format!("# the root\nsubject=CN = a\n   Signature: 0a:0b\n{one}-- and --\n{two}"),
            2,
        ),
        (format!("{key}{one}{two}"), 2),
        (
            format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{one}"),
            1,
        ),
        (String::new(), 0),
        ("hello\n".to_owned(), 0),
        (key, 0),
    ];
    for (text, count) in table {
        assert_eq!(chain(&text), Ok(count), "{text}");
        assert_eq!(authorities(&text), Ok(count), "{text}");
    }
}

#[test]
fn an_unreadable_pem_section_is_reported() {
    let ((one, key), (two, _)) = (made(), made());
    let utf16: Vec<u8> = std::iter::once(0xfeff)
        .chain(one.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let der = CertificateDer::from_pem_slice(one.as_bytes()).unwrap();
    let crl = relabelled(&two, "X509 CRL");
    let body = two.lines().nth(1).unwrap();
    let table: Vec<(Vec<u8>, &str)> = vec![
        (utf16, "is UTF-16; save it as UTF-8"),
        (der.to_vec(), "is binary, not PEM"),
        (base64(one.as_bytes()).into(), "is base64 of PEM"),
        (
            format!("{one}----BEGIN CERTIFICATE----\n").into(),
            "has a damaged",
        ),
        (
            format!("{one}{}", two.replace("-----", "----")).into(),
            "has a damaged",
        ),
        (
            format!("{one}{}", two.replace("-----", "\u{2014}\u{2013}")).into(),
            "has a damaged",
        ),
        (
            format!("{one}{}", two.replace("BEGIN CERT", "Begin Cert")).into(),
            "has a damaged",
        ),
        (format!("{one}{body}\n").into(), "base64 outside"),
        (
            format!("{}{two}", one.trim_end().trim_end_matches('-')).into(),
            "has a damaged",
        ),
        (
            format!("{}-{two}", one.trim_end().trim_end_matches("--")).into(),
            "has a damaged",
        ),
        (
            one.replace("-----END CERTIFICATE-----\n", "").into(),
            "has no `-----END CERTIFICATE-----`",
        ),
        (
            one.replace("END CERT", "END X509 CERT").into(),
            "begins as `CERTIFICATE` and ends as `X509 CERTIFICATE`",
        ),
        (
            format!("{one}{}", two.replace("MII", "M!I")).into(),
            "section `CERTIFICATE` in line",
        ),
        (
            format!("{one}{}", relabelled(&two, "CERTIFICATE REQUEST")).into(),
            "which requests a certificate",
        ),
        (
            format!("{one}{}", relabelled(&two, "PKCS7")).into(),
            "openssl pkcs7 -print_certs",
        ),
        (
            format!("{one}{}", relabelled(&two, "ROOT CA")).into(),
            "has a section `ROOT CA` in line",
        ),
    ];
    for (text, message) in table {
        for outcome in [chain(&text), authorities(&text)] {
            let told = outcome.map_err(|error| error.to_string());
            assert!(
                told.as_ref().is_err_and(|told| told.contains(message)),
                "{message}: {told:?} of {}",
                String::from_utf8_lossy(&text)
            );
            let told = told.unwrap_err();
            assert!(
                !told.contains(body) && !told.contains(key.lines().nth(1).unwrap()),
                "{told}"
            );
        }
    }
    // What only narrows whom to believe.
    let told = |text: String| authorities(text).unwrap_err().to_string();
    assert!(told(format!("{one}{crl}")).contains("revocation lists are not supported"));
    assert_eq!(chain(format!("{one}{crl}")), Ok(1));
    for opinion in [
        &[0x30, 4, 0x30, 2, 6, 0][..],
        &[0x30, 4, 0xa0, 2, 6, 0],
        &[0x30, 0x81, 2, 0x30, 0],
        &[1, 1, 0],
    ] {
        assert!(
            told(trusted(&one, opinion)).contains("trusted for some purposes only"),
            "{opinion:?}"
        );
        assert_eq!(chain(trusted(&one, opinion)), Ok(1));
    }
}

#[test]
fn a_private_key_is_found_or_its_fault_is_named() {
    let (certificate, key) = made();
    let glued = format!("{}{}", certificate.trim_end(), key);
    let read = [
        key.clone(),
        format!("\u{feff}{key}"),
        glued,
        key.replace('\n', "\r\n"),
        key.replace('\n', " "),
        format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{key}"),
    ];
    for text in read {
        assert!(matches!(private_key(text.as_bytes()), Ok(Some(_))), "{text}");
    }
    assert_eq!(private_key(certificate.as_bytes()), Ok(None));
    let old = key.replace(
        "KEY-----\n",
        "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n",
    );
    let named = [
        (old, "which is encrypted"),
        (
            key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
            "`ENCRYPTED PRIVATE KEY` in line 1, which is encrypted",
        ),
        (
            key.replace("PRIVATE KEY", "OPENSSH PRIVATE KEY"),
            "`OPENSSH PRIVATE KEY` in line 1, which is not read",
        ),
        (key.replace("MIG", "M!G"), "is not base64"),
        (key.replace("-----BEGIN", "----BEGIN"), "has a damaged"),
    ];
    for (text, message) in named {
        let told = private_key(text.as_bytes()).unwrap_err().to_string();
        assert!(told.contains(message), "{message}: {told}");
    }
}
