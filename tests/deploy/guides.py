#!/usr/bin/env python3
"""Checks that the guides can be followed: what they show is extracted and rendered, and what they name exists.

    tests/deploy/guides.py [--helm PROGRAM] [--blastdoor PROGRAM]

- A block ```` ```yaml values preset=NAME ```` is a file of values: the chart takes it on top of that preset, by its schema
  and its own checks. With --blastdoor, the configuration that comes out is valid, too.
- Blocks of `sh` are scripts. Their `helm` commands are rendered with the first values of their guide as `values.yaml`, and
  those that say `file=NAME` under that name; the files, workloads, Services and ports that `kubectl` names are there; hosts that `curl` asks for are in the example.
- Links lead to files and headings that exist.

A guide is in docs/ and named guide-*.md or neighbours.md. What a user must write down first (names in capitals) is left alone.
"""

import argparse
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/blastdoor"
EXAMPLES = [ROOT / "deploy/examples/four-doors.yaml", ROOT / "deploy/k3s/site.yaml"]
NOWHERE = "nowhere.example.com"
FENCE = re.compile(r"^( *)```(\S*)([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")


class Guide:
    """One page, with the blocks that it shows."""

    def __init__(self, name, text):
        self.name, self.text = name, text
        self.values, self.scripts, self.files = [], [], {}
        for indent, language, rest, body in FENCE.findall(text):
            body = "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))
            preset = re.search(r"\bpreset=(\S+)", rest)
            if language == "yaml" and " values" in rest:
                file = re.search(r"\bfile=(\S+)", rest)
                self.files.setdefault(file.group(1) if file else "values.yaml", body)
                self.values.append((preset and preset.group(1), body))
            elif language == "yaml" and rest.strip() == "":
                # A part of an object: it must be YAML at least.
                self.values.append(("", body))
            elif language in ("sh", "bash"):
                self.scripts.append(body)


class Chart:
    """Renders the chart, each combination once."""

    def __init__(self, helm, blastdoor):
        self.helm, self.blastdoor, self.rendered, self.checked = helm, blastdoor, {}, 0

    def render(self, arguments, files):
        """The objects, or an error as text. `files` are the user's own, by name."""
        used = tuple((name, body) for name, body in files.items() if name in arguments)
        with tempfile.TemporaryDirectory() as folder:
            for name, body in used:
                (Path(folder) / name).write_text(body)
            if (arguments, used) not in self.rendered:
                command = [self.helm, "template", "blastdoor", str(CHART), "--namespace", "blastdoor"]
                command += [str(Path(folder) / word) if word in files else word for word in arguments]
                ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
                result = ended.stderr.strip()
                if ended.returncode == 0:
                    result = [each for each in yaml.safe_load_all(ended.stdout) if each]
                self.rendered[arguments, used] = result
        return self.rendered[arguments, used]

    def configuration_problems(self, objects):
        """What the gateway says about the configuration that was rendered."""
        if not self.blastdoor:
            return []
        problems = []
        for each in objects:
            if each["kind"] != "ConfigMap" or "listeners.toml" not in each.get("data", {}):
                continue
            with tempfile.TemporaryDirectory() as folder:
                folder = Path(folder)
                for name, text in each["data"].items():
                    (folder / name).write_text(text)
                (folder / "manifests").mkdir()
                environment = {"BLASTDOOR_LISTENERS__" + name: "10.0.0.5:" + port for name, port in variables(objects)}
                command = [self.blastdoor, "check", "--config", str(folder / "listeners.toml")]
                command += ["--manifests", str(folder / "manifests")]
                ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
                self.checked += 1
                # 1: a Secret that is no manifest here. 2: the configuration.
                if ended.returncode not in (0, 1):
                    problems.append(f"blastdoor check: {ended.stderr.strip() or ended.stdout.strip()}")
        return problems


