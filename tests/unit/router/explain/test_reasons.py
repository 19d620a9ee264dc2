"""The table of reasons covers every reason that the sources can give."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from decimal import Decimal

import numpy as np
import pytest

from distill.next.asking import TARGETED
from policies.base import Policy
from policies.budget import BudgetPolicy
from policies.promise.certificate import LEVEL_MULTIPLES, Certificate, Terms
from policies.promise.guarantee import GuaranteePolicy
from policies.promise.ledger import Ledger
from policies.promise.policy import PromisePolicy
from policies.purse import Allowance, Purse
from policies.static import StudentPolicy, TeacherPolicy
from policies.threshold import ThresholdPolicy
from policies.types import Evidence, Features, Trial
from router.deciding.repeat import REPEAT
from router.explain.reasons import REASONS, find_reason
from tests.architecture.sources import ROOT

GIVING = (
    *(
        "policies",
        "router/pipeline.py",
        "router/settle.py",
        "router/outcome.py",
        "router/deciding/policies_for.py",
    ),
    *("router/wire/passed_through.py", "router/wire/responses/incoming.py"),
)
"""Where asks are made, or pinned to the teacher."""

NOT_OF_A_POLICY = ("policies/checks.py",)


def _sources() -> Iterator[ast.Module]:
    for place in GIVING:
        path = ROOT / place
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            if str(file.relative_to(ROOT)) not in NOT_OF_A_POLICY:
                yield ast.parse(file.read_text(encoding="utf-8"))


def _texts(node: ast.expr, constants: dict[str, str]) -> Iterator[str]:
    """Texts that an expression can be: a literal, a constant's name, either arm of an if."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Name) and node.id in constants:
        yield constants[node.id]
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body, constants)
        yield from _texts(node.orelse, constants)


def _find_reasons(modules: list[ast.Module]) -> set[str]:
    """Whatever is given as ``reason``: as an argument, by default or by assignment."""
    nodes = [node for module in modules for node in ast.walk(module)]
    constants = {
        target.id: node.value.value
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, str)
    }
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.keyword) and node.arg in ("reason", "pinned"):
            found.update(_texts(node.value, constants))
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "keep_draft":
            found.update(text for value in node.args for text in _texts(value, constants))
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if "reason" in names:
                found.update(_texts(node.value, constants))
        elif isinstance(node, ast.arguments):
            plain = list(zip(node.args[::-1], node.defaults[::-1], strict=False))
            for argument, default in [*plain, *zip(node.kwonlyargs, node.kw_defaults, strict=True)]:
                if argument.arg == "reason" and default is not None:
                    found.update(_texts(default, constants))
    return found


def test_the_walk_finds_every_way_of_giving_a_reason() -> None:
    sample = """
NAMED = "by_constant"
def f(reason="by_default", *, other=1): ...
def g(*, reason="by_keyword_default"): ...
reason = "by_if" if x else "by_else"
Ask(reason="by_argument")
Ask(reason=NAMED)
ChatRequest(pinned="by_pinning")
outcome.keep_draft("by_keeping")
"""
    assert _find_reasons([ast.parse(sample)]) == {
        *("by_constant", "by_default", "by_keyword_default", "by_if", "by_else", "by_argument"),
        *("by_keeping", "by_pinning"),
    }


def test_every_reason_in_the_sources_has_its_words() -> None:
    found = _find_reasons(list(_sources()))
    assert {"draft", "proof", "proof_failed", "guaranteed", "policy_student", "forced"} <= found
    assert found - REASONS.keys() == set()


def test_no_words_are_kept_for_a_reason_that_nobody_gives() -> None:
    # The pipeline refuses with the first as an error's code; the others are constants beside their
    # Asks, the last one in the learning plane.
    unused = {"max_cost_exceeded", REPEAT, TARGETED}
    assert REASONS.keys() - _find_reasons(list(_sources())) == unused


def _accounts(trials: int) -> tuple[Certificate, Ledger]:
    accounts = Certificate(Terms(agreement=0.9)), Ledger(Terms(agreement=0.9))
    for account in accounts:
        for _ in range(trials):
            account.observe(Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0))
    return accounts


def _policies() -> Iterator[Policy]:
    yield TeacherPolicy()
    for toss in (0.0, 1.0 - 2**-53):
        coin = lambda toss=toss: toss  # noqa: E731
        yield StudentPolicy(coin, 0.1)
        yield ThresholdPolicy(coin, 0.8, 0.1)
        for trials in (0, 3000):
            certificate, ledger = _accounts(trials)
            thresholds = np.linspace(0.95, 0.5, len(LEVEL_MULTIPLES))
            yield PromisePolicy(certificate, thresholds, coin, 0.1)
            yield GuaranteePolicy(ledger, coin)
        yield BudgetPolicy(Purse(Allowance(usd_per_interaction=Decimal(1))), Decimal(1), coin)


@pytest.mark.parametrize("confidence", [None, 0.1, 0.85, 1.0])
def test_every_reason_that_policies_give_in_action_has_its_words(confidence: float | None) -> None:
    given = set()
    drafts = [Evidence(available=False), Evidence(available=True, confidence=confidence)]
    for policy in _policies():
        for ready, cascadable in ((True, True), (False, True), (True, False)):
            for draft in drafts:
                features = Features(workload="w", student_ready=ready, cascadable=cascadable)
                flow = policy.flow(features)
                try:
                    ask = next(flow)
                    while True:
                        given.add(ask.reason)
                        ask = flow.send(draft)
                except StopIteration:
                    pass
    assert given <= REASONS.keys()
    assert len(given) >= 5


def test_a_plug_ins_reason_is_named_as_it_is() -> None:
    assert "moon_phase" in find_reason("moon_phase").sentence


@pytest.mark.parametrize("name", sorted(REASONS))
def test_words_are_sentences(name: str) -> None:
    reason = REASONS[name]
    for sentence in (reason.sentence, reason.otherwise):
        assert sentence is None or sentence.endswith((".", "{outlook}"))
    if reason.dropped is not None:
        assert not reason.dropped[1].endswith(".")


def test_the_sources_are_there() -> None:
    assert all((ROOT / place).exists() for place in (*GIVING, *NOT_OF_A_POLICY))
