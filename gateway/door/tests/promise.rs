//! The promise as properties, and golden cases: one set of manifests, four tables.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use door::{
    Action, BackendPolicy, Certificate, DefaultCertificate, Door, HostOwner, Policy, Publisher, Route,
    Scheme, Selector, Standing, TlsPolicy, Verdict, open, publish, publish_beside,
};
use proptest::prelude::*;
use resource::{ClusterView, Ingress, manifest};
use route::{
    HostBuf, HostPattern, ObjectKey, PathScratch, RowPath, normalise_authority, normalise_path, normalise_sni,
};

const DOORS: [&str; 4] = [
    "internal-http",
    "internal-https",
    "external-http",
    "external-https",
];

fn policy(selector: &str) -> Policy {
    Policy {
        // Every door ends TLS: the promise holds for certificates as it does for routes.
        tls: Some(TlsPolicy::new(DefaultCertificate::None)),
        ..Policy::new(Selector::parse(selector).unwrap(), Scheme::Http)
    }
}

fn four_doors() -> (Vec<Publisher<()>>, Vec<Door<()>>) {
    DOORS
        .iter()
        .map(|door| open(door.parse().unwrap(), policy(&format!("expose={door}")), ()))
        .unzip()
}

fn view(yaml: &str) -> ClusterView {
    manifest::collect([&manifest::parse("test.yaml", yaml.as_bytes())]).0
}

/// Everything in a door's table, as text: routes with their filters, passed-through names, and the certificate of each name.
fn table(door: &Door<()>) -> Vec<String> {
    let snapshot = door.snapshot();
    let routes = snapshot.routes().map(|row| {
        format!(
            "{} {:?} -> {} {:?} through {:?} beside {:?}",
            row.host,
            row.path,
            row.action.origin.key,
            row.action.action,
            row.action.filters,
            row.action.canary
        )
    });
    let tls = snapshot.tls().expect("every door ends TLS");
    let mut passed: Vec<String> = tls
        .passthrough_routes()
        .map(|(host, route)| format!("{host} => {} {:?}", route.origin.key, route.action))
        .collect();
    passed.sort();
    let shown = NAMES.map(|name| format!("{name} shows {:?}", shown(door, name)));
    routes.chain(passed).chain(shown).collect()
}

/// Names that the certificates of the generator are for, and one that none is for.
const NAMES: [&str; 6] = [
    "a.test",
    "b.test",
    "x.a.test",
    "test",
    "a.b.test",
    "elsewhere.invalid",
];

/// The Secret whose certificate a name gets.
fn shown(door: &Door<()>, name: &str) -> Option<String> {
    let mut scratch = HostBuf::new();
    let name = normalise_sni(name.as_bytes(), &mut scratch).unwrap();
    let snapshot = door.snapshot();
    snapshot
        .tls()?
        .certificate(Some(&name))
        .map(|certificate| certificate.secret)
}

/// The name of the Ingress that answers, `blocked`, or nothing.
fn ask(door: &Door<()>, host: &str, path: &str) -> Option<String> {
    let (mut host_buf, mut scratch) = (HostBuf::new(), PathScratch::default());
    let host = normalise_authority(host.as_bytes(), &mut host_buf).unwrap();
    let path = normalise_path(path.as_bytes(), &mut scratch).unwrap();
    match door.snapshot().find(Some(&host), &path) {
        Verdict::Matched(route) => Some(match &route.action {
            Action::Forward(_) => route.origin.key.name().to_owned(),
            Action::Blocked(_) => "blocked".to_owned(),
            Action::Redirect => "redirect".to_owned(),
        }),
        Verdict::Redirect { .. } => Some("redirect".to_owned()),
        Verdict::Unknown { .. } => None,
        Verdict::NotSynced => Some("not synced".to_owned()),
    }
}

/// An Ingress as the generator makes it: sound or broken in many ways.
#[derive(Debug, Clone)]
struct Made {
    name: String,
    label: Option<String>,
    host: String,
    path: String,
    path_type: String,
    service: String,
    annotation: Option<String>,
    default_backend: bool,
    /// The host and the Secret of an entry of `spec.tls`.
    tls: Option<(Option<String>, String)>,
}

