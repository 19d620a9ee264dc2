"""Prices of known models at known providers, from the data that comes with ``genai-prices``.

Nothing is fetched: a price is as new as the installed package. It counts only where the upstream
is the provider's own address, since others charge what they like, and only where it is one rate per
kind of token: a price that depends on the prompt's length has to come from the configuration.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from urllib.parse import urlsplit

from router.meter.prices import Rates

_UNITS = {
    "input": "input_mtok",
    "cached_input": "cache_read_mtok",
    "output": "output_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
}
"""Our names of rates and the package's, all of them USD per million tokens."""


@lru_cache(maxsize=256)
def find_rates(model: str, upstream: str) -> Rates | None:
    """The rates of ``model`` at the provider whose address ``upstream`` is; None where unknown."""
    host = urlsplit(upstream).hostname or ""
    if "." not in host or host.replace(".", "").isdecimal():
        return None
    # Its data takes a second and 30 MB, so only whoever leaves a price out loads it.
    from genai_prices.data_snapshot import get_snapshot

    try:
        _, found = get_snapshot().find_provider_model(model, None, None, upstream)
    except LookupError:
        return None
    price = found.get_prices(datetime.now(UTC))
    rates = {name: getattr(price, unit, None) for name, unit in _UNITS.items()}
    known = {name: rate for name, rate in rates.items() if rate is not None}
    if not all(isinstance(rate, Decimal) for rate in known.values()):
        return None
    if not {"input", "output"} <= known.keys():
        return None
    return Rates(**known)
