//! The table against a list of rules that is read from top to bottom, with the documented rules applied one by one
//! to texts. Small alphabets make collisions of hosts, paths and precedence the normal case.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is the verdict"
)]

use proptest::prelude::*;
use route::{HostBuf, HostPattern, HostSet, PathPattern, PathScratch, RegexDialect, TableBuilder};
use route::{normalise_authority, normalise_path};

#[derive(Debug, Clone)]
struct Rule {
    host: String,
    kind: Kind,
    path: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Exact,
    Prefix,
    Regex(RegexDialect),
    HostDefault,
    Default,
}

#[derive(Debug, Clone)]
struct Request {
    host: Option<String>,
    path: String,
}

/// Which rule answers, by its position.
fn naive(rules: &[Rule], request: &Request) -> Option<usize> {
    let all = || (0..rules.len()).map(|index| (index, &rules[index]));
    let named = |rule: &Rule| rule.kind != Kind::Default;

    // The host first: precise, else wildcard, else hostless; no falling through.
    let precise = request
        .host
        .clone()
        .filter(|host| all().any(|(_, rule)| named(rule) && rule.host == *host));
    let wildcard = request.host.as_deref().and_then(|host| {
        let (_label, rest) = host.split_once('.')?;
        let is_address =
            host.split('.').count() == 4 && host.split('.').all(|part| part.parse::<u8>().is_ok());
        let pattern = format!("*.{rest}");
        (!is_address && all().any(|(_, rule)| named(rule) && rule.host == pattern)).then_some(pattern)
    });
    let host = precise
        .filter(|host| host.parse::<std::net::Ipv4Addr>().is_err())
        .or(wildcard)
        .unwrap_or_default();
    let mine = || all().filter(|(_, rule)| named(rule) && rule.host == host);

    // Exact, else the longest prefix by elements, `/foo/` before `/foo`, else the older one. A pattern is as good as a
    // prefix that is a little shorter; among patterns the order of texts decides, then the dialect.
    if let Some((index, _)) = mine().find(|(_, rule)| rule.kind == Kind::Exact && rule.path == request.path) {
        return Some(index);
    }
    let covers = |rule: &Rule| {
        let directory = if rule.path.ends_with('/') {
            rule.path.clone()
        } else {
            format!("{}/", rule.path)
        };
        format!("{}/", request.path).starts_with(&directory)
    };
    let mut longest: Option<(usize, &Rule)> = None;
    for (index, rule) in mine().filter(|(_, rule)| rule.kind == Kind::Prefix && covers(rule)) {
        if longest.is_none_or(|(_, held)| rule.path.len() > held.path.len()) {
            longest = Some((index, rule));
        }
    }
    for (index, rule) in mine() {
        let Kind::Regex(dialect) = rule.kind else { continue };
        let order = |rule: &Rule, dialect| (usize::MAX - rule.path.len(), rule.path.clone(), dialect);
        let beats = longest.is_none_or(|(_, held)| {
            if let Kind::Regex(other) = held.kind {
                order(rule, dialect) < order(held, other)
            } else {
                rule.path.len() > held.path.len()
            }
        });
        if beats && backtrack(rule, dialect, &request.path) {
            longest = Some((index, rule));
        }
    }
    let default = || mine().find(|(_, rule)| rule.kind == Kind::HostDefault);
    let last = || all().find(|(_, rule)| rule.kind == Kind::Default);
    longest.or_else(default).or_else(last).map(|(index, _)| index)
}

/// Matches by trying everything: the patterns of this test have only letters, `.`, `*`, `?` and `$`.
fn backtrack(rule: &Rule, dialect: RegexDialect, path: &str) -> bool {
    fn here(pattern: &[u8], path: &[u8]) -> bool {
        let (one, count, rest) = match pattern {
            [] => return true,
            [b'$'] => return path.is_empty(),
            [one, count @ (b'*' | b'?'), rest @ ..] => (*one, Some(*count), rest),
            [one, rest @ ..] => (*one, None, rest),
        };
        let fits = path.first().is_some_and(|byte| one == b'.' || one == *byte);
        match count {
            None => fits && here(rest, &path[1..]),
            Some(b'?') => here(rest, path) || (fits && here(rest, &path[1..])),
            Some(_) => here(rest, path) || (fits && here(pattern, &path[1..])),
        }
    }
    match dialect {
        RegexDialect::Nginx => here(
            rule.path.to_ascii_lowercase().as_bytes(),
            path.to_ascii_lowercase().as_bytes(),
        ),
        RegexDialect::Traefik => {
            (0..=path.len()).any(|start| here(rule.path.as_bytes(), &path.as_bytes()[start..]))
        }
    }
}

fn host() -> impl Strategy<Value = String> {
    let hosts = [
        "a", "b", "a.a", "b.a", "a.b", "a.a.a", "b.a.a", "a.b.a", "1.2.3.4", "9.2.3.4", "x.2.3.4",
    ];
    prop::sample::select(hosts.to_vec()).prop_map(str::to_owned)
}

fn rule_host() -> impl Strategy<Value = String> {
    let hosts = [
        "", "a", "a.a", "b.a", "a.a.a", "*.a", "*.a.a", "*.b", "*.2.3.4", "x.2.3.4",
    ];
    prop::sample::select(hosts.to_vec()).prop_map(str::to_owned)
}

