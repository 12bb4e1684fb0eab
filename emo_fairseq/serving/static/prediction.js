// A prediction: its headline, bars with numbers, the point in the plane of valence and arousal.

import { element, number, percent, shape } from "./elements.js";
import { shown } from "./labels.js";

const AXES = ["valence", "arousal", "dominance"];
const SCORE = "sentiment_score"; // -3 to 3
const PARTS = { speech: "the speech", text: "the text", video: "the video" };

export function showPrediction(prediction) {
  const { label, probabilities, values, auxiliary } = prediction;
  const parts = [headline(prediction)];
  if (Object.keys(probabilities).length) parts.push(bars("Probabilities", probabilities, label));
  if (Object.keys(values).length) parts.push(...numbers(values));
  for (const [name, figures] of Object.entries(auxiliary ?? {})) {
    parts.push(element("h3", {}, name === "vad" ? "Valence, arousal, dominance" : `Auxiliary: ${words(name)}`));
    const areNumbers = Object.keys(figures).every((key) => AXES.includes(key) || key === SCORE);
    parts.push(...(areNumbers ? numbers(figures) : [bars("", figures, most(figures))]));
  }
  return parts;
}

export const words = (name) => name.replaceAll("_", " ");

export function most(figures) {
  return Object.keys(figures).reduce((a, b) => (figures[b] > figures[a] ? b : a));
}

export const inPercent = (name, value) => (name === SCORE ? (value + 3) / 6 : value);

function headline({ label, probabilities, values, modalities, transcript, transcript_language, truncated, warnings = [] }) {
  const inputs = modalities.map((name) => PARTS[name] ?? name).join(" and ");
  const from = element("p", { class: "soft small" }, [`From ${inputs}.`, ...truncated, ...warnings.map((warning) => `Warning: ${warning}.`)].join(" "));
  const main = element("p", { class: "headline" });
  if (label !== null) {
    main.append(element("span", { class: "label" }, shown(label)));
    if (label in probabilities) main.append(element("span", { class: "number" }, percent(probabilities[label])));
  } else {
    for (const [name, value] of Object.entries(values)) {
      main.append(element("span", { class: "number" }, `${words(name)} ${number(value)}`));
    }
  }
  return element("div", {}, main, ...transcribed(transcript, transcript_language), from);
}

// What the server transcribed; null where a text was given, or nothing is transcribed.
function transcribed(transcript, language) {
  if (typeof transcript !== "string") return [];
  if (!transcript) return [element("p", { class: "soft small transcript" }, "Transcript: no words were recognized.")];
  const attributes = language ? { class: "transcript", lang: language } : { class: "transcript" };
  return [element("p", attributes, element("span", { class: "soft small", lang: "en" }, `Transcript${language ? ` (${language})` : ""}: `), transcript)];
}

function bars(caption, figures, label) {
  const rows = Object.entries(figures).map(([name, value]) => {
    const fill = element("span", { class: "fill" });
    fill.style.width = `${100 * value}%`;
    return row(name, name === label ? "most" : "", [fill], percent(value));
  });
  return element("table", { class: "bars" }, caption && element("caption", {}, caption), element("tbody", {}, ...rows));
}

function row(name, kind, fill, figure) {
  const track = element("span", { class: "track", "aria-hidden": "true" }, ...fill);
  return element("tr", { class: kind }, element("th", { scope: "row" }, shown(name)),
    element("td", {}, track), element("td", { class: "number" }, figure));
}

function numbers(values) {
  const rows = Object.entries(values).map(([name, value]) => {
    const share = 100 * Math.max(0, Math.min(1, inPercent(name, value)));
    const fill = element("span", { class: "fill" });
    const signed = name === SCORE; // from the middle, which is neutral
    fill.style.left = `${signed ? Math.min(50, share) : 0}%`;
    fill.style.width = `${signed ? Math.abs(share - 50) : share}%`;
    const middle = signed ? [element("span", { class: "zero" })] : [];
    return row(name, "value", [fill, ...middle], number(value));
  });
  const table = element("table", { class: "bars" }, element("tbody", {}, ...rows));
  const notes = Object.entries(values).map(beyond).filter(Boolean).map((sentence) => element("p", { class: "soft small" }, sentence));
  if (!("valence" in values && "arousal" in values)) return [table, ...notes];
  return [element("div", { class: "plane" }, plane(values), table), ...notes];
}

// A note on a value outside its scale, which a regression may predict; as shown, else "1.00" would be outside.
function beyond([name, value]) {
  const shown = number(value), share = inPercent(name, Number(shown));
  if (share >= 0 && share <= 1) return "";
  const scale = name === SCORE ? "−3 to 3" : "0 to 1";
  return `${words(name)} ${shown} is outside the scale from ${scale}; it is drawn at the end of the scale.`;
}

function plane({ valence, arousal }) {
  const size = 240, left = 26, top = 22, side = size - left - 24;
  const x = left + side * clip(valence), y = top + side * (1 - clip(arousal));
  const middle = [left + side / 2, top + side / 2];
  const caption = [`Valence ${number(valence)}, arousal ${number(arousal)}, on scales from 0 to 1.`,
    ...Object.entries({ valence, arousal }).map(beyond).filter(Boolean)].join(" ");
  const text = (content, px, py, more = {}) => shape("text", { x: px, y: py, "text-anchor": "middle", ...more }, content);
  const upright = { transform: `rotate(-90 ${left - 10} ${middle[1]})` };
  return shape("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": caption },
    shape("rect", { class: "frame", x: left, y: top, width: side, height: side, rx: 4 }),
    shape("path", { class: "grid", d: `M${middle[0]} ${top}v${side}M${left} ${middle[1]}h${side}` }),
    text("tense", left + side * 0.17, top + 18), text("lively", left + side * 0.83, top + 18),
    text("gloomy", left + side * 0.17, top + side - 9), text("calm", left + side * 0.83, top + side - 9),
    text("valence →", middle[0], size - 6, { class: "strong" }),
    text("arousal →", left - 10, middle[1], { class: "strong", ...upright }),
    shape("path", { class: "cross", d: `M${x} ${top + side}V${y}M${left} ${y}H${x}` }),
    shape("circle", { class: "point", cx: x, cy: y, r: 8 }));
}

const clip = (value) => Math.max(0, Math.min(1, value));
