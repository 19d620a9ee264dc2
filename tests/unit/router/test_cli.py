"""What the command line makes of its end."""

from __future__ import annotations

import pytest

from router import cli
from router.commands import check_config


def test_ctrl_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: str, *, as_json: bool) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(check_config, "run", interrupt)
    assert cli.main(["check-config", "tutelage.yaml"]) == 130
