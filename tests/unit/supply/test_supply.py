"""What the audit of the locks finds, on samples that break each of its rules."""

from __future__ import annotations

import pytest

from tests.supply import advisories
from tests.supply.advisories import read_report
from tests.supply.licences import Allowed, Licensed, allows, judge, name_licence
from tests.supply.lock import Pin, check_hashes, check_within, read_lock

HASH = "--hash=sha256:" + "ab" * 32
LOCK = f"""\
# a comment
good==1.0 \\
    {HASH} \\
    {HASH}
    # via somebody
some_extra[binary]==2.0 ; sys_platform == 'win32' {HASH}
"""


def pin(name: str, version: str = "1.0", hashes: int = 1) -> Pin:
    return Pin(name=name, version=version, marker="", hashes=hashes)


def test_a_lock_is_read() -> None:
    pins, wrong = read_lock(LOCK)
    assert wrong == []
    assert [(one.name, one.version, one.hashes) for one in pins] == [
        ("good", "1.0", 2),
        ("some-extra", "2.0", 1),
    ]
    assert pins[1].marker == "sys_platform == 'win32'"
    assert not [*check_hashes(pins)]


@pytest.mark.parametrize(
    "line",
    [
        "loose>=1.0",
        "nothing",
        "package @ https://files.example/package.whl",
        "--extra-index-url https://index.example/simple",
        "-e .",
        "git+https://example.com/package.git",
    ],
)
def test_whatever_is_not_pinned_is_wrong(line: str) -> None:
    pins, wrong = read_lock(f"{line}\n")
    assert (pins, len(wrong)) == ([], 1)


def test_no_hash_and_no_test_are_wrong() -> None:
    tested = [pin("a"), pin("b")]
    assert [*check_hashes([pin("a", hashes=0)])] == ["no hash: a"]
    assert not [*check_within([pin("a")], tested)]
    assert len([*check_within([pin("a", "1.1"), pin("c"), pin("b", hashes=2)], tested)]) == 3


LICENCES = {"MIT": "", "Apache-2.0": "", "Apache-2.0-with-LLVM-exception": ""}


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("MIT AND Apache-2.0", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("GPL-3.0-only OR MIT AND Apache-2.0", True),
        ("GPL-3.0-only AND (Apache-2.0 OR MIT)", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("MIT GPL-3.0-only", False),
        ("Proprietary", False),
    ],
)
def test_an_expression_is_met_or_not(expression: str, allowed: bool) -> None:
    assert allows(expression, LICENCES, set()) is allowed


def test_older_metadata_is_understood() -> None:
    assert name_licence(["Apache Software License", "MIT License"], "x") == "Apache-2.0 AND MIT"
    assert name_licence([], "3-Clause BSD License") == "BSD-3-Clause"
    assert name_licence(["GNU General Public License v3 (GPLv3)"], "MIT") != "MIT"
    assert name_licence([], "") is None


def licensed(name: str, licence: str | None, installed: str | None = "1.0") -> Licensed:
    return Licensed(pin=pin(name), licence=licence, installed=installed)


def test_a_licence_that_is_not_allowed_or_not_told_is_wrong() -> None:
    allowed = Allowed(licences={"MIT": ""}, packages={"lib": ("LGPL-3.0-only", "an extra")})
    fine = [
        licensed("a", "MIT"),
        licensed("lib", "LGPL-3.0-only"),
        licensed("a2", "MIT", "1.0+cpu"),
    ]
    assert not [*judge(fine, allowed)]
    for wrong in (
        licensed("b", "GPL-3.0-only"),
        licensed("c", None),
        licensed("d", None, installed=None),
        licensed("e", "MIT", installed="2.0"),
        licensed("lib", "AGPL-3.0-only"),
    ):
        assert len([*judge([*fine, wrong], allowed)]) == 1


def test_a_permission_that_nobody_needs_is_wrong() -> None:
    allowed = Allowed(licences={"MIT": "", "ISC": ""}, packages={"gone": ("MIT", "once")})
    told = [*judge([licensed("a", "MIT")], allowed)]
    assert told == [
        "gone is in [packages] and in no lock",
        "ISC is in [licences] and nobody has it",
    ]


REPORT = {
    "dependencies": [
        {"name": "a", "version": "1.0", "vulns": [{"id": "CVE-1"}, {"id": "CVE-2"}]},
        {"name": "b", "skip_reason": "not found"},
    ]
}


def test_a_known_vulnerability_is_wrong_unless_accepted() -> None:
    report = read_report(REPORT)
    assert (report.looked_up, report.asked) == (1, 2)
    assert len([*advisories.judge(report, {})]) == 2
    assert len([*advisories.judge(report, {"CVE-1": "not reached", "CVE-2": "the same"})]) == 0


def test_an_acceptance_is_given_up_once_all_was_looked_up() -> None:
    whole = read_report({"dependencies": REPORT["dependencies"][:1]})
    accepted = {"CVE-1": "", "CVE-2": "", "CVE-3": ""}
    assert [*advisories.judge(whole, accepted)] == [
        "CVE-3 is in [advisories] and concerns nothing any more"
    ]
