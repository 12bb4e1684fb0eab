// The microphone: blocks of 16-bit samples at the models' rate while it is open.

import { RATE } from "./audio.js";

export const BLOCK_SECONDS = 0.1;

export const canListen = () => Boolean(navigator.mediaDevices?.getUserMedia && window.AudioWorkletNode);

// Asks for the microphone. `onBlock({ samples: ArrayBuffer, peak })` for each block; `onEnd()` when it is unplugged
// or its permission is taken away. Returns a function that closes it.
export async function openMicrophone(onBlock, onEnd) {
  const stream = await ask();
  const stop = () => stream.getTracks().forEach((track) => track.stop());
  let opened = null;
  try {
    opened = connect(stream);
    await opened.context.audioWorklet.addModule("/static/capture.js");
  } catch {
    stop();
    opened?.context.close();
    throw new Error("This browser cannot pass on the sound of the microphone.");
  }
  const { context, source } = opened;
  const options = { rate: RATE, blockSamples: Math.round(RATE * BLOCK_SECONDS) };
  const node = new AudioWorkletNode(context, "capture", { channelCount: 1, channelCountMode: "explicit", processorOptions: options });
  node.port.onmessage = ({ data }) => onBlock(data);
  source.connect(node).connect(context.destination); // its output is silence
  await context.resume();
  stream.getAudioTracks()[0].onended = onEnd;
  return () => {
    node.port.onmessage = null;
    stop();
    context.close();
  };
}

async function ask() {
  // As in training: the loudness is part of an emotion, so nothing levels it.
  const audio = { channelCount: 1, autoGainControl: false, echoCancellation: false, noiseSuppression: false };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    const reasons = {
      NotFoundError: "There is no microphone.",
      NotReadableError: "The microphone cannot be opened; another program may be using it.",
    };
    throw new Error(reasons[error.name] ?? "The microphone is not allowed; allow it in the browser.");
  }
}

// Most browsers resample by themselves; Firefox refuses, and the worklet resamples.
function connect(stream) {
  for (const options of [{ sampleRate: RATE }, {}]) {
    const context = new AudioContext(options);
    try {
      return { context, source: context.createMediaStreamSource(stream) };
    } catch {
      context.close();
    }
  }
  throw new Error("no AudioContext takes the stream");
}