def variables(objects):
    """The variables of doors whose address the pod knows: name and port."""
    for each in objects:
        if each["kind"] not in ("DaemonSet", "Deployment"):
            continue
        for variable in each["spec"]["template"]["spec"]["containers"][0].get("env", []):
            found = re.fullmatch(r"BLASTDOOR_LISTENERS__(.*)", variable["name"])
            if found and ":" in variable.get("value", ""):
                yield found.group(1), variable["value"].rsplit(":", 1)[1]


def commands(script):
    """The commands of a script, as words; pipes and comments split off."""
    script = re.sub(r"\\\n\s*", " ", script)
    for line in script.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue  # Part of a text over several lines; `bash -n` has read it.
        part = []
        for word in [*words, "|"]:
            if word in ("|", "&&", "||", ";"):
                if part:
                    yield part
                part = []
            else:
                part.append(word)


def check_values(guide, chart):
    for preset, body in guide.values:
        try:
            yaml.safe_load(body)
        except yaml.YAMLError as error:
            yield f"a block is not YAML: {error}"
            continue
        if preset == "":
            continue
        if preset is None or not (CHART / f"presets/{preset}.yaml").is_file():
            yield f"a block of values is for preset {preset}, which does not exist"
            continue
        objects = chart.render(("-f", f"deploy/helm/blastdoor/presets/{preset}.yaml", "-f", "values.yaml"), {"values.yaml": body})
        if isinstance(objects, str):
            yield f"values for {preset}: {objects}"
        else:
            yield from chart.configuration_problems(objects)


def check_scripts(guide, chart, hosts):
    objects = []
    for script in guide.scripts:
        ended = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            yield f"not a script: {ended.stderr.strip()}\n{script}"
        for words in commands(script):
            for word in words:
                path = re.fullmatch(r"(?:deploy|docs|tests)/[\w./-]+", word)
                if path and not word.endswith("/PRESET") and not (ROOT / word).exists():
                    yield f"`{word}` does not exist"
            if words[0] == "helm" and words[1] in ("upgrade", "install", "template"):
                rendered = chart.render(tuple(helm_arguments(words)), guide.files)
                if isinstance(rendered, str):
                    yield f"`{' '.join(words)}`: {rendered}"
                else:
                    objects += rendered
    for script in guide.scripts:
        for words in commands(script):
            if words[0] == "kubectl" and objects:
                yield from check_kubectl(words, objects)
            if words[0] == "curl":
                for host in re.findall(r"[\w.-]+\.example\.com", " ".join(words)):
                    if host not in hosts and host != NOWHERE:
                        yield f"`{host}` is no host of the examples"


def helm_arguments(words):
    """What of `helm upgrade` counts for rendering."""
    words = iter(words[2:])
    for word in words:
        if word in ("-f", "--values", "--set", "--set-string"):
            yield from (word, next(words))
        elif word == "--set-file":
            # What the user fetched; the chart's own list stands for it.
            key = next(words).split("=")[0]
            yield from (word, f"{key}={CHART / 'files/cloudflare.txt'}")
        elif word in ("--namespace", "-n", "--show-only"):
            next(words)


def check_kubectl(words, objects):
    text = " ".join(words)
    if "-n blastdoor" not in text:
        return
    names = {(each["kind"].lower(), each["metadata"]["name"]) for each in objects}
    for kind, name in re.findall(r"\b(daemonset|deployment)/([\w-]+)", text):
        if (kind, name) not in names:
            yield f"`{text}`: there is no {kind} {name}"
    found = re.search(r"\bget service ((?:[a-z][\w-]*(?: |$))+)", text)
    for name in found.group(1).split() if found else []:
        if ("service", name) not in names:
            yield f"`{text}`: there is no Service {name}"
    if "port-forward" in words:
        ports = set()
        for each in objects:
            if each["kind"] in ("DaemonSet", "Deployment"):
                for container in each["spec"]["template"]["spec"]["containers"]:
                    ports |= {str(port["containerPort"]) for port in container.get("ports", [])}
        for word in words:
            if word.isdigit() and word not in ports:
                yield f"`{text}`: no container has port {word}"


