//! Compiling changes gives the same as compiling from scratch, whatever changes, in whatever order.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "what cannot be had fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use door::{
    Action, Answer, Aspect, BackendPolicy, Bounds, Changed, DefaultCertificate, Door, DoorChange,
    ExternalNames, HostOwner, Ledger, NamespacePattern, PlacePath, Policy, Publisher, Scheme, Selector,
    Selectors, TlsPolicy, Verdict, needs, open, publish,
};
use proptest::prelude::*;
use resource::{ClusterView, Kind, NameFault, ObjectRef, Resolution, Unread, manifest};
use route::{Host, HostBuf, ObjectKey, PathScratch, RowPath, normalise_path, normalise_sni};

const HOSTS: [&str; 5] = ["a.test", "b.test", "c.test", "*.test", ""];
const PATHS: [&str; 4] = ["/", "/x", "/x/y", "/%zz"];
const LABELS: [&str; 7] = ["one", "two", "three", "four", "five", "six", "nowhere"];
/// What an Ingress says of its class.
const CLASSES: [&str; 3] = ["", "  ingressClassName: x\n", "  ingressClassName: y\n"];
/// Every other Ingress is in the second one.
const NAMESPACES: [&str; 2] = ["test", "other"];
/// Protocols of backends; the authorities are usable or not.
const SPEECH: [&str; 4] = [
    ", nginx.ingress.kubernetes.io/backend-protocol: HTTPS",
    ", nginx.ingress.kubernetes.io/backend-protocol: HTTPS, blastdoor.dev/backend-tls-verify: \"off\"",
    ", nginx.ingress.kubernetes.io/backend-protocol: HTTPS, blastdoor.dev/backend-tls-verify: \"off\", \
     blastdoor.dev/backend-tls-ca: secret/rubbish",
    ", nginx.ingress.kubernetes.io/backend-protocol: HTTPS, blastdoor.dev/backend-tls-ca: configmap/trust",
];
/// Filters, by annotations and through Middlewares.
const FILTERS: [&str; 18] = [
    ", traefik.ingress.kubernetes.io/router.middlewares: \"NAMESPACE-m0@kubernetescrd\"",
    ", blastdoor.dev/middlewares: \"m1, m2\"",
    ", blastdoor.dev/middlewares: m2, traefik.ingress.kubernetes.io/router.middlewares: \"NAMESPACE-m0@kubernetescrd\"",
    ", blastdoor.dev/basic-auth: users",
    ", blastdoor.dev/https-redirect: \"on\", blastdoor.dev/middlewares: m1",
    ", nginx.ingress.kubernetes.io/custom-headers: NAMESPACE/fields",
    ", nginx.ingress.kubernetes.io/enable-cors: \"true\", blastdoor.dev/middlewares: m2",
    ", nginx.ingress.kubernetes.io/server-alias: \"c.test, d.test, *.test, x.y.test\"",
    ", nginx.ingress.kubernetes.io/server-alias: \"a.test, www.b.test\", blastdoor.dev/app-root: /x",
    ", nginx.ingress.kubernetes.io/from-to-www-redirect: \"true\"",
    ", blastdoor.dev/www-redirect: \"on\", nginx.ingress.kubernetes.io/server-alias: \"www.a.test, d.test\"",
    ", nginx.ingress.kubernetes.io/app-root: /x, blastdoor.dev/basic-auth: users",
    ", nginx.ingress.kubernetes.io/permanent-redirect: /y, nginx.ingress.kubernetes.io/use-regex: \"true\"",
    ", nginx.ingress.kubernetes.io/canary: \"true\", nginx.ingress.kubernetes.io/canary-weight: \"10\"",
    ", blastdoor.dev/canary: \"on\", blastdoor.dev/canary-cookie: c",
    ", nginx.ingress.kubernetes.io/affinity: cookie, blastdoor.dev/balance: round-robin",
    ", nginx.ingress.kubernetes.io/default-backend: s1, nginx.ingress.kubernetes.io/custom-http-errors: \"404\"",
    ", blastdoor.dev/errors: \"500-599\", blastdoor.dev/errors-service: \"s0:80\", blastdoor.dev/sticky: c",
];
/// What a Middleware may be. Chains may lead back to themselves, and to what is not there.
const MIDDLEWARES: [&str; 8] = [
    "chain: {middlewares: [{name: m1}, {name: m2}]}",
    "chain: {middlewares: [{name: m0}]}",
    "chain: {middlewares: [{name: m1, namespace: other}]}",
    "basicAuth: {secret: users}",
    "basicAuth: {secret: missing}",
    "headers: {customResponseHeaders: {X-Team: shop}}",
    "headers: {accessControlAllowOriginList: [\"https://a.test\"]}",
    "headers: {customResponseHeader: {}}",
];
/// The last of them is unusable.
const USERS: [&str; 3] = [
    "bob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
    "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
    "bob",
];
/// The last of them does not exist.
const SECRETS: [&str; 3] = ["ab", "wild", "missing"];

