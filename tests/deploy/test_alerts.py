"""The alerts fire when they should and not otherwise, use what the gateway exposes, and say what to do."""

import pathlib
import re
import subprocess
import tempfile
import unittest

import yaml

import promql
import rig

ALERTS = rig.CHART / "files" / "alerts.yaml"
CASES = rig.TESTS / "alerts.yaml"
RUNBOOKS = rig.ROOT / "docs" / "runbooks.md"
WHERE = "https://github.com/blastdoor/blastdoor/blob/main/docs/runbooks.md#"
# What tells alerts apart in the cases, without the labels of targets.
FIRING = 'count by (alertname, severity, listener, reason) (ALERTS{alertstate="firing"}) > bool 0'
# Functions of Prometheus' templates that the annotations use.
FUNCTIONS = {"humanize", "humanizePercentage", "humanizeDuration"}


def rules() -> list[dict]:
    groups = yaml.load(ALERTS.read_text(), rig.Strict)["groups"]
    return [rule for group in groups for rule in group["rules"]]


def promtool(*arguments) -> subprocess.CompletedProcess:
    command = [rig.program("promtool", "install Debian's package prometheus"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def cases() -> list[dict]:
    return yaml.load(CASES.read_text(), rig.Strict)["tests"]


def fired(case: dict) -> set[tuple[str, str]]:
    """The alerts that a case expects, with their severities."""
    samples = [sample for test in case["promql_expr_test"] for sample in test.get("exp_samples", [])]
    found = (re.findall(r'alertname="(\w+)",severity="(\w+)"', sample["labels"]) for sample in samples)
    return {alert for alerts in found for alert in alerts}


class Alerts(unittest.TestCase):
    def test_prometheus_takes_the_file(self):
        done = promtool("check", "rules", ALERTS)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(f"{len(rules())} rules found", done.stdout)

    def test_each_fires_on_its_series_and_is_silent_on_others(self):
        text = CASES.read_text().replace("rule_files: [../..", f"rule_files: [{rig.ROOT}").replace("FIRING", FIRING)
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "cases.yaml"
            file.write_text(text)
            done = promtool("test", "rules", file)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_each_has_a_case(self):
        alerts = {(rule["alert"], rule["labels"]["severity"]) for rule in rules()}
        self.assertEqual(alerts, set().union(*map(fired, cases())))

    def test_they_use_what_the_gateway_exposes(self):
        for rule in rules():
            with self.subTest(alert=rule["alert"]):
                self.assertEqual(promql.complaints(rule["expr"]), [])

    def test_every_refusal_has_an_alert_or_a_reason_for_none(self):
        alerted = set()
        for rule in rules():
            for selector in promql.selectors(promql.parse(rule["expr"])):
                if selector.name == "blastdoor_refusals_total":
                    for matcher in selector.matchers.matchers:
                        alerted |= set(matcher.value.split("|")) if matcher.name == "reason" else set()
        without = RUNBOOKS.read_text().partition("## Refusals without an alert")[2]
        without = set(re.findall(r"^\| `(\w+)`", without, re.MULTILINE))
        self.assertEqual(alerted & without, set())
        self.assertEqual(alerted | without, promql.reasons())

    def test_they_say_what_users_see_and_what_to_do(self):
        for rule in rules():
            with self.subTest(alert=rule["alert"]):
                texts = rule["annotations"]
                self.assertEqual(set(texts), {"summary", "description", "runbook_url"})
                self.assertIn(rule["labels"]["severity"], ("critical", "warning", "info"))
                self.assertRegex(texts["description"], r"[Uu]sers")
                self.assertIn("Next: ", texts["description"])
                self.assertEqual(texts["runbook_url"], f"{WHERE}{rule['alert'].lower()}")

    def test_their_texts_use_labels_that_they_have(self):
        for rule in rules():
            has = result_labels(rule["expr"])
            for text in rule["annotations"].values():
                with self.subTest(alert=rule["alert"], text=text):
                    for action in re.findall(r"{{(.*?)}}", text):
                        what, *functions = [part.strip() for part in action.split("|")]
                        self.assertLessEqual(set(functions), FUNCTIONS)
                        for word in what.removeprefix("or ").split():
                            if word != "$value":
                                self.assertIn(word.removeprefix("$labels."), has)
                    self.assertNotRegex(re.sub(r"{{.*?}}", "", text), r"[{}]{2}")

    def test_each_has_a_runbook(self):
        headings = re.findall(r"^### (Blastdoor\w+)$", RUNBOOKS.read_text(), re.MULTILINE)
        self.assertEqual(len(headings), len(set(headings)))
        self.assertEqual(set(headings), {rule["alert"] for rule in rules()})


class Chart(unittest.TestCase):
    def test_it_says_which_doors_face_the_internet(self):
        """The alert about new hosts is about them and no others."""
        table = {
            (): "external-http|external-https",
            ("doors.external-http.enabled=false",): "external-https",
            ('prometheusRule.internetDoors=["internal-https"]',): "internal-https",
            # Nowhere: an empty pattern fits no door.
            ("prometheusRule.internetDoors=[]",): "",
        }
        for values, expected in table.items():
            values = ("prometheusRule.enabled=true", *values)
            settings = [argument for value in values for argument in ("--set-json", value)]
            done = rig.helm("template", "blastdoor", rig.CHART, "--namespace", rig.NAMESPACE, *settings)
            self.assertEqual(done.returncode, 0, done.stderr)
            (rule,) = (found for found in rig.documents(done.stdout) if found["kind"] == "PrometheusRule")
            alerts = {alert["alert"]: alert for group in rule["spec"]["groups"] for alert in group["rules"] if "alert" in alert}
            with self.subTest(values=values):
                self.assertEqual(set(alerts), {alert["alert"] for alert in rules()})
                found = re.findall(r'listener=~"([^"]*)"', alerts["BlastdoorNewHostsFacingInternet"]["expr"])
                self.assertEqual(found, [expected])
                self.assertEqual(promql.complaints(alerts["BlastdoorNewHostsFacingInternet"]["expr"]), [])


class Complaints(unittest.TestCase):
    def test_what_is_wrong_is_noticed(self):
        table = {
            "rate(blastdoor_nothing_total[5m])": "no metric is named blastdoor_nothing_total",
            'rate(blastdoor_refusals_total{kind="x"}[5m])': "blastdoor_refusals_total has no label kind",
            'rate(blastdoor_refusals_total{reason=~"overload|x"}[5m])': "no refusal has the reason x",
            "sum by (owner) (rate(blastdoor_refusals_total[5m]))": "nothing in the expression has the label owner",
            "up / on (owner) blastdoor_descriptors": "nothing in the expression has the label owner",
            "rate(blastdoor_connections[5m])": "rate of blastdoor_connections, a gauge",
            "max_over_time(blastdoor_refusals_total[5m])": "max_over_time of blastdoor_refusals_total, a counter",
            "(1 - rate(blastdoor_nothing_total[5m])) > 0": "no metric is named blastdoor_nothing_total",
            "max_over_time((blastdoor_nothing > 0)[5m:1m])": "no metric is named blastdoor_nothing",
            'sum by (le) (rate(blastdoor_request_duration_seconds_bucket{listener="x"}[5m]))': None,
        }
        for expression, complaint in table.items():
            with self.subTest(expression=expression):
                self.assertEqual(promql.complaints(expression), [complaint] if complaint else [])


def result_labels(expression: str) -> set[str]:
    """The labels that the alert has for certain, or that its targets may have."""
    tree = promql.parse(expression)
    grouped = [promql.labels_of(node) for node in promql.walk(tree) if type(node).__name__ == "AggregateExpr"]
    if grouped:
        return set(grouped[0])
    first = next(promql.selectors(tree))
    return set(promql.metrics()[first.name].labels) | promql.OF_TARGETS


if __name__ == "__main__":
    unittest.main()
