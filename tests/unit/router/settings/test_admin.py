from __future__ import annotations

from pathlib import Path

import pytest

from router.errors import ConfigError
from router.settings.check import check_settings
from router.settings.load import load_settings

TEXT = "keys: [{name: shop, key_env: SHOP_KEY, train_on: true}]\nadmin: {key_env: ADMIN_KEY}\n"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"SHOP_KEY": "sk-1", "ADMIN_KEY": "sk-2"}, None),
        ({"SHOP_KEY": "sk-1"}, "names the environment variable ADMIN_KEY, which is not set"),
        ({"SHOP_KEY": "sk-1", "ADMIN_KEY": "sk-1"}, "holds the same secret as a caller's key"),
    ],
)
def test_the_admin_key_is_set_and_nobody_elses(env: dict[str, str], said: str | None) -> None:
    found = [problem for problem in check_settings(TEXT, env) if problem.severity == "error"]
    if said is None:
        assert found == []
        return
    assert [(one.line, one.key) for one in found] == [(2, "admin.key_env")]
    assert found[0].message.startswith(said)
    assert "sk-1" not in found[0].message


def test_commands_do_without_it(tmp_path: Path) -> None:
    config = tmp_path / "tutelage.yaml"
    config.write_text(TEXT)
    assert load_settings(config, {}, need_secrets=False).secret("ADMIN_KEY") is None
    with pytest.raises(ConfigError, match="not set"):
        load_settings(config, {"SHOP_KEY": "sk-1"})
