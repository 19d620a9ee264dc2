"""The Helm chart, linted and rendered by Helm itself and held against Kubernetes' own schemas."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from router.app import create_app
from router.meter.metrics import Metrics
from router.record.store import Store
from router.settings.check import check_settings
from router.settings.model import Settings

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "helm" / "tutelage"
USUAL: dict[str, Any] = {"secretName": "tutelage-secrets"}
SECRETS = {
    "DATABASE_URL": "postgresql://tutelage@db/tutelage",
    "REDIS_URL": "redis://redis:6379",
    "STORE_FOLDER": "/journal",
    "TEACHER_KEY": "a",
    "SHOP_KEY": "b",
}

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def python() -> str:
    """The interpreter that has Helm and the schemas."""
    made = subprocess.run(
        ["sh", str(ROOT / "tests" / "setup-helm.sh")],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=True,
    )
    return f"{made.stdout.strip()}/bin/python"


def render(python: str, chart: Path = CHART, **values: Any) -> dict[str, Any]:
    script = str(Path(__file__).with_name("render_chart.py"))
    ran = subprocess.run(
        [python, script, str(chart)],
        input=json.dumps({**USUAL, **values}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def of_kind(rendered: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [one for one in rendered["manifests"] if one["kind"] == kind]


def containers(rendered: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(pod's spec, container) of every deployment."""
    for deployment in of_kind(rendered, "Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        for container in spec["containers"]:
            yield spec, container


CASES: dict[str, dict[str, Any]] = {
    "usual": {},
    "autoscaling": {"autoscaling": {"enabled": True}, "serviceMonitor": {"enabled": True}},
    "bare": {
        "learner": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "shared": {"existingClaim": "mine"},
    },
    "placed": {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "llm", "operator": "Exists"}],
        "imagePullSecrets": [{"name": "registry"}],
        "podAnnotations": {"team": "a"},
        "networkPolicy": {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
        "disruptionBudget": {"minAvailable": "50%"},
    },
}


@pytest.mark.parametrize("case", list(CASES))
def test_every_way_to_set_it_is_valid(python: str, case: str) -> None:
    rendered = render(python, **CASES[case])
    assert (rendered["findings"], rendered["faults"]) == ([], [])
    assert {one["kind"] for one in rendered["manifests"]} >= {"Deployment", "Service", "ConfigMap"}


def test_pods_have_no_rights_and_probes_that_are_there(python: str) -> None:
    rendered = render(python)
    found = list(containers(rendered))
    assert len(found) == 2
    for spec, container in found:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"]["drop"] == ["ALL"]
        assert container["resources"]["limits"]["memory"]
    gateway = found[0][1] if "livenessProbe" in found[0][1] else found[1][1]
    paths = {
        gateway[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")
    }
    assert paths == {"/health/live", "/health/ready"}
    assert paths <= {route.path for route in create_app(Settings(), Store.open(":memory:")).routes}
    (budget,) = of_kind(rendered, "PodDisruptionBudget")
    assert budget["spec"]["minAvailable"] == 1
    assert of_kind(rendered, "HorizontalPodAutoscaler") == []


def test_its_configuration_is_valid_and_replicas_share_what_they_must(python: str) -> None:
    rendered = render(python)
    (config,) = of_kind(rendered, "ConfigMap")
    found = check_settings(config["data"]["tutelage.yaml"], SECRETS)
    assert [one for one in found if one.severity == "error"] == []
    folders = {
        container["name"]: {one["name"]: one["value"] for one in container["env"]}["STORE_FOLDER"]
        for _, container in containers(rendered)
    }
    assert folders == {"gateway": "/journal", "learner": "/shared"}
    for _, container in containers(rendered):
        mounts = {one["mountPath"]: one for one in container["volumeMounts"]}
        assert "/shared" in mounts  # the store names releases by this path
        assert bool(mounts["/shared"].get("readOnly")) is (container["name"] == "gateway")
        assert "subPath" not in mounts["/etc/tutelage"]  # else a change would never arrive


def test_it_scales_by_metrics_that_the_gateway_has(python: str) -> None:
    rendered = render(python, autoscaling={"enabled": True})
    (scaler,) = of_kind(rendered, "HorizontalPodAutoscaler")
    known = {one.name for one in text_string_to_metric_families(Metrics().render()[0].decode())}
    asked = [one["pods"]["metric"]["name"] for one in scaler["spec"]["metrics"]]
    assert asked == ["tutelage_requests_waiting", "tutelage_requests_running"]
    assert set(asked) <= known
    gateway = of_kind(rendered, "Deployment")[0]
    assert "replicas" not in gateway["spec"]  # or each upgrade would undo what it scaled to


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"secretName": ""}, "secretName is missing"),
        ({"replicas": 0}, "replicas"),
        ({"image": {"repository": ""}}, "repository"),
    ],
    ids=["no-secret", "no-replica", "no-image"],
)
def test_what_cannot_work_is_refused(python: str, values: dict[str, Any], said: str) -> None:
    rendered = render(python, **values)
    assert any(said in finding for finding in rendered["findings"]), rendered["findings"]
    assert rendered["manifests"] == []


def test_a_slip_in_a_template_is_caught(python: str, tmp_path: Path) -> None:
    chart = tmp_path / "tutelage"
    shutil.copytree(CHART, chart)
    helpers = chart / "templates" / "_helpers.tpl"
    helpers.write_text(helpers.read_text().replace("readOnlyRootFilesystem", "readOnlyRoot"))
    rendered = render(python, chart)
    assert any("readOnlyRoot" in fault for fault in rendered["faults"])
