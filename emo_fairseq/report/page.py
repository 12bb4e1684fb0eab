"""The page: one HTML file that loads nothing, from headings, tables and drawn figures."""

import itertools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from emo_fairseq.evaluation.tables import UNDEFINED, Table
from emo_fairseq.report.plots.drawing import Plot, inline_svg
from emo_fairseq.report.recordings import Clip

# Columns that are no numbers: short words, and texts that may run over lines.
_KINDS = {
    **dict.fromkeys(("truth", "predicted", "speaker"), "word"),
    **dict.fromkeys(("text", "why"), "text"),
}
# Nothing is loaded and nothing is run: styles, pictures and sounds are inside of the page.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"


@dataclass
class Section:
    """A heading of the second level, what follows it, and the headings below it."""

    heading: str
    content: list[str] = field(default_factory=list)
    below: dict[str, list[str]] = field(default_factory=dict)

    def add(self, heading: str, *content: str) -> None:
        """Add elements under a heading of the third level; nothing if all are empty."""
        if any(content):
            self.below.setdefault(heading, []).extend(content)


def element(tag: str, *content: str, **attributes: str) -> str:
    """Return an element with its content unescaped; `kind` is its class.

    Empty attributes are left out.

    >>> element("p", "a &amp; b", kind="soft")
    '<p class="soft">a &amp; b</p>'
    """
    named = {"class" if name == "kind" else name: text for name, text in attributes.items()}
    given = (f' {name}="{escape(text)}"' for name, text in named.items() if text)
    return f"<{tag}{''.join(given)}>{''.join(content)}</{tag}>"


def paragraph(text: str, kind: str = "") -> str:
    """Return plain text as a paragraph."""
    return element("p", escape(text), kind=kind)


def fact_list(facts: Mapping[str, str]) -> str:
    """Return names and their descriptions as a list."""
    pairs = (
        element(t, escape(x))
        for pair in facts.items()
        for t, x in zip(("dt", "dd"), pair, strict=True)
    )
    return element("dl", *pairs, kind="facts")


def cards(metrics: Iterable[tuple[str, str, Sequence[str]]]) -> str:
    """Return the first metrics: name, value, and the lines below it."""
    divisions = []
    for name, value, lines in metrics:
        texts = {"name": [name], "value": [value], "soft": lines}
        spans = [
            element("span", escape(x), kind=k) for k, several in texts.items() for x in several
        ]
        divisions.append(element("div", *spans, kind="card"))
    return element("div", *divisions, kind="cards")


def table(content: Table, caption: str, players: Sequence[str] = ()) -> str:
    """Return a table that scrolls in a box of its own where it is too wide.

    Elements of :func:`player`, one for each row, are a column behind the first one.
    """
    kinds = [_KINDS.get(name, "") for name in content.header]
    head = [
        element("th", escape(name), scope="col", kind=kind)
        for name, kind in zip(content.header, kinds, strict=True)
    ]
    if players:
        head.insert(1, element("th", "recording", scope="col", kind="word"))
    body = []
    for number, (first, *others) in enumerate(content.rows):
        cells = [_cell(cell, kind) for cell, kind in zip(others, kinds[1:], strict=True)]
        if players:
            cells.insert(0, element("td", players[number], kind="word"))
        body.append(element("tr", element("th", escape(first), scope="row"), *cells))
    rows = element("thead", element("tr", *head)) + element("tbody", *body)
    inner = element("table", element("caption", element("span", escape(caption))), rows)
    box = {"role": "region", "tabindex": "0", "aria-label": caption}
    return element("div", inner, kind="scroll", **box)


def _cell(cell: str, kind: str) -> str:
    return element("td", escape(cell), kind=UNDEFINED if cell == UNDEFINED else kind)


def player(clip: Clip, name: str) -> str:
    """Return what plays the recording of an utterance: controls, or a link to its file."""
    label = escape(clip.label)
    if clip.is_link:
        return element("a", label, href=clip.url)
    named = {"aria-label": f"recording of {name}"}
    controls = element("audio", controls="controls", preload="none", src=clip.url, **named)
    return f'<div class="player">{controls}<span class="soft">{label}</span></div>'


def figure(plot: Plot, svg: str, name: str) -> str:
    """Return a drawn figure with its caption, and its numbers where they are few."""
    drawing = inline_svg(svg, name, escape(plot.alt, quote=True))
    data = ""
    if plot.table is not None:
        rows = table(plot.table, f"{plot.title}: the numbers")
        data = f"<details><summary>The numbers</summary>{rows}</details>"
    return (
        f'<figure id="figure-{name}"><strong>{escape(plot.title)}</strong>{drawing}'
        f"<figcaption>{escape(plot.caption)}{data}</figcaption></figure>"
    )