/// Eight doors: one redirects to another, one ends TLS; two more do where hosts belong to namespaces; one admits by
/// class and by one of two selectors, and one by class alone.
fn doors() -> (Vec<Publisher<()>>, Vec<Door<()>>) {
    let tls = || TlsPolicy::new(DefaultCertificate::None);
    let few = || Bounds {
        ingress_rules: 3,
        namespace_rules: 5,
        namespace_endpoints: 21,
    };
    let of_test = || NamespacePattern::parse("test").unwrap();
    let policy = |selector: &str, redirect: Option<&str>, scheme| Policy {
        forwarded_port: 443,
        redirect: redirect.map(|name| name.parse().unwrap()),
        ..Policy::new(Selector::parse(selector).unwrap(), scheme)
    };
    [
        ("one", policy("expose=one", None, Scheme::Https)),
        ("two", policy("expose in (two, three)", Some("one"), Scheme::Http)),
        (
            "three",
            Policy {
                bounds: few(),
                ..policy("expose in (three, one)", None, Scheme::Http)
            },
        ),
        (
            "four",
            Policy {
                tls: Some(TlsPolicy {
                    passthrough: true,
                    ..tls()
                }),
                bounds: few(),
                ..policy("expose in (four, one)", None, Scheme::Https)
            },
        ),
        (
            "five",
            Policy {
                tls: Some(TlsPolicy {
                    default_certificate: DefaultCertificate::Secret(ObjectKey::new("test", "ab")),
                    ..tls()
                }),
                host_owner: HostOwner::Namespace,
                bounds: few(),
                ..policy("expose in (five, four)", None, Scheme::Https)
            },
        ),
        (
            "six",
            Policy {
                host_owner: HostOwner::Namespace,
                default_backend: vec![of_test()],
                ..policy("expose=six", Some("five"), Scheme::Http)
            },
        ),
        (
            "seven",
            Policy {
                selectors: ["expose in (one, two)", "expose=nowhere"]
                    .map(|selector| Selector::parse(selector).unwrap())
                    .to_vec()
                    .into(),
                classes: vec!["x".into()],
                ..policy("expose=seven", None, Scheme::Http)
            },
        ),
        (
            "eight",
            Policy {
                selectors: Selectors::default(),
                classes: vec!["y".into()],
                ..policy("expose=eight", Some("one"), Scheme::Http)
            },
        ),
    ]
    .into_iter()
    .map(|(name, policy)| open(name.parse().unwrap(), policy, ()))
    .unzip()
}

fn doors_without_owners() -> (Vec<Publisher<()>>, Vec<Door<()>>) {
    let (publishers, doors) = doors();
    publishers
        .into_iter()
        .zip(doors)
        .filter(|(publisher, _)| publisher.policy().host_owner == HostOwner::Any)
        .unzip()
}

