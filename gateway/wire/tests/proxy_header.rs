//! PROXY headers: bytes → verdict (haproxy.org, `proxy-protocol.txt`).
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use wire::proxy_header::{ProxyError, ProxyStep, parse};

fn header(consumed: usize, addresses: Option<(&str, &str)>) -> Result<ProxyStep, ProxyError> {
    let address = |text: &str| text.parse().expect("an address");
    let addresses = addresses.map(|(source, destination)| (address(source), address(destination)));
    Ok(ProxyStep::Header { consumed, addresses })
}

/// 2.1, the human-readable header.
#[test]
fn headers_of_version_1_are_read_or_refused() {
    let accepted = [
        (
            "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n",
            Some(("192.0.2.1:56324", "198.51.100.7:443")),
        ),
        (
            "PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n",
            Some(("0.0.0.0:0", "255.255.255.255:65535")),
        ),
        (
            "PROXY TCP6 2001:db8::1 ::1 1 2\r\n",
            Some(("[2001:db8::1]:1", "[::1]:2")),
        ),
        (
            "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            Some((
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
            )),
        ),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff::1 whatever 1 2\r\n", None),
    ];
    for (text, addresses) in accepted {
        assert_eq!(parse(text.as_bytes()), header(text.len(), addresses), "{text}");
        // What follows is the connection's.
        let more = format!("{text}GET / HTTP/1.1\r\n");
        assert_eq!(parse(more.as_bytes()), header(text.len(), addresses), "{text}");
    }
    let refused = [
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\n",
        "PROXY TCP4  192.0.2.1 198.51.100.7 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 056324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 +1 443\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.7 1 443\r\n",
        "PROXY TCP4 192.0.2 198.51.100.7 1 443\r\n",
        "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.7 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY TCP6 [::1] [::1] 1 2\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.7 1 2\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.7 1 2\r\n",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
    ];
    for text in refused {
        assert_eq!(parse(text.as_bytes()), Err(ProxyError::Version1), "{text}");
    }
    let endless = format!("PROXY UNKNOWN {}", "x".repeat(100));
    assert_eq!(parse(endless.as_bytes()), Err(ProxyError::Version1));
}

/// 2.2, the binary header.
fn binary(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("short").to_be_bytes();
    [
        b"\r\n\r\n\0\r\nQUIT\n".as_slice(),
        &[version_command, family],
        &length,
        body,
    ]
    .concat()
}

#[test]
fn headers_of_version_2_are_read_or_refused() {
    let v4 = [192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 0x01, 0xbb].as_slice();
    let v6: Vec<u8> = [[0_u8; 15].as_slice(), &[1], &[0; 15], &[2], &[0, 80, 1, 0xbb]].concat();
    let tlv = [v4, &[0x04, 0, 1, 0, 0xea, 0, 3, 1, 2, 3]].concat();
    let accepted = [
        (
            binary(0x21, 0x11, v4),
            Some(("192.0.2.1:56324", "198.51.100.7:443")),
        ),
        (binary(0x21, 0x21, &v6), Some(("[::1]:80", "[::2]:443"))),
        // TLVs are skipped.
        (
            binary(0x21, 0x11, &tlv),
            Some(("192.0.2.1:56324", "198.51.100.7:443")),
        ),
        // LOCAL: a health check; the addresses mean nothing.
        (binary(0x20, 0x00, b""), None),
        (binary(0x20, 0x11, v4), None),
        // Nothing of it counts, whatever it claims.
        (binary(0x20, 0x11, b"x"), None),
        (binary(0x20, 0x77, b"whatever"), None),
        (binary(0x20, 0x11, &[v4, &[0x04, 0xff, 0xff]].concat()), None),
        (binary(0x21, 0x00, b""), None),
        (binary(0x21, 0x12, v4), None),
        (binary(0x21, 0x31, &[0; 216]), None),
    ];
    for (raw, addresses) in accepted {
        assert_eq!(
            parse(&raw),
            header(raw.len(), addresses),
            "{}",
            raw.escape_ascii()
        );
        let more = [raw.as_slice(), b"GET /"].concat();
        assert_eq!(
            parse(&more),
            header(raw.len(), addresses),
            "{}",
            raw.escape_ascii()
        );
    }
    let refused = [
        (binary(0x11, 0x11, v4), ProxyError::Version2),
        (binary(0x31, 0x11, v4), ProxyError::Version2),
        (binary(0x22, 0x11, v4), ProxyError::Version2),
        (binary(0x21, 0x13, v4), ProxyError::Version2),
        (binary(0x21, 0x41, v4), ProxyError::Version2),
        (binary(0x21, 0x11, &v4[..11]), ProxyError::Version2),
        (binary(0x21, 0x11, b""), ProxyError::Version2),
        (binary(0x21, 0x21, v4), ProxyError::Version2),
        (binary(0x21, 0x11, &[0; 4081]), ProxyError::TooLong),
        (binary(0x21, 0x12, &v4[..11]), ProxyError::Version2),
        (binary(0x21, 0x31, &[0; 215]), ProxyError::Version2),
    ];
    for (raw, error) in refused {
        assert_eq!(parse(&raw), Err(error), "{}", raw.escape_ascii());
    }
    // The length alone shows that it is too long; the parser does not wait for the rest.
    assert_eq!(
        parse(&binary(0x21, 0x11, &[0; 65_535])[..16]),
        Err(ProxyError::TooLong)
    );
}

