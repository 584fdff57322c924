"""One tenant with objects at its bounds, which it edits again and again: what do the other tenants notice?"""

import statistics
import threading
import time

from ..rounds import note
from .gateway import ATTACKED, NEIGHBOUR, Gateway, Shape, ingress
from .table import Table, ms

ABOUT = "a tenant at its bounds, editing: another tenant's changes, and /livez (from files)"
LIVE_MS, LIVEZ_MS = 50, 100
# The default bounds of a namespace at a door (docs/hardening.md): 8 Ingresses with 5,000 rules each, and 200,000 endpoints.
INGRESSES, RULES, SLICES, ENDPOINTS = 8, 5_000, 200, 1_000


def hostile_ingress(index, edit):
    rules = ", ".join(
        f"{{path: /p{index}-{path}, pathType: Prefix, backend: {{service: {{name: many, port: {{number: 80}}}}}}}}"
        for path in range(RULES)
    )
    return (
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\n"
        f"metadata: {{name: many-{index}, namespace: hostile, labels: {{expose: {ATTACKED}}}, annotations: {{edit: '{edit}'}}}}\n"
        f"spec: {{rules: [{{host: many-{index}-{edit}.example.com, http: {{paths: [{rules}]}}}}]}}\n"
    )


def hostile_service():
    yield "apiVersion: v1\nkind: Service\nmetadata: {name: many, namespace: hostile}\nspec: {ports: [{port: 80}]}\n"
    for part in range(SLICES):
        addresses = ", ".join(f'{{addresses: ["10.{part}.{one // 250}.{one % 250 + 1}"]}}' for one in range(ENDPOINTS))
        yield (
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
            f"metadata: {{name: many-{part}, namespace: hostile, labels: {{kubernetes.io/service-name: many}}}}\n"
            f"addressType: IPv4\nports: [{{port: 8080}}]\nendpoints: [{addresses}]\n"
        )


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
        gateway.manifests.joinpath("many.yaml").write_text("---\n".join(hostile_service()))
        for index in range(INGRESSES):
            gateway.manifests.joinpath(f"many-{index}.yaml").write_text(hostile_ingress(index, 0))
        until = time.monotonic() + 60
        while gateway.get(ATTACKED, f"/p{INGRESSES - 1}-1", 2, f"many-{INGRESSES - 1}-0.example.com")[0] == 404:
            if time.monotonic() > until:
                table.must(False, "the tenant's objects are not live within 60 s")
                break
            time.sleep(0.1)
        row(table, "beside them, at rest", gateway, *changes(gateway, count), bound=True)
        ended, edits = threading.Event(), 0

        def edit():
            nonlocal edits
            while not ended.wait(0.5):
                edits += 1
                one = gateway.manifests / f"many-{edits % INGRESSES}.yaml"
                one.write_text(hostile_ingress(edits % INGRESSES, edits))

        editor = threading.Thread(target=edit, daemon=True)
        editor.start()
        found = changes(gateway, count)
        ended.set()
        editor.join()
        row(table, "while it edits", gateway, *found, bound=True)
    table.notes.append(
        f"{INGRESSES} Ingresses of {RULES:,} rules, one Service with {SLICES * ENDPOINTS:,} endpoints; an edit every half second. "
        "From a directory of manifests, which is read when it is at rest; with an API server, changes come one by one."
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
