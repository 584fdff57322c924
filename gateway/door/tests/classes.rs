//! Doors by class, and doors with several selectors: what they admit, and that nothing else reaches them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};

use door::{
    BackendPolicy, DefaultCertificate, Door, Ledger, NamespacePattern, Policy, Publisher, Scheme, Selector,
    Selectors, TlsPolicy, needs, open, publish,
};
use proptest::prelude::*;
use resource::{ClusterView, Ingress, manifest};

/// Selectors, of which one must match, and classes.
type Said = (&'static [&'static str], &'static [&'static str]);

const DOORS: [(&str, Said); 5] = [
    ("labels", (&["expose=a"], &[])),
    ("list", (&["expose=b", "solver=true,expose!=a"], &[])),
    ("public", (&[], &["nginx-public"])),
    ("private", (&[], &["nginx-private", "traefik"])),
    ("both", (&["expose in (a, c)", "solver"], &["nginx-public"])),
];
const EXPOSE: [Option<&str>; 4] = [None, Some("a"), Some("b"), Some("c")];
const CLASSES: [Option<&str>; 5] = [
    None,
    Some("nginx-public"),
    Some("nginx-private"),
    Some("traefik"),
    Some("other"),
];

fn policy((selectors, classes): Said) -> Policy {
    let selectors = selectors
        .iter()
        .map(|selector| Selector::parse(selector).unwrap());
    Policy {
        tls: Some(TlsPolicy::new(DefaultCertificate::None)),
        classes: classes.iter().copied().map(Box::from).collect(),
        ..Policy::new(selectors.collect::<Vec<_>>(), Scheme::Https)
    }
}

fn doors() -> (Vec<Publisher<()>>, Vec<Door<()>>) {
    let opened = DOORS.map(|(name, said)| open(name.parse().unwrap(), policy(said), ()));
    opened.into_iter().unzip()
}

fn view(yaml: &str) -> ClusterView {
    manifest::collect([&manifest::parse("test.yaml", yaml.as_bytes())]).0
}

#[derive(Debug, Clone)]
struct Made {
    expose: Option<&'static str>,
    solver: bool,
    class: Option<&'static str>,
    /// The class is in the annotation of old.
    annotated: bool,
    host: u8,
}

fn made() -> impl Strategy<Value = Made> {
    let expose = prop::sample::select(&EXPOSE[..]);
    let class = prop::sample::select(&CLASSES[..]);
    (expose, any::<bool>(), class, any::<bool>(), 0..4_u8).prop_map(
        |(expose, solver, class, annotated, host)| Made {
            expose,
            solver,
            class,
            annotated,
            host,
        },
    )
}

impl Made {
    fn yaml(&self, name: &str) -> String {
        let expose = self.expose.map(|value| format!("expose: {value}"));
        let solver = self.solver.then(|| "solver: \"true\"".to_owned());
        let labels: Vec<String> = expose.into_iter().chain(solver).collect();
        let (annotation, field) = match self.class {
            Some(class) if self.annotated => (format!("kubernetes.io/ingress.class: {class}"), String::new()),
            Some(class) => (String::new(), format!("ingressClassName: {class}, ")),
            None => (String::new(), String::new()),
        };
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: test, labels: {{{}}}, annotations: {{{annotation}}}}}\n\
             spec: {{{field}tls: [{{hosts: [h{host}.test], secretName: s{host}}}], rules: [{{host: h{host}.test, http: {{paths: [{{path: /{name}, pathType: Prefix, backend: {{service: {{name: app, port: {{number: 80}}}}}}}}]}}}}]}}\n---\n",
            labels.join(", "),
            host = self.host,
        )
    }
}

/// The default class, if there is one.
fn class_objects(default: Option<&str>) -> String {
    let classes = CLASSES.into_iter().flatten().map(|class| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {class}, annotations: {{ingressclass.kubernetes.io/is-default-class: \"{}\"}}}}\nspec: {{controller: k8s.io/ingress-nginx}}\n---\n",
            default == Some(class)
        )
    });
    classes.collect()
}

/// What the doors must admit, in other words than the code's.
fn should_admit(door: &str, made: &Made, default: Option<&str>) -> bool {
    let class = made.class.or(default);
    match door {
        "labels" => made.expose == Some("a"),
        "list" => made.expose == Some("b") || made.solver && made.expose != Some("a"),
        "public" => class == Some("nginx-public"),
        "private" => class == Some("nginx-private") || class == Some("traefik"),
        "both" => {
            class == Some("nginx-public")
                && (made.solver || made.expose == Some("a") || made.expose == Some("c"))
        }
        other => panic!("no door is named {other}"),
    }
}

