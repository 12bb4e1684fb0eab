// Another sample rate, a block at a time: a windowed sinc whose cutoff is below half the lower rate.

const ZEROS = 16; // zero crossings of the sinc on each side
const ROLLOFF = 0.94; // of the cutoff, so that what is above half the rate is gone

export class Resampler {
  constructor(from, to) {
    this.step = from / to; // input samples an output sample
    this.cutoff = ROLLOFF * Math.min(1, to / from);
    this.reach = Math.ceil(ZEROS / this.cutoff); // input samples on each side
    this.kept = new Float32Array(this.reach); // the input before the first sample is silence
    this.next = this.reach; // where the next output sample is, in samples of `kept`
  }

  // The output samples that the next input samples complete.
  push(block) {
    const samples = new Float32Array(this.kept.length + block.length);
    samples.set(this.kept);
    samples.set(block, this.kept.length);
    const made = [];
    while (Math.floor(this.next) + this.reach < samples.length) {
      made.push(this.at(samples, this.next));
      this.next += this.step;
    }
    const first = Math.max(0, Math.floor(this.next) - this.reach);
    this.kept = samples.slice(first);
    this.next -= first;
    return Float32Array.from(made);
  }

  at(samples, position) {
    const { cutoff, reach } = this;
    let sum = 0;
    for (let i = Math.ceil(position - reach); i <= position + reach; i++) {
      const x = position - i;
      const angle = Math.PI * cutoff * x;
      const sinc = x === 0 ? 1 : Math.sin(angle) / angle;
      sum += samples[i] * cutoff * sinc * (0.5 + 0.5 * Math.cos((Math.PI * x) / reach)); // Hann's window
    }
    return sum;
  }
}
