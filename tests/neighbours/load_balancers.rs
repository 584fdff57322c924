//! The AWS Load Balancer Controller against a stand-in for AWS (moto): the pods of the chart with the preset `aws-alb-ip` in
//! the target group of each door, and the security group's rules that it makes for them.
//!
//! There are no nodes: the test makes the pods and EndpointSlices that the controllers of Kubernetes would make of the
//! chart's DaemonSet and Services. The controller's webhooks are not installed, so readiness gates are not injected.

use std::net::TcpStream;
use std::process::Command;

use gateway_tests::free_port;
use gateway_tests::tls::Authority;
use serde_json::{Value, json};

use crate::api_server;
use crate::apiserver::ApiServer;
use crate::program::{Program, built, of_repository, python, source, until};

const SOURCES: &str = "aws-load-balancer-controller-v3.5.0";
const DOORS: [(&str, u16); 4] = [
    ("internal-http", 10000),
    ("internal-https", 10001),
    ("external-http", 10002),
    ("external-https", 10003),
];

/// moto.
struct Aws {
    endpoint: String,
    _server: Program,
}

impl Aws {
    fn start() -> Self {
        let port = free_port();
        let server = Program::run(
            Command::new(python().with_file_name("moto_server")).args([
                "-H",
                "127.0.0.1",
                "-p",
                &port.to_string(),
            ]),
            "moto_server",
        );
        until("moto listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            _server: server,
        }
    }

    fn ask(&self, verb: &str, arguments: &[&str]) -> Value {
        let output = Command::new(python())
            .arg(of_repository("tests/neighbours/aws.py"))
            .args([verb, &self.endpoint])
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The target groups, each with these pods at the port of its door.
    fn registers(&self, pods: &[&str]) {
        let of = |port: u16| pods.iter().map(|pod| format!("{pod}:{port}")).collect::<Vec<_>>();
        let expected: Value = DOORS
            .iter()
            .map(|(door, port)| (format!("blastdoor-{door}"), json!(of(*port))))
            .collect::<serde_json::Map<_, _>>()
            .into();
        until("the pods are registered", || {
            let targets = self.ask("targets", &[]);
            targets == expected || {
                println!("  not yet: {targets}");
                false
            }
        });
    }
}

/// The chart with the preset, with the target groups and security groups of this AWS.
fn render(made: &Value) -> String {
    let id = |name: &str| made[name].as_str().unwrap();
    let mut command = Command::new(python().with_file_name("helm"));
    command
        // Without hooks: the pod of `helm test` is no part of an installation.
        .args(["template", "blastdoor", "--namespace", "blastdoor", "--no-hooks"])
        .arg(of_repository("deploy/helm/blastdoor"))
        .arg("--values")
        .arg(of_repository("deploy/helm/blastdoor/presets/aws-alb-ip.yaml"));
    for (door, _) in DOORS {
        let (horizon, _) = door.split_once('-').unwrap();
        let binding = format!("doors.{door}.targetGroupBinding");
        command.args(["--set", &format!("{binding}.targetGroupARN={}", id(door))]);
        command.args(["--set", &format!("{binding}.securityGroups={{{}}}", id(horizon))]);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A pod as the DaemonSet of the chart makes it, ready at this address of a network interface, on a node of its own.
fn start_pod(server: &ApiServer, template: &Value, name: &str, address: &str, interface: &Value) {
    server.create(&json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": format!("node-{name}") },
    }));
    // What the VPC's resource controller writes to a pod that has an interface of its own.
    let interfaces = json!([{ "eniId": interface, "privateIp": address }]);
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "blastdoor", "labels": template["metadata"]["labels"],
            "annotations": { "vpc.amazonaws.com/pod-eni": interfaces.to_string() },
        },
        "spec": template["spec"],
    });
    pod["spec"]["nodeName"] = format!("node-{name}").into();
    server.apply(&pod.to_string());
    let conditions = ["Ready", "ContainersReady", "PodScheduled", "Initialized"]
        .map(|kind| json!({ "type": kind, "status": "True" }));
    let status = json!({ "status": {
        "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }], "conditions": conditions,
    } });
    let path = format!("/api/v1/namespaces/blastdoor/pods/{name}/status");
    let (code, answer) = server.request("PATCH", &path, Some(&status));
    assert_eq!(code, 200, "{answer}");
}

