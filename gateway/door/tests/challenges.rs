//! Challenges of ACME: what is said when they do not reach the Ingress that cert-manager makes for them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what cannot be had fails the test"
)]

use door::{
    BackendPolicy, HostOwner, Ledger, NamespacePattern, Policy, Publisher, Scheme, Selector, Selectors, open,
    publish, publish_beside,
};
use resource::{ClusterView, Problem, Topic, manifest};
use route::ListenerName;

/// As cert-manager 1.18 and later make one.
const SOLVER: &str = "acme.cert-manager.io/http-domain: \"1066846132\", acme.cert-manager.io/http-token: \"1229430216\", acme.cert-manager.io/http01-solver: \"true\"";

fn ingress(name: &str, namespace: &str, labels: &str, spec: &str, path: &str, service: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  namespace: {namespace}\n  labels: {{{labels}}}\n  \
         annotations: {{nginx.ingress.kubernetes.io/whitelist-source-range: \"0.0.0.0/0,::/0\"}}\n\
         spec: {{{spec}rules: [{{host: shop.test, http: {{paths: [{{path: {path}, pathType: Exact, backend: {{service: {{name: {service}, port: {{number: 8089}}}}}}}}]}}}}]}}\n---\n"
    )
}

/// The Ingress of a challenge, with more labels and a class.
fn solver(labels: &str, spec: &str) -> String {
    let labels = if labels.is_empty() {
        SOLVER.to_owned()
    } else {
        format!("{SOLVER}, {labels}")
    };
    ingress(
        "solver",
        "shop",
        &labels,
        spec,
        "/.well-known/acme-challenge/token",
        "cm-acme-http-solver-x2x8n",
    )
}

/// An application's Ingress to which cert-manager has added the path.
fn edited(labels: &str) -> String {
    ingress(
        "web",
        "shop",
        labels,
        "",
        "/.well-known/acme-challenge/token",
        "cm-acme-http-solver-x2x8n",
    )
}

fn class(name: &str, controller: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {name}}}\nspec: {{controller: {controller}}}\n---\n"
    )
}

fn policy(selector: &str, scheme: Scheme) -> Policy {
    Policy::new(Selector::parse(selector).unwrap(), scheme)
}

fn four_doors() -> Vec<(&'static str, Policy)> {
    [
        ("internal-http", Scheme::Http),
        ("internal-https", Scheme::Https),
        ("external-http", Scheme::Http),
        ("external-https", Scheme::Https),
    ]
    .map(|(name, scheme)| (name, policy(&format!("expose={name}"), scheme)))
    .into()
}