#[derive(Debug, Clone)]
enum Change {
    Ingress {
        number: usize,
        label: usize,
        age: usize,
        rules: Vec<(usize, usize, usize)>,
        default: bool,
        /// Hosts and a Secret; neither has to be there.
        tls: Vec<(usize, usize)>,
        passthrough: bool,
        speech: usize,
        class: usize,
        filters: usize,
    },
    /// The default class, if there is one.
    DefaultClass(Option<bool>),
    NoIngress(usize),
    Service(usize),
    NoService(usize),
    /// Addresses of a Service; 127.0.0.0/8 among them is refused, and one of them stands for twenty.
    Slice(usize, Vec<u8>),
    NoSlice(usize),
    /// A Service that stands for one of the names.
    External(usize, usize),
    /// The answer of DNS for a name: none, a fault, or addresses as in a slice.
    Resolution(usize, Option<Vec<u8>>),
    /// The authorities of backends, in the Secret or in the ConfigMap: none, unusable, or these.
    Authorities(bool, Option<usize>),
    /// A Secret with a certificate for clients is another one. Those that come and go are not here: doors remember the last
    /// good ones.
    Certificate(usize, usize),
    /// What a Middleware says, if it is there.
    Middleware(usize, Option<usize>),
    /// The Secret with users: its content, if it is there.
    Users(Option<usize>),
    /// The ConfigMap with fields, likewise.
    Fields(Option<usize>),
    /// Why Middlewares are not read, if they are not.
    UnreadMiddlewares(Option<Unread>),
    /// A Secret is missing for another reason.
    Unread(usize, bool),
}

/// The answers of DNS. They are kept beside the view, and every view gets them anew.
type Known = BTreeMap<Host, Arc<Resolution>>;

fn change() -> impl Strategy<Value = Change> {
    let rule = (0..HOSTS.len(), 0..=PATHS.len(), 0..3_usize);
    let ingress = (
        0..6_usize,
        0..LABELS.len(),
        0..3_usize,
        prop::collection::vec(rule, 0..4),
        prop::bool::weighted(0.2),
        prop::collection::vec((0..=HOSTS.len(), 0..=SECRETS.len()), 0..2),
        prop::bool::weighted(0.05),
        0..8_usize,
        (0..CLASSES.len(), 0..2 * FILTERS.len()),
    );
    prop_oneof![
        6 => ingress.prop_map(|(number, label, age, rules, default, tls, passthrough, speech, (class, filters))| {
            Change::Ingress { number, label, age, rules, default, tls, passthrough, speech, class, filters }
        }),
        1 => (0..6_usize).prop_map(Change::NoIngress),
        1 => any::<Option<bool>>().prop_map(Change::DefaultClass),
        2 => (0..3_usize).prop_map(Change::Service),
        1 => (0..3_usize).prop_map(Change::NoService),
        2 => (0..3_usize, prop::collection::vec(1..6_u8, 0..3)).prop_map(|(service, addresses)| Change::Slice(service, addresses)),
        1 => (0..3_usize).prop_map(Change::NoSlice),
        2 => (0..3_usize, 0..2_usize).prop_map(|(service, name)| Change::External(service, name)),
        3 => (0..2_usize, prop::option::weighted(0.8, prop::collection::vec(1..5_u8, 0..3)))
            .prop_map(|(name, addresses)| Change::Resolution(name, addresses)),
        1 => (any::<bool>(), prop::option::weighted(0.8, 0..3_usize))
            .prop_map(|(is_secret, content)| Change::Authorities(is_secret, content)),
        1 => (0..2_usize, 0..2_usize).prop_map(|(secret, content)| Change::Certificate(secret, content)),
        3 => (0..3_usize, prop::option::weighted(0.9, 0..MIDDLEWARES.len()))
            .prop_map(|(number, content)| Change::Middleware(number, content)),
        1 => prop::option::weighted(0.8, 0..USERS.len()).prop_map(Change::Users),
        1 => prop::option::weighted(0.8, 0..3_usize).prop_map(Change::Fields),
        1 => prop::sample::select(vec![None, Some(Unread::Denied), Some(Unread::NoSuchKind)])
            .prop_map(Change::UnreadMiddlewares),
        1 => (0..SECRETS.len(), any::<bool>()).prop_map(|(secret, is_denied)| Change::Unread(secret, is_denied)),
    ]
}