/// Everything behind a door, by Ingress.
fn behind(door: &Door<()>) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in door.snapshot().routes() {
        let name = row.action.origin.key.name().to_owned();
        let action = format!("{} {:?} {:?}", row.host, row.path, row.action.action);
        all.entry(name).or_default().insert(action);
    }
    all
}

fn yaml(ingresses: &[Made], default: Option<&str>) -> String {
    let made = ingresses.iter().enumerate();
    let made = made.map(|(number, made)| made.yaml(&format!("i{number}")));
    made.collect::<String>() + &class_objects(default)
}

fn default_class() -> impl Strategy<Value = Option<&'static str>> {
    prop::sample::select(&CLASSES[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The isolation law: what is behind a door are the Ingresses that it admits, all of them and no other, after any
    /// history.
    #[test]
    fn a_door_serves_what_its_labels_and_classes_admit(
        histories in prop::collection::vec((prop::collection::vec(made(), 0..6), default_class()), 1..4),
    ) {
        let (mut publishers, doors) = doors();
        let mut ledger = Ledger::default();
        for (ingresses, default) in histories {
            let view = view(&yaml(&ingresses, default));
            publish(&mut publishers, &view, &BackendPolicy::default(), &mut ledger);
            for (door, (name, said)) in doors.iter().zip(DOORS) {
                let expected: BTreeSet<String> = ingresses
                    .iter()
                    .enumerate()
                    .filter(|(_, made)| should_admit(name, made, default))
                    .map(|(number, _)| format!("i{number}"))
                    .collect();
                let served: BTreeSet<String> = behind(door).into_keys().collect();
                prop_assert_eq!(&served, &expected, "at {}", name);
                // What is written to statuses, and which Secrets are read, follows the same decision.
                let policy = policy(said);
                let admits = |ingress: &Ingress| policy.admits(ingress, &view);
                let admitted: BTreeSet<String> = view
                    .ingresses()
                    .filter(|ingress| admits(ingress))
                    .map(|ingress| ingress.key.name().to_owned())
                    .collect();
                prop_assert_eq!(&admitted, &expected, "at {}", name);
                let hosts: BTreeSet<String> = ingresses
                    .iter()
                    .filter(|made| should_admit(name, made, default))
                    .map(|made| format!("s{}", made.host))
                    .collect();
                let needed: BTreeSet<String> =
                    needs([&policy], &view).of_ingresses().into_iter().map(|object| object.name.to_string()).collect();
                prop_assert_eq!(needed, hosts, "at {}", name);
            }
        }
    }

    /// Non-interference: what a door does not admit leaves it as it is.
    #[test]
    fn a_stranger_changes_nothing(
        ingresses in prop::collection::vec(made(), 0..6),
        stranger in made(),
        default in default_class(),
    ) {
        let all = |yaml: &str| {
            let (mut publishers, doors) = doors();
            publish(&mut publishers, &view(yaml), &BackendPolicy::default(), &mut Ledger::default());
            doors.iter().map(behind).collect::<Vec<_>>()
        };
        let before = yaml(&ingresses, default);
        let after = all(&(before.clone() + &stranger.yaml("zz-stranger")));
        for ((before, after), (name, _)) in all(&before).iter().zip(&after).zip(DOORS) {
            if !should_admit(name, &stranger, default) {
                prop_assert_eq!(before, after, "at {}", name);
            }
        }
    }

    /// Two doors that do not overlap never admit the same Ingress, whatever the default class is.
    #[test]
    fn doors_that_do_not_overlap_share_nothing(made in made(), defaults in prop::collection::vec(0..4_usize, 0..3)) {
        let mut objects = made.yaml("one");
        for (number, class) in CLASSES.into_iter().flatten().enumerate() {
            let is_default = defaults.contains(&number);
            objects += class_objects(is_default.then_some(class)).split_inclusive("---\n").nth(number).unwrap();
        }
        let view = view(&objects);
        let ingress = view.ingresses().next().unwrap();
        for (left, left_said) in DOORS {
            for (right, right_said) in DOORS {
                let (left_policy, right_policy) = (policy(left_said), policy(right_said));
                let both = left_policy.admits(ingress, &view) && right_policy.admits(ingress, &view);
                prop_assert!(!both || left_policy.may_overlap(&right_policy), "{left} and {right}");
            }
        }
    }
}

#[test]
fn overlap_is_judged_over_labels_and_classes() {
    let table: [(Said, Said, bool); 7] = [
        ((&[], &["a"]), (&[], &["b"]), false),
        ((&[], &["a", "b"]), (&[], &["b"]), true),
        ((&[], &["a"]), (&["expose=x"], &[]), true),
        ((&["expose=x"], &["a"]), (&["expose=x"], &["b"]), false),
        ((&["expose=x"], &["a"]), (&["expose=y"], &["a"]), false),
        ((&["expose=x"], &["a"]), (&["expose=y", "expose=x"], &["a"]), true),
        ((&["expose=x"], &["a"]), (&[], &["a"]), true),
    ];
    for (left, right, expected) in table {
        assert_eq!(
            policy(left).may_overlap(&policy(right)),
            expected,
            "{left:?} {right:?}"
        );
        assert_eq!(
            policy(right).may_overlap(&policy(left)),
            expected,
            "{right:?} {left:?}"
        );
    }
}

/// A door that says neither which labels nor which classes admits nothing, rather than everything.
#[test]
fn a_door_that_says_nothing_admits_nothing() {
    let view = view(&yaml(
        &[Made {
            expose: Some("a"),
            solver: true,
            class: Some("traefik"),
            annotated: false,
            host: 0,
        }],
        None,
    ));
    let silent = Policy::new(Selectors::default(), Scheme::Http);
    let of_source = Policy {
        ingress_classes: vec!["traefik".into()],
        ..silent.clone()
    };
    for policy in [silent, of_source] {
        assert!(!policy.admits(view.ingresses().next().unwrap(), &view));
        let (publisher, door) = open("a".parse().unwrap(), policy, ());
        publish(
            &mut [publisher],
            &view,
            &BackendPolicy::default(),
            &mut Ledger::default(),
        );
        assert_eq!(door.snapshot().routes().count(), 0);
    }
}

/// What authors are told, with doors by class beside doors by label.
#[test]
fn an_ingress_that_no_door_admits_is_told_why() {
    let made = |expose, class| Made {
        expose,
        solver: false,
        class,
        annotated: false,
        host: 0,
    };
    let ingresses = [
        ("unlabelled", made(None, Some("other"))),
        ("typo", made(Some("x"), Some("other"))),
        ("wrong-class", made(Some("c"), Some("other"))),
        ("elsewhere", made(None, Some("away"))),
        ("refused", made(None, Some("nginx-public"))),
        ("served", made(None, Some("traefik"))),
    ];
    let yaml: String = ingresses.iter().map(|(name, made)| made.yaml(name)).collect();
    let report = |doors: &[(&str, Said)], refusing: bool| {
        let (mut publishers, _doors): (Vec<_>, Vec<_>) = doors
            .iter()
            .map(|(name, said)| {
                let mut policy = policy(*said);
                policy.tls = None;
                if refusing {
                    policy.namespaces = vec![NamespacePattern::parse("nobody").unwrap()];
                }
                open(name.parse::<route::ListenerName>().unwrap(), policy, ())
            })
            .unzip();
        let others = [("away".parse().unwrap(), policy((&[], &["away"])))];
        let ledger = &mut Ledger::default();
        let reports = door::publish_beside(
            &others,
            &mut publishers,
            &view(&yaml),
            &BackendPolicy::default(),
            ledger,
        );
        let told: Vec<String> = reports.problems().iter().map(ToString::to_string).collect();
        told
    };
    let has = |told: &[String], part: &str| {
        assert!(
            told.iter().any(|line| line.contains(part)),
            "{part} is not in {told:#?}"
        );
    };
    let told = report(&DOORS[..], false);
    has(
        &told,
        "note: Ingress test/unlabelled metadata.labels: served nowhere: no label selects a door; doors select by `expose`, `solver`",
    );
    has(
        &told,
        "warning: Ingress test/typo metadata.labels[expose]: served nowhere: no door's selector matches `expose=x`; known values: a, b",
    );
    has(
        &told,
        "warning: Ingress test/wrong-class spec.ingressClassName: served nowhere: its labels select door `both`, which admits only Ingresses of class `nginx-public`",
    );
    has(
        &told,
        "note: Ingress test/elsewhere spec.ingressClassName: not served here: door `away` selects it, which this process does not open",
    );
    // Only doors by class: labels concern nobody.
    let by_class = [DOORS[2], DOORS[3]];
    let told = report(&by_class, false);
    for name in ["unlabelled", "typo", "wrong-class"] {
        has(
            &told,
            &format!(
                "note: Ingress test/{name} spec.ingressClassName: not served here: the Ingress belongs to another class"
            ),
        );
    }
    // The label of a door says that the class is a mistake, also where no door has that class.
    let told = report(&DOORS[4..], false);
    has(
        &told,
        "warning: Ingress test/wrong-class spec.ingressClassName: served nowhere: its labels select door `both`, which admits only Ingresses of class `nginx-public`",
    );
    has(
        &told,
        "note: Ingress test/typo spec.ingressClassName: not served here: the Ingress belongs to another class",
    );
    let told = report(&by_class, true);
    has(
        &told,
        "error: Ingress test/refused metadata.namespace: namespace `test` may not expose at door `public`",
    );
    assert!(
        !told.iter().any(|line| line.contains("test/refused spec")),
        "{told:#?}"
    );
}
