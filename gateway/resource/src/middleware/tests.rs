use filter::basic_auth::{self, BasicAuth};
use filter::realm::Realm;
use serde_json::{Value, json};

use super::row::{FieldRow, Form, KindEffect};
use super::table::KINDS;
use super::{InvalidMiddleware, Middleware, MiddlewareKind, RawMiddleware};
use crate::filter_spec::{BasicAuthSpec, FilterSpec, UsersForm};
use crate::{Object, Problem, Severity};

#[expect(clippy::needless_pass_by_value, reason = "`json!` makes values")]
fn read(spec: Value) -> (Middleware, Vec<Problem>) {
    let raw: RawMiddleware =
        serde_json::from_value(json!({"metadata": {"namespace": "shop", "name": "m"}, "spec": spec}))
            .unwrap();
    let mut problems = Vec::new();
    let middleware = Middleware::from_api(raw, &mut problems).unwrap();
    (middleware, problems)
}

fn invalid(spec: Value) -> InvalidMiddleware {
    let (middleware, problems) = read(spec);
    let invalid = middleware.kind.unwrap_err();
    assert_eq!(problems.last().unwrap().field, *invalid.field);
    // An Ingress that names it has the error.
    assert_eq!(problems.last().unwrap().severity, Severity::Note);
    assert!(problems.last().unwrap().message.starts_with(&*invalid.reason));
    invalid
}

/// A value of this form that is read without complaint.
fn sample(form: Form) -> Value {
    match form {
        Form::Text => json!(""),
        Form::Truth => json!(false),
        Form::Natural | Form::Integer | Form::Port | Form::Any => json!(0),
        Form::Duration => json!("0s"),
        Form::Texts => json!([]),
        Form::TextMap | Form::NumberMap => json!({}),
        Form::Object(fields) => object(fields),
        Form::Objects(fields) => json!([object(fields)]),
    }
}

