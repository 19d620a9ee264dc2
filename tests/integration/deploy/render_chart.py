"""Lints and renders a chart, and holds what came out against the schemas of Kubernetes.

Run by the environment of ``tests/setup-helm.sh``, not by pytest: ``render_chart.py CHART`` with the
values as JSON on standard input; prints ``{findings, manifests, faults}`` as JSON.
"""

from __future__ import annotations

import json
import sys

import helm_python as helm
import kubernetes_validate
import yaml

_OWN = ("monitoring.coreos.com/v1",)
"""Of custom resources there is no schema here."""


def main() -> None:
    folder, values = sys.argv[1], json.load(sys.stdin)
    try:
        found = helm.lint(folder, values, strict=True)
        with helm.Chart.load(folder) as chart:
            chart.validate_schema(values)
            files = chart.render(values, name="demo", namespace="prod")
    except helm.HelmError as error:
        json.dump({"findings": [str(error)], "manifests": [], "faults": []}, sys.stdout)
        return
    manifests = [
        document
        for name, text in files.items()
        if name.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]
    faults = []
    for document in manifests:
        if document["apiVersion"] in _OWN:
            continue
        try:
            kubernetes_validate.validate(document, "1.36", strict=True)
        except kubernetes_validate.ValidationError as error:
            faults.append(f"{document['kind']} {document['metadata']['name']}: {error.message}")
    findings = [one["error"] for one in found["messages"] if one["severity"] > 1]  # 1: advice
    findings += found["errors"]
    json.dump({"findings": findings, "manifests": manifests, "faults": faults}, sys.stdout)


main()
