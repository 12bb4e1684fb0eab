// The chosen sound: its player, its waveform, and the waveform of the part that was explained.

import { RATE } from "./audio.js";
import { at } from "./elements.js";
import { drawWave } from "./wave.js";

const player = at("player");
let moveHeads = []; // functions that move the heads of the waveforms

export function hear(file, { samples, seconds }) {
  URL.revokeObjectURL(player.src);
  player.src = URL.createObjectURL(file);
  player.hidden = !samples; // what cannot be decoded cannot be played
  at("wave").replaceChildren();
  moveHeads = samples ? [drawWave(at("wave"), { samples, start: 0, end: seconds }, seek)] : [];
}

export function silence() {
  player.pause();
  URL.revokeObjectURL(player.src);
  player.removeAttribute("src");
  player.load(); // else it keeps what it had read
  at("wave").replaceChildren();
  moveHeads = [];
}

// The part that was explained (by default all), with the weights of its moments.
export function showMoments(moments, sound, { start = 0, end = sound?.seconds }) {
  const place = at("moments");
  place.hidden = !(moments.length && sound?.samples);
  place.replaceChildren();
  moveHeads.length = Math.min(moveHeads.length, 1);
  if (place.hidden) return;
  const samples = sound.samples.subarray(Math.round(start * RATE), Math.round(end * RATE));
  moveHeads.push(drawWave(place, { samples, start, end, moments }, seek));
}

export function seek(second, play = false) {
  player.currentTime = second;
  moveHeads.forEach((move) => move(second));
  if (play) player.play().catch(() => {}); // a browser may refuse, or not know the file
}

player.addEventListener("timeupdate", () => moveHeads.forEach((move) => move(player.currentTime)));
