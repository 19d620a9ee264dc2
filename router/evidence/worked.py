"""Deterministic checks of a worked solution: is what it calculates right, and from what.

All of it reads the question and the student's draft alone. Every signal is a finite number whose
direction a fit has to find; names begin with ``q_`` (question) or ``d_`` (draft).
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?|(?<![\w.])\.\d+")
_TERM = r"\(*\s*\$?\d[\d,]*(?:\.\d+)?%?\s*\)*"
_EQUATION = re.compile(
    rf"({_TERM}(?:\s*(?:\\?\*|[-+/x×÷])\s*{_TERM})+)\s*=\s*\$?(-?\d[\d,]*(?:\.\d+)?)"
)
_MARKED = re.compile(r"<<(.+?)=(-?[\d.,]+)>>")
_FINAL = re.compile(r"####\s*\$?(-?[\d,]+(?:\.\d+)?)?([^\n]*)")
_HEDGES = re.compile(
    r"\b(however|but|assum\w+|cannot|can't|not possible|impossible|unclear|approximately|about|"
    r"not (?:given|provided|enough|specified)|need to know|would need|let's say|since we)\b",
    re.IGNORECASE,
)
_RELATIONS = re.compile(
    r"\b(half|third|quarter|twice|double|triple|times|percent|more than|less than|fewer|each|every|"
    r"per|ratio|remaining|left|total|average|if)\b|%",
    re.IGNORECASE,
)
_ALGEBRA = re.compile(r"\b(let|equation|solve for)\b|\b[xyzn]\s*[=+*]", re.IGNORECASE)
_OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = MappingProxyType(
    {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.Div: operator.truediv,
    }
)


def evaluate(expression: str) -> float | None:
    """The value of numbers joined by + - * / and brackets; None for anything else."""
    plain = re.sub(r"(?<=[\d\s)])[x×](?=[\d\s($])", "*", expression)
    plain = plain.replace("÷", "/").replace("\\", "").replace("$", "").replace(",", "")
    plain = re.sub(r"(\d+(?:\.\d+)?)%", r"(\1/100)", plain)
    plain = re.sub(r"\b0+(?=\d)", "", plain)
    try:
        value = _value(ast.parse(plain.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, OverflowError, RecursionError, MemoryError):
        return None
    return value if math.isfinite(value) else None


def _value(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    raise ValueError("not plain arithmetic")


def equations(draft: str) -> list[tuple[str, float]]:
    """Every ``expression = number`` of a draft, marked by ``<<>>`` or plain, in order."""
    # The mark stands between the equals sign and the number, so what is marked isn't found twice.
    found = _MARKED.findall(draft) + _EQUATION.findall(_MARKED.sub("<<>>", draft))
    pairs = ((expression.strip(), _number(result)) for expression, result in found)
    return [(expression, result) for expression, result in pairs if result is not None]


def check_solution(question: str, draft: str) -> dict[str, float]:
    """Signals of a question and its worked solution, always the same names."""
    asked = _numbers(question)
    body = draft.split("####")[0]
    worked = equations(body)
    final = _FINAL.search(draft)
    answer = _number(final[1]) if final and final[1] else None
    results = {round(result, 4) for _, result in worked}
    known = {round(n, 4) for n in asked} | results | {1.0, 2.0, 100.0}
    operands = [round(n, 4) for expression, _ in worked for n in _numbers(expression)]
    wrong = sum(not _holds(expression, result) for expression, result in worked)
    used = set(_numbers(body))
    lines = [line for line in body.splitlines() if line.strip()]
    return {
        "q_words": math.log1p(len(question.split())),
        "q_numbers": float(len(asked)),
        "q_sentences": float(len(re.findall(r"[.?!](?:\s|$)", question))),
        "q_relations": float(len(_RELATIONS.findall(question))),
        "q_percent": float("%" in question or "percent" in question),
        "q_longest_number": math.log1p(max(asked, default=0.0)),
        "d_words": math.log1p(len(draft.split())),
        "d_lines": math.log1p(len(lines)),
        "d_equations": float(len(worked)),
        "d_wrong": float(wrong),
        "d_no_equations": float(not worked),
        "d_hedges": float(len(_HEDGES.findall(body))),
        "d_algebra": float(len(_ALGEBRA.findall(body))),
        "d_no_final": float(answer is None),
        "d_final_fraction": float(answer is not None and answer != round(answer)),
        "d_final_not_positive": float(answer is not None and answer <= 0),
        "d_final_size": math.log1p(abs(answer or 0.0)),
        "d_final_asked": float(answer is not None and answer in asked),
        "d_final_not_result": float(answer is not None and round(answer, 4) not in results),
        "d_final_not_last": float(bool(worked) and answer != worked[-1][1]),
        "d_words_behind_final": float(len(final[2].split()) if final else 0),
        "d_unused": float(sum(n not in used for n in asked)),
        "d_from_nowhere": float(sum(n not in known for n in operands)),
        "d_fractions": float(sum(result != round(result) for _, result in worked)),
        "d_negative": float(sum(result < 0 for _, result in worked)),
    }


def _holds(expression: str, result: float) -> bool:
    """True also where it can't be checked; rounding to the digits shown is no error."""
    value = evaluate(expression)
    return value is None or abs(value - result) <= max(0.011, 0.006 * abs(value))


def _numbers(text: str) -> list[float]:
    found = (_number(n) for n in _NUMBER.findall(text))
    return [n for n in found if n is not None]


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "").rstrip("."))
    except ValueError:
        return None
