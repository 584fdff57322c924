"""From a case, as it is written in `cases/`, to the objects of Kubernetes."""

import base64

NAMESPACE = "differential"
SHORT = {"traefik": "traefik.ingress.kubernetes.io/", "nginx": "nginx.ingress.kubernetes.io/"}
# Kinds that Traefik watches. Their schemas are not what is compared.
TRAEFIK_KINDS = {
    "IngressRoute": "ingressroutes",
    "IngressRouteTCP": "ingressroutetcps",
    "IngressRouteUDP": "ingressrouteudps",
    "Middleware": "middlewares",
    "MiddlewareTCP": "middlewaretcps",
    "ServersTransport": "serverstransports",
    "ServersTransportTCP": "serverstransporttcps",
    "TLSOption": "tlsoptions",
    "TLSStore": "tlsstores",
    "TraefikService": "traefikservices",
}


def definitions():
    for kind, plural in TRAEFIK_KINDS.items():
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
        spec = {"group": "traefik.io", "names": names, "scope": "Namespaced", "versions": [version]}
        yield {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.traefik.io"},
            "spec": spec,
        }


def namespace():
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def service(name, endpoints, annotations=None):
    """A Service and its endpoints, a list of address and port."""
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(name, annotations),
        "spec": {"ports": [{"name": "http", "port": 80}]},
    }
    # One slice per port: all endpoints of a slice have the same ports.
    for index, (address, port) in enumerate(endpoints):
        yield {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                **_metadata(f"{name}-{index}"),
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        }


class Case:
    """One case: its objects, and the requests with what is compared."""

    def __init__(self, peer, written, replace):
        written = _replaced(written, replace)
        self.peer = peer
        self.name = written.pop("name")
        self.key = f"{peer}/{self.name}"
        self.host = f"{self.name}.test"
        self.about = written.pop("about")
        self.services, self.configmaps, self.secrets = {}, {}, {}
        self.objects, self.ingresses = [], []
        self.tls = written.pop("tls", False)
        compare = written.pop("compare", {})
        self._middlewares(written)
        self._service(written)
        for name, data in written.pop("configmaps", {}).items():
            self.configmaps[name] = data
            self.objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(name), "data": data})
        for name, data in written.pop("secrets", {}).items():
            data = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
            self.secrets[name] = data
            self.objects.append({"apiVersion": "v1", "kind": "Secret", "metadata": _metadata(name), "data": data})
        ingresses = written.pop("ingresses", None) or [{}]
        shared = {key: written.pop(key) for key in ("annotations", "paths") if key in written}
        for index, ingress in enumerate(ingresses):
            self._ingress(index, {**shared, **ingress})
        self.requests = [self._request(dict(request), compare) for request in written.pop("requests")]
        # What Traefik knows when it knows this case; what is broken on purpose it never does.
        self.known = [] if written.pop("broken", False) else [self.host, *self.listed]
        if written:
            raise ValueError(f"{self.key}: unknown keys {sorted(written)}")

    def _middlewares(self, written):
        specs = written.pop("middlewares", {})
        listed = written.pop("list", list(specs))
        for name, spec in specs.items():
            self.objects.append(
                {
                    "apiVersion": "traefik.io/v1alpha1",
                    "kind": "Middleware",
                    "metadata": _metadata(f"{self.name}-{name}"),
                    "spec": _chained(spec, self.name),
                }
            )
        self.listed = [f"{NAMESPACE}-{self.name}-{name}@kubernetescrd" for name in listed]

    def _service(self, written):
        """A Service of the case's own, which its paths name `own`."""
        self.own = written.pop("service", None)
        if self.own is not None:
            self.own = {
                "annotations": _long(self.peer, self.own.get("annotations", {})),
                "endpoints": self.own.get("endpoints", ["web"]),
            }

    def _ingress(self, index, written):
        name = self.name if index == 0 else f"{self.name}-{index}"
        annotations = _long(self.peer, written.pop("annotations", {}))
        if self.listed:
            annotations["traefik.ingress.kubernetes.io/router.middlewares"] = ",".join(self.listed)
        paths = []
        for path in written.pop("paths", ["/"]):
            path = {"path": path} if isinstance(path, str) else dict(path)
            target = path.pop("service", "own" if self.own is not None else "web")
            target = f"{self.name}-own" if target == "own" else target
            paths.append(
                {
                    "path": path.pop("path"),
                    "pathType": path.pop("type", "Prefix"),
                    "backend": {"service": {"name": target, "port": {"number": 80}}},
                }
            )
            if path:
                raise ValueError(f"{self.key}: unknown keys of a path {sorted(path)}")
        host = written.pop("host", self.host)
        default = written.pop("default", None)
        if written:
            raise ValueError(f"{self.key}: unknown keys of an Ingress {sorted(written)}")
        metadata = _metadata(name, annotations)
        metadata["labels"] = {"expose": "differential-tls" if self.tls else "differential"}
        self.ingresses.append(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "metadata": metadata,
                "spec": {"rules": [{"host": host, "http": {"paths": paths}}]},
            }
        )
        if default:
            backend = {"service": {"name": default, "port": {"number": 80}}}
            self.ingresses[-1]["spec"]["defaultBackend"] = backend

    def _request(self, written, compare):
        [(method, target)] = [(key, written.pop(key)) for key in list(written) if key in METHODS]
        told = {
            "method": method.upper(),
            "target": target,
            "host": written.pop("host", self.host),
            "fields": _pairs(written.pop("fields", {})),
            "body": written.pop("body", ""),
            "source": written.pop("from", "127.0.0.1"),
            "tls": written.pop("tls", self.tls),
            "repeat": written.pop("repeat", 1),
            "jar": written.pop("jar", False),
            "apart": written.pop("apart", False),
            "versions": written.pop("versions", ["h1", "h2"]),
            "compare": {**compare, **written.pop("compare", {})},
        }
        if written:
            raise ValueError(f"{self.key}: unknown keys of a request {sorted(written)}")
        return told


METHODS = ("get", "head", "post", "put", "patch", "delete", "options")


def _metadata(name, annotations=None):
    return {"name": name, "namespace": NAMESPACE, "annotations": annotations or {}}


def _long(peer, annotations):
    return {key if "/" in key else f"{SHORT[peer]}{key}": value for key, value in annotations.items()}


def _pairs(fields):
    return [(name, value) for name, values in fields.items() for value in _listed(values)]


def _listed(value):
    return value if isinstance(value, list) else [value]


def _chained(spec, case):
    """Members of a chain are named as the case names them."""
    if "chain" not in spec:
        return spec
    members = [{"name": f"{case}-{member['name']}"} for member in spec["chain"]["middlewares"]]
    return {"chain": {"middlewares": members}}


def _replaced(value, replace):
    if isinstance(value, str):
        for name, text in replace.items():
            value = value.replace(name, text)
        return value
    if isinstance(value, list):
        return [_replaced(item, replace) for item in value]
    if isinstance(value, dict):
        return {key: _replaced(item, replace) for key, item in value.items()}
    return value
