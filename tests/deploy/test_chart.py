"""The chart: every preset and every variant of values/ is linted, rendered, and valid for three versions of Kubernetes; what
cannot work is refused with the sentence that says what to do."""

import copy
import pathlib
import re
import subprocess
import tempfile
import unittest
from multiprocessing.pool import ThreadPool
from typing import NamedTuple

import kubernetes_validate
import yaml

import rig
import validate
import wall

# A sentence that a template fails with: `fail "…"` or `fail (printf "…" …)`.
SENTENCE = re.compile(r'\bfail\s+\(?\s*(?:printf\s+)?"((?:[^"\\]|\\.)*)"')
# Sentences that no values can bring about, and why.
UNREACHABLE = {
    "the chart cannot read its own values: %s": "what it reads is what it wrote",
    "admissionPolicies: the name of door `%s` is too long for the label `blastdoor.dev/allow-%s`; 57 characters fit": (
        "the schema ends names of doors at 15 characters"
    ),
}


class Case(NamedTuple):
    """Values that are refused: a document of negative/*.yaml."""

    name: str
    # A part of the sentence.
    expect: str
    # What the values are added to, if anything.
    preset: str | None = None
    values: dict = {}
    # As if the cluster were of this version.
    kubernetes: str | None = None


def cases() -> list[Case]:
    found = []
    for file in sorted((rig.TESTS / "negative").glob("*.yaml")):
        for number, document in enumerate(rig.documents(file.read_text()), start=1):
            found.append(Case(name=f"{file.stem} {number}", **document))
    return found


def sources() -> dict[str, tuple]:
    """Everything that is rendered: its name, and its files of values. The first line of a variant may name its preset."""
    found = {name: (rig.preset(name),) for name in rig.PRESETS}
    for file in sorted((rig.TESTS / "values").glob("*.yaml")):
        base = re.match(r"# preset: (\S+)\n", file.read_text())
        found[f"values/{file.stem}"] = (rig.preset(base[1]), file) if base else (file,)
    return found


class Presets(unittest.TestCase):
    def test_there_are_those_that_the_guides_name(self):
        self.assertEqual(
            rig.PRESETS,
            [
                "aws-alb-asg-hostport",
                "aws-alb-ip",
                "aws-nlb-proxy-v2",
                "gke-l4-local",
                "gke-neg",
                "k3s-hostnetwork-cloudflare",
                "kind",
            ],
        )

    def test_lint_has_nothing_to_say(self):
        for name, files in sources().items():
            with self.subTest(name):
                values = [argument for file in files for argument in ("--values", file)]
                done = rig.helm("lint", "--strict", rig.CHART, "--namespace", rig.NAMESPACE, *values)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_objects_are_valid_for_three_versions_of_kubernetes(self):
        judged = {}
        for name, files in sources().items():
            documents = rig.objects(*files)
            self.assertTrue(documents, name)
            for document in documents:
                for version in validate.VERSIONS:
                    key = (yaml.safe_dump(document), version)
                    if key not in judged:
                        judged[key] = validate.problems(document, version)
                    with self.subTest(name, object=rig.named(document), version=version):
                        self.assertEqual(judged[key], [])
        for (api, kind), reason in validate.UNKNOWN.items():
            print(f"\n!!! NOT VALIDATED: {kind} of {api}: {reason}")

    def test_every_kind_is_rendered_somewhere(self):
        """A template whose objects no preset and no variant has would be validated nowhere."""
        written = set()
        for file in (rig.CHART / "templates").rglob("*.yaml"):
            for kind in re.findall(r"^kind: (\w+)$", file.read_text(), re.MULTILINE):
                written.add(kind)
        seen = set()
        for files in sources().values():
            seen |= {document["kind"] for document in rig.objects(*files)}
        self.assertEqual(written - seen, set())

    def test_no_object_stands_twice(self):
        for name, files in sources().items():
            names = [rig.named(document) for document in rig.objects(*files)]
            self.assertEqual(sorted(set(names)), sorted(names), name)


