//! Doors by class, by lists of selectors, and by every kind of requirement.

use serde_json::{Value, json};

use super::{annotated, changed, hosts, judge};
use crate::apiserver::{ApiServer, collection};

/// In namespace `none`, which may expose nowhere, and in `shop`.
pub fn are_known_as_doors_know_them(server: &ApiServer) {
    let class = |field: Value, annotation: Value, labels: Value| {
        json!({
            "metadata": { "namespace": "none", "labels": labels, "annotations": { "kubernetes.io/ingress.class": annotation } },
            "spec": { "ingressClassName": field }
        })
    };
    let (none, solver) = (
        Value::Null,
        json!({ "expose": null, "acme.cert-manager.io/http01-solver": "true" }),
    );
    let label = |pairs: &[(&str, &str)]| {
        let mut labels = json!({ "expose": null });
        for (key, value) in pairs {
            labels[*key] = (*value).into();
        }
        labels
    };
    const PUBLIC: &str = "may not expose at door external-http;";
    const PRIVATE: &str = "may not expose at door external-https;";
    judge(
        server,
        &[
            (
                "a class alone",
                class("public".into(), none.clone(), none.clone()),
                PUBLIC,
            ),
            (
                "the annotation",
                class(none.clone(), "public".into(), none.clone()),
                PUBLIC,
            ),
            // The default class may be any.
            (
                "no class",
                class(none.clone(), none.clone(), none.clone()),
                PUBLIC,
            ),
            (
                "an empty annotation",
                class(none.clone(), "".into(), none.clone()),
                PUBLIC,
            ),
            (
                "a foreign class",
                class("nginx".into(), none.clone(), none.clone()),
                "",
            ),
            (
                "a foreign annotation",
                class(none.clone(), "nginx".into(), none.clone()),
                "",
            ),
            (
                "another class without a label",
                class("private".into(), none.clone(), none.clone()),
                "",
            ),
            (
                "a solver",
                class("private".into(), none.clone(), solver.clone()),
                PRIVATE,
            ),
            (
                "a solver of another class",
                class("nginx".into(), none.clone(), solver.clone()),
                "",
            ),
            (
                "all requirements",
                class(
                    "private".into(),
                    none.clone(),
                    label(&[("tier", "edge"), ("team", "")]),
                ),
                PRIVATE,
            ),
            (
                "one too few",
                class("private".into(), none.clone(), label(&[("tier", "edge")])),
                "",
            ),
            (
                "what must not be",
                class(
                    "private".into(),
                    none.clone(),
                    label(&[("tier", "edge"), ("team", ""), ("legacy", "")]),
                ),
                "",
            ),
            (
                "one of a list",
                class("private".into(), none.clone(), label(&[("stage", "green")])),
                PRIVATE,
            ),
            (
                "none of a list",
                class("private".into(), none.clone(), label(&[("stage", "red")])),
                "",
            ),
            (
                "none of the excluded",
                class(
                    "private".into(),
                    none.clone(),
                    label(&[("stage", "blue"), ("tier", "outer"), ("old", "no")]),
                ),
                PRIVATE,
            ),
            (
                "one of the excluded",
                class(
                    "private".into(),
                    none.clone(),
                    label(&[("stage", "blue"), ("tier", "inner")]),
                ),
                "",
            ),
            (
                "the excluded one",
                class(
                    "private".into(),
                    none.clone(),
                    label(&[("stage", "blue"), ("old", "yes")]),
                ),
                "",
            ),
            // This door is for all, and hosts are restricted at `external-https` alone.
            (
                "a door for all",
                class("private".into(), none.clone(), label(&[("side", "free")])),
                "",
            ),
            (
                "hosts that nobody owns",
                json!({ "metadata": { "namespace": "blog", "labels": null }, "spec": { "ingressClassName": "public", "rules": hosts(&[""])["spec"]["rules"] } }),
                "",
            ),
            (
                "hosts at the other door",
                json!({ "metadata": { "labels": solver }, "spec": { "ingressClassName": "private", "rules": hosts(&[""])["spec"]["rules"] } }),
                "does not own all hosts",
            ),
        ],
    );
    // On creation the API server refuses a field beside the annotation. Afterwards both can be there, and the annotation counts.
    let foreign = changed(&class("nginx".into(), none.clone(), none));
    server.create(&foreign);
    let one = format!("{}/app", collection(&foreign));
    for path in [one.clone(), one + "/status"] {
        let (status, answer) = server.request(
            "PATCH",
            &path,
            Some(&annotated("kubernetes.io/ingress.class", "public")),
        );
        assert!(
            status == 403 && answer["message"].as_str().unwrap().contains(PUBLIC),
            "{status} {answer}"
        );
    }
}
