//! The properties that the fuzz targets check, on random texts: from alphabets in which everything that matters is
//! frequent, and on any bytes at all.

use proptest::prelude::*;
use testkit::names::{host_properties, path_properties, path_regex_properties};

/// Pieces that hosts are made of, good and bad.
fn host_text() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "a",
        "B",
        "z9",
        "-",
        "_",
        ".",
        ".",
        "..",
        ":",
        ":80",
        ":0",
        ":65535",
        ":65536",
        "[",
        "]",
        "::1",
        "[::1]",
        "[FE80::1%25eth0]",
        "::ffff:1.2.3.4",
        "127.0.0.1",
        "1",
        "256",
        "0x7f",
        "*",
        "*.",
        "%2e",
        "@",
        ",",
        " ",
        "/",
        "\"",
        "xn--",
        "xn--bcher-kva",
        "xn--a",
        "XN--",
        "ü",
        "ß",
        "Ａ",
        "。",
        "\u{200b}",
        "\u{130}",
        "example",
        "com",
        "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz-012345678",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..8)
        .prop_map(|pieces| pieces.concat().into_bytes())
}

/// Pieces that paths are made of, good and bad.
fn path_text() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "/", "/", "/", ".", ".", "..", "a", "B", "~", "%2e", "%2E", "%2f", "%2F", "%5c", "%3b", "%25",
        "%252e", "%41", "%7e", "%00", "%0d", "%7F", "%c0", "%C1", "%ae", "%af", "%bb", "%e0", "%80", "%81",
        "%f0", "%E9", "%20", "%", "%2", "%zz", ";", ";", "a=b", "\\", "?", "#", " ", "\"", "ü", "{", "+",
        ":", "@", "!",
    ];
    let text = prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..9);
    text.prop_map(|pieces| format!("/{}", pieces.concat()).into_bytes())
}

/// Pieces that patterns are made of, good and bad.
fn regex_text() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "/", "/", "a", "B", ".", "*", "+", "?", "(", ")", "(", ")", "|", "[", "]", "[^", "-", "{2}", "{2,",
        "}", "^", "$", r"\", r"\d", r"\.", r"\b", r"\1", "(?i)", "(?-i)", "(?x)", "(?m)", "(?:", "(?=",
        "(?<n>", "#", " ", "%61", "%2f", "%2F", "%", "ü", "\n", "\u{0}",
    ];
    let text = prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..9);
    text.prop_map(|pieces| format!("/{}", pieces.concat()).into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_properties_of_patterns_hold(text in regex_text()) {
        path_regex_properties(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_properties_of_hosts_hold(text in host_text()) {
        host_properties(&text);
    }

    #[test]
    fn the_properties_of_paths_hold(text in path_text()) {
        path_properties(&text);
    }

    #[test]
    fn the_properties_hold_for_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        host_properties(&bytes);
        path_properties(&bytes);
        path_properties(&[b"/", bytes.as_slice()].concat());
        path_regex_properties(&[b"/", bytes.as_slice()].concat());
    }
}