fn apply(view: &mut ClusterView, known: &mut Known, change: &Change) {
    let gone = |view: &mut ClusterView, kind, name: String| {
        for namespace in NAMESPACES {
            view.remove(&ObjectRef::namespaced(
                kind,
                &ObjectKey::new(namespace, name.as_str()),
            ));
        }
    };
    let everywhere = |yaml: String| {
        NAMESPACES
            .map(|namespace| yaml.replace("namespace: test", &format!("namespace: {namespace}")))
            .join("---\n")
    };
    let yaml = match change {
        Change::Ingress {
            number,
            label,
            age,
            rules,
            default,
            tls,
            passthrough,
            speech,
            class,
            filters,
        } => {
            let more = [SPEECH.get(*speech), FILTERS.get(*filters)];
            let more: String = more.into_iter().flatten().copied().collect();
            let start = ingress(*number, *label, *age, rules, *default, *passthrough, &more);
            start + CLASSES[*class] + &tls_of(tls)
        }
        Change::DefaultClass(default) => ["x", "y"]
            .map(|class| {
                let is_default = *default == Some(class == "x");
                format!(
                    "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {class}, annotations: {{ingressclass.kubernetes.io/is-default-class: \"{is_default}\"}}}}\nspec: {{controller: blastdoor.dev/gateway}}\n"
                )
            })
            .join("---\n"),
        Change::NoIngress(number) => {
            gone(view, Kind::Ingress, format!("i{number}"));
            return;
        }
        Change::Service(number) => everywhere(format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s{number}, namespace: test}}\nspec: {{ports: [{{port: 80}}]}}\n"
        )),
        Change::NoService(number) => {
            gone(view, Kind::Service, format!("s{number}"));
            return;
        }
        Change::Slice(number, addresses) => {
            let endpoints: Vec<String> = addresses
                .iter()
                .flat_map(|last| match last {
                    4 => vec!["{addresses: [\"127.0.0.1\"]}".to_owned()],
                    5 => (10..30)
                        .map(|last| format!("{{addresses: [\"10.0.0.{last}\"]}}"))
                        .collect(),
                    last => vec![format!("{{addresses: [\"10.0.0.{last}\"]}}")],
                })
                .collect();
            everywhere(format!(
                "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s{number}-1, namespace: test, labels: {{kubernetes.io/service-name: s{number}}}}}\naddressType: IPv4\nports: [{{port: 8080}}]\nendpoints: [{}]\n",
                endpoints.join(", ")
            ))
        }
        Change::NoSlice(number) => {
            gone(view, Kind::EndpointSlice, format!("s{number}-1"));
            return;
        }
        Change::External(number, name) => everywhere(format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s{number}, namespace: test}}\nspec: {{type: ExternalName, externalName: n{name}.test}}\n"
        )),
        Change::Resolution(name, addresses) => {
            let mut scratch = HostBuf::default();
            let name = format!("n{name}.test");
            let name = Host::of(&normalise_sni(name.as_bytes(), &mut scratch).unwrap()).unwrap();
            let Some(addresses) = addresses else {
                known.remove(&name);
                return;
            };
            let address = |last: &u8| match last {
                4 => [127, 0, 0, 1].into(),
                last => [10, 0, 0, *last].into(),
            };
            let resolution = Resolution {
                addresses: addresses.iter().map(address).collect(),
                left_out: 0,
                fault: addresses.is_empty().then_some(NameFault::NoSuchName),
            };
            known.insert(name, Arc::new(resolution));
            return;
        }
        Change::Authorities(is_secret, content) => {
            let (kind, name) = if *is_secret {
                (Kind::Secret, "rubbish")
            } else {
                (Kind::ConfigMap, "trust")
            };
            let Some(content) = content else {
                gone(view, kind, name.to_owned());
                return;
            };
            let pem = contents().get(*content).map_or("rubbish", |(chain, _)| &**chain);
            let data = if *is_secret { "stringData" } else { "data" };
            let kind = kind.as_str();
            everywhere(format!(
                "apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: test}}\n{data}:\n  ca.crt: |\n{}",
                indented(pem)
            ))
        }
        Change::Certificate(secret, content) => {
            let (chain, key) = &contents()[*content];
            everywhere(certificate(SECRETS[*secret], chain, key))
        }
        Change::Middleware(number, None) => {
            gone(view, Kind::Middleware, format!("m{number}"));
            return;
        }
        Change::Middleware(number, Some(content)) => everywhere(format!(
            "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {{name: m{number}, namespace: test}}\nspec: {{{}}}\n",
            MIDDLEWARES[*content]
        )),
        Change::Users(None) => {
            gone(view, Kind::Secret, "users".to_owned());
            return;
        }
        Change::Users(Some(content)) => everywhere(format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: users, namespace: test}}\nstringData: {{auth: \"{}\"}}\n",
            USERS[*content]
        )),
        Change::Fields(None) => {
            gone(view, Kind::ConfigMap, "fields".to_owned());
            return;
        }
        Change::Fields(Some(content)) => everywhere(format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: fields, namespace: test}}\ndata: {{{}: x}}\n",
            ["X-Team", "X-Unit", "\"not a name\""][*content]
        )),
        Change::UnreadMiddlewares(why) => {
            let all = ObjectRef::global(Kind::Middleware, "");
            view.replace_unread(Arc::new(why.map(|why| (all, why)).into_iter().collect()));
            return;
        }
        Change::Unread(secret, is_denied) => {
            let why = if *is_denied {
                Unread::Denied
            } else {
                Unread::TooMany
            };
            let named =
                |namespace| ObjectRef::namespaced(Kind::Secret, &ObjectKey::new(namespace, SECRETS[*secret]));
            view.replace_unread(Arc::new(
                NAMESPACES.map(|namespace| (named(namespace), why)).into(),
            ));
            return;
        }
    };
    for placed in manifest::parse("change.yaml", yaml.as_bytes()).objects {
        view.insert(placed.object);
    }
}

