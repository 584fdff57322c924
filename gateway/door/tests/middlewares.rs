//! Middlewares: how they are found, what they name, and how they go together with annotations.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use door::{
    Action, BackendPolicy, Blocked, Door, ExternalNames, Filter, Ledger, Policy, Publisher, Scheme, Selector,
    Verdict, concerns_needs, needs, objects_of, open, publish,
};
use resource::{ClusterView, Kind, Object, ObjectRef, Resolution, Severity, Unread, manifest};
use route::{Host, HostBuf, ObjectKey, PathScratch, normalise_authority, normalise_path};

const TRAEFIK: &str = "traefik.ingress.kubernetes.io/router.middlewares";
const OWN: &str = "blastdoor.dev/middlewares";

const BACKEND: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: app, namespace: shop}\nspec: {ports: [{port: 80}]}\n---\n\
    apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: app-1, namespace: shop, labels: {kubernetes.io/service-name: app}}\n\
    addressType: IPv4\nports: [{port: 8080}]\nendpoints: [{addresses: [\"10.0.0.1\"]}]\n---\n";

fn ingress(name: &str, annotations: &[(&str, &str)]) -> String {
    let annotations: String = annotations
        .iter()
        .map(|(key, value)| format!("    {key}: {}\n", serde_json::to_string(value).unwrap()))
        .collect();
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  namespace: shop\n  \
         creationTimestamp: 2026-01-01T00:00:00Z\n  labels: {{expose: one}}\n  annotations:\n    unrelated: x\n{annotations}spec:\n  \
         rules:\n  - host: {name}.test\n    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: app, port: {{number: 80}}}}}}}}]}}\n---\n"
    )
}

fn middleware(name: &str, spec: &str) -> String {
    in_namespace("shop", name, spec)
}

fn in_namespace(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n---\n"
    )
}

fn users(name: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: shop}}\nstringData: {{auth: \"{user}:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\"}}\n---\n"
    )
}

fn fields(name: &str, value: &str) -> String {
    middleware(
        name,
        &format!("headers: {{customResponseHeaders: {{X-{value}: x}}}}"),
    )
}

fn view(yaml: &[String]) -> ClusterView {
    let text = BACKEND.to_owned() + &yaml.concat();
    manifest::collect([&manifest::parse("test.yaml", text.as_bytes())]).0
}

fn door() -> (Vec<Publisher<()>>, Vec<Door<()>>) {
    let policy = Policy::new(Selector::parse("expose=one").unwrap(), Scheme::Http);
    let (publisher, door) = open("one".parse().unwrap(), policy, ());
    (vec![publisher], vec![door])
}

/// The filters of the route of a host, as text, or why it is closed.
fn served(door: &Door<()>, host: &str) -> Result<Vec<String>, Blocked> {
    let (mut host_buf, mut scratch) = (HostBuf::new(), PathScratch::default());
    let host = normalise_authority(host.as_bytes(), &mut host_buf).unwrap();
    let path = normalise_path(b"/", &mut scratch).unwrap();
    let snapshot = door.snapshot();
    let Verdict::Matched(route) = snapshot.find(Some(&host), &path) else {
        panic!("nothing is served");
    };
    match &route.action {
        Action::Forward(_) => {
            let filters = route.filters.iter().flat_map(|filters| &filters.request);
            Ok(filters.map(short).collect())
        }
        Action::Blocked(why) => Err(why.clone()),
        Action::Redirect => panic!("{route:?}"),
    }
}

/// What can be told of a filter in short: its kind, and the field that it sets.
fn short(filter: &Filter) -> String {
    let text = format!("{filter:?}").to_ascii_lowercase();
    let kind = text.split(['(', ' ', '{']).next().unwrap().to_owned();
    let steps = ["first", "second", "third", "own"];
    let step = steps.iter().find(|step| text.contains(&format!("x-{step}")));
    step.map_or(kind, |step| (*step).to_owned())
}

