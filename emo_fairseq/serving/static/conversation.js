// A conversation: its player, turns by speaker along time, values over time, shares of time, and the
// list of turns. It depends on nothing else, so that a page that is opened from disk can contain it.
// Text goes in as text: nothing is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";
const LANE = 40, GAP = 6, SCALE = 20, PANEL = 76; // heights in px
const ZOOMS = [1, 2, 4, 8, 16, 32];
const WIDEST = 30_000; // px of a drawing: wider ones are slow
const RANGES = { sentiment_score: [-3, 3] }; // others are on [0, 1]
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "1 4", "12 4"]; // of speakers, in order
// Okabe & Ito's colors. Labels that most corpora share have the same one in every page.
const COLORS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#9467bd", "#8c6d31", "#17a2a2"];
const FAMILIAR = {
  angry: 5, anger: 5, happy: 1, happiness: 1, joy: 1, excited: 6, sad: 0, sadness: 0, fear: 7, fearful: 7, disgust: 2,
  surprise: 4, surprised: 4, frustrated: 3, frustration: 3, positive: 1, negative: 0,
};
const CALM = "#8a9199"; // of neutral, and of turns without a label
// Characters that turn the direction of what follows: a name would seem to end in another suffix than its own.
const DIRECTIONS = /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const UNKNOWN = "speaker unknown";

const views = new WeakMap();

// Draw a conversation, as `Conversation.to_document()` gives it, into an element. Drawing into the
// same element again replaces what changed, and keeps the player, the selection and the zoom.
// `audioUrl` may be null. Returns { update, destroy, select, play }.
export function renderConversation(element, conversation, audioUrl = null) {
  let view = views.get(element);
  if (!view) views.set(element, (view = new View(element)));
  view.update(conversation, audioUrl);
  return view.handle;
}

class View {
  constructor(element) {
    this.element = element;
    this.zoom = 1;
    this.selected = -1;
    this.current = -1;
    this.until = null; // where a turn that is played ends
    this.rows = []; // of the list: { key, item, button }
    this.url = null;
    this.handle = {
      update: (conversation, audioUrl = this.url) => this.update(conversation, audioUrl),
      destroy: () => this.destroy(),
      select: (index) => this.select(index),
      play: (index) => this.play(index),
    };
    this.build();
    this.observer = new ResizeObserver(() => {
      const width = Math.floor(this.scroller.clientWidth);
      if (width > 0 && width !== this.width) this.draw();
    });
    this.observer.observe(this.scroller);
  }

  build() {
    this.summary = make("p", { class: "conversation-summary" });
    this.notes = make("ul", { class: "conversation-notes", hidden: true });
    this.player = make("audio", { class: "conversation-player", controls: true, preload: "metadata", hidden: true });
    this.player.addEventListener("timeupdate", () => this.follow());
    this.player.addEventListener("play", () => this.tick());
    this.player.addEventListener("seeking", () => { // by its user
      if (Math.abs(this.player.currentTime - this.turns[this.selected]?.start) > 0.3) this.until = null;
    });
    this.problem = make("p", { class: "conversation-problem", role: "alert", hidden: true });
    this.player.addEventListener("error", () => {
      this.problem.textContent = "The audio cannot be played here: the file is missing, or this browser does not know its format.";
      this.problem.hidden = !this.url;
    });
    this.legend = make("ul", { class: "conversation-legend", "aria-label": "Colors" });
    this.out = button("−", "Show more of the recording", () => this.setZoom(-1));
    this.in = button("+", "Show less of the recording, in more detail", () => this.setZoom(1));
    const zoom = make("div", { class: "conversation-zoom", role: "group", "aria-label": "Zoom" }, this.out, this.in);
    this.scroller = make("div", {
      class: "conversation-scroller", tabindex: "0", role: "group",
      "aria-label": "Turns by speaker. Arrow keys select a turn, Enter plays it.",
    });
    this.scroller.addEventListener("keydown", (event) => this.onKey(event));
    this.scroller.addEventListener("click", (event) => this.onClick(event));
    this.names = make("div", { class: "conversation-names", "aria-hidden": "true" });
    this.status = make("p", { class: "conversation-status", "aria-live": "polite" });
    this.shares = make("div", { class: "conversation-shares" });
    this.list = make("ol", { class: "conversation-turns", "aria-label": "Turns" });
    this.list.addEventListener("keydown", (event) => this.onListKey(event));
    this.list.addEventListener("click", (event) => {
      const item = event.target.closest("li");
      if (item && getSelection().isCollapsed) this.play(Number(item.dataset.index));
    });
    const head = make("div", { class: "conversation-head" }, make("h2", {}, "Turns over time"), zoom);
    this.element.classList.add("conversation");
    this.element.replaceChildren(
      this.summary, this.notes, this.player, this.problem,
      make("section", {}, head, this.legend,
        make("div", { class: "conversation-plot" }, this.names, this.scroller), this.status),
      make("section", {}, make("h2", {}, "Share of time"), this.shares),
      make("section", {}, make("h2", {}, "List of turns"), this.list));
  }

