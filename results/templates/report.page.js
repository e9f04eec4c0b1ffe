/* The page comes to life: data first, so that there is something to read, then the picture, then the details. */

const state = {
  data: null, trials: [], byNumber: new Map(), details: {}, detailed: false, owners: new Map(),
  limits: new Map(), rows: [], choice: null, selected: null, pinned: [],
  look: { x: null, y: null, colour: "", shape: "", logX: true, logY: false },
};

/* Work for the next frame; of several calls for the same thing the last one counts. */
const waiting = new Map();
function later(work, key = work) {
  if (!waiting.size) requestAnimationFrame(() => { const all = [...waiting.values()]; waiting.clear(); all.forEach((one) => one()); });
  waiting.set(key, work);
}

function named(names, figures) {
  return Object.fromEntries(names.map((name, i) => [name, figures?.[i] ?? undefined]).filter(([, value]) => value !== undefined));
}

function take(data) {
  state.data = data;
  state.trials = data.trials.map((trial) => ({ ...trial, metrics: named(data.metrics, trial.metrics), params: named(data.params, trial.params), fits: true }));
  state.byNumber = new Map(state.trials.map((trial) => [trial.n, trial]));
  state.owners = stageOwners();
  state.look.x ??= data.x;
  state.look.y ??= data.y;
  if (state.selected === null) state.selected = data.suggested ?? data.trials[0]?.n ?? null;
}

function drawFacts() {
  byId("facts").replaceChildren(...state.data.facts.map(([term, words]) =>
    element("div", {}, element("dt", {}, term), element("dd", {}, bdi(words)))));
}

function drawAll() {
  drawFacts();
  drawLook();
  drawLimits();
  // Without plotly they would be drawn twice.
  if (window.Plotly) drawFigures();
  applyLimits();
  drawTables();
  drawCompare();
  showTrial();
}

function repaint() {
  drawFront();
  drawFigures();
  showTrial();
}

const THEMES = [["", "as the system"], ["light", "light"], ["dark", "dark"]];
function setTheme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  byId("theme").textContent = `Theme: ${THEMES.find(([key]) => key === name)[1]}`;
  repaint();
}
function nextTheme() {
  const at = THEMES.findIndex(([key]) => key === (document.documentElement.dataset.theme ?? ""));
  setTheme(THEMES[(at + 1) % THEMES.length][0]);
}

async function unpack(id) {
  const packed = Uint8Array.from(atob(byId(id).textContent), (c) => c.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}
const painted = () => new Promise((resolve) => { requestAnimationFrame(() => setTimeout(resolve)); });

function listen() {
  plot.on("plotly_click", (event) => {
    const number = event.points[0].customdata;
    if (typeof number !== "number") return;
    if (event.event?.shiftKey) pin(number);
    else select(number);
  });
  plot.addEventListener("keydown", walkFront);
  byId("limits").addEventListener("submit", (event) => event.preventDefault());
  byId("copy").addEventListener("click", copyCommand);
  byId("theme").addEventListener("click", nextTheme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  // Paper is white.
  let before = null;
  addEventListener("beforeprint", () => { before ??= document.documentElement.dataset.theme ?? ""; setTheme("light"); });
  addEventListener("afterprint", () => { if (before !== null) setTheme(before); before = null; });
}

window.reidPareto = {
  update(data) {
    state.details = data.details ?? state.details;
    take(data);
    drawAll();
  },
  limits() {
    const result = { max: {}, min: {} };
    for (const { metric, operator, value } of wishes()) {
      const side = operator === "<=" ? result.max : result.min;
      side[metric] = metric in side ? Math.max(side[metric], value) : value;
    }
    return result;
  },
  ask({ maximum = {}, minimum = {}, max_drop: drops = {} }) {
    state.limits = new Map([...Object.entries({ ...maximum, ...minimum }), ...Object.entries(drops).map(([m, v]) => [`drop:${m}`, v])]);
    state.rows.forEach((row) => row.show());
    applyLimits();
  },
  selected: () => state.selected,
  choice: () => state.choice?.n ?? null,
};

async function start() {
  if (typeof DecompressionStream === "undefined") {
    byId("trouble").textContent = "The pictures and the tables need a browser of 2023 or later.";
    byId("trouble").hidden = false;
    return;
  }
  take(JSON.parse(await unpack("data")));
  drawAll();
  await painted();
  document.head.append(element("script", {}, await unpack("plotly")));
  await drawFront();
  listen();
  state.details = JSON.parse(await unpack("details"));
  state.detailed = true;
  drawFigures();
  showTrial();
  await painted();
  document.documentElement.dataset.ready = "true";
}
start();
