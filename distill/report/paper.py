"""A report as a PDF, printed by a browser that is installed: the page has a style for paper."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from router.errors import TutelageError

BROWSERS: Final = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    *("microsoft-edge", "msedge"),
)
"""Commands of browsers that print without a window, the first one found is taken."""

_PATIENCE_S = 60.0


class NotPrinted(TutelageError):
    """No PDF came of it."""


def print_page(page: str, out: Path) -> None:
    """Write the HTML ``page`` as a PDF to ``out``. Raises NotPrinted where no browser can."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise NotPrinted(
            "A PDF is printed by Chromium, Chrome or Edge, and none of them was found: install one,"
            " or write the page with --out and print it from your browser."
        )
    with tempfile.TemporaryDirectory() as folder:
        source, printed = Path(folder) / "report.html", Path(folder) / "report.pdf"
        source.write_text(page, encoding="utf-8")
        command = [
            *(browser, "--headless", "--disable-gpu", "--no-pdf-header-footer"),
            *(f"--user-data-dir={folder}/profile", f"--print-to-pdf={printed}"),
            # Its sandbox refuses the superuser; the page holds no script and loads nothing.
            *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
            source.as_uri(),
        ]
        try:
            subprocess.run(command, capture_output=True, timeout=_PATIENCE_S, check=True)
            out.write_bytes(printed.read_bytes())
        except (OSError, subprocess.SubprocessError) as error:
            raise NotPrinted(
                f"{Path(browser).name} did not print the report ({type(error).__name__}): write the"
                " page with --out and print it from your browser."
            ) from error
