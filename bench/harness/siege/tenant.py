"""One tenant with objects at every bound at once, which it edits again and again: what do the other tenants notice?

From a directory of manifests, where every edit is a file.
"""

import statistics
import threading
import time

from ..rounds import note
from .gateway import ATTACKED, NEIGHBOUR, Gateway, Shape, ingress, service
from .table import Table, ms

ABOUT = "a tenant at every bound, editing: another tenant's changes, and /livez (from files)"
LIVE_MS, LIVEZ_MS = 50, 100
# The default bounds (docs/hardening.md). Two rules of the last large Ingress are left for two small ones, and one endpoint
# of the last Service for one that answers.
LARGE, RULES = 8, 5_000
PORTS, SLICES, ENDPOINTS = 250, 1_000, 20_000
OF_SLICE, AUTHORITIES = 1_000, 1_000_000
PATIENCE = 180  # seconds, for everything to be read once


def addresses(which, count):
    """Addresses at which nobody listens. All are loopback, so that whatever is sent there goes nowhere else."""
    return [f"127.{which}.{one // 250 + 1}.{one % 250 + 1}" for one in range(count)]


def a_service(name, ports=1):
    listed = ", ".join(f"{{name: p{port}, port: {80 + port}}}" for port in range(ports))
    return f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: hostile}}\nspec: {{ports: [{listed}]}}\n"


def a_slice(of, number, listed, ports=1):
    endpoints = ", ".join(f'{{addresses: ["{address}"]}}' for address in listed)
    names = ", ".join(f"{{name: p{port}, port: {1_000 + port}}}" for port in range(ports))
    return (
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        f"metadata: {{name: {of}-{number:04}, namespace: hostile, labels: {{kubernetes.io/service-name: {of}}}}}\n"
        f"addressType: IPv4\nports: [{names}]\nendpoints: [{endpoints}]\n"
    )


def a_large_service(name, which, count, of_slice):
    listed = addresses(which, count)
    parts = (listed[first:first + of_slice] for first in range(0, count, of_slice))
    return "---\n".join([a_service(name), *(a_slice(name, number, part) for number, part in enumerate(parts))])


def a_large_ingress(index, edit):
    rules = RULES - 2 * (index == LARGE - 1)

    def backend(rule):
        if rule % 4 == 0:
            return "ports", 80 + rule // 4 % PORTS
        return ("slices" if rule % 4 == 1 else f"many-{index}"), 80

    paths = ", ".join(
        f"{{path: /{rule}, pathType: Prefix, backend: {{service: {{name: {name}, port: {{number: {port}}}}}}}}}"
        for rule, (name, port) in ((rule, backend(rule)) for rule in range(rules))
    )
    return (
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\n"
        f"metadata: {{name: large-{index}, namespace: hostile, creationTimestamp: '2026-01-02T00:00:00Z', "
        f"labels: {{expose: {ATTACKED}}}, annotations: {{"
        "nginx.ingress.kubernetes.io/backend-protocol: HTTPS, "
        f"blastdoor.dev/backend-tls-ca: secret/authorities-{index}, "
        f"nginx.ingress.kubernetes.io/proxy-read-timeout: '{60 + edit % 600}'}}}}\n"
        f"spec: {{rules: [{{host: large-{index}.example.com, http: {{paths: [{paths}]}}}}]}}\n"
    )


