//! What is a path, and which paths are refused because some server would read them as another one.

use route::PathError::{Character, Control, DotSegment, Escape, Relative};
use route::{PathError, PathPattern, PathPatternError, PathScratch, normalise_path};

/// RFC 3986 3.3 and 6.2.2; the refusals are stricter than the RFC, which lets a server remove dot segments.
#[rustfmt::skip]
const PATHS: &[(&[u8], Result<&str, PathError>)] = &[
    // Normal already: nothing is merged, cut or decoded.
    (b"/", Ok("/")),
    (b"//", Ok("//")),
    (b"/a", Ok("/a")),
    (b"/a/", Ok("/a/")),
    (b"/a//b", Ok("/a//b")),
    (b"///a", Ok("///a")),
    (b"/A/a", Ok("/A/a")),
    (b"/a-b_c~d.e", Ok("/a-b_c~d.e")),
    (b"/!$&'()*+,:@=", Ok("/!$&'()*+,:@=")),
    (b"/{id}|[0]^`", Ok("/{id}|[0]^`")),
    (b"/a=b&c", Ok("/a=b&c")),
    // Dots that make no dot segment.
    (b"/.well-known/acme-challenge/x", Ok("/.well-known/acme-challenge/x")),
    (b"/...", Ok("/...")),
    (b"/.../a", Ok("/.../a")),
    (b"/..a", Ok("/..a")),
    (b"/a..", Ok("/a..")),
    (b"/a../b", Ok("/a../b")),
    (b"/a.", Ok("/a.")),
    (b"/a/.b", Ok("/a/.b")),
    (b"/a.b.c/d.e", Ok("/a.b.c/d.e")),
    // Parameters stay.
    (b"/a;b=c", Ok("/a;b=c")),
    (b"/a;b=c/d;e", Ok("/a;b=c/d;e")),
    (b"/;", Ok("/;")),
    (b"/;/a", Ok("/;/a")),
    (b"/;..", Ok("/;..")),
    (b"/a;../b", Ok("/a;../b")),
    (b"/.a;b", Ok("/.a;b")),
    // Unreserved characters are decoded, once; the others get upper-case digits.
    (b"/%61", Ok("/a")),
    (b"/%41", Ok("/A")),
    (b"/%7e%2D%5F", Ok("/~-_")),
    (b"/a%2eb", Ok("/a.b")),
    (b"/%2ehidden", Ok("/.hidden")),
    (b"/a%2fb", Ok("/a%2Fb")),
    (b"/a%2Fb", Ok("/a%2Fb")),
    (b"/%2f", Ok("/%2F")),
    (b"/a%5cb", Ok("/a%5Cb")),
    (b"/a%3bb", Ok("/a%3Bb")),
    (b"/a%20b", Ok("/a%20b")),
    (b"/a%3fb", Ok("/a%3Fb")),
    (b"/a%23b", Ok("/a%23b")),
    (b"/%c3%bc", Ok("/%C3%BC")),
    (b"/%E9", Ok("/%E9")),
    (b"/%C0", Ok("/%C0")),
    (b"/%25", Ok("/%25")),
    (b"/%252e%252e/a", Ok("/%252e%252e/a")),
    (b"/%252f", Ok("/%252f")),
    (b"/%2525", Ok("/%2525")),
    (b"/a%2e%2eb", Ok("/a..b")),
    (b"/%2e%2e%2e", Ok("/...")),
    // Dot segments, plain.
    (b"/.", Err(DotSegment)),
    (b"/..", Err(DotSegment)),
    (b"/./", Err(DotSegment)),
    (b"/../", Err(DotSegment)),
    (b"/./a", Err(DotSegment)),
    (b"/../a", Err(DotSegment)),
    (b"/a/.", Err(DotSegment)),
    (b"/a/..", Err(DotSegment)),
    (b"/a/./b", Err(DotSegment)),
    (b"/a/../b", Err(DotSegment)),
    (b"//../a", Err(DotSegment)),
    (b"/a/../../b", Err(DotSegment)),
    // Escaped dots.
    (b"/%2e", Err(DotSegment)),
    (b"/%2E%2e/a", Err(DotSegment)),
    (b"/.%2e/a", Err(DotSegment)),
    (b"/%2e./a", Err(DotSegment)),
    (b"/a/%2e%2e/b", Err(DotSegment)),
    (b"/a/%2e/b", Err(DotSegment)),
    // Escaped separators.
    (b"/..%2fadmin", Err(DotSegment)),
    (b"/a/%2e%2e%2fb", Err(DotSegment)),
    (b"/a%2f..%2fb", Err(DotSegment)),
    (b"/a%2f..", Err(DotSegment)),
    (b"/a%2f.", Err(DotSegment)),
    (b"/a%2F%2e%2E%2Fb", Err(DotSegment)),
    (b"/..%5cadmin", Err(DotSegment)),
    (b"/a%5c..%5cb", Err(DotSegment)),
    (b"/a%5C..", Err(DotSegment)),
    (b"/%5c../a", Err(DotSegment)),
    // Parameters behind the dots, plain and escaped.
    (b"/..;/admin", Err(DotSegment)),
    (b"/a/..;x=y/b", Err(DotSegment)),
    (b"/.;/a", Err(DotSegment)),
    (b"/a/..;", Err(DotSegment)),
    (b"/%2e%2e;x/b", Err(DotSegment)),
    (b"/..%3bx/b", Err(DotSegment)),
    (b"/a;x/../b", Err(DotSegment)),
    (b"/a;x%2f../b", Err(DotSegment)),
    (b"/..;%2fb", Err(DotSegment)),
    (b"/.;jsessionid=1;./a", Err(DotSegment)),
    // Overlong UTF-8 (RFC 3629 10): two, three and four bytes for a dot, a slash, a backslash.
    (b"/%c0%ae%c0%ae/a", Err(DotSegment)),
    (b"/.%C0%AE/a", Err(DotSegment)),
    (b"/%e0%80%ae%e0%80%ae/a", Err(DotSegment)),
    (b"/%f0%80%80%ae./a", Err(DotSegment)),
    (b"/..%c0%af", Err(DotSegment)),
    (b"/..%c1%9ca", Err(DotSegment)),
    (b"/..%e0%81%9ca", Err(DotSegment)),
    (b"/..%f0%80%81%9ca", Err(DotSegment)),
    (b"/a%c0%80", Err(Control)),
    // Control characters.
    (b"/a%00", Err(Control)),
    (b"/%00", Err(Control)),
    (b"/a%0d%0aX:y", Err(Control)),
    (b"/a%09", Err(Control)),
    (b"/a%1f", Err(Control)),
    (b"/a%7f", Err(Control)),
    (b"/a\0", Err(Character)),
    (b"/a\x1f", Err(Character)),
    (b"/a\x7f", Err(Character)),
    (b"/a\r", Err(Character)),
    // Incomplete escapes.
    (b"/%", Err(Escape)),
    (b"/%2", Err(Escape)),
    (b"/a%zz", Err(Escape)),
    (b"/%2g", Err(Escape)),
    (b"/%g2", Err(Escape)),
    (b"/%u002e%u002e/", Err(Escape)),
    (b"/%%32e", Err(Escape)),
    (b"/% 2", Err(Character)),
    // What must not stand unescaped.
    (b"/a b", Err(Character)),
    (b"/a\\b", Err(Character)),
    (b"/..\\a", Err(Character)),
    (b"/a\"b", Err(Character)),
    (b"/<a>", Err(Character)),
    (b"/a#b", Err(Character)),
    (b"/a?b", Err(Character)),
    ("/ü".as_bytes(), Err(Character)),
    (b"/\xc0\xae\xc0\xae/", Err(Character)),
    (b"/\xff", Err(Character)),
    // No path of a request.
    (b"", Err(Relative)),
    (b"a", Err(Relative)),
    (b"*", Err(Relative)),
    (b"%2f", Err(Relative)),
    (b"\\a", Err(Relative)),
    (b"http://a.test/", Err(Relative)),
    (b"../a", Err(Relative)),
];

