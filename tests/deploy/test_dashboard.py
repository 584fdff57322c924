"""The dashboard: every query can be parsed and asks only for what the gateway exposes, and every figure of the gateway is on it."""

import json
import re
import unittest

import promql
import rig

DASHBOARD = rig.CHART / "files" / "dashboard.json"
# The newest form that Grafana 12 has (apps/dashboard/pkg/migration/schemaversion/migrations.go).
SCHEMA = 42
# What Grafana puts in place of its own variables; the others are the dashboard's.
OF_GRAFANA = {"__rate_interval": "1m", "__range": "1h"}
WIDTH = 24
# Figures that are on no panel, and why.
ABSENT = {
    "blastdoor_access_log_dropped_total": "it is blastdoor_log_lines_lost_total of stdout",
    "blastdoor_request_duration_seconds_sum": "the quantiles say more than an average",
    "blastdoor_route_request_duration_seconds_sum": "as above",
    "up": "it is not the gateway's",
}


def dashboard() -> dict:
    return json.loads(DASHBOARD.read_text())


def variables() -> set[str]:
    return {variable["name"] for variable in dashboard()["templating"]["list"]}


def panels() -> list[dict]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> list[tuple[str, str]]:
    """Title and expression."""
    return [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]


def filled(expression: str) -> str:
    """The expression as Prometheus gets it."""

    def value(found: re.Match) -> str:
        name = found[1]
        if name not in OF_GRAFANA and name not in variables():
            raise AssertionError(f"no variable is named {name}")
        return OF_GRAFANA.get(name, ".*")

    return re.sub(r"\$\{?(\w+)\}?", value, expression)


class Dashboard(unittest.TestCase):
    def test_it_is_of_the_current_form(self):
        self.assertEqual(dashboard()["schemaVersion"], SCHEMA)
        self.assertIsNone(dashboard()["id"])
        self.assertLess(len(DASHBOARD.read_bytes()), 500_000, "a ConfigMap holds 1 MiB")

    def test_queries_ask_for_what_there_is(self):
        self.assertGreater(len(queries()), 50)
        for title, expression in queries():
            with self.subTest(panel=title, expression=expression):
                self.assertEqual(promql.complaints(filled(expression)), [])

    def test_annotations_ask_for_what_there_is(self):
        annotations = dashboard()["annotations"]["list"]
        self.assertEqual([annotation["name"] for annotation in annotations], ["New hosts"])
        for annotation in annotations:
            self.assertEqual(annotation["datasource"]["uid"], "${datasource}")
            self.assertEqual(promql.complaints(filled(annotation["expr"])), [])
            tree = promql.parse(filled(annotation["expr"]))
            has = {label for node in promql.walk(tree) for label in promql.labels_of(node)}
            texts = annotation["titleFormat"] + annotation["textFormat"]
            self.assertLessEqual(set(re.findall(r"{{(\w+)}}", texts)), has)

    def test_queries_follow_the_variables(self):
        annotations = [(annotation["name"], annotation["expr"]) for annotation in dashboard()["annotations"]["list"]]
        for title, expression in queries() + annotations:
            for selector in promql.selectors(promql.parse(filled(expression))):
                matched = {matcher.name for matcher in selector.matchers.matchers}
                has_door = "listener" in promql.metrics()[selector.name].labels
                wanted = {"cluster", "namespace", "job"} | ({"listener"} if has_door else set())
                with self.subTest(panel=title, metric=selector.name):
                    self.assertLessEqual(wanted, matched)

    def test_variables_are_values_of_labels_that_exist(self):
        for variable in dashboard()["templating"]["list"]:
            if variable["type"] == "query":
                with self.subTest(variable=variable["name"]):
                    found = re.fullmatch(r"label_values\((\w+)(\{.*\})?, (\w+)\)", variable["query"]["query"])
                    metric, selection, label = found.groups()
                    self.assertIn(label, promql.metrics()[metric].labels | promql.OF_TARGETS)
                    self.assertEqual(promql.complaints(filled(metric + (selection or ""))), [])

    def test_every_data_source_is_the_variable(self):
        sources = [panel["datasource"] for panel in panels()]
        sources += [target["datasource"] for panel in panels() for target in panel["targets"]]
        self.assertEqual({source["uid"] for source in sources}, {"${datasource}"})

    def test_legends_use_labels_that_the_query_keeps(self):
        for panel in panels():
            for target in panel["targets"]:
                tree = promql.parse(filled(target["expr"]))
                nodes = list(promql.walk(tree))
                grouped = [set(promql.labels_of(node)) for node in nodes if type(node).__name__ == "AggregateExpr"]
                has = set(promql.OF_TARGETS) | {label for labels in grouped for label in labels}
                if not grouped:
                    has |= set().union(*(promql.metrics()[found.name].labels for found in promql.selectors(tree)))
                with self.subTest(panel=panel["title"]):
                    self.assertLessEqual(set(re.findall(r"{{(\w+)}}", target["legendFormat"])), has)

    def test_every_figure_has_a_panel(self):
        shown = {found.name for _, query in queries() for found in promql.selectors(promql.parse(filled(query)))}
        self.assertEqual(set(promql.metrics()) - shown, set(ABSENT))

    def test_panels_have_places_and_numbers_of_their_own(self):
        taken = set()
        every = dashboard()["panels"]
        self.assertEqual(len({panel["id"] for panel in every}), len(every))
        for panel in every:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], WIDTH)
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            self.assertEqual(cells & taken, set(), panel["title"])
            taken |= cells


if __name__ == "__main__":
    unittest.main()