/// What one Ingress gets, and what is reported about it.
fn compiled(annotations: &[(&str, &str)], others: &[String]) -> (Result<Vec<String>, Blocked>, Vec<String>) {
    let mut objects = vec![ingress("a", annotations)];
    objects.extend_from_slice(others);
    let (mut publishers, doors) = door();
    let reported = publish(
        &mut publishers,
        &view(&objects),
        &BackendPolicy::default(),
        &mut Ledger::default(),
    );
    let problems = reported.problems().into_iter();
    let told = problems.filter(|problem| problem.object.kind == Kind::Ingress);
    let told = told.map(|problem| format!("{}: {}", problem.severity.as_str(), problem.message));
    (served(&doors[0], "a.test"), told.collect())
}

#[track_caller]
fn closed(annotations: &[(&str, &str)], others: &[String], reason: &str) {
    let (served, told) = compiled(annotations, others);
    assert_eq!(served, Err(Blocked::Filter), "{told:?}");
    assert!(
        told.iter()
            .any(|told| told.starts_with("error: ") && told.contains(reason)),
        "{told:?}"
    );
}

#[test]
fn middlewares_run_as_they_are_named_and_chains_in_their_place() {
    let others = [
        fields("a", "first"),
        fields("b", "second"),
        fields("c", "third"),
        middleware("inner", "chain: {middlewares: [{name: c}]}"),
        middleware(
            "all",
            "chain: {middlewares: [{name: b}, {name: inner}, {name: a}]}",
        ),
    ];
    let table: [(&str, &[&str]); 4] = [
        ("a,b,c", &["first", "second", "third"]),
        ("c,a", &["third", "first"]),
        ("all", &["second", "third", "first"]),
        ("a,all,b", &["first", "second", "third", "first", "second"]),
    ];
    for (names, expected) in table {
        let (served, told) = compiled(&[(OWN, names)], &others);
        assert_eq!(served.unwrap(), expected, "{names}");
        assert_eq!(told, [""; 0]);
        let named = names.split(',').map(|name| format!("shop-{name}@kubernetescrd"));
        let named = named.collect::<Vec<_>>().join(",");
        assert_eq!(compiled(&[(TRAEFIK, &named)], &others).0.unwrap(), expected);
    }
}

#[test]
fn a_middleware_that_cannot_be_used_closes() {
    let own = |name| [(OWN, name)];
    closed(
        &own("gone"),
        &[],
        "Middleware `shop/gone` does not exist (apiVersion `traefik.io/v1alpha1`)",
    );
    closed(
        &own("there"),
        &[in_namespace("other", "there", "addPrefix: {prefix: /a}")],
        "Middleware `shop/there` does not exist",
    );
    closed(
        &own("typo"),
        &[middleware("typo", "rateLimit: {avrage: 1}")],
        "Middleware `shop/typo` cannot be used: spec.rateLimit.avrage: unknown field; did you mean `average`?",
    );
    closed(
        &own("two"),
        &[middleware("two", "compress: {}, chain: {}")],
        "Middleware `shop/two` cannot be used",
    );
    closed(
        &own("later"),
        &[middleware("later", "compress: {}")],
        "compression is not supported yet",
    );
    closed(
        &own("outer"),
        &[middleware("outer", "chain: {middlewares: [{name: gone}]}")],
        "Middleware `shop/gone`, which chain `shop/outer` names, does not exist",
    );
    closed(
        &own("guarded"),
        &[middleware("guarded", "basicAuth: {secret: gone}")],
        "Middleware `shop/guarded`: ",
    );
    // One that can be used does not help.
    closed(&own("good,gone"), &[fields("good", "first")], "does not exist");
}

