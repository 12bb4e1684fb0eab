// In the thread of the browser's audio: the microphone as blocks of 16-bit samples.

import { Resampler } from "./resampler.js";

class Capture extends AudioWorkletProcessor {
  constructor({ processorOptions: { rate, blockSamples } }) {
    super();
    this.resampler = sampleRate === rate ? null : new Resampler(sampleRate, rate);
    this.blockSamples = blockSamples;
    this.start();
  }

  start() {
    this.block = new Int16Array(this.blockSamples);
    this.filled = 0;
    this.peak = 0;
  }

  process([input]) {
    // A microphone that is muted has no channels; time goes on nevertheless.
    const heard = input.length ? input[0] : new Float32Array(128);
    for (const sample of this.resampler ? this.resampler.push(heard) : heard) {
      const clipped = Math.max(-1, Math.min(1, sample));
      this.peak = Math.max(this.peak, Math.abs(clipped));
      this.block[this.filled++] = Math.round(clipped * 32767);
      if (this.filled === this.blockSamples) {
        this.port.postMessage({ samples: this.block.buffer, peak: this.peak }, [this.block.buffer]);
        this.start();
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
