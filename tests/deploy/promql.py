"""What expressions of PromQL use, and what the gateway exposes according to its reference, which a test of the gateway compares
with a scrape (`tests/metrics.rs`)."""

import functools
import re
from typing import Any, Iterator, NamedTuple

import promql_parser

import rig

REFERENCE = rig.ROOT / "docs" / "reference-metrics.md"
OPERATIONS = rig.ROOT / "docs" / "operations.md"
# What Prometheus itself adds: to every scrape the series `up`, to every series the target's labels, to buckets their bound.
OF_TARGETS = {"cluster", "namespace", "job", "instance", "pod"}
# What it makes of labels of the gateway's own that the target has too: those of an application.
RENAMED = {"namespace": "exported_namespace", "service": "exported_service"}


class Metric(NamedTuple):
    """A row of the reference."""

    kind: str
    labels: frozenset[str]


@functools.cache
def metrics() -> dict[str, Metric]:
    """Every name that can be asked for."""
    found = {"up": Metric("gauge", frozenset())}
    for line in REFERENCE.read_text().splitlines():
        cells = [cell.strip() for cell in line.replace("\\|", " ").split("|")]
        if len(cells) != 6 or cells[2] not in ("counter", "gauge", "histogram"):
            continue
        name, kind = cells[1].strip("`"), cells[2]
        labels = frozenset(re.findall(r"`(\w+)`", cells[3]))
        if kind == "histogram":
            found[f"{name}_bucket"] = Metric(kind, labels | {"le"})
            found[f"{name}_sum"] = found[f"{name}_count"] = Metric(kind, labels)
        else:
            found[name] = Metric(kind, labels)
    return found


@functools.cache
def reasons() -> frozenset[str]:
    """Every reason of a refusal (a test of the gateway sees to it that all are in this table)."""
    table = OPERATIONS.read_text().partition("## What an error means")[2]
    rows = [line.split(" | ")[1] for line in table.splitlines() if line.startswith("| ")]
    return frozenset(reason for row in rows for reason in re.findall(r"`(\w+)`", row) if row.startswith("`"))


def parse(expression: str) -> Any:
    return promql_parser.parse(expression)


def walk(node: Any) -> Iterator[Any]:
    """The node and everything below it."""
    yield node
    for name in ("lhs", "rhs", "expr", "param", "vector_selector", "vs"):
        below = getattr(node, name, None)
        if below is not None and not isinstance(below, (str, int, float)):
            yield from walk(below)
    for below in getattr(node, "args", None) or []:
        yield from walk(below)


def selectors(node: Any) -> Iterator[Any]:
    return (found for found in walk(node) if isinstance(found, promql_parser.VectorSelector))


def complaints(expression: str) -> list[str]:
    """What the expression asks for that the gateway does not expose."""
    tree = parse(expression)
    known: set[str] = set(OF_TARGETS)
    found = []
    for selector in selectors(tree):
        metric = metrics().get(selector.name)
        if metric is None:
            found.append(f"no metric is named {selector.name}")
            continue
        known |= metric.labels | {RENAMED[label] for label in metric.labels & RENAMED.keys()}
        for matcher in selector.matchers.matchers:
            if matcher.name not in metric.labels | OF_TARGETS:
                found.append(f"{selector.name} has no label {matcher.name}")
            if selector.name == "blastdoor_refusals_total" and matcher.name == "reason":
                unknown = set(matcher.value.split("|")) - reasons()
                found += [f"no refusal has the reason {reason}" for reason in sorted(unknown)]
    for node in walk(tree):
        for label in labels_of(node):
            if label not in known:
                found.append(f"nothing in the expression has the label {label}")
        found += misuses(node)
    return found


def labels_of(node: Any) -> list[str]:
    """Labels by which a node groups or matches."""
    named = []
    for holder in (getattr(node, "modifier", None), getattr(getattr(node, "modifier", None), "matching", None)):
        named += list(getattr(holder, "labels", None) or [])
    return named


def misuses(node: Any) -> list[str]:
    """Counters are only for functions that know of restarts, and those only for counters."""
    if not isinstance(node, promql_parser.Call):
        return []
    name = node.func.name
    found = []
    for argument in node.args:
        if not isinstance(argument, promql_parser.MatrixSelector):
            continue
        metric = metrics().get(argument.vector_selector.name)
        if metric and (metric.kind != "gauge") != (name in ("rate", "increase", "irate", "resets")):
            found.append(f"{name} of {argument.vector_selector.name}, a {metric.kind}")
    return found