#[test]
fn chains_end() {
    let chain = |name: &str, names: &[String]| {
        let names: Vec<String> = names.iter().map(|name| format!("{{name: {name}}}")).collect();
        middleware(name, &format!("chain: {{middlewares: [{}]}}", names.join(", ")))
    };
    closed(
        &[(OWN, "a")],
        &[chain("a", &["b".into()]), chain("b", &["a".into()])],
        "Middleware `shop/a` is a chain that leads back to itself",
    );
    // Eight deep, and nine.
    let deep = |depth: usize| -> Vec<String> {
        let link = |number: usize| chain(&format!("c{number}"), &[format!("c{}", number + 1)]);
        let links = (1..depth).map(link);
        let last = chain(&format!("c{depth}"), &["end".into()]);
        links.chain([last, fields("end", "first")]).collect()
    };
    assert_eq!(compiled(&[(OWN, "c1")], &deep(8)).0.unwrap(), ["first"]);
    closed(&[(OWN, "c1")], &deep(9), "is a chain more than 8 deep");
    // 64 in all, with the chain itself, and 65.
    let wide = |count: usize| vec![chain("w", &vec!["end".to_owned(); count]), fields("end", "first")];
    assert_eq!(compiled(&[(OWN, "w")], &wide(63)).0.unwrap().len(), 63);
    closed(&[(OWN, "w")], &wide(64), "more than 64 Middlewares in all");
    let named = vec!["end"; 65].join(",");
    closed(&[(OWN, &named)], &wide(1), "more than 64 Middlewares in all");
    // Two to the power of eight is found to be too much without being followed to the end.
    let doubled: Vec<String> = (1..8)
        .map(|number| chain(&format!("d{number}"), &vec![format!("d{}", number + 1); 2]))
        .chain([chain("d8", &["end".into(), "end".into()]), fields("end", "first")])
        .collect();
    closed(&[(OWN, "d1")], &doubled, "more than 64 Middlewares in all");
}

#[test]
fn annotations_and_middlewares_have_one_order() {
    let others = [fields("m", "first"), users("users", "bob")];
    let own = ("blastdoor.dev/response-headers", "X-Own: x");
    let basic = ("blastdoor.dev/basic-auth", "users");
    let request = ("blastdoor.dev/request-headers", "X-Second: x");
    let named = (OWN, "m");
    // What changes responses alone, guards, Middlewares, then what changes the request.
    for annotations in [[own, basic, named, request], [request, named, basic, own]] {
        let (served, told) = compiled(&annotations, &others);
        assert_eq!(
            served.unwrap(),
            ["own", "password", "first", "second"],
            "{told:?}"
        );
    }
}

#[test]
fn of_one_kind_in_two_spellings_one_counts_or_none() {
    let allow = |spec: &str| middleware("m", &format!("ipAllowList: {{sourceRange: [{spec}]}}"));
    let nginx = (
        "nginx.ingress.kubernetes.io/whitelist-source-range",
        "192.0.2.0/24",
    );
    let ours = ("blastdoor.dev/allow", "198.51.100.0/24");
    // Ours beside that of ingress-nginx counts.
    let (served, told) = compiled(&[nginx, ours], &[]);
    assert_eq!(served.unwrap().len(), 1);
    assert_eq!(told, ["note: `blastdoor.dev/allow` counts instead of it"]);
    let (served, told) = compiled(&[nginx, (ours.0, nginx.1)], &[]);
    assert_eq!((served.unwrap().len(), told.len()), (1, 0), "both say the same");
    // That of ingress-nginx beside one of Traefik.
    closed(
        &[nginx, (OWN, "m")],
        &[allow("203.0.113.0/24")],
        "`nginx.ingress.kubernetes.io/whitelist-source-range` and Middleware `shop/m` ask for an allow list in different ways",
    );
    // The same list, of which each is about another address.
    closed(
        &[nginx, (OWN, "m")],
        &[allow("192.0.2.0/24")],
        "in different ways (the first is about the client that the door resolves; the second about the peer",
    );
    // Ours counts where it asks for nothing too.
    let everybody = ("blastdoor.dev/allow", "0.0.0.0/0,::/0");
    let off = ("blastdoor.dev/https-redirect", "off");
    let on = ("nginx.ingress.kubernetes.io/ssl-redirect", "true");
    for (ours, theirs) in [(everybody, nginx), (off, on)] {
        let (served, told) = compiled(&[ours, theirs], &[]);
        assert_eq!(served.unwrap().len(), 0);
        assert_eq!(told, [format!("note: `{}` counts instead of it", ours.0)]);
    }
    // Ours beside one of Traefik: both apply.
    let (served, told) = compiled(&[ours, (OWN, "m")], &[allow("203.0.113.0/24")]);
    assert_eq!((served.unwrap().len(), told.len()), (2, 0));
    // All three.
    let (served, told) = compiled(&[nginx, ours, (OWN, "m")], &[allow("203.0.113.0/24")]);
    assert_eq!((served.unwrap().len(), told.len()), (2, 1));
    // Several of one spelling all apply.
    let (served, told) = compiled(&[(OWN, "m,n")], &[allow("203.0.113.0/24"), fields("n", "first")]);
    assert_eq!((served.unwrap().len(), told.len()), (2, 0));
}

