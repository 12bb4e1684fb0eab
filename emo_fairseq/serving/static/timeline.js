// Long audio: a row for each label or number, a column for each window; runs of the same label as buttons.

import { clock, element, fitted, number, numbersBehind, percent, shape } from "./elements.js";
import { inPercent, words } from "./prediction.js";
import { times } from "./wave.js";

const ROW = 24, GAP = 3, SCALE = 18;

// `onChoose(start, end)` when a run is chosen; `onSeek(second)` when the drawing is clicked.
export function showTimeline(box, { seconds, segments }, onChoose, onSeek) {
  const first = segments[0];
  const labeled = Object.keys(first.probabilities).length > 0;
  const names = Object.keys(labeled ? first.probabilities : first.values);
  const figure = (segment, name) => (labeled ? segment.probabilities : segment.values)[name];
  const drawing = element("div", { class: "drawing" });
  const hop = segments.length > 1 ? segments[1].start - first.start : seconds;
  const window = `Windows of ${number(first.end - first.start, 1)} s, one every ${number(hop, 1)} s; ` +
    (labeled ? "the stronger the color, the more probable." : "each line runs from the lowest value to the highest.");
  const rows = segments.map((segment) => [
    `${clock(segment.start)} to ${clock(segment.end)}`,
    ...names.map((name) => (labeled ? percent : number)(figure(segment, name))),
  ]);
  box.replaceChildren(
    element("p", { class: "soft small" }, window), drawing, ...(labeled ? [runs(segments, onChoose)] : []),
    numbersBehind("Values of the windows", ["window", ...names.map(words)], rows));
  fitted(drawing, (width) => draw(width, seconds, segments, names, labeled, figure, onSeek));
}

function draw(width, seconds, segments, names, labeled, figure, onSeek) {
  const left = Math.min(width * 0.3, 14 + 7 * Math.max(...names.map((name) => name.length)));
  const height = names.length * (ROW + GAP) + SCALE, scale = (width - left) / seconds;
  const from = (i) => left + segments[i].start * scale;
  const to = (i) => left + (i + 1 < segments.length ? segments[i + 1].start : seconds) * scale;
  const rows = names.flatMap((name, r) => {
    const y = r * (ROW + GAP);
    const label = shape("text", { class: "strong", x: 0, y: y + ROW / 2 + 4 }, words(name));
    const frame = shape("rect", { class: "frame", x: left, y, width: width - left, height: ROW });
    return [label, frame, ...(labeled ? cells(name, y) : [line(name, y)])];
  });
  function cells(name, y) {
    return segments.map((segment, i) => shape("rect", {
      class: "cell", x: from(i), y, width: Math.max(0.5, to(i) - from(i)), height: ROW, "fill-opacity": figure(segment, name).toFixed(3),
    }));
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

function runs(segments, onChoose) {
  const merged = [];
  for (const { start, end, label } of segments) {
    const last = merged.at(-1);
    if (last && last.label === label) last.end = end;
    else merged.push({ start, end, label });
  }
  // Windows overlap: a run ends where the next begins.
  merged.forEach((run, i) => { if (i + 1 < merged.length) run.end = merged[i + 1].start; });
  const buttons = merged.map(({ start, end, label }) => {
    const choose = ({ currentTarget }) => {
      for (const other of buttons) other.setAttribute("aria-pressed", other === currentTarget);
      onChoose(start, end);
    };
    return element("button", { type: "button", "aria-pressed": "false", onclick: choose }, `${clock(start)}–${clock(end)} ${label}`);
  });
  const list = element("ul", { class: "runs", "aria-label": "Segments with the same label" },
    ...buttons.map((button) => element("li", {}, button)));
  return element("div", {}, element("p", { class: "small" }, "Choose a segment to play and explain it:"), list);
}
