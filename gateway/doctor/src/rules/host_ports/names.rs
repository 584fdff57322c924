//! GW302: names of the cluster on the host network.

use serde_json::json;

use crate::finding::{Finding, Id, Severity};
use crate::rule::Rule;
use crate::scene::{Found, Scene};

pub(super) const RULE: Rule = Rule {
    id: Id("GW302"),
    severity: Severity::Error,
    condition: "Pods on the host network have another `dnsPolicy` than `ClusterFirstWithHostNet`.",
    effect: "`ClusterFirst` means `Default` there: names of Services are asked of the node's resolver, which does not know them.",
    fix: "`dnsPolicy: ClusterFirstWithHostNet`.",
    needs: &[],
    look,
};

fn look(scene: &Scene<'_>, found: &mut Found) {
    for workload in scene.workloads {
        let spec = workload.spec;
        let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
        let servers = spec
            .dns_config
            .as_ref()
            .and_then(|config| config.nameservers.as_ref());
        // Whoever names the servers decides for himself.
        let is_own = policy == "None" && servers.is_some_and(|servers| !servers.is_empty());
        if spec.host_network != Some(true) || policy == "ClusterFirstWithHostNet" || is_own {
            continue;
        }
        let name = &workload.name;
        found.findings.push(
            Finding::new(
                RULE.id,
                RULE.severity,
                name.clone(),
                format!("On the host network with `dnsPolicy: {policy}`, names of Services are resolved with the node's resolver."),
            )
            .evidence(name.clone(), "spec.template.spec.hostNetwork", "true")
            .evidence(name.clone(), "spec.template.spec.dnsPolicy", policy)
            .effect(
                "What the gateway calls by name (Services of type ExternalName that point into the cluster, servers of rate limits) cannot \
                 be resolved: 503.",
            )
            .fix(
                "Ask the cluster's DNS.",
                name.patch(&json!({"spec": {"template": {"spec": {"dnsPolicy": "ClusterFirstWithHostNet"}}}})),
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::fixture::Fixture;

    #[test]
    fn the_host_network_needs_its_own_policy() {
        let table = [
            (json!({"hostNetwork": true}), true),
            (json!({"hostNetwork": true, "dnsPolicy": "ClusterFirst"}), true),
            (json!({"hostNetwork": true, "dnsPolicy": "Default"}), true),
            (
                json!({"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"}),
                false,
            ),
            (
                json!({"hostNetwork": true, "dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.43.0.10"]}}),
                false,
            ),
            (json!({}), false),
        ];
        for (spec, expected) in table {
            let fixture = Fixture::new().nodes(&["a"]).daemon_set(&["a"], spec.clone());
            assert_eq!(!fixture.findings("GW302").is_empty(), expected, "{spec}");
        }
    }
}
