//! CORS, and fields of requests and responses.

use filter::cors::{Cors, CorsList, Manner, OriginRule};
use filter::fields::{FieldEdits, Message};
use route::ObjectKey;

use super::read;
use crate::filter_spec::{Dialect, FilterSpec, WrittenFilter};

fn written(dialect: Dialect, key: &str, spec: FilterSpec) -> WrittenFilter {
    WrittenFilter {
        spec,
        dialect,
        field: format!("metadata.annotations[{key}]").into(),
    }
}

/// What is wrong, and not only different from where an annotation comes from.
fn without_notes(mut problems: Vec<String>) -> Vec<String> {
    problems.retain(|problem| !problem.starts_with("note: "));
    problems
}

/// What `enable-cors` alone means.
fn plain() -> Cors {
    Cors {
        origins: vec![OriginRule::Any],
        methods: CorsList::parse("GET, PUT, POST, DELETE, PATCH, OPTIONS").ok(),
        headers: CorsList::parse(
            "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization",
        )
        .ok(),
        exposed: None,
        credentials: true,
        max_age: Some(1_728_000),
        vary: false,
        manner: Manner::Whole,
    }
}

const ENABLE: (&str, &str) = ("nginx.ingress.kubernetes.io/enable-cors", "true");

#[test]
fn cors_of_ingress_nginx_has_its_defaults() {
    let origins = OriginRule::list("https://a.test,https://*.b.test:8443").unwrap();
    let list = |text: &str| CorsList::parse(text).ok();
    let table: [(&str, &str, Cors); 8] = [
        ("cors-allow-origin", "*", plain()),
        (
            "cors-allow-origin",
            "https://a.test, https://*.b.test:8443",
            Cors { origins, ..plain() },
        ),
        (
            "cors-allow-methods",
            "GET, HEAD",
            Cors {
                methods: list("GET, HEAD"),
                ..plain()
            },
        ),
        (
            "cors-allow-headers",
            "X-A,X-B",
            Cors {
                headers: list("X-A,X-B"),
                ..plain()
            },
        ),
        (
            "cors-expose-headers",
            "*",
            Cors {
                exposed: list("*"),
                ..plain()
            },
        ),
        (
            "cors-allow-credentials",
            "false",
            Cors {
                credentials: false,
                ..plain()
            },
        ),
        (
            "cors-max-age",
            "600",
            Cors {
                max_age: Some(600),
                ..plain()
            },
        ),
        (
            "cors-max-age",
            "0",
            Cors {
                max_age: Some(0),
                ..plain()
            },
        ),
    ];
    for (name, value, cors) in table {
        let key = format!("nginx.ingress.kubernetes.io/{name}");
        let (annotations, problems) = read(&[ENABLE, (&key, value)]);
        let expected = written(Dialect::Nginx, ENABLE.0, FilterSpec::Cors(Box::new(cors)));
        assert_eq!(annotations.filters, [expected], "{name}: {value}");
        assert!(without_notes(problems).is_empty(), "{name}");
    }
}

#[test]
fn cors_of_our_own_has_credentials_only_where_written() {
    let key = "blastdoor.dev/cors";
    let (annotations, problems) = read(&[
        (key, "https://a.test"),
        ("blastdoor.dev/cors-methods", "GET"),
        ("blastdoor.dev/cors-headers", "X-A"),
        ("blastdoor.dev/cors-expose", "X-B"),
        ("blastdoor.dev/cors-max-age", "10m"),
    ]);
    let cors = Cors {
        origins: OriginRule::list("https://a.test").unwrap(),
        methods: CorsList::parse("GET").ok(),
        headers: CorsList::parse("X-A").ok(),
        exposed: CorsList::parse("X-B").ok(),
        credentials: false,
        max_age: Some(600),
        ..plain()
    };
    let expected = written(Dialect::Own, key, FilterSpec::Cors(Box::new(cors)));
    assert_eq!((annotations.filters, problems), (vec![expected], vec![]));
}