def authorities(index, certificate, edit):
    """A Secret as large as an API server takes one."""
    lines = certificate.read_text().splitlines() * 490
    size = sum(len(line) + 1 for line in lines)
    text = f"text of edit {edit} beside the certificates, which is read and left out"
    lines += [text] * ((AUTHORITIES - size) // (len(text) + 1))
    return (
        f"apiVersion: v1\nkind: Secret\nmetadata: {{name: authorities-{index}, namespace: hostile}}\n"
        "stringData:\n  ca.crt: |\n" + "".join(f"    {line}\n" for line in lines)
    )


def a_small_ingress(name, created, secret=None):
    """One that answers, unless it names a Secret."""
    annotations = ""
    if secret:
        annotations = (
            ", annotations: {nginx.ingress.kubernetes.io/backend-protocol: HTTPS, "
            f"blastdoor.dev/backend-tls-ca: secret/{secret}}}"
        )
    whole = ingress(name, ATTACKED, "alive", "/", f"{name}.example.com", "hostile")
    return whole.replace("namespace: hostile,", f"namespace: hostile, creationTimestamp: '{created}'{annotations},")


def fill(gateway):
    """Writes everything that the tenant may have, and one Ingress more."""

    def write(name, *documents):
        (gateway.manifests / f"{name}.yaml").write_text("---\n".join(documents))

    write("ports", a_service("ports", PORTS + 1), a_slice("ports", 0, addresses(100, ENDPOINTS // PORTS), PORTS + 1))
    each = ENDPOINTS // SLICES
    write("slices", a_large_service("slices", 101, ENDPOINTS + each, each))
    for index in range(LARGE):
        count = ENDPOINTS + 1 - 2 * (index == LARGE - 1)
        write(f"many-{index}", a_large_service(f"many-{index}", index + 1, count, OF_SLICE))
        write(f"authorities-{index}", authorities(index, gateway.ground.certificate, 0))
        write(f"large-{index}", a_large_ingress(index, 0))
    write(
        "small",
        service("alive", gateway.ground.honest, "hostile"),
        a_small_ingress("alive", "2026-01-01T00:00:00Z"),
        a_small_ingress("beyond", "2026-01-03T00:00:00Z"),
    )
    write("names", a_small_ingress("names", "2026-01-01T00:00:00Z", "never-seen"))


def edit(gateway, edits):
    """All rules of a large Ingress, a Secret of authorities, and the name of a Secret that nobody has named before."""
    index = edits % LARGE
    for name, content in (
        (f"large-{index}", a_large_ingress(index, edits)),
        (f"authorities-{index}", authorities(index, gateway.ground.certificate, edits)),
        ("names", a_small_ingress("names", "2026-01-01T00:00:00Z", f"never-seen-{edits}")),
    ):
        (gateway.manifests / f"{name}.yaml").write_text(content)


def changes(gateway, count):
    """Milliseconds from another tenant's new Ingress to its first answer, and of /livez meanwhile."""
    live, livez = [], []
    for _ in range(count):
        host = f"change-{time.monotonic_ns()}.example.com"
        file, begun = gateway.manifests / "other.yaml", time.monotonic()
        file.write_text(ingress("change", NEIGHBOUR, "app", "/", host, "bench"))
        while gateway.get(NEIGHBOUR, "/", 2, host)[0] != 200 and time.monotonic() < begun + 20:
            time.sleep(0.001)
        live.append((time.monotonic() - begun) * 1000)
        status, seconds = gateway.ask("/livez")
        livez.append(seconds * 1000 if status == 200 else 5000)
        time.sleep(0.1)
    return live, livez


def run(siege):
    table = Table("tenant", ABOUT, ("", "change live, ms: median, longest", "/livez, ms: longest", "resident, MiB"))
    count = 5 * siege.options.rounds
    with Gateway(siege.running, siege.ground, siege.options.blastdoor, Shape(workers=1)) as gateway:
        row(table, "quiet", gateway, *changes(gateway, count))
        fill(gateway)
        until = time.monotonic() + PATIENCE
        # What answers is the tenant's own backend, and what is beyond its bounds is closed.
        expected = {"alive": 200, "beyond": 503}
        found = {}
        while found != expected and time.monotonic() < until:
            found = {name: gateway.get(ATTACKED, "/", 2, f"{name}.example.com")[0] for name in expected}
            time.sleep(0.1)
        table.must(found == expected, f"the tenant's objects answer {found}, not {expected}")
        row(table, "beside them, at rest", gateway, *changes(gateway, count), bound=True)
        ended, edits = threading.Event(), 0

        def keep_editing():
            nonlocal edits
            while not ended.wait(0.5):
                edits += 1
                edit(gateway, edits)

        editor = threading.Thread(target=keep_editing, daemon=True)
        editor.start()
        found = changes(gateway, count)
        ended.set()
        editor.join()
        row(table, "while it edits", gateway, *found, bound=True)
    table.notes.append(
        f"{LARGE} Ingresses of {RULES:,} rules, {LARGE + 2} Services of {ENDPOINTS:,} endpoints, one of them with {PORTS} ports "
        f"and one with {SLICES:,} slices, {LARGE} Secrets of {AUTHORITIES // 1_000_000} MB; an Ingress, a Secret and a name of a new Secret every half second. "
        "A directory is read when nothing has been written for 30 ms, and as a whole: a change waits for the parse of each file that changed with it."
    )
    return table


def row(table, name, gateway, live, livez, bound=False):
    note(f"tenant {name}: live {statistics.median(live):.0f}, {max(live):.0f} ms; livez {max(livez):.0f} ms")
    late = late_probe = ""
    if bound:
        late = table.must(max(live) <= LIVE_MS, f"{name}: another tenant's change took {max(live):.0f} ms")
        late_probe = table.must(max(livez) <= LIVEZ_MS, f"{name}: /livez took {max(livez):.0f} ms")
    table.add(name, f"{ms(statistics.median(live) * 1000)}, {ms(max(live) * 1000)}{late}",
              f"{ms(max(livez) * 1000)}{late_probe}", f"{gateway.rss_kib() / 1024:.1f}")
