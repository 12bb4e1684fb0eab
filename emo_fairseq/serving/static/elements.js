// Elements of the page and of drawings. Text goes in as text: nothing is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

export const at = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function shape(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// A drawing as wide as its box, redrawn when that changes; `draw(width)` returns an svg.
export function fitted(box, draw) {
  let width = 0;
  const observer = new ResizeObserver(() => {
    if (!box.isConnected) return observer.disconnect();
    const now = Math.floor(box.clientWidth);
    if (now > 0 && now !== width) {
      width = now;
      box.replaceChildren(draw(width));
    }
  });
  observer.observe(box);
  return () => observer.disconnect();
}

const HEAD = 50, TAIL = 20; // characters of a long name that are shown

// Characters that turn the direction of what follows: a name would seem to end in another suffix than its own.
const DIRECTIONS = /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
export const plainName = (name) => name.replaceAll(DIRECTIONS, "");

// A name with its middle left out, if it is long.
export function shortened(name) {
  const letters = [...plainName(name)];
  if (letters.length <= HEAD + TAIL) return letters.join("");
  return `${letters.slice(0, HEAD).join("")}…${letters.slice(-TAIL).join("")}`;
}

export const number = (value, digits = 2) => value.toFixed(digits);
export const percent = (value) => `${(100 * value).toFixed(1)} %`;

// Minutes and seconds; below a minute tenths too. Rounded once, so that it carries: 3.97 is 0:04.
export function clock(seconds) {
  const tenths = Math.round(10 * seconds), whole = Math.floor(tenths / 10);
  const rest = tenths < 600 && tenths % 10 ? `.${tenths % 10}` : "";
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}${rest}`;
}

// A table behind a summary, for screen readers and for exact values.
export function numbersBehind(summary, header, rows) {
  const cells = (tag, row) => element("tr", {}, ...row.map((cell) => element(tag, {}, cell)));
  const table = element("table", {}, element("thead", {}, cells("th", header)),
    element("tbody", {}, ...rows.map((row) => cells("td", row))));
  const box = element("div", { class: "numbers", tabindex: "0", role: "region", "aria-label": summary }, table);
  return element("details", {}, element("summary", {}, summary), box);
}
