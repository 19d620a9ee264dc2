"""Reports as one HTML file that needs nothing else: no script, no asset from the network.

Light and dark as the reader's system is; printed in black on white without breaking a table's row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

_STYLE = """
:root { color-scheme: light dark; --line: #2563eb; --other: #d97706; --rule: #8888; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { border-top: 1px solid var(--rule); padding-top: 1.5rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
caption { text-align: left; font-weight: 600; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--rule); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.figures { display: flex; flex-wrap: wrap; gap: 1.5rem; } .figures div { min-width: 9rem; }
.figures b { display: block; font-size: 1.6rem; } svg { width: 100%; height: auto; }
.wide { overflow-x: auto; }
@media print {
  :root { color-scheme: light; } body { max-width: none; margin: 0; font-size: 10pt; }
  .wide { overflow: visible; } h2 { break-after: avoid; }
  tr, figure, .figures { break-inside: avoid; }
  thead { display: table-header-group; } @page { margin: 18mm; }
}
"""


def write_document(title: str, body: str) -> str:
    """The whole document; ``title``: text, ``body``: HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1>{body}</main></body></html>\n"
    )


def write_figures(figures: Mapping[str, str]) -> str:
    """Large values, each with its name below."""
    cells = "".join(
        f"<div><b>{escape(value)}</b>{escape(name)}</div>" for name, value in figures.items()
    )
    return f'<div class="figures">{cells}</div>'


def write_table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()
) -> str:
    """A table of texts; ``numbers``: the columns that hold figures. No head where it is empty."""

    def write(tag: str, column: int, text: str, scope: str = "") -> str:
        kind = ' class="n"' if column in numbers else ""
        return f"<{tag}{kind}{scope}>{escape(text)}</{tag}>"

    titles = "".join(write("th", i, text, ' scope="col"') for i, text in enumerate(head))
    lines = "".join(
        f"<tr>{''.join(write('td', i, text) for i, text in enumerate(row))}</tr>" for row in rows
    )
    above = f"<thead><tr>{titles}</tr></thead>" if head else ""
    # Wider than a narrow screen it scrolls by itself; with tabindex also by keyboard.
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption>{above}<tbody>{lines}</tbody></table></div>"
    )
