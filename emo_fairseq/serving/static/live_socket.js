// The connection of a live conversation, which is made again when it is lost.

import { getToken } from "./api.js";
import { RATE } from "./audio.js";

const BEHIND = 2; // seconds of sound that wait to be sent; more is left out and reported
const WAITS = [0.5, 1, 2, 4, 8]; // seconds before another attempt
const BYTES = 2; // a sample
const ENDS = { "server-stopping": "The server is stopping, and has ended the conversation.", "time-limit": "The conversation has the length that one may have." };
const PROTOCOL = "emo-fairseq.live";

// A browser cannot send the token in a header here.
function subprotocols() {
  const token = getToken();
  return token ? [PROTOCOL, `bearer.${btoa(token).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`] : [];
}

// `onMessage(message)` for each message of the server, `onLost()` when the connection is lost, and `onEnd(sentence)`
// once nothing follows, with a sentence if that is an error.
export class LiveSocket {
  constructor(resumeSeconds, { onMessage, onLost, onEnd }) {
    this.resumeSeconds = resumeSeconds;
    this.tell = { onMessage, onLost, onEnd };
    this.session = null;
    this.recorded = 0; // samples
    this.skipped = 0; // samples that were not sent
    this.lostAt = null;
    this.nAttempts = 0;
    this.isOver = false;
    this.connect();
  }

  connect() {
    this.isReady = false;
    this.socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/live`, subprotocols());
    this.socket.onopen = () => {
      this.skipped = 0; // `position` includes it
      this.sendMessage({ type: "start", session: this.session, position: this.recorded / RATE });
    };
    this.socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    this.socket.onclose = () => this.onClose();
  }

  // A connection that is being closed takes nothing any longer, before it is known to be lost.
  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  sendMessage(message) {
    this.socket.send(JSON.stringify(message));
  }

  // Sends the next samples, unless the connection is lost or too slow.
  sendSamples(samples) {
    const length = samples.byteLength / BYTES;
    this.recorded += length;
    if (!this.isOpen) return; // the position of the next start has it
    // After the start, what is not sent is a gap.
    if (!this.isReady || this.socket.bufferedAmount > BEHIND * RATE * BYTES) this.skipped += length;
    else {
      if (this.skipped) this.sendMessage({ type: "skip", seconds: this.skipped / RATE });
      this.skipped = 0;
      this.socket.send(samples);
    }
  }

  stop() {
    if (this.isReady && this.isOpen) this.sendMessage({ type: "stop" });
    else this.finish(null);
  }

  // The page is left.
  leave() {
    this.isOver = true;
    this.socket.close(1000);
  }

  receive(message) {
    if (message.type === "error") return this.finish(message.error);
    if (message.type === "ready") {
      this.isReady = true;
      this.session = message.session;
      this.lostAt = null;
      this.nAttempts = 0;
    }
    this.tell.onMessage(message);
    if (message.type === "end") this.finish(ENDS[message.reason] ?? null);
  }

  onClose() {
    this.isReady = false;
    if (this.isOver) return;
    const now = performance.now() / 1000;
    if (this.lostAt === null) {
      this.lostAt = now;
      if (this.session !== null) this.tell.onLost();
    }
    // A browser does not say whether a connection was refused or not answered.
    if (this.session === null) return this.finish("The server does not take the connection; is it running, and not overloaded?");
    if (now - this.lostAt > this.resumeSeconds) return this.finish("The server cannot be reached; is it still running?");
    const wait = WAITS[Math.min(this.nAttempts++, WAITS.length - 1)];
    setTimeout(() => this.isOver || this.connect(), 1000 * wait);
  }

  finish(sentence) {
    if (this.isOver) return;
    this.isOver = true;
    this.socket.close(1000);
    this.tell.onEnd(sentence);
  }
}