fn ingress(
    number: usize,
    label: usize,
    age: usize,
    rules: &[(usize, usize, usize)],
    default: bool,
    passthrough: bool,
    annotations: &str,
) -> String {
    let namespace = NAMESPACES[number % NAMESPACES.len()];
    let mut yaml = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: i{number}, namespace: {}, creationTimestamp: \"2026-01-0{}T00:00:00Z\", labels: {{expose: {}}}, annotations: {{nginx.ingress.kubernetes.io/ssl-passthrough: \"{passthrough}\"{}}}}}\nspec:\n",
        namespace,
        age + 1,
        LABELS[label],
        annotations.replace("NAMESPACE", namespace)
    );
    if default {
        yaml += "  defaultBackend: {service: {name: s0, port: {number: 80}}}\n";
    }
    if !rules.is_empty() {
        yaml += "  rules:\n";
    }
    for (host, path, service) in rules {
        // A host that is named and not served.
        if *path == PATHS.len() {
            yaml += &format!("  - {{host: \"{}\"}}\n", HOSTS[*host]);
            continue;
        }
        yaml += &format!(
            "  - {{host: \"{}\", http: {{paths: [{{path: \"{}\", pathType: Prefix, backend: {{service: {{name: s{service}, port: {{number: 80}}}}}}}}]}}}}\n",
            HOSTS[*host], PATHS[*path]
        );
    }
    yaml
}