fn redirecting(mut doors: Vec<(&'static str, Policy)>) -> Vec<(&'static str, Policy)> {
    doors[2].1.redirect = Some("external-https".parse().unwrap());
    doors
}

fn by_class(name: &'static str, class: &str, selector: Option<&str>) -> (&'static str, Policy) {
    let selectors: Vec<Selector> = selector
        .into_iter()
        .map(|it| Selector::parse(it).unwrap())
        .collect();
    let policy = Policy {
        selectors: Selectors::from(selectors),
        classes: vec![class.into()],
        ..policy("unused", Scheme::Http)
    };
    (name, policy)
}

fn opened(doors: Vec<(&'static str, Policy)>) -> Vec<Publisher<()>> {
    let doors = doors.into_iter();
    doors
        .map(|(name, policy)| open(name.parse().unwrap(), policy, ()).0)
        .collect()
}

/// What is said about challenges, with its severity and field in front.
fn told(others: &[(ListenerName, Policy)], doors: Vec<(&'static str, Policy)>, yaml: &str) -> Vec<String> {
    let view: ClusterView = manifest::collect([&manifest::parse("m.yaml", yaml.as_bytes())]).0;
    let mut doors = opened(doors);
    let reports = publish_beside(
        others,
        &mut doors,
        &view,
        &BackendPolicy::default(),
        &mut Ledger::default(),
    );
    let problems = reports.problems();
    let about = |problem: &&Problem| problem.topic == Topic::ChallengeUnreachable;
    let lines = problems.iter().filter(about).map(|problem| {
        format!(
            "{} {} {}",
            problem.severity.as_str(),
            problem.field,
            problem.message
        )
    });
    lines.collect()
}

/// All of these parts are in the only line.
fn says(lines: &[String], parts: &[&str]) {
    assert_eq!(lines.len(), 1, "{lines:#?}");
    for part in parts {
        assert!(lines[0].contains(part), "{part}: {}", lines[0]);
    }
}

#[test]
fn a_solver_without_a_label_is_a_warning_that_says_what_to_write() {
    says(
        &told(&[], four_doors(), &solver("", "")),
        &[
            "warning metadata.labels served nowhere",
            "gets 404",
            "`spec.acme.solvers[].http01.ingress.ingressTemplate.metadata.labels: {expose: internal-http}` (door `internal-http`)",
            "or `{expose: external-http}` (door `external-http`)",
            "`acme.cert-manager.io/http01-edit-in-place: \"true\"`",
        ],
    );
    says(
        &told(&[], four_doors(), &edited("")),
        &[
            "warning metadata.labels",
            "cert-manager has added the challenge",
            "`metadata.labels: {expose: internal-http}`",
            "{expose: external-https}",
        ],
    );
    // Without a challenge nothing is wrong.
    let app = ingress("web", "shop", "", "", "/.well-known/acme-challenge/token", "web");
    assert_eq!(told(&[], four_doors(), &app), [""; 0]);
}

#[test]
fn a_solver_that_answers_at_a_door_is_not_reported() {
    for expose in ["internal-http", "external-http"] {
        let label = format!("expose: {expose}");
        assert_eq!(told(&[], four_doors(), &solver(&label, "")), [""; 0], "{expose}");
        assert_eq!(told(&[], four_doors(), &edited(&label)), [""; 0], "{expose}");
    }
    // The redirect of a door leaves its own routes alone, and leads to those of its sibling.
    for expose in ["external-http", "external-https"] {
        let label = format!("expose: {expose}");
        assert_eq!(
            told(&[], redirecting(four_doors()), &solver(&label, "")),
            [""; 0],
            "{expose}"
        );
        assert_eq!(
            told(&[], redirecting(four_doors()), &edited(&label)),
            [""; 0],
            "{expose}"
        );
    }
    // A door that selects solvers by cert-manager's own label.
    let mut doors = four_doors();
    let selectors = ["expose=external-http", "acme.cert-manager.io/http01-solver=true"];
    doors[2].1.selectors = selectors.map(|it| Selector::parse(it).unwrap()).to_vec().into();
    assert_eq!(told(&[], doors, &solver("", "")), [""; 0]);
}

#[test]
fn a_solver_that_only_doors_of_https_admit_is_reported() {
    for yaml in [
        solver("expose: external-https", ""),
        edited("expose: external-https"),
    ] {
        says(
            &told(&[], four_doors(), &yaml),
            &[
                "warning metadata.labels",
                "over plain HTTP to port 80",
                "`redirect = \"external-https\"`",
            ],
        );
        // Whoever redirects to doors that speak https alone stands in front of them.
        let only_https: Vec<_> = four_doors()
            .into_iter()
            .filter(|(_, it)| it.scheme == Scheme::Https)
            .collect();
        says(&told(&[], only_https, &yaml), &["note metadata.labels"]);
    }
    // The door that redirects may be another process's.
    let mut doors = redirecting(four_doors());
    let (name, redirects) = doors.remove(2);
    let others = [(name.parse().unwrap(), redirects)];
    assert_eq!(
        told(&others, doors, &solver("expose: external-https", "")),
        [""; 0]
    );
}

#[test]
fn doors_by_class_ask_for_the_class_of_the_solver() {
    let doors = || vec![by_class("edge", "traefik", None)];
    says(
        &told(&[], doors(), &solver("", "")),
        &[
            "warning spec.ingressClassName served nowhere",
            "write in the Issuer `spec.acme.solvers[].http01.ingress.ingressClassName: traefik` (door `edge`)",
        ],
    );
    says(
        &told(&[], doors(), &edited("")),
        &["write in this Ingress `spec.ingressClassName: traefik`"],
    );
    assert_eq!(
        told(&[], doors(), &solver("", "ingressClassName: traefik, ")),
        [""; 0]
    );
    // Another class is another controller's.
    assert_eq!(
        told(&[], doors(), &solver("", "ingressClassName: nginx, ")),
        [""; 0]
    );
    // Both conditions: the class is there, the label is not.
    let both = vec![by_class("edge", "traefik", Some("expose=edge"))];
    says(
        &told(&[], both, &solver("", "ingressClassName: traefik, ")),
        &[
            "warning metadata.labels",
            "ingressTemplate.metadata.labels: {expose: edge}",
        ],
    );
}

#[test]
fn a_class_of_another_controller_makes_it_a_note() {
    let of_nginx = solver("", "ingressClassName: nginx, ");
    let yaml = class("nginx", "k8s.io/ingress-nginx") + &of_nginx;
    says(
        &told(&[], four_doors(), &yaml),
        &["note metadata.labels", "unless `k8s.io/ingress-nginx` answers it"],
    );
    // Nobody else is known to answer.
    says(&told(&[], four_doors(), &of_nginx), &["warning"]);
    let ours = class("nginx", "blastdoor.dev/gateway") + &of_nginx;
    says(&told(&[], four_doors(), &ours), &["warning"]);
    // A door has taken the class over.
    let taken = vec![by_class("edge", "nginx", Some("expose=edge"))];
    says(&told(&[], taken, &yaml), &["warning"]);
}

/// What keeps a solver out although it is meant for the door is reported for what it is.
#[test]
fn what_a_door_refuses_a_solver_is_reported_once() {
    let problems = |doors: Vec<(&'static str, Policy)>, yaml: &str| {
        let view: ClusterView = manifest::collect([&manifest::parse("m.yaml", yaml.as_bytes())]).0;
        let reports = publish(
            &mut opened(doors),
            &view,
            &BackendPolicy::default(),
            &mut Ledger::default(),
        );
        let problems = reports.problems();
        let of_solver = problems.iter().filter(|problem| {
            &*problem.object.name == "solver" && !problem.message.contains("does not exist")
        });
        of_solver.map(ToString::to_string).collect::<Vec<_>>()
    };
    let labelled = solver("expose: external-http", "");
    let mut doors = four_doors();
    doors[2].1.namespaces = vec![NamespacePattern::parse("blog").unwrap()];
    says(
        &problems(doors, &labelled),
        &["namespace `shop` may not expose at door `external-http`"],
    );

    // The host belongs to the namespace of an older Ingress.
    let mut doors = four_doors();
    doors[2].1.host_owner = HostOwner::Namespace;
    let older = ingress("web", "blog", "expose: external-http", "", "/", "web").replacen(
        "  name: web\n",
        "  name: web\n  creationTimestamp: \"2020-01-01T00:00:00Z\"\n",
        1,
    );
    says(
        &problems(doors.clone(), &(labelled.clone() + &older)),
        &["belongs to namespace `blog`"],
    );
    let own = older.replacen("namespace: blog", "namespace: shop", 1);
    assert_eq!(problems(doors, &(labelled + &own)), [""; 0]);

    says(
        &problems(four_doors(), &solver("expose: outside", "")),
        &["no door's selector matches `expose=outside`"],
    );
}
