//! Hosts and paths. Results are computed a second time, from the grammar and from every reading that some server is known
//! to give a path.

use std::net::Ipv6Addr;

use route::{
    Host, HostBuf, HostPattern, HostRestriction, PathError, PathPattern, PathRegex, PathScratch,
    RegexDialect, normalise_authority, normalise_path, normalise_sni,
};

/// Holds for every text that claims to be a host.
pub fn host_properties(raw: &[u8]) {
    let mut scratch = HostBuf::new();
    let expected = host_by_grammar(raw);
    let host = normalise_authority(raw, &mut scratch).ok();
    let found = host.map(|host| (host.as_str().to_owned(), host.port()));
    assert_eq!(found, expected, "the grammar and the normaliser differ");
    server_name_is_a_host_without_port(raw);
    pattern_is_a_fixed_point(raw);

    let Some(host) = host else { return };
    let name = host.as_str();
    assert_eq!(
        host.is_address(),
        name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok()
    );
    for variant in [
        name.to_owned(),
        format!("{name}:80"),
        format!("{name}:"),
        name.to_ascii_uppercase(),
    ] {
        same_host(&variant, name);
    }
    if !name.starts_with('[') {
        same_host(&format!("{name}."), name);
        same_host(&format!("{}.:8080", name.to_ascii_uppercase()), name);
    }
    assert_eq!(
        Host::of(&host).map(|host| host.to_string()),
        (!host.is_address()).then(|| name.to_owned())
    );
}

/// Holds for every text that claims to be a path.
pub fn path_properties(raw: &[u8]) {
    let mut scratch = PathScratch::default();
    let result = normalise_path(raw, &mut scratch).map(|path| path.as_bytes().to_vec());
    let faults = faults_of_path(raw);
    let normal = match result {
        Ok(normal) => normal,
        Err(error) => {
            assert!(faults.contains(&error), "{error:?} is none of {faults:?}");
            return;
        }
    };
    assert_eq!(faults, [], "some reading of the path has a fault");
    assert_eq!(Ok(&normal), normal_path(raw).as_ref());
    assert!(
        normal.iter().all(u8::is_ascii_graphic),
        "the normal form is visible ASCII"
    );
    same_path(&normal, &normal);
    // Escapes take the slow path, so this compares it with the fast one too.
    same_path(&escape_unreserved(raw), &normal);

    let Ok(written) = std::str::from_utf8(raw) else {
        return;
    };
    let path = normalise_path(raw, &mut scratch);
    for parse in [PathPattern::exact, PathPattern::prefix] {
        let pattern = parse(written);
        assert!(
            matches!((&pattern, path), (Ok(pattern), Ok(path)) if pattern.matches(&path)),
            "a rule matches the path that it is written with"
        );
        let again = pattern.clone().and_then(|pattern| parse(&pattern.to_string()));
        assert_eq!(again, pattern, "a rule reads back as itself");
    }
}

/// Holds for every text that claims to be the pattern of a path.
pub fn path_regex_properties(raw: &[u8]) {
    let Ok(written) = std::str::from_utf8(raw) else {
        return;
    };
    let nginx = PathRegex::new(written, RegexDialect::Nginx);
    let traefik = PathRegex::new(written, RegexDialect::Traefik);
    for regex in [&nginx, &traefik].into_iter().flatten() {
        assert_eq!(regex.as_str(), written);
        assert!(written.starts_with('/') && written.is_ascii() && written.len() <= 1024);
    }
    let (Ok(nginx), Ok(traefik)) = (nginx, traefik) else {
        return;
    };
    assert_ne!(nginx, traefik);
    assert_eq!(nginx.compiled().captures_len(), traefik.compiled().captures_len());
    // Flags inside the pattern can give it its case back.
    let has_flags = written.contains("(?");
    let find = |regex: &PathRegex, path: &[u8]| regex.compiled().find(path).map(|found| found.range());
    for path in [raw.to_vec(), [b"/x", raw].concat(), raw.to_ascii_uppercase()] {
        let anchored = find(&nginx, &path);
        assert!(
            anchored.as_ref().is_none_or(|found| found.start == 0),
            "a match begins where the path does"
        );
        if !has_flags {
            let upper = find(&nginx, &path.to_ascii_uppercase());
            assert_eq!(anchored, upper, "letters match in both cases");
        }
        // Where letters are, either dialect may match what the other does not: `[^s]` has `S`, but not without its case.
        let mut letterless = path;
        letterless.retain(|byte| !byte.is_ascii_alphabetic());
        let at_start = find(&traefik, &letterless).filter(|found| found.start == 0);
        assert_eq!(
            find(&nginx, &letterless),
            at_start,
            "without letters, the anchor alone is different"
        );
    }
    assert_eq!(PathPattern::Regex(nginx).to_string(), written);
}