/// An Ingress is compiled again for what it names through Middlewares, and for nothing else.
#[test]
fn a_changed_middleware_or_secret_concerns_those_that_name_it() {
    let objects = |user: &str, step: &str| {
        view(&[
            ingress("a", &[(OWN, "outer")]),
            ingress("b", &[(OWN, "other")]),
            ingress("c", &[]),
            middleware("outer", "chain: {middlewares: [{name: guard}]}"),
            middleware("guard", "basicAuth: {secret: users}"),
            users("users", user),
            fields("other", step),
        ])
    };
    let (mut publishers, doors) = door();
    let mut ledger = Ledger::default();
    let backends = BackendPolicy::default();
    let mut show = |view: &ClusterView| {
        publish(&mut publishers, view, &backends, &mut ledger);
        ["a.test", "b.test", "c.test"].map(|host| {
            let (mut host_buf, mut scratch) = (HostBuf::new(), PathScratch::default());
            let host = normalise_authority(host.as_bytes(), &mut host_buf).unwrap();
            let path = normalise_path(b"/", &mut scratch).unwrap();
            let snapshot = doors[0].snapshot();
            let Verdict::Matched(route) = snapshot.find(Some(&host), &path) else {
                panic!("nothing is served")
            };
            std::sync::Arc::clone(route)
        })
    };
    let same = |before: &[std::sync::Arc<door::Route>; 3], after: &[std::sync::Arc<door::Route>; 3]| {
        [0, 1, 2].map(|at| std::sync::Arc::ptr_eq(&before[at], &after[at]))
    };
    let mut view = objects("bob", "first");
    let first = show(&view);
    let fresh = objects("ann", "second");
    let key = |name| ObjectKey::new("shop", name);
    // Another password.
    view.insert(Object::Secret(fresh.secret(&key("users")).unwrap().clone()));
    let second = show(&view);
    assert_eq!(same(&first, &second), [false, true, true]);
    assert!(first[0] != second[0]);
    // Another Middleware.
    view.insert(Object::Middleware(
        fresh.middleware(&key("other")).unwrap().clone(),
    ));
    let third = show(&view);
    assert_eq!(same(&second, &third), [true, false, true]);
    // One that a chain names goes, and comes back.
    let guard = ObjectRef::namespaced(Kind::Middleware, &key("guard"));
    let gone = view.remove(&guard).unwrap();
    let fourth = show(&view);
    assert_eq!(same(&third, &fourth), [false, true, true]);
    assert!(matches!(fourth[0].action, Action::Blocked(Blocked::Filter)));
    view.insert(gone);
    let fifth = show(&view);
    assert_eq!(same(&fourth, &fifth), [false, true, true]);
    assert!(matches!(fifth[0].action, Action::Forward(_)));
}

