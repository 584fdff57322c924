use serde_json::{Value, json};

use super::*;
use crate::middleware::{Middleware, RawMiddleware};

type Read = (Result<filter::headers::Headers, String>, Vec<String>);

#[expect(clippy::needless_pass_by_value, reason = "`json!` makes values")]
fn read(content: Value) -> Read {
    let raw = json!({"metadata": {"namespace": "shop", "name": "m"}, "spec": {"headers": content}});
    let raw: RawMiddleware = serde_json::from_value(raw).unwrap();
    let mut problems = Vec::new();
    let middleware = Middleware::from_api(raw, &mut problems).unwrap();
    let headers = match middleware.kind {
        Ok(MiddlewareKind::Filters(specs)) => match specs.as_slice() {
            [FilterSpec::Headers(headers)] => Ok((**headers).clone()),
            other => panic!("{other:?}"),
        },
        Ok(other) => panic!("{other:?}"),
        Err(invalid) => Err(invalid.to_string()),
    };
    let told = problems
        .into_iter()
        .map(|problem| format!("{}: {}", problem.field, problem.message));
    (headers, told.collect())
}

fn edits(lines: &str, message: Message) -> FieldEdits {
    FieldEdits::of_lines(lines, message).unwrap()
}

/// One field each, and what it becomes.
#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn each_field_becomes_what_it_says() {
    let none = filter::headers::Headers::default;
    let response = |lines: &str| edits(lines, Message::Response);
    let security = |lines: &str| filter::headers::Headers {
        security: response(lines),
        ..none()
    };
    let hsts = Hsts {
        seconds: 60,
        include_subdomains: false,
        preload: false,
        everywhere: false,
    };
    let sts = |hsts: Hsts| filter::headers::Headers {
        hsts: Some(hsts),
        ..none()
    };
    let cors = Cors {
        origins: Vec::new(),
        methods: None,
        headers: None,
        exposed: None,
        credentials: false,
        max_age: None,
        vary: false,
        manner: Manner::Traefik,
    };
    let list = |text: &str| CorsList::parse(text).ok();
    let with = |cors: Cors| filter::headers::Headers {
        cors: Some(cors),
        ..none()
    };
    let table = [
        (
            json!({"customRequestHeaders": {"X-A": "1", "X-B": "", "hOST": "b.test:81"}}),
            filter::headers::Headers {
                request: edits("X-A: 1\nX-B:", Message::Request),
                host: Some("b.test:81".parse().unwrap()),
                ..none()
            },
        ),
        (
            json!({"customResponseHeaders": {"Server": "", "X-A": "1\n 2"}}),
            filter::headers::Headers {
                response: response("Server:\nX-A: 1 2"),
                ..none()
            },
        ),
        (json!({"frameDeny": true}), security("X-Frame-Options: DENY")),
        (
            json!({"frameDeny": true, "customFrameOptionsValue": "SAMEORIGIN"}),
            security("X-Frame-Options: SAMEORIGIN"),
        ),
        (
            json!({"contentTypeNosniff": true}),
            security("X-Content-Type-Options: nosniff"),
        ),
        (
            json!({"browserXssFilter": true}),
            security("X-XSS-Protection: 1; mode=block"),
        ),
        (
            json!({"customBrowserXSSValue": "0"}),
            security("X-XSS-Protection: 0"),
        ),
        (
            json!({"contentSecurityPolicy": "a"}),
            security("Content-Security-Policy: a"),
        ),
        (
            json!({"contentSecurityPolicyReportOnly": "a"}),
            security("Content-Security-Policy-Report-Only: a"),
        ),
        (
            json!({"referrerPolicy": "same-origin"}),
            security("Referrer-Policy: same-origin"),
        ),
        (
            json!({"permissionsPolicy": "camera=()"}),
            security("Permissions-Policy: camera=()"),
        ),
        (
            json!({"featurePolicy": "camera 'none'"}),
            security("Feature-Policy: camera 'none'"),
        ),
        (json!({"stsSeconds": 60}), sts(hsts.clone())),
        (
            json!({"stsSeconds": 60, "stsIncludeSubdomains": true, "stsPreload": true, "forceSTSHeader": true}),
            sts(Hsts {
                include_subdomains: true,
                preload: true,
                everywhere: true,
                ..hsts
            }),
        ),
        (
            json!({"allowedHosts": ["a.test", "b.test:81"]}),
            filter::headers::Headers {
                allowed_hosts: ["a.test".into(), "b.test:81".into()].into(),
                ..none()
            },
        ),
        (
            json!({"isDevelopment": true, "allowedHosts": ["a.test"], "stsSeconds": 60}),
            none(),
        ),
        (
            json!({"accessControlAllowOriginList": ["https://a.test", "*"], "accessControlAllowOriginListRegex": ["https://.*"]}),
            with(Cors {
                origins: vec![
                    OriginRule::literal("https://a.test").unwrap(),
                    OriginRule::Any,
                    OriginRule::matching("https://.*").unwrap(),
                ],
                ..cors.clone()
            }),
        ),
        (
            json!({"accessControlAllowMethods": ["GET", "PUT"]}),
            with(Cors {
                methods: list("GET,PUT"),
                ..cors.clone()
            }),
        ),
        (
            json!({"accessControlAllowHeaders": ["*"]}),
            with(Cors {
                headers: list("*"),
                ..cors.clone()
            }),
        ),
        (
            json!({"accessControlExposeHeaders": ["X-A"]}),
            with(Cors {
                exposed: list("X-A"),
                ..cors.clone()
            }),
        ),
        (
            json!({"accessControlAllowCredentials": true}),
            with(Cors {
                credentials: true,
                ..cors.clone()
            }),
        ),
        (
            json!({"accessControlMaxAge": 60}),
            with(Cors {
                max_age: Some(60),
                ..cors.clone()
            }),
        ),
        (json!({"addVaryHeader": true}), with(Cors { vary: true, ..cors })),
    ];
    for (content, expected) in table {
        assert_eq!(read(content.clone()), (Ok(expected), vec![]), "{content}");
    }
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    let table = [
        (json!({}), ""),
        (json!({"stsSeconds": 0}), ""),
        (json!({"stsSeconds": -1}), ".stsSeconds"),
        (json!({"accessControlMaxAge": -1}), ".accessControlMaxAge"),
        (
            json!({"customRequestHeaders": {"Connection": "secret"}}),
            ".customRequestHeaders",
        ),
        (
            json!({"customRequestHeaders": {"X_Blastdoor_Door": "secret"}}),
            ".customRequestHeaders",
        ),
        (
            json!({"customRequestHeaders": {"Host": ""}}),
            ".customRequestHeaders",
        ),
        (
            json!({"customRequestHeaders": {"Host": "a/secret"}}),
            ".customRequestHeaders",
        ),
        (
            json!({"customRequestHeaders": {"Host": "a", "host": "b"}}),
            ".customRequestHeaders",
        ),
        (
            json!({"customResponseHeaders": {"Transfer-Encoding": "secret"}}),
            ".customResponseHeaders",
        ),
        (
            json!({"customResponseHeaders": {"X A": "secret"}}),
            ".customResponseHeaders",
        ),
        (
            json!({"contentSecurityPolicy": "script-src $NONCE"}),
            ".contentSecurityPolicy",
        ),
        (json!({"referrerPolicy": "sec\u{1}ret"}), ""),
        (
            json!({"accessControlAllowOriginList": ["a.test"]}),
            ".accessControlAllowOriginList[0]",
        ),
        (
            json!({"accessControlAllowOriginList": ["https://*.a.test"]}),
            ".accessControlAllowOriginList[0]",
        ),
        (
            json!({"accessControlAllowOriginListRegex": ["("]}),
            ".accessControlAllowOriginListRegex[0]",
        ),
        (
            json!({"accessControlAllowMethods": ["GET POST"]}),
            ".accessControlAllowMethods",
        ),
    ];
    for (content, field) in table {
        let (refused, _) = read(content.clone());
        let refused = refused.unwrap_err();
        assert!(
            refused.starts_with(&format!("spec.headers{field}: ")),
            "{content}: {refused}"
        );
        assert!(!refused.contains("secret"), "{content}: {refused}");
    }
}