#[test]
fn the_path_of_a_request_is_normalised_or_refused() {
    // One scratch for all: nothing of an earlier request may show.
    let mut scratch = PathScratch::default();
    for (raw, expected) in PATHS {
        let path = normalise_path(raw, &mut scratch).map(|path| path.as_bytes());
        assert_eq!(path, expected.map(str::as_bytes), "{}", raw.escape_ascii());
    }
}

#[test]
fn a_normal_path_is_borrowed() {
    for (raw, is_borrowed) in [
        ("/", true),
        ("/a/b.html", true),
        ("/.well-known/x", true),
        ("/a;b", true),
        ("/a%2Fb", false),
        ("/%61", false),
    ] {
        let mut scratch = PathScratch::default();
        let path = normalise_path(raw.as_bytes(), &mut scratch).unwrap();
        assert_eq!(
            std::ptr::eq(path.as_bytes().as_ptr(), raw.as_ptr()),
            is_borrowed,
            "{raw}"
        );
    }
}

/// The verdict does not change with the length: each case again behind a long directory, and with a long tail.
#[test]
fn long_paths_are_judged_like_short_ones() {
    let long = "/directory".repeat(1_500);
    let mut scratch = PathScratch::default();
    for (raw, expected) in PATHS.iter().filter(|(raw, _)| raw.first() == Some(&b'/')) {
        let longer = [long.as_bytes(), raw].concat();
        let path = normalise_path(&longer, &mut scratch).map(|path| path.as_bytes().to_vec());
        let expected = expected.map(|path| format!("{long}{path}").into_bytes());
        assert_eq!(path, expected, "{}", raw.escape_ascii());
    }
}

