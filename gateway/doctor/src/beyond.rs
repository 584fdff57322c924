//! What only the load balancer knows. It is named, so that nobody takes a clean report for more than it is.

use std::collections::BTreeSet;

use crate::finding::ObjectName;
use crate::gateway::Front as Behind;
use crate::kind::Kind;
use crate::scene::{Found, Scene};
use crate::traffic::{Front, Registers, Via};

/// Names the facts on the other side of each way to the doors, and how they can be had.
pub(crate) fn beyond(scene: &Scene<'_>, found: &mut Found) {
    let mut has_target_group = false;
    for (service, _) in scene.services() {
        let object = ObjectName::of(Kind::Service, &service.metadata);
        for front in scene.fronts(service) {
            has_target_group |= matches!(front.via, Via::TargetGroup(_));
            of_front(&object, &front, found);
        }
    }
    let configurations = scene.workloads.iter().map(|workload| &workload.configuration);
    let doors = configurations.flat_map(|configuration| &configuration.doors);
    let behind: BTreeSet<&str> = doors.filter_map(|door| name(door.front)).collect();
    for name in behind {
        of_kind(name, has_target_group, found);
    }
}

fn name(front: Behind) -> Option<&'static str> {
    match front {
        Behind::Alb => Some("alb"),
        Behind::Nlb => Some("nlb"),
        Behind::Gclb => Some("gclb"),
        Behind::Cloudflare => Some("cloudflare"),
        Behind::Other => None,
    }
}

fn of_front(service: &ObjectName, front: &Front<'_>, found: &mut Found) {
    match front.via {
        Via::TargetGroup(binding) => {
            let group = binding.target_group();
            let why = match binding.spec.target_group_arn.as_deref() {
                Some(arn) if !arn.is_empty() => format!(
                    "only AWS knows: aws elbv2 describe-target-health --target-group-arn {arn}; aws elbv2 \
                     describe-target-group-attributes --target-group-arn {arn}; aws elbv2 describe-target-groups \
                     --target-group-arns {arn}"
                ),
                _ => format!("only AWS knows: aws elbv2 describe-target-groups --names {group}"),
            };
            let what = format!("health of targets, health check and deregistration delay of {group}");
            found.skip(what, why);
        }
        Via::LoadBalancer => found.skip(
            format!("health of targets at the load balancer of {service}"),
            "only the provider knows: look at its console or its command line",
        ),
        Via::Ingress(ingress) => {
            let ingress = ObjectName::of(Kind::Ingress, &ingress.metadata);
            let why = "only the provider knows: look at its console or its command line";
            found.skip(format!("health of targets at the load balancer of {ingress}"), why);
        }
        Via::Unknown => found.skip(
            format!("what sends traffic to the node ports of {service}"),
            "no TargetGroupBinding and no Ingress of a load balancer names it; an Auto Scaling group that registers its instances \
             is not seen in the cluster",
        ),
    }
    if let Registers::Unknown = front.registers {
        found.skip(
            format!("whether nodes or pods are registered for {service}"),
            format!("{} does not say it", front.object_name(service)),
        );
    }
}

fn of_kind(behind: &str, has_target_group: bool, found: &mut Found) {
    match behind {
        "alb" => {
            found.skip(
                "how the Application Load Balancer treats X-Forwarded-For, and its idle timeout",
                "only AWS knows: aws elbv2 describe-load-balancer-attributes --load-balancer-arn ARN; \
                 routing.http.xff_header_processing.mode must be append, and idle_timeout.timeout_seconds less than the doors' \
                 idle_timeout",
            );
            security_groups(found);
            if !has_target_group {
                found.skip(
                    "which port of the nodes or pods each target group has, and what it probes",
                    "no TargetGroupBinding leads to a door: aws elbv2 describe-target-groups; aws elbv2 describe-target-health \
                     --target-group-arn ARN",
                );
            }
        }
        "nlb" => {
            found.skip(
                "whether the Network Load Balancer sends the PROXY header, and preserves the client's address",
                "only AWS knows: aws elbv2 describe-target-group-attributes --target-group-arn ARN; \
                 proxy_protocol_v2.enabled and preserve_client_ip.enabled",
            );
            security_groups(found);
        }
        "gclb" => found.skip(
            "health checks, timeouts and firewall rules of the Google Cloud load balancer",
            "only Google Cloud knows: gcloud compute backend-services get-health NAME --global; gcloud compute health-checks \
             list; gcloud compute firewall-rules list",
        ),
        "cloudflare" => found.skip(
            "which addresses are in Cloudflare's DNS, and its SSL mode",
            "only Cloudflare knows; name the nodes in DNS with --expect-nodes",
        ),
        _ => {}
    }
}

fn security_groups(found: &mut Found) {
    found.skip(
        "security groups between the load balancer and the doors",
        "only AWS knows: aws ec2 describe-security-groups; an internal door must be open to the internal load balancer's group \
         alone",
    );
}