class Tests(unittest.TestCase):
    """The pod of `helm test`."""

    def test_it_does_not_pass_where_it_asks_nothing(self):
        for name in rig.PRESETS:
            [pod] = [each for each in rig.objects(rig.preset(name)) if each["kind"] == "Pod"]
            [script] = pod["spec"]["containers"][0]["args"]
            with self.subTest(name):
                asks = re.search(r"^ask \S", script, re.MULTILINE) is not None
                self.assertEqual(asks, name != "aws-nlb-proxy-v2")
                self.assertEqual("NOTHING WAS ASKED" in script, not asks)
                if not asks:
                    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)
                    self.assertEqual(done.returncode, 1, done.stdout)
                    self.assertIn("NOTHING WAS ASKED: ", done.stdout)


class Names(unittest.TestCase):
    def test_what_could_be_read_as_a_number_is_text(self):
        """A namespace, a release or a label may be 456 or 0x1f."""
        options = ("--set-string", "fullnameOverride=789,nameOverride=1e3,commonLabels.x=0x1f", "--set", "rbac.doctor=true")
        for name in ("everything", "pair", "namespaced"):
            files = sources()[f"values/{name}"]
            values = [argument for file in files for argument in ("--values", file)]
            done = rig.helm("template", "123", rig.CHART, "--namespace", "456", *values, *options)
            self.assertEqual(done.returncode, 0, done.stderr)
            for document in rig.documents(done.stdout):
                with self.subTest(name, object=rig.named(document)):
                    self.assertEqual(validate.problems(document, validate.VERSIONS[-1]), [])

    def test_installations_share_no_object_outside_their_namespaces(self):
        """Releases of equal names in two namespaces, both of which watch `shop`. The IngressClass is the user's to name."""
        for name, files in sources().items():
            if not name.startswith("values/"):
                continue
            values = [argument for file in files for argument in ("--values", file)]
            found = []
            for namespace in ("blastdoor", "edge"):
                options = ("--set", "rbac.doctor=true,admissionPolicies.enabled=true,ingressClass.enabled=false")
                done = rig.helm("template", "blastdoor", rig.CHART, "--namespace", namespace, *values, *options)
                self.assertEqual(done.returncode, 0, done.stderr)
                outside = {
                    rig.named(document)
                    for document in rig.documents(done.stdout)
                    if document["metadata"].get("namespace") != namespace
                }
                found.append(outside)
            with self.subTest(name):
                self.assertTrue(found[0])
                self.assertEqual(found[0] & found[1], set())

    def test_long_names_are_not_cut_to_the_same_one(self):
        for topology in ("pair", "four"):
            long = "a" * 60
            options = ("--namespace", long, "--set", f"topology={topology},fullnameOverride={'b' * 40}")
            done = rig.helm("template", "blastdoor", rig.CHART, *options)
            roles = [document for document in rig.documents(done.stdout) if document["kind"] == "ClusterRole"]
            names = {role["metadata"]["name"] for role in roles}
            self.assertEqual(len(names), {"pair": 2, "four": 4}[topology], done.stderr)


class Schemas(unittest.TestCase):
    """That what validates can fail."""

    def test_unknown_fields_and_kinds_are_problems(self):
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"ports": [{"port": 80}]}}
        binding = {
            "apiVersion": "elbv2.k8s.aws/v1beta1",
            "kind": "TargetGroupBinding",
            "metadata": {"name": "x"},
            "spec": {"targetGroupARN": "arn", "serviceRef": {"name": "x", "port": "http"}},
        }
        for version in validate.VERSIONS:
            self.assertEqual(validate.problems(service, version), [])
            self.assertEqual(validate.problems(binding, version), [])
            for good in (service, binding):
                bad = good | {"spec": good["spec"] | {"trafficPolicy": "Local"}}
                self.assertIn("trafficPolicy", str(validate.problems(bad, version)))
            other = service | {"apiVersion": "example.com/v1", "kind": "Unheard"}
            self.assertIn("has no Unheard", str(validate.problems(other, version)))

    def test_a_key_that_stands_twice_is_a_problem(self):
        with self.assertRaisesRegex(AssertionError, "twice in one mapping: a"):
            rig.documents("a: 1\nb: 2\na: 3\n")

    def test_the_newest_version_is_among_them(self):
        newest = kubernetes_validate.latest_version()
        self.assertTrue(newest.startswith(validate.VERSIONS[-1] + "."), newest)


