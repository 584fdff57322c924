"""What is compared of a response, and the list of differences."""

import itertools
import json
import re
import tomllib

import client


def observe(case, request, version, side, jar):
    """What a request meets at one side: aspects and their texts."""
    responses = []
    for _ in range(request["repeat"]):
        fields = list(request["fields"])
        if request["jar"] and jar:
            fields.append(("Cookie", "; ".join(f"{name}={value}" for name, value in jar.items())))
        sent = client.Request(
            request["method"],
            request["target"],
            request["host"],
            fields,
            request["body"].encode(),
            _source(request, version),
            request["tls"],
        )
        try:
            response = client.send(version, side.address(version, request["tls"]), sent)
        except OSError as error:
            return {"status": f"no response: {error}"}
        if request["jar"]:
            for cookie in response.values("Set-Cookie"):
                name, _, value = cookie.split(";")[0].partition("=")
                jar[name.strip()] = value.strip()
        responses.append(response)
    return _aspects(request, responses, str(side.port(version, request["tls"])))


def _source(request, version):
    """Requests that use something up come from another address for each version."""
    if request["apart"] and version == "h2":
        return request["source"].replace("127.0.0.", "127.0.1.")
    return request["source"]


def _aspects(request, responses, port):
    compare = dict(request["compare"])
    response = responses[-1]
    saw = _saw(response)
    found = {"status": _run_lengths(response.status for response in responses)}
    if request["method"] != "HEAD":
        found["backend"] = saw["backend"] if saw else "-"
        found["target"] = saw["target"] if saw else "-"
    for name in compare.pop("fields", []):
        values = response.values(name)
        if name.lower() == "set-cookie":
            values = [_masked(value) for value in values]
        found[f"field {name}"] = ", ".join(values) if values else "-"
    for name in compare.pop("seen", []):
        found[f"seen {name}"] = ", ".join(saw["fields"].get(name.lower(), ["-"])) if saw else "-"
    if compare.pop("method", False):
        found["method"] = saw["method"] if saw else "-"
    auth = _auth(response, saw)
    for name in compare.pop("auth", []):
        if name in ("method", "target", "body"):
            found[f"auth {name}"] = auth[name] if auth else "-"
        else:
            found[f"auth {name}"] = ", ".join(auth["fields"].get(name.lower(), ["-"])) if auth else "-"
    if compare.pop("body", False):
        found["body"] = saw["body"] if saw else response.body.decode(errors="replace").strip()
    if compare.pop("backends", False):
        names = {(_saw(response) or {}).get("backend", "-") for response in responses}
        found.pop("backend", None)
        found["backends"] = str(len(names))
    if compare:
        raise ValueError(f"unknown kinds of aspects: {sorted(compare)}")
    return {aspect: re.sub(rf"\b{port}\b", "PORT", text) for aspect, text in found.items()}


def _saw(response):
    try:
        told = json.loads(response.body)
    except ValueError:
        return None
    return told if isinstance(told, dict) and "backend" in told else None


def _auth(response, saw):
    """What the auth backend saw: it says so in a field that the backend or the client gets, or in its own answer."""
    texts = (saw or {}).get("fields", {}).get("x-auth-saw", []) or response.values("X-Auth-Saw")
    return json.loads(texts[0]) if texts else None


def _masked(cookie):
    """The value of a cookie is nobody's business, and the order of its attributes is nobody's either."""
    first, *attributes = [part.strip() for part in cookie.split(";")]
    name = first.split("=")[0]
    return "; ".join([f"{name}=…", *sorted(attributes)])


def _run_lengths(statuses):
    runs = [(status, len(list(run))) for status, run in itertools.groupby(statuses)]
    if len(runs) == 1 and runs[0][1] == 1:
        return str(runs[0][0])
    return " ".join(f"{status}×{count}" for status, count in runs)


class Differences:
    """The checked-in list, and which of its patterns have occurred."""

    LISTS = ("cases", "requests", "aspects", "versions")
    KEYS = {*LISTS, "here", "there", "reason"}

    def __init__(self, path):
        entries = tomllib.loads(path.read_text()).get("difference", [])
        for entry in entries:
            unknown = set(entry) - self.KEYS
            if unknown or not entry.get("cases") or not entry.get("aspects") or not entry.get("reason"):
                raise ValueError(f"{path.name}: an entry needs cases, aspects and reason, and no others: {entry}")
        self.entries = entries
        self.used = set()

    def explain(self, case, label, version, aspect, here, there):
        """Whether an entry is about this difference. Every pattern that fits it counts as used."""
        texts = {"cases": case, "requests": label, "aspects": aspect, "versions": version}
        found = False
        for index, entry in enumerate(self.entries):
            if entry.get("here", here) != here or entry.get("there", there) != there:
                continue
            fitting = {name: _fitting(texts[name], entry.get(name, ["*"])) for name in self.LISTS}
            if all(fitting.values()):
                self.used.update((index, name, pattern) for name, patterns in fitting.items() for pattern in patterns)
                found = True
        return found

    def unused(self, cases):
        """What entries about cases that were run name, and what has not occurred."""
        return [
            f"{name} `{pattern}` of the difference with reason \"{entry['reason']}\""
            for index, entry in enumerate(self.entries)
            if all(any(_fits(case, pattern) for case in cases) for pattern in entry["cases"])
            for name in self.LISTS
            for pattern in entry.get(name, [])
            if (index, name, pattern) not in self.used
        ]


def _fitting(text, patterns):
    return [pattern for pattern in patterns if _fits(text, pattern)]


def _fits(text, pattern):
    """`*` stands for anything; every other character for itself."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None
