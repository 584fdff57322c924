//! Fields and CORS at a door: what annotations and Middlewares compile to, in which order, and what closes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what cannot be had fails the test"
)]

use std::sync::Arc;

use door::{
    Action, BackendPolicy, Blocked, Door, Filter, Ledger, Policy, Publisher, Route, Scheme, Selector,
    Verdict, open, publish,
};
use resource::{ClusterView, manifest};
use route::{HostBuf, PathScratch, normalise_authority, normalise_path};

/// A door to which clients speak http, and one to which they speak https.
struct Rig {
    publishers: Vec<Publisher<()>>,
    doors: Vec<Door<()>>,
    view: ClusterView,
    ledger: Ledger,
}

impl Rig {
    fn new() -> Self {
        let door = |name: &str, scheme| {
            let policy = Policy::new(Selector::parse("expose=yes").unwrap(), scheme);
            open(name.parse().unwrap(), policy, ())
        };
        let doors = [door("http", Scheme::Http), door("https", Scheme::Https)];
        let (publishers, doors) = doors.into_iter().unzip();
        Self {
            publishers,
            doors,
            view: ClusterView::default(),
            ledger: Ledger::default(),
        }
    }

    /// Publishes with these objects in addition; what is reported, each thing once.
    fn publish(&mut self, yaml: &str) -> Vec<String> {
        for placed in manifest::parse("test.yaml", yaml.as_bytes()).objects {
            self.view.insert(placed.object);
        }
        let (view, backends) = (&self.view, BackendPolicy::default());
        let problems = publish(&mut self.publishers, view, &backends, &mut self.ledger);
        let problems = problems.problems();
        let mut told: Vec<String> = problems
            .iter()
            .filter(|problem| !problem.message.starts_with("not quite as where it comes from"))
            .map(|problem| problem.message.to_string())
            .collect();
        told.sort();
        told.dedup();
        told
    }

    fn route(&self, door: usize, host: &str) -> Arc<Route> {
        let (mut host_scratch, mut path_scratch) = (HostBuf::new(), PathScratch::default());
        let host = normalise_authority(host.as_bytes(), &mut host_scratch).unwrap();
        let path = normalise_path(b"/", &mut path_scratch).unwrap();
        let snapshot = self.doors[door].snapshot();
        let Verdict::Matched(route) = snapshot.find(Some(&host), &path) else {
            panic!("{}", host.as_str())
        };
        Arc::clone(route)
    }

    /// What each filter does, in the order of requests.
    fn filters(&self, door: usize, host: &str) -> Vec<String> {
        let route = self.route(door, host);
        let filters = route
            .filters
            .as_ref()
            .map(|filters| &filters.request[..])
            .unwrap_or_default();
        filters.iter().map(described).collect()
    }

    fn is_closed(&self, host: &str) -> bool {
        (0..2).all(|door| {
            matches!(
                &self.route(door, host).action,
                Action::Blocked(Blocked::Filter | Blocked::Annotation)
            )
        })
    }
}

fn described(filter: &Filter) -> String {
    let Filter::Headers(rules) = filter else {
        return format!("{filter:?}");
    };
    if let Some(cors) = rules.cors() {
        return format!("cors {}", cors.preflight_status());
    }
    let names = |edits: &filter::fields::FieldEdits| {
        let names: Vec<&str> = edits.removed.iter().map(|name| name.as_str()).collect();
        names.join(" ")
    };
    let response = rules.response(None, || false);
    format!(
        "request [{}] response [{}]",
        names(&rules.request),
        names(&response)
    )
}

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: app, namespace: shop}\nspec: {ports: [{port: 80}]}\n---\n";

fn ingress(name: &str, annotations: &[(&str, &str)]) -> String {
    let annotations: String = annotations
        .iter()
        .map(|(key, value)| format!("    {key}: {value:?}\n"))
        .collect();
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  namespace: shop\n  labels: {{expose: \"yes\"}}\n  annotations:\n{annotations}\
         spec: {{rules: [{{host: {name}.test, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: app, port: {{number: 80}}}}}}}}]}}}}]}}\n---\n"
    )
}

fn config_map(data: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: fields, namespace: shop}}\ndata: {{{data}}}\n---\n"
    )
}

fn middleware(name: &str, headers: &str) -> String {
    format!(
        "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{headers: {{{headers}}}}}\n---\n"
    )
}

const MIDDLEWARES: &str = "traefik.ingress.kubernetes.io/router.middlewares";
const NGINX_CORS: (&str, &str) = ("nginx.ingress.kubernetes.io/enable-cors", "true");