fn server_name_is_a_host_without_port(raw: &[u8]) {
    let (mut left, mut right) = (HostBuf::new(), HostBuf::new());
    let as_host = normalise_authority(raw, &mut left).ok();
    let as_host = as_host.filter(|host| !host.is_address() && !raw.contains(&b':'));
    assert_eq!(normalise_sni(raw, &mut right).ok(), as_host);
}

fn pattern_is_a_fixed_point(raw: &[u8]) {
    let Ok(text) = std::str::from_utf8(raw) else {
        return;
    };
    let Ok(pattern) = HostPattern::parse(text) else {
        assert!(!text.is_empty(), "no host is every host");
        return;
    };
    assert_eq!(
        HostPattern::parse(&pattern.to_string()),
        Ok(pattern.clone()),
        "a pattern reads back as itself"
    );
    let admits =
        |written: &str| HostRestriction::parse(written).map(|restriction| restriction.admits(&pattern));
    match &pattern {
        HostPattern::Any => {}
        HostPattern::Exact(host) => {
            same_host(host.as_str(), host.as_str());
            assert_eq!(admits(host.as_str()), Ok(true));
            assert_eq!(
                admits(&format!("*.{host}")),
                Ok(false),
                "a suffix is not below itself"
            );
        }
        HostPattern::Wildcard(suffix) => {
            assert_eq!(admits(suffix.as_str()), Ok(false));
            assert_eq!(admits(&format!("*.{suffix}")), Ok(true));
        }
    }
}

fn same_host(variant: &str, name: &str) {
    let mut scratch = HostBuf::new();
    let host = normalise_authority(variant.as_bytes(), &mut scratch);
    assert_eq!(
        host.map(|host| host.as_str()),
        Ok(name),
        "`{variant}` is `{name}`"
    );
}

fn same_path(variant: &[u8], normal: &[u8]) {
    let mut scratch = PathScratch::default();
    let path = normalise_path(variant, &mut scratch);
    assert_eq!(
        path.map(|path| path.as_bytes()),
        Ok(normal),
        "`{}`",
        variant.escape_ascii()
    );
}

/// RFC 3986 3.2.2 and 3.2.3 without percent-escapes, user information and `IPvFuture`.
fn host_by_grammar(raw: &[u8]) -> Option<(String, Option<u16>)> {
    let text = std::str::from_utf8(raw).ok()?;
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let port = if rest.is_empty() {
            ""
        } else {
            rest.strip_prefix(':')?
        };
        (format!("[{}]", address.parse::<Ipv6Addr>().ok()?), port)
    } else {
        let (name, port) = text.split_once(':').unwrap_or((text, ""));
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let is_label = |label: &str| {
            let fits = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-' || it == '_';
            (1..=63).contains(&label.len()) && label.chars().all(fits)
        };
        (name.len() <= 253 && name.split('.').all(is_label)).then_some((name, port))?
    };
    match port {
        "" => Some((name, None)),
        digits if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            Some((name, Some(digits.parse().ok()?)))
        }
        _ => None,
    }
}

