//! Who may say what namespaces may do.

use std::path::Path;

use serde_json::{Value, json};

use super::DOOR;
use super::chart::namespace;
use crate::apiserver::{ApiServer, until};
use crate::rights::{give, rule as right};

/// Only who may grant writes on namespaces what they may.
pub fn are_needed(server: &ApiServer) {
    let all = ["create", "update", "patch", "get"];
    give(
        server,
        "tenant",
        &[
            right("", "namespaces", &all),
            right("", "namespaces/status", &all),
            right("", "namespaces/finalize", &all),
        ],
    );
    let (tenant, granter) = (server.user("tenant"), server.user("granter"));
    give(
        server,
        "granter",
        &[
            right("", "namespaces", &all),
            right("blastdoor.dev", "doors", &["grant"]),
            right("blastdoor.dev", "hosts", &["grant"]),
        ],
    );
    let write = |who: &Path, verb: &[&str], object: &Value| {
        let who = format!("--kubeconfig={}", who.display());
        let arguments: Vec<&str> = verb
            .iter()
            .copied()
            .chain([who.as_str(), "--validate=false", "-f", "-"])
            .collect();
        server.kubectl_with(&arguments, &object.to_string())
    };
    let door = |name: &str| namespace(name, &[DOOR], "");
    let host = |name: &str| namespace(name, &[], "*.example.com");
    until("the policies are in force", || {
        !write(&tenant, &["create", "--dry-run=server"], &door("probe")).0
    });
    let refused = |verb: &[&str], object: &Value, right: &str| {
        let (written, said) = write(&tenant, verb, object);
        assert!(
            !written && said.contains(&format!("needs the verb grant on {right} of blastdoor.dev")),
            "{verb:?}: {said}"
        );
    };
    let done = |who: &Path, verb: &[&str], object: &Value| {
        let (written, said) = write(who, verb, object);
        assert!(written, "{verb:?}: {said}");
    };
    refused(&["create"], &door("a"), "doors");
    refused(&["create"], &host("a"), "hosts");
    done(&tenant, &["create"], &namespace("a", &[], ""));
    for subresource in ["", "status"] {
        let at = format!("--subresource={subresource}");
        let verb: &[&str] = if subresource.is_empty() {
            &["replace"]
        } else {
            &["replace", &at]
        };
        refused(verb, &door("a"), "doors");
        refused(verb, &host("a"), "hosts");
    }
    let finalize = |object: &Value| {
        let input = object.to_string();
        let who = format!("--kubeconfig={}", tenant.display());
        server.kubectl_with(
            &[
                "replace",
                "--raw",
                "/api/v1/namespaces/a/finalize",
                &who,
                "-f",
                "-",
            ],
            &input,
        )
    };
    let (written, said) = finalize(&door("a"));
    assert!(
        !written && said.contains("needs the verb grant on doors"),
        "{said}"
    );
    let labels = |name: &str| {
        server
            .request("GET", &format!("/api/v1/namespaces/{name}"), None)
            .1["metadata"]["labels"]
            .clone()
    };
    assert_eq!(labels("a")["blastdoor.dev/allow-external-https"], Value::Null);

    let mut other = namespace("a", &[], "");
    other["metadata"]["labels"] = json!({ "team": "a" });
    done(&tenant, &["replace"], &other);
    done(
        &granter,
        &["replace"],
        &namespace("a", &[DOOR], "*.a.example.com, a.example.com"),
    );
    // What is granted may be kept and taken away.
    let mut kept = namespace("a", &[DOOR], "*.a.example.com, a.example.com");
    kept["metadata"]["labels"]["team"] = "a".into();
    done(&tenant, &["replace"], &kept);
    refused(
        &["replace"],
        &namespace("a", &[DOOR, "external-http"], ""),
        "doors",
    );
    refused(&["replace"], &namespace("a", &[DOOR], "*"), "hosts");
    done(&tenant, &["replace"], &namespace("a", &[], ""));
    refused(&["replace"], &door("a"), "doors");
    for hosts in [
        "*.",
        "https://a.example.com",
        "a.*.example.com",
        "a.example.com.",
        "bücher.example.com",
    ] {
        let (written, said) = write(&granter, &["replace"], &namespace("a", &[], hosts));
        assert!(
            !written && said.contains(&format!("{hosts} is no host")),
            "{hosts}: {said}"
        );
    }
}
