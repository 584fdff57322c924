"""Makes the object sets that `blastdoor doctor` is tested with.

    python3 tests/doctor/make.py            # writes them
    python3 tests/doctor/make.py --check    # fails if they are not what the chart renders now

Each set is a folder for `blastdoor doctor --dump`, with the objects in one file. A set begins with an overlay of
deploy/kustomize, which is what the chart renders; this adds what a cluster makes of that: nodes, pods, EndpointSlices,
defaults and statuses. Mistakes are edits of the result. Certificates are the only thing that is made once and kept
(`certificates/`): they are signed anew each time otherwise. Needs PyYAML.
"""

import base64
import copy
import json
import pathlib
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
DEPLOY = HERE.parent.parent / "deploy" / "kustomize"
NAMESPACE = "blastdoor"
# Every kind that is looked at, so that a set says of each that there is none, too.
KINDS = {
    "Node": "v1", "Namespace": "v1", "Pod": "v1", "Service": "v1", "EndpointSlice": "discovery.k8s.io/v1", "DaemonSet": "apps/v1",
    "Deployment": "apps/v1", "PodDisruptionBudget": "policy/v1", "Ingress": "networking.k8s.io/v1",
    "IngressClass": "networking.k8s.io/v1", "TargetGroupBinding": "elbv2.k8s.aws/v1beta1", "Middleware": "traefik.io/v1alpha1",
    "ClusterRole": "rbac.authorization.k8s.io/v1", "ClusterRoleBinding": "rbac.authorization.k8s.io/v1", "ConfigMap": "v1", "Secret": "v1",
}
CREATED = "2026-11-20T08:00:00Z"


def overlay(name):
    """The objects of an overlay and of what it is based on."""
    objects, folders = [], [DEPLOY / "overlays" / name]
    while folders:
        folder = folders.pop()
        for resource in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
            path = (folder / resource).resolve()
            if path.is_dir():
                folders.append(path)
            else:
                objects += [it for it in yaml.safe_load_all(path.read_text()) if it]
    return objects


