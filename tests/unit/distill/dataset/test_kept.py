"""Datasets on disk: content-addressed, whole or not at all, and gone where they must go."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from distill.dataset import BuildTerms, Bundle, TokenScores, build_dataset
from distill.dataset.comparing import compare
from distill.dataset.erasing import erase, expire, trained_on
from distill.dataset.examples import with_scores
from distill.dataset.folder import DatasetError, find, list_kept, load, save
from router.record.model import Release, TrainingRow
from router.record.redact import Redactor
from tests.unit.distill.dataset.test_gold import correct
from tests.unit.distill.learning_rows import allow, row

TERMS = BuildTerms(near=None, target="gold")


def rows(count: int = 30) -> list[TrainingRow]:
    return [
        row(f"q{i}", f"a{i % 3}", id=f"i{i}", seq=i, created_at=float(i), key_name=f"k{i % 2}")
        for i in range(count)
    ]


def bundle(given: list[TrainingRow], *corrections: tuple[int, str]) -> Bundle:
    said = [correct(given[i], words) for i, words in corrections]
    built = build_dataset(
        "shop", given, allow("teacher"), Redactor(()), corrected=said, terms=TERMS
    )
    return built.bundle


def test_a_dataset_is_read_back_and_named_by_its_content(tmp_path: Path) -> None:
    one = bundle(rows(), (3, "a1"))
    path = save(tmp_path, one)
    assert save(tmp_path, one) == path
    assert path.name == one.digest[:16]
    kept = find(tmp_path, one.digest[:8])
    assert load(kept) == one
    assert one.digest == bundle(rows(), (3, "a1")).digest != bundle(rows()).digest
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_log_probabilities_are_carried_and_make_another_dataset(tmp_path: Path) -> None:
    one = bundle(rows())
    scores = TokenScores(packed=bytes(range(256)), captured_mass=0.98)
    scored = with_scores(one, {"i4": scores})
    save(tmp_path, scored)
    again = load(find(tmp_path, scored.digest))
    assert [e.scores for e in again.examples if e.scores is not None] == [scores]
    assert again.manifest["parent"] == one.digest != scored.digest


@pytest.mark.parametrize(
    "damage", [b"", b"not gzip", gzip.compress(b"{}\n")], ids=["emptied", "not gzip", "shortened"]
)
def test_damage_is_found(tmp_path: Path, damage: bytes) -> None:
    path = save(tmp_path, bundle(rows()))
    (path / "examples.jsonl.gz").write_bytes(damage)
    with pytest.raises(DatasetError, match="build another"):
        load(next(list_kept(tmp_path)))


def test_a_changed_word_is_found(tmp_path: Path) -> None:
    path = save(tmp_path, bundle(rows())) / "examples.jsonl.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"q7", b"q8")))
    with pytest.raises(DatasetError, match="digest doesn't match"):
        load(next(list_kept(tmp_path)))


def test_a_dataset_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatasetError, match="can't be written to"):
        save(tmp_path / "file", bundle(rows()))


def test_finding_by_the_start_of_a_digest(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="at least 6 characters"):
        find(tmp_path, "abc")
    with pytest.raises(DatasetError, match="No datasets begin"):
        find(tmp_path / "nowhere", "abcdef")


def test_erasing_reaches_every_dataset_and_leaves_the_rest(tmp_path: Path) -> None:
    twice = [*rows(), row("q1", "a1", id="later", seq=50, created_at=50.0, key_name="k0")]
    one, untouched = bundle(twice), bundle([r for r in rows() if r.key_name == "k0"])
    for each in (one, untouched):
        save(tmp_path, each)
    (gone,) = erase(tmp_path, lambda source: source.key_name == "k1", now=99.0)
    assert gone.digest == one.digest
    assert gone.successor is not None
    left = load(find(tmp_path, gone.successor))
    assert {s.key_name for e in left.examples for s in e.sources} == {"k0"}
    # Asked by both keys: what it holds came from the one that stays.
    shared = next(e for e in left.examples if e.text == "q1")
    assert (shared.weight, [s.id for s in shared.sources]) == (1.0, ["later"])
    assert left.manifest["dropped"]["erased"] == 14
    assert left.manifest["parent"] == one.digest
    assert "k1" not in (find(tmp_path, gone.successor).path / "manifest.json").read_text()
    old = find(tmp_path, one.digest)
    assert not (old.path / "examples.jsonl.gz").exists()
    with pytest.raises(DatasetError, match=r"was withdrawn: some of its data was erased"):
        load(old)
    assert load(find(tmp_path, untouched.digest)) == untouched
    assert erase(tmp_path, lambda source: source.key_name == "k1", now=99.0) == []


def test_erasing_a_corrector_brings_the_teachers_answer_back(tmp_path: Path) -> None:
    one = bundle(rows(), (4, "a0"))
    (wrong,) = [e for e in one.examples if e.gold_by is not None]
    by_another = replace(wrong.gold_by, key_name="x") if wrong.gold_by else None
    edited = [replace(e, gold_by=by_another) if e is wrong else e for e in one.examples]
    sealed = replace(with_scores(one, {}), examples=tuple(edited))
    resealed = with_scores(sealed, {})
    save(tmp_path, resealed)
    (gone,) = erase(tmp_path, lambda source: source.key_name == "x", now=1.0)
    assert gone.successor is not None
    example = next(e for e in load(find(tmp_path, gone.successor)).examples if e.id == "i4")
    assert (example.target["content"], example.key) == ("a1", "label:a1")


def test_retention_withdraws_what_is_too_old(tmp_path: Path) -> None:
    save(tmp_path, bundle(rows()))
    young = bundle(rows()[20:])
    save(tmp_path, young)
    (gone,) = expire(tmp_path, 20.0, now=99.0)
    assert gone.successor is None
    assert [k.digest for k in list_kept(tmp_path) if k.withdrawn is None] == [young.digest]


def test_releases_are_named_by_what_they_learned_from(tmp_path: Path) -> None:
    one = bundle(rows())
    save(tmp_path, one)
    withdrawn = expire(tmp_path, 20.0, now=99.0)
    release = Release(
        digest="r1",
        workload="shop",
        number=1,
        state="active",
        path="/r",
        created_at=0.0,
        promoted_at=None,
        report={"dataset": {"digest": one.digest}},
    )
    others = [replace(release, report={}), replace(release, report={"dataset": {"digest": "x"}})]
    noted_alone = replace(release, digest="r2", report={"dataset": one.digest})
    assert trained_on([release, noted_alone, *others], withdrawn) == [release, noted_alone]


def test_what_two_datasets_differ_in() -> None:
    before = bundle(rows(20))
    after = bundle([*rows(20)[1:], row("new", "a1", id="n", created_at=30.0)], (4, "a0"))
    found = compare(before, after)
    assert (found["removed"], found["added"]) == (["i0"], ["n"])
    assert found["changed"] == ["i5"]
    assert found["manifest"]["span"]["after"] == {"from": 1.0, "to": 30.0}