#[test]
fn rules_are_kept_in_normal_form() {
    for (written, exact, prefix) in [
        ("/", "/", "/"),
        ("/foo", "/foo", "/foo"),
        ("/foo/", "/foo/", "/foo/"),
        ("/%66oo%2f", "/foo%2F", "/foo%2F"),
        ("//", "//", "//"),
        ("/a;b", "/a;b", "/a;b"),
    ] {
        let text = |pattern: Result<PathPattern, _>| pattern.map(|pattern| pattern.to_string());
        assert_eq!(text(PathPattern::exact(written)).as_deref(), Ok(exact));
        assert_eq!(text(PathPattern::prefix(written)).as_deref(), Ok(prefix));
    }
}

#[test]
fn a_path_that_no_request_can_have_is_no_rule() {
    let cases: &[(&str, PathPatternError, &str)] = &[
        (
            "",
            PathPatternError::Relative("".into()),
            "`` does not start with `/`; a path is absolute",
        ),
        (
            "foo",
            PathPatternError::Relative("foo".into()),
            "`foo` does not start with `/`; a path is absolute",
        ),
        (
            "/ü b",
            PathPatternError::Character("/ü b".into()),
            "`/ü b` has a character that must be percent-encoded in a path; write `/%C3%BC%20b`",
        ),
        (
            "/a\n}",
            PathPatternError::Character("/a\n}".into()),
            "`/a\\n}` has a character that must be percent-encoded in a path; write `/a%0A}`",
        ),
        (
            "/a?b",
            PathPatternError::Character("/a?b".into()),
            "`/a?b` has a character that must be percent-encoded in a path; write `/a%3Fb`",
        ),
        (
            "/a/../b",
            PathPatternError::Refused("/a/../b".into(), DotSegment),
            "no request can match `/a/../b`: the path has a `.` or `..` segment",
        ),
        (
            "/%zz",
            PathPatternError::Refused("/%zz".into(), Escape),
            "no request can match `/%zz`: the path has an incomplete percent-escape",
        ),
        (
            "/%00",
            PathPatternError::Refused("/%00".into(), Control),
            "no request can match `/%00`: the path has an escaped control character",
        ),
    ];
    for (written, error, message) in cases {
        assert_eq!(PathPattern::exact(written).as_ref(), Err(error));
        assert_eq!(PathPattern::prefix(written).as_ref(), Err(error));
        assert_eq!(error.to_string(), *message);
    }
}
