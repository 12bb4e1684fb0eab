"""The page's CSS: light and dark, wide and narrow; nothing is loaded."""

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
th, td { padding: .35rem .8rem; text-align: right; white-space: nowrap; }
th { font-weight: 600; }
thead th { border-bottom: 1px solid var(--ink); vertical-align: bottom; }
tbody tr + tr > * { border-top: 1px solid var(--line); }
th:first-child, .word, .text { text-align: left; }
td.text { white-space: normal; min-width: 20rem; max-width: 40rem; }
td.undefined { color: var(--soft); font-style: italic; }
details { margin-top: .6rem; font-size: .875rem; }
details .scroll { width: auto; }
summary { cursor: pointer; color: var(--accent); }
@media print { body { background: none; } figure, tr { break-inside: avoid; } }
"""
