//! Doors by class: manifests of other controllers, unchanged.

use gateway_tests::{Backend, Builder, Gateway, gateway, get, manifest};

/// Doors that take over what two installations of ingress-nginx served, one for each network.
fn two_controllers() -> Builder {
    doors_by_class(&[
        ("internal-http", "nginx-private"),
        ("external-http", "nginx-public"),
    ])
}

/// The standard doors of plain HTTP, by class instead of by label.
fn doors_by_class(doors: &[(&str, &str)]) -> Builder {
    let mut builder = gateway!();
    for name in [
        "internal-http",
        "internal-https",
        "external-http",
        "external-https",
    ] {
        builder = builder.without(name);
    }
    for (name, class) in doors {
        let lines =
            format!("bind = \"127.0.0.1:0\"\nscheme = \"http\"\nworkers = 1\nclasses = [\"{class}\"]");
        builder = builder.door(name, &lines);
    }
    builder
}

/// As Helm's chart of ingress-nginx makes one.
fn class(name: &str, is_default: bool) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata:\n  name: {name}\n  annotations: {{ingressclass.kubernetes.io/is-default-class: \"{is_default}\"}}\n  labels: {{app.kubernetes.io/name: ingress-nginx}}\nspec:\n  controller: k8s.io/{name}\n---\n"
    )
}

/// An Ingress without a label, as an application's chart makes one.
fn app(name: &str, class: Option<&str>, port: u16) -> String {
    let class = class.map_or_else(String::new, |class| format!("  ingressClassName: {class}\n"));
    manifest::app(name, "unused", &format!("{name}.test"), port)
        .replacen("  labels:\n    expose: unused\n", "", 1)
        .replacen("spec:\n", &format!("spec:\n{class}"), 1)
}

fn statuses(gateway: &Gateway, door: &str, names: &[&str]) -> Vec<u16> {
    let ask = |name: &&str| get(gateway.door(door), &format!("{name}.test"), "/").status;
    names.iter().map(ask).collect()
}

#[test]
fn two_classes_of_ingress_nginx_become_two_doors() {
    let backend = Backend::start("app");
    let old = app("old", None, backend.port()).replacen(
        "  namespace: test\n",
        "  namespace: test\n  annotations: {kubernetes.io/ingress.class: nginx-private}\n",
        1,
    );
    let builder = two_controllers()
        .manifest(
            "classes.yaml",
            &(class("nginx-private", false) + &class("nginx-public", false)),
        )
        .manifest("shop.yaml", &app("shop", Some("nginx-public"), backend.port()))
        .manifest("wiki.yaml", &app("wiki", Some("nginx-private"), backend.port()))
        .manifest("other.yaml", &app("other", Some("traefik"), backend.port()))
        .manifest("none.yaml", &app("none", None, backend.port()))
        .manifest("old.yaml", &old);
    let checked = builder.run(&["check"]);
    assert_eq!(checked.status, 0, "{checked:?}");
    for told in [
        "note: IngressClass nginx-private spec.controller: the class belongs to the controller `k8s.io/nginx-private`",
        "note: Ingress test/other spec.ingressClassName: not served here: the Ingress belongs to another class",
        "note: Ingress test/none spec.ingressClassName: not served here: the Ingress has no class, and no class of a door is the default one",
    ] {
        assert_eq!(checked.stdout.matches(told).count(), 1, "{told}: {checked:?}");
    }

    let names = ["shop", "wiki", "other", "none", "old"];
    let gateway = builder.start();
    assert_eq!(
        statuses(&gateway, "external-http", &names),
        [200, 404, 404, 404, 404]
    );
    assert_eq!(
        statuses(&gateway, "internal-http", &names),
        [404, 200, 404, 404, 200]
    );
    // What has no class belongs to the default one, and moves with it.
    gateway.put(
        "classes.yaml",
        &(class("nginx-private", true) + &class("nginx-public", false)),
    );
    gateway.until_status("internal-http", "none.test", "/", 200);
    assert_eq!(
        statuses(&gateway, "external-http", &names),
        [200, 404, 404, 404, 404]
    );
    gateway.put(
        "classes.yaml",
        &(class("nginx-private", false) + &class("nginx-public", true)),
    );
    gateway.until_status("external-http", "none.test", "/", 200);
    assert_eq!(
        statuses(&gateway, "internal-http", &names),
        [404, 200, 404, 404, 200]
    );
    // Another class is another door.
    gateway.put("shop.yaml", &app("shop", Some("nginx-private"), backend.port()));
    gateway.until_status("internal-http", "shop.test", "/", 200);
    assert_eq!(statuses(&gateway, "external-http", &["shop"]), [404]);
    assert_eq!(
        gateway.metric("blastdoor_config_problems", &[("severity", "warning")]),
        0.0
    );
}

/// The Ingresses of k3s' Traefik: a class, no label.
#[test]
fn the_class_of_traefik_needs_no_label() {
    let backend = Backend::start("app");
    let labelled = app("labelled", Some("nginx"), backend.port()).replacen(
        "metadata:\n",
        "metadata:\n  labels: {expose: edge}\n",
        1,
    );
    let solver = app("solver", None, backend.port()).replacen(
        "metadata:\n",
        "metadata:\n  labels: {acme.cert-manager.io/http01-solver: \"true\"}\n",
        1,
    );
    let gateway = doors_by_class(&[("edge", "traefik")])
        .door(
            "labels",
            "bind = \"127.0.0.1:0\"\nscheme = \"http\"\nworkers = 1\nclasses = [\"nginx\", \"none\"]\n\
             selector = [\"expose=edge\", \"acme.cert-manager.io/http01-solver=true\"]",
        )
        .manifest("app.yaml", &app("app", Some("traefik"), backend.port()))
        .manifest("labelled.yaml", &labelled)
        .manifest("solver.yaml", &solver)
        .start();
    let names = ["app", "labelled", "solver"];
    assert_eq!(statuses(&gateway, "edge", &names), [200, 404, 404]);
    assert_eq!(statuses(&gateway, "labels", &names), [404, 200, 404]);
    // The solver's Ingress has no class; only the other condition keeps it out.
    gateway.put("class.yaml", &class("nginx", true));
    gateway.until_status("labels", "solver.test", "/", 200);
    assert_eq!(statuses(&gateway, "edge", &names), [200, 404, 404]);
}

/// What admits changes without a restart.
#[test]
fn classes_change_while_the_door_is_open() {
    let backend = Backend::start("app");
    let gateway = two_controllers()
        .manifest("shop.yaml", &app("shop", Some("nginx-public"), backend.port()))
        .start();
    assert_eq!(statuses(&gateway, "external-http", &["shop"]), [200]);
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    let config = config.replace("nginx-public", "nginx-other");
    std::fs::write(gateway.config(), config).unwrap();
    gateway.until_status("external-http", "shop.test", "/", 404);
}