#[test]
fn what_has_no_effect_or_too_much_is_told() {
    let origin = json!(["*"]);
    let table = [
        (json!({"publicKey": "x", "frameDeny": true}), "publicKey"),
        (json!({"sslRedirect": true, "frameDeny": true}), "sslRedirect"),
        (
            json!({"sslTemporaryRedirect": true, "frameDeny": true}),
            "sslTemporaryRedirect",
        ),
        (json!({"sslHost": "x", "frameDeny": true}), "sslHost"),
        (json!({"sslForceHost": true, "frameDeny": true}), "sslForceHost"),
        (
            json!({"sslProxyHeaders": {"a": "b"}, "frameDeny": true}),
            "sslProxyHeaders",
        ),
        (
            json!({"hostsProxyHeaders": ["a"], "frameDeny": true}),
            "hostsProxyHeaders",
        ),
        (
            json!({"accessControlAllowCredentials": true, "accessControlAllowOriginList": origin}),
            "accessControlAllowOriginList",
        ),
        (
            json!({"accessControlAllowCredentials": true, "accessControlAllowOriginListRegex": [".*"]}),
            "accessControlAllowOriginListRegex[0]",
        ),
    ];
    for (content, field) in table {
        let (headers, told) = read(content.clone());
        assert!(headers.is_ok(), "{content}");
        assert!(
            matches!(&*told, [one] if one.starts_with(&format!("spec.headers.{field}: "))),
            "{content}: {told:?}"
        );
    }
}
