//! Names of Middlewares.

use super::read;

const TRAEFIK: &str = "traefik.ingress.kubernetes.io/router.middlewares";
const OWN: &str = "blastdoor.dev/middlewares";

/// The names, without their namespace, which is always that of the Ingress.
fn named(annotations: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let (parsed, reported) = read(annotations);
    assert_eq!(parsed.closes, []);
    let named = parsed.middlewares.iter().map(|named| {
        assert_eq!(named.key.namespace(), "shop");
        named.key.name().to_owned()
    });
    (named.collect(), reported)
}

#[test]
fn middlewares_are_named_in_either_spelling() {
    let table: [(&str, &str, &[&str]); 4] = [
        (TRAEFIK, "shop-limit@kubernetescrd", &["limit"]),
        (
            TRAEFIK,
            " shop-limit@kubernetescrd , shop-basic-auth@kubernetescrd",
            &["limit", "basic-auth"],
        ),
        (OWN, "limit", &["limit"]),
        (OWN, "limit,basic-auth", &["limit", "basic-auth"]),
    ];
    for (key, value, expected) in table {
        assert_eq!(
            named(&[(key, value)]),
            (expected.iter().map(ToString::to_string).collect(), vec![])
        );
    }
}

#[test]
fn what_both_spellings_name_runs_once() {
    let both = named(&[
        (TRAEFIK, "shop-a@kubernetescrd,shop-b@kubernetescrd"),
        (OWN, "b,c"),
    ]);
    assert_eq!(both.0, ["b", "c", "a"], "in the order of the keys");
    assert_eq!(
        both.1,
        ["note: `b` is named by another annotation too; it runs once"]
    );
    let twice = named(&[(OWN, "a,a")]);
    assert_eq!(twice.0, ["a", "a"]);
    assert_eq!(twice.1, ["warning: `a` is named twice, and runs twice"]);
}

#[test]
fn whatever_is_no_middleware_of_the_own_namespace_closes() {
    let table = [
        (TRAEFIK, "shop-limit", "`shop-limit` names no provider"),
        (TRAEFIK, "shop-limit@file", "is a middleware of provider `file`"),
        (
            TRAEFIK,
            "shop-limit@kubernetescrd@x",
            "of provider `kubernetescrd@x`",
        ),
        (
            TRAEFIK,
            "other-limit@kubernetescrd",
            "is not a Middleware of namespace `shop`",
        ),
        (
            TRAEFIK,
            "limit@kubernetescrd",
            "is not a Middleware of namespace `shop`",
        ),
        (
            TRAEFIK,
            "shop-@kubernetescrd",
            "`` is not the name of a Middleware",
        ),
        (TRAEFIK, "", "a name is empty"),
        (TRAEFIK, "shop-limit@kubernetescrd,", "a name is empty"),
        (OWN, "", "a name is empty"),
        (OWN, "limit,,auth", "a name is empty"),
        (
            OWN,
            "other/limit",
            "`other/limit` is not the name of a Middleware in this namespace",
        ),
        (
            OWN,
            "Limit",
            "`Limit` is not the name of a Middleware in this namespace",
        ),
        (
            OWN,
            "limit@kubernetescrd",
            "is not the name of a Middleware in this namespace",
        ),
        (
            "blastdoor.dev/middleware",
            "limit",
            "may be a misspelling of `blastdoor.dev/middlewares`",
        ),
    ];
    for (key, value, reason) in table {
        let (parsed, reported) = read(&[(key, value)]);
        assert_eq!(parsed.closes.len(), 1, "{key}: {value}");
        assert_eq!(parsed.middlewares, [], "{key}: {value}");
        assert!(
            reported[0].starts_with("error: ") && reported[0].contains(reason),
            "{reported:?}"
        );
    }
}