/// What is wrong with a path, from every reading of it, one after the other.
fn faults_of_path(raw: &[u8]) -> Vec<PathError> {
    if !raw.starts_with(b"/") {
        return vec![PathError::Relative];
    }
    if raw
        .iter()
        .any(|byte| !byte.is_ascii_graphic() || b"\"<>\\?#".contains(byte))
    {
        return vec![PathError::Character];
    }
    let Ok(decoded) = decode(raw) else {
        return vec![PathError::Escape];
    };
    let lenient = without_overlong_forms(decoded.clone());
    let mut faults = Vec::new();
    if [&decoded, &lenient]
        .into_iter()
        .flatten()
        .any(u8::is_ascii_control)
    {
        faults.push(PathError::Control);
    }
    // Decode everything first; or split, cut parameters off or not, and decode then.
    let segments = raw
        .split(|byte| *byte == b'/')
        .flat_map(|segment| [segment, before_parameters(segment)]);
    let readings = segments
        .filter_map(|segment| decode(segment).ok())
        .chain([decoded, lenient]);
    for text in readings {
        let by_slash = text.split(|byte| *byte == b'/');
        let by_both = text.split(|byte| matches!(byte, b'/' | b'\\'));
        let names = by_slash
            .chain(by_both)
            .flat_map(|segment| [segment, before_parameters(segment)]);
        if names.into_iter().any(|name| matches!(name, b"." | b"..")) {
            faults.push(PathError::DotSegment);
        }
    }
    faults
}

/// RFC 3986 6.2.2.1 and 6.2.2.2 for a path without faults.
fn normal_path(raw: &[u8]) -> Result<Vec<u8>, PathError> {
    let mut parts = raw.split(|byte| *byte == b'%');
    let mut normal = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or(PathError::Escape)?;
        let byte = decode(&[b"%", digits].concat())?;
        if byte
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(byte))
        {
            normal.extend(byte);
        } else {
            normal.push(b'%');
            normal.extend(digits.to_ascii_uppercase());
        }
        normal.extend(rest);
    }
    Ok(normal)
}

fn before_parameters(segment: &[u8]) -> &[u8] {
    segment.split(|byte| *byte == b';').next().unwrap_or_default()
}

fn decode(text: &[u8]) -> Result<Vec<u8>, PathError> {
    let mut parts = text.split(|byte| *byte == b'%');
    let mut decoded = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or(PathError::Escape)?;
        let mut digits = digits.iter().map(|digit| char::from(*digit).to_digit(16));
        let value = digits
            .try_fold(0, |value, digit| Some(value * 16 + digit?))
            .ok_or(PathError::Escape)?;
        decoded.push(u8::try_from(value).map_err(|_two_digits| PathError::Escape)?);
        decoded.extend(rest);
    }
    Ok(decoded)
}

/// Replaces each two-, three- and four-byte form of an ASCII character (RFC 3629 10) by the character.
fn without_overlong_forms(mut text: Vec<u8>) -> Vec<u8> {
    if text.iter().all(|byte| *byte < 0xc0) {
        return text;
    }
    for character in 0..0x80_u8 {
        let (high, low) = (character >> 6, 0x80 | (character & 0x3f));
        let forms: [&[u8]; 3] = [
            &[0xf0, 0x80, 0x80 | high, low],
            &[0xe0, 0x80 | high, low],
            &[0xc0 | high, low],
        ];
        for form in forms {
            while let Some(at) = text.windows(form.len()).position(|window| window == form) {
                text.splice(at..at + form.len(), [character]);
            }
        }
    }
    text
}

/// Writes every unreserved character that is no part of an escape as one.
fn escape_unreserved(raw: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(raw.len() * 3);
    let mut in_escape = 0;
    for byte in raw {
        let is_unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        if *byte == b'%' {
            in_escape = 3;
        }
        if in_escape == 0 && is_unreserved {
            escaped.extend(format!("%{byte:02x}").bytes());
        } else {
            escaped.push(*byte);
        }
        in_escape = usize::saturating_sub(in_escape, 1);
    }
    escaped
}
