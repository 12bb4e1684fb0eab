// The words of the text, shaded by their weights, and below what was not explained.

import { clock, element, number, numbersBehind } from "./elements.js";
import { shown } from "./labels.js";

export function showExplanation({ label, words, intervals, left_out: leftOut, truncated }) {
  const parts = [legend(label)];
  if (words.length) parts.push(text(words, label));
  for (const sentence of [...truncated, ...leftOut]) parts.push(element("p", { class: "soft small" }, sentence));
  const signed = (weight) => `${weight < 0 ? "−" : "+"}${number(Math.abs(weight), 3)}`;
  if (words.length) {
    const rows = words.map(({ word, weight }) => [word, signed(weight)]);
    parts.push(numbersBehind("Weights of the words", ["word", "weight"], rows));
  }
  if (intervals.length) {
    const rows = intervals.map(({ start, end, weight }) => [`${clock(start)} to ${clock(end)}`, signed(weight)]);
    parts.push(numbersBehind("Weights of the segments", ["segment", "weight"], rows));
  }
  return parts;
}

function legend(label) {
  const key = (kind, caption) => element("span", {}, element("span", { class: `key ${kind}`, "aria-hidden": "true" }), caption);
  if (label === null) {
    const caption = "Each word or segment was occluded once; darker or taller: the values changed more.";
    return element("p", { class: "soft small" }, caption);
  }
  return element("div", {},
    element("p", { class: "legend small" }, key("for", `supports ${shown(label)}`), key("against", `opposes ${shown(label)} (dashed, or downwards)`)),
    element("p", { class: "soft small" }, "Each word or segment was occluded once; its weight is the decrease of the label’s log-probability."));
}

function text(words, label) {
  const most = Math.max(...words.map(({ weight }) => Math.abs(weight)), 1e-9);
  const spans = words.flatMap(({ word, weight }) => {
    const amount = Math.abs(weight) / most;
    const direction = weight < 0 ? "against" : "for";
    const kind = amount < 0.05 ? "" : ` is-${direction}`;
    const title = label === null ? `changed the values by ${number(weight, 3)}` : `${direction === "for" ? "supports" : "opposes"} ${shown(label)}: ${number(weight, 3)}`;
    const span = element("span", { class: `word${kind}`, title }, word);
    span.style.setProperty("--amount", amount.toFixed(2));
    return [span, " "];
  });
  return element("p", { class: "words" }, ...spans);
}
