"""Messages to a shop with the label that a teacher gives them: six easy intents, some hard ones."""

from __future__ import annotations

import random
from itertools import product

_INTENTS = {
    "parcel": ("where is my parcel", "track the delivery of my parcel", "my parcel is late"),
    "password": ("I forgot my password", "reset the password of my login", "my login fails"),
    "refund": ("I want my money back", "please refund my payment", "send the refund to my bank"),
    "opening hours": ("when do you open", "are you open on Sunday", "what are your opening hours"),
    "cancel order": ("cancel my order", "I no longer want the order", "stop the order I placed"),
    "warranty": (
        "is this covered by warranty",
        "my device broke, warranty",
        "how long is the warranty",
    ),
}
_THINGS = ("bike", "lamp", "phone", "kettle", "chair", "tent", "watch", "drill", "radio", "coat")
_OPENINGS = ("", "hello, ", "hi there, ", "excuse me, ", "quick question: ", "good morning, ")
_HARD = ("it is about the {}", "{}?", "the usual thing with a {}", "my {} again, you know")


def make_messages(count: int, seed: int, hard: float = 0.1) -> list[tuple[str, str]]:
    """``count`` different (message, label) pairs; of the ``hard`` share, the label is a toss-up."""
    rng = random.Random(seed)
    easy = [
        (f"{opening}{words}, it is about a {thing}", label)
        for label, forms in _INTENTS.items()
        for words, thing, opening in product(forms, _THINGS, _OPENINGS)
    ]
    vague = [
        (opening + words.format(thing), rng.choice(sorted(_INTENTS)))
        for words, thing, opening in product(_HARD, _THINGS, _OPENINGS)
    ]
    few = round(count * hard)
    chosen = rng.sample(easy, count - few) + rng.sample(vague, few)
    rng.shuffle(chosen)
    return chosen