/// The end of an Ingress.
fn tls_of(tls: &[(usize, usize)]) -> String {
    let mut yaml = String::new();
    for (index, (host, secret)) in tls.iter().enumerate() {
        yaml += if index == 0 { "  tls:\n  - {" } else { "  - {" };
        if let Some(host) = HOSTS.get(*host) {
            yaml += &format!("hosts: [\"{host}\"], ");
        }
        if let Some(secret) = SECRETS.get(*secret) {
            yaml += &format!("secretName: {secret}");
        }
        yaml += "}\n";
    }
    yaml
}

/// Two certificates with their keys; the second of them covers more.
fn contents() -> &'static [(String, String)] {
    static CONTENTS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
        let made = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let made = rcgen::generate_simple_self_signed(names).unwrap();
            (made.cert.pem(), made.signing_key.serialize_pem())
        };
        vec![made(&["a.test", "b.test"]), made(&["*.test", "a.test"])]
    });
    &CONTENTS
}

fn indented(pem: &str) -> String {
    pem.lines().map(|line| format!("    {line}\n")).collect()
}

fn certificate(name: &str, chain: &str, key: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: test}}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        indented(chain),
        indented(key),
    )
}

/// What is there at the beginning. Certificates are there all the time: if they come and go, doors keep the last good ones.
fn certificates() -> &'static ClusterView {
    static VIEW: LazyLock<ClusterView> = LazyLock::new(|| {
        let (mut view, mut known) = (ClusterView::default(), Known::new());
        let changes = [
            Change::Certificate(0, 0),
            Change::Certificate(1, 1),
            Change::Authorities(true, Some(2)),
        ];
        changes
            .iter()
            .for_each(|change| apply(&mut view, &mut known, change));
        assert_eq!(view.secrets().len(), 6);
        view
    });
    &VIEW
}

/// Everything that can be asked of a door.
fn shown(door: &Door<()>) -> Vec<String> {
    let snapshot = door.snapshot();
    let rows = snapshot.routes().map(|row| format!("{row:?}"));
    let mut shown: Vec<String> = rows.collect();
    for host in ["a.test", "b.test", "c.test", "d.test", "other"] {
        for path in ["/", "/x/y", "/z"] {
            let (mut host_scratch, mut path_scratch) = (HostBuf::default(), PathScratch::default());
            let host = normalise_sni(host.as_bytes(), &mut host_scratch).unwrap();
            let path = normalise_path(path.as_bytes(), &mut path_scratch).unwrap();
            if let Some(tls) = snapshot.tls() {
                shown.push(format!(
                    "{:?} {:?}",
                    tls.certificate(Some(&host)),
                    tls.passthrough(&host)
                ));
            }
            shown.push(match snapshot.find(Some(&host), &path) {
                Verdict::Matched(route) => format!("{route:?}"),
                Verdict::Redirect { port } => format!("redirect {port}"),
                Verdict::Unknown { owner } => format!("unknown {owner:?}"),
                Verdict::NotSynced => "not synced".to_owned(),
            });
        }
    }
    shown
}

/// What the rules of a door answer, by host and path; `None` before its first table.
type Places = Option<BTreeMap<(String, String), String>>;

fn places(door: &Door<()>) -> Places {
    let snapshot = door.snapshot();
    snapshot.is_synced().then(|| {
        let rows = snapshot.routes().map(|row| {
            let route = row.action;
            let answers = match &route.action {
                Action::Forward(to) => {
                    let state = if to.endpoints.is_empty() { "empty" } else { "ready" };
                    format!("{} {} {state} {:?}", to.service, to.port, to.protocol)
                }
                other @ (Action::Redirect | Action::Blocked(_)) => format!("{other:?}"),
            };
            let place = (format!("{:?}", row.host), format!("{:?}", row.path));
            (place, format!("{} {answers}", route.origin.text))
        });
        rows.collect()
    })
}

/// Places that appeared, went, or have another answer.
type Moved = [BTreeSet<(String, String)>; 3];

