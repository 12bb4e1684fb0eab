// The page: what was given, what is asked of the server, and where its answers go.

import { ask, getModel } from "./api.js";
import { canRecord, prepare } from "./audio.js";
import { renderCard } from "./card.js";
import { at, clock, element } from "./elements.js";
import { showExplanation } from "./explanation.js";
import { hear, seek, showMoments, silence } from "./player.js";
import { showPrediction } from "./prediction.js";
import { toggleRecording } from "./recorder.js";
import { showTimeline } from "./timeline.js";

const LONG = 8; // seconds of audio from which on a timeline is shown
const EXPLAINED = 15; // seconds up to which moments are weighed without being asked for

let model = null;
let sound = null; // what prepare() made of the chosen audio
let taken = 0; // files and recordings so far: only the newest becomes the sound
let running = new AbortController(); // of whatever was asked last

const text = at("text");

async function begin() {
  try {
    model = await getModel();
  } catch (error) {
    return showProblem(error);
  }
  const reads = (name) => model.modalities.includes(name);
  at("audio-part").hidden = !reads("speech");
  at("text-part").hidden = !reads("text");
  at("record").hidden = !canRecord();
  const parts = ["speech", "text"].filter(reads);
  at("title").textContent = `Emotion in ${parts.join(" and ")}`;
  at("lead").textContent = `The model ${model.name} tells apart: ${(model.labels.length ? model.labels : model.axes).map(spaced).join(", ")}.`;
  at("question-heading").textContent = { "speech": "Say something", "text": "Write something" }[parts.join()] ?? "Say or write something";
  const { upload_bytes: bytes, audio_seconds: seconds, text_characters: characters } = model.limits;
  at("audio-limits").textContent = `WAV, FLAC, Ogg or MP3, and what this browser plays; up to ${Math.round(bytes / 1e6)} MB and ${Math.round(seconds / 6) / 10} minutes.`;
  at("text-limits").textContent = `${reads("speech") ? "What is said, if it is known. " : ""}Up to ${characters} characters.`;
  text.maxLength = characters;
  showFacts();
  at("ask").disabled = false;
}

const spaced = (name) => name.replaceAll("_", " ");

function showFacts() {
  const facts = { Name: model.name, Reads: model.modalities.join(", "), Labels: model.labels.join(", "), Numbers: model.axes.map(spaced).join(", ") };
  for (const [name, answers] of Object.entries(model.auxiliary)) facts[`Also ${spaced(name)}`] = answers.map(spaced).join(", ");
  for (const [name, value] of Object.entries(facts)) {
    if (value) at("facts").append(element("dt", {}, name), element("dd", {}, value));
  }
  at("card-part").hidden = !model.card;
  at("card").replaceChildren(...renderCard(model.card));
}

// -- what is given --

async function take(file, name) {
  const mine = ++taken;
  running.abort();
  showProblem(null);
  showStatus("Reading the audio …");
  let prepared = null;
  try {
    prepared = await prepare(file, model.limits.upload_bytes);
  } catch {
    if (mine === taken) showProblem(new Error("The browser cannot read this file."));
  }
  if (mine !== taken || !prepared) return;
  sound = prepared;
  at("sound").hidden = false;
  at("sound-name").textContent = sound.seconds ? `${name}, ${clock(sound.seconds)}` : name;
  hear(file, sound);
  await answer();
}

function drop() {
  taken++; // what is still being read comes too late
  running.abort();
  showStatus("");
  at("course").hidden = at("moments").hidden = true; // they are of the sound
  sound = null;
  silence();
  at("sound").hidden = true;
  at("file").value = "";
}

// -- what is asked --

// Aborts what runs, and returns the signal of what begins: what is older never draws over what is newer.
function begun() {
  running.abort();
  running = new AbortController();
  return running.signal;
}

async function answer() {
  const signal = begun();
  const given = { audio: sound?.file, text: at("text-part").hidden ? "" : text.value, signal };
  showProblem(null);
  if (!given.audio && !given.text.trim()) {
    return showProblem(new Error(model.modalities.includes("speech") ? "There is nothing to recognize yet." : "Write a text first."));
  }
  at("mattered").hidden = at("course").hidden = true;
  try {
    showStatus(await showAll(given));
  } catch (error) {
    if (signal.aborted) return;
    showProblem(error);
  }
}

function forget() {
  at("prediction").replaceChildren();
  at("nothing").hidden = false;
}

async function showAll(given) {
  showStatus("Recognizing …");
  const prediction = await ask("predict", given).catch((error) => {
    if (!given.signal.aborted) forget(); // beside the problem it would be taken for the answer
    throw error;
  });
  at("nothing").hidden = true;
  at("prediction").replaceChildren(...showPrediction(prediction));
  bringIntoView(at("answer"));
  const heard = given.audio ? prediction.seconds ?? sound.seconds ?? 0 : 0;
  if (heard > LONG) {
    showStatus("Following the audio …");
    const course = await ask("timeline", given);
    at("course").hidden = false;
    showTimeline(at("timeline"), course, (start, end) => choose(given, start, end), seek);
  }
  if (heard > EXPLAINED) return "Done. Choose a stretch of the timeline to see what mattered in it.";
  await showReasons(given);
  return "Done.";
}

async function showReasons(given, part = {}, cut = []) {
  showStatus("Weighing words and moments …");
  const explanation = await ask("explain", { ...given, ...part });
  explanation.cut.push(...cut);
  at("mattered").hidden = false;
  at("explanation").replaceChildren(...showExplanation(explanation));
  showMoments(explanation.moments, sound, part);
}

async function choose(given, start, end) {
  const signal = begun();
  seek(start, true);
  showProblem(null);
  const most = model.limits.explained_seconds;
  const cut = end - start > most ? [`Of the stretch from ${clock(start)} to ${clock(end)} only the first ${+most.toFixed(2)} s are weighed.`] : [];
  try {
    await showReasons({ ...given, signal }, { start, end: Math.min(end, start + most) }, cut);
    showStatus("Done.");
    bringIntoView(at("mattered"));
  } catch (error) {
    if (!signal.aborted) showProblem(error);
  }
}

// -- what is said about it --

// On a narrow screen an answer comes up below the screen's end.
function bringIntoView(section) {
  if (section.getBoundingClientRect().top > 0.8 * window.innerHeight) section.scrollIntoView();
}

function showStatus(sentence) {
  at("status").textContent = sentence;
}

function showProblem(error) {
  at("problem").hidden = !error;
  at("problem").textContent = error ? error.message : "";
  if (error) showStatus("");
}

// -- what the person does --

at("form").addEventListener("submit", (event) => { event.preventDefault(); answer(); });
at("file").addEventListener("change", ({ target }) => target.files[0] && take(target.files[0], target.files[0].name));
at("record").addEventListener("click", ({ currentTarget }) =>
  toggleRecording(currentTarget, Math.min(model.limits.audio_seconds, 600), { take, showProblem, showStatus }));
at("remove").addEventListener("click", () => { drop(); at("file").focus(); });
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("form").requestSubmit();
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // elsewhere the browser would open the file in place of the page
    at("drop").classList.toggle("over", kind === "dragover");
    const file = kind === "drop" && event.dataTransfer.files[0];
    if (file && !at("audio-part").hidden) take(file, file.name);
  });
}

begin();
