// A timeline as a file that the browser saves: a table of its windows, or intervals for Praat and ELAN. Labels are
// those of the model, whatever language the page shows.

import { digits, save, seconds, table } from "./save.js";
import { runsOf } from "./timeline.js";

export function saveTimelineCsv(timeline, recording, name) {
  save(timelineToCsv(timeline, recording), "text/csv", `${name}.timeline.csv`);
}

export function saveTimelineTextGrid(timeline, name) {
  save(timelineToTextGrid(timeline), "text/plain", `${name}.timeline.TextGrid`);
}

export function timelineToCsv({ segments }, recording) {
  const [first] = segments;
  const labels = Object.keys(first.probabilities), axes = Object.keys(first.values);
  const header = ["recording", "start", "end", "emotion", "confidence",
    ...labels.map((label) => `probability_${label}`), ...axes.map((axis) => `prediction_${axis}`)];
  const rows = segments.map(({ start, end, label, probabilities, values }) => [
    recording, seconds(start), seconds(end), label, digits(label === null ? null : probabilities[label]),
    ...labels.map((name) => digits(probabilities[name])), ...axes.map((axis) => digits(values[axis])),
  ]);
  return table(header, rows);
}

// One tier of labels, or one for each number. Intervals may not overlap: one ends where the next window begins.
export function timelineToTextGrid({ segments, seconds: length }) {
  const axes = Object.keys(segments[0].values);
  const tiers = axes.length
    ? axes.map((axis) => [axis, runsOf(segments, ({ values }) => digits(values[axis]))])
    : [["emotion", runsOf(segments)]];
  return [
    'File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", `xmax = ${length}`, "tiers? <exists>",
    `size = ${tiers.length}`, "item []:", ...tiers.flatMap(([name, intervals], number) => tier(name, intervals, number + 1, length)), "",
  ].join("\n");
}

function tier(name, intervals, number, length) {
  intervals.at(-1).end = length;
  return [
    `    item [${number}]:`, '        class = "IntervalTier"', `        name = "${quoted(name)}"`, "        xmin = 0",
    `        xmax = ${length}`, `        intervals: size = ${intervals.length}`,
    ...intervals.flatMap(({ start, end, value }, i) => [
      `        intervals [${i + 1}]:`, `            xmin = ${start}`, `            xmax = ${end}`, `            text = "${quoted(value ?? "")}"`,
    ]),
  ];
}

const quoted = (text) => text.replaceAll('"', '""').replaceAll(/[\r\n]+/g, " ");