impl Made {
    fn yaml(&self) -> String {
        let text = |text: &str| serde_json::to_string(text).unwrap();
        let label = self
            .label
            .as_ref()
            .map(|label| format!("  labels: {{expose: {}}}\n", text(label)))
            .unwrap_or_default();
        let annotation = self
            .annotation
            .as_ref()
            .map(|key| {
                let name = key.rsplit('/').next().unwrap_or_default();
                let value = match name {
                    "middlewares" => "mine",
                    "router.middlewares" => "test-mine@kubernetescrd",
                    "basic-auth" => "users",
                    "ssl-passthrough" | "from-to-www-redirect" | "use-regex" => "true",
                    "server-alias" => "b.test, x.a.test, *.test, elsewhere.invalid",
                    "app-root" | "permanent-redirect" | "rewrite-target" => "/x",
                    "canary" => "true",
                    "affinity" => "cookie",
                    "default-backend" => "more",
                    _ => "x",
                };
                format!("  annotations: {{{}: {}}}\n", text(key), text(value))
            })
            .unwrap_or_default();
        let default = if self.default_backend {
            format!(
                "  defaultBackend: {{service: {{name: {}, port: {{number: 80}}}}}}\n",
                text(&self.service)
            )
        } else {
            String::new()
        };
        let tls = match &self.tls {
            Some((Some(host), secret)) => {
                format!("  tls: [{{hosts: [{}], secretName: {secret}}}]\n", text(host))
            }
            Some((None, secret)) => format!("  tls: [{{secretName: {secret}}}]\n"),
            None => String::new(),
        };
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {}\n  namespace: test\n{label}{annotation}spec:\n{default}{tls}  rules:\n  - host: {}\n    http: {{paths: [{{path: {}, pathType: {}, backend: {{service: {{name: {}, port: {{number: 80}}}}}}}}]}}\n---\n",
            self.name,
            text(&self.host),
            text(&self.path),
            text(&self.path_type),
            text(&self.service),
        )
    }
}

fn made() -> impl Strategy<Value = Made> {
    let pick = |values: &'static [&'static str]| prop::sample::select(values).prop_map(str::to_owned);
    (
        "[a-z]{1,4}",
        prop::option::of(pick(&[
            "internal-http",
            "internal-https",
            "external-http",
            "external-https",
            "nonsense",
            "",
            "External-Http",
        ])),
        pick(&[
            "",
            "a.test",
            "b.test",
            "*.test",
            "*.a.test",
            "A.TEST",
            "bad host",
            "a.test:80",
            "*",
            "1.2.3.4",
            "\u{0}",
        ]),
        pick(&[
            "/", "/x", "/x/", "/x/y", "x", "", "/../x", "/x\n", "/%2e%2e", "/a?b",
        ]),
        pick(&["Prefix", "Exact", "ImplementationSpecific", "Regex", ""]),
        pick(&["app", "gone", "bad name"]),
        prop::option::of(pick(&[
            "nginx.ingress.kubernetes.io/auth-type",
            "traefik.ingress.kubernetes.io/router.middlewares",
            "blastdoor.dev/middlewares",
            "blastdoor.dev/basic-auth",
            "nginx.ingress.kubernetes.io/ssl-passthrough",
            "nginx.ingress.kubernetes.io/server-alias",
            "nginx.ingress.kubernetes.io/from-to-www-redirect",
            "nginx.ingress.kubernetes.io/app-root",
            "nginx.ingress.kubernetes.io/permanent-redirect",
            "nginx.ingress.kubernetes.io/use-regex",
            "nginx.ingress.kubernetes.io/rewrite-target",
            "nginx.ingress.kubernetes.io/canary",
            "blastdoor.dev/canary",
            "nginx.ingress.kubernetes.io/affinity",
            "nginx.ingress.kubernetes.io/default-backend",
            "unrelated",
        ])),
        any::<bool>(),
        prop::option::of((
            prop::option::of(pick(&["a.test", "b.test", "*.test", "*.a.test", "a.test:443"])),
            pick(&["one", "two", "gone"]),
        )),
    )
        .prop_map(
            |(name, label, host, path, path_type, service, annotation, default_backend, tls)| Made {
                name,
                label,
                host,
                path,
                path_type,
                service,
                annotation,
                default_backend,
                tls,
            },
        )
}

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: app, namespace: test}\nspec: {ports: [{port: 80}]}\n---\n\
    apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: app-1, namespace: test, labels: {kubernetes.io/service-name: app}}\n\
    addressType: IPv4\nports: [{port: 8080}]\nendpoints: [{addresses: [\"10.0.0.1\"]}]\n---\n";

/// The backend of every rule, and the two certificates that there are.
static OBJECTS: LazyLock<String> = LazyLock::new(|| {
    let certificates = [("one", ["a.test", "*.test"]), ("two", ["b.test", "*.a.test"])].map(|(name, hosts)| {
        let made = rcgen::generate_simple_self_signed(hosts.map(str::to_owned)).unwrap();
        let text = |text: &str| serde_json::to_string(text).unwrap();
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: test}}\ntype: kubernetes.io/tls\nstringData: {{tls.crt: {}, tls.key: {}}}\n---\n",
            text(&made.cert.pem()),
            text(&made.signing_key.serialize_pem()),
        )
    });
    SERVICE.to_owned() + &SERVICE.replace("app", "more") + &certificates.concat() + FILTERS
});

