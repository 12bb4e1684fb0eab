// The page: reads the input, posts it to the API, and shows the responses.

import { getModel, post, setToken, TokenError } from "./api.js";
import { canRecord, isVideo, prepare } from "./audio.js";
import { renderCard } from "./card.js";
import { at, clock, element, plainName, shortened } from "./elements.js";
import { showExplanation } from "./explanation.js";
import { setLanguage } from "./labels.js";
import { redrawLive, setUpLive } from "./live.js";
import { playedUrl, seek, setAudio, showSegments, unsetAudio } from "./player.js";
import { showPrediction } from "./prediction.js";
import { toggleRecording } from "./recorder.js";
import { fileName } from "./save.js";
import { showTimeline } from "./timeline.js";
import { saveTimelineCsv, saveTimelineTextGrid } from "./timeline_files.js";
import { redrawConversation, setUpConversation, showConversation } from "./upload_conversation.js";

const LONG = 8; // seconds of audio above which a timeline is shown
const EXPLAINED = 15; // seconds of audio up to which it is explained without a choice of a segment

let model = null;
let sound = null; // what prepare() returned for the chosen file, its name, and `video`: the file, if the model reads it
let nChosen = 0; // files and recordings so far: only the newest becomes the sound
let running = new AbortController(); // of the latest requests
let timeline = null; // the response that is shown
let draws = {}; // functions that draw the shown responses, by the id of their part

const text = at("text");

const reads = (name) => model.modalities.includes(name) || (name === "speech" && model.transcribes !== null);

// "a", "a and b", "a, b and c"
const listed = (words) => [words.slice(0, -1).join(", "), ...words.slice(-1)].filter(Boolean).join(" and ");

async function start() {
  try {
    model = await getModel();
  } catch (error) {
    return error instanceof TokenError ? askToken(error) : showProblem(error);
  }
  at("main").hidden = false;
  at("token-form").hidden = true;
  const hears = reads("speech"), sees = reads("video");
  at("audio-part").hidden = !hears && !sees;
  at("text-part").hidden = !reads("text");
  at("record").hidden = !canRecord() || !hears;
  at("turns-part").hidden = !hears;
  at("audio-heading").textContent = hears && sees ? "Speech or video" : hears ? "Speech" : "Video";
  at("drop-hint").textContent = `Drop ${hears ? "an audio" : "a video"} ${hears && sees ? "or video " : ""}file here, or`;
  at("file").accept = [...(hears ? ["audio/*", ".wav", ".flac", ".ogg", ".mp3"] : []), ...(sees ? ["video/*", ".mkv", ".avi"] : [])].join();
  at("title").textContent = `Emotion in ${listed(["speech", "text", "video"].filter(reads))}`;
  at("lead").textContent = `The model ${model.name} predicts: ${(model.labels.length ? model.labels : model.axes).map(spaced).join(", ")}.`;
  const { upload_bytes: bytes, audio_seconds: seconds, video_seconds: filmed, video_pixels: pixels, text_characters: characters } = model.limits;
  const minutes = (length) => `${Math.round(length / 6) / 10} minutes`;
  const kinds = [];
  if (hears) kinds.push(`WAV, FLAC, Ogg or MP3, and what this browser plays, up to ${minutes(seconds)}`);
  if (sees) kinds.push(`MP4, MOV, WebM, Matroska or AVI, up to ${minutes(filmed)} and ${+(pixels / 1e6).toFixed(2)} megapixels`);
  at("audio-limits").textContent = `${kinds.join("; ")}. At most ${Math.round(bytes / 1e6)} MB.`;
  const otherwise = model.transcribes === null ? "" : ` Without it the speech is transcribed by Whisper ${model.transcribes}.`;
  at("text-limits").textContent = `${hears || sees ? `The transcript, if it is known.${otherwise} ` : ""}Up to ${characters} characters.`;
  text.maxLength = characters;
  showFacts();
  setUpConversation();
  setUpLive(model);
  at("recognize").disabled = false;
}