/// The EndpointSlices of the doors' Services, with these pods.
fn endpoints(server: &ApiServer, pods: &[(&str, &str)]) {
    for (door, port) in DOORS {
        let endpoints: Vec<Value> = pods
            .iter()
            .map(|(name, address)| {
                json!({
                    "addresses": [address], "nodeName": format!("node-{name}"),
                    "conditions": { "ready": true, "serving": true, "terminating": false },
                    "targetRef": { "kind": "Pod", "namespace": "blastdoor", "name": name },
                })
            })
            .collect();
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "name": format!("blastdoor-{door}-1"), "namespace": "blastdoor",
                "labels": { "kubernetes.io/service-name": format!("blastdoor-{door}") },
            },
            "ports": [{ "name": door, "port": port, "protocol": "TCP" }], "endpoints": endpoints,
        });
        server.apply(&slice.to_string());
    }
}

#[test]
#[ignore = "takes the AWS Load Balancer Controller: cargo xtask neighbours"]
fn the_pods_of_the_chart_are_in_the_target_group_of_each_door() {
    let server = api_server();
    let definitions = source(SOURCES).join("helm/aws-load-balancer-controller/crds/crds.yaml");
    server.kubectl(&["create", "-f", &definitions.display().to_string()]);
    server.kubectl(&[
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd/targetgroupbindings.elbv2.k8s.aws",
    ]);
    let (one, two) = ("10.0.0.11", "10.0.0.12");
    let aws = Aws::start();
    let made = aws.ask("make", &[one, two]);

    server.apply("{apiVersion: v1, kind: Namespace, metadata: {name: blastdoor}}");
    server.apply(&render(&made));
    let (_, daemonset) = server.request(
        "GET",
        "/apis/apps/v1/namespaces/blastdoor/daemonsets/blastdoor",
        None,
    );
    let template = &daemonset["spec"]["template"];
    for (name, address) in [("one", one), ("two", two)] {
        start_pod(&server, template, name, address, &made[address]);
    }
    endpoints(&server, &[("one", one), ("two", two)]);

    let identity = Authority::new("webhooks").server(&["localhost"]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tls.crt"), &identity.chain).unwrap();
    std::fs::write(folder.path().join("tls.key"), &identity.key).unwrap();
    let endpoints_of_aws = [
        "EC2",
        "Elastic Load Balancing v2",
        "STS",
        "Resource Groups Tagging API",
        "ACM",
    ]
    .map(|service| format!("{service}={}", aws.endpoint));
    let controller = Program::run(
        Command::new(built("aws-load-balancer-controller"))
            .args([
                "--cluster-name=test",
                "--aws-region=eu-west-1",
                &format!("--aws-vpc-id={}", made["vpc"].as_str().unwrap()),
                &format!("--aws-api-endpoints={}", endpoints_of_aws.join(",")),
                &format!(
                    "--kubeconfig={}",
                    server.user_with_all_rights("controller").display()
                ),
                &format!("--webhook-cert-dir={}", folder.path().display()),
                &format!("--webhook-bind-port={}", free_port()),
                &format!("--metrics-bind-addr=127.0.0.1:{}", free_port()),
                &format!("--health-probe-bind-addr=127.0.0.1:{}", free_port()),
                "--enable-leader-election=false",
                "--enable-waf=false",
                "--enable-wafv2=false",
                "--enable-shield=false",
                "--feature-gates=GlobalAcceleratorController=false,EnableServiceController=false",
            ])
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true"),
        "aws-load-balancer-controller",
    );
    aws.registers(&[one, two]);

    println!(
        "  the rules that it makes for the nodes: one range of ports for each load balancer, from its first to its last"
    );
    let group = |name: &str| made[name].as_str().unwrap();
    // The range of the external one has no port of an internal door, since internal doors have the lower ports.
    let mut expected = [
        format!("{} 10000-10254", group("internal")),
        format!("{} 10002-10254", group("external")),
    ];
    expected.sort();
    until("the rules are as expected", || {
        let rules = aws.ask("rules", &[group("nodes")]);
        rules == json!(expected) || {
            println!("  not yet: {rules}, expected {expected:?}");
            false
        }
    });

    println!("  a pod leaves, and its targets with it");
    endpoints(&server, &[("two", two)]);
    aws.registers(&[two]);
    drop(controller);
}