#[test]
fn what_middlewares_name_is_fetched() {
    let view = view(&[
        ingress("a", &[(OWN, "outer,missing")]),
        ingress("b", &[]),
        middleware("outer", "chain: {middlewares: [{name: guard}, {name: outer}]}"),
        middleware("guard", "basicAuth: {secret: users}"),
        middleware("unnamed", "basicAuth: {secret: others}"),
    ]);
    let policy = Policy::new(Selector::parse("expose=one").unwrap(), Scheme::Http);
    let secret = ObjectRef::namespaced(Kind::Secret, &ObjectKey::new("shop", "users"));
    assert_eq!(
        needs([&policy], &view).of_ingresses(),
        std::slice::from_ref(&secret)
    );
    let object = |kind, name| {
        view.object(&ObjectRef::namespaced(kind, &ObjectKey::new("shop", name)))
            .unwrap()
    };
    let (a, b) = (object(Kind::Ingress, "a"), object(Kind::Ingress, "b"));
    let [outer, guard] = ["outer", "guard"].map(|name| object(Kind::Middleware, name));
    let named = |kind, name| ObjectRef::namespaced(kind, &ObjectKey::new("shop", name));
    assert_eq!(
        objects_of(&a),
        [
            named(Kind::Middleware, "outer"),
            named(Kind::Middleware, "missing")
        ]
    );
    assert_eq!(objects_of(&guard), [secret]);
    let fields = manifest::parse("f.yaml", fields("f", "first").as_bytes());
    let fields = &fields.objects[0].object;
    let table = [
        (Some(&a), None, true),
        (Some(&b), None, false),
        (Some(&outer), None, true),
        (None, Some(&guard), true),
        (Some(&guard), Some(&guard), false),
        (Some(&guard), Some(&outer), true),
        (Some(fields), None, false),
        (Some(fields), Some(&guard), true),
    ];
    for (before, after, expected) in table {
        assert_eq!(concerns_needs(before, after), expected, "{before:?} {after:?}");
    }
}

/// Why none is read is told to those that name one, and to nobody else.
#[test]
fn an_unread_kind_closes_those_that_name_it() {
    for (why, words) in [
        (Unread::NoSuchKind, "install its definition"),
        (Unread::Denied, "the right to read it is missing"),
    ] {
        let (mut publishers, doors) = door();
        let mut view = view(&[ingress("a", &[(OWN, "m")]), ingress("b", &[])]);
        let all = ObjectRef::global(Kind::Middleware, "");
        view.replace_unread(std::sync::Arc::new([(all, why)].into()));
        let mut ledger = Ledger::default();
        let reported = publish(&mut publishers, &view, &BackendPolicy::default(), &mut ledger);
        assert_eq!(served(&doors[0], "a.test"), Err(Blocked::Filter));
        assert_eq!(served(&doors[0], "b.test"), Ok(Vec::new()));
        let problems = reported.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].severity, Severity::Error);
        assert!(problems[0].message.contains(words), "{problems:?}");
    }
}

/// A name that a Middleware calls and for which no Service stands: its addresses count as soon as they are known.
#[test]
fn addresses_of_a_called_name_count_as_they_come() {
    let guard = middleware(
        "guard",
        "forwardAuth: {address: \"http://login.example.com/verify\"}",
    );
    let mut view = view(&[ingress("a", &[(OWN, "guard")]), guard]);
    let backends = BackendPolicy {
        external_names: ExternalNames::Resolved,
        ..BackendPolicy::default()
    };
    let (mut publishers, doors) = door();
    let mut ledger = Ledger::default();
    let routes = |door: &Door<()>| -> Vec<String> {
        let snapshot = door.snapshot();
        snapshot.routes().map(|row| format!("{row:?}")).collect()
    };
    let mut host_buf = HostBuf::new();
    let name = normalise_authority(b"login.example.com", &mut host_buf).unwrap();
    let name = Host::of(&name).unwrap();
    let mut seen = Vec::new();
    for last in [None, Some(1), Some(2)] {
        let resolution = last.map(|last| Resolution {
            addresses: [std::net::IpAddr::from([203, 0, 113, last])]
                .into_iter()
                .collect(),
            left_out: 0,
            fault: None,
        });
        let known = resolution.map(|resolution| (name.clone(), std::sync::Arc::new(resolution)));
        view.replace_resolutions(std::sync::Arc::new(known.into_iter().collect()));
        publish(&mut publishers, &view, &backends, &mut ledger);
        let (mut fresh, fresh_doors) = door();
        publish(&mut fresh, &view, &backends, &mut Ledger::default());
        assert_eq!(routes(&doors[0]), routes(&fresh_doors[0]), "{last:?}");
        seen.push(routes(&doors[0]));
    }
    assert!(seen[0] != seen[1] && seen[1] != seen[2], "{seen:?}");
}