def merge(target, patch):
    """JSON Merge Patch (RFC 7396)."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            merge(target.setdefault(key, {}), value)
        else:
            target[key] = value


class Cluster:
    def __init__(self, preset, nodes, pods=None, ingresses=()):
        """`nodes` by name: labels, and perhaps `taints` and `providerID`. `pods`: on which nodes; none: on all."""
        self.objects = copy.deepcopy(overlay(preset))
        self.nodes = nodes
        self.workload = next(it for it in self.objects if it["kind"] in ("DaemonSet", "Deployment"))
        self.pods = list(nodes) if pods is None else pods
        self.objects += copy.deepcopy(list(ingresses))
        self.broken = {}
        self.gates = []

    def get(self, kind, name):
        return next(it for it in self.objects if it["kind"] == kind and it["metadata"]["name"] == name)

    def patch(self, kind, name, **fields):
        merge(self.get(kind, name), fields)

    def drop(self, kind, name):
        self.objects.remove(self.get(kind, name))

    def add(self, *objects):
        self.objects += copy.deepcopy(objects)

    @property
    def template(self):
        return self.workload["spec"]["template"]["spec"]

    def container(self, **fields):
        merge(self.template["containers"][0], fields)

    def deployment(self, replicas):
        """The workload as a Deployment."""
        self.workload["kind"] = "Deployment"
        self.workload["spec"].pop("updateStrategy", None)
        self.workload["spec"]["replicas"] = replicas

    def config(self, old, new):
        data = self.get("ConfigMap", "blastdoor")["data"]
        assert old in data["listeners.toml"], old
        data["listeners.toml"] = data["listeners.toml"].replace(old, new)

    def finish(self):
        """What the cluster makes of the objects."""
        for number, (name, node) in enumerate(self.nodes.items(), 1):
            self.objects.append(node_object(number, name, node))
        self.objects += self.pod_objects()
        for service in [it for it in self.objects if it["kind"] == "Service"]:
            default_service(service)
            self.objects.append(self.slice(service))
        if self.workload["kind"] == "DaemonSet":
            ready = len([node for node in self.pods if node not in self.broken])
            self.workload["status"] = {
                "currentNumberScheduled": len(self.pods), "desiredNumberScheduled": len(self.pods), "numberReady": ready,
                "numberAvailable": ready, "numberMisscheduled": 0, "observedGeneration": 1, "updatedNumberScheduled": len(self.pods),
            }
        else:
            self.workload["status"] = {"replicas": len(self.pods), "readyReplicas": len(self.pods), "observedGeneration": 1}
        for it in self.objects:
            it["metadata"].setdefault("creationTimestamp", CREATED)
        return self.objects

    def pod_objects(self):
        for number, node in enumerate(self.pods, 1):
            spec = copy.deepcopy(self.template)
            if self.gates:
                spec["readinessGates"] = [{"conditionType": gate} for gate in self.gates]
            for container in spec["containers"]:
                if spec.get("hostNetwork"):
                    for port in container.get("ports", []):
                        port.setdefault("hostPort", port["containerPort"])
            ready = node not in self.broken
            address = self.address(node) if spec.get("hostNetwork") else f"10.1.{list(self.nodes).index(node) + 1}.{number}"
            conditions = [
                {"type": "Initialized", "status": "True"}, {"type": "PodScheduled", "status": "True"},
                {"type": "ContainersReady", "status": str(ready)}, {"type": "Ready", "status": str(ready)},
            ] + [{"type": gate, "status": "True"} for gate in self.gates]
            status = {
                "phase": "Running", "hostIP": self.address(node), "podIP": address, "conditions": conditions,
                "containerStatuses": [{
                    "name": "blastdoor", "image": spec["containers"][0]["image"], "imageID": "", "ready": ready,
                    "restartCount": 0, "started": ready, "state": {"running": {"startedAt": CREATED}},
                }],
            }
            spec["nodeName"] = node
            if not ready:
                merge(status, copy.deepcopy(self.broken[node]))
                if status["phase"] == "Pending":
                    spec.pop("nodeName")
                    for gone in ("hostIP", "podIP", "containerStatuses"):
                        status.pop(gone)
            yield {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": f"{self.workload['metadata']['name']}-{number:05x}", "namespace": NAMESPACE,
                    "labels": dict(self.workload["spec"]["template"]["metadata"]["labels"]),
                    "ownerReferences": [{
                        "apiVersion": "apps/v1", "kind": self.workload["kind"], "name": self.workload["metadata"]["name"],
                        "uid": "5f0d2d3a-0000-4000-8000-000000000001", "controller": True, "blockOwnerDeletion": True,
                    }],
                },
                "spec": spec, "status": status,
            }

    def address(self, node):
        return f"192.0.2.{list(self.nodes).index(node) + 11}"

    def slice(self, service):
        selector = service["spec"].get("selector") or {}
        pods = [it for it in self.objects if it["kind"] == "Pod" and it["metadata"]["namespace"] == service["metadata"]["namespace"]]
        pods = [it for it in pods if selector and selector.items() <= it["metadata"]["labels"].items() and "podIP" in it["status"]]
        ready = lambda pod: any(it["type"] == "Ready" and it["status"] == "True" for it in pod["status"]["conditions"])
        return {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "name": f"{service['metadata']['name']}-x7k2p", "namespace": service["metadata"]["namespace"],
                "labels": {"kubernetes.io/service-name": service["metadata"]["name"]},
            },
            "endpoints": [{
                "addresses": [pod["status"]["podIP"]], "nodeName": pod["spec"]["nodeName"],
                "conditions": {"ready": ready(pod), "serving": ready(pod), "terminating": False},
                "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]},
            } for pod in pods],
            "ports": [{
                "name": port.get("name", ""), "protocol": "TCP",
                "port": self.target(port),
            } for port in service["spec"].get("ports", []) if self.target(port)],
        }

    def target(self, port):
        target = port.get("targetPort", port["port"])
        if isinstance(target, int):
            return target
        ports = [it for container in self.template["containers"] for it in container.get("ports", [])]
        return next((it["containerPort"] for it in ports if it.get("name") == target), None)


def node_object(number, name, node):
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"} | node.get("labels", {})
    spec = {key: node[key] for key in ("providerID", "taints") if key in node}
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec,
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "addresses": [{"type": "InternalIP", "address": f"192.0.2.{number + 10}"}, {"type": "Hostname", "address": name}],
            "nodeInfo": {
                "kubeletVersion": node.get("version", "v1.33.4"), "operatingSystem": "linux", "architecture": "amd64",
                "osImage": "", "kernelVersion": "", "machineID": "", "systemUUID": "", "bootID": "",
                "containerRuntimeVersion": "containerd://2.1.4", "kubeProxyVersion": "",
            },
        },
    }


def default_service(service):
    spec = service["spec"]
    spec.setdefault("type", "ClusterIP")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
        spec.setdefault("allocateLoadBalancerNodePorts", True) if spec["type"] == "LoadBalancer" else None
        for port in spec["ports"]:
            port.setdefault("nodePort", 30000 + port["port"] % 2000 + len(service["metadata"]["name"]))
    spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        if spec["externalTrafficPolicy"] == "Local":
            spec.setdefault("healthCheckNodePort", 32000 + len(service["metadata"]["name"]))
        service.setdefault("status", {"loadBalancer": {"ingress": [{"ip": "203.0.113.10"}]}})


def ingress(name, host, labels, namespace="shop", tls=None, path="/", path_type="Prefix", service=None, annotations=None):
    spec = {"rules": [{"host": host, "http": {"paths": [{
        "path": path, "pathType": path_type, "backend": {"service": {"name": service or name, "port": {"number": 80}}},
    }]}}]}
    if tls:
        spec["tls"] = [{"hosts": [host], "secretName": tls}]
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}


def secret(name, namespace, files, kind="kubernetes.io/tls"):
    data = {key: base64.b64encode((HERE / "certificates" / file).read_bytes()).decode() for key, file in files.items()}
    return {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": {"name": name, "namespace": namespace}, "data": data}


def certificate(name, namespace, stem):
    return secret(name, namespace, {"tls.crt": f"{stem}.crt", "tls.key": "shared.key"})


def authority(name, namespace):
    return secret(name, namespace, {"ca.crt": "authority.crt"}, "Opaque")


APPS = [
    ingress("shop", "shop.example.com", {"expose": "external-https"}),
    ingress("wiki", "wiki.corp.example.com", {"expose": "internal-https"}),
]
AWS = {"topology.kubernetes.io/region": "eu-west-1"}


def aws(*names, spot=()):
    zones = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
    return {name: {
        "providerID": f"aws:///{zones[number % 3]}/i-{number:017x}",
        "labels": AWS | {"topology.kubernetes.io/zone": zones[number % 3],
                         "eks.amazonaws.com/capacityType": "SPOT" if name in spot else "ON_DEMAND"},
    } for number, name in enumerate(names)}


def gce(regular, preemptible=(), zones=("europe-west1-b", "europe-west1-c", "europe-west1-d")):
    nodes = {}
    for number, name in enumerate([*regular, *preemptible]):
        zone = zones[number % len(zones)]
        labels = {"topology.kubernetes.io/zone": zone, "cloud.google.com/gke-nodepool": "spot" if name in preemptible else "edge"}
        if name in preemptible:
            labels["cloud.google.com/gke-preemptible"] = "true"
        nodes[name] = {"providerID": f"gce://example-project/{zone}/{name}", "labels": labels}
    return nodes


def k3s(*names):
    return {name: {
        "version": "v1.33.4+k3s1", "providerID": f"k3s://{name}",
        "labels": {"node-role.kubernetes.io/control-plane": "true", "node.kubernetes.io/instance-type": "k3s"},
    } for name in names}


# The four set-ups as they should be, and the other presets.


def eks():
    cluster = Cluster("aws-alb-ip", aws("ip-10-0-1-10", "ip-10-0-2-11", "ip-10-0-3-12"), ingresses=APPS)
    doors = ("internal-http", "internal-https", "external-http", "external-https")
    cluster.gates = [f"target-health.elbv2.k8s.aws/blastdoor-{door}" for door in doors]
    return cluster


def gke():
    regular = ("gke-edge-1", "gke-edge-2", "gke-edge-3")
    cluster = Cluster("gke-l4-local", gce(regular, ("gke-spot-1", "gke-spot-2")), list(regular), APPS)
    cluster.add(
        certificate("cloudflare-origin", NAMESPACE, "origin"), authority("cloudflare-origin-pull", NAMESPACE),
        certificate("internal-tls", NAMESPACE, "internal"),
    )
    # Red by design, and told as such: kept out of load balancers, nothing is left to tell.
    for node in ("gke-spot-1", "gke-spot-2"):
        cluster.nodes[node]["labels"]["node.kubernetes.io/exclude-from-external-load-balancers"] = "true"
    return cluster


def asg():
    return Cluster("aws-alb-asg-hostport", aws("ip-10-0-1-10", "ip-10-0-2-11", "ip-10-0-3-12"), ingresses=APPS)


def k3s_servers(*more):
    servers = ("server-1", "server-2", "server-3")
    cluster = Cluster("k3s-hostnetwork-cloudflare", k3s(*servers, *more), list(servers), ingresses=[
        ingress("shop", "shop.example.com", {"expose": "external-https"}),
        ingress("admin", "admin.example.com", {"expose": "external-https"}, tls="admin-tls"),
    ])
    cluster.add(
        certificate("cloudflare-origin", NAMESPACE, "origin"), authority("cloudflare-origin-pull", NAMESPACE),
        certificate("admin-tls", "shop", "admin"),
    )
    return cluster


def neg():
    regular = ("gke-edge-1", "gke-edge-2", "gke-edge-3")
    return Cluster("gke-neg", gce(regular, ("gke-spot-1",)), list(regular), APPS)


def nlb():
    cluster = Cluster("aws-nlb-proxy-v2", aws("ip-10-0-1-10", "ip-10-0-2-11", "ip-10-0-3-12"), ingresses=APPS)
    cluster.add(certificate("edge-tls", NAMESPACE, "origin"))
    for it in cluster.objects:
        if it["kind"] == "Service" and it["spec"].get("type") == "LoadBalancer":
            cluster.gates.append(f"target-health.elbv2.k8s.aws/k8s-{it['metadata']['name']}")
    return cluster


# The mistakes.


def eks_four_groups():
    """Set-up 1: four target groups, bound by hand and wrongly; labels of before; rights that nobody needs."""
    cluster = eks()
    cluster.gates = []
    cluster.patch("Namespace", NAMESPACE, metadata={"labels": {"elbv2.k8s.aws/pod-readiness-gate-inject": None}})
    arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/"
    group = lambda door, **spec: cluster.patch("TargetGroupBinding", f"blastdoor-{door}", spec=spec)
    # The external target group leads to an internal door.
    group("external-https", targetGroupName=None, targetGroupARN=arn + "eks-external-https/0123456789abcdef",
          serviceRef={"name": "blastdoor-internal-https", "port": "internal-https"})
    group("external-http", networking=None)
    group("internal-http", targetType="instance")
    group("internal-https", targetType=None)
    rules = cluster.get("TargetGroupBinding", "blastdoor-internal-https")["spec"]["networking"]["ingress"]
    rules[0]["from"].append({"securityGroup": {"groupID": "sg-00000000000000003"}})
    rules = cluster.get("TargetGroupBinding", "blastdoor-external-https")["spec"]["networking"]["ingress"]
    rules[0]["from"].append({"securityGroup": {"groupID": "sg-00000000000000003"}})
    twin = copy.deepcopy(cluster.get("TargetGroupBinding", "blastdoor-internal-http"))
    twin["metadata"]["name"] = "internal-http-old"
    cluster.add(twin)
    cluster.get("ClusterRole", "blastdoor")["rules"].append({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]})
    cluster.add(
        ingress("cart", "cart.example.com", {"expose": "external-httpsecure"}),
        ingress("search", "search.example.com", {"expose": "external-httpssecure"}),
        ingress("legacy", "legacy.example.com", {"app": "legacy"}),
    )
    cluster.template.pop("terminationGracePeriodSeconds")
    cluster.config('wait = "25s"', 'wait = "10s"')
    return cluster


def gke_cluster_policy():
    """Set-up 2: `Cluster`, with preemptible nodes that run no gateway and one that does."""
    regular = ("gke-edge-1", "gke-edge-2", "gke-edge-3")
    cluster = Cluster("gke-l4-local", gce(regular, ("gke-spot-1", "gke-spot-2")), ["gke-edge-1", "gke-spot-1"], APPS)
    cluster.add(
        certificate("cloudflare-origin", NAMESPACE, "origin"), authority("cloudflare-origin-pull", NAMESPACE),
        certificate("internal-tls", NAMESPACE, "internal"),
    )
    cluster.deployment(2)
    cluster.template.pop("affinity")
    for service in ("blastdoor-external", "blastdoor-internal"):
        cluster.patch("Service", service, spec={"externalTrafficPolicy": "Cluster"})
    cluster.nodes["gke-spot-1"]["labels"]["topology.kubernetes.io/zone"] = "europe-west1-b"
    # A limit for each client, at a door that sees nodes.
    cluster.add(ingress("intranet", "intranet.corp.example.com", {"expose": "internal-https"}, annotations={"blastdoor.dev/allow": "10.20.0.0/16"}))
    return cluster


def gke_local():
    """Set-up 2 while it is put right: `Local`, on a Deployment."""
    cluster = gke_cluster_policy()
    cluster.pods = ["gke-edge-1", "gke-edge-1", "gke-edge-2"]
    cluster.workload["spec"]["replicas"] = 3
    cluster.add({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "blastdoor", "namespace": NAMESPACE},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app.kubernetes.io/name": "blastdoor"}}},
    })
    for service in ("blastdoor-external", "blastdoor-internal"):
        cluster.patch("Service", service, spec={"externalTrafficPolicy": "Local"})
    cluster.patch("Service", "blastdoor-internal", spec={"internalTrafficPolicy": "Local"})
    # The flip, five minutes before the objects are looked at.
    cluster.get("Service", "blastdoor-external")["metadata"]["managedFields"] = [{
        "manager": "kubectl-patch", "operation": "Update", "apiVersion": "v1", "time": "2026-11-27T11:55:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:externalTrafficPolicy": {}}},
    }]
    return cluster


def gke_nobody():
    """Set-up 2: `Local`, and no pod is ready."""
    cluster = gke()
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    for node in cluster.pods:
        cluster.broken[node] = {"containerStatuses": [{
            "name": "blastdoor", "image": "localhost/blastdoor:0.1.0", "imageID": "", "ready": False, "restartCount": 0, "state": waiting,
        }]}
    return cluster


def nodeport_local():
    """Set-up 3: a NodePort Service with `Local`, copied from somewhere, behind an ALB."""
    cluster = Cluster("aws-alb-asg-hostport", aws("ip-10-0-1-10", "ip-10-0-2-11", "ip-10-0-3-12", "ip-10-0-1-13"),
                      ["ip-10-0-1-10", "ip-10-0-2-11"], APPS)
    cluster.deployment(2)
    for port in cluster.template["containers"][0]["ports"]:
        port.pop("hostPort", None)
    cluster.add({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "blastdoor", "namespace": NAMESPACE},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app.kubernetes.io/name": "blastdoor"}}},
    }, {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "blastdoor-nodeport", "namespace": NAMESPACE},
        "spec": {
            "type": "NodePort", "externalTrafficPolicy": "Local", "selector": {"app.kubernetes.io/name": "blastdoor"},
            "ports": [{"name": "external-https", "port": 443, "targetPort": 10003, "nodePort": 30443, "protocol": "TCP"}],
        },
    }, {
        "apiVersion": "elbv2.k8s.aws/v1beta1", "kind": "TargetGroupBinding", "metadata": {"name": "external-https", "namespace": NAMESPACE},
        "spec": {
            "targetGroupName": "external-https", "targetType": "instance", "serviceRef": {"name": "blastdoor-nodeport", "port": "external-https"},
            "networking": {"ingress": [{"from": [{"securityGroup": {"groupID": "sg-00000000000000002"}}], "ports": [{"protocol": "TCP", "port": 30443}]}]},
        },
    })
    return cluster


def k3s_rolling_update():
    """Set-up 4 as it is copied: declared ports with a surge, a capability without the file, ServiceLB, a list that is not there."""
    cluster = k3s_servers("server-4")
    cluster.template.pop("dnsPolicy")
    cluster.container(ports=[{"name": "web", "containerPort": 80, "protocol": "TCP"}, {"name": "websecure", "containerPort": 443, "protocol": "TCP"}],
                      securityContext={"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}})
    crash = {"containerStatuses": [{
        "name": "blastdoor", "image": "localhost/blastdoor:0.1.0", "imageID": "", "ready": False, "restartCount": 7, "started": False,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
    }]}
    pending = {"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/4 nodes are available: 1 node(s) didn't have free ports for the requested pod ports, 3 node(s) didn't satisfy plugin(s) [NodeAffinity].",
    }]}
    cluster.broken = {"server-1": crash, "server-2": crash, "server-3": pending}
    cluster.nodes["server-4"]["taints"] = [{"key": "dedicated", "value": "database", "effect": "NoSchedule"}]
    cluster.config('trusted_proxies_file = "cloudflare.txt"\nredirect', "redirect")
    cluster.config('client_auth = { ca = { secret = "blastdoor/cloudflare-origin-pull" }, mode = "require" }\n', "")
    cluster.config('drain = { timeout = "30s", wait = "2s" }\n\n[listeners.external-https.tls]', 'drain = { timeout = "60s", wait = "1s" }\n\n[listeners.external-https.tls]')
    cluster.add(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "traefik", "namespace": "kube-system"}, "spec": {
            "type": "LoadBalancer", "selector": {"app.kubernetes.io/name": "traefik"},
            "ports": [{"name": "web", "port": 80, "targetPort": 8000, "protocol": "TCP"}, {"name": "websecure", "port": 443, "targetPort": 8443, "protocol": "TCP"}],
        }},
        *(svclb(number, node) for number, node in enumerate(("server-1", "server-2", "server-3"), 1)),
        ingress("blog", "blog.example.com", {"expose": "external-https"}, tls="blog-tls"),
        ingress("forum", "forum.example.com", {"expose": "external-https"}, tls="forum-tls"),
        certificate("forum-tls", "shop", "expired"),
        ingress("docs", "docs.example.com", {"expose": "external-https"}, tls="docs-tls"),
        certificate("docs-tls", "shop", "admin"),
        ingress("mail", "mail.example.com", {"expose": "external-https"}, tls="mail-tls"),
        secret("mail-tls", "shop", {"certificate": "admin.crt"}, "Opaque"),
        ingress("cm-acme-http-solver-7vlkz", "blog.example.com", {
            "acme.cert-manager.io/http-domain": "1066846132", "acme.cert-manager.io/http-token": "1229430216",
            "acme.cert-manager.io/http01-solver": "true",
        }, path="/.well-known/acme-challenge/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", path_type="Exact", service="cm-acme-http-solver-x2x8n"),
    )
    return cluster


def svclb(number, node):
    """As k3s' ServiceLB makes one for a Service of type LoadBalancer."""
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": f"svclb-traefik-3f2a1c5d-{number:05x}", "namespace": "kube-system",
            "labels": {"app": "svclb-traefik-3f2a1c5d", "svccontroller.k3s.cattle.io/svcname": "traefik", "svccontroller.k3s.cattle.io/svcnamespace": "kube-system"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "svclb-traefik-3f2a1c5d", "uid": "5f0d2d3a-0000-4000-8000-000000000002", "controller": True}],
        },
        "spec": {"nodeName": node, "containers": [
            {"name": f"lb-tcp-{port}", "image": "rancher/klipper-lb:v0.4.13", "ports": [{"name": f"lb-tcp-{port}", "containerPort": port, "hostPort": port, "protocol": "TCP"}]}
            for port in (80, 443)
        ]},
        "status": {"phase": "Running", "podIP": f"10.42.0.{number}", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def nlb_local():
    """An NLB that registers nodes and sends PROXY headers, with `Local`."""
    cluster = nlb()
    for service in ("blastdoor-external", "blastdoor-internal"):
        target = {"service.beta.kubernetes.io/aws-load-balancer-nlb-target-type": "instance"}
        cluster.patch("Service", service, metadata={"annotations": target}, spec={"externalTrafficPolicy": "Local", "allocateLoadBalancerNodePorts": None})
    return cluster


SETS = {
    "healthy-eks": eks, "healthy-gke": gke, "healthy-alb-hostport": asg, "healthy-k3s": k3s_servers,
    "healthy-gke-neg": neg, "healthy-nlb": nlb,
    "eks-four-groups": eks_four_groups, "gke-cluster-policy": gke_cluster_policy, "gke-local": gke_local, "gke-nobody": gke_nobody,
    "nodeport-local": nodeport_local, "k3s-rolling-update": k3s_rolling_update, "nlb-proxy-local": nlb_local,
}


def everything(objects):
    """One list for each kind, as the API server writes it, also where there are none."""
    for kind, version in KINDS.items():
        items = [it for it in objects if it["kind"] == kind]
        items.sort(key=lambda it: (it["metadata"].get("namespace", ""), it["metadata"]["name"]))
        yield {"apiVersion": version, "kind": f"{kind}List", "metadata": {"resourceVersion": "4711"}, "items": items}


def main():
    check, stale = "--check" in sys.argv, []
    for name, make in SETS.items():
        lists = list(everything(make().finish()))
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": lists}, indent=1, sort_keys=True) + "\n"
        path = HERE / name / "cluster.json"
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if not check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
    print(f"{len(SETS)} sets, {len(stale)} {'not what the chart renders' if check else 'written'}: {', '.join(stale) or 'none'}")
    if stale and check:
        sys.exit("run `python3 tests/doctor/make.py`, and look at what it changes in the findings")


main()