/// What Ingresses name on the way: two Middlewares, of which one names the other, and users.
const FILTERS: &str = "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {name: mine, namespace: test}\n\
    spec: {chain: {middlewares: [{name: inner}]}}\n---\n\
    apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {name: inner, namespace: test}\n\
    spec: {basicAuth: {secret: users}}\n---\n\
    apiVersion: v1\nkind: Secret\nmetadata: {name: users, namespace: test}\n\
    stringData: {auth: \"bob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\"}\n---\n";

/// Objects that no Ingress of `test` names: of another namespace and perhaps of the same name, or of another name.
fn strange_objects() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec!["mine", "inner", "users", "app", "theirs"]);
    let specs = prop::sample::select(vec![
        "chain: {middlewares: [{name: mine}]}",
        "chain: {middlewares: [{name: mine, namespace: test}]}",
        "chain: {middlewares: [{name: users}, {name: theirs}]}",
        "basicAuth: {secret: users}",
        "headers: {customRequestHeaders: {X-User: root}}",
        "ipAllowList: {sourceRange: [0.0.0.0/0]}",
        "nonsense: {}",
    ]);
    let one = (any::<bool>(), names, specs).prop_map(|(is_elsewhere, name, spec)| {
        let (namespace, name) = if is_elsewhere { ("other", name) } else { ("test", "theirs") };
        format!(
            "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n---\n\
             apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\nstringData: {{auth: \"eve:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\"}}\n---\n\
             apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\ndata: {{X-Team: them}}\n---\n"
        )
    });
    prop::collection::vec(one, 1..4).prop_map(|objects| objects.concat())
}

/// How an Ingress changes from one publication to the next.
#[derive(Debug, Clone)]
enum Turn {
    Stays,
    Goes,
    Label(String),
    Path(String),
    Service(String),
    Annotation(Option<String>),
}

impl Turn {
    fn of(self, ingress: &Made) -> Option<Made> {
        let ingress = ingress.clone();
        Some(match self {
            Self::Stays => ingress,
            Self::Goes => return None,
            Self::Label(label) => Made {
                label: Some(label),
                ..ingress
            },
            Self::Path(path) => Made { path, ..ingress },
            Self::Service(service) => Made { service, ..ingress },
            Self::Annotation(annotation) => Made {
                annotation,
                ..ingress
            },
        })
    }
}

fn turn() -> impl Strategy<Value = Turn> {
    let pick = |values: &'static [&'static str]| prop::sample::select(values).prop_map(str::to_owned);
    let annotations = [
        "nginx.ingress.kubernetes.io/auth-type",
        "nginx.ingress.kubernetes.io/ssl-passthrough",
        "nginx.ingress.kubernetes.io/server-alias",
        "nginx.ingress.kubernetes.io/permanent-redirect",
    ];
    prop_oneof![
        2 => Just(Turn::Stays),
        1 => Just(Turn::Goes),
        3 => prop::sample::select(&DOORS[..]).prop_map(|door| Turn::Label(door.to_owned())),
        1 => pick(&["/", "/x", "/x/y"]).prop_map(Turn::Path),
        1 => pick(&["app", "more", "gone"]).prop_map(Turn::Service),
        1 => prop::option::of(prop::sample::select(annotations.map(str::to_owned).to_vec())).prop_map(Turn::Annotation),
    ]
}

/// An Ingress that is sound more often than not.
fn mostly_sound() -> impl Strategy<Value = Made> {
    let door = prop::sample::select(&DOORS[..]);
    (made(), door, 0..4_u8).prop_map(|(made, door, luck)| match luck {
        0 => made,
        _ => Made {
            label: Some(door.to_owned()),
            path: if made.path.starts_with("/x") {
                "/x".to_owned()
            } else {
                "/".to_owned()
            },
            path_type: "Prefix".to_owned(),
            service: "app".to_owned(),
            annotation: made
                .annotation
                .filter(|key| key.ends_with("ssl-passthrough") || key.ends_with("server-alias")),
            ..made
        },
    })
}

/// What a door has admitted: by which route, for which host, and for which path unless it was passed through.
struct LetIn {
    route: Arc<Route>,
    host: &'static str,
    path: Option<&'static str>,
}