/// 2.2.1: TLVs lie within the header, whatever they are; 2.2.4: a checksum is the header's.
#[test]
fn tlvs_end_with_the_header_and_its_checksum_is_right() {
    let v4 = [192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 0x01, 0xbb].as_slice();
    let with = |tlvs: &[u8]| binary(0x21, 0x11, &[v4, tlvs].concat());
    let addresses = Some(("192.0.2.1:56324", "198.51.100.7:443"));
    let cut: [&[u8]; 6] = [
        &[0x04],
        &[0x04, 0],
        &[0x04, 0, 1],
        &[0xea, 0xff, 0xff],
        &[0x04, 0, 1, 0, 0xea, 0, 4, 1, 2, 3],
        &[0x04, 0, 0, 0x04],
    ];
    for tlvs in cut {
        assert_eq!(parse(&with(tlvs)), Err(ProxyError::Tlv), "{tlvs:?}");
        let unspecified = binary(0x21, 0x00, tlvs);
        assert_eq!(parse(&unspecified), Err(ProxyError::Tlv), "{tlvs:?}");
    }
    let empty = with(&[0x04, 0, 0]);
    assert_eq!(parse(&empty), header(empty.len(), addresses));

    // Computed elsewhere, over the header with zeros in its place.
    let sealed = with(&[0x04, 0, 1, 0, 0x03, 0, 4, CRC[0], CRC[1], CRC[2], CRC[3]]);
    assert_eq!(parse(&sealed), header(sealed.len(), addresses));
    // All but the length, and the type by which the checksum is found.
    for at in (12..sealed.len()).filter(|at| ![14, 15, 32].contains(at)) {
        let mut bent = sealed.clone();
        bent[at] ^= 0x01;
        assert!(parse(&bent).is_err(), "byte {at}");
    }
    let twice = with(&[0x03, 0, 4, 0, 0, 0, 0, 0x03, 0, 4, 0, 0, 0, 0]);
    assert_eq!(parse(&twice), Err(ProxyError::Checksum));
    assert_eq!(parse(&with(&[0x03, 0, 3, 0, 0, 0])), Err(ProxyError::Checksum));
    let local = binary(0x20, 0x00, &[0x03, 0, 4, 0, 0, 0, 0]);
    assert_eq!(parse(&local), Err(ProxyError::Checksum));
}

/// Of the header in [`tlvs_end_with_the_header_and_its_checksum_is_right`].
const CRC: [u8; 4] = [0xce, 0x99, 0xd7, 0x9e];

#[test]
fn other_protocols_are_not_taken_for_a_proxy_header() {
    for other in [
        "GET / HTTP/1.1\r\n",
        "PROPFIND / HTTP/1.1\r\n",
        "proxy TCP4 ",
        "\r\nGET /",
        "\x16\x03\x01",
    ] {
        assert_eq!(parse(other.as_bytes()), Ok(ProxyStep::NotProxy), "{other:?}");
    }
    for start in ["", "P", "PROXY", "PROXY TCP4 1", "\r\n\r\n", "\r\n\r\n\0\r\nQUI"] {
        assert_eq!(parse(start.as_bytes()), Ok(ProxyStep::NeedMore), "{start:?}");
    }
}
