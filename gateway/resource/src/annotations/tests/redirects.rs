//! Redirects, paths and hosts.

use filter::path_edit::PathEdit;
use filter::redirect::{Destination, Redirect};
use route::HostPattern;

use super::{Annotations, nginx, read};
use crate::annotations::{PathMatcher, PathReading};
use crate::filter_spec::FilterSpec;

fn own(name: &str, value: &str) -> (Annotations, Vec<String>) {
    read(&[(&format!("blastdoor.dev/{name}"), value)])
}

fn specs(annotations: &Annotations) -> Vec<FilterSpec> {
    let filters = annotations.filters.iter();
    filters.map(|filter| filter.spec.clone()).collect()
}

fn to(destination: &str, status: u16) -> FilterSpec {
    FilterSpec::Redirect(Redirect::To {
        destination: Destination::parse(destination).unwrap(),
        status,
    })
}

#[test]
fn fixed_redirects_have_their_statuses() {
    let key = |name: &str| format!("nginx.ingress.kubernetes.io/{name}");
    let table: [(&[(&str, &str)], FilterSpec); 6] = [
        (
            &[("permanent-redirect", "https://b.test")],
            to("https://b.test", 301),
        ),
        (&[("temporal-redirect", "/x")], to("/x", 302)),
        (
            &[("permanent-redirect", "/x"), ("permanent-redirect-code", "308")],
            to("/x", 308),
        ),
        (
            &[("temporal-redirect", "/x"), ("temporal-redirect-code", "303")],
            to("/x", 303),
        ),
        (
            &[("permanent-redirect", "https://b.test$request_uri")],
            to("https://b.test$request_uri", 301),
        ),
        (
            &[("app-root", "/app")],
            FilterSpec::AppRoot(Destination::path("/app").unwrap()),
        ),
    ];
    for (pairs, expected) in table {
        let pairs: Vec<(String, &str)> = pairs.iter().map(|(name, value)| (key(name), *value)).collect();
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        let (annotations, reported) = read(&pairs);
        assert_eq!(specs(&annotations), [expected], "{pairs:?}");
        assert_eq!(reported, Vec::<String>::new());
    }
    let (annotations, _) = read(&[
        ("blastdoor.dev/redirect", "/x"),
        ("blastdoor.dev/redirect-status", "307"),
    ]);
    assert_eq!(specs(&annotations), [to("/x", 307)]);
}

#[test]
fn temporal_wins_over_permanent() {
    let (annotations, reported) = read(&[
        ("nginx.ingress.kubernetes.io/permanent-redirect", "/p"),
        ("nginx.ingress.kubernetes.io/temporal-redirect", "/t"),
    ]);
    assert_eq!(specs(&annotations), [to("/t", 302)]);
    assert!(reported[0].contains("no effect beside"), "{reported:?}");
}

#[test]
fn redirects_that_lead_astray_close() {
    for (name, value) in [
        ("permanent-redirect", "example.com"),
        ("permanent-redirect", "//example.com"),
        ("permanent-redirect", "javascript:x"),
        ("permanent-redirect", "https://$arg_x"),
        ("temporal-redirect", "https://a/$nope"),
        ("permanent-redirect-code", "304"),
        ("permanent-redirect-code", "200"),
        ("permanent-redirect-code", "x"),
        ("app-root", "https://example.com"),
        ("app-root", "app"),
        ("app-root", "//x"),
        ("from-to-www-redirect", "maybe"),
        ("rewrite-target", "x"),
        ("rewrite-target", ""),
        ("rewrite-target", "/$host"),
        ("rewrite-target", "/a/../b"),
        ("rewrite-target", "https://$1/"),
        ("use-regex", "maybe"),
        ("x-forwarded-prefix", "/a b"),
        ("upstream-vhost", "a b"),
        ("upstream-vhost", "http://a"),
    ] {
        let (annotations, reported) = nginx(name, value);
        assert_eq!(annotations.closes.len(), 1, "{name}: {value}: {reported:?}");
    }
    for (name, value) in [
        ("strip-prefix", "api"),
        ("strip-prefix", ""),
        ("add-prefix", "/a?b"),
        ("host", "a/b"),
    ] {
        assert_eq!(own(name, value).0.closes.len(), 1, "{name}: {value}");
    }
}

#[test]
fn a_status_alone_has_no_effect() {
    let (annotations, reported) = nginx("temporal-redirect-code", "307");
    assert!(annotations.filters.is_empty() && annotations.closes.is_empty());
    assert!(reported[0].contains("no effect without"), "{reported:?}");
}

#[test]
fn paths_are_edited_in_both_spellings() {
    let strip = |prefixes: &[&str]| {
        let prefixes = prefixes.iter().map(|prefix| Box::from(*prefix)).collect();
        FilterSpec::Path(PathEdit::StripPrefix(prefixes))
    };
    assert_eq!(
        specs(&own("strip-prefix", "/api, /%76/").0),
        [strip(&["/api", "/v/"])]
    );
    let add = PathEdit::AddPrefix("/v1".into());
    assert_eq!(specs(&own("add-prefix", "/v1").0), [FilterSpec::Path(add)]);
    for (annotations, _) in [own("rewrite", "/$2"), nginx("rewrite-target", "/$2")] {
        assert!(
            matches!(&specs(&annotations)[..], [FilterSpec::Rewrite(target)] if target.as_str() == "/$2")
        );
        assert!(annotations.paths.rewrites);
    }
    for (annotations, _) in [own("host", "b.test"), nginx("upstream-vhost", "b.test")] {
        assert!(
            matches!(&specs(&annotations)[..], [FilterSpec::UpstreamHost(host)] if host.as_str() == "b.test")
        );
    }
}

#[test]
fn paths_are_read_as_annotations_say() {
    let regex = PathReading {
        regex: true,
        ..PathReading::default()
    };
    assert_eq!(own("path-regex", "on").0.paths, regex);
    assert_eq!(nginx("use-regex", "true").0.paths, regex);
    assert_eq!(nginx("use-regex", "false").0.paths, PathReading::default());
    let matcher = |value| read(&[("traefik.ingress.kubernetes.io/router.pathmatcher", value)]).0;
    assert_eq!(matcher("PathPrefix").paths.matcher, PathMatcher::Prefix);
    assert_eq!(matcher("Path").paths.matcher, PathMatcher::Exact);
    assert_eq!(matcher("PathRegexp").paths.matcher, PathMatcher::Regex);
    assert_eq!(matcher("PathPrefixStrip").closes.len(), 1);
    let (annotations, _) = read(&[
        ("nginx.ingress.kubernetes.io/use-regex", "true"),
        ("traefik.ingress.kubernetes.io/router.pathmatcher", "PathRegexp"),
    ]);
    assert_eq!(annotations.closes.len(), 1, "two readings of one path");
}

#[test]
fn aliases_are_hosts() {
    let (annotations, reported) = nginx("server-alias", "b.test, *.c.test,, ~^x, d.test:80");
    let hosts = ["b.test", "*.c.test"].map(|host| HostPattern::parse(host).unwrap());
    assert_eq!(annotations.aliases, hosts);
    assert!(annotations.closes.is_empty());
    assert_eq!(reported.len(), 2, "{reported:?}");
    assert!(reported[0].contains("regular expression") && reported[1].contains("port"));
    let (annotations, reported) = read(&[
        ("nginx.ingress.kubernetes.io/server-alias", "b.test"),
        ("nginx.ingress.kubernetes.io/ssl-passthrough", "true"),
    ]);
    assert!(annotations.aliases.is_empty() && reported[0].contains("no effect beside"));
}
