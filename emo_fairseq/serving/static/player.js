// The chosen audio or video: its player, its waveform, and the waveform of the segment that was explained.

import { RATE } from "./audio.js";
import { at } from "./elements.js";
import { drawWave } from "./wave.js";

const players = [at("player"), at("video-player")];
let player = players[0]; // of the chosen file
let moveHeads = []; // functions that move the heads of the waveforms

// Plays `video` where there is one, else the file.
export function setAudio(file, { samples, seconds, video }) {
  unsetAudio();
  player = players[video ? 1 : 0];
  player.src = URL.createObjectURL(video ?? file);
  player.hidden = !(video || samples); // audio that cannot be decoded cannot be played; a video reports it
  moveHeads = samples ? [drawWave(at("wave"), { samples, start: 0, end: seconds }, seek)] : [];
}

export function unsetAudio() {
  player.pause();
  URL.revokeObjectURL(player.src);
  player.removeAttribute("src");
  player.load(); // else it keeps its buffer
  player.hidden = true;
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

// The address of what is played.
export const playedUrl = () => player.src;

for (const each of players) {
  each.addEventListener("timeupdate", () => moveHeads.forEach((move) => move(each.currentTime)));
  each.addEventListener("error", () => { each.hidden = true; });
}