/// By definition. Of those with another answer, only whose object or backend is another one.
fn expected(before: &Places, after: &Places) -> Moved {
    let (Some(before), Some(after)) = (before, after) else {
        return Moved::default();
    };
    let without = |from: &BTreeMap<(String, String), String>, other: &BTreeMap<(String, String), String>| {
        from.keys()
            .filter(|place| !other.contains_key(*place))
            .cloned()
            .collect()
    };
    let differs =
        |(place, answer): &(&(String, String), &String)| before.get(*place).is_some_and(|was| was != *answer);
    let changed = after
        .iter()
        .filter(differs)
        .map(|(place, _)| place.clone())
        .collect();
    [without(after, before), without(before, after), changed]
}

/// The same of what a publication says that it changed.
fn found(change: Option<&DoorChange>) -> Moved {
    let mut moved = Moved::default();
    let Some(DoorChange {
        what: Changed::Since(change),
        ..
    }) = change
    else {
        return moved;
    };
    for place in &change.listed {
        let is_route = |answer: &Option<Answer>| matches!(answer, Some(Answer::Route(_)));
        let path = match &place.path {
            PlacePath::Pattern(pattern) => format!("{:?}", RowPath::Pattern(pattern)),
            PlacePath::HostDefault => format!("{:?}", RowPath::HostDefault),
            PlacePath::Default => format!("{:?}", RowPath::Default),
            PlacePath::Connection => continue,
        };
        let key = (format!("{:?}", place.host), path);
        let aspects = place.aspects();
        let is_other = [Aspect::Ingress, Aspect::Backend, Aspect::State]
            .iter()
            .any(|it| aspects.contains(it));
        match (is_route(&place.before), is_route(&place.after)) {
            (false, true) => moved[0].insert(key),
            (true, false) => moved[1].insert(key),
            (true, true) => is_other && moved[2].insert(key),
            (false, false) => false,
        };
    }
    moved
}

