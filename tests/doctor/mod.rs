//! `doctor` on dumps of clusters: what it prints, how it ends, and what the chart's presets look like to it.

mod dump;
mod presets;

use gateway_tests::Output;
use serde_json::Value;

use self::dump::Dump;

/// A gateway on node `a` of three, behind a load balancer of nodes.
fn blind_next_hops() -> Dump {
    let dump = Dump::default().nodes(&["a", "b", "c"]).gateway(&["a"]);
    dump.file(
        "service.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: gateway, namespace: blastdoor}\nspec:\n  type: LoadBalancer\n  \
         externalTrafficPolicy: Cluster\n  selector: {app.kubernetes.io/name: blastdoor}\n  ports:\n  - {port: 443, targetPort: \
         10003, nodePort: 30443}\n",
    )
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The findings of a report, by name and severity.
fn found(report: &Value) -> Vec<(&str, &str)> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| {
            (
                finding["id"].as_str().unwrap(),
                finding["severity"].as_str().unwrap(),
            )
        })
        .collect()
}

#[test]
fn a_finding_has_evidence_an_effect_and_ways_out() {
    let output = blind_next_hops().doctor(&["-o", "json"]);
    assert_eq!(output.status, 1, "{output:?}");
    let report = json(&output);
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["id"] == "GW101").unwrap();
    assert_eq!(
        finding["object"],
        serde_json::json!({"kind": "Service", "namespace": "blastdoor", "name": "gateway"})
    );
    assert_eq!(finding["severity"], "error");
    assert_eq!(finding["evidence"][0]["field"], "spec.externalTrafficPolicy");
    assert_eq!(finding["evidence"][0]["value"], "Cluster");
    assert!(finding["effect"].as_str().unwrap().contains("520"));
    assert_eq!(
        finding["fix"][0]["command"],
        "kubectl patch service/gateway -n blastdoor --type merge -p '{\"spec\":{\"externalTrafficPolicy\":\"Local\"}}'"
    );
    let doors = &report["gateways"][0]["doors"];
    assert_eq!(doors.as_array().unwrap().len(), 4, "the standard doors: {doors}");
}

#[test]
fn people_read_the_same() {
    let output = blind_next_hops().doctor(&[]);
    assert_eq!(output.status, 1, "{output:?}");
    for part in [
        "GW101 error: Service blastdoor/gateway\n",
        "b, c only pass traffic on",
        "  What is seen: ",
        "  Way out 1: ",
        "    kubectl label node b c node.kubernetes.io/exclude-from-external-load-balancers=true\n",
        "Not checked:\n",
    ] {
        assert!(output.stdout.contains(part), "{part}\n{}", output.stdout);
    }
}

#[test]
fn what_was_not_read_is_said_and_not_taken_for_sound() {
    let output = blind_next_hops().without("nodes.json").doctor(&["-o", "json"]);
    let report = json(&output);
    assert!(!found(&report).iter().any(|(id, _)| *id == "GW101"), "{report}");
    let skipped = report["not_checked"].as_array().unwrap();
    for what in ["GW101", "nodes", "targetgroupbindings"] {
        assert!(skipped.iter().any(|one| one["what"] == what), "{what}: {report}");
    }
}

#[test]
fn notes_alone_are_no_failure() {
    let dump = blind_next_hops().replace("service.yaml", "Cluster", "Local\n  healthCheckNodePort: 30999");
    let output = dump.doctor(&["-o", "json"]);
    let report = json(&output);
    let traffic = found(&report);
    let traffic: Vec<_> = traffic
        .into_iter()
        .filter(|(id, _)| id.starts_with("GW1"))
        .collect();
    assert_eq!(traffic, [("GW104", "info")]);
    let only_notes = found(&report).iter().all(|(_, severity)| *severity == "info");
    assert_eq!(output.status, i32::from(!only_notes), "{report}");
}

#[test]
fn doors_come_from_the_configuration_that_the_pods_mount() {
    let dump = blind_next_hops().file(
        "more.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: gw, namespace: blastdoor}\ndata:\n  listeners.toml: |\n    \
         [listeners.public]\n    bind = \"[::]:8443\"\n    selector = \"expose=public\"\n    scheme = \"https\"\n",
    );
    let pods = "\"containers\": [{";
    let mounted = "\"volumes\": [{\"name\": \"c\", \"configMap\": {\"name\": \"gw\"}}], \"containers\": [{\"env\": [{\"name\": \
                   \"BLASTDOOR_CONFIG\", \"value\": \"/etc/gw/listeners.toml\"}, {\"name\": \
                   \"BLASTDOOR_LISTENERS__PUBLIC__BIND\", \"value\": \"[::]:9443\"}], \"volumeMounts\": [{\"name\": \"c\", \
                   \"mountPath\": \"/etc/gw\"}], ";
    let report = json(
        &dump
            .replace("gateway.json", pods, mounted)
            .doctor(&["-o", "json"]),
    );
    assert_eq!(
        report["gateways"][0]["doors"],
        serde_json::json!([{"listener": "public", "port": 9443}]),
        "{report}"
    );
}

#[test]
fn where_nothing_can_be_looked_at_the_status_is_2() {
    let empty = Dump::default();
    let nobody = Dump::default().nodes(&["a"]);
    let broken = blind_next_hops().file("broken.json", "{\"kind\": ");
    let unmounted = blind_next_hops().replace(
        "gateway.json",
        "\"containers\": [{",
        "\"containers\": [{\"args\": [\"--config\", \"/etc/elsewhere.toml\"], ",
    );
    for (dump, says) in [
        (empty, "it has no *.json, *.yaml or *.yml file"),
        (nobody, "no gateway was found"),
        (broken, "broken.json`: line "),
        (
            unmounted,
            "/etc/elsewhere.toml: is in no ConfigMap of the pod; give the file with --config",
        ),
    ] {
        let output = dump.doctor(&[]);
        assert_eq!((output.status, output.stdout.as_str()), (2, ""), "{output:?}");
        assert!(output.stderr.contains(says), "{says}: {output:?}");
    }
    let output = Dump::default().run(&["doctor", "--kubeconfig", "missing"]);
    assert_eq!(output.status, 2, "{output:?}");
    assert!(
        output.stderr.contains("the kubeconfig `missing` cannot be used"),
        "{output:?}"
    );
}

#[test]
fn a_gateway_with_other_names_is_found_by_its_labels() {
    let dump = blind_next_hops()
        .replace(
            "gateway.json",
            "registry.example.com/blastdoor:0.1.0",
            "registry.example.com/edge:1",
        )
        .replace("gateway.json", "app.kubernetes.io/name", "app")
        .replace("service.yaml", "app.kubernetes.io/name", "app");
    assert_eq!(dump.doctor(&[]).status, 2);
    let output = dump.doctor(&["--selector", "app=blastdoor", "-o", "json"]);
    assert!(found(&json(&output)).contains(&("GW101", "error")), "{output:?}");
    assert_eq!(dump.doctor(&["-l", "app=blastdoor", "-n", "elsewhere"]).status, 2);
}
