"""Objects against the schemas of their kinds, strictly: a field that the API server would drop is an error.

Kinds of Kubernetes: the schemas that kubernetes-validate brings, of the API servers themselves. Other kinds: `schemas/`,
made of the definitions that their projects publish (`schemas/README.md`).
"""

import functools
import json

import jsonschema
import kubernetes_validate
from kubernetes_validate import utils

import rig

# The oldest that the chart supports, one between, and the newest whose schemas there are.
VERSIONS = ["1.29", "1.33", "1.37"]
# Kinds that came later than the oldest. The chart refuses to render them for older versions (negative/admission.yaml).
SINCE = {"ValidatingAdmissionPolicy": "1.30", "ValidatingAdmissionPolicyBinding": "1.30"}
# Kinds without a schema anywhere, which nothing here validates. The reports name them.
UNKNOWN: dict[tuple[str, str], str] = {}

# The definitions of one version are some megabytes, which need not be read for each object.
utils.schema_contents = functools.cache(utils.schema_contents)


def problems(document: dict, version: str) -> list[str]:
    """What is wrong with an object for a version of Kubernetes."""
    if version < SINCE.get(document["kind"], version):
        return []
    own = rig.TESTS / "schemas" / f"{document['kind'].lower()}.json"
    try:
        if own.exists():
            validator = schema_of(own)
            return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(document)]
        kubernetes_validate.validate(document, version, strict=True)
        return []
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError:
        if (document["apiVersion"], document["kind"]) in UNKNOWN:
            return []
        return [f"Kubernetes {version} has no {document['kind']} of {document['apiVersion']}, and schemas/ has none"]


@functools.cache
def schema_of(file) -> jsonschema.Draft202012Validator:
    schema = json.loads(file.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)