fn object(fields: &[FieldRow]) -> Value {
    fields
        .iter()
        .map(|row| (row.name.to_owned(), sample(row.form)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A value that no field of this form takes.
fn misfit(form: Form) -> Option<Value> {
    Some(match form {
        Form::Text | Form::Texts | Form::TextMap | Form::NumberMap | Form::Object(_) | Form::Objects(_) => {
            json!(7)
        }
        Form::Truth | Form::Natural | Form::Integer | Form::Duration => json!("x"),
        Form::Port => json!(true),
        Form::Any => return None,
    })
}

/// The raw types know every field of the rows: what fits them never fails to be read for its form.
#[test]
fn raw_types_agree_with_their_rows() {
    for kind in KINDS
        .iter()
        .filter(|kind| matches!(kind.effect, KindEffect::Honoured(_)))
    {
        let (middleware, _) = read(json!({kind.name: object(kind.fields)}));
        if let Err(invalid) = middleware.kind {
            for words in [
                "unknown field",
                "invalid type",
                "expected one of",
                "missing field",
            ] {
                assert!(!invalid.reason.contains(words), "{}: {invalid}", kind.name);
            }
        }
    }
}

#[test]
fn a_field_that_does_not_fit_is_named() {
    fn each(fields: &'static [FieldRow], at: &str, put: &dyn Fn(Value) -> Value) {
        for row in fields {
            let at = format!("{at}.{}", row.name);
            if let Some(misfit) = misfit(row.form) {
                let invalid = invalid(put(json!({row.name: misfit})));
                assert_eq!(*invalid.field, *at, "{invalid}");
            }
            match row.form {
                Form::Object(fields) => each(fields, &at, &|value| put(json!({row.name: value}))),
                Form::Objects(fields) => {
                    each(fields, &format!("{at}[0]"), &|value| {
                        put(json!({row.name: [value]}))
                    });
                }
                Form::Text
                | Form::Truth
                | Form::Natural
                | Form::Integer
                | Form::Duration
                | Form::Port
                | Form::Texts
                | Form::TextMap
                | Form::NumberMap
                | Form::Any => {}
            }
        }
        if !fields.is_empty() {
            let invalid = invalid(put(json!({"xyzzy": 1})));
            assert_eq!(*invalid.field, *format!("{at}.xyzzy"));
            assert!(invalid.reason.starts_with("unknown field"), "{invalid}");
        }
    }
    for kind in KINDS {
        each(
            kind.fields,
            &format!("spec.{}", kind.name),
            &|value| json!({kind.name: value}),
        );
    }
}

#[test]
fn exactly_one_known_kind() {
    let table = [
        (json!(null), "spec", "no kind"),
        (json!({}), "spec", "no kind"),
        (json!({"compress": null}), "spec", "no kind"),
        (json!("x"), "spec", "expected a map"),
        (
            json!({"ratelimit": {}}),
            "spec.ratelimit",
            "did you mean `rateLimit`?",
        ),
        (json!({"jwt": {}}), "spec.jwt", "unknown field"),
        (json!({"plugin": {"x": {"y": 1}}}), "spec.plugin", "plugins"),
        (json!({"compress": {}}), "spec.compress", "not supported yet"),
        (
            json!({"addPrefix": {"prefix": "/a"}, "compress": {}}),
            "spec.compress",
            "second kind beside `addPrefix`",
        ),
    ];
    for (spec, field, reason) in table {
        let invalid = invalid(spec.clone());
        assert_eq!(*invalid.field, *field, "{spec}");
        assert!(invalid.reason.contains(reason), "{invalid}");
    }
}

#[test]
fn chains_stay_in_their_namespace() {
    let chain = |name: &str, namespace: Option<&str>| {
        read(json!({"chain": {"middlewares": [{"name": "a"}, {"name": name, "namespace": namespace}]}}))
            .0
            .kind
    };
    let keys = [
        route::ObjectKey::new("shop", "a"),
        route::ObjectKey::new("shop", "b"),
    ];
    for namespace in [None, Some(""), Some("shop")] {
        assert_eq!(
            chain("b", namespace),
            Ok(MiddlewareKind::Chain(keys.clone().into()))
        );
    }
    for (name, namespace, field) in [
        ("b", Some("other"), "spec.chain.middlewares[1].namespace"),
        ("b@file", None, "spec.chain.middlewares[1].name"),
        ("", None, "spec.chain.middlewares[1].name"),
        ("A b", None, "spec.chain.middlewares[1].name"),
    ] {
        assert_eq!(*chain(name, namespace).unwrap_err().field, *field);
    }
    assert_eq!(*invalid(json!({"chain": {}})).field, *"spec.chain.middlewares");
}

#[test]
fn basic_auth_is_read() {
    let spec = |middleware: Middleware| match middleware.kind.unwrap() {
        MiddlewareKind::Filters(filters) => match &filters[..] {
            [FilterSpec::BasicAuth(spec)] => (**spec).clone(),
            other => panic!("{other:?}"),
        },
        MiddlewareKind::Chain(keys) => panic!("{keys:?}"),
    };
    let settings = |realm: &str, user_field: Option<&str>, forwards| BasicAuth {
        realm: Realm::parse(realm).unwrap(),
        user_field: user_field.map(|name| basic_auth::user_field(name).unwrap()),
        forwards,
    };
    for (fields, settings) in [
        (json!({"secret": "users"}), settings("traefik", None, true)),
        (
            json!({"secret": "users", "realm": "", "headerField": ""}),
            settings("traefik", None, true),
        ),
        (
            json!({"secret": "users", "realm": "staff", "headerField": "X-User", "removeHeader": true}),
            settings("staff", Some("X-User"), false),
        ),
    ] {
        let (middleware, problems) = read(json!({"basicAuth": fields}));
        assert_eq!(problems, [], "{fields}");
        let expected = BasicAuthSpec {
            secret: route::ObjectKey::new("shop", "users"),
            form: UsersForm::Only,
            settings,
        };
        assert_eq!(spec(middleware), expected, "{fields}");
    }
    for (fields, field, reason) in [
        (json!({}), "secret", "it is missing"),
        (
            json!({"secret": "other/users"}),
            "secret",
            "is not the name of an object",
        ),
        (
            json!({"secret": "users", "realm": "a\r\nb"}),
            "realm",
            "control characters",
        ),
        (
            json!({"secret": "users", "headerField": "X-Blastdoor-Door"}),
            "headerField",
            "asserts itself",
        ),
        (
            json!({"secret": "users", "users": ["a:b"]}),
            "users",
            "unknown field",
        ),
    ] {
        let invalid = invalid(json!({"basicAuth": fields}));
        assert_eq!(*invalid.field, *format!("spec.basicAuth.{field}"));
        assert!(invalid.reason.contains(reason), "{invalid}");
    }
}

#[test]
fn a_size_that_is_cut_is_told() {
    let told = |fields: Value| {
        let mut spec = json!({"address": "http://auth", "forwardBody": true});
        for (name, value) in fields.as_object().unwrap() {
            spec[name] = value.clone();
        }
        let (_, problems) = read(json!({"forwardAuth": spec}));
        problems
            .into_iter()
            .map(|problem| problem.field)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        told(json!({"maxBodySize": 1_048_576, "maxResponseBodySize": -1})),
        [""; 0]
    );
    assert_eq!(
        told(json!({"maxBodySize": 1_048_577})),
        ["spec.forwardAuth.maxBodySize"]
    );
    assert_eq!(
        told(json!({"maxResponseBodySize": 2_000_000})),
        ["spec.forwardAuth.maxResponseBodySize"]
    );
    assert_eq!(
        told(json!({"maxBodySize": 1_048_577, "forwardBody": false})),
        [""; 0]
    );
}

#[test]
fn fields_without_effect_are_told() {
    let (_, problems) = read(json!({"headers": {"publicKey": "x", "sslRedirect": false}}));
    let told = |field: &str| problems.iter().any(|problem| problem.field == field);
    assert!(told("spec.headers.publicKey"), "{problems:?}");
    assert!(!told("spec.headers.sslRedirect"), "{problems:?}");
}

/// Examples stand in the reference; one that is wrong there would be copied.
#[test]
fn examples_are_read() {
    for kind in KINDS {
        let indented: String = kind.example.lines().map(|line| format!("  {line}\n")).collect();
        let text = format!(
            "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {{name: m, namespace: shop}}\nspec:\n{indented}"
        );
        let manifest = crate::manifest::parse("m.yaml", text.as_bytes());
        let [placed] = &manifest.objects[..] else {
            panic!("{}: {:?}", kind.name, manifest.problems);
        };
        let Object::Middleware(middleware) = &placed.object else {
            panic!("{placed:?}");
        };
        match (&kind.effect, &middleware.kind) {
            (KindEffect::Honoured(_), Ok(_)) => assert_eq!(manifest.problems, [], "{}", kind.name),
            (KindEffect::Honoured(_), Err(invalid)) => panic!("{}: {invalid}", kind.name),
            (KindEffect::Closes(reason), Err(invalid)) => {
                assert_eq!(*invalid.reason, **reason, "{}", kind.name);
            }
            (KindEffect::Closes(_), Ok(_)) => panic!("{}", kind.name),
        }
    }
}
