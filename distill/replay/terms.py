"""What a replay promises: the configuration it runs under, and what it may claim afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

from distill.replay.line import Line
from distill.replay.result import Claim, SliceTerms
from distill.replay.spending import give_budget, price_by_stream
from distill.streams import StreamRow
from policies.promise.certificate import Terms
from policies.promise.guarantee import GUARANTEED
from policies.promise.policy import CERTIFIED, PROOF, SLICE_UNPROVEN
from router.deciding.pools import PoolKeeper, PoolPlan, find_pools
from router.deciding.slices import terms_of_slice, terms_of_whole
from router.errors import ConfigError
from router.settings.model import ModelSettings, PromiseSettings, Settings, WorkloadSettings
from router.workload import find_settings, find_workload

STREAM_WORKLOAD = "stream"
"""The workload of rows that name none and that no configured pattern matches."""

_UNDER_PROMISE = ("below_threshold", SLICE_UNPROVEN, PROOF, CERTIFIED, GUARANTEED)


def settings_for(
    rows: Sequence[StreamRow],
    settings: Settings | None,
    promise: PromiseSettings | None,
    usd_per_interaction: Decimal | None = None,
    known: Sequence[StreamRow] = (),
) -> Settings:
    """The configuration of a replay.

    ``settings``: a configuration file's, whose keys and server play no part; None: a teacher that
    may be learned from. ``promise``: replaces that of every workload, and is that of workloads
    which the configuration doesn't know. ``usd_per_interaction``: the same for a budget; at most
    one of the two is given. ``known``: rows whose answers are known before the first query, and so
    what answers cost; without any it is the first row's, which the teacher must answer since
    nothing else can. Raises ConfigError for a budget that nothing gives a price, and for a promise
    on accuracy, which takes verdicts.
    """
    base = settings or Settings(
        models={
            "teacher": ModelSettings(
                upstream="http://recorded.invalid/v1", model="recorded", distillation="allowed"
            )
        }
    )
    workloads = list(base.workloads)
    unknown = {row.workload or STREAM_WORKLOAD for row in rows if not _is_known(base, row)}
    if promise is not None:
        change: dict[str, object] = {"promise": promise, "policy": "promise"}
        if promise.guarantee:  # which is each workload's own
            change["pool"] = None
        workloads = [workload.model_copy(update=change) for workload in workloads]
        workloads += [WorkloadSettings(name=name, promise=promise) for name in sorted(unknown)]
    for one in workloads:
        if one.promise is not None and one.promise.accuracy is not None:
            raise ConfigError(
                f"Workload {one.name} promises accuracy, and a recording holds no verdicts: give a"
                " --promise on agreement instead."
            )
    # A recording has one answer to each query: nothing can be asked again.
    workloads = [
        one.model_copy(update={"audit": one.audit.model_copy(update={"repeats": 0})})
        for one in workloads
    ]
    base = base.model_copy(update={"workloads": tuple(workloads), "keys": ()})
    if usd_per_interaction is not None:
        base = give_budget(base, usd_per_interaction, unknown)
    return price_by_stream(base, rows, known or rows[:1])


def _is_known(settings: Settings, row: StreamRow) -> bool:
    named = row.workload if row.workload in {w.name for w in settings.workloads} else None
    return find_workload(settings, row.body, named, "")[1] is not None


def observe_only(settings: Settings) -> Settings:
    """The same, but every workload drafts where it can and is answered by the teacher."""
    unproven = PromiseSettings(agreement=0.95)
    workloads = [
        one.model_copy(update={"policy": "promise", "promise": unproven})
        for one in settings.workloads
    ]
    return settings.model_copy(update={"workloads": tuple(workloads)})


def terms_of(settings: Settings, workload: str) -> dict[str, Terms]:
    """What a batch has to prove: for the whole workload under the empty name, and for each slice;
    nothing where nothing is promised that way."""
    found = find_settings(settings, workload)
    promise = None if found is None else found.promise
    if found is None or promise is None or found.effective_policy != "promise" or promise.guarantee:
        return {}
    slices = {one.name: terms_of_slice(one, promise, found.slices) for one in found.slices}
    return {"": terms_of_whole(promise, found.slices), **slices}


def slices_of(settings: Settings) -> list[SliceTerms]:
    """What is promised of every slice of every workload whose policy keeps promises."""
    return [
        SliceTerms(
            workload=workload.name,
            name=one.name,
            agreement=terms.at_least,
            confidence=terms.confidence,
        )
        for workload in settings.workloads
        if workload.promise is not None and workload.effective_policy == "promise"
        for one in workload.slices
        for terms in [terms_of_slice(one, workload.promise, workload.slices)]
    ]


def claim(
    settings: Settings, lines: Sequence[Line], pools: PoolKeeper | None = None
) -> list[Claim]:
    """The promise over the whole run, once something could be served, and that of each slice of
    which something could be; otherwise nothing is claimed.

    Of several workloads each has its own promise, and nothing is claimed about their mixture but
    where they are in a pool: then its promise, of all that was evidence for it, up to where the
    wealth of the traffic as it was run last proved that. Nothing is claimed about one member.
    """
    if pools is not None and any(one.pool is not None for one in settings.workloads):
        return [found for plan in find_pools(settings) for found in _claim_pool(plan, lines, pools)]
    names = {line.workload for line in lines}
    if len(names) != 1:
        return []
    name = names.pop()
    workload = next((one for one in settings.workloads if one.name == name), None)
    promise = None if workload is None else workload.promise
    if workload is None or promise is None:
        return []
    whole = Claim(
        at_least=promise.at_least,
        confidence=terms_of_whole(promise, workload.slices).confidence,
        over=promise.over,
        kind="guaranteed" if promise.guarantee else "exchangeable",
        start=0,
        end=len(lines),
    )
    claims = [whole] if any(line.reason in _UNDER_PROMISE for line in lines) else []
    for terms in slices_of(settings):
        inside = [line for line in lines if terms.holds(line)]
        if any(line.reason in _UNDER_PROMISE and line.reason != SLICE_UNPROVEN for line in inside):
            claims.append(replace(whole, at_least=terms.agreement, slice=terms.name))
    return claims


def _claim_pool(plan: PoolPlan, lines: Sequence[Line], pools: PoolKeeper) -> Iterator[Claim]:
    terms, proven = terms_of_whole(plan.promise, ()), pools.proven(plan.name)
    inside = [i for i, line in enumerate(lines) if line.pool == plan.name][:proven]
    if any(lines[i].reason in _UNDER_PROMISE for i in inside):
        yield Claim(
            at_least=terms.at_least,
            confidence=terms.confidence,
            over=terms.over,
            kind="exchangeable",
            start=0,
            end=inside[-1] + 1,
            pool=plan.name,
        )
