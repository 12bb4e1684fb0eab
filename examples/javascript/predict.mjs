// Predict the emotion of one recording or text with a model folder, in Node:
//
//     node predict.mjs FOLDER [--audio speech.wav] [--text "What was said."] [--graph model.int8.onnx]
//
// model.yaml of the folder describes what goes in and comes out; nothing else about the model is
// known here. Prints logits and scores as JSON.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Tokenizer } from "@huggingface/tokenizers";
import * as ort from "onnxruntime-node";
import { parse } from "yaml";
import { predict } from "./model.mjs";

/** Return the samples of a mono WAV file in [-1, 1]; 16-bit integers or 32-bit floats. */
function readWav(file, sampleRate) {
  const data = readFileSync(file);
  let format, rate, channels, bits;
  for (let at = 12; at + 8 <= data.length; ) {
    const name = data.toString("latin1", at, at + 4);
    const size = data.readUInt32LE(at + 4);
    const body = data.subarray(at + 8, at + 8 + size);
    if (name === "fmt ") {
      [format, channels, rate] = [body.readUInt16LE(0), body.readUInt16LE(2), body.readUInt32LE(4)];
      bits = body.readUInt16LE(14);
    }
    if (name === "data") {
      if (rate !== sampleRate || channels !== 1) {
        throw new Error(`${file}: ${rate} Hz, ${channels} channels; resample it to ${sampleRate} Hz mono`);
      }
      if (format === 3 && bits === 32) {
        return Float32Array.from({ length: size / 4 }, (_, n) => body.readFloatLE(4 * n));
      }
      if (format === 1 && bits === 16) {
        return Float32Array.from({ length: size / 2 }, (_, n) => body.readInt16LE(2 * n) / 32768);
      }
      throw new Error(`${file}: WAV format ${format} of ${bits} bits; give 16-bit integers`);
    }
    at += 8 + size + (size % 2);
  }
  throw new Error(`${file}: no WAV file`);
}

/** Return the tokenizer of a model folder. */
function readTokenizer(folder) {
  const file = join(folder, "text", "tokenizer.json");
  if (!existsSync(file)) throw new Error(`${file}: the tokenizer of this model has no such file`);
  return new Tokenizer(JSON.parse(readFileSync(file, "utf8")), {});
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    audio: { type: "string" },
    text: { type: "string" },
    graph: { type: "string", default: "model.onnx" },
  },
});
const folder = positionals[0];
const model = parse(readFileSync(join(folder, "model.yaml"), "utf8"));
const session = await ort.InferenceSession.create(join(folder, options.graph));
const samples = options.audio && readWav(options.audio, model.modalities.speech.sample_rate);
const tokenizer = options.text === undefined ? undefined : readTokenizer(folder);
const result = await predict(ort, session, model, { samples, text: options.text, tokenizer });
console.log(JSON.stringify(result));
