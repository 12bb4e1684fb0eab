// The chosen audio: its player, its waveform, and the waveform of the segment that was explained.

import { RATE } from "./audio.js";
import { at } from "./elements.js";
import { drawWave } from "./wave.js";

const player = at("player");
let moveHeads = []; // functions that move the heads of the waveforms

export function setAudio(file, { samples, seconds }) {
  URL.revokeObjectURL(player.src);
  player.src = URL.createObjectURL(file);
  player.hidden = !samples; // what cannot be decoded cannot be played
  at("wave").replaceChildren();
  moveHeads = samples ? [drawWave(at("wave"), { samples, start: 0, end: seconds }, seek)] : [];
}

export function unsetAudio() {
  player.pause();
  URL.revokeObjectURL(player.src);
  player.removeAttribute("src");
  player.load(); // else it keeps its buffer
  at("wave").replaceChildren();
  moveHeads = [];
}

// The part that was explained (by default all), with the weights of its segments.
export function showSegments(segments, sound, { start = 0, end = sound?.seconds }) {
  const box = at("segments");
  box.hidden = !(segments.length && sound?.samples);
  box.replaceChildren();
  moveHeads.length = Math.min(moveHeads.length, 1);
  if (box.hidden) return;
  const samples = sound.samples.subarray(Math.round(start * RATE), Math.round(end * RATE));
  moveHeads.push(drawWave(box, { samples, start, end, segments }, seek));
}

export function seek(second, play = false) {
  player.currentTime = second;
  moveHeads.forEach((move) => move(second));
  if (play) player.play().catch(() => {}); // a browser may refuse, or not know the file
}

player.addEventListener("timeupdate", () => moveHeads.forEach((move) => move(player.currentTime)));