/// The route by which a door admits this, if it does.
fn lets_in(door: &Door<()>, host: &str, path: Option<&str>) -> Option<Arc<Route>> {
    let (mut host_buf, mut scratch) = (HostBuf::new(), PathScratch::default());
    let host = normalise_authority(host.as_bytes(), &mut host_buf).unwrap();
    let snapshot = door.snapshot();
    let Some(path) = path else {
        return snapshot.tls()?.passthrough(&host).cloned();
    };
    let path = normalise_path(path.as_bytes(), &mut scratch).unwrap();
    match snapshot.find(Some(&host), &path) {
        Verdict::Matched(route) => Some(Arc::clone(route)),
        Verdict::Redirect { .. } | Verdict::Unknown { .. } | Verdict::NotSynced => None,
    }
}

fn let_in(door: &Door<()>) -> Vec<LetIn> {
    let paths = [None, Some("/"), Some("/x"), Some("/x/y/z")];
    let asked = NAMES.iter().flat_map(|host| paths.map(|path| (*host, path)));
    let open = asked.filter_map(|(host, path)| {
        let route = lets_in(door, host, path)?;
        matches!(route.action, Action::Forward(_)).then_some(LetIn { route, host, path })
    });
    open.collect()
}

/// The door's verdict on it now.
fn standing(door: &Door<()>, open: &LetIn) -> Standing {
    let (mut host_buf, mut scratch) = (HostBuf::new(), PathScratch::default());
    let host = normalise_authority(open.host.as_bytes(), &mut host_buf).unwrap();
    match open.path {
        None => door.snapshot().standing_of_passed(&open.route, &host),
        Some(path) => {
            let path = normalise_path(path.as_bytes(), &mut scratch).unwrap();
            door.snapshot().standing(&open.route, Some(&host), &path)
        }
    }
}

