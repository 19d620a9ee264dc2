"""Figures as people read them."""

from __future__ import annotations


def show_share(share: float, places: int = 2) -> str:
    """``97.5 %``: at most ``places`` decimals, none of them a trailing zero."""
    text = f"{100 * share:.{places}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + " %"


def show_about(count: int) -> str:
    """``1,200``: two significant digits, for what is known no better."""
    return f"{round(count, -max(0, len(str(count)) - 2)):,}"
