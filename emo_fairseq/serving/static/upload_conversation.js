// The conversation of an upload: its options, the request, and the view with the chosen audio.

import { post } from "./api.js";
import { renderConversation } from "./conversation.js";
import { at } from "./elements.js";
import { shownNames } from "./labels.js";
import { fileName, saveCsv, saveJson } from "./save.js";

const FORMATS = { rttm: "rttm", textgrid: "textgrid", eaf: "eaf", srt: "srt", vtt: "vtt", json: "whisper", csv: "csv", tsv: "csv" };

let shown = null; // the document of the view
let name = "conversation";
let audioUrl = null;

export function setUpConversation() {
  at("conversation-csv").addEventListener("click", () => saveCsv(shown, name));
  at("conversation-json").addEventListener("click", () => saveJson(shown, name));
}

// Requests the turns of the chosen audio and shows them; `url` is what the player plays.
export async function showConversation({ audio, signal }, recording, url) {
  const [turns] = at("turns").files;
  const which = turns ? { turns, turns_format: format(turns.name) } : { speakers: at("speakers").value };
  shown = await post("conversation", { audio, signal, recording, ...which });
  name = fileName(recording, "conversation");
  audioUrl = url;
  at("conversation-part").hidden = false;
  redrawConversation();
}

export function redrawConversation() {
  if (shown) renderConversation(at("conversation"), { ...shown, names: shownNames(shown.labels) }, audioUrl);
}

function format(file) {
  const suffix = file.split(".").at(-1).toLowerCase();
  if (suffix in FORMATS) return FORMATS[suffix];
  throw new Error(`${file} is no file of turns; choose one of ${Object.keys(FORMATS).map((s) => `.${s}`).join(", ")}.`);
}