// Shows the form of the token in place of the page; with a problem once one has been given.
function askToken(error) {
  const wasAsked = !at("token-form").hidden;
  at("main").hidden = true;
  at("token-form").hidden = false;
  at("lead").textContent = "";
  at("token-problem").hidden = !wasAsked;
  at("token-problem").textContent = wasAsked ? error.message : "";
  at("token").focus();
}

const spaced = (name) => name.replaceAll("_", " ");

function showFacts() {
  const facts = { Name: model.name, Reads: model.modalities.join(", "), Labels: model.labels.join(", "), Numbers: model.axes.map(spaced).join(", ") };
  for (const [name, outputs] of Object.entries(model.auxiliary)) facts[`Auxiliary: ${spaced(name)}`] = outputs.map(spaced).join(", ");
  for (const [name, value] of Object.entries(facts)) {
    if (value) at("facts").append(element("dt", {}, name), element("dd", {}, value));
  }
  at("card-part").hidden = !model.card;
  at("card").replaceChildren(...renderCard(model.card));
}

// -- input --

async function choose(file, name) {
  const mine = ++nChosen;
  running.abort();
  showProblem(null);
  showStatus("Reading the file …");
  let prepared = null;
  try {
    prepared = await prepare(file, model.limits.upload_bytes);
  } catch {
    if (mine === nChosen) showProblem(new Error("The browser cannot read this file."));
  }
  if (mine !== nChosen || !prepared) return;
  const video = reads("video") && isVideo(file, name) ? file : null;
  if (video && video.size > model.limits.upload_bytes) {
    return showProblem(new Error(`The video has ${Math.ceil(video.size / 1e6)} MB; the limit is ${Math.round(model.limits.upload_bytes / 1e6)} MB.`));
  }
  sound = { ...prepared, name, video };
  at("sound").hidden = false;
  at("sound-file").textContent = shortened(name);
  at("sound-file").title = plainName(name);
  at("sound-seconds").textContent = sound.seconds ? `, ${clock(sound.seconds)}` : "";
  setAudio(file, sound);
  await recognize();
}

function remove() {
  nChosen++; // a file that is still being read is discarded
  running.abort();
  showStatus("");
  at("timeline-part").hidden = at("segments").hidden = at("conversation-part").hidden = true; // they show the audio
  sound = null;
  unsetAudio();
  at("sound").hidden = true;
  at("file").value = "";
}

// -- requests --

// Aborts running requests, and returns the signal of new ones: an older response never replaces a newer one.
function newSignal() {
  running.abort();
  running = new AbortController();
  return running.signal;
}

async function recognize() {
  const signal = newSignal();
  const given = { audio: sound?.file, video: sound?.video, text: at("text-part").hidden ? "" : text.value, signal };
  showProblem(null);
  if (!given.audio && !given.text.trim()) {
    return showProblem(new Error(!at("audio-part").hidden ? "There is nothing to recognize yet." : "Write a text first."));
  }
  at("explanation-part").hidden = at("timeline-part").hidden = at("conversation-part").hidden = true;
  try {
    showStatus(await showAll(given));
  } catch (error) {
    if (signal.aborted) return;
    showProblem(error);
  }
}

// Draws a part, now and whenever another language is chosen.
function draw(part, show) {
  draws[part] = show;
  show();
}

function clearPrediction() {
  draws = {};
  at("prediction").replaceChildren();
  at("nothing").hidden = false;
}

