// The playground in the browser: the picture, the knobs and the curves. What they show is computed elsewhere (live.py):
// `model` passes messages to there, {do: …}, and back, {kind: …}. No imports, and nothing is fetched.

const LIMIT = 1.6; // half the width of the square, as in playground.py
const SIZE = 360; // pixels of the picture's side
const REAL = "#0072B2", FAKE = "#D55E00", JUDGE = "#009E73";
const SHADES = [[240, 183, 142], [247, 214, 191], [255, 255, 255], [198, 224, 242], [148, 196, 230]]; // plots.SURFACE
const SPEEDS = [1, 2, 5, 10, 20, 50, 100, 200];
const KEPT = 400; // points of a curve; beyond, every second one is dropped

// A knob: its words, and from a slider's position to the value and back. Rates and γ go by powers of ten, lowest: 0.
const decades = (low, high) => ({
  min: low, max: high, step: 0.05,
  value: (at) => (at <= low ? 0 : Number((10 ** at).toPrecision(2))),
  at: (value) => (value > 0 ? Math.log10(value) : low),
});
const plain = (min, max, step) => ({ min, max, step, value: Number, at: Number });
const KNOBS = {
  g_rate: ["G's learning rate", decades(-5, -1)],
  d_rate: ["D's learning rate", decades(-5, -1)],
  d_steps: ["steps of D for each of G", plain(1, 20, 1)],
  gamma: ["γ of R1", decades(-2, 2)],
  momentum: ["momentum (Adam's b1)", plain(0, 0.95, 0.05)],
  speed: ["steps a picture", { min: 0, max: 7, step: 1, value: (at) => SPEEDS[at], at: (v) => SPEEDS.findIndex((s) => s >= v) }],
};
const LISTS = { loss: "loss", size: "units in a layer", data: "data" };
const CURVES = [
  ["D(x), D(G(z))", [["d_real", REAL], ["d_fake", FAKE]], 1],
  ["loss of D, of G", [["d_loss", JUDGE], ["g_loss", FAKE]], null],
  ["modes found", [["found", JUDGE]], 1],
];
const STYLE = `
.gan-play { font: 13px/1.4 system-ui, sans-serif; max-width: 900px; }
.gan-play .sides { display: flex; flex-wrap: wrap; gap: 12px; }
.gan-play canvas { display: block; background: #fff; max-width: 100%; }
.gan-play .picture { cursor: crosshair; touch-action: none; border: 1px solid #8888; }
.gan-play .knobs { flex: 1 1 220px; min-width: 0; display: grid; gap: 2px; align-content: start; }
.gan-play label { display: grid; grid-template-columns: 1fr 3.6em; align-items: center; }
.gan-play label input[type=range] { grid-column: 1 / 3; width: 100%; margin: 0; }
.gan-play .row { display: flex; flex-wrap: wrap; gap: 4px; margin: 4px 0; align-items: center; }
.gan-play .row label { display: flex; gap: 4px; }
.gan-play button, .gan-play select, .gan-play input, .gan-play textarea { font: inherit; }
.gan-play textarea { width: 100%; box-sizing: border-box; }
.gan-play [role=status] { min-height: 1.4em; margin: 2px 0; }
.gan-play figure { margin: 0; } .gan-play figcaption { font-size: 12px; }`;

function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

const floats = (view) => new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
const bytes = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