/// Elements that begin alike, that sort on both sides of `/`, and that are empty.
fn path(most: usize) -> impl Strategy<Value = String> {
    let element = prop::sample::select(vec!["a", "a", "b", "aa", "ab", "a-", "a!", "a0", "", "A"]);
    let elements = prop::collection::vec(element, 0..=most);
    (elements, any::<bool>()).prop_map(|(elements, slash)| {
        let path = elements
            .iter()
            .fold(String::new(), |path, element| format!("{path}/{element}"));
        if slash || path.is_empty() {
            format!("{path}/")
        } else {
            path
        }
    })
}

fn regex() -> impl Strategy<Value = Rule> {
    let atom = prop::sample::select(vec!["a", "A", "b", "/", "."]);
    let atom = (atom, prop::sample::select(vec!["", "", "*", "?"]));
    let atoms = prop::collection::vec(atom.prop_map(|(atom, count)| format!("{atom}{count}")), 0..6);
    let dialect = prop::sample::select(vec![RegexDialect::Nginx, RegexDialect::Traefik]);
    (rule_host(), dialect, atoms, any::<bool>()).prop_map(|(host, dialect, atoms, ends)| {
        let end = if ends { "$" } else { "" };
        Rule {
            host,
            kind: Kind::Regex(dialect),
            path: format!("/{}{end}", atoms.concat()),
        }
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    prop_oneof![4 => place(), 1 => regex()]
}

fn place() -> impl Strategy<Value = Rule> {
    let kind = prop_oneof![
        4 => Just(Kind::Exact),
        8 => Just(Kind::Prefix),
        1 => Just(Kind::HostDefault),
        1 => Just(Kind::Default),
    ];
    (rule_host(), kind, path(4)).prop_map(|(host, kind, path)| Rule { host, kind, path })
}

fn request() -> impl Strategy<Value = Request> {
    (prop::option::weighted(0.95, host()), path(6)).prop_map(|(host, path)| Request { host, path })
}

/// Inserts in order; a rule whose place is taken must name the rule that the list has for it.
fn build(rules: &[Rule]) -> route::Table<usize> {
    let mut builder = TableBuilder::new();
    for (index, rule) in rules.iter().enumerate() {
        let host = HostPattern::parse(&rule.host).unwrap();
        let taken = match rule.kind {
            Kind::Exact => builder.insert(host, PathPattern::exact(&rule.path).unwrap(), index),
            Kind::Prefix => builder.insert(host, PathPattern::prefix(&rule.path).unwrap(), index),
            Kind::Regex(dialect) => {
                builder.insert(host, PathPattern::regex(&rule.path, dialect).unwrap(), index)
            }
            Kind::HostDefault => builder.set_host_default(host, index),
            Kind::Default => builder.set_default(index),
        };
        let holder = rules[..index].iter().position(|earlier| {
            let same_host = earlier.host == rule.host || rule.kind == Kind::Default;
            let has_path = matches!(rule.kind, Kind::Exact | Kind::Prefix | Kind::Regex(_));
            earlier.kind == rule.kind && same_host && (!has_path || earlier.path == rule.path)
        });
        assert_eq!(taken.err().copied(), holder, "{rule:?}");
    }
    builder.build()
}

fn agree(rules: &[Rule], requests: &[Request]) {
    let table = build(rules);
    let projection = table.map(|index| index + 1);
    for request in requests {
        let (mut host_scratch, mut path_scratch) = (HostBuf::new(), PathScratch::default());
        let host = request
            .host
            .as_ref()
            .map(|host| normalise_authority(host.as_bytes(), &mut host_scratch).unwrap());
        let path = normalise_path(request.path.as_bytes(), &mut path_scratch).unwrap();
        let found = table.find(host.as_ref(), &path).copied();
        assert_eq!(found, naive(rules, request), "{request:?}");
        assert_eq!(
            projection.find(host.as_ref(), &path).copied(),
            found.map(|index| index + 1)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// 4,000 tables, 16 requests each.
    #[test]
    fn small_tables_answer_as_the_list_of_rules_does(
        rules in prop::collection::vec(rule(), 0..12),
        requests in prop::collection::vec(request(), 16),
    ) {
        agree(&rules, &requests);
    }

    /// A set of hosts knows those that it was made of, and by a wildcard those one label below.
    #[test]
    fn a_host_set_knows_its_hosts_and_those_one_label_below_its_wildcards(hosts in prop::collection::vec(rule_host(), 0..24), host in host()) {
        let patterns: Vec<HostPattern> = hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect();
        let set: HostSet = patterns.iter().collect();
        let mut scratch = HostBuf::new();
        let request = normalise_authority(host.as_bytes(), &mut scratch).unwrap();
        let parent = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        let is_name = !request.is_address();
        prop_assert_eq!(set.names(&request), is_name && hosts.contains(&host));
        prop_assert_eq!(set.covers(&request), is_name && parent.is_some_and(|parent| hosts.contains(&parent)));
        let turned: HostSet = patterns.iter().rev().collect();
        prop_assert!(set == turned);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// One host with hundreds of paths.
    #[test]
    fn large_tables_answer_as_the_list_of_rules_does(
        rules in prop::collection::vec(rule(), 200..600),
        requests in prop::collection::vec(request(), 100),
    ) {
        agree(&rules, &requests);
        let one_host: Vec<Rule> = rules.iter().map(|rule| Rule { host: "a".to_owned(), ..rule.clone() }).collect();
        let requests: Vec<Request> =
            requests.iter().map(|request| Request { host: Some("a".to_owned()), ..request.clone() }).collect();
        agree(&one_host, &requests);
    }
}
