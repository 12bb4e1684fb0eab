// Recorded or chosen audio: decoded for drawing, and as a file that the server can read.

export const RATE = 16000; // Hz: the sample rate of the models

// The beginnings of files that the server reads as they are: WAV, FLAC, Ogg, MP3, AIFF. An MPEG frame holds its
// layer: III is MP3, and none is AAC (ADTS), which only the browser reads.
const KNOWN = [/^RIFF/, /^RF64/, /^fLaC/, /^OggS/, /^ID3/, /^\xff[\xe2\xe3\xf2\xf3\xfa\xfb]/, /^FORM/];
export const isKnown = (start) => KNOWN.some((known) => known.test(start));

const VIDEO_NAME = /\.(mp4|m4v|mov|webm|mkv|avi)$/i;
export const isVideo = (file, name) => (file.type ? file.type.startsWith("video/") : VIDEO_NAME.test(name));

// { file: Blob to send, samples: Float32Array or null, seconds or null }
export async function prepare(file, mostBytes) {
  const bytes = await file.arrayBuffer();
  const samples = await decode(bytes.slice(0));
  const seconds = samples && samples.length / RATE;
  const start = String.fromCharCode(...new Uint8Array(bytes.slice(0, 4)));
  const sendable = isKnown(start) && file.size <= mostBytes;
  return { file: sendable || !samples ? file : wav(samples), samples, seconds };
}

async function decode(bytes) {
  try {
    const buffer = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(bytes);
    return mono(buffer);
  } catch {
    return null; // the server may still read it, or returns the reason
  }
}

function mono(buffer) {
  const mixed = buffer.getChannelData(0);
  for (let channel = 1; channel < buffer.numberOfChannels; channel++) {
    const other = buffer.getChannelData(channel);
    for (let i = 0; i < mixed.length; i++) mixed[i] += other[i];
  }
  if (buffer.numberOfChannels > 1) for (let i = 0; i < mixed.length; i++) mixed[i] /= buffer.numberOfChannels;
  return mixed;
}

// 16-bit mono WAV.
export function wav(samples, rate = RATE) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const letters = (offset, word) => [...word].forEach((c, i) => view.setUint8(offset + i, c.charCodeAt(0)));
  letters(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  letters(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // length of what follows
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a frame
  view.setUint16(34, 16, true); // bits
  letters(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  for (let i = 0; i < samples.length; i++) {
    const sample = Math.max(-1, Math.min(1, samples[i]));
    view.setInt16(44 + 2 * i, Math.round(sample * 32767), true);
  }
  return new Blob([view.buffer], { type: "audio/wav" });
}

export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && window.MediaRecorder);

// Starts at once; `stop()` gives the recording as a Blob. Nothing leaves the browser meanwhile.
export async function record(mostSeconds, onEnd) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch (error) {
    const missing = error.name === "NotFoundError";
    throw new Error(missing ? "There is no microphone." : "The microphone is not allowed; allow it in the browser.");
  }
  const close = () => stream.getTracks().forEach((track) => track.stop());
  let recorder;
  try {
    recorder = new MediaRecorder(stream);
  } catch {
    close();
    throw new Error("This browser cannot record.");
  }
  const pieces = [];
  recorder.ondataavailable = (event) => pieces.push(event.data);
  recorder.onstop = () => {
    clearTimeout(timer);
    close();
    onEnd(new Blob(pieces, { type: recorder.mimeType }));
  };
  recorder.start();
  const stop = () => recorder.state !== "inactive" && recorder.stop();
  const timer = setTimeout(stop, 1000 * mostSeconds);
  return stop;
}