function render({ model, el }) {
  const ask = (command) => model.send(command);
  let settings = {}, playing = false, real = new Float32Array(0), drawn = [], history = [], view = null, heard = 0;

  // --- what is on the page ---
  const picture = make("canvas", { className: "picture", width: SIZE, height: SIZE });
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", "Real points blue, fakes orange, D's verdict as a surface, arrows where G is pushed");
  const said = make("div"), question = make("p"), count = make("span");
  said.setAttribute("role", "status");
  const button = (words, name, act) => {
    const node = make("button", { type: "button", textContent: words, onclick: act });
    node.dataset.name = name;
    return node;
  };
  const play = button("▶ play", "play", () => {
    ask({ do: playing ? "pause" : "play" });
    if (!playing) awaitAnswer();
  });
  const inputs = {};
  const knob = ([name, [words, scale]]) => {
    const value = make("output"), slider = make("input", { type: "range", min: scale.min, max: scale.max, step: scale.step });
    slider.dataset.name = name;
    slider.oninput = () => {
      settings[name] = scale.value(slider.value);
      value.textContent = settings[name];
      ask({ do: "set", settings: { [name]: settings[name] } });
    };
    inputs[name] = () => { slider.value = scale.at(settings[name]); value.textContent = settings[name]; };
    return make("label", {}, words, value, slider);
  };
  const lists = {};
  const list = ([name, words]) => {
    lists[name] = make("select", { onchange: () => ask({ do: "set", settings: { [name]: lists.values[name][lists[name].selectedIndex] } }) });
    lists[name].dataset.name = name;
    inputs[name] = () => { lists[name].selectedIndex = lists.values[name].indexOf(settings[name]); };
    return make("label", {}, words, lists[name]);
  };
  const seed = make("input", { type: "number", min: 0, max: 2 ** 31 - 1, step: 1, style: "width: 6em" });
  seed.dataset.name = "seed";
  seed.onchange = () => ask({ do: "set", settings: { seed: Number(seed.value) } });
  inputs.seed = () => { seed.value = settings.seed; };
  const text = make("textarea", { rows: 4, placeholder: "0.5, 1.2\n0.7, 1.1" });
  text.dataset.name = "text";
  const situations = make("div", { className: "row" });
  const curves = CURVES.map(([title, lines, top]) => {
    const canvas = make("canvas", { width: 180, height: 64 }), caption = make("figcaption");
    return { title, lines, top, canvas, caption, figure: make("figure", {}, canvas, caption) };
  });
  const own = make("details", {}, make("summary", { textContent: "your own data" }),
    "Draw on the picture, or paste points, x and y on each line:", text,
    make("div", { className: "row" }, button("use these points", "paste", () => ask({ do: "paste", text: text.value })),
      button("draw anew", "wipe", () => { drawn = []; said.textContent = "Draw on the picture."; })));
  el.replaceChildren(make("div", { className: "gan-play" }, make("style", { textContent: STYLE }), situations, question,
    make("div", { className: "row" }, play, button("one step", "step", () => ask({ do: "step" })),
      button("reset", "reset", () => { history = []; ask({ do: "reset" }); }), make("label", {}, "seed", seed), count),
    said,
    make("div", { className: "sides" }, picture, make("div", { className: "knobs" }, ...Object.entries(KNOBS).map(knob),
      make("div", { className: "row" }, ...Object.entries(LISTS).map(list)), own)),
    make("div", { className: "row" }, ...curves.map((curve) => curve.figure))));

  // --- drawing: data by the mouse, and the picture ---
  const place = (x) => ((x + LIMIT) / (2 * LIMIT)) * SIZE; // up is up: y goes through SIZE − place(y)
  const point = (event) => {
    const box = picture.getBoundingClientRect();
    const to = (at, from, size) => Math.max(-1.6, Math.min(1.6, ((at - from) / size) * 2 * LIMIT - LIMIT));
    return [to(event.clientX, box.left, box.width), -to(event.clientY, box.top, box.height)];
  };
  let stroke = false;
  picture.onpointerdown = (event) => {
    stroke = true;
    if (settings.data !== "own") drawn = [];
    picture.setPointerCapture(event.pointerId);
    picture.onpointermove(event);
  };
  picture.onpointermove = (event) => {
    if (!stroke) return;
    const next = point(event), last = drawn[drawn.length - 1];
    if (drawn.length < 400 && (!last || Math.hypot(next[0] - last[0], next[1] - last[1]) > 0.04)) drawn.push(next);
    paint();
  };
  picture.onpointerup = picture.onpointercancel = () => {
    if (stroke && drawn.length) ask({ do: "draw", points: drawn });
    stroke = false;
  };

  const shade = (value) => { // 0 to 255 → a colour of SURFACE
    const at = (value / 255) * 4, low = Math.min(3, Math.floor(at)), share = at - low;
    return SHADES[low].map((c, i) => c + share * (SHADES[low + 1][i] - c));
  };
  const small = make("canvas");
  function paint() {
    const ink = picture.getContext("2d");
    const dot = (x, y, radius) => { ink.beginPath(); ink.arc(place(x), SIZE - place(y), radius, 0, 7); ink.fill(); };
    ink.clearRect(0, 0, SIZE, SIZE);
    if (view) {
      const side = Math.round(Math.sqrt(view.surface.length)), cells = new ImageData(side, side);
      view.surface.forEach((value, i) => {
        const at = 4 * ((side - 1 - Math.floor(i / side)) * side + (i % side));
        cells.data.set([...shade(value), 255], at);
      });
      small.width = small.height = side;
      small.getContext("2d").putImageData(cells, 0, 0);
      const half = SIZE / (side - 1) / 2; // the outermost places lie on the edge
      ink.drawImage(small, -half, -half, SIZE + 2 * half, SIZE + 2 * half);
    }
    ink.fillStyle = REAL + "80";
    for (let i = 0; i + 1 < real.length; i += 2) dot(real[i], real[i + 1], 3.5);
    if (stroke) { ink.fillStyle = REAL; drawn.forEach(([x, y]) => dot(x, y, 4)); }
    if (!view) return;
    ink.strokeStyle = "#333"; ink.lineWidth = 1; ink.beginPath();
    for (let i = 0; i + 1 < view.push.length; i += 2) {
      const [x, y, u, v] = [view.fake[i], view.fake[i + 1], view.push[i], view.push[i + 1]];
      const longest = 0.5 / Math.max(Math.hypot(u, v), 1e-9), by = Math.min(0.25, longest);
      ink.moveTo(place(x), SIZE - place(y)); ink.lineTo(place(x + by * u), SIZE - place(y + by * v));
    }
    ink.stroke();
    ink.fillStyle = FAKE;
    for (let i = 0; i + 1 < view.fake.length; i += 2) dot(view.fake[i], view.fake[i + 1], 2);
  }

  function paintCurve({ title, lines, top, canvas, caption }) {
    const ink = canvas.getContext("2d"), { width, height } = canvas;
    const values = lines.flatMap(([name]) => history.map((h) => h[name])).filter((v) => v !== null);
    const low = top ? 0 : Math.min(0, ...values), high = top ?? Math.max(1.4, ...values);
    ink.clearRect(0, 0, width, height);
    ink.strokeStyle = "#ccc";
    if (top) { ink.strokeRect(-1, height / 2, width + 2, 0); }
    for (const [name, colour] of lines) {
      ink.strokeStyle = colour; ink.beginPath();
      history.forEach((h, i) => {
        const x = (i / Math.max(history.length - 1, 1)) * width, y = height - 2 - ((h[name] - low) / (high - low)) * (height - 4);
        if (h[name] !== null) ink.lineTo(x, y);
      });
      ink.stroke();
    }
    const last = history[history.length - 1], digits = (name) => (last?.[name] == null ? "–" : last[name].toFixed(2));
    caption.textContent = `${title}: ${lines.map(([name]) => digits(name)).join(", ")}`;
  }

  // --- what is answered ---
  function awaitAnswer() { // a kernel that was restarted answers nothing
    const before = heard;
    setTimeout(() => { if (heard === before) said.textContent = "No answer: is the kernel busy? After a restart run the cell again."; }, 8000);
  }
  let alive = 0;
  const answer = (content, buffers = []) => {
    heard += 1;
    if (Date.now() > alive + 1000) { alive = Date.now(); ask({ do: "alive" }); }
    if (content.kind === "hello") {
      lists.values = content.choices;
      for (const name in LISTS) lists[name].replaceChildren(...content.choices[name].map((words) => make("option", { textContent: words })));
      situations.replaceChildren(...content.situations.map((name) => button(name, `situation-${name}`, () => { history = []; ask({ do: "situation", name }); })));
    } else if (content.kind === "settings") {
      settings = content.settings;
      for (const show of Object.values(inputs)) show();
      question.textContent = content.about ? `${content.about.question} (${content.about.section})` : "";
    } else if (content.kind === "data") {
      real = floats(buffers[0]);
    } else if (content.kind === "state") {
      playing = content.playing;
      play.textContent = playing ? "❚❚ pause" : "▶ play";
      said.textContent = content.said;
    } else if (content.kind === "view") {
      view = { surface: bytes(buffers[0]), fake: floats(buffers[1]), push: floats(buffers[2]) };
      if (history.length && content.step < history[history.length - 1].step) history = [];
      history.push({ step: content.step, ...content.numbers });
      if (history.length > KEPT) history = history.filter((_, i) => i % 2 === 0);
      picture.dataset.step = content.step;
      count.textContent = `step ${content.step.toLocaleString("en")}`;
      requestAnimationFrame(() => { paint(); curves.forEach(paintCurve); });
    }
  };
  model.on("msg:custom", answer);
  ask({ do: "hello" });
  return () => { model.off("msg:custom", answer); ask({ do: "pause" }); };
}

export default { render };
