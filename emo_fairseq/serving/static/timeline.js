// Long audio: a row for each label or number, a column for each window; runs of the same label as buttons.

import { clock, element, fitted, number, numbersBehind, percent, shape } from "./elements.js";
import { shown } from "./labels.js";
import { inPercent } from "./prediction.js";
import { times } from "./wave.js";

const ROW = 28, GAP = 3, SCALE = 18;
const STEPS = [0.1, 0.2, 0.4, 0.6, 0.8]; // probabilities between the shades of the stylesheet, .heat-0 to .heat-5
const WIDE = 26; // px of a cell in which a number has room
const TEXT = 7; // px of a letter

// `onChoose(start, end)` when a run is chosen; `onSeek(second)` when the drawing is clicked.
export function showTimeline(box, { seconds, segments }, onChoose, onSeek) {
  const first = segments[0];
  const labeled = Object.keys(first.probabilities).length > 0;
  const names = Object.keys(labeled ? first.probabilities : first.values);
  const figure = (segment, name) => (labeled ? segment.probabilities : segment.values)[name];
  const drawing = element("div", { class: "drawing" });
  const hop = segments.length > 1 ? segments[1].start - first.start : seconds;
  const window = `Windows of ${number(first.end - first.start, 1)} s, one every ${number(hop, 1)} s` +
    (labeled ? "; numbers are percentages, and a bar below a cell marks the most probable label." : "; each line runs from the lowest value to the highest.");
  const rows = segments.map((segment) => [
    `${clock(segment.start)} to ${clock(segment.end)}`,
    ...names.map((name) => (labeled ? percent : number)(figure(segment, name))),
  ]);
  box.replaceChildren(
    element("p", { class: "soft small" }, window), ...(labeled ? [legend()] : []), drawing,
    ...(labeled ? [runs(segments, onChoose)] : []),
    numbersBehind("Values of the windows", ["window", ...names.map(shown)], rows));
  fitted(drawing, (width) => draw(width, seconds, segments, names, labeled, figure, onSeek));
}

const shade = (probability) => STEPS.filter((step) => probability >= step).length;

function legend() {
  const bounds = [0, ...STEPS, 1].map((share) => Math.round(100 * share));
  const keys = bounds.slice(0, -1).map((from, step) =>
    element("li", { class: `heat-key heat-${step}` }, `${from}–${bounds[step + 1]} %`));
  return element("ul", { class: "heat-legend small", "aria-label": "Shades of the timeline" }, ...keys);
}

function draw(width, seconds, segments, names, labeled, figure, onSeek) {
  const left = Math.min(width * 0.3, 14 + TEXT * Math.max(...names.map((name) => shown(name).length)));
  const height = names.length * (ROW + GAP) + SCALE, scale = (width - left) / seconds;
  const from = (i) => left + segments[i].start * scale;
  const to = (i) => left + (i + 1 < segments.length ? segments[i + 1].start : seconds) * scale;
  const rows = names.flatMap((name, r) => {
    const y = r * (ROW + GAP);
    const frame = shape("rect", { class: "frame", x: left, y, width: width - left, height: ROW });
    return [title(shown(name), y), frame, ...(labeled ? segments.flatMap((_, i) => cell(name, i, y)) : [line(name, y)])];
  });
  function title(name, y) {
    const most = Math.max(2, Math.floor((left - 4) / TEXT));
    const short = name.length > most ? `${name.slice(0, most - 1)}…` : name;
    return shape("text", { class: "strong", x: 0, y: y + ROW / 2 + 4 }, shape("title", {}, name), short);
  }
  function cell(name, i, y) {
    const value = figure(segments[i], name), x = from(i), wide = Math.max(0.5, to(i) - x), step = shade(value);
    const parts = [shape("rect", { class: `cell heat-${step}`, x, y, width: wide, height: ROW })];
    if (wide >= WIDE) {
      parts.push(shape("text", { class: `cell-number heat-${step}`, x: x + wide / 2, y: y + ROW / 2 + 3, "text-anchor": "middle" }, String(Math.round(100 * value))));
    }
    if (segments[i].label === name) parts.push(shape("rect", { class: "cell-most", x, y: y + ROW - 3, width: wide, height: 3 }));
    return parts;
  }
  function line(name, y) {
    const height = (segment) => y + ROW - 3 - (ROW - 6) * Math.max(0, Math.min(1, inPercent(name, figure(segment, name))));
    const steps = segments.map((segment, i) => `${from(i)} ${height(segment)}H${to(i)}`);
    return shape("path", { class: "line", d: `M${steps.join("L")}` });
  }
  const caption = `Timeline of ${segments.length} windows; the values are in the table below.`;
  const seek = (event) => onSeek(Math.max(0, (event.offsetX - left) / scale));
  return shape("svg", { width, height, role: "img", "aria-label": caption, onclick: seek }, ...rows, ...times(0, seconds, width, height, left));
}

// Windows with the same label after each other. They overlap: a run ends where the next begins.
export function runsOf(segments, key = ({ label }) => label) {
  const merged = [];
  for (const segment of segments) {
    const last = merged.at(-1), value = key(segment);
    if (last && last.value === value) last.end = segment.end;
    else merged.push({ start: segment.start, end: segment.end, value });
  }
  merged.forEach((run, i) => { if (i + 1 < merged.length) run.end = merged[i + 1].start; });
  return merged;
}

function runs(segments, onChoose) {
  const buttons = runsOf(segments).map(({ start, end, value }) => {
    const choose = ({ currentTarget }) => {
      for (const other of buttons) other.setAttribute("aria-pressed", other === currentTarget);
      onChoose(start, end);
    };
    return element("button", { type: "button", "aria-pressed": "false", onclick: choose }, `${clock(start)}–${clock(end)} ${shown(value)}`);
  });
  const list = element("ul", { class: "runs", "aria-label": "Segments with the same label" },
    ...buttons.map((button) => element("li", {}, button)));
  return element("div", {}, element("p", { class: "small" }, "Choose a segment to play and explain it:"), list);
}
