// A conversation as a file that the browser saves; the server has no part in it.

export function saveJson(document, name) {
  save(JSON.stringify(document, null, 1), "application/json", `${name}.json`);
}

export function saveCsv(document, name) {
  save(toCsv(document), "text/csv", `${name}.csv`);
}

// A row for each turn, with a column for each label and each value.
export function toCsv({ recording, labels, axes, turns }) {
  const header = ["recording", "start", "end", "speaker", "text", "emotion", "confidence", ...labels, ...axes, "error"];
  const rows = turns.map((turn) => [
    recording, turn.start.toFixed(3), turn.end.toFixed(3), turn.speaker, turn.text, turn.label, turn.confidence,
    ...labels.map((label) => turn.probabilities[label]), ...axes.map((axis) => turn.values[axis]), turn.error,
  ]);
  return [header, ...rows].map((row) => row.map(cell).join(",") + "\r\n").join("");
}

function cell(value) {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function save(content, type, name) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = window.document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000); // the browser reads it after the click
}
