// The playground in the browser. `render` is the picture, the knobs and the curves. What they show is computed elsewhere:
// `model` passes messages to there, {do: …}, and back, {kind: …}. In a notebook that is the kernel (live.py), on a page
// without one `local` below, with its own arithmetic. No imports, and nothing is fetched.

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
  [[["d_real", REAL, "D(x)"], ["d_fake", FAKE, "D(G(z))"]], 1],
  [[["d_loss", JUDGE, "D's loss"], ["g_loss", FAKE, "G's loss"]], null],
  [[["found", JUDGE, "modes found"]], 1],
];
const STYLE = `
.gan-play { font: 13px/1.4 system-ui, sans-serif; max-width: 900px; }
.gan-play .sides { display: flex; flex-wrap: wrap; gap: 12px; }
.gan-play canvas { display: block; background: #fff; max-width: 100%; }
.gan-play .picture { cursor: crosshair; touch-action: none; border: 1px solid #8888; }
.gan-play .knobs { flex: 1 1 220px; min-width: 0; display: grid; gap: 2px; align-content: start; }
.gan-play label { display: grid; grid-template-columns: 1fr 3.6em; align-items: center; }
.gan-play label input[type=range] { grid-column: 1 / 3; width: 100%; margin: 0; }
.gan-play .strip { display: flex; flex-wrap: wrap; gap: 4px; margin: 4px 0; align-items: center; }
.gan-play .strip label { display: flex; gap: 4px; }
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
  text.setAttribute("aria-label", "points, x and y on each line");
  const situations = make("div", { className: "strip" });
  const curves = CURVES.map(([lines, top]) => {
    const canvas = make("canvas", { width: 180, height: 64 }), caption = make("figcaption");
    return { lines, top, canvas, caption, figure: make("figure", {}, canvas, caption) };
  });
  const own = make("details", {}, make("summary", { textContent: "your own data" }),
    "Draw on the picture, or paste points, x and y on each line:", text,
    make("div", { className: "strip" }, button("use these points", "paste", () => ask({ do: "paste", text: text.value })),
      button("draw anew", "wipe", () => { drawn = []; said.textContent = "Draw on the picture."; })));
  el.replaceChildren(make("div", { className: "gan-play" }, make("style", { textContent: STYLE }), situations, question,
    make("div", { className: "strip" }, play, button("one step", "step", () => ask({ do: "step" })),
      button("reset", "reset", () => { history = []; ask({ do: "reset" }); }), make("label", {}, "seed", seed), count),
    said,
    make("div", { className: "sides" }, picture, make("div", { className: "knobs" }, ...Object.entries(KNOBS).map(knob),
      make("div", { className: "strip" }, ...Object.entries(LISTS).map(list)), own)),
    make("div", { className: "strip" }, ...curves.map((curve) => curve.figure))));

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

  function paintCurve({ lines, top, canvas, caption }) {
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
    caption.replaceChildren(...lines.map(([name, colour, words]) => make("span", { style: `border-bottom: 2px solid ${colour}; margin-right: 8px`, textContent: `${words} ${digits(name)}` })));
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

// --- the same without a kernel: GAN.step for two small networks, in plain arrays ---------------------------------------
// A layer is {W (rows of inputs, columns of outputs), b, ins, outs}; a network is three of them, with ReLUs between.

const sigma = (s) => 1 / (1 + Math.exp(-s));
const softplus = (s) => Math.max(s, 0) + Math.log1p(Math.exp(-Math.abs(s)));
const mean = (list) => list.reduce((sum, x) => sum + x, 0) / list.length;

// Of each loss of losses.py, for D and for G, of one pair of logits: [the loss, its slope in real, its slope in fake].
const entropy = (r, f) => [softplus(-r) + softplus(f), sigma(r) - 1, sigma(f)];
const critic = (r, f) => [f - r, -1, 1], climb = (r, f) => [-f, 0, -1];
export const LOSSES = {
  minimax: [entropy, (r, f) => [-softplus(f), 0, -sigma(f)]],
  non_saturating: [entropy, (r, f) => [softplus(-f), 0, sigma(f) - 1]],
  least_squares: [(r, f) => [((r - 1) ** 2 + f ** 2) / 2, r - 1, f], (r, f) => [(f - 1) ** 2 / 2, 0, f - 1]],
  hinge: [(r, f) => [Math.max(1 - r, 0) + Math.max(1 + f, 0), r < 1 ? -1 : 0, f > -1 ? 1 : 0], climb],
  wasserstein: [critic, climb],
  relativistic: [
    (r, f) => [softplus(f - r), -sigma(f - r), sigma(f - r)],
    (r, f) => [softplus(r - f), sigma(r - f), -sigma(r - f)],
  ],
};

// All activations for n samples x: [x, h1, h2, y].
function forward(net, x, n) {
  const all = [x];
  net.forEach(({ W, b, ins, outs }, layer) => {
    const from = all[layer], to = new Float64Array(n * outs);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < outs; j++) to[i * outs + j] = b[j];
      for (let k = 0; k < ins; k++) {
        const value = from[i * ins + k];
        if (value !== 0) for (let j = 0; j < outs; j++) to[i * outs + j] += value * W[k * outs + j];
      }
      if (layer < 2) for (let j = 0; j < outs; j++) if (to[i * outs + j] < 0) to[i * outs + j] = 0;
    }
    all.push(to);
  });
  return all;
}

// From slopes in y to those in x; those in the weights are added to grads, if there are any.
function backward(net, all, dy, n, grads) {
  let slope = dy;
  for (let layer = 2; layer >= 0; layer--) {
    const { W, ins, outs } = net[layer], from = all[layer], back = new Float64Array(n * ins);
    for (let i = 0; i < n; i++) {
      for (let j = 0; grads && j < outs; j++) grads[layer].b[j] += slope[i * outs + j];
      for (let k = 0; k < ins; k++) {
        const value = from[i * ins + k];
        if (layer > 0 && value <= 0) continue; // a ReLU that is off
        let sum = 0;
        for (let j = 0; j < outs; j++) {
          const d = slope[i * outs + j];
          sum += d * W[k * outs + j];
          if (grads) grads[layer].W[k * outs + j] += d * value;
        }
        back[i * ins + k] = sum;
      }
    }
    slope = back;
  }
  return slope;
}

// γ/2·R1 (penalties.r1) of D at n samples, its slopes added to grads. A ReLU's mask does not move, so this is a chain of products.
function addR1(net, all, n, gamma, grads) {
  const [one, two, three] = net, H = two.ins, K = two.outs;
  let total = 0;
  for (let i = 0; i < n; i++) {
    const v2 = new Float64Array(K), v1 = new Float64Array(H), g = [0, 0];
    for (let k = 0; k < K; k++) v2[k] = all[2][i * K + k] > 0 ? three.W[k] : 0;
    for (let h = 0; h < H; h++) {
      if (all[1][i * H + h] <= 0) continue;
      for (let k = 0; k < K; k++) v1[h] += two.W[h * K + k] * v2[k];
      for (let c = 0; c < 2; c++) g[c] += one.W[c * H + h] * v1[h];
    }
    total += (gamma / 2 / n) * (g[0] ** 2 + g[1] ** 2);
    const back2 = new Float64Array(K);
    for (let h = 0; h < H; h++) {
      if (all[1][i * H + h] <= 0) continue;
      let d = 0;
      for (let c = 0; c < 2; c++) {
        grads[0].W[c * H + h] += (gamma / n) * g[c] * v1[h];
        d += (gamma / n) * g[c] * one.W[c * H + h];
      }
      for (let k = 0; k < K; k++) { grads[1].W[h * K + k] += d * v2[k]; back2[k] += d * two.W[h * K + k]; }
    }
    for (let k = 0; k < K; k++) if (all[2][i * K + k] > 0) grads[2].W[k] += back2[k];
  }
  return total;
}

const zeros = (net) => net.map(({ W, b }) => ({ W: new Float64Array(W.length), b: new Float64Array(b.length) }));
const adamOf = (net) => ({ count: 0, mu: zeros(net), nu: zeros(net) });

function adam(net, grads, opt, rate, b1) {
  opt.count += 1;
  const c1 = 1 - b1 ** opt.count, c2 = 1 - 0.999 ** opt.count;
  net.forEach((layer, l) => {
    for (const part of ["W", "b"]) {
      const [w, g, mu, nu] = [layer[part], grads[l][part], opt.mu[l][part], opt.nu[l][part]];
      for (let i = 0; i < w.length; i++) {
        mu[i] = b1 * mu[i] + (1 - b1) * g[i];
        nu[i] = 0.999 * nu[i] + 0.001 * g[i] * g[i];
        w[i] -= (rate * (mu[i] / c1)) / (Math.sqrt(nu[i] / c2) + 1e-8);
      }
    }
  });
}

// A state from two networks; `step` changes it.
export const begin = (g, d) => ({ g, d, gOpt: adamOf(g), dOpt: adamOf(d), step: 0 });

// GAN.step of gan.py on n real points and n latents (flat arrays): D, then G in its turn. Returns the metrics.
export function step(state, real, z, settings) {
  const n = real.length / 2, { g, d } = state, [ofD, ofG] = LOSSES[settings.loss];
  const made = forward(g, z, n), fake = made[3];
  const onReal = forward(d, real, n), onFake = forward(d, fake, n);
  const terms = Array.from(onReal[3], (r, i) => ofD(r, onFake[3][i])), grads = zeros(d);
  backward(d, onReal, terms.map((t) => t[1] / n), n, grads);
  backward(d, onFake, terms.map((t) => t[2] / n), n, grads);
  const penalty = settings.gamma > 0 ? addR1(d, onReal, n, settings.gamma, grads) : 0;
  adam(d, grads, state.dOpt, settings.d_rate, settings.momentum);
  const { loss, slope } = pushed(d, fake, real, ofG, n);
  if ((state.step + 1) % settings.d_steps === 0) {
    const ways = zeros(g);
    backward(g, made, slope, n, ways);
    adam(g, ways, state.gOpt, settings.g_rate, settings.momentum);
  }
  state.step += 1;
  return {
    d_loss: mean(terms.map((t) => t[0])) + penalty, g_loss: loss,
    d_real: mean(Array.from(onReal[3], sigma)), d_fake: mean(Array.from(onFake[3], sigma)),
  };
}

// G's loss on n fakes beside n real points, and its slope in the fakes.
function pushed(d, fake, real, ofG, n) {
  const onReal = forward(d, real, n)[3], onFake = forward(d, fake, n);
  const terms = Array.from(onReal, (r, i) => ofG(r, onFake[3][i]));
  return { loss: mean(terms.map((t) => t[0])), slope: backward(d, onFake, terms.map((t) => t[2] / n), n) };
}

// A stream of random numbers: uniform ones (mulberry32), normal ones (Box and Muller), first weights as Flax draws them.
function stream(seed) {
  let a = seed >>> 0;
  const uniform = () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  const cut = () => { for (;;) { const x = normal(); if (Math.abs(x) < 2) return x / 0.87962566; } };
  const layer = (ins, outs) => ({ ins, outs, b: new Float64Array(outs), W: Float64Array.from({ length: ins * outs }, () => cut() / Math.sqrt(ins)) });
  return { uniform, normal, net: (...sizes) => sizes.slice(1).map((outs, i) => layer(sizes[i], outs)) };
}

// A model for `render` that computes here. about: what situations.for_a_page() of the library says.
export function local(about) {
  const side = 41, shown = 300, arrows = 60, batch = 128;
  let settings = { ...about.start }, question = null, own = null, tell = () => {}, playing = false, state, random, z, metrics = {};
  const post = (content, parts = []) => tell(content, parts.map((part) => new DataView(part.buffer)));
  const data = () => (settings.data === "own" && own) || about.data[settings.data];
  const points = (n) => {
    const { means, std } = data(), out = new Float64Array(2 * n);
    for (let i = 0; i < n; i++) {
      const at = means[Math.floor(random.uniform() * means.length)];
      for (let c = 0; c < 2; c++) out[2 * i + c] = at[c] + std * random.normal();
    }
    return out;
  };
  const latents = (n) => Float64Array.from({ length: 2 * n }, random.normal);
  function reset() {
    random = stream(settings.seed);
    state = begin(random.net(2, settings.size, settings.size, 2), random.net(2, settings.size, settings.size, 1));
    z = latents(1000);
    metrics = {};
  }
  const advance = () => { metrics = step(state, points(batch), latents(batch), settings); };
  function found(fake) { // metrics.mode_coverage
    const { means, std } = data(), seen = new Set();
    for (let i = 0; i < 1000; i++) {
      let nearest = -1, least = Infinity;
      means.forEach(([x, y], k) => { const far = Math.hypot(fake[2 * i] - x, fake[2 * i + 1] - y); if (far < least) { least = far; nearest = k; } });
      if (least <= 3 * std) seen.add(nearest);
    }
    return seen.size / means.length;
  }
  function show() {
    post({ kind: "settings", settings, about: question });
    const real = points(shown), lattice = new Float64Array(2 * side * side), fake = forward(state.g, z, 1000)[3];
    post({ kind: "data" }, [Float32Array.from(real)]);
    for (let i = 0; i < side * side; i++) lattice.set([i % side, Math.floor(i / side)].map((c) => (c / (side - 1)) * 2 * LIMIT - LIMIT), 2 * i);
    const surface = Uint8Array.from(forward(state.d, lattice, side * side)[3], (s) => Math.round(255 * sigma(s)));
    const { slope } = pushed(state.d, fake.slice(0, 2 * arrows), real.slice(0, 2 * arrows), LOSSES[settings.loss][1], arrows);
    const numbers = { d_real: null, d_fake: null, d_loss: null, g_loss: null, ...metrics, found: found(fake) };
    post({ kind: "view", step: state.step, numbers }, [surface, Float32Array.from(fake.slice(0, 2 * shown)), Float32Array.from(slope, (s) => -arrows * s)]);
    if (!fake.every(Number.isFinite)) { playing = false; say("The numbers are not finite any more: smaller rates, then reset."); }
  }
  const say = (said) => post({ kind: "state", playing, said });
  function loop() {
    if (!playing) return;
    const until = performance.now() + 30; // some ten pictures a second, with as many steps as that leaves room for
    for (let n = 0; n < settings.speed && performance.now() < until; n++) advance();
    show();
    setTimeout(loop, 10);
  }
  function paste(text) {
    const pairs = text.split("\n").filter((line) => line.trim()).map((line) => line.trim().split(/[,;\s]+/).map(Number));
    if (pairs.length && !pairs[0].every(Number.isFinite)) pairs.shift();
    if (!pairs.length || pairs.some((pair) => pair.length !== 2 || !pair.every(Number.isFinite))) throw new Error("Expected two numbers on each line, such as 0.5, 1.2.");
    const few = pairs.slice(0, 400), ends = [0, 1].map((c) => [Math.min(...few.map((p) => p[c])), Math.max(...few.map((p) => p[c]))]);
    const reach = Math.max(...ends.map(([low, high]) => high - low)) / 2 || 1;
    own = { std: 0.05, means: few.map((p) => p.map((x, c) => ((x - (ends[c][0] + ends[c][1]) / 2) / reach) * 1.3)) };
    settings = { ...settings, data: "own" };
  }
  const obey = {
    hello: () => post({ kind: "hello", choices: about.choices, situations: Object.keys(about.situations) }),
    play: () => { if (!playing) { playing = true; setTimeout(loop); } },
    pause: () => { playing = false; },
    step: () => { playing = false; advance(); },
    reset,
    set: ({ settings: some }) => { settings = { ...settings, ...some }; if ("size" in some || "seed" in some) reset(); },
    draw: ({ points: places }) => { own = { means: places, std: 0.05 }; settings = { ...settings, data: "own" }; },
    paste: ({ text }) => paste(text),
    situation: ({ name }) => {
      question = about.situations[name];
      settings = { ...about.start, ...question.settings };
      reset();
      obey.play();
    },
  };
  reset();
  return {
    on: (_, answer) => { tell = answer; },
    off: () => { tell = () => {}; },
    send: (command) => {
      if (!(command.do in obey)) return; // alive
      let said = "";
      try { obey[command.do](command); } catch (error) { said = error.message; }
      setTimeout(() => { say(said); if (!playing) show(); });
    },
  };
}

export default { render };