fn service_of(route: &Route) -> Option<(&ObjectKey, u16)> {
    match &route.action {
        Action::Forward(upstream) => Some((&upstream.service, upstream.port)),
        Action::Redirect | Action::Blocked(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The isolation law: every action behind a door, and every certificate that it shows, comes from an Ingress that its
    /// selector admits.
    #[test]
    fn isolation_law(ingresses in prop::collection::vec(made(), 0..12)) {
        let (mut publishers, doors) = four_doors();
        let yaml: String = ingresses.iter().map(Made::yaml).collect();
        let view = view(&(OBJECTS.to_owned() + &yaml));
        publish(&mut publishers, &view, &BackendPolicy::default(), &mut door::Ledger::default());
        for (door, name) in doors.iter().zip(DOORS) {
            let selector = Selector::parse(&format!("expose={name}")).unwrap();
            for row in door.snapshot().routes() {
                let ingress = view.ingress(&row.action.origin.key).expect("a route comes from an object");
                prop_assert!(selector.matches(&ingress.labels), "{} at {name}", row.action.origin.key);
                // A canary takes no request that its door did not admit, has no route, and serves its own namespace alone.
                prop_assert!(ingress.annotations.choosing.canary.is_none(), "{} at {name}", ingress.key);
                if let Some(canary) = &row.action.canary {
                    let key = &canary.route.origin.key;
                    let taking = view.ingress(key).expect("a canary comes from an object");
                    prop_assert!(selector.matches(&taking.labels), "canary {key} at {name}");
                    prop_assert!(taking.annotations.choosing.canary.is_some(), "canary {key} at {name}");
                    prop_assert_eq!(key.namespace(), ingress.key.namespace());
                }
            }
            for (_, route) in door.snapshot().tls().expect("every door ends TLS").passthrough_routes() {
                let ingress = view.ingress(&route.origin.key).expect("a route comes from an object");
                prop_assert!(selector.matches(&ingress.labels), "{} at {name}", route.origin.key);
            }
            let admitted: Vec<_> = view.ingresses().filter(|ingress| selector.matches(&ingress.labels)).collect();
            for secret in NAMES.iter().filter_map(|asked| shown(door, asked)) {
                let mut named = admitted.iter().flat_map(|ingress| &ingress.tls).filter_map(|tls| tls.secret.as_ref());
                prop_assert!(named.any(|key| key.to_string() == secret), "{secret} at {name}");
            }
        }
    }

    /// Non-interference: an Ingress that a door does not admit, however broken, leaves the door's table equal.
    #[test]
    fn non_interference(ingresses in prop::collection::vec(made(), 0..8), stranger in made()) {
        let yaml: String = ingresses.iter().map(Made::yaml).collect();
        let stranger = Made { name: "zz-stranger".to_owned(), ..stranger };
        let tables = |yaml: &str| {
            let (mut publishers, doors) = four_doors();
            publish(&mut publishers, &view(yaml), &BackendPolicy::default(), &mut door::Ledger::default());
            doors.iter().map(table).collect::<Vec<_>>()
        };
        let before = tables(&(OBJECTS.to_owned() + &yaml));
        let after = tables(&(OBJECTS.to_owned() + &yaml + &stranger.yaml()));
        for ((before, after), name) in before.iter().zip(&after).zip(DOORS) {
            if stranger.label.as_deref() != Some(name) {
                prop_assert_eq!(before, after, "{} changed by {:?}", name, stranger);
            }
        }
    }

    /// Middlewares, Secrets and ConfigMaps that a door's Ingresses do not name, themselves or through what they name, leave
    /// its routes and what happens on the way equal: of any content, beside an Ingress of their own that names them.
    #[test]
    fn objects_of_strangers_do_not_interfere(
        ingresses in prop::collection::vec(made(), 0..8),
        stranger in made(),
        objects in strange_objects(),
    ) {
        let yaml: String = ingresses.iter().map(Made::yaml).collect();
        let stranger = Made { name: "zz-stranger".to_owned(), ..stranger };
        let tables = |yaml: &str| {
            let (mut publishers, doors) = four_doors();
            publish(&mut publishers, &view(yaml), &BackendPolicy::default(), &mut door::Ledger::default());
            doors.iter().map(table).collect::<Vec<_>>()
        };
        let before = tables(&(OBJECTS.to_owned() + &yaml));
        let own = stranger.yaml().replace("namespace: test", "namespace: other").replace("test-mine@", "other-mine@");
        let after = tables(&(OBJECTS.to_owned() + &yaml + &objects + &own));
        for ((before, after), name) in before.iter().zip(&after).zip(DOORS) {
            if stranger.label.as_deref() != Some(name) {
                prop_assert_eq!(before, after, "{} changed by {}{:?}", name, objects, stranger);
            }
        }
    }

    /// Tunnels across a relabel: what a door has admitted continues only while the door would admit it again, and never on
    /// behalf of an Ingress that its selector no longer admits.
    #[test]
    fn tunnels_across_a_relabel(
        before in prop::collection::vec(mostly_sound(), 0..12),
        turns in prop::collection::vec(turn(), 12),
    ) {
        let yaml = |ingresses: &[Made]| OBJECTS.to_owned() + &ingresses.iter().map(Made::yaml).collect::<String>();
        let after: Vec<Made> = before.iter().zip(turns).filter_map(|(ingress, turn)| turn.of(ingress)).collect();
        let after = view(&yaml(&after));
        let (mut publishers, doors) = four_doors();
        let mut ledger = door::Ledger::default();
        publish(&mut publishers, &view(&yaml(&before)), &BackendPolicy::default(), &mut ledger);
        let open: Vec<Vec<LetIn>> = doors.iter().map(let_in).collect();
        let numbers: Vec<u64> = doors.iter().map(|door| door.snapshot().publication()).collect();
        publish(&mut publishers, &after, &BackendPolicy::default(), &mut ledger);
        let (mut fresh, fresh_doors) = four_doors();
        publish(&mut fresh, &after, &BackendPolicy::default(), &mut door::Ledger::default());
        for ((((door, fresh), open), name), number) in
            doors.iter().zip(&fresh_doors).zip(&open).zip(DOORS).zip(numbers)
        {
            let selector = Selector::parse(&format!("expose={name}")).unwrap();
            for open in open {
                let now = standing(door, open);
                let what = format!("{} for {}{:?} at {name}", open.route.origin.key, open.host, open.path);
                let again = lets_in(fresh, open.host, open.path)
                    .filter(|route| route.origin == open.route.origin);
                let same = again.as_ref().is_some_and(|again| service_of(again) == service_of(&open.route));
                prop_assert_eq!(now == Standing::Holds, same, "{}", what);
                let is_admitted = after
                    .ingress(&open.route.origin.key)
                    .is_some_and(|ingress| selector.matches(&ingress.labels));
                prop_assert!(now == Standing::Gone || is_admitted && again.is_some(), "{what}: {now:?}");
                // The version number tells readers to look again.
                prop_assert!(now == Standing::Holds || door.snapshot().publication() > number, "{what}");
            }
        }
    }

    /// What is served depends on the objects alone: after any history the tables are the same.
    #[test]
    fn no_memory(first in prop::collection::vec(made(), 0..6), second in prop::collection::vec(made(), 0..6)) {
        let yaml = |ingresses: &[Made]| OBJECTS.to_owned() + &ingresses.iter().map(Made::yaml).collect::<String>();
        let (mut fresh, fresh_doors) = four_doors();
        publish(&mut fresh, &view(&yaml(&second)), &BackendPolicy::default(), &mut door::Ledger::default());
        let (mut used, used_doors) = four_doors();
        publish(&mut used, &view(&yaml(&first)), &BackendPolicy::default(), &mut door::Ledger::default());
        publish(&mut used, &view(&yaml(&second)), &BackendPolicy::default(), &mut door::Ledger::default());
        for (fresh, used) in fresh_doors.iter().zip(&used_doors) {
            prop_assert_eq!(table(fresh), table(used));
        }
    }
}

/// The door's own certificate, for names without one.
static DEFAULT: LazyLock<Arc<Certificate>> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(vec!["default.invalid".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    Arc::new(Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap())
});

/// Who serves a name, read off the rows: the oldest Ingress with a rule for the most precise pattern.
fn holder(door: &Door<()>, view: &ClusterView, name: &str) -> Option<ObjectKey> {
    let snapshot = door.snapshot();
    let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
    let rows = |pattern: &str, is_default: bool| {
        let rows = snapshot.routes().filter(|row| {
            row.host.to_string() == pattern && matches!(row.path, RowPath::Default) == is_default
        });
        let ingresses = rows.filter_map(|row| view.ingress(&row.action.origin.key));
        ingresses
            .min_by_key(|ingress| (ingress.created.is_none(), ingress.created, ingress.key.clone()))
            .map(|ingress| ingress.key.clone())
    };
    rows(name, false)
        .or_else(|| rows(&wildcard?, false))
        .or_else(|| rows("", false))
        .or_else(|| rows("", true))
}

/// Objects in a namespace, of these ages.
fn aged(ingresses: &[Made], namespace: &str, ages: &[u8]) -> String {
    let yaml = ingresses.iter().zip(ages.iter().cycle()).map(|(made, age)| {
        made.yaml().replace(
            "  namespace: test\n",
            &format!("  namespace: {namespace}\n  creationTimestamp: \"2020-01-01T00:00:0{age}Z\"\n"),
        )
    });
    yaml.collect::<String>() + &OBJECTS.replace("namespace: test", &format!("namespace: {namespace}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Hostile `spec.tls`: whatever a namespace writes there changes nothing for a name that another namespace serves, or
    /// for what is passed through.
    #[test]
    fn hostile_spec_tls(
        victims in prop::collection::vec(made(), 1..6),
        hostile in prop::collection::vec(made(), 1..6),
        rules in any::<bool>(),
        ages in prop::collection::vec(0..6_u8, 5),
    ) {
        // A name whose own Secret is missing has lost its certificate anyway.
        let is_good = |made: &Made| made.tls.as_ref().is_none_or(|(_, secret)| secret != "gone");
        let victims: Vec<Made> = victims.into_iter().filter(is_good).collect();
        let calm: Vec<Made> = hostile.iter().map(|made| Made { tls: None, ..made.clone() }).collect();
        let views = [&calm, &hostile].map(|others| {
            let mut others = aged(others, "hostile", &ages);
            if !rules {
                others = without_rules(&others);
            }
            view(&(aged(&victims, "victim", &ages[1..]) + &others))
        });
        for owner in [HostOwner::Any, HostOwner::Namespace] {
            let [before, after] = [0, 1].map(|index| {
                let (mut publishers, doors): (Vec<_>, Vec<_>) = DOORS
                    .iter()
                    .map(|door| {
                        let mut policy = policy(&format!("expose={door}"));
                        policy.host_owner = owner;
                        policy.tls.as_mut().unwrap().default_certificate =
                            DefaultCertificate::Given(Arc::clone(&DEFAULT));
                        open(door.parse().unwrap(), policy, ())
                    })
                    .unzip();
                publish(&mut publishers, &views[index], &BackendPolicy::default(), &mut door::Ledger::default());
                doors
            });
            for (before, after) in before.iter().zip(&after) {
                let passed = |door: &Door<()>| -> BTreeSet<String> {
                    let tls = door.snapshot().tls().unwrap().clone();
                    tls.passthrough_routes().map(|(host, route)| format!("{host} {route:?}")).collect()
                };
                prop_assert_eq!(passed(before), passed(after));
                for name in NAMES {
                    let holder = holder(after, &views[1], name);
                    if holder.as_ref().is_some_and(|holder| holder.namespace() == "victim") {
                        prop_assert_eq!(shown(before, name), shown(after, name), "{} of {:?}", name, holder);
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Where hosts have owners, every rule of a host, and every name that is passed through, is of the namespace of the
    /// oldest Ingress that names the host, or a wildcard above it; of a host that no rule names, of the oldest to which it is
    /// a further host.
    #[test]
    fn a_host_has_one_namespace(
        ours in prop::collection::vec(made(), 1..6),
        theirs in prop::collection::vec(made(), 1..6),
        ages in prop::collection::vec(0..6_u8, 5),
    ) {
        let view = view(&(aged(&ours, "ours", &ages[1..]) + &aged(&theirs, "theirs", &ages)));
        for name in DOORS {
            let mut policy = policy(&format!("expose={name}"));
            policy.host_owner = HostOwner::Namespace;
            let selector = policy.selectors.clone();
            let (publisher, door) = open(name.parse().unwrap(), policy, ());
            publish(&mut [publisher], &view, &BackendPolicy::default(), &mut door::Ledger::default());
            let owner = |host: &HostPattern| {
                let names = [Some(host.clone()), host.wildcard()];
                // A canary has no place of its own.
                let has_places = |ingress: &&Arc<Ingress>| ingress.annotations.choosing.canary.is_none();
                let admitted = || {
                    let admitted = view.ingresses().filter(|ingress| selector.match_labels(&ingress.labels));
                    admitted.filter(has_places)
                };
                let naming = admitted().filter(|ingress| {
                    ingress.rule_hosts().any(|it| names.contains(&Some(it.clone())))
                });
                let deriving = admitted().filter(|ingress| ingress.derived.iter().any(|it| it.host == *host));
                let age = |ingress: &&Arc<Ingress>| (ingress.created.is_none(), ingress.created, ingress.key.clone());
                naming
                    .min_by_key(age)
                    .or_else(|| deriving.min_by_key(age))
                    .map(|ingress| ingress.key.namespace().to_owned())
            };
            let snapshot = door.snapshot();
            let passed = snapshot.tls().unwrap().clone();
            let passed = passed.passthrough_routes().map(|(host, route)| (host, route.origin.key.clone()));
            let rows = snapshot.routes().map(|row| (row.host.clone(), row.action.origin.key.clone()));
            for (host, ingress) in rows.chain(passed).filter(|(host, _)| *host != HostPattern::Any) {
                let owner = owner(&host);
                prop_assert_eq!(Some(ingress.namespace()), owner.as_deref(), "{}", host);
            }
        }
    }
}

/// The same Ingresses without what they serve.
fn without_rules(yaml: &str) -> String {
    let lines = yaml.lines().filter(|line| {
        let line = line.trim_start();
        !(line.starts_with("rules:") || line.starts_with("- host:") || line.starts_with("http:"))
    });
    lines.map(|line| format!("{line}\n")).collect()
}

fn rule(name: &str, label: &str, host: &str, path: &str) -> String {
    Made {
        name: name.to_owned(),
        label: Some(label.to_owned()),
        host: host.to_owned(),
        path: path.to_owned(),
        path_type: "Prefix".to_owned(),
        service: "app".to_owned(),
        annotation: None,
        default_backend: false,
        tls: None,
    }
    .yaml()
}

/// One input, four outputs.
#[test]
fn one_input_gives_each_door_its_own_routes() {
    let yaml = SERVICE.to_owned()
        + &rule("everywhere-in", "internal-http", "same.test", "/")
        + &rule("everywhere-out", "external-http", "same.test", "/")
        + &rule("wild", "internal-https", "*.test", "/")
        + &rule("secret", "internal-https", "secret.test", "/admin")
        + &rule("precise", "external-https", "a.test", "/x")
        + &rule("nobody", "nonsense", "nobody.test", "/")
        + &rule("broken", "external-https", "a.test", "/x/../y");
    let (mut publishers, doors) = four_doors();
    publish(
        &mut publishers,
        &view(&yaml),
        &BackendPolicy::default(),
        &mut door::Ledger::default(),
    );
    let requests = [
        ("same.test", "/"),
        ("a.test", "/x"),
        ("a.test", "/y"),
        ("secret.test", "/admin"),
        ("secret.test", "/"),
        ("nobody.test", "/"),
    ];
    let answers: Vec<Vec<Option<String>>> = doors
        .iter()
        .map(|door| {
            requests
                .iter()
                .map(|(host, path)| ask(door, host, path))
                .collect()
        })
        .collect();
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(
        answers,
        [
            vec![some("everywhere-in"), None, None, None, None, None],
            vec![
                some("wild"),
                some("wild"),
                some("wild"),
                some("secret"),
                None,
                some("wild")
            ],
            vec![some("everywhere-out"), None, None, None, None, None],
            vec![None, some("precise"), None, None, None, None],
        ]
        .map(|row| row)
    );
}

#[test]
fn a_door_knows_that_nothing_was_published_yet() {
    let (_publishers, doors) = four_doors();
    assert_eq!(ask(&doors[0], "a.test", "/").as_deref(), Some("not synced"));
}

/// An equal view leaves the live tables alone.
#[test]
fn nothing_is_swapped_when_nothing_changed() {
    let yaml = SERVICE.to_owned() + &rule("app", "internal-http", "a.test", "/");
    let (mut publishers, doors) = four_doors();
    publish(
        &mut publishers,
        &view(&yaml),
        &BackendPolicy::default(),
        &mut door::Ledger::default(),
    );
    let before = Arc::clone(&doors[0].snapshot());
    publish(
        &mut publishers,
        &view(&yaml),
        &BackendPolicy::default(),
        &mut door::Ledger::default(),
    );
    assert!(Arc::ptr_eq(&before, &doors[0].snapshot()));
}

/// The messages that explain to an author why an Ingress is served nowhere, or not as written.
#[test]
fn an_ingress_that_is_not_served_as_written_is_reported() {
    let yaml = SERVICE.to_owned()
        + &rule("unlabelled", "internal-http", "a.test", "/")
            .replace("  labels: {expose: \"internal-http\"}\n", "")
        + &rule("typo", "internal-htp", "b.test", "/")
        + &rule("late", "internal-http", "c.test", "/")
        + &rule("early", "internal-http", "c.test", "/").replace(
            "  namespace: test\n",
            "  namespace: test\n  creationTimestamp: \"2020-01-01T00:00:00Z\"\n",
        );
    let (mut publishers, _doors) = four_doors();
    let reported: BTreeSet<String> = publish(
        &mut publishers,
        &view(&yaml),
        &BackendPolicy::default(),
        &mut door::Ledger::default(),
    )
    .problems()
    .iter()
    .map(ToString::to_string)
    .collect();
    let has = |part: &str| {
        assert!(
            reported.iter().any(|problem| problem.contains(part)),
            "{part}: {reported:#?}"
        );
    };
    has(
        "note: Ingress test/unlabelled metadata.labels: served nowhere: no label selects a door; doors select by `expose`",
    );
    has(
        "warning: Ingress test/typo metadata.labels[expose]: served nowhere: no door's selector matches `expose=internal-htp`; known values: external-http, external-https, internal-http, internal-https",
    );
    has(
        "warning: Ingress test/late spec.rules[0].http.paths[0].path: c.test/ at door `internal-http` belongs to the older Ingress `test/early`; this rule is not served",
    );
    assert_eq!(reported.len(), 3, "{reported:#?}");
}

/// Ingresses that others serve get no warning: those of another class, and those of doors that another process opens.
#[test]
fn an_ingress_of_another_door_is_not_reported_as_unserved() {
    let of_class = |name: &str, expose: &str, class: &str| {
        rule(name, expose, &format!("{name}.test"), "/")
            .replace("spec:\n", &format!("spec:\n  ingressClassName: {class}\n"))
    };
    let yaml = SERVICE.to_owned()
        + &of_class("foreign", "nowhere", "nginx")
        + &of_class("outside", "external-http", "ours")
        + &of_class("typo", "external-htp", "ours");
    let view = view(&yaml);
    let classed = |selector: &str| Policy {
        ingress_classes: vec!["ours".into()],
        ..policy(selector)
    };
    let name = |name: &str| name.parse().unwrap();
    let (mut publishers, _doors): (Vec<_>, Vec<_>) = ["internal-http", "internal-https"]
        .iter()
        .map(|door| open(name(door), classed(&format!("expose={door}")), ()))
        .unzip();
    let ledger = &mut door::Ledger::default();
    publish(&mut publishers, &view, &BackendPolicy::default(), ledger);
    let others = [(name("external-http"), classed("expose=external-http"))];
    let reported = publish_beside(&others, &mut publishers, &view, &BackendPolicy::default(), ledger);
    let reported: BTreeSet<String> = reported
        .problems()
        .iter()
        .map(|problem| {
            let message = problem.message.split([';', ',']).next().unwrap_or_default();
            format!("{} {}: {message}", problem.severity.as_str(), problem.object.name)
        })
        .collect();
    let expected = [
        "note foreign: not served here: the Ingress belongs to another class",
        "note outside: not served here: door `external-http` selects it",
        "warning typo: served nowhere: no door's selector matches `expose=external-htp`",
    ];
    assert_eq!(reported, BTreeSet::from(expected.map(str::to_owned)));
}
