"""Readers of metrics: the parsers of Prometheus' client for Python, and promtool."""

import urllib.request

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

import tools

OPEN = "application/openmetrics-text"
# What the Prometheus of today asks for.
PROMETHEUS = f"{OPEN};version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"


def page(context, accept=None):
    """Content type and body."""
    request = urllib.request.Request(f"http://127.0.0.1:{context.gateway.admin}/metrics")
    if accept:
        request.add_header("Accept", accept)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def samples(families):
    """Every sample of the gateway's, by name and labels. A family must have help and a type."""
    found = {}
    for family in families:
        assert family.documentation and family.type != "unknown", family
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def both_formats(context):
    for path in ("/", "/metrics"):
        tools.curl(context, "plain", path)
    media_type, text = page(context)
    assert media_type.startswith("text/plain; version=0.0.4"), media_type
    media_type, open_text = page(context, PROMETHEUS)
    assert media_type.startswith(f"{OPEN}; version=1.0.0"), media_type
    read = samples(parser.text_string_to_metric_families(text))
    open_read = samples(openmetrics_parser.text_string_to_metric_families(open_text))
    assert set(read) == set(open_read), set(read) ^ set(open_read)
    counted = [labels for name, labels in read if name == "blastdoor_route_requests_total"]
    assert counted, "no route has been counted"
    return f"{len(read)} samples"


def promtool(context):
    _, text = page(context)
    context.run("promtool", "check", "metrics", input=text.encode(), stdin=None)


CHECKS = [
    ("prometheus-client for Python: both formats of /metrics", both_formats),
    ("promtool: check metrics", promtool),
]
