// The live conversation: a button, the level of the microphone, what is going on, and the view of its turns.

import { renderConversation } from "./conversation.js";
import { at, clock, number, percent } from "./elements.js";
import { LiveSocket } from "./live_socket.js";
import { shown as shownLabel, shownNames } from "./labels.js";
import { canListen, openMicrophone } from "./microphone.js";
import { words } from "./prediction.js";
import { saveCsv, saveJson } from "./save.js";

const NAME = "Live conversation";
const FALL = 0.7; // of the meter, a block
const FLOOR_DB = -60;

let model = null;
let starting = false; // while the browser asks for the microphone
let running = null; // { socket, close } while there is a conversation
let shown = null; // the document of the view
let view = null; // what renderConversation returned
let counts = null; // of turns that arrived, and of those that did not
let before = null; // the counts when the server's conversation began
let state = null; // of the server: { speaking, waiting }
let level = 0;

export function setUpLive(described) {
  model = described;
  const { missing } = model.live;
  const unable = missing ?? (canListen() ? null : insecure());
  at("live-part").hidden = false;
  at("live-unable").hidden = unable === null;
  at("live-unable").textContent = unable === null ? "" : `Live is not available. ${unable}`;
  at("live-controls").hidden = unable !== null;
  at("live-warnings").textContent = unable === null ? model.live.warnings.map((warning) => `${sentence(warning)}.`).join(" ") : "";
  at("live-button").addEventListener("click", toggle);
  at("live-csv").addEventListener("click", () => saveCsv(shown, "live"));
  at("live-json").addEventListener("click", () => saveJson(shown, "live"));
  window.addEventListener("pagehide", () => running?.socket.leave());
}

const sentence = (text) => text[0].toUpperCase() + text.slice(1);

// Browsers give the microphone to pages of this machine and to encrypted ones alone.
function insecure() {
  return window.isSecureContext
    ? "This browser has no microphone for pages."
    : "The browser gives a page the microphone only over https, or at localhost.";
}

async function toggle() {
  if (running) return running.socket.stop();
  if (starting) return; // a second microphone would stay open
  starting = true;
  showProblem("");
  showStatus("Waiting for the microphone …");
  let socket = null;
  try {
    const close = await openMicrophone((block) => {
      level = Math.max(FALL * level, block.peak);
      showLevel();
      socket?.sendSamples(block.samples);
    }, () => socket?.stop());
    begin();
    socket = new LiveSocket(model.live.resume_seconds, { onMessage, onLost, onEnd });
    running = { socket, close };
    showButton(true);
  } catch (error) {
    showStatus("");
    showProblem(error.message);
  } finally {
    starting = false;
  }
}

function begin() {
  shown = { recording: NAME, seconds: 0, labels: model.labels, axes: model.live.axes, skipped: {}, notes: [], turns: [] };
  counts = { received: 0, dropped: 0, lost: 0, tooShort: 0 };
  before = null;
  view?.destroy();
  at("live-result").hidden = true;
  at("live-latest").textContent = "";
  showStatus("Connecting …");
}

// -- messages --

function onMessage(message) {
  const kinds = { ready: onReady, turn: onTurn, dropped: onDropped, status: onStatus, end: onStatus };
  kinds[message.type]?.(message);
}

function onReady(message) {
  if (message.resumed) {
    // What was found and has not arrived was lost with the connection.
    const since = (name) => counts[name] - before[name];
    counts.lost += message.turns - since("received") - since("dropped") - since("lost");
  } else {
    if (before) note(`At ${clock(message.seconds)} the connection had been lost for too long: for the model a new conversation begins.`);
    before = { ...counts };
  }
  onStatus(message);
}

function onTurn({ type, number: _, delay, ...turn }) {
  counts.received += 1;
  shown.turns.push(turn);
  shown.seconds = Math.max(shown.seconds, turn.end);
  const latest = turn.error ?? (turn.label === null
    ? Object.entries(turn.values).map(([axis, value]) => `${words(axis)} ${number(value)}`).join(", ")
    : `${shownLabel(turn.label)} ${percent(turn.confidence)}`);
  at("live-latest").textContent = latest;
  state.waiting = Math.max(0, state.waiting - 1);
  showState();
  showView();
}

function onDropped() {
  counts.dropped += 1;
  showView();
}

function onStatus({ seconds, speaking = false, waiting = 0, too_short: tooShort }) {
  shown.seconds = Math.max(shown.seconds, seconds);
  counts.tooShort = before.tooShort + tooShort;
  state = { speaking, waiting };
  showState();
}

function onLost() {
  showStatus("The connection is lost; connecting again …");
}

function onEnd(problem) {
  running?.close();
  running = null;
  level = 0;
  showLevel();
  showButton(false);
  showStatus(problem ? "" : `Stopped at ${clock(Math.floor(shown.seconds))}.`);
  showProblem(problem ?? "");
  showView();
}

// -- what is shown --

// After another language was chosen.
export function redrawLive() {
  if (view && shown?.turns.length) showView();
}

function note(line) {
  shown.notes.push(line);
}

function showView() {
  const skipped = {
    "turns that were not predicted, since the model is too slow": counts.dropped,
    "turns that were lost with the connection": counts.lost,
    "stretches of speech that were too short": counts.tooShort,
  };
  shown.skipped = Object.fromEntries(Object.entries(skipped).filter(([, count]) => count > 0));
  if (!shown.turns.length && !Object.keys(shown.skipped).length) return;
  at("live-result").hidden = false;
  view = renderConversation(at("live-view"), { ...shown, names: shownNames(shown.labels) }, null);
}

function showButton(on) {
  const button = at("live-button");
  button.classList.toggle("on", on);
  button.classList.toggle("recording", on);
  button.textContent = on ? "Stop" : "Live";
}

function showLevel() {
  const decibels = 20 * Math.log10(Math.max(level, 1e-6));
  at("live-level").value = Math.max(0, 1 - decibels / FLOOR_DB);
}

function showState() {
  const now = state.waiting ? `${state.waiting} waiting to be predicted` : state.speaking ? "speech" : "listening";
  showStatus(`${clock(Math.floor(shown.seconds))} · ${now}`);
}

function showStatus(line) {
  at("live-status").textContent = line;
}

function showProblem(line) {
  at("live-problem").hidden = !line;
  at("live-problem").textContent = line;
}
