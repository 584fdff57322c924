use super::*;

/// The rings of a crate of these files, each a line.
fn rings_of(files: &[(&str, &str)]) -> Vec<String> {
    let text = |path: &Path| {
        let found = files.iter().find(|(file, _)| Path::new(file) == path);
        found.map(|(_, text)| (*text).to_owned())
    };
    let edges = Crate::read("lib.rs", text).expect("a crate").edges();
    let rings = rings(&edges);
    rings
        .iter()
        .map(|ring| {
            let report = ring.report(Path::new("src"));
            report.lines().map(str::trim).collect::<Vec<_>>().join(" | ")
        })
        .collect()
}

const NONE: [&str; 0] = [];

#[test]
fn files_that_use_each_other_are_a_ring() {
    let found = rings_of(&[
        ("lib.rs", "mod accept;\nmod serve;\nmod worker;"),
        ("accept.rs", "use crate::worker::Worker;\nstruct Accept(Worker);"),
        ("serve.rs", "fn serve(_: crate::accept::Accept) {}"),
        (
            "worker.rs",
            "\npub struct Worker;\nfn run() { crate::serve::serve(); }",
        ),
    ]);
    assert_eq!(
        found,
        [
            "a ring of 3 files: | src/accept.rs:1 uses crate::worker::Worker of worker.rs | \
             src/worker.rs:3 uses crate::serve::serve of serve.rs | src/serve.rs:1 uses crate::accept::Accept of accept.rs"
        ]
    );
}

#[test]
fn the_shortest_ring_is_named_first() {
    let found = rings_of(&[
        ("lib.rs", "mod a;\nmod b;\nmod c;"),
        ("a.rs", "pub struct A(crate::b::B);"),
        ("b.rs", "pub struct B(crate::c::C);"),
        ("c.rs", "pub struct C(crate::a::A, crate::b::B);"),
    ]);
    assert_eq!(found.len(), 2);
    assert!(
        found[0].starts_with("a ring of 2 files: | src/b.rs:1 uses crate::c::C"),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("a ring of 3 files: | src/a.rs:1"),
        "{found:?}"
    );
}

#[test]
fn one_direction_is_no_ring() {
    let found = rings_of(&[
        ("lib.rs", "mod a;\nmod b;\npub use a::A;\npub use b::B;"),
        (
            "a.rs",
            "use crate::B;\nuse std::fmt;\npub struct A(B);\nimpl fmt::Debug for A {}",
        ),
        (
            "b.rs",
            "pub struct B;\n#[cfg(test)]\nmod tests { use crate::a::A; }",
        ),
    ]);
    assert_eq!(found, NONE);
}

/// What counts is who defines something, however it is reached.
#[test]
fn re_exports_are_followed_to_the_file_that_defines() {
    let files = |of_a: &'static str| {
        [
            ("lib.rs", "mod a;\nmod house;\npub(crate) use house::Room;"),
            ("a.rs", of_a),
            (
                "house/mod.rs",
                "mod door;\nmod room;\npub(crate) use door::*;\npub(crate) use room::Room;",
            ),
            ("house/room.rs", "use super::Door;\npub(crate) struct Room(Door);"),
            ("house/door.rs", "use crate::a::A;\npub(crate) struct Door(A);"),
        ]
    };
    assert_eq!(rings_of(&files("pub(crate) struct A;")), NONE);
    for (of_a, ring) in [
        (
            "use crate::house;\npub struct A(house::Door);",
            "src/a.rs:2 uses house::Door of house/door.rs",
        ),
        (
            "pub struct A(crate::house::Door);",
            "src/a.rs:1 uses crate::house::Door of house/door.rs",
        ),
        (
            "use super::house::{Door as D};\npub struct A(D);",
            "src/a.rs:1 uses super::house::Door of house/door.rs",
        ),
        (
            "pub struct A;\nmod inner { use super::super::house::Door; }",
            "src/a.rs:2 uses super::super::house::Door of house/door.rs",
        ),
    ] {
        let found = rings_of(&files(of_a));
        assert!(found[0].contains(ring), "{of_a}: {found:?}");
    }
    let found = rings_of(&files("use crate::Room;\npub struct A(Room);"));
    assert!(found[0].starts_with("a ring of 3 files"), "{found:?}");
}

#[test]
fn a_parent_and_its_child_must_not_need_each_other() {
    let files = |of_parent: &'static str| {
        [
            ("lib.rs", "mod exchange;"),
            ("exchange.rs", of_parent),
            (
                "exchange/relay.rs",
                "use super::Exchange;\nimpl Exchange { fn relay(&self) {} }\npub(super) struct Relay;",
            ),
        ]
    };
    let declares = "mod relay;\npub(crate) use relay::Relay;\npub(crate) struct Exchange;\nfn run(it: Exchange) { it.relay() }";
    assert_eq!(rings_of(&files(declares)), NONE);
    for uses in [
        "mod relay;\npub(crate) use relay::Relay;\npub(crate) struct Exchange(Relay);",
        "mod relay;\npub(crate) struct Exchange(relay::Relay);",
        "mod relay;\nuse self::relay::Relay;\npub(crate) struct Exchange(Relay);",
    ] {
        let found = rings_of(&files(uses));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("src/exchange/relay.rs:1 uses super::Exchange of exchange.rs"),
            "{found:?}"
        );
    }
}

#[test]
fn folders_have_an_order_too() {
    let found = rings_of(&[
        ("lib.rs", "mod listen;\nmod request;"),
        (
            "listen/mod.rs",
            "mod accept;\nmod reply;\npub(crate) use reply::Reply;",
        ),
        (
            "listen/accept.rs",
            "use crate::request::Request;\nfn accept(_: Request) {}",
        ),
        ("listen/reply.rs", "pub(crate) struct Reply;"),
        (
            "request/mod.rs",
            "pub(crate) struct Request(crate::listen::Reply);",
        ),
    ]);
    assert_eq!(
        found,
        [
            "a ring of 2 modules in src: | src/listen/accept.rs:1 uses crate::request::Request of request/mod.rs | \
             src/request/mod.rs:1 uses crate::listen::Reply of listen/reply.rs"
        ]
    );
}

#[test]
fn circles_of_imports_and_unknown_names_end() {
    let found = rings_of(&[
        ("lib.rs", "mod a;\nmod b;\nuse self::a::*;"),
        (
            "a.rs",
            "pub use crate::b::*;\npub use crate::b::Same;\nuse h2;\nfn f() { h2::g(); nothing::at::all(); }",
        ),
        ("b.rs", "pub use crate::a::*;\npub use crate::a::Same;"),
    ]);
    assert_eq!(found, NONE);
}

#[test]
fn a_missing_file_is_an_error() {
    let read = |path: &Path| (path == Path::new("lib.rs")).then(|| "mod gone;".to_owned());
    let error = Crate::read("lib.rs", read).err().expect("an error").to_string();
    assert_eq!(error, "lib.rs: no file for `mod gone;`");
}

#[test]
fn the_crates_of_the_gateway_are_found() {
    let workspace = Workspace::here().expect("a workspace");
    let names = crates(&workspace).expect("crates");
    assert!(names.contains("proxy") && names.contains("route"), "{names:?}");
}
