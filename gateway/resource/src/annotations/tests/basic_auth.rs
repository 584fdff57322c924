//! Names and passwords, in both spellings.

use filter::basic_auth::{BasicAuth, user_field};
use filter::realm::Realm;
use route::ObjectKey;

use super::read;
use crate::filter_spec::{BasicAuthSpec, Dialect, FilterSpec, UsersForm};

const OWN: &str = "blastdoor.dev/basic-auth";
const NGINX: &str = "nginx.ingress.kubernetes.io/auth-";

fn own(option: &str) -> String {
    format!("{OWN}{option}")
}

fn nginx(option: &str) -> String {
    format!("{NGINX}{option}")
}

fn settings(realm: &str) -> BasicAuth {
    BasicAuth {
        realm: Realm::parse(realm).unwrap(),
        ..BasicAuth::default()
    }
}

#[test]
fn passwords_are_asked_for() {
    let table = [
        (
            vec![(own(""), "users")],
            Dialect::Own,
            UsersForm::Any,
            settings("Authentication Required"),
        ),
        (
            vec![
                (own(""), "users"),
                (own("-realm"), "staff \"only\""),
                (own("-header"), "X-User"),
                (own("-forward"), "on"),
            ],
            Dialect::Own,
            UsersForm::Any,
            BasicAuth {
                user_field: Some(user_field("x-user").unwrap()),
                forwards: true,
                ..settings("staff \"only\"")
            },
        ),
        (
            vec![(nginx("type"), "basic"), (nginx("secret"), "users")],
            Dialect::Nginx,
            UsersForm::File,
            settings("Authentication Required"),
        ),
        (
            vec![
                (nginx("type"), "basic"),
                (nginx("secret"), "shop/users"),
                (nginx("secret-type"), "auth-map"),
                (nginx("realm"), "staff"),
            ],
            Dialect::Nginx,
            UsersForm::Map,
            settings("staff"),
        ),
        (
            vec![
                (nginx("type"), "basic"),
                (nginx("secret"), "users"),
                (nginx("secret-type"), "auth-file"),
            ],
            Dialect::Nginx,
            UsersForm::File,
            settings("Authentication Required"),
        ),
    ];
    for (pairs, dialect, form, settings) in table {
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (&**key, *value)).collect();
        let (annotations, problems) = read(&pairs);
        assert_eq!(problems, [""; 0], "{pairs:?}");
        let [written] = &annotations.filters[..] else {
            panic!("{annotations:?}");
        };
        let expected = BasicAuthSpec {
            secret: ObjectKey::new("shop", "users"),
            form,
            settings,
        };
        assert_eq!(
            written.spec,
            FilterSpec::BasicAuth(Box::new(expected)),
            "{pairs:?}"
        );
        assert_eq!(written.dialect, dialect);
        let main = if dialect == Dialect::Own {
            own("")
        } else {
            nginx("type")
        };
        assert_eq!(*written.field, *format!("metadata.annotations[{main}]"));
        assert_eq!(annotations.closes, []);
    }
}

#[test]
fn what_asks_for_passwords_and_cannot_have_them_closes() {
    let table = [
        (vec![(own(""), "")], "is not the name of a Secret"),
        (vec![(own(""), "other/users")], "is not the name of a Secret"),
        (
            vec![(own("-realm"), "staff")],
            "it asks for nothing without `blastdoor.dev/basic-auth`",
        ),
        (
            vec![(own(""), "users"), (own("-realm"), "a\u{7}b")],
            "control characters",
        ),
        (
            vec![(own(""), "users"), (own("-header"), "X User")],
            "is not the name of a header field",
        ),
        (
            vec![(own(""), "users"), (own("-header"), "X_Blastdoor_Door")],
            "asserts itself",
        ),
        (
            vec![(own(""), "users"), (own("-header"), "Connection")],
            "belongs to one connection",
        ),
        (
            vec![(own(""), "users"), (own("-forward"), "maybe")],
            "is neither `on` nor `off`",
        ),
        (vec![(own("s"), "users")], "may be a misspelling"),
        (
            vec![(nginx("type"), "digest"), (nginx("secret"), "users")],
            "HTTP Digest is not supported yet",
        ),
        (
            vec![(nginx("type"), "Basic"), (nginx("secret"), "users")],
            "`Basic` is not `basic`",
        ),
        (
            vec![(nginx("type"), ""), (nginx("secret"), "users")],
            "`` is not `basic`",
        ),
        (
            vec![(nginx("type"), "basic")],
            "`nginx.ingress.kubernetes.io/auth-secret` is missing",
        ),
        (
            vec![(nginx("type"), "basic"), (nginx("secret"), "other/users")],
            "the Secret is in namespace `other`",
        ),
        (
            vec![(nginx("type"), "basic"), (nginx("secret"), "")],
            "is not `namespace/name` of a Secret",
        ),
        (
            vec![
                (nginx("type"), "basic"),
                (nginx("secret"), "users"),
                (nginx("secret-type"), "map"),
            ],
            "is neither `auth-file` nor `auth-map`",
        ),
        (
            vec![(nginx("secret"), "users")],
            "it asks for nothing without `nginx.ingress.kubernetes.io/auth-type`",
        ),
        (
            vec![(nginx("realm"), "staff")],
            "it asks for nothing without `nginx.ingress.kubernetes.io/auth-type`",
        ),
    ];
    for (pairs, reason) in table {
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (&**key, *value)).collect();
        let (annotations, problems) = read(&pairs);
        assert_eq!(annotations.closes.len(), 1, "{pairs:?}: {problems:?}");
        let [problem] = &problems[..] else {
            panic!("{pairs:?}: {problems:?}");
        };
        assert!(
            problem.starts_with("error: ") && problem.contains(reason),
            "{pairs:?}: {problem}"
        );
    }
}

/// Two spellings are two filters: what becomes of them is decided where they are merged.
#[test]
fn spellings_stand_beside_each_other() {
    let (annotations, problems) = read(&[
        (OWN, "users"),
        (&nginx("type"), "basic"),
        (&nginx("secret"), "others"),
    ]);
    let dialects: Vec<Dialect> = annotations
        .filters
        .iter()
        .map(|written| written.dialect)
        .collect();
    assert_eq!(dialects, [Dialect::Own, Dialect::Nginx]);
    assert_eq!(problems, [""; 0]);
}
