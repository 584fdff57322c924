//! Which rule answers: the tables of the Kubernetes documentation ("Ingress", path types and examples; hostname
//! wildcards) and the cases on which it is silent.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use route::{HostBuf, HostPattern, PathPattern, PathScratch, RegexDialect, RowPath, Table, TableBuilder};
use route::{normalise_authority, normalise_path};

/// A rule: host, path with `=` before an exact one, `~*` before a regular expression of ingress-nginx and `~` before one of
/// Traefik, action. The path `*` is the host's default; host and path `*`
/// are the table's.
type Rule = (&'static str, &'static str, &'static str);

fn table(rules: &[Rule]) -> Table<&'static str> {
    let mut builder = TableBuilder::new();
    for (host, path, action) in rules {
        let pattern = || HostPattern::parse(host).unwrap();
        let taken = match *path {
            "*" if *host == "*" => builder.set_default(*action),
            "*" => builder.set_host_default(pattern(), *action),
            path => builder.insert(pattern(), path_pattern(path), *action),
        };
        assert_eq!(taken, Ok(()), "{host}{path} stands twice");
    }
    builder.build()
}

fn path_pattern(path: &str) -> PathPattern {
    let pattern = if let Some(path) = path.strip_prefix('=') {
        PathPattern::exact(path)
    } else if let Some(regex) = path.strip_prefix("~*") {
        PathPattern::regex(regex, RegexDialect::Nginx)
    } else if let Some(regex) = path.strip_prefix('~') {
        PathPattern::regex(regex, RegexDialect::Traefik)
    } else {
        PathPattern::prefix(path)
    };
    pattern.unwrap()
}

