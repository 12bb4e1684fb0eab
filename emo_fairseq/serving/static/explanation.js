// The words in the text's order, shaded by their weight, with what was left out said below.

import { clock, element, number, numbersBehind } from "./elements.js";

export function showExplanation({ label, words, moments, left_out: leftOut, cut }) {
  const parts = [legend(label)];
  if (words.length) parts.push(text(words, label));
  for (const sentence of [...cut, ...leftOut]) parts.push(element("p", { class: "soft small" }, sentence));
  const signed = (weight) => `${weight < 0 ? "−" : "+"}${number(Math.abs(weight), 3)}`;
  if (words.length) {
    const rows = words.map(({ word, weight }) => [word, signed(weight)]);
    parts.push(numbersBehind("The words’ weights", ["word", "weight"], rows));
  }
  if (moments.length) {
    const rows = moments.map(({ start, end, weight }) => [`${clock(start)} to ${clock(end)}`, signed(weight)]);
    parts.push(numbersBehind("The moments’ weights", ["moment", "weight"], rows));
  }
  return parts;
}

function legend(label) {
  const key = (kind, says) => element("span", {}, element("span", { class: `key ${kind}`, "aria-hidden": "true" }), says);
  if (label === null) {
    const says = "Each word or moment was taken away once; the more the numbers moved, the darker or the taller.";
    return element("p", { class: "soft small" }, says);
  }
  return element("div", {},
    element("p", { class: "legend small" }, key("for", `speaks for ${label}`), key("against", `against ${label} (dashed, or downwards)`)),
    element("p", { class: "soft small" }, "Each word or moment was taken away once; its weight is what the label’s log-probability lost."));
}

function text(words, label) {
  const most = Math.max(...words.map(({ weight }) => Math.abs(weight)), 1e-9);
  const spans = words.flatMap(({ word, weight }) => {
    const amount = Math.abs(weight) / most;
    const direction = weight < 0 ? "against" : "for";
    const kind = amount < 0.05 ? "" : ` is-${direction}`;
    const title = label === null ? `moved the numbers by ${number(weight, 3)}` : `${direction} ${label}: ${number(weight, 3)}`;
    const span = element("span", { class: `word${kind}`, title }, word);
    span.style.setProperty("--amount", amount.toFixed(2));
    return [span, " "];
  });
  return element("p", { class: "words" }, ...spans);
}
