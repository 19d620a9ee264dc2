"""Every reason that a policy or the pipeline gives, in words: one table.

``{confidence}``, ``{threshold}``, ``{skipped}`` (why there can be no draft) and ``{outlook}`` are
filled in by ``router.explain.explanation``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from policies.scoring.online import LEAST


@dataclass(frozen=True, kw_only=True)
class Reason:
    """``sentence``: why the step is taken; ``dropped``: what is not done because of it, and why
    (option, words), None where nothing is dropped; ``otherwise``: what would have to change for
    the other tier to answer, None where nothing is decided by it."""

    sentence: str
    dropped: tuple[str, str] | None = None
    otherwise: str | None = None


_BY_NAME: dict[str, Reason] = {
    "draft": Reason(
        sentence="The student drafts an answer, which is judged before anything is delivered."
    ),
    "recall": Reason(
        sentence="The teacher has answered this question before; that answer is judged like a"
        " draft before anything is delivered."
    ),
    "not_cascadable": Reason(
        sentence="No draft could stand for this answer, so the teacher is asked at once.",
        dropped=("student", "{skipped}"),
        otherwise="Ask for one answer in plain text or function calls, under instructions and in"
        " a form that the release was learned from.",
    ),
    "server_state": Reason(
        sentence="The request goes on from what the teacher's server keeps, or has its answer kept"
        " there, so the teacher answers.",
        dropped=("student", "it knows nothing of what that server keeps"),
        otherwise="Send the whole conversation with store: false.",
    ),
    "passed_through": Reason(
        sentence="No student answers requests of this form, so it is passed on to the teacher.",
        dropped=("student", "it answers chat, messages and responses only"),
    ),
    "no_release": Reason(
        sentence="There is nothing that could draft, so the teacher answers.",
        dropped=("student", "{skipped}"),
        otherwise="A release with a student must be in force: tutelage distill status says what"
        " the next one waits for.",
    ),
    "student_unavailable": Reason(
        sentence="The student failed, so the teacher answers; it says nothing about the question.",
        dropped=("student", "it gave no draft"),
        otherwise="The student must work: the gateway's log names what failed.",
    ),
    "evidence_missing": Reason(
        sentence="The draft could not be judged, so the teacher answers.",
        dropped=("student", "its draft came without a confidence"),
        otherwise="The gate must get every signal that it reads.",
    ),
    "policy_teacher": Reason(
        sentence="The policy is teacher: it answers everything, and the student learns from that.",
        dropped=("student", "the policy doesn't ask it"),
        otherwise="Give the workload a promise, or another policy.",
    ),
    "policy_student": Reason(
        sentence="The policy is student: every draft is served, whatever its confidence.",
        dropped=("teacher", "the policy asks it only for audits"),
        otherwise="Give the workload a promise, or force the teacher for this request.",
    ),
    "below_threshold": Reason(
        sentence="The draft's confidence {confidence} is below the threshold {threshold}, so the"
        " teacher answers.",
        dropped=("student", "its draft isn't sure enough"),
        otherwise="The draft would be fit to be served from a confidence of {threshold} on.",
    ),
    "above_threshold": Reason(
        sentence="The draft's confidence {confidence} reaches the configured threshold"
        " {threshold}, so it is served.",
        dropped=("teacher", "the draft is sure enough"),
        otherwise="With a threshold above {confidence} the teacher would answer.",
    ),
    "observe": Reason(
        sentence="Too little is proven to serve this draft, so the teacher answers; its answer is"
        " compared with the draft, which is how more gets proven.",
        dropped=("student", "serving its draft isn't covered by what is proven"),
        otherwise="{outlook}",
    ),
    "certified": Reason(
        sentence="The draft's confidence {confidence} reaches the threshold {threshold} of the"
        " level in force, which is certified, so it is served.",
        dropped=("teacher", "the draft is sure enough, and the coin didn't ask for a proof"),
        otherwise="The teacher would answer below a confidence of {threshold}, at a stricter"
        " level, or by the coin.",
    ),
    "guaranteed": Reason(
        sentence="The ledger could pay for this draft were it wrong, and the coin didn't ask for"
        " its check, so it is served.",
        dropped=("teacher", "the draft is sure enough, and the coin didn't ask for a check"),
        otherwise="The teacher would answer below a confidence of {threshold}, with an emptier"
        " ledger, or by the coin.",
    ),
    "verdict": Reason(
        sentence="The teacher answers, by chance, and a verdict on its answer is wanted: it also"
        " tells whether the draft would have been right.",
    ),
    "proof": Reason(
        sentence="The draft is fit to be served, but the coin fell for a check: the teacher"
        " answers, and what is served stays measured.",
        dropped=("student", "its draft is set aside for the check"),
        otherwise="Only the coin: the draft would have been served.",
    ),
    "proof_failed": Reason(
        sentence="The coin asked for a check and the teacher gave no answer, so the draft, fit to"
        " be served, is served after all.",
        dropped=("teacher", "it was asked and did not answer"),
        otherwise="The teacher must answer: the attempts say what failed.",
    ),
    "slice_unproven": Reason(
        sentence="The workload as a whole could serve this draft, but it belongs to a slice that"
        " keeps the promise by itself and allows less, so the teacher answers.",
        dropped=("student", "serving its draft isn't covered by what is proven of its slice"),
        otherwise="More must be proven of the slice; its standing tells how far it is.",
    ),
    "drift": Reason(
        sentence="The draft would have been served, but what was seen since has changed, so the"
        " teacher answers until enough is proven anew.",
        dropped=("student", "an alarm about drift holds its drafts back"),
        otherwise="{outlook}",
    ),
    "doubtful": Reason(
        sentence="Among the latest drafts this is one of the most doubtful ones, and the budget"
        " pays for the teacher's answer.",
        dropped=("student", "the teacher's answer is worth its cost here"),
        otherwise="The draft would be served from a confidence of {threshold} on, or with a"
        " smaller budget.",
    ),
    "within_budget": Reason(
        sentence="More doubtful drafts than this one are worth the budget's money, so it is"
        " served.",
        dropped=("teacher", "the budget is spent on more doubtful drafts"),
        otherwise="The teacher would answer below a confidence of {threshold}, with a larger"
        " budget, or by the coin.",
    ),
    "budget_spent": Reason(
        sentence="The budget has no credit for the teacher now, so the draft is served.",
        dropped=("teacher", "there is no credit for its answer"),
        otherwise="Credit grows with every interaction, or through the day; a larger budget has"
        " more of it.",
    ),
    "teacher_failed": Reason(
        sentence="The teacher gave no answer, and the workload wants a draft then: it is served"
        " whatever its confidence, and counts as wrong against the promise.",
        dropped=("teacher", "it failed, as did its fallbacks"),
        otherwise="The teacher must answer, or on_teacher_failure be error.",
    ),
    "over_max_cost": Reason(
        sentence="The budget might have asked the teacher, which the request's max_cost_usd rules"
        " out, so the draft is served.",
        dropped=("teacher", "it is likely to cost more than max_cost_usd"),
        otherwise="Raise tutelage.max_cost_usd or leave it out.",
    ),
    "audit": Reason(
        sentence="By the coin, the teacher is asked in the background about what was served."
    ),
    "repeat": Reason(
        sentence="The teacher was asked the same again on purpose, after its answer was delivered,"
        " to measure how far it agrees with itself (audit.repeats); nobody waited for it.",
    ),
    "targeted": Reason(
        sentence="The teacher was asked on purpose about what the student had answered before, to"
        " learn from it (tutelage distill next --ask); nobody waited for it.",
    ),
    "forced": Reason(
        sentence="The request forces this tier (tutelage.force), whatever the policy says.",
        dropped=("policy", "the request names who answers"),
        otherwise="Leave tutelage.force out.",
    ),
    "pinned": Reason(
        sentence="The request's model is a model of the configuration, which pins who answers.",
        dropped=("policy", "the request names who answers"),
        otherwise="Ask for auto, or for an alias of the teacher.",
    ),
    "max_cost_exceeded": Reason(
        sentence="The teacher would have to be asked and is likely to cost more than the request's"
        " max_cost_usd, so the request is refused.",
        dropped=("teacher", "it is likely to cost more than max_cost_usd"),
        otherwise="Raise tutelage.max_cost_usd or leave it out.",
    ),
    "undecided": Reason(sentence="The policy has not decided yet."),
}

REASONS: Mapping[str, Reason] = MappingProxyType(_BY_NAME)
"""By the name that traces, headers and metrics carry."""


SKIPS: Mapping[str, str] = MappingProxyType(
    {
        "fit": "a draft before it was fit to be served",
        "dear": "its draft is seldom fit for such requests and would cost more than it saves",
    }
)
"""Why a further model wasn't asked for a draft, by ``policies.cascade.Skip``."""


def tell_draft(model: str, confidence: float | None) -> str:
    """A further model's draft in words. ``confidence``: None where it couldn't be judged."""
    if confidence is None:
        return (
            f"The model {model} drafts an answer, which can't be judged: its drafts are once"
            f" {LEAST} of them were held against the teacher's answers."
        )
    return f"The model {model} drafts an answer, with a confidence of {confidence:.4f}."


def find_reason(name: str) -> Reason:
    """The reason's words; those of a policy plug-in are not in the table."""
    unknown = Reason(sentence=f"A policy gave the reason {name}, which is not one of tutelage's.")
    return REASONS.get(name, unknown)