  destroy() {
    this.observer.disconnect();
    this.player.pause();
    this.player.removeAttribute("src");
    views.delete(this.element);
    this.element.classList.remove("conversation");
    this.element.replaceChildren();
  }

  update(conversation, audioUrl) {
    this.turns = conversation.turns;
    this.labels = conversation.labels ?? [];
    this.axes = conversation.axes ?? [];
    this.seconds = Math.max(conversation.seconds ?? 0, latest(this.turns), 1e-3);
    this.speakers = [...new Set(this.turns.map((turn) => turn.speaker ?? null))];
    this.color = colors(this.labels);
    this.letter = letters(this.labels);
    this.shownNames = conversation.names ?? {}; // of labels
    this.shared = sharedWarnings(this.turns);
    if (audioUrl !== this.url) {
      this.url = audioUrl;
      this.problem.hidden = true;
      this.player.hidden = !audioUrl;
      if (audioUrl) this.player.src = audioUrl;
      else this.player.removeAttribute("src");
    }
    if (this.selected >= this.turns.length) this.selected = -1;
    this.current = -1;
    this.describe(conversation);
    this.showLegend();
    this.showShares();
    this.showList();
    this.draw();
    this.select(this.selected, false);
  }

  named(label) {
    return this.shownNames[label] ?? words(label ?? "");
  }

  // -- what is said above ------------------------------------------------------------------------

  describe({ recording, seconds, notes = [], skipped = {} }) {
    const n = this.turns.length, whole = clock(seconds ?? this.seconds); // a turn may end after the recording
    const spoken = this.turns.reduce((sum, turn) => sum + turn.end - turn.start, 0);
    const known = this.speakers.filter((name) => name !== null).length;
    const parts = [
      plural(n, "turn"), ...(known ? [plural(known, "speaker")] : []),
      `${clock(spoken)} of speech in ${whole}`,
    ];
    const shifts = this.turns.filter((turn) => turn.shift).length;
    if (this.labels.length) parts.push(plural(shifts, "emotion shift"));
    const errors = this.turns.filter((turn) => turn.error).length;
    if (errors) parts.push(`${plural(errors, "turn")} without a prediction`);
    const name = make("bdi", {}, (recording ?? "").replaceAll(DIRECTIONS, "")); // whose direction is its own
    const rest = n ? ` · ${parts.filter(Boolean).join(" · ")}` : `: no speech in ${whole}`;
    this.summary.replaceChildren(name, recording ? rest : rest.replace(/^ · /, ""));
    const lines = [...notes, ...this.shared.map((warning) => `every turn: ${warning}`), ...Object.entries(skipped).map(([what, count]) => `${what}: ${count}`)];
    this.notes.replaceChildren(...lines.map((line) => make("li", {}, line)));
    this.notes.hidden = !lines.length;
  }

  showLegend() {
    const used = this.labels.filter((label) => this.turns.some((turn) => turn.label === label));
    const keys = used.map((label) => {
      const key = make("span", { class: "conversation-key", "aria-hidden": "true" }, this.letter[label]);
      key.style.setProperty("--conversation-color", this.color[label]);
      return make("li", {}, key, this.named(label));
    });
    if (this.axes.length && this.speakers.length > 1) {
      keys.push(...this.speakers.map((name, number) => make("li", {}, shape("svg", { class: "conversation-dash", width: 28, height: 8, "aria-hidden": "true" },
        shape("path", { class: "conversation-line", d: "M0 4H28", "stroke-dasharray": dash(number) })), make("span", { dir: "auto" }, name ?? UNKNOWN))));
    }
    const more = this.labels.length ? ["the higher the color, the more confident", "◆ emotion shift"] : [];
    this.legend.replaceChildren(...keys, ...more.map((line) => make("li", { class: "conversation-soft" }, line)));
  }

  // -- the drawing -------------------------------------------------------------------------------

