// The waveform, with the weights of its segments below it: upwards for the label, downwards against.

import { clock, fitted, shape } from "./elements.js";

const SHAPE = 72, WEIGHTS = 56, SCALE = 16; // heights in px

// Samples from second `start` to `end`, with `segments` of which each has a start, an end and a weight.
// Returns a function that moves the head to a second.
export function drawWave(box, { samples, start, end, segments = [] }, onSeek) {
  const seconds = end - start;
  let head = null, scale = 0;
  const draw = (width) => {
    scale = width / seconds;
    const height = SHAPE + (segments.length ? WEIGHTS : 0) + SCALE;
    head = shape("line", { class: "head", y1: 0, y2: height - SCALE, x1: -9, x2: -9 });
    const caption = `Waveform of ${seconds.toFixed(1)} seconds` + (segments.length ? ", with the weight of each segment" : "");
    return shape("svg", { width, height, role: "img", "aria-label": caption, onclick: (event) => onSeek(start + event.offsetX / scale) },
      shape("path", { class: "wave-shape", d: outline(samples, width) }),
      ...weights(segments, start, scale, width), ...times(start, end, width, height), head);
  };
  fitted(box, draw);
  return (second) => {
    if (head) for (const side of ["x1", "x2"]) head.setAttribute(side, (second - start) * scale);
  };
}

function outline(samples, width) {
  const above = [], below = [];
  const loudest = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0.05);
  for (let x = 0; x < width; x++) {
    const first = Math.floor((x * samples.length) / width);
    const last = Math.max(first + 1, Math.floor(((x + 1) * samples.length) / width));
    let low = 0, high = 0;
    for (let i = first; i < last && i < samples.length; i++) {
      if (samples[i] < low) low = samples[i];
      if (samples[i] > high) high = samples[i];
    }
    const y = (value) => (SHAPE / 2) * (1 - (0.94 * value) / loudest);
    above.push(`${x} ${(y(high) - 0.5).toFixed(1)}`);
    below.push(`${x} ${(y(low) + 0.5).toFixed(1)}`);
  }
  return `M${above.join("L")}L${below.reverse().join("L")}Z`;
}

function weights(segments, from, scale, width) {
  if (!segments.length) return [];
  const most = Math.max(...segments.map(({ weight }) => Math.abs(weight)), 1e-9);
  const middle = SHAPE + WEIGHTS / 2;
  const bars = segments.map(({ start, end, weight }) => {
    const tall = (Math.abs(weight) / most) * (WEIGHTS / 2 - 4);
    return shape("rect", {
      class: weight < 0 ? "against" : "for", x: (start - from) * scale + 0.5, width: Math.max(1, (end - start) * scale - 1),
      y: weight < 0 ? middle : middle - tall, height: Math.max(0.75, tall),
    });
  });
  return [shape("line", { class: "axis", x1: 0, x2: width, y1: middle, y2: middle }), ...bars];
}

// Marks at round seconds, as many as have room.
export function times(start, end, width, height, left = 0) {
  const room = (width - left) / 56, seconds = end - start;
  const step = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300].find((s) => seconds / s <= room) ?? 600;
  const marks = [];
  for (let second = Math.ceil(start / step) * step; second <= start + seconds * 0.96; second += step) {
    const x = left + ((width - left) * (second - start)) / seconds;
    marks.push(shape("text", { x: x + 2, y: height - 3 }, clock(second)));
  }
  return marks;
}
