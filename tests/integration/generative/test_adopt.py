"""``tutelage releases adopt``: a student that was made elsewhere enters as a candidate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from router.cli import main
from router.record.store import Store
from router.release import load_release
from tests.unit.router.generative.test_student import write_adapter

STUDENT = "  student: {kind: openai, upstream: 'http://127.0.0.1:9/v1', model: small}\n"


def configure(folder: Path, student: str = STUDENT) -> str:
    config = folder / "tutelage.yaml"
    config.write_text(
        f"store: {{url: 'sqlite:///{folder}/t.db'}}\n"
        f"models:\n  teacher: {{upstream: 'http://127.0.0.1:9/v1', model: big}}\n{student}"
        "workloads: [{name: shop, compare: json}]\n"
    )
    Store.open(f"sqlite:///{folder}/t.db").close()
    return str(config)


def test_an_adapter_is_copied_and_entered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_adapter(tmp_path / "run-7")
    command = ["releases", "adopt", str(source), "--workload", "shop", "--json"]
    assert main([*command, "--config", configure(tmp_path)]) == 0
    digest = json.loads(capsys.readouterr().out)["release"]
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    entered = store.release(digest)
    store.close()
    assert entered is not None
    assert entered.state == "candidate"
    (source / "adapter_model.safetensors").unlink()  # the copy is what counts
    release = load_release(Path(entered.path))
    assert (release.comparer, release.gate) == ("json", None)
    assert release.student is not None
    assert release.student.to_meta()["base"] == "small"


def test_whole_weights_are_entered_by_their_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["releases", "adopt", "--base", "merged", "--workload", "shop"]
    assert main([*command, "--config", configure(tmp_path)]) == 0
    assert "is a candidate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "student", "code", "said"),
    [
        (["nowhere"], STUDENT, 1, "nowhere is no adapter"),
        ([], STUDENT, 2, "--base"),
        (["--base", "x"], "", 1, "set models.student"),
    ],
)
def test_what_cannot_be_adopted_is_told(
    given: list[str],
    student: str,
    code: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = configure(tmp_path, student)
    assert main(["releases", "adopt", *given, "--workload", "shop", "--config", config]) == code
    assert said in capsys.readouterr().err
