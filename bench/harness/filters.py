"""Filters to measure: what an Ingress says, the objects that it names, and what clients send for it."""

import dataclasses

AUTHORIZATION = ("Authorization: Basic YWRtaW46c2VjcmV0",)  # admin:secret

# admin:secret, bcrypt at cost 10, and as {SHA}.
BCRYPT = "admin:$2b$10$bHmpR7vr6KP8lYxbfI381.7MIpgMA3LdT8AcOs2ckfguxQ/DdiKM2"
SHA = "admin:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="

NGINX = "nginx.ingress.kubernetes.io/"
OWN = "blastdoor.dev/"


@dataclasses.dataclass(frozen=True)
class Filter:
    """One filter, or several together."""

    name: str
    most: int  # instructions that it may add to a request (docs/performance.md, "Filters")
    annotations: dict
    middlewares: tuple = ()  # (kind, spec as JSON or YAML in flow style)
    secrets: tuple = ()  # (name, content of the key `auth`)
    headers: tuple = ()  # that clients send beside the usual ones

    def on_ingress(self):
        annotations = dict(self.annotations)
        if self.middlewares:
            names = (f"bench-{kind.lower()}@kubernetescrd" for kind, _ in self.middlewares)
            annotations["traefik.ingress.kubernetes.io/router.middlewares"] = ",".join(names)
        return annotations

    def objects(self):
        for kind, spec in self.middlewares:
            yield (
                "apiVersion: traefik.io/v1alpha1\nkind: Middleware\n"
                f"metadata: {{name: {kind.lower()}, namespace: bench}}\nspec: {{{kind}: {spec}}}\n"
            )
        for name, content in self.secrets:
            yield (
                "apiVersion: v1\nkind: Secret\n"
                f"metadata: {{name: {name}, namespace: bench}}\nstringData: {{auth: '{content}'}}\n"
            )


def ranges(count):
    """So many networks, the last of which has the client of the benchmark."""
    return ",".join([f"10.{index >> 8}.{index & 255}.0/24" for index in range(count - 1)] + ["127.0.0.0/8"])


ALL = [
    Filter("allow list of 1,000 ranges", 200, {OWN + "allow": ranges(1000)}),
    Filter("rate limit", 600, {OWN + "rate-limit": "1000000/1s", OWN + "rate-limit-burst": "1000000"}),
    Filter("CORS", 160, {NGINX + "enable-cors": "true", NGINX + "cors-allow-origin": "https://a.example"}),
    Filter("CORS, of a listed origin", 460, {NGINX + "enable-cors": "true", NGINX + "cors-allow-origin": "https://a.example"},
           headers=("Origin: https://a.example",)),
    Filter("one request field", 160, {}, (("headers", "{customRequestHeaders: {X-Team: shop}}"),)),
    Filter("four security fields", 340, {OWN + "security-headers": "on"}),
    Filter("strip prefix", 160, {}, (("stripPrefix", "{prefixes: [/api]}"),)),
    Filter("rewrite by a regex", 4_000, {NGINX + "use-regex": "true", NGINX + "rewrite-target": "/v2/$1"}),
    Filter("sticky, with its cookie set", 400, {NGINX + "affinity": "cookie"}),
    Filter("basic auth, bcrypt, remembered", 8_000, {NGINX + "auth-type": "basic", NGINX + "auth-secret": "users"},
           secrets=(("users", BCRYPT),), headers=AUTHORIZATION),
    Filter("basic auth, {SHA}", 8_000, {NGINX + "auth-type": "basic", NGINX + "auth-secret": "users"},
           secrets=(("users", SHA),), headers=AUTHORIZATION),
    Filter("the four of the k3s set-up", 10_000, {},
           (("rateLimit", "{average: 1000000, period: 1s, burst: 1000000}"),
            ("headers", "{frameDeny: true, contentTypeNosniff: true, referrerPolicy: no-referrer}"),
            ("ipAllowList", "{sourceRange: [127.0.0.0/8]}"),
            ("basicAuth", "{secret: users}")),
           secrets=(("users", BCRYPT),), headers=AUTHORIZATION),
]


def named(name):
    """The filter whose name begins so."""
    found = [each for each in ALL if each.name.startswith(name)]
    return found[0] if found else None