  setZoom(step) {
    const box = this.scroller, before = this.zoom;
    const at = ZOOMS.indexOf(this.zoom) + step;
    if (at < 0 || at >= ZOOMS.length) return;
    const turn = this.turns[this.selected];
    const middle = (box.scrollLeft + box.clientWidth / 2) / before;
    this.zoom = ZOOMS[at];
    this.draw();
    const aim = turn ? ((turn.start + turn.end) / 2) * this.scale : middle * this.zoom;
    box.scrollLeft = aim - box.clientWidth / 2;
  }

  draw() {
    this.width = Math.floor(this.scroller.clientWidth);
    if (!this.width || !this.turns) return; // not shown yet
    const most = Math.max(1, WIDEST / this.width);
    const width = Math.floor(this.width * Math.min(this.zoom, most));
    this.scale = width / this.seconds;
    this.out.disabled = this.zoom === ZOOMS[0];
    this.in.disabled = this.zoom === ZOOMS.at(-1) || this.zoom * 2 > most;
    const { lanes, laneOf } = lanesOf(this.turns, this.speakers);
    const panels = this.axes.filter((axis) => this.turns.some((turn) => axis in turn.values));
    const top = lanes.length * (LANE + GAP) + SCALE;
    const height = top + panels.length * (PANEL + GAP);
    this.marks = this.turns.map((turn, index) => this.mark(turn, index, laneOf[index] * (LANE + GAP)));
    this.head = shape("line", { class: "conversation-playhead", y1: 0, y2: height, x1: -9, x2: -9 });
    const grounds = lanes.map((_, row) => shape("rect", {
      class: "conversation-lane", x: 0, y: row * (LANE + GAP), width, height: LANE,
    }));
    const caption = `${plural(this.turns.length, "turn")} by speaker over ${clock(this.seconds)}; the list below has the same.`;
    this.scroller.replaceChildren(shape("svg", { width, height, role: "img", "aria-label": caption },
      ...grounds, ...this.marks, ...times(this.seconds, width, top - 5),
      ...panels.flatMap((axis, row) => this.arc(axis, top + row * (PANEL + GAP), width)), this.head));
    this.names.replaceChildren(
      ...lanes.map((name) => named(name ?? UNKNOWN, LANE + GAP)),
      make("span", { class: "conversation-space" }),
      ...panels.map((axis) => named(words(axis), PANEL + GAP, range(axis).join(" to "))));
    this.moveHead(this.player.currentTime || 0);
    this.paint(this.selected, "conversation-selected", true);
    this.paint(this.current, "conversation-current", true);
  }

  mark(turn, index, y) {
    const x = turn.start * this.scale, width = Math.max(1.5, (turn.end - turn.start) * this.scale - 1);
    const share = turn.confidence ?? 0, label = turn.label;
    const group = shape("g", { class: turn.error ? "conversation-turn conversation-error" : "conversation-turn", "data-index": index });
    group.style.setProperty("--conversation-color", this.color[label] ?? CALM);
    group.append(
      shape("title", {}, this.tell(turn)),
      shape("rect", { class: "conversation-tint", x, y, width, height: LANE }),
      shape("rect", { class: "conversation-fill", x, y: y + LANE * (1 - share), width, height: LANE * share }));
    const name = turn.error ? "no prediction" : label === null ? "" : this.named(label);
    const short = turn.error ? "!" : this.letter[label] ?? "";
    const text = width > 7.5 * name.length + 6 ? name : width > 8 * short.length + 3 ? short : "";
    if (text) group.append(shape("text", { x: x + 4, y: y + LANE / 2 + 5 }, text));
    if (turn.shift) group.append(shape("path", { class: "conversation-shift", d: `M${x} ${y}l4.5 4.5l-4.5 4.5l-4.5 -4.5z` }));
    return group;
  }

  // The values of an axis: a bar as long as each turn, and a line through those of each speaker.
  arc(axis, top, width) {
    const [low, high] = range(axis);
    const y = (value) => top + PANEL - 4 - (PANEL - 8) * Math.max(0, Math.min(1, (value - low) / (high - low)));
    const lines = this.speakers.map((name, number) => {
      const points = this.turns.filter((turn) => (turn.speaker ?? null) === name && axis in turn.values);
      const bars = points.map((turn) => `M${turn.start * this.scale} ${y(turn.values[axis])}H${Math.max(turn.start * this.scale + 2, turn.end * this.scale)}`);
      const middles = points.map((turn) => `${((turn.start + turn.end) / 2) * this.scale} ${y(turn.values[axis])}`);
      return [
        shape("path", { class: "conversation-line", d: middles.length ? `M${middles.join("L")}` : "", "stroke-dasharray": dash(number) }),
        shape("path", { class: "conversation-bar", d: bars.join("") }),
      ];
    });
    return [
      shape("rect", { class: "conversation-lane", x: 0, y: top, width, height: PANEL }),
      shape("path", { class: "conversation-grid", d: `M0 ${y((low + high) / 2)}H${width}` }),
      ...lines.flat(),
    ];
  }

