// A conversation as a file that the browser saves; the server has no part in it.

export function saveJson(document, name) {
  save(JSON.stringify(document, null, 1), "application/json", `${name}.json`);
}

export function saveCsv(document, name) {
  save(toCsv(document), "text/csv", `${name}.csv`);
}

// The columns of `emotion-recognize analyze`, so that `evaluate --recordings` reads the file.
export function toCsv({ recording, labels, axes, turns }) {
  const hasChannels = turns.some((turn) => turn.channel);
  const header = [
    "recording", "start", "end", "speaker", ...(hasChannels ? ["channel"] : []), "text", "emotion", "confidence", ...labels.map((label) => `probability_${label}`),
    ...axes.map((axis) => `prediction_${axis}`), "shift", "truncated", "warning", "error",
  ];
  const rows = turns.map((turn) => [
    recording, seconds(turn.start), seconds(turn.end), turn.speaker, ...(hasChannels ? [turn.channel] : []), turn.text, turn.label, digits(turn.confidence),
    ...labels.map((label) => digits(turn.probabilities[label])), ...axes.map((axis) => digits(turn.values[axis])),
    turn.shift === null ? null : Number(turn.shift), turn.truncations.join("; "), turn.warnings.join("; "), turn.error,
  ]);
  return table(header, rows);
}

export function table(header, rows) {
  return [header, ...rows].map((row) => row.map(cell).join(",") + "\n").join("");
}

// The name of a recording without its suffix, as that of a file: without characters that a system refuses or that
// turn the direction of the letters after them, and not too long for one.
export function fileName(recording, otherwise) {
  const name = recording.replace(/\.[^.]*$/, "").replaceAll(/[\u0000-\u001f\u007f<>:"/\\|?*\u200e\u200f\u202a-\u202e\u2066-\u2069]+/g, "_");
  return [...name].slice(0, 80).join("").trim() || otherwise;
}

export const seconds = (time) => String(Number(time.toFixed(3)));
export const digits = (value) => (typeof value === "number" ? String(Number(value.toPrecision(6))) : null);

function cell(value) {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function save(content, type, name) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = window.document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000); // the browser reads it after the click
}
