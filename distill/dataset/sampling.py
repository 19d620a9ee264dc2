"""Which of many questions are learned from: a share of old ones beside the new, and not too many.

A share of what was known before is shown again in every cycle, so that learning something new
doesn't cost what is old.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from distill.dataset.model import BuildTerms, Question, Tally


def mix(questions: list[Question], terms: BuildTerms, tally: Tally) -> list[Question]:
    """All new questions and as many old ones, at random, as make ``terms.replay`` of the whole."""
    if terms.since is None:
        return questions
    new = [max(s.created_at for s in q.sources) >= terms.since for q in questions]
    old = [i for i, is_new in enumerate(new) if not is_new]
    wanted = round(terms.replay / (1 - terms.replay) * (len(questions) - len(old)))
    chosen = set(old)
    if wanted < len(old):
        drawn = np.random.default_rng(terms.seed).choice(len(old), wanted, replace=False)
        chosen = {old[i] for i in drawn}
    tally.drop("not_replayed", len(old) - len(chosen))
    return [
        question if is_new else replace(question, replayed=True)
        for i, (question, is_new) in enumerate(zip(questions, new, strict=True))
        if is_new or i in chosen
    ]


def sample(questions: list[Question], terms: BuildTerms, tally: Tally) -> list[Question]:
    """At most ``terms.most_questions`` of them, at random, with the weight of all."""
    most = terms.most_questions
    if len(questions) <= most:
        return questions
    chosen = np.random.default_rng(terms.seed).choice(len(questions), most, replace=False)
    tally.drop("sampled_out", len(questions) - most)
    scale = len(questions) / most
    return [replace(questions[i], weight=questions[i].weight * scale) for i in np.sort(chosen)]