# Values that would lead through the wall. Each is refused, or what is rendered has no breach.
HOSTILE = [
    {"targetGroupBinding": {"spec": {"serviceRef": {"name": "blastdoor-internal-http", "port": "internal-http"}}}},
    {"targetGroupBinding": {"spec": {"networking": {"ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]}}}},
    {"targetGroupBinding": {"spec": {"targetGroupName": "blastdoor-internal-http"}}},
    {"service": {"enabled": True, "labels": {"blastdoor.dev/horizon": "external"}}},
    {"config": {"bind": "[::]:10000"}},
    {"config": {"limits": {"connections": 1}, "selector": "expose=internal-http"}},
    {"port": 10000},
    {"nodePort": 10000},
]
HOSTILE_SERVICES = [
    {"internal": {"type": "LoadBalancer"}},
    {"internal": {"type": "LoadBalancer", "loadBalancerClass": "networking.gke.io/l4-regional-external", "private": True}},
    {
        "internal": {
            "type": "LoadBalancer",
            "loadBalancerClass": "networking.gke.io/l4-regional-external",
            "annotations": {"service.beta.kubernetes.io/aws-load-balancer-scheme": "internal"},
        }
    },
    {
        "internal": {
            "type": "LoadBalancer",
            "loadBalancerClass": "service.k8s.aws/nlb",
            "annotations": {"networking.gke.io/load-balancer-type": "Internal"},
        }
    },
    {"external": {"extraPorts": [{"name": "more", "port": 8080, "targetPort": "side"}]}},
    {"external": {"extraPorts": [{"name": "more", "port": 8080, "targetPort": 10001}]}},
    {"external": {"extraPorts": [{"name": "more", "port": 10000}]}},
    {"external": {"labels": {"blastdoor.dev/horizon": "internal"}}},
]
SIDECAR = [{"name": "side", "image": "side", "ports": [{"name": "side", "containerPort": 10000}]}]
HOSTILE_VALUES = [
    *({"doors": {"external-http": door}} for door in HOSTILE),
    *(
        {"services": {name: service | {"enabled": True} for name, service in services.items()}, "extraContainers": SIDECAR}
        for services in HOSTILE_SERVICES
    ),
    {"extraContainers": [SIDECAR[0] | {"ports": [{"name": "external-http", "containerPort": 10000}]}]},
    {"extraEnv": [{"name": "BLASTDOOR_LISTENERS__EXTERNAL_HTTP__BIND", "value": "[::]:10000"}]},
    {"commonLabels": {"blastdoor.dev/horizon": "external"}},
    {"podLabels": {"blastdoor.dev/horizon": "external", "app.kubernetes.io/component": "external"}},
    {"networkPolicy": {"enabled": True, "internalFrom": []}},
    {"networkPolicy": {"enabled": True, "internalFrom": []}, "tests": {"enabled": False}},
]


class Wall(unittest.TestCase):
    """No Service and no target group leads from one side to a door of the other."""

    def test_nothing_that_is_rendered_leads_through_it(self):
        leading = 0
        for name, files in sources().items():
            documents = rig.objects(*files)
            with self.subTest(name):
                self.assertEqual(set(wall.horizons(documents).values()) - {"internal", "external"}, set())
                self.assertEqual(wall.breaches(documents), [])
            for service in (document for document in documents if document["kind"] == "Service"):
                doors = wall.behind(service, documents)
                leading += sum(map(len, doors.values()))
                with self.subTest(name, service=service["metadata"]["name"]):
                    # A port that leads nowhere would pass as no breach.
                    self.assertTrue(all(doors.values()), doors)
        self.assertGreater(leading, 0)

    def test_hostile_values_are_refused_or_come_to_nothing(self):
        cases = [
            Case(
                name=f"{preset or 'no preset'}, {topology}: {values}",
                expect="",
                preset=preset,
                values=values | {"topology": topology},
            )
            for values in HOSTILE_VALUES
            for preset, topology in [(None, "single"), ("aws-alb-ip", "pair")]
        ]
        with ThreadPool() as pool:
            done = pool.map(tried, cases)
        for case, process in zip(cases, done):
            with self.subTest(case.name):
                if process.returncode == 0:
                    self.assertEqual(wall.breaches(rig.documents(process.stdout)), [])
                else:
                    # By the chart, not because it cannot read them.
                    self.assertRegex(
                        process.stderr, r"execution error at \(blastdoor/templates/|values don't meet the specifications"
                    )

    def test_it_sees_a_breach(self):
        def told(change, *files) -> str:
            documents = copy.deepcopy(rig.objects(*files))
            self.assertEqual(wall.breaches(documents), [])
            for document in documents:
                change(document, document["metadata"]["name"])
            return str(wall.breaches(documents))

        def bind(document, name):
            if document["kind"] == "TargetGroupBinding" and name == "blastdoor-external-http":
                document["spec"]["serviceRef"] = {"name": "blastdoor-internal-http", "port": "internal-http"}

        def lead(document, name):
            if document["kind"] == "Service" and name == "blastdoor-external":
                document["spec"]["ports"][0]["targetPort"] = "internal-http"

        def expose(document, name):
            if document["kind"] == "Service" and name == "blastdoor-internal":
                document["spec"]["loadBalancerClass"] = "networking.gke.io/l4-regional-external"

        def listen(document, _):
            if document["kind"] == "ConfigMap" and "listeners.toml" in document.get("data", {}):
                text = document["data"]["listeners.toml"]
                text = text.replace(":10000", ":1").replace(":10002", ":10000").replace(':1"', ':10002"')
                document["data"]["listeners.toml"] = text

        def admit(document, _):
            if document["kind"] == "NetworkPolicy":
                document["spec"]["ingress"] = [{"ports": []}]

        everything = rig.TESTS / "values/everything.yaml"
        for change, file, expected in [
            (bind, rig.preset("aws-alb-ip"), "blastdoor-external-http is external and leads to internal-http"),
            (lead, everything, "blastdoor-external is external and leads to internal-http"),
            (listen, everything, "blastdoor-external is external and leads to internal-http"),
            (expose, everything, "blastdoor-internal is internal, and nothing makes its load balancer private"),
            (admit, everything, "blastdoor-internal-http opens an internal door to everybody"),
        ]:
            with self.subTest(change.__name__):
                self.assertIn(expected, told(change, file))


class Refusals(unittest.TestCase):
    """`negative/*.yaml`: what the chart refuses, each with the sentence that says what to do."""

    @classmethod
    def setUpClass(cls):
        cls.cases = cases()
        with ThreadPool() as pool:
            cls.told = dict(zip((case.name for case in cls.cases), pool.map(refused, cls.cases)))

    def test_each_is_refused_with_its_sentence(self):
        self.assertTrue(self.cases)
        for case in self.cases:
            with self.subTest(case.name):
                self.assertIn(rig.flat(case.expect), self.told[case.name])

    def test_every_sentence_of_the_templates_has_a_case(self):
        for file in sorted((rig.CHART / "templates").rglob("*")):
            if file.suffix not in (".tpl", ".yaml", ".txt"):
                continue
            text = re.sub(r"{{-?\s*/\*.*?\*/\s*-?}}", "", file.read_text(), flags=re.DOTALL)
            sentences = SENTENCE.findall(text)
            calls = re.findall(r"{{[^}]*\bfail\s", text)
            self.assertEqual(len(sentences), len(calls), f"{file.name}: a `fail` that this test cannot read")
            for sentence in sentences:
                # What stands between the values that it tells.
                literal = rig.flat(sentence.replace('\\"', '"'))
                parts = [re.escape(part) for part in re.split(r"%(?:\[\d+\])?[a-zA-Z]", literal)]
                pattern = re.compile(".*?".join(parts))
                has_case = any(pattern.search(told) for told in self.told.values())
                with self.subTest(file.name, sentence=sentence):
                    self.assertEqual(has_case, sentence not in UNREACHABLE, "of negative/, which must have a case of it")


def tried(case: Case) -> subprocess.CompletedProcess:
    """What Helm makes of it."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(case.values, file)
        file.flush()
        options = ("--kube-version", case.kubernetes) if case.kubernetes else ()
        presets = [rig.preset(case.preset)] if case.preset else []
        return rig.template(*presets, pathlib.Path(file.name), options=options)


def refused(case: Case) -> str:
    """What Helm says about it; nothing if it is accepted."""
    done = tried(case)
    return rig.flat(done.stderr) if done.returncode != 0 else ""


if __name__ == "__main__":
    unittest.main()