async function showAll({ video, ...given }) {
  showStatus("Recognizing …");
  const prediction = await post("predict", video ? { ...given, audio: undefined, video } : given).catch((error) => {
    if (!given.signal.aborted) clearPrediction(); // beside the error it would look like the response
    throw error;
  });
  at("nothing").hidden = true;
  draw("prediction", () => at("prediction").replaceChildren(...showPrediction(prediction)));
  bringIntoView(at("prediction-part"));
  const seconds = given.audio ? prediction.seconds ?? sound.seconds ?? 0 : 0;
  if (seconds > LONG && model.modalities.includes("speech")) {
    showStatus("Predicting the timeline …");
    timeline = await post("timeline", given);
    at("timeline-part").hidden = false;
    at("timeline-about").hidden = !video;
    const explainRun = (start, end) => explainSegment(given, start, end);
    draw("timeline", () => showTimeline(at("timeline"), timeline, explainRun, seek));
  }
  if (seconds > EXPLAINED) return at("timeline-part").hidden ? "Done." : "Done. Choose a segment of the timeline to explain it.";
  if (video) return "Done."; // what is explained is speech and text alone, which is another prediction
  await explain(prediction.transcript ? { ...given, ...transcribedInput(given, prediction.transcript) } : given);
  return "Done.";
}

// What to explain with a transcript that is there already; a model of text alone gets no audio.
function transcribedInput(given, transcript) {
  return { audio: model.modalities.includes("speech") ? given.audio : undefined, text: transcript };
}

async function explain(given, part = {}, truncated = []) {
  showStatus("Computing weights of words and segments …");
  const explanation = await post("explain", { ...given, ...part });
  explanation.truncated.push(...truncated);
  at("explanation-part").hidden = false;
  draw("explanation", () => at("explanation").replaceChildren(...showExplanation(explanation)));
  showSegments(explanation.intervals, sound, part);
}

async function analyze() {
  const signal = newSignal();
  showProblem(null);
  showStatus("Recognizing the turns …");
  try {
    await showConversation({ audio: sound.file, signal }, sound.name, playedUrl());
    showStatus("Done.");
    bringIntoView(at("conversation-part"));
  } catch (error) {
    if (!signal.aborted) showProblem(error);
  }
}

async function explainSegment(given, start, end) {
  const signal = newSignal();
  seek(start, true);
  showProblem(null);
  const most = model.limits.explained_seconds;
  const truncated = end - start > most ? [`Of the segment from ${clock(start)} to ${clock(end)} only the first ${+most.toFixed(2)} s are explained.`] : [];
  try {
    await explain({ ...given, signal }, { start, end: Math.min(end, start + most) }, truncated);
    showStatus("Done.");
    bringIntoView(at("explanation-part"));
  } catch (error) {
    if (!signal.aborted) showProblem(error);
  }
}

// -- status --

// On a narrow screen the response is below the visible part.
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

// -- events --

at("language").addEventListener("change", ({ target }) => {
  setLanguage(target.value);
  for (const redraw of Object.values(draws)) redraw();
  redrawConversation();
  redrawLive();
});
at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken(at("token").value.trim());
  start();
});
at("timeline-csv").addEventListener("click", () => saveTimelineCsv(timeline, sound?.name ?? "", fileName(sound?.name ?? "", "recording")));
at("timeline-textgrid").addEventListener("click", () => saveTimelineTextGrid(timeline, fileName(sound?.name ?? "", "recording")));

at("form").addEventListener("submit", (event) => { event.preventDefault(); recognize(); });
at("file").addEventListener("change", ({ target }) => target.files[0] && choose(target.files[0], target.files[0].name));
at("record").addEventListener("click", ({ currentTarget }) =>
  toggleRecording(currentTarget, Math.min(model.limits.audio_seconds, 600), { choose, showProblem, showStatus }));
at("analyze").addEventListener("click", analyze);
at("remove").addEventListener("click", () => { remove(); at("file").focus(); });
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("form").requestSubmit();
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // elsewhere the browser would open the file in place of the page
    at("drop").classList.toggle("over", kind === "dragover");
    const file = kind === "drop" && event.dataTransfer.files[0];
    if (file && !at("audio-part").hidden) choose(file, file.name);
  });
}

start();
