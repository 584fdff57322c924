//! `doctor` against an API server, with the rights that the chart gives it.

use std::path::Path;

use gateway_tests::{Output, command};
use serde_json::{Value, json};

use crate::api_server;
use crate::apiserver::ApiServer;
use crate::rights::{give, rule};

/// The rules of the ClusterRole in the chart's template: of these lines nothing is a template.
fn rules_of_the_chart() -> Vec<Value> {
    let path = format!(
        "{}/../deploy/helm/blastdoor/templates/doctor.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rules) = text.split_once("rules:\n").unwrap();
    let (rules, _) = rules.split_once("---").unwrap();
    let words = |line: &str| -> Vec<String> {
        let (_, list) = line.split_once('[').unwrap();
        let list = list.trim_end_matches(']').split(',');
        list.map(|word| word.trim().trim_matches('"').to_owned())
            .collect()
    };
    let lines: Vec<&str> = rules.lines().filter(|line| !line.trim().is_empty()).collect();
    let rules = lines.chunks(3).map(
        |lines| json!({"apiGroups": words(lines[0]), "resources": words(lines[1]), "verbs": words(lines[2])}),
    );
    rules.collect()
}

fn doctor(kubeconfig: &Path, arguments: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_blastdoor-under-test"));
    let mut all = vec!["doctor", "--kubeconfig", kubeconfig.to_str().unwrap()];
    all.extend(arguments);
    command(program, &all, &[], kubeconfig.parent().unwrap())
}

/// A gateway on node `a` of two, with one door, behind a load balancer that registers both.
fn put_objects(server: &ApiServer) {
    let labels = json!({"app.kubernetes.io/name": "blastdoor"});
    let spec = json!({
        "volumes": [{"name": "config", "configMap": {"name": "gateway"}}],
        "containers": [{
            "name": "gateway", "image": "registry.example.com/blastdoor:0.1.0",
            "env": [{"name": "BLASTDOOR_CONFIG", "value": "/etc/blastdoor/listeners.toml"}],
            "ports": [{"name": "public", "containerPort": 8443}],
            "volumeMounts": [{"name": "config", "mountPath": "/etc/blastdoor"}],
        }],
    });
    let of = |api: &str, kind: &str, name: &str| json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "edge"}});
    let mut namespace = of("v1", "Namespace", "edge");
    namespace["metadata"].as_object_mut().unwrap().remove("namespace");
    server.create(&namespace);
    server.create(&of("v1", "ServiceAccount", "default"));
    let mut map = of("v1", "ConfigMap", "gateway");
    map["data"] = json!({
        "listeners.toml": "[listeners.public]\nbind = \"[::]:8443\"\nselector = \"expose=public\"\nscheme = \"https\"\n",
    });
    server.create(&map);
    let mut set = of("apps/v1", "DaemonSet", "gateway");
    set["spec"] = json!({
        "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec},
    });
    server.create(&set);
    let mut pod = of("v1", "Pod", "gateway-1");
    pod["metadata"]["labels"] = labels.clone();
    pod["spec"] = spec;
    pod["spec"]["nodeName"] = json!("a");
    server.create(&pod);
    let mut service = of("v1", "Service", "gateway");
    service["spec"] = json!({
        "type": "LoadBalancer", "externalTrafficPolicy": "Cluster", "selector": labels,
        "ports": [{"name": "https", "port": 443, "targetPort": "public"}],
    });
    server.create(&service);
    let mut slice = of("discovery.k8s.io/v1", "EndpointSlice", "gateway-1");
    slice["metadata"]["labels"] = json!({"kubernetes.io/service-name": "gateway"});
    slice["addressType"] = json!("IPv4");
    slice["endpoints"] = json!([{
        "addresses": ["192.0.2.1"], "nodeName": "a", "conditions": {"ready": true},
        "targetRef": {"kind": "Pod", "name": "gateway-1", "namespace": "edge"},
    }]);
    server.create(&slice);
    for name in ["a", "b"] {
        let mut node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
        server.create(&node);
        node["status"] = json!({"conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
            "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]});
        let path = format!("/api/v1/nodes/{name}/status");
        assert_eq!(server.request("PUT", &path, Some(&node)).0, 200);
    }
}

fn report(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn the_chart_s_rights_are_enough_to_find_what_is_wrong() {
    let server = api_server!();
    let kubeconfig = server.user("doctor");
    let mut rules = rules_of_the_chart();
    rules.push(rule("", "configmaps", &["get"]));
    give(&server, "doctor", &rules);
    put_objects(&server);
    let output = doctor(&kubeconfig, &["-o", "json"]);
    assert_eq!(output.status, 1, "{output:?}");
    let report = report(&output);
    assert_eq!(
        report["gateways"],
        json!([{
            "object": {"kind": "DaemonSet", "namespace": "edge", "name": "gateway"},
            "doors": [{"listener": "public", "port": 8443}], "nodes": ["a"],
        }]),
        "{report:#}"
    );
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["id"] == "GW101");
    let sentence = finding.map(|finding| &finding["finding"]);
    let expected =
        "All 2 nodes are green on the load balancer, but only 1 run the gateway: b only pass traffic on.";
    assert_eq!(sentence, Some(&json!(expected)), "{report:#}");
    // The cluster knows neither kind, and that is no error.
    let skipped = report["not_checked"].as_array().unwrap();
    for what in ["targetgroupbindings", "middlewares"] {
        let reason = skipped
            .iter()
            .find(|one| one["what"] == what)
            .map(|one| &one["why"]);
        assert_eq!(
            reason,
            Some(&json!("the cluster does not know this kind")),
            "{report:#}"
        );
    }
    for asked in server.asked_by("doctor") {
        assert!(asked.status == 200 || asked.status == 404, "{asked:?}");
        assert!(
            ["get", "list"].contains(&asked.verb.as_str()),
            "it reads only: {asked:?}"
        );
    }
}

#[test]
fn what_may_not_be_listed_is_named_and_nothing_is_found_without_rights() {
    let server = api_server!();
    put_objects(&server);
    let kubeconfig = server.user("doctor");
    let output = doctor(&kubeconfig, &[]);
    assert_eq!(output.status, 2, "{output:?}");
    assert!(output.stderr.contains("daemonsets were not read"), "{output:?}");
    let some = [
        rule("apps", "daemonsets", &["list"]),
        rule("", "pods", &["list"]),
        rule("", "services", &["list"]),
        rule("", "configmaps", &["get"]),
    ];
    give(&server, "doctor", &some);
    let mut output = doctor(&kubeconfig, &["-o", "json"]);
    // The API server notices rights a moment after they are given.
    crate::apiserver::until("the rights count", || {
        output = doctor(&kubeconfig, &["-o", "json"]);
        output.status != 2
    });
    let report = report(&output);
    let skipped = report["not_checked"].as_array().unwrap();
    let why = |what: &str| {
        let found = skipped.iter().find(|one| one["what"] == what);
        found
            .and_then(|one| one["why"].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(why("GW101"), "nodes are not known", "{report:#}");
    assert!(
        why("nodes").starts_with("may not be listed: nodes is forbidden"),
        "{report:#}"
    );
    assert_eq!(
        output.status,
        i32::from(
            report["findings"]
                .as_array()
                .unwrap()
                .iter()
                .any(|one| one["severity"] != "info")
        )
    );
}