/// Host and path in one, as in a URL without its scheme; without a host before the first slash there is no `Host`.
fn find(table: &Table<&'static str>, url: &str) -> Option<&'static str> {
    let (host, path) = url.split_at(url.find('/').unwrap());
    let (mut host_scratch, mut path_scratch) = (HostBuf::new(), PathScratch::default());
    let host = (!host.is_empty()).then(|| normalise_authority(host.as_bytes(), &mut host_scratch).unwrap());
    let path = normalise_path(path.as_bytes(), &mut path_scratch).unwrap();
    table.find(host.as_ref(), &path).copied()
}

#[track_caller]
fn check(rules: &[Rule], cases: &[(&str, Option<&str>)]) {
    let table = table(rules);
    for (url, expected) in cases {
        assert_eq!(find(&table, url), *expected, "{url} with {rules:?}");
    }
}

/// The documentation's table, row by row: kind and paths, request path, the rule that matches.
#[test]
fn the_path_examples_of_the_documentation_hold() {
    for (paths, request, expected) in [
        (&["/"][..], "/any/path", Some("/")),
        (&["=/foo"], "/foo", Some("=/foo")),
        (&["=/foo"], "/bar", None),
        (&["=/foo"], "/foo/", None),
        (&["=/foo/"], "/foo", None),
        (&["/foo"], "/foo", Some("/foo")),
        (&["/foo"], "/foo/", Some("/foo")),
        (&["/foo/"], "/foo", Some("/foo/")),
        (&["/foo/"], "/foo/", Some("/foo/")),
        (&["/aaa/bb"], "/aaa/bbb", None),
        (&["/aaa/bbb"], "/aaa/bbb", Some("/aaa/bbb")),
        (&["/aaa/bbb/"], "/aaa/bbb", Some("/aaa/bbb/")),
        (&["/aaa/bbb"], "/aaa/bbb/", Some("/aaa/bbb")),
        (&["/aaa/bbb"], "/aaa/bbb/ccc", Some("/aaa/bbb")),
        (&["/aaa/bbb"], "/aaa/bbbxyz", None),
        (&["/", "/aaa"], "/aaa/ccc", Some("/aaa")),
        (&["/", "/aaa", "/aaa/bbb"], "/aaa/bbb", Some("/aaa/bbb")),
        (&["/", "/aaa", "/aaa/bbb"], "/ccc", Some("/")),
        (&["/aaa"], "/ccc", None),
        (&["/foo", "=/foo"], "/foo", Some("=/foo")),
    ] {
        let rules: Vec<Rule> = paths.iter().map(|path| ("a.test", *path, *path)).collect();
        check(&rules, &[(&format!("a.test{request}"), expected)]);
        // The documentation's "No, uses default backend".
        let rules = [rules.as_slice(), &[("a.test", "*", "default")]].concat();
        check(
            &rules,
            &[(&format!("a.test{request}"), expected.or(Some("default")))],
        );
    }
}

/// The documentation's table of hostname wildcards, and the features of the conformance suite.
#[test]
fn the_host_examples_of_the_documentation_hold() {
    check(
        &[("*.foo.com", "/", "wild")],
        &[
            ("bar.foo.com/", Some("wild")),
            ("baz.bar.foo.com/", None),
            ("foo.com/", None),
            ("barfoo.com/", None),
            ("bar.foo.com.evil.test/", None),
        ],
    );
    check(
        &[("foo.bar.com", "/", "precise")],
        &[("foo.bar.com/", Some("precise")), ("bar.com/", None)],
    );
}

#[test]
fn a_precise_host_beats_a_wildcard_and_that_beats_no_host() {
    check(
        &[
            ("a.foo.com", "/", "precise"),
            ("*.foo.com", "/", "wild"),
            ("*.b.foo.com", "/", "deep"),
            ("", "/", "hostless"),
        ],
        &[
            ("a.foo.com/", Some("precise")),
            ("A.FOO.COM./x", Some("precise")),
            ("a.foo.com:8443/", Some("precise")),
            ("b.foo.com/", Some("wild")),
            ("x.b.foo.com/", Some("deep")),
            ("x.a.foo.com/", Some("hostless")),
            ("foo.com/", Some("hostless")),
            ("com/", Some("hostless")),
            ("127.0.0.1/", Some("hostless")),
            ("[::1]:80/", Some("hostless")),
            ("/", Some("hostless")),
        ],
    );
    // An address is no name, even where its text has the shape of one.
    check(
        &[("*.0.0.1", "/", "wild")],
        &[
            ("127.0.0.1/", None),
            ("127.0.0.1./", None),
            ("x.0.0.1/", Some("wild")),
        ],
    );
    check(
        &[("*.localhost", "/", "wild")],
        &[("localhost/", None), ("/", None)],
    );
}

#[test]
fn a_host_that_matched_does_not_fall_through() {
    let rules = [
        ("a.foo.com", "/a", "precise"),
        ("*.foo.com", "/w", "wild"),
        ("*.foo.com", "/a", "wild a"),
        ("", "/", "hostless"),
    ];
    check(
        &rules,
        &[
            ("a.foo.com/a", Some("precise")),
            ("a.foo.com/w", None),
            ("a.foo.com/", None),
            ("b.foo.com/w", Some("wild")),
            ("b.foo.com/a", Some("wild a")),
            ("b.foo.com/", None),
            ("c.test/w", Some("hostless")),
        ],
    );
    // The host's own default comes first, then the table's.
    let with_default = [rules.as_slice(), &[("a.foo.com", "*", "own default")]].concat();
    check(
        &with_default,
        &[
            ("a.foo.com/w", Some("own default")),
            ("b.foo.com/", None),
            ("c.test/", Some("hostless")),
        ],
    );
    let with_both = [with_default.as_slice(), &[("*", "*", "default")]].concat();
    check(
        &with_both,
        &[
            ("a.foo.com/w", Some("own default")),
            ("b.foo.com/", Some("default")),
        ],
    );
}

#[test]
fn a_default_answers_what_no_path_matches() {
    check(&[], &[("a.test/", None), ("/", None)]);
    check(
        &[("*", "*", "default")],
        &[
            ("a.test/x", Some("default")),
            ("1.2.3.4/", Some("default")),
            ("/", Some("default")),
        ],
    );
    // A host with nothing but a default still is a host of its own.
    check(
        &[("a.test", "*", "own"), ("", "/", "hostless")],
        &[("a.test/x", Some("own")), ("b.test/x", Some("hostless"))],
    );
    check(
        &[
            ("", "/x", "hostless"),
            ("", "*", "hostless default"),
            ("*", "*", "default"),
            ("a.test", "/y", "a"),
        ],
        &[
            ("b.test/x", Some("hostless")),
            ("b.test/", Some("hostless default")),
            ("/", Some("hostless default")),
            ("a.test/", Some("default")),
        ],
    );
}

#[test]
fn exact_beats_every_prefix() {
    check(
        &[
            ("a.test", "=/foo", "exact"),
            ("a.test", "/foo/", "slash"),
            ("a.test", "/foo", "plain"),
            ("a.test", "/", "root"),
        ],
        &[
            ("a.test/foo", Some("exact")),
            ("a.test/foo/", Some("slash")),
            ("a.test/foo/bar", Some("slash")),
            ("a.test/foobar", Some("root")),
            ("a.test/Foo", Some("root")),
            ("a.test/f%6Fo", Some("exact")),
        ],
    );
    check(
        &[("a.test", "=/", "exact"), ("a.test", "/", "root")],
        &[("a.test/", Some("exact")), ("a.test//", Some("root"))],
    );
}

#[test]
fn prefixes_are_compared_by_element() {
    check(
        &[
            ("a.test", "/a", "a"),
            ("a.test", "/a/b/c", "abc"),
            ("a.test", "/a-b", "a-b"),
            ("a.test", "/a!", "a!"),
            ("a.test", "/a%2Fb", "a%2Fb"),
            ("a.test", "//", "//"),
        ],
        &[
            ("a.test/a", Some("a")),
            ("a.test/a/", Some("a")),
            ("a.test/a/b", Some("a")),
            ("a.test/a/b/cd", Some("a")),
            ("a.test/a/b/c", Some("abc")),
            ("a.test/a/b/c/d", Some("abc")),
            ("a.test/a/z", Some("a")),
            ("a.test/a-b", Some("a-b")),
            ("a.test/a-b/c", Some("a-b")),
            ("a.test/a-bc", None),
            ("a.test/a!/x", Some("a!")),
            ("a.test/a%2fb/c", Some("a%2Fb")),
            ("a.test/a%2Fb", Some("a%2Fb")),
            ("a.test/a%2Fbc", None),
            ("a.test/a;x", None),
            // As `/foo/` matches `/foo`, so `//` matches `/`.
            ("a.test/", Some("//")),
            ("a.test//", Some("//")),
            ("a.test//a", Some("//")),
            ("a.test/b", None),
        ],
    );
}

#[test]
fn a_regular_expression_ranks_among_the_prefixes_by_its_length() {
    let rules = [
        ("a.test", "=/api/v1", "exact"),
        ("a.test", "/", "root"),
        ("a.test", "/api", "api"),
        ("a.test", "/api/v1/items/long", "long"),
        ("a.test", "~*/api/v[0-9]+", "version"),
        ("a.test", "~*/api/v[0-9]+/items", "items"),
    ];
    check(
        &rules,
        &[
            ("a.test/api/v1", Some("exact")),
            ("a.test/api/v1/", Some("version")),
            ("a.test/api/v22", Some("version")),
            ("a.test/api/v2/items", Some("items")),
            ("a.test/api/v2/itemsx", Some("items")),
            // Of equal length, the prefix.
            ("a.test/api/v1/items/long", Some("long")),
            ("a.test/api/v1/items/longer", Some("items")),
            ("a.test/api/x", Some("api")),
            ("a.test/x/api/v1", Some("root")),
        ],
    );
    // Longer than any pattern that matches.
    check(
        &[("a.test", "~/a.*", "pattern"), ("a.test", "/a/bcd", "prefix")],
        &[
            ("a.test/a/bcd/e", Some("prefix")),
            ("a.test/a/bc", Some("pattern")),
        ],
    );
    // Of equal length, the prefix; a trailing slash counts.
    check(
        &[
            ("a.test", "~/a..", "pattern"),
            ("a.test", "/abc", "prefix"),
            ("a.test", "/ab", "short"),
            ("a.test", "/ad/", "slash"),
        ],
        &[
            ("a.test/abc", Some("prefix")),
            ("a.test/ab/c", Some("pattern")),
            ("a.test/ad", Some("slash")),
            ("a.test/ad/x", Some("slash")),
            ("a.test/x/a12", Some("pattern")),
        ],
    );
}

#[test]
fn of_several_regular_expressions_the_longest_is_tried_first_and_then_by_text() {
    check(
        &[
            ("a.test", "~*/a.*", "a.*"),
            ("a.test", "~*/.*b", ".*b"),
            ("a.test", "~*/ab?c?", "longer"),
        ],
        &[
            ("a.test/abc", Some("longer")),
            ("a.test/azb", Some("longer")),
            ("a.test/xb", Some(".*b")),
            ("a.test/x", None),
        ],
    );
    check(
        &[("a.test", "~*/a.*", "a.*"), ("a.test", "~*/.*b", ".*b")],
        &[("a.test/ab", Some(".*b")), ("a.test/ac", Some("a.*"))],
    );
}

#[test]
fn the_two_dialects_differ_in_case_and_anchor() {
    check(
        &[
            ("n.test", "~*/Foo/[a-c]+$", "hit"),
            ("t.test", "~/Foo/[a-c]+$", "hit"),
        ],
        &[
            ("n.test/Foo/abc", Some("hit")),
            ("n.test/foo/ABC", Some("hit")),
            ("n.test/foo/abcd", None),
            ("n.test/x/foo/abc", None),
            ("t.test/Foo/abc", Some("hit")),
            ("t.test/foo/abc", None),
            ("t.test/x/Foo/abc", Some("hit")),
        ],
    );
    // Each alternative is anchored.
    check(
        &[("n.test", "~*/a|/b", "hit"), ("t.test", "~/a|/b", "hit")],
        &[
            ("n.test/a", Some("hit")),
            ("n.test/b", Some("hit")),
            ("n.test/x/b", None),
            ("t.test/x/b", Some("hit")),
        ],
    );
    // What the origins document.
    check(
        &[
            ("n.test", "~*/something(/|$)(.*)", "something"),
            ("n.test", "~*/shop/[0-9]{2,4}/?$", "number"),
            ("n.test", r"~*/file\.txt", "file"),
        ],
        &[
            ("n.test/something", Some("something")),
            ("n.test/something/", Some("something")),
            ("n.test/SOMETHING/new", Some("something")),
            ("n.test/somethings", None),
            ("n.test/shop/123", Some("number")),
            ("n.test/shop/123/", Some("number")),
            ("n.test/shop/1", None),
            ("n.test/shop/12345", None),
            ("n.test/file.txt", Some("file")),
            ("n.test/file-txt", None),
        ],
    );
}

#[test]
fn the_builder_counts_the_regular_expressions_of_each_host() {
    let host = |host: &str| HostPattern::parse(host).unwrap();
    let mut builder = TableBuilder::new();
    for (name, path) in [
        ("a.test", "~*/a"),
        ("a.test", "~*/a"),
        ("a.test", "~/a"),
        ("a.test", "/a"),
        ("b.test", "~/b"),
    ] {
        let _taken = builder.insert(host(name), path_pattern(path), ());
    }
    let counts = ["a.test", "b.test", "c.test"].map(|name| builder.regexes(&host(name)));
    assert_eq!(counts, [2, 1, 0]);
}

/// Patterns see escapes in the normal form, as prefixes do.
#[test]
fn regular_expressions_match_the_normal_form() {
    check(
        &[
            ("n.test", "~*/caf%C3%A9/[^/]+$", "hit"),
            ("t.test", "~/a%2F[a-z]", "hit"),
        ],
        &[
            ("n.test/caf%c3%a9/x", Some("hit")),
            ("n.test/%63af%C3%A9/x%2Fy", Some("hit")),
            ("n.test/caf%C3%A9/x/y", None),
            ("t.test/a%2fb", Some("hit")),
            ("t.test/a/b", None),
        ],
    );
}

#[test]
fn regular_expressions_stay_within_their_host() {
    check(
        &[
            ("a.test", "/x", "a"),
            ("b.test", "~*/p[0-9]", "b"),
            ("b.test", "*", "b default"),
            ("c.test", "/p1", "shorter"),
            ("c.test", "~*/p[0-9]", "c pattern"),
            ("*.test", "~*/w", "wild"),
            ("", "~*/h", "hostless"),
        ],
        &[
            ("a.test/p1", None),
            ("b.test/p1", Some("b")),
            ("b.test/w", Some("b default")),
            ("c.test/p1", Some("c pattern")),
            ("c.test/p/", None),
            ("c.test/p2", Some("c pattern")),
            ("d.test/w", Some("wild")),
            ("d.test/h", None),
            ("e/h", Some("hostless")),
        ],
    );
}

#[test]
fn the_first_rule_keeps_the_place() {
    let host = || HostPattern::parse("a.test").unwrap();
    let mut builder = TableBuilder::new();
    assert_eq!(
        builder.insert(host(), PathPattern::prefix("/a").unwrap(), 1),
        Ok(())
    );
    assert_eq!(
        builder.insert(host(), PathPattern::prefix("/%61").unwrap(), 2),
        Err(&1)
    );
    assert_eq!(
        builder.insert(host(), PathPattern::exact("/a").unwrap(), 3),
        Ok(())
    );
    assert_eq!(
        builder.insert(host(), PathPattern::exact("/a").unwrap(), 4),
        Err(&3)
    );
    assert_eq!(
        builder.insert(host(), PathPattern::prefix("/a/").unwrap(), 5),
        Ok(())
    );
    assert_eq!(
        builder.insert(
            HostPattern::parse("A.TEST.").unwrap(),
            PathPattern::prefix("/a").unwrap(),
            6
        ),
        Err(&1)
    );
    assert_eq!(
        builder.insert(
            HostPattern::parse("*.test").unwrap(),
            PathPattern::prefix("/a").unwrap(),
            7
        ),
        Ok(())
    );
    assert_eq!(builder.set_host_default(host(), 8), Ok(()));
    assert_eq!(builder.set_host_default(host(), 9), Err(&8));
    assert_eq!(builder.set_default(10), Ok(()));
    assert_eq!(builder.set_default(11), Err(&10));
    let table = builder.build();
    let actions: Vec<i32> = table.iter().map(|row| *row.action).collect();
    assert_eq!(actions, [3, 1, 5, 8, 7, 10]);
    assert_eq!(table.len(), 6);
}

#[test]
fn rows_come_in_order_whatever_the_order_of_insertion() {
    let mut rules = vec![
        ("b.test", "/", "1"),
        ("*", "*", "2"),
        ("*.a.test", "=/z", "3"),
        ("a.test", "*", "4"),
        ("a.test", "/a/b", "5"),
        ("a.test", "/a-b", "6"),
        ("a.test", "/a", "7"),
        ("a.test", "=/z", "8"),
        ("a.test", "=/y", "9"),
        ("", "/h", "10"),
        ("a.test", "~/z", "11"),
        ("a.test", "~*/z", "12"),
        ("a.test", "~/(y)", "13"),
    ];
    let forward = table(&rules);
    rules.reverse();
    let backward = table(&rules);
    assert_eq!(forward, backward);
    let rows: Vec<String> = forward
        .iter()
        .map(|row| {
            let path = match row.path {
                RowPath::Pattern(PathPattern::Exact(path)) => format!("={}", path.as_str()),
                RowPath::Pattern(path @ PathPattern::Prefix(_)) => path.to_string(),
                RowPath::Pattern(PathPattern::Regex(path)) => format!("~{path}"),
                RowPath::HostDefault => "host default".to_owned(),
                RowPath::Default => "default".to_owned(),
            };
            format!("{} {path} {}", row.host, row.action)
        })
        .collect();
    assert_eq!(
        rows,
        [
            " /h 10",
            "a.test =/y 9",
            "a.test =/z 8",
            "a.test /a 7",
            "a.test /a/b 5",
            "a.test /a-b 6",
            "a.test ~/(y) 13",
            "a.test ~/z 12",
            "a.test ~/z 11",
            "a.test host default 4",
            "b.test / 1",
            "*.a.test =/z 3",
            " default 2",
        ]
    );
    assert_eq!(forward.iter().count(), forward.len());
    let hosts: Vec<String> = forward.hosts().map(ToString::to_string).collect();
    assert_eq!(hosts, ["", "a.test", "b.test", "*.a.test"]);
}

#[test]
fn a_projection_has_the_same_places() {
    let table = table(&[
        ("a.test", "/a", "1"),
        ("a.test", "*", "22"),
        ("", "=/x", "333"),
        ("*", "*", "4444"),
    ]);
    let lengths = table.map(|action| action.len());
    let places = |row: route::Row<'_, &str>| (row.host.clone(), format!("{:?}", row.path), row.action.len());
    let projected: Vec<_> = lengths
        .iter()
        .map(|row| (row.host.clone(), format!("{:?}", row.path), *row.action))
        .collect();
    assert_eq!(table.iter().map(places).collect::<Vec<_>>(), projected);
    assert_eq!(
        lengths.find(None, &normalise_path(b"/x", &mut PathScratch::default()).unwrap()),
        Some(&3)
    );
    assert_ne!(lengths, table.map(|_| 1));
}

#[test]
fn a_table_knows_the_hosts_that_its_rules_name() {
    let table = table(&[
        ("a.test", "/x", "a"),
        ("*.b.test", "*", "b"),
        ("", "/", "hostless"),
    ]);
    for (host, is_known) in [
        ("a.test", true),
        ("x.b.test", true),
        ("b.test", false),
        ("x.y.b.test", false),
        ("c.test", false),
        ("1.2.3.4", false),
    ] {
        let mut scratch = HostBuf::new();
        let request = normalise_authority(host.as_bytes(), &mut scratch).unwrap();
        assert_eq!(table.knows_host(&request), is_known, "{host}");
    }
}

#[test]
fn all_rules_of_a_host_can_be_listed() {
    let table = table(&[
        ("a.test", "/x", "x"),
        ("a.test", "=/y", "y"),
        ("a.test", "*", "rest"),
        ("*.test", "/", "wild"),
        ("", "*", "hostless"),
        ("*", "*", "fallback"),
    ]);
    for (host, expected) in [
        ("a.test", &["y", "x", "rest"][..]),
        ("*.test", &["wild"]),
        ("", &["hostless"]),
        ("b.test", &[]),
    ] {
        let host = HostPattern::parse(host).unwrap();
        assert_eq!(
            table.of_host(&host).copied().collect::<Vec<_>>(),
            expected,
            "{host}"
        );
        assert_eq!(table.has_host(&host), !expected.is_empty(), "{host}");
    }
    assert_eq!(table.fallback(), Some(&"fallback"));
}

#[test]
fn the_wildcard_of_a_host_replaces_its_first_label() {
    for (host, expected) in [
        ("a.test", Some("*.test")),
        ("a.b.test", Some("*.b.test")),
        ("test", None),
        ("*.test", None),
        ("", None),
    ] {
        let wildcard = HostPattern::parse(host).unwrap().wildcard();
        assert_eq!(
            wildcard,
            expected.map(|text| HostPattern::parse(text).unwrap()),
            "{host}"
        );
    }
}
