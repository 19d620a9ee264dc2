"""What the commands share: the configuration's store, opened only where it is."""

from __future__ import annotations

import datetime
import os
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from distill.launch.choose import make_fit
from distill.learner import Learner
from router.errors import StoreError
from router.meter.money import usd
from router.overlay import read_in_force
from router.record.redact import Redactor
from router.record.store import Store
from router.settings.load import DEFAULT_CONFIG, find_config, load_settings
from router.settings.model import Settings
from router.students.encoder import Encoder


class NoStoreYet(StoreError):
    """The gateway hasn't made its store."""


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """A configuration, as the gateway's policies change it, and its open store."""

    settings: Settings
    store: Store

    @property
    def datasets(self) -> Path:
        """Where the store's datasets lie."""
        return self.settings.store.beside("datasets").absolute()

    def learner(self, seed: int, threads: int = 2) -> Learner:
        """What a cycle works with. ``threads``: of the encoder. Raises LaunchFailed."""
        encoder = Encoder(threads=threads)
        return Learner(
            settings=self.settings,
            store=self.store,
            encoder=encoder,
            fit=make_fit(self.settings, encoder),
            redactor=Redactor(self.settings.data.redact),
            folder=self.settings.store.beside("releases").absolute(),
            seed=seed,
            datasets=self.datasets,
            drafts="embedded" if self.settings.generative_student is None else "served",
        )


def read_settings(config: Path | None) -> Settings:
    """The configuration, else the one in this folder, else the defaults.

    Nothing that learns calls the teacher, so its secret may be unset.
    """
    return load_settings(find_config(config), os.environ, need_secrets=False)


def store_exists(settings: Settings) -> bool:
    """Whether the file of a SQLite store is there; a server's store is made when it is opened."""
    return settings.store.file is None or settings.store.file.exists()


@contextmanager
def open_workplace(config: Path | None) -> Iterator[Workplace]:
    """The configuration's store. Raises NoStoreYet where the gateway hasn't made one."""
    settings = read_settings(config)
    if not store_exists(settings):
        raise NoStoreYet(
            f"There is no store at {settings.store.file} yet: start the gateway with the same"
            " configuration first."
        )
    store = Store.open(settings.store.url)
    try:
        yield Workplace(settings=read_in_force(settings, store), store=store)
    finally:
        store.close()


def add_config(parser: ArgumentParser, default: str | None = None) -> None:
    """``--config FILE``. ``default``: what the help says is used without it."""
    said = "the gateway's configuration" + ("" if default is None else f" ({default})")
    parser.add_argument("--config", type=Path, metavar="FILE", help=said)


def add_own_config(parser: ArgumentParser) -> None:
    """``--config FILE`` of a command that uses the configuration of the folder without it."""
    add_config(parser, f"./{DEFAULT_CONFIG} where it exists")


def add_json(parser: ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def read_share(text: str) -> float:
    """A share as an option: above one half and below 1."""
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0.5 < share < 1:
        raise ArgumentTypeError(f"{text!r} must be a number between 0.5 and 1")
    return share


def read_usd(text: str) -> Decimal:
    """An amount of USD as an option: more than 0, at most a million."""
    try:
        amount = usd(text)
    except ValueError:
        amount = Decimal(0)
    if not 0 < amount <= 1_000_000:
        raise ArgumentTypeError(f"{text!r} must be an amount of USD such as 0.002")
    return amount


def read_amount(text: str) -> float:
    """A number as an option: at least 0."""
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not 0.0 <= amount <= 1e12:
        raise ArgumentTypeError(f"{text!r} must be a number of at least 0")
    return amount


def read_count(text: str) -> int:
    """A count as an option: at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} must be a whole number of at least 1")
    return int(text)


def read_whole(text: str) -> int:
    """A count as an option that may be 0."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} must be a whole number of at least 0")
    return int(text)


def read_seed(text: str) -> int:
    """A seed as an option: what every generator takes."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise ArgumentTypeError(f"{text!r} must be a whole number from 0 to 4294967295")
    return int(text)


def describe_time(epoch_s: float | None) -> str:
    """Local time to the second, or a dash."""
    if epoch_s is None:
        return "–"
    local = datetime.datetime.fromtimestamp(epoch_s, datetime.UTC).astimezone()
    return local.strftime("%Y-%m-%d %H:%M:%S")
