"""The wall between the horizons, read from what the chart rendered: through which Services and target groups a door can be reached,
and whether each of them is on the door's own side."""

import re

# What makes a load balancer private, by the controller that reads it.
PRIVATE = {
    "aws": [
        ("service.beta.kubernetes.io/aws-load-balancer-scheme", "internal"),
        ("service.beta.kubernetes.io/aws-load-balancer-internal", "true"),
    ],
    "gke": [
        ("networking.gke.io/load-balancer-type", "Internal"),
        ("cloud.google.com/load-balancer-type", "Internal"),
    ],
    "azure": [("service.beta.kubernetes.io/azure-load-balancer-internal", "true")],
}
PUBLIC = [
    ("service.beta.kubernetes.io/aws-load-balancer-scheme", "internet-facing"),
    ("networking.gke.io/load-balancer-type", "External"),
]
CLASSES = {"networking.gke.io/": ["gke"], "service.k8s.aws/": ["aws"]}


def horizons(documents: list[dict]) -> dict[str, str]:
    """Which side each door is on. Doors of a set-up are named by their side, which the tests of the chart rely on."""
    doors = set()
    for document in documents:
        if document["kind"] == "ConfigMap" and "listeners.toml" in document.get("data", {}):
            doors |= set(re.findall(r"^\[listeners\.([a-z0-9-]+)\]$", document["data"]["listeners.toml"], re.MULTILINE))
    return {door: door.split("-")[0] for door in doors}


def templates(documents: list[dict]) -> list[dict]:
    """The pods."""
    return [document["spec"]["template"] for document in documents if document["kind"] in ("DaemonSet", "Deployment")]


def ports(template: dict, documents: list[dict]) -> dict[int, str]:
    """Which door listens on which port of a pod, as the gateway reads it: from listeners.toml, or from a variable."""
    container = next(one for one in template["spec"]["containers"] if one["name"] == "blastdoor")
    text = next(
        document["data"]["listeners.toml"]
        for document in documents
        if document["kind"] == "ConfigMap" and "listeners.toml" in document.get("data", {})
    )
    variables = {variable["name"]: variable.get("value", "") for variable in container.get("env", [])}
    found = {}
    for section in re.split(r"^\[listeners\.", text, flags=re.MULTILINE)[1:]:
        name = section.split("]")[0]
        if not re.fullmatch(r"[a-z0-9-]+", name):
            continue
        bound = re.search(r'^bind = "(.*)"$', section, re.MULTILINE)
        variable = f"BLASTDOOR_LISTENERS__{name.upper().replace('-', '_')}__BIND"
        address = variables.get(variable) or bound[1]
        found[int(address.rpartition(":")[2])] = name
    admin = re.search(r'^\[admin\]\nbind = "(.*)"$', text, re.MULTILINE)
    address = variables.get("BLASTDOOR_ADMIN__BIND") or admin[1]
    if not address.startswith("unix:"):
        found[int(address.rpartition(":")[2])] = "admin"
    return found


def target(template: dict, port: dict) -> int | None:
    """The number of the port of a pod that a port of a Service leads to; Kubernetes takes the first container that has the name."""
    wanted = port.get("targetPort", port["port"])
    if isinstance(wanted, int):
        return wanted
    spec = template["spec"]
    for container in spec["containers"] + spec.get("initContainers", []):
        for one in container.get("ports", []):
            if one.get("name") == wanted:
                return one["containerPort"]
    return None


def behind(service: dict, documents: list[dict]) -> dict[str, set[str]]:
    """The doors behind each port of a Service."""
    doors = {port["name"]: set() for port in service["spec"]["ports"]}
    for template in templates(documents):
        labels = template["metadata"]["labels"]
        if not service["spec"]["selector"].items() <= labels.items():
            continue
        listening = ports(template, documents)
        for port in service["spec"]["ports"]:
            number = target(template, port)
            if number in listening:
                doors[port["name"]].add(listening[number])
    return doors


def private(service: dict) -> bool:
    """Whether what it says makes its load balancer private."""
    annotations = service["metadata"].get("annotations", {})
    given = service["spec"].get("loadBalancerClass", "")
    if given == "networking.gke.io/l4-regional-external" or any(annotations.get(key) == value for key, value in PUBLIC):
        return False
    clouds = next((read for prefix, read in CLASSES.items() if given.startswith(prefix)), [] if given else list(PRIVATE))
    marks = [mark for cloud in clouds for mark in PRIVATE[cloud]]
    return given == "networking.gke.io/l4-regional-internal" or any(annotations.get(key) == value for key, value in marks)


def breaches(documents: list[dict], stated: tuple = ()) -> list[str]:
    """What leads through the wall, in sentences. `stated`: Services that are private by statement."""
    sides = horizons(documents)
    services = {document["metadata"]["name"]: document for document in documents if document["kind"] == "Service"}
    told = []
    for name, service in services.items():
        reached = behind(service, documents)
        doors = set().union(*reached.values())
        side = service["metadata"]["labels"].get("blastdoor.dev/horizon")
        headless = service["spec"].get("clusterIP") == "None"
        if side is None:
            # The pods themselves; nothing is in front of them.
            if not headless or service["spec"].get("type", "ClusterIP") != "ClusterIP":
                told.append(f"{name} has all doors, and an address")
            continue
        for door in doors:
            if sides.get(door) != side:
                told.append(f"{name} is {side} and leads to {door}")
        if (
            side == "internal"
            and service["spec"].get("type") == "LoadBalancer"
            and not private(service)
            and name not in stated
        ):
            told.append(f"{name} is internal, and nothing makes its load balancer private")
    admitted: dict[str, str] = {}
    for binding in (document for document in documents if document["kind"] == "TargetGroupBinding"):
        name = binding["metadata"]["name"]
        side = binding["metadata"]["labels"]["blastdoor.dev/horizon"]
        reference = binding["spec"]["serviceRef"]
        service = services[reference["name"]]
        doors = behind(service, documents)[reference["port"]]
        if not doors:
            told.append(f"{name} leads to no door")
        for door in doors:
            if sides.get(door) != side or not name.endswith(f"-{door}"):
                told.append(f"{name} is {side} and leads to {door}")
        for rule in binding["spec"].get("networking", {}).get("ingress", []):
            for source in map(str, rule["from"]):
                if admitted.setdefault(source, side) != side:
                    told.append(
                        f"{name} admits {source} to an {side} door, as another binding does to an {admitted[source]} one"
                    )
    for policy in (document for document in documents if document["kind"] == "NetworkPolicy"):
        if policy["metadata"]["labels"].get("blastdoor.dev/horizon") == "internal":
            if any(not rule.get("from") for rule in policy["spec"].get("ingress", [])):
                told.append(f"{policy['metadata']['name']} opens an internal door to everybody")
    return told