/// A change in words.
fn told(change: &DoorChange) -> String {
    match &change.what {
        Changed::First { .. } => format!("{change:?}"),
        Changed::Since(since) => {
            let listed = since.listed.iter().map(|place| {
                let answer = |answer: &Option<Answer>| {
                    answer
                        .as_ref()
                        .map(|answer| answer.route().map(|route| route.origin.text.clone()))
                };
                let (before, after) = (answer(&place.before), answer(&place.after));
                let (host, path) = (&place.host, &place.path);
                format!(
                    "{host:?} {path:?} {} {before:?} {after:?} {:?}",
                    place.is_new_host,
                    place.aspects()
                )
            });
            let listed: Vec<String> = listed.collect();
            let counts = [
                since.hosts_appeared,
                since.hosts_gone,
                since.appeared,
                since.changed,
                since.gone,
            ];
            format!("{} {counts:?} {listed:#?}", change.door)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Where hosts have no owner, nothing is remembered: routes and problems depend on the objects alone.
    #[test]
    fn without_owners_there_is_no_history(
        steps in prop::collection::vec(prop::collection::vec(change(), 0..4), 1..12)
    ) {
        let (mut publishers, doors_used) = doors_without_owners();
        let (mut view, mut known, mut ledger) = (certificates().clone(), Known::new(), Ledger::default());
        let backends = BackendPolicy { external_names: ExternalNames::Resolved, ..BackendPolicy::default() };
        for step in steps {
            step.iter().for_each(|change| apply(&mut view, &mut known, change));
            view.replace_resolutions(Arc::new(known.clone()));
            let reported = publish(&mut publishers, &view, &backends, &mut ledger);
            let (mut fresh, doors_fresh) = doors_without_owners();
            let expected = publish(&mut fresh, &view, &backends, &mut Ledger::default());
            prop_assert_eq!(reported, expected);
            for (used, fresh) in doors_used.iter().zip(&doors_fresh) {
                prop_assert_eq!(shown(used), shown(fresh), "at {}", used.name());
            }
        }
    }

    #[test]
    fn compiling_changes_equals_compiling_from_scratch(
        steps in prop::collection::vec(prop::collection::vec(change(), 0..4), 1..12)
    ) {
        let (mut publishers, doors_used) = doors();
        let (mut scratch, doors_scratch) = doors();
        let (mut view, mut known, mut ledger) = (certificates().clone(), Known::new(), Ledger::default());
        let backends = BackendPolicy { external_names: ExternalNames::Resolved, ..BackendPolicy::default() };
        for step in steps {
            step.iter().for_each(|change| apply(&mut view, &mut known, change));
            view.replace_resolutions(Arc::new(known.clone()));
            let before: Vec<Places> = doors_used.iter().map(places).collect();
            let reported = publish(&mut publishers, &view, &backends, &mut ledger);
            // The same history without a ledger. Where hosts have owners, the last owner of a host is remembered.
            let mut none = Ledger::default();
            prop_assert_eq!(&reported, &publish(&mut scratch, &view, &backends, &mut none));
            let changes = ledger.take_changes();
            let counts = |changes: &[DoorChange]| changes.iter().map(told).collect::<Vec<_>>();
            prop_assert_eq!(counts(&changes), counts(&none.take_changes()));
            for (used, before) in doors_used.iter().zip(&before) {
                let changed = changes.iter().find(|change| change.door == *used.name());
                prop_assert_eq!(found(changed), expected(before, &places(used)), "at {}", used.name());
            }
            for (used, scratch) in doors_used.iter().zip(&doors_scratch) {
                prop_assert_eq!(shown(used), shown(scratch), "at {}", used.name());
            }
            // No history at all. The alarm knows other doors' hosts, which may depend on theirs.
            let (mut fresh, doors_fresh) = doors();
            publish(&mut fresh, &view, &backends, &mut Ledger::default());
            for ((used, fresh), publisher) in doors_used.iter().zip(&doors_fresh).zip(&publishers) {
                if publisher.policy().host_owner == HostOwner::Any {
                    let known = |door| -> Vec<String> {
                        shown(door).into_iter().filter(|line| !line.starts_with("unknown")).collect()
                    };
                    prop_assert_eq!(known(used), known(fresh), "at {}", used.name());
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Sources fetch only what is needed, so it must be enough.
    #[test]
    fn needed_objects_are_enough_to_compile(changes in prop::collection::vec(change(), 0..12)) {
        let (mut view, mut known) = (certificates().clone(), Known::new());
        changes.iter().for_each(|change| apply(&mut view, &mut known, change));
        let (mut publishers, doors_used) = doors();
        let mut fetched = view.clone();
        let policies = publishers.iter().map(Publisher::policy);
        let needs = needs(policies, &view);
        let objects: BTreeSet<ObjectRef> = needs.of_doors().into_iter().chain(needs.of_ingresses()).collect();
        for secret in view.secrets() {
            let secret = ObjectRef::namespaced(Kind::Secret, &secret.key);
            if !objects.contains(&secret) {
                fetched.remove(&secret);
            }
        }
        for map in view.config_maps() {
            let map = ObjectRef::namespaced(Kind::ConfigMap, &map.key);
            if !objects.contains(&map) {
                fetched.remove(&map);
            }
        }
        let names: BTreeSet<&Host> = needs.names().iter().map(|needed| needed.name).collect();
        let mut answers = known.clone();
        answers.retain(|name, _| names.contains(name));
        fetched.replace_resolutions(Arc::new(answers));
        view.replace_resolutions(Arc::new(known));
        let backends = BackendPolicy { external_names: ExternalNames::Resolved, ..BackendPolicy::default() };
        let (mut with_less, doors_with_less) = doors();
        let reported = publish(&mut publishers, &view, &backends, &mut Ledger::default());
        prop_assert_eq!(reported, publish(&mut with_less, &fetched, &backends, &mut Ledger::default()));
        for (used, with_less) in doors_used.iter().zip(&doors_with_less) {
            prop_assert_eq!(shown(used), shown(with_less), "at {}", used.name());
        }
    }
}