  tell(turn) {
    const parts = [`${clock(turn.start)} to ${clock(turn.end)}`, turn.speaker, outcome(turn, this.named(turn.label)), turn.text];
    return parts.filter(Boolean).join(", ");
  }

  // -- shares of time ----------------------------------------------------------------------------

  showShares() {
    const groups = this.speakers.length > 1 ? [["all", this.turns]] : [];
    for (const name of this.speakers) {
      groups.push([name ?? UNKNOWN, this.turns.filter((turn) => (turn.speaker ?? null) === name)]);
    }
    const spoken = seconds(this.turns);
    const body = groups.map(([name, turns]) => make("tr", {},
      make("th", { scope: "row", dir: "auto" }, name),
      make("td", { class: "conversation-number" }, `${clock(seconds(turns))} (${percent(seconds(turns) / spoken)})`),
      make("td", {}, ...this.shareOf(turns))));
    const head = make("tr", {}, ...["Speaker", "Speech", this.labels.length ? "Emotions" : "Means"].map((name) => make("th", { scope: "col" }, name)));
    this.shares.replaceChildren(...(body.length ? [make("table", {}, make("thead", {}, head), make("tbody", {}, ...body))] : []));
  }

  shareOf(turns) {
    if (!this.labels.length) {
      const means = this.axes.map((axis) => {
        const known = turns.filter((turn) => axis in turn.values), time = seconds(known);
        return time ? `${words(axis)} ${(known.reduce((sum, turn) => sum + turn.values[axis] * (turn.end - turn.start), 0) / time).toFixed(2)}` : "";
      });
      return [make("span", {}, means.filter(Boolean).join(", "))];
    }
    const all = seconds(turns);
    const parts = [...this.labels, null].map((label) => [label, seconds(turns.filter((turn) => (turn.label ?? null) === label)) / all])
      .filter(([, share]) => share > 0).sort((a, b) => b[1] - a[1]);
    const bar = make("span", { class: "conversation-stack", "aria-hidden": "true" }, ...parts.map(([label, share]) => {
      const piece = make("span", { class: label === null ? "conversation-none" : null }, share > 0.08 ? this.letter[label] ?? "" : "");
      piece.style.setProperty("--conversation-color", this.color[label] ?? CALM);
      piece.style.width = `${100 * share}%`;
      return piece;
    }));
    const sentence = parts.map(([label, share]) => `${label === null ? "no prediction" : this.named(label)} ${percent(share)}`).join(", ");
    return [bar, make("span", { class: "conversation-small" }, sentence)];
  }

  // -- the list of turns -------------------------------------------------------------------------

  showList() {
    const top = this.list.scrollTop;
    this.rows = this.turns.map((turn, index) => {
      const key = JSON.stringify([turn, this.shared, !this.url, this.shownNames]), before = this.rows[index];
      return before?.key === key ? before : { key, ...this.row(turn, index) };
    });
    const items = this.rows.map((row) => row.item);
    items.forEach((item, index) => { if (this.list.children[index] !== item) this.list.insertBefore(item, this.list.children[index] ?? null); });
    while (this.list.children.length > items.length) this.list.lastChild.remove();
    this.list.scrollTop = top;
    this.rows.forEach((row, index) => { row.button.tabIndex = index === Math.max(0, this.selected) ? 0 : -1; });
  }

