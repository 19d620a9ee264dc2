"""What learning makes of a promise on accuracy: a recording holds no verdicts, a correction may be
taught."""

from __future__ import annotations

import pytest

from distill.learner import promises_agreement, terms_of
from distill.replay.terms import settings_for
from policies.promise.certificate import Terms
from router.errors import ConfigError
from router.settings.model import ModelSettings, PromiseSettings, Settings, WorkloadSettings
from tests.unit.distill.test_spending import ROW

ACCURATE = WorkloadSettings(name="shop", promise=PromiseSettings(accuracy=0.9))
SETTINGS = Settings(
    models={"teacher": ModelSettings(upstream="http://h/v1", model="big")}, workloads=(ACCURATE,)
)


def test_it_is_not_replayed_unless_agreement_is_promised_instead() -> None:
    with pytest.raises(ConfigError, match="a recording holds no verdicts"):
        settings_for([ROW], SETTINGS, None)
    replaced = settings_for([ROW], SETTINGS, PromiseSettings(agreement=0.95))
    assert all(one.promise and one.promise.agreement == 0.95 for one in replaced.workloads)


def test_corrections_may_be_taught_and_gates_are_compared_at_its_risk() -> None:
    assert not promises_agreement(ACCURATE)
    assert not promises_agreement(None)
    agreeing = ACCURATE.model_copy(update={"promise": PromiseSettings(agreement=0.9)})
    assert promises_agreement(agreeing)
    assert terms_of(SETTINGS, "shop") == Terms(agreement=0.9)
