"""What the tests of deploy/ share: the chart, its presets, and the programs that read them."""

import functools
import os
import pathlib
import re
import shutil
import subprocess
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests/deploy"
CHART = ROOT / "deploy/helm/blastdoor"
KUSTOMIZE = ROOT / "deploy/kustomize"
PRESETS = sorted(file.stem for file in (CHART / "presets").glob("*.yaml"))
NAMESPACE = "blastdoor"
# The one thing that CI does without: no registry that it reaches has the program. The rest of the module is looked at.
NO_TERRAFORM = "no terraform here: whether `terraform fmt` has something to change is not known"


def program(name: str, package: str) -> str:
    """The path of a program: the environment names it (HELM, KUBECTL), or it is on the path. A test that needs one that is
    missing is skipped, which CI does not accept."""
    path = os.environ.get(name.upper()) or shutil.which(name)
    if not path or not os.access(path, os.X_OK):
        raise unittest.SkipTest(f"no {name} here: {package}")
    return path


def helm(*arguments) -> subprocess.CompletedProcess:
    command = [program("helm", "`cargo xtask deploy` installs it"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def template(*values: pathlib.Path, options: tuple = ()) -> subprocess.CompletedProcess:
    """`helm template` with files of values, the later ones before the earlier ones."""
    files = [argument for file in values for argument in ("--values", file)]
    return helm("template", "blastdoor", CHART, "--namespace", NAMESPACE, *files, *options)


@functools.cache
def rendered(*values: pathlib.Path) -> str:
    """The manifests for these values, which must be good ones."""
    done = template(*values)
    if done.returncode != 0:
        raise AssertionError(f"{', '.join(map(str, values))}: {done.stderr}")
    return done.stdout


def preset(name: str) -> pathlib.Path:
    return CHART / "presets" / f"{name}.yaml"


class Strict(yaml.SafeLoader):
    """YAML in which a key stands once in a mapping; a template that writes one twice loses what it wrote first."""


def once(loader: Strict, node: yaml.MappingNode, deep: bool = False) -> dict:
    keys = [loader.construct_object(key, deep=deep) for key, _ in node.value]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise AssertionError(f"twice in one mapping: {', '.join(map(str, twice))}{node.start_mark}")
    return yaml.SafeLoader.construct_mapping(loader, node, deep=deep)


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, once)


def documents(text: str) -> list[dict]:
    """The objects of a manifest."""
    return [document for document in yaml.load_all(text, Loader=Strict) if document]


@functools.cache
def objects(*values: pathlib.Path) -> list[dict]:
    """The objects for these values. They are read once, so a test that changes them takes a copy."""
    return documents(rendered(*values))


def named(document: dict) -> str:
    """What identifies an object, for people."""
    namespace = document["metadata"].get("namespace", "")
    return f"{document['kind']} {namespace}/{document['metadata']['name']}"


def flat(text: str) -> str:
    """Without the breaks and indents of its lines."""
    return re.sub(r"\s+", " ", text)
