// The button that begins a recording and ends it.

import { record } from "./audio.js";

let starting = false; // while the browser asks for the microphone
let stop = null; // while it is open

// Calls `choose(recording, name)` once it has ended.
export async function toggleRecording(button, mostSeconds, { choose, showProblem, showStatus }) {
  if (stop) return stop();
  if (starting) return; // a second microphone would stay open
  starting = true;
  showProblem(null);
  try {
    stop = await record(mostSeconds, (recording) => {
      stop = null;
      button.classList.remove("on", "recording");
      button.textContent = "Record";
      choose(recording, "Recording");
    });
  } catch (error) {
    return showProblem(error);
  } finally {
    starting = false;
  }
  button.classList.add("on", "recording");
  button.textContent = "Stop";
  showStatus("Recording …");
}