#[test]
fn options_of_cors_without_cors_are_told() {
    let option = ("nginx.ingress.kubernetes.io/cors-allow-origin", "https://a.test");
    let (annotations, problems) = read(&[option]);
    assert!(annotations.filters.is_empty());
    assert_eq!(
        without_notes(problems),
        ["warning: without effect while `nginx.ingress.kubernetes.io/enable-cors` is not set"]
    );
    let off = ("nginx.ingress.kubernetes.io/enable-cors", "false");
    let (annotations, problems) = read(&[option, off]);
    assert_eq!((annotations.filters, without_notes(problems)), (vec![], vec![]));
    let (_, problems) = read(&[("blastdoor.dev/cors-credentials", "on")]);
    assert_eq!(
        without_notes(problems),
        ["warning: without effect while `blastdoor.dev/cors` is not set"]
    );
    let (_, problems) = read(&[
        ("blastdoor.dev/cors-credentials", "on"),
        ("blastdoor.dev/cors", "*"),
    ]);
    assert!(
        matches!(&*problems, [one] if one.starts_with("warning: browsers send no credentials")),
        "{problems:?}"
    );
}

#[test]
fn fields_are_read_line_by_line() {
    let request = FieldEdits::of_lines("X-A: 1\nX-B:", Message::Request).unwrap();
    let response = FieldEdits::of_lines("X-A: 1", Message::Response).unwrap();
    let map = ObjectKey::new("shop", "fields");
    let table = [
        (
            "blastdoor.dev/request-headers",
            "X-A: 1\nX-B:\n",
            Some(FilterSpec::RequestFields(request)),
        ),
        (
            "blastdoor.dev/response-headers",
            "X-A: 1",
            Some(FilterSpec::ResponseFields(response)),
        ),
        (
            "blastdoor.dev/security-headers",
            "on",
            Some(FilterSpec::SecurityFields),
        ),
        ("blastdoor.dev/security-headers", "off", None),
        (
            "nginx.ingress.kubernetes.io/custom-headers",
            "shop/fields",
            Some(FilterSpec::ResponseFieldsOf(map.clone())),
        ),
        (
            "nginx.ingress.kubernetes.io/custom-headers",
            "fields",
            Some(FilterSpec::ResponseFieldsOf(map)),
        ),
    ];
    for (key, value, spec) in table {
        let dialect = if key.starts_with("nginx") {
            Dialect::Nginx
        } else {
            Dialect::Own
        };
        let (annotations, problems) = read(&[(key, value)]);
        let expected: Vec<_> = spec.map(|spec| written(dialect, key, spec)).into_iter().collect();
        assert_eq!(
            (annotations.filters, without_notes(problems)),
            (expected, vec![]),
            "{key}: {value}"
        );
    }
}

#[test]
fn what_cannot_be_read_closes_and_shows_no_value() {
    let table = [
        ("blastdoor.dev/cors", ""),
        ("blastdoor.dev/cors", "a.test"),
        ("blastdoor.dev/cors-max-age", "soon"),
        ("blastdoor.dev/cors-credentials", "maybe"),
        ("nginx.ingress.kubernetes.io/enable-cors", "yes"),
        ("nginx.ingress.kubernetes.io/cors-allow-origin", "https://a.test/"),
        ("nginx.ingress.kubernetes.io/cors-allow-methods", "GET PUT"),
        ("nginx.ingress.kubernetes.io/cors-allow-headers", ""),
        ("nginx.ingress.kubernetes.io/cors-expose-headers", "a b"),
        ("nginx.ingress.kubernetes.io/cors-allow-credentials", "on"),
        ("nginx.ingress.kubernetes.io/cors-max-age", "-1"),
        ("blastdoor.dev/request-headers", "Authorization Bearer secret"),
        ("blastdoor.dev/request-headers", "Content-Length: secret"),
        ("blastdoor.dev/request-headers", "X-Blastdoor-Door: secret"),
        ("blastdoor.dev/request-headers", "Host: secret"),
        ("blastdoor.dev/response-headers", "X-A: sec\u{1}ret"),
        ("blastdoor.dev/response-headers", " "),
        ("blastdoor.dev/security-headers", "strict"),
        ("blastdoor.dev/security-header", "on"),
        ("nginx.ingress.kubernetes.io/custom-headers", "other/fields"),
        ("nginx.ingress.kubernetes.io/custom-headers", ""),
    ];
    for (key, value) in table {
        let (annotations, problems) = read(&[(key, value)]);
        assert_eq!(annotations.closes.len(), 1, "{key}: {value}");
        assert!(
            problems.iter().all(|problem| !problem.contains("secret")),
            "{key}: {problems:?}"
        );
    }
}
