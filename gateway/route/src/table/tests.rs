//! What a lookup and a row cost, counted instead of timed.

use super::steps::count;
use super::*;
use crate::{Host, HostBuf, PathScratch, normalise_authority, normalise_path};

fn table(rules: impl IntoIterator<Item = (String, String)>) -> Table<usize> {
    let mut builder = TableBuilder::new();
    for (index, (host, path)) in rules.into_iter().enumerate() {
        let (kind, path) = path.split_at(1);
        let path = match kind {
            "=" => PathPattern::exact(path),
            "~" => PathPattern::regex(path, crate::RegexDialect::Nginx),
            _ => PathPattern::prefix(path),
        };
        assert_eq!(
            builder.insert(HostPattern::parse(&host).unwrap(), path.unwrap(), index),
            Ok(())
        );
    }
    builder.build()
}

/// The action and the number of comparisons and hash lookups.
fn find(table: &Table<usize>, host: &str, path: &str) -> (Option<usize>, usize) {
    let (mut host_scratch, mut path_scratch) = (HostBuf::new(), PathScratch::default());
    let host = normalise_authority(host.as_bytes(), &mut host_scratch).unwrap();
    let path = normalise_path(path.as_bytes(), &mut path_scratch).unwrap();
    count(|| table.find(Some(&host), &path).copied())
}

#[test]
fn a_lookup_does_not_grow_with_the_number_of_hosts() {
    for hosts in [10, 10_000] {
        let names = (0..hosts).map(|index| (format!("app-{index}.example.com"), "^/".to_owned()));
        let table = table(names.chain([("*.example.com".to_owned(), "^/".to_owned())]));
        // One hash lookup, one comparison with the only prefix, one step.
        assert_eq!(find(&table, "app-7.example.com", "/a/b"), (Some(7), 3));
        assert_eq!(find(&table, "other.example.com", "/a/b"), (Some(hosts), 4));
        assert_eq!(find(&table, "a.b.example.com", "/a/b"), (None, 2));
        assert_eq!(find(&table, "10.0.0.1", "/a/b"), (None, 0));
    }
}

#[test]
fn a_lookup_grows_with_the_logarithm_of_the_paths_of_its_host() {
    let host = || "a.test".to_owned();
    let prefixes = (0..4_096).map(|index| (host(), format!("^/directory-{index:04}/b")));
    let exact = (0..4_096).map(|index| (host(), format!("=/file-{index:04}")));
    let table = table(prefixes.chain(exact));
    for (path, expected) in [
        ("/directory-0000/b", Some(0)),
        ("/directory-1234/b/c/d", Some(1_234)),
        ("/directory-4095/b", Some(4_095)),
        ("/directory-1234/c", None),
        ("/file-0077", Some(4_096 + 77)),
        ("/file-0077/", None),
        ("/", None),
    ] {
        let (found, steps) = find(&table, "a.test", path);
        assert_eq!(found, expected, "{path}");
        // One hash lookup, two binary searches among 4,096, the walk upwards.
        assert!(steps <= 1 + 13 + 13 + 1, "{path} took {steps} steps");
    }
}

#[test]
fn a_lookup_does_not_grow_with_the_slashes_of_the_request() {
    let host = || "a.test".to_owned();
    let deep = |depth: usize| format!("^/{}", "a/".repeat(depth));
    let table = table((0..64).map(|depth| (host(), deep(depth))));
    // Elements below the deepest rule, then elements that leave the rules half-way.
    let (below, few) = find(&table, "a.test", &"/a".repeat(64));
    assert_eq!((below, few <= 10), (Some(63), true));
    assert_eq!(find(&table, "a.test", &"/a".repeat(8_000)), (Some(63), few));
    let (half_way, steps) = find(
        &table,
        "a.test",
        &format!("{}{}", "/a".repeat(32), "/".repeat(8_000)),
    );
    assert_eq!((half_way, steps <= few + 32), (Some(32), true), "{steps} steps");
}

#[test]
fn only_patterns_that_are_longer_than_the_prefix_are_tried() {
    let host = || "a.test".to_owned();
    let patterns = (0..100).map(|index| (host(), format!("~/p{}x[0-9]$", "a".repeat(index))));
    let table = table(
        [(host(), "^/".to_owned()), ("b.test".to_owned(), "^/".to_owned())]
            .into_iter()
            .chain(patterns)
            .chain([(host(), format!("^/p{}", "a".repeat(50)))]),
    );
    // Both steps of the prefix, and the steps of the host; 100 patterns.
    assert_eq!(find(&table, "b.test", "/pax1"), (Some(1), 3));
    let (found, steps) = find(&table, "a.test", "/q");
    assert_eq!(
        (found, (100..110).contains(&steps)),
        (Some(0), true),
        "{steps} steps"
    );
    let below = format!("/p{}/x1", "a".repeat(50));
    let (found, steps) = find(&table, "a.test", &below);
    assert_eq!(
        (found, (50..65).contains(&steps)),
        (Some(102), true),
        "{steps} steps"
    );
    // The first that matches ends it.
    let (found, steps) = find(&table, "a.test", &format!("/p{}x7", "a".repeat(99)));
    assert_eq!((found, steps <= 6), (Some(101), true), "{steps} steps");
}

/// Text aside, a host with one path takes two entries and one place in an index.
#[test]
fn rows_are_small() {
    assert_eq!(size_of::<HostRules<Box<()>>>(), 64);
    assert_eq!(size_of::<Rule<Box<()>>>(), 40);
    assert_eq!(size_of::<(Host, usize)>(), 24);
}