def check_links(guide):
    if "@@" in guide.text:
        yield "it is unfinished: @@"
    text = FENCE.sub("", guide.text)
    for target, anchor in LINK.findall(text):
        if "://" in target:
            continue
        file = ROOT / "docs" / target
        if not file.exists():
            yield f"a link leads to {target}, which does not exist"
        elif anchor and (not target or file.suffix == ".md"):
            page = file.read_text() if target else guide.text
            if anchor[1:] not in anchors(page):
                yield f"a link leads to {target}{anchor}, which is no heading there"


def anchors(page):
    """The anchors of headings, as GitHub makes them."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", FENCE.sub("", page), re.MULTILINE):
        heading = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = 0
        while (anchor if number == 0 else f"{anchor}-{number}") in found:
            number += 1
        found.add(anchor if number == 0 else f"{anchor}-{number}")
    return found


def check(guide, chart, hosts):
    yield from check_values(guide, chart)
    yield from check_scripts(guide, chart, hosts)
    yield from check_links(guide)


def hosts_of_examples():
    hosts = set()
    for file in EXAMPLES:
        for each in yaml.safe_load_all(file.read_text()):
            if each and each["kind"] == "Ingress":
                hosts |= {rule["host"] for rule in each["spec"]["rules"]}
    return hosts


BROKEN = """
# A guide
[nowhere](absent.md) [no heading](#absent)
```yaml values preset=kind
dors: {}
```
```yaml values preset=absent
doors: {}
```
```sh
helm upgrade --install blastdoor deploy/helm/blastdoor -f deploy/helm/blastdoor/presets/kind.yaml --set replicas=2
helm upgrade --install blastdoor deploy/helm/blastdoor -f deploy/helm/blastdoor/presets/kind.yaml
kubectl apply -f deploy/absent.yaml
kubectl -n blastdoor rollout status deployment/other
kubectl -n blastdoor get service blastdoor-other
kubectl -n blastdoor port-forward deployment/blastdoor 10009
curl -H 'Host: unknown.example.com' localhost:10003
if
```
"""
EXPECTED = [
    "absent.md, which does not exist",
    "#absent, which is no heading",
    "dors",
    "preset absent, which does not exist",
    "replicas",
    "deploy/absent.yaml` does not exist",
    "no deployment other",
    "no Service blastdoor-other",
    "no container has port 10009",
    "`unknown.example.com` is no host",
    "not a script",
]


def guides():
    files = [*sorted((ROOT / "docs").glob("guide-*.md")), ROOT / "docs/neighbours.md"]
    return [Guide(file.name, file.read_text()) for file in files]


def missed(chart):
    """Mistakes of the broken guide that are not found: what is checked must be able to fail."""
    found = "\n".join(check(Guide("broken.md", BROKEN), chart, hosts_of_examples()))
    return [expected for expected in EXPECTED if expected not in found]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--helm", default=str(Path(sys.executable).parent / "helm"))
    parser.add_argument("--blastdoor", help="checks the configurations that are rendered")
    options = parser.parse_args()
    chart = Chart(options.helm, options.blastdoor)
    if missed(chart):
        sys.exit(f"these mistakes are not found: {missed(chart)}")
    failed = False
    for guide in guides():
        problems = list(check(guide, chart, hosts_of_examples()))
        failed |= bool(problems)
        values = sum(1 for preset, _ in guide.values if preset)
        print(f"{guide.name}: {values} files of values, {len(guide.scripts)} scripts")
        for problem in problems:
            print(f"  {problem}")
    if options.blastdoor:
        print(f"{chart.checked} configurations checked by the gateway")
    else:
        print("LEFT OUT: the configurations are not checked by the gateway; name it with --blastdoor")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