#[test]
fn what_changes_responses_alone_stands_first_and_requests_are_edited_last() {
    let mut rig = Rig::new();
    let annotations = [
        ("blastdoor.dev/cors", "*"),
        ("blastdoor.dev/request-headers", "X-R: 1"),
        ("blastdoor.dev/response-headers", "X-A: 1"),
        ("blastdoor.dev/security-headers", "on"),
        ("nginx.ingress.kubernetes.io/custom-headers", "shop/fields"),
        (MIDDLEWARES, "shop-b@kubernetescrd,shop-a@kubernetescrd"),
    ];
    let objects = SERVICE.to_owned()
        + &ingress("a", &annotations)
        + &config_map("X-B: '1'")
        + &middleware("a", "customRequestHeaders: {X-C: '1'}")
        + &middleware("b", "stsSeconds: 1, customResponseHeaders: {X-D: '1'}");
    assert_eq!(rig.publish(&objects), [""; 0]);
    let security = "x-frame-options x-content-type-options referrer-policy";
    let at_http = [
        "request [] response [x-a]",
        "request [] response [x-b]",
        &format!("request [] response [{security}]"),
        "cors 204",
        "request [] response [x-d]",
        "request [x-c] response []",
        "request [x-r] response []",
    ];
    assert_eq!(rig.filters(0, "a.test"), at_http);
    let mut at_https = at_http.map(str::to_owned);
    at_https[2] = format!("request [] response [{security} strict-transport-security]");
    at_https[4] = "request [] response [strict-transport-security x-d]".to_owned();
    assert_eq!(rig.filters(1, "a.test"), at_https);
}

#[test]
fn what_does_nothing_at_a_door_is_no_filter_there() {
    let mut rig = Rig::new();
    let objects = SERVICE.to_owned()
        + &ingress("a", &[(MIDDLEWARES, "shop-a@kubernetescrd")])
        + &middleware("a", "stsSeconds: 1");
    assert_eq!(rig.publish(&objects), [""; 0]);
    assert!(rig.route(0, "a.test").filters.is_none());
    assert_eq!(
        rig.filters(1, "a.test"),
        ["request [] response [strict-transport-security]"]
    );
}

#[test]
fn a_changed_config_map_concerns_its_ingresses_and_nothing_else() {
    let mut rig = Rig::new();
    let named = [("nginx.ingress.kubernetes.io/custom-headers", "fields")];
    let objects = SERVICE.to_owned()
        + &ingress("a", &named)
        + &ingress("b", &[("blastdoor.dev/response-headers", "X-A: 1")])
        + &config_map("X-B: '1'");
    assert_eq!(rig.publish(&objects), [""; 0]);
    let (a, b) = (rig.route(0, "a.test"), rig.route(0, "b.test"));
    assert_eq!(rig.publish(&config_map("X-C: '1'")), [""; 0]);
    assert_eq!(rig.filters(0, "a.test"), ["request [] response [x-c]"]);
    assert!(Arc::ptr_eq(&b, &rig.route(0, "b.test")) && !Arc::ptr_eq(&a, &rig.route(0, "a.test")));
    let told = rig.publish(&config_map("Connection: '1'"));
    assert!(rig.is_closed("a.test") && !rig.is_closed("b.test"));
    assert!(
        matches!(&*told, [one] if one.starts_with("ConfigMap `shop/fields`: `Connection` belongs to one connection")),
        "{told:?}"
    );
}

#[test]
fn a_missing_config_map_closes() {
    let mut rig = Rig::new();
    let named = [("nginx.ingress.kubernetes.io/custom-headers", "shop/fields")];
    let told = rig.publish(&(SERVICE.to_owned() + &ingress("a", &named)));
    assert!(rig.is_closed("a.test"));
    assert_eq!(told, ["ConfigMap `shop/fields` does not exist; closed (503)"]);
}

#[test]
fn cors_counts_once_and_ours_before_that_of_ingress_nginx() {
    let mut rig = Rig::new();
    let same = "accessControlAllowOriginList: ['*'], accessControlAllowCredentials: true, accessControlMaxAge: 1728000, \
                accessControlAllowMethods: [GET, PUT, POST, DELETE, PATCH, OPTIONS], accessControlAllowHeaders: [DNT, \
                Keep-Alive, User-Agent, X-Requested-With, If-Modified-Since, Cache-Control, Content-Type, Range, Authorization]";
    let objects = SERVICE.to_owned()
        + &middleware("same", same)
        + &middleware("other", "accessControlAllowOriginList: ['https://a.test']")
        + &ingress("a", &[("blastdoor.dev/cors", "https://a.test"), NGINX_CORS])
        + &ingress("b", &[NGINX_CORS, (MIDDLEWARES, "shop-same@kubernetescrd")])
        + &ingress("c", &[NGINX_CORS, (MIDDLEWARES, "shop-other@kubernetescrd")]);
    let told = rig.publish(&objects);
    assert_eq!(rig.filters(0, "a.test"), ["cors 204"]);
    assert_eq!(rig.filters(0, "b.test"), ["cors 200"]);
    assert!(rig.is_closed("c.test"));
    assert!(
        told.iter()
            .any(|one| one == "`blastdoor.dev/cors` counts instead of it"),
        "{told:?}"
    );
    let conflict = "`nginx.ingress.kubernetes.io/enable-cors` and Middleware `shop/other` ask for CORS in different ways";
    assert!(told.iter().any(|one| one.starts_with(conflict)), "{told:?}");
}