  row(turn, index) {
    const time = make("button", { type: "button", class: "conversation-time", tabindex: "-1" }, `${clock(turn.start)}–${clock(turn.end)}`);
    time.setAttribute("aria-label", `${this.url ? "Play" : "Select"} ${clock(turn.start)} to ${clock(turn.end)}`);
    const name = make("span", { class: "conversation-speaker", dir: "auto" }, turn.speaker ?? "");
    const text = make("span", { class: "conversation-text", dir: "auto" }, turn.text ?? "");
    const emotion = make("span", { class: "conversation-emotion" });
    if (turn.label !== null) {
      const bar = make("span", { class: "conversation-confidence", "aria-hidden": "true" }, make("span"));
      bar.style.setProperty("--conversation-color", this.color[turn.label] ?? CALM);
      bar.firstChild.style.width = `${100 * (turn.confidence ?? 0)}%`;
      emotion.append(make("strong", {}, this.named(turn.label)), ` ${percent(turn.confidence ?? 0)}`, bar);
    }
    const values = Object.entries(turn.values).map(([axis, value]) => `${words(axis)} ${value.toFixed(2)}`).join(", ");
    if (values) emotion.append(make("span", { class: "conversation-small" }, values));
    const own = turn.warnings.filter((warning) => !this.shared.includes(warning));
    const notes = [...turn.truncations, ...own].map((sentence) => make("span", { class: "conversation-small" }, sentence));
    if (turn.shift) notes.unshift(make("span", { class: "conversation-badge" }, "◆ emotion shift"));
    if (turn.error) notes.push(make("span", { class: "conversation-failed" }, `No prediction: ${turn.error}`));
    const item = make("li", { "data-index": index }, time, name, text, emotion);
    if (notes.length) item.append(make("span", { class: "conversation-marks" }, ...notes));
    return { item, button: time };
  }

  // -- selection and playing ---------------------------------------------------------------------

  select(index, scrolls = true) {
    this.paint(this.selected, "conversation-selected", false);
    const before = this.rows[Math.max(0, this.selected)];
    this.selected = this.turns[index] ? index : -1;
    this.paint(this.selected, "conversation-selected", true);
    const row = this.rows[Math.max(0, this.selected)];
    if (before && before !== row) before.button.tabIndex = -1;
    if (row) row.button.tabIndex = 0;
    const turn = this.turns[this.selected];
    if (scrolls) this.status.textContent = turn ? this.tell(turn) : "";
    if (turn && scrolls) this.show(this.selected);
  }

  // Scroll the drawing and the list, and never the page.
  show(index) {
    const turn = this.turns[index], box = this.scroller;
    const from = turn.start * this.scale, to = Math.min(turn.end * this.scale, from + box.clientWidth);
    if (from < box.scrollLeft || to > box.scrollLeft + box.clientWidth) box.scrollLeft = from - box.clientWidth / 4;
    const item = this.rows[index].item, list = this.list;
    const top = item.offsetTop - list.offsetTop;
    if (top < list.scrollTop || top + item.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 4;
  }

  paint(index, name, is) {
    this.marks?.[index]?.classList.toggle(name, is);
    this.rows[index]?.item.classList.toggle(name, is);
  }

  play(index) {
    const turn = this.turns[index];
    if (!turn) return;
    this.select(index);
    if (!this.url) return;
    this.until = turn.end;
    this.player.currentTime = turn.start;
    this.player.play().catch(() => {}); // a browser may refuse, or not know the file
  }

  // A player reports its time four times a second: too seldom to end with a turn.
  tick() {
    if (this.player.paused) return;
    this.follow();
    requestAnimationFrame(() => this.tick());
  }

  follow() {
    const now = this.player.currentTime;
    if (this.until !== null && now >= this.until) {
      this.until = null;
      this.player.pause();
    }
    this.moveHead(now);
    const index = this.player.paused ? -1 : this.turns.findLastIndex((turn) => turn.start <= now && now < turn.end);
    if (index === this.current) return;
    this.paint(this.current, "conversation-current", false);
    this.current = index;
    this.paint(index, "conversation-current", true);
    if (index >= 0) this.show(index);
  }

  moveHead(second) {
    for (const side of ["x1", "x2"]) this.head?.setAttribute(side, this.url ? second * this.scale : -9);
  }

  onClick(event) {
    const group = event.target.closest?.("[data-index]");
    if (group) return this.play(Number(group.dataset.index));
    if (!this.url) return;
    const box = this.scroller.getBoundingClientRect();
    this.until = null;
    this.player.currentTime = Math.max(0, (event.clientX - box.left + this.scroller.scrollLeft) / this.scale);
    this.moveHead(this.player.currentTime);
  }

  onKey(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) this.select(Math.max(0, Math.min(this.turns.length - 1, this.selected + step)));
    else if (event.key === "Home") this.select(0);
    else if (event.key === "End") this.select(this.turns.length - 1);
    else if (event.key === "Enter" || event.key === " ") this.toggle();
    else return;
    event.preventDefault();
  }

  onListKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const to = step ? this.selected + step : { Home: 0, End: this.turns.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.select(Math.max(0, Math.min(this.turns.length - 1, to)));
    this.rows[this.selected].button.focus({ preventScroll: true });
  }

  toggle() {
    if (this.player.paused) this.play(Math.max(0, this.selected));
    else this.player.pause();
  }
}

// -- elements --------------------------------------------------------------------------------------

function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function shape(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

function button(text, label, onclick) {
  const made = make("button", { type: "button", "aria-label": label, title: label }, text);
  made.addEventListener("click", onclick);
  return made;
}

function named(name, height, more = "") {
  const made = make("span", { class: "conversation-name", title: name }, make("span", { dir: "auto" }, name));
  if (more) made.append(make("span", { class: "conversation-small" }, more));
  made.style.height = `${height}px`;
  return made;
}

// Marks at round seconds, as many as have room.
function times(length, width, y) {
  const room = width / 64;
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find((s) => length / s <= room) ?? 7200;
  const marks = [];
  for (let second = 0; second <= length * 0.97; second += step) {
    marks.push(shape("text", { class: "conversation-clock", x: (second * width) / length + 2, y }, clock(second)));
  }
  return marks;
}

// -- turns, names and numbers ----------------------------------------------------------------------

// A lane for each speaker, and more for turns of one name that overlap.
function lanesOf(turns, speakers) {
  const ends = new Map(speakers.map((name) => [name, []]));
  const places = turns.map((turn) => {
    const free = ends.get(turn.speaker ?? null);
    const at = free.findIndex((end) => end <= turn.start + 1e-6);
    const row = at < 0 ? free.length : at;
    free[row] = turn.end;
    return [turn.speaker ?? null, row];
  });
  const first = new Map();
  const lanes = [];
  for (const name of speakers) {
    first.set(name, lanes.length);
    ends.get(name).forEach(() => lanes.push(name));
  }
  return { lanes, laneOf: places.map(([name, row]) => first.get(name) + row) };
}

function colors(labels) {
  const used = new Set(labels.map((label) => FAMILIAR[label.toLowerCase()]));
  const free = COLORS.filter((_, index) => !used.has(index));
  let next = 0;
  const taken = new Set();
  return Object.fromEntries(labels.map((label) => {
    const name = label.toLowerCase();
    if (name === "neutral" || name === "calm") return [label, CALM];
    const familiar = FAMILIAR[name];
    if (familiar !== undefined && !taken.has(familiar)) {
      taken.add(familiar);
      return [label, COLORS[familiar]];
    }
    return [label, free[next++ % free.length] ?? CALM];
  }));
}

// The shortest beginning of each label that no other label has.
function letters(labels) {
  return Object.fromEntries(labels.map((label) => {
    let n = 1;
    while (n < label.length && labels.some((other) => other !== label && other.slice(0, n) === label.slice(0, n))) n++;
    return [label, label.slice(0, n)];
  }));
}

// Warnings that all of several turns have, such as of a model that lacks an input: they are shown once.
function sharedWarnings(turns) {
  const predicted = turns.filter((turn) => !turn.error);
  if (predicted.length < 2) return [];
  return predicted[0].warnings.filter((warning) => predicted.every((turn) => turn.warnings.includes(warning)));
}

const latest = (turns) => turns.reduce((most, turn) => Math.max(most, turn.end), 0);
const seconds = (turns) => turns.reduce((sum, turn) => sum + turn.end - turn.start, 0);
const dash = (number) => DASHES[number % DASHES.length];
const range = (axis) => RANGES[axis] ?? [0, 1];
const words = (name) => name.replaceAll("_", " ");
const percent = (value) => `${Math.round(100 * (value || 0))} %`;
const plural = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

function outcome(turn, name) {
  if (turn.error) return `no prediction: ${turn.error}`;
  const values = Object.entries(turn.values).map(([axis, value]) => `${words(axis)} ${value.toFixed(2)}`);
  const label = turn.label === null ? [] : [`${name} ${percent(turn.confidence)}`];
  return [...label, ...(turn.shift ? ["emotion shift"] : []), ...values].join(", ");
}

// Hours, minutes and seconds; below a minute tenths too. Rounded once, so that it carries.
function clock(time) {
  const tenths = Math.round(10 * time), whole = Math.floor(tenths / 10);
  const rest = tenths < 600 && tenths % 10 ? `.${tenths % 10}` : "";
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}${rest}`;
}