def document(title: str, lead: Sequence[str], sections: Sequence[Section]) -> str:
    """Return the whole page, its contents first."""
    contents, body, taken = [], [], set[str]()
    for section in sections:
        anchor = slug(section.heading, taken)
        taken.add(anchor)
        body.append(f'<section aria-labelledby="{anchor}">')
        body.append(f'<h2 id="{anchor}">{escape(section.heading)}</h2>')
        body += section.content
        links = []
        for heading, content in section.below.items():
            target = f"{anchor}--{slug(heading)}"
            links.append(f'<li><a href="#{target}">{escape(heading)}</a></li>')
            body += [f'<h3 id="{target}">{escape(heading)}</h3>', *content]
        body.append("</section>")
        below = f"<ul>{''.join(links)}</ul>" if links else ""
        contents.append(f'<li><a href="#{anchor}">{escape(section.heading)}</a>{below}</li>')
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            f"<header><h1>{escape(title)}</h1>{''.join(map(paragraph, lead))}</header>",
            f'<nav aria-label="Contents"><ul>{"".join(contents)}</ul></nav>\n<main>',
            *body,
            "</main>\n</body>\n</html>\n",
        ]
    )


def slug(text: str, taken: Collection[str] = ()) -> str:
    """Return a name for an anchor or a file that is not one of those taken.

    >>> slug("seed 1, test")
    'seed-1-test'
    >>> slug("seed 1; test", {"seed-1-test"})
    'seed-1-test-2'
    """
    name = re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-") or "part"
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(free for free in itertools.chain([name], numbered) if free not in taken)


# -- The page's CSS: light and dark, wide and narrow; nothing is loaded ----------------------------

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1b1f24; --soft: #57606a; --paper: #fdfdfc; --ground: #f3f4f5; --line: #c9ced4;
  --accent: #0b5c8f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6e8ea; --soft: #a3abb3; --paper: #1c2025; --ground: #14171a; --line: #474e56;
    --accent: #7cc4f2;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 2.5rem) 4rem; max-width: 80rem;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  color: var(--ink); background: var(--ground); overflow-wrap: break-word;
}
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 {
  font-size: 1.4rem; margin: 3rem 0 1rem; padding-top: .75rem; border-top: 2px solid var(--ink);
}
h3 { font-size: 1.1rem; margin: 2.25rem 0 .75rem; }
p, dl { margin: .5rem 0; max-width: 48rem; }
a { color: var(--accent); }
.soft { color: var(--soft); }
nav { margin: 1.5rem 0; }
nav ul {
  display: flex; flex-wrap: wrap; gap: .1rem 1.25rem; list-style: none; margin: 0; padding: 0;
}
nav li { padding: .2rem 0; }
nav ul ul { margin: 0 0 .35rem; width: 100%; }
nav > ul > li { width: 100%; }
nav > ul > li > a { font-weight: 600; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.25rem; }
dl.facts dt { color: var(--soft); }
dl.facts dd { margin: 0; }
.cards {
  display: grid; gap: .75rem; margin: 1.25rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 10rem), 1fr));
}
.card {
  background: var(--paper); border: 1px solid var(--line); border-radius: .5rem;
  padding: .8rem 1rem;
}
.card .value { display: block; font-size: 1.9rem; font-weight: 650; line-height: 1.25; }
.card .name { display: block; font-weight: 600; }
.card .soft { display: block; font-size: .875rem; }
.figures {
  display: grid; gap: 1rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 23rem), 1fr));
}
figure {
  margin: 0; padding: .9rem; background: var(--paper); border: 1px solid var(--line);
  border-radius: .5rem; min-width: 0;
}
figure > strong { display: block; margin-bottom: .5rem; }
figure svg { display: block; width: 100%; height: auto; max-height: 34rem; }
figure svg * { stroke-linejoin: round; stroke-linecap: butt; }
figcaption { font-size: .875rem; color: var(--soft); margin-top: .6rem; }
.scroll {
  overflow-x: auto; background: var(--paper); border: 1px solid var(--line); border-radius: .5rem;
  margin: .75rem 0; max-width: 100%; width: fit-content;
}
.scroll:focus-visible, summary:focus-visible, a:focus-visible { outline: 3px solid var(--accent); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .925rem; }
caption { text-align: left; padding: .6rem .8rem .2rem; color: var(--soft); }
caption span {
  display: inline-block; position: sticky; left: .8rem; max-width: calc(100vw - 6rem);
}
th, td { padding: .35rem .8rem; text-align: right; white-space: nowrap; }
th { font-weight: 600; }
thead th { border-bottom: 1px solid var(--ink); vertical-align: bottom; }
tbody tr + tr > * { border-top: 1px solid var(--line); }
th:first-child, .word, .text { text-align: left; }
td.text { white-space: normal; min-width: 14rem; max-width: 40rem; }
td.undefined { color: var(--soft); font-style: italic; }
.player { display: flex; align-items: center; gap: .5rem; font-size: .875rem; }
audio { width: 9rem; height: 2.25rem; }
details { margin-top: .6rem; font-size: .875rem; }
details .scroll { width: auto; }
summary { cursor: pointer; color: var(--accent); }
@media (max-width: 40rem) {
  table { font-size: .85rem; }
  th, td { padding: .35rem .5rem; }
}
@media print { body { background: none; } figure, tr { break-inside: avoid; } }
"""
