/* The front: accuracy over cost, with what is dominated faint and what may not be picked apart. */

const KINDS = ["dominated", "untrusted", "infeasible", "stopped", "failed", "front"];
const KIND_NAMES = { dominated: "dominated", untrusted: "latency not trusted", infeasible: "infeasible", stopped: "stopped early", failed: "failed", front: "front" };
const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a7a00", "#7f7f7f"];
const SYMBOLS = ["circle", "square", "triangle-up", "diamond", "cross", "star", "pentagon", "hexagon"];
const CROWD = 2500;
const plot = byId("plot");

const onPlot = (trial) => trial.metrics[state.look.x] !== undefined && trial.metrics[state.look.y] !== undefined;
const px = (trial) => scaled(state.look.x, trial.metrics[state.look.x]);
const py = (trial) => scaled(state.look.y, trial.metrics[state.look.y]);
const label = (trial) => {
  const { x, y } = state.look;
  return literal(`trial ${trial.n}: ${nameOf(y)} ${shown(y, trial.metrics[y])}, ${nameOf(x)} ${shown(x, trial.metrics[x])}`);
};

/* A parameter's values as groups: {text -> index}, at most eight; the rest share the last one. */
function groupsOf(name) {
  const values = new Map(state.trials.map((trial) => [text(trial.params[name] ?? "none"), trial.params[name] ?? null]));
  const sorted = [...values].sort(([, one], [, other]) => byValue(one, other));
  return new Map(sorted.map(([value], index) => [value, Math.min(index, PALETTE.length - 1)]));
}
const groupOf = (groups, trial, name) => groups.get(text(trial.params[name] ?? "none"));
const isScale = (name) => {
  const values = state.trials.map((trial) => trial.params[name]).filter((value) => value !== undefined && value !== null);
  return values.every((value) => typeof value === "number") && new Set(values).size > PALETTE.length;
};

/* Trials that would cover each other on the screen are drawn as one, the earliest: ten thousand marks are slow. */
function thinned(trials) {
  if (trials.length <= CROWD) return trials;
  const to = (values, log) => {
    const raised = values.map((value) => (log && value > 0 ? Math.log(value) : value));
    const low = raised.reduce((a, b) => Math.min(a, b));
    const span = raised.reduce((a, b) => Math.max(a, b)) - low || 1;
    return raised.map((value) => (value - low) / span);
  };
  const across = to(trials.map(px), state.look.logX);
  const up = to(trials.map(py), state.look.logY);
  for (let cell = 4; ; cell *= 1.25) {
    const seen = new Map();
    trials.forEach((trial, index) => {
      const place = `${Math.floor((across[index] * 800) / cell)},${Math.floor((up[index] * 420) / cell)}`;
      if (!seen.has(place)) seen.set(place, trial);
    });
    if (seen.size <= CROWD) return [...seen.values()];
  }
}

/* Bars over timing percentiles and what a pick measured anew. */
function reach(trials, metric) {
  const ends = trials.map((trial) => {
    const at = trial.metrics[metric];
    const all = [at, ...(trial.repeats?.[metric] ?? [])];
    if (metric === "latency_ms") all.push(trial.metrics.latency_p10_ms ?? at, trial.metrics.latency_p90_ms ?? at);
    return [Math.min(...all), Math.max(...all)];
  });
  if (ends.every(([low, high]) => low === high)) return null;
  const by = (pick) => ends.map((pair, index) => scaled(metric, pick(pair, trials[index].metrics[metric])));
  return { type: "data", symmetric: false, array: by(([, high], at) => high - at), arrayminus: by(([low], at) => at - low),
    thickness: 1.4, width: 4, color: colour("front") };
}

function markers(trials, look) {
  const marker = { ...look };
  const { colour: hue, shape } = state.look;
  if (hue && state.coloured.scale) Object.assign(marker, { color: trials.map((t) => t.params[hue] ?? NaN), coloraxis: "coloraxis" });
  else if (hue) marker.color = trials.map((t) => PALETTE[groupOf(state.coloured.groups, t, hue)]);
  if (shape) marker.symbol = trials.map((t) => SYMBOLS[groupOf(state.shaped, t, shape)] + (look.symbol?.endsWith("-open") ? "-open" : ""));
  return marker;
}

function points(name, trials, look, more) {
  return {
    type: "scatter", mode: "markers", name, x: trials.map(px), y: trials.map(py), customdata: trials.map((trial) => trial.n),
    text: trials.map(label), hovertemplate: "%{text}<extra></extra>", marker: markers(trials, look), ...more,
  };
}

function kindTraces() {
  const looks = {
    dominated: { size: 7, color: colour("faint"), opacity: 0.65 },
    untrusted: { size: 9, color: colour("doubt"), symbol: "circle-open", line: { width: 1.6 } },
    infeasible: { size: 8, color: colour("bad"), symbol: "x", opacity: 0.7 },
    stopped: { size: 8, color: colour("faint"), symbol: "triangle-down-open", opacity: 0.8 },
    failed: { size: 8, color: colour("bad"), symbol: "x-thin", line: { width: 1.6, color: colour("bad") } },
    front: { size: 10, color: colour("front") },
  };
  const traces = [];
  for (const kind of KINDS) {
    const all = state.trials.filter((trial) => trial.kind === kind && onPlot(trial)).sort((a, b) => px(a) - px(b) || a.n - b.n);
    if (!all.length) continue;
    const shownOnes = kind === "front" ? all : thinned(all);
    const fitting = shownOnes.filter((trial) => trial.fits);
    const others = shownOnes.filter((trial) => !trial.fits);
    const names = Object.keys(state.data.objectives);
    const line = kind === "front" && names.length === 2 && names.includes(state.look.x) && names.includes(state.look.y);
    if (line) {
      traces.push({ type: "scatter", mode: "lines", x: all.map(px), y: all.map(py), hoverinfo: "skip", showlegend: false,
        line: { shape: state.data.objectives[state.look.x] === "maximize" ? "vh" : "hv", width: 1.6, color: colour("front") } });
    }
    const bars = kind === "front" ? { error_x: reach(fitting, state.look.x), error_y: reach(fitting, state.look.y) } : {};
    traces.push(points(`${KIND_NAMES[kind]} (${all.length.toLocaleString("en")})`, fitting, looks[kind],
      { ...bars, meta: kind, legendgroup: kind }));
    if (others.length) traces.push(points(`${KIND_NAMES[kind]}, does not fit`, others, looks[kind],
      { opacity: 0.22, meta: `${kind}-dim`, showlegend: !fitting.length, legendgroup: kind }));
  }
  return traces;
}

function baselineTrace() {
  const base = { n: -1, metrics: state.data.baseline || {}, params: {} };
  return onPlot(base) ? [{ type: "scatter", mode: "markers", name: "dense baseline", meta: "baseline", x: [px(base)], y: [py(base)],
    marker: { size: 12, symbol: "diamond", color: colour("base") }, hovertemplate: "%{text}<extra></extra>",
    text: [label(base).replace("trial -1", "dense baseline")] }] : [];
}

/* Outlines in pixels around their middle, as paths: of the other shapes a logarithmic axis refuses negative ends.
   Four Bezier curves with handles of 0.5523 radii are a circle to within a thousandth. */
const square = (r) => `M${-r},${-r}L${r},${-r}L${r},${r}L${-r},${r}Z`;
function ring(r) {
  const h = 0.5523 * r;
  return `M${-r},0C${-r},${h},${-h},${r},0,${r}C${h},${r},${r},${h},${r},0C${r},${-h},${h},${-r},0,${-r}C${-h},${-r},${-r},${-h},${-r},0Z`;
}

/* Marks around points are shapes: they move without the ten thousand points being drawn again. */
function markShapes() {
  const around = (trials, path, shade, name) => trials.filter((trial) => trial && onPlot(trial)).map((trial) => ({
    type: "path", path, name, xref: "x", yref: "y", xsizemode: "pixel", ysizemode: "pixel", xanchor: px(trial), yanchor: py(trial),
    line: { color: colour(shade), width: 2 } }));
  return [...around(state.pinned.map((n) => state.byNumber.get(n)), square(9), "base", "compared"),
    ...around([state.choice], ring(13), "good", "named"),
    ...around([state.byNumber.get(state.selected)], ring(10), "ink", "selected")];
}

/* Trials with a figure across and none upwards stand on a strip of their own below the picture. */
function stripTrace() {
  const trials = state.trials.filter((trial) => !onPlot(trial) && trial.metrics[state.look.x] !== undefined);
  if (!trials.length) return [];
  const drawn = trials.length > CROWD ? trials.slice(0, CROWD) : trials;
  return [{ type: "scatter", mode: "markers", meta: "strip", yaxis: "y2",
    name: literal(`no ${nameOf(state.look.y)} measured (${trials.length.toLocaleString("en")})`), x: drawn.map(px), y: drawn.map(() => 0), customdata: drawn.map((trial) => trial.n), hovertemplate: "%{text}<extra></extra>",
    text: drawn.map((t) => literal(`trial ${t.n}, ${t.kind}: ${nameOf(state.look.x)} ${shown(state.look.x, t.metrics[state.look.x])}`)),
    marker: { size: 9, symbol: "line-ns-open", color: colour("bad"), line: { width: 1.4 } } }];
}

function keyTraces() {
  const keys = [];
  const key = (name, marker) => keys.push({ type: "scatter", mode: "markers", x: [null], y: [null], name: literal(name), marker, hoverinfo: "skip" });
  const { colour: hue, shape } = state.look;
  if (hue && !state.coloured.scale) for (const [value, index] of state.coloured.groups) key(`${hue} ${value}`, { color: PALETTE[index], size: 9 });
  if (shape) for (const [value, index] of state.shaped) key(`${shape} ${value}`, { symbol: SYMBOLS[index], color: colour("soft"), size: 9 });
  return keys;
}

function lines() {
  const shapes = [];
  const annotations = [];
  function line(metric, value, name, shade, dash) {
    const across = metric === state.look.y;
    const log = across ? state.look.logY : state.look.logX;
    if (value === null || value === undefined || !(across || metric === state.look.x) || (log && value <= 0)) return;
    const at = scaled(metric, value);
    const place = log ? Math.log10(at) : at;
    shapes.push({ type: "line", layer: "below", line: { color: shade, width: 1.2, dash },
      ...(across ? { xref: "paper", x0: 0, x1: 1, y0: at, y1: at } : { yref: "paper", y0: 0, y1: 1, x0: at, x1: at }) });
    annotations.push({ text: literal(name), showarrow: false, font: { size: 11, color: shade },
      ...(across ? { xref: "paper", x: 1, xanchor: "right", y: place, yanchor: "bottom" }
        : { yref: "paper", y: 0.1, yanchor: "bottom", x: place, xanchor: "left", textangle: -90 }) });
  }
  for (const metric of [state.look.x, state.look.y]) line(metric, state.data.baseline?.[metric], "baseline", colour("base"), "dot");
  for (const limit of state.data.limits) line(limit.metric, limit.value, limit.text, colour("bad"), "dash");
  for (const wish of wishes()) line(wish.metric, wish.value, wish.words, colour("front"), "solid");
  return { shapes: [...shapes, ...markShapes()], annotations };
}

/* Marks at 1, 2 and 5 of each power of ten, at 1 to 9 where the figures lie close together. */
function logTicks(metric) {
  const values = state.trials.filter(onPlot).map((trial) => scaled(metric, trial.metrics[metric])).filter((value) => value > 0);
  if (!values.length) return {};
  const low = values.reduce((a, b) => Math.min(a, b));
  const high = values.reduce((a, b) => Math.max(a, b));
  const steps = high / low < 12 ? [1, 1.5, 2, 3, 4, 5, 6, 8] : [1, 2, 5];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)) - 1; power <= Math.ceil(Math.log10(high)) + 1; power += 1) {
    ticks.push(...steps.map((step) => Number((step * 10 ** power).toPrecision(3))));
  }
  return { tickvals: ticks, ticktext: ticks.map(String) };
}
function axisLook(metric, log) {
  return { gridcolor: colour("grid"), linecolor: colour("rule"), zeroline: false, automargin: true, title: { text: axisName(metric) },
    type: log ? "log" : "linear", ...(log ? logTicks(metric) : {}) };
}
const plain = () => ({ paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
  font: { family: "system-ui, sans-serif", size: 12.5, color: colour("ink") },
  hoverlabel: { bgcolor: colour("card"), bordercolor: colour("rule"), font: { color: colour("ink") } } });

function frontLayout(strip) {
  const { x, y, logX, logY, colour: hue } = state.look;
  return {
    ...plain(), ...lines(), margin: { l: 58, r: 14, t: 8, b: 50 }, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    xaxis: axisLook(x, logX), yaxis: { ...axisLook(y, logY), domain: [strip ? 0.09 : 0, 1] },
    yaxis2: { domain: [0, 0.05], visible: false, fixedrange: true, range: [-1, 1] },
    // Zoom stays while limits move and trials arrive; other axes begin anew.
    uirevision: JSON.stringify([x, y, logX, logY]),
    coloraxis: { colorscale: "Viridis", showscale: Boolean(hue && state.coloured.scale), colorbar: { title: { text: literal(hue || "") }, thickness: 12 } },
  };
}

function tellApart() {
  const missing = state.trials.filter((trial) => trial.metrics[state.look.x] === undefined);
  const kinds = KINDS.map((kind) => [kind, missing.filter((trial) => trial.kind === kind).length]).filter(([, n]) => n);
  byId("apart").textContent = kinds.length
    ? `Not in the picture, because they measured nothing: ${kinds.map(([kind, n]) => `${n.toLocaleString("en")} ${kind}`).join(", ")}.` : "";
}

function drawFront() {
  tellApart();
  if (!window.Plotly) return undefined;
  const { colour: hue, shape } = state.look;
  state.coloured = hue ? { scale: isScale(hue), groups: groupsOf(hue) } : null;
  state.shaped = shape ? groupsOf(shape) : null;
  const strip = stripTrace();
  return window.Plotly.react(plot, [...kindTraces(), ...strip, ...keyTraces(), ...baselineTrace()], frontLayout(strip.length > 0),
    { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] });
}

function redrawMarks() {
  if (window.Plotly && plot.data) window.Plotly.relayout(plot, { shapes: lines().shapes });
}

function walkFront(event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.key === "Enter" && state.selected !== null) pin(state.selected);
  if (!step) return;
  event.preventDefault();
  const along = state.trials.filter((trial) => trial.kind === "front" && onPlot(trial)).sort((a, b) => px(a) - px(b) || a.n - b.n);
  const at = along.findIndex((trial) => trial.n === state.selected);
  const next = at < 0 ? along[0] : along[Math.min(along.length - 1, Math.max(0, at + step))];
  if (next) select(next.n);
}

function drawLook() {
  // Each value of a shape has a mark of its own in the key.
  const shapes = ["", ...state.data.params.filter((name) => groupsOf(name).size <= SYMBOLS.length)];
  if (!shapes.includes(state.look.shape)) state.look.shape = "";
  const known = new Set(state.trials.flatMap((trial) => Object.keys(trial.metrics)));
  const metrics = [...new Set([state.data.x, state.data.y, ...FIRST, ...known])].filter((m) => known.has(m) || m === state.data.x || m === state.data.y);
  const choice = (title, key, options, named) => {
    const box = element("select", { "data-look": key }, ...options.map((o) => element("option", { value: o, selected: o === state.look[key] }, named(o))));
    box.addEventListener("change", () => { state.look[key] = box.value; if (key === "x") state.look.logX = !betterHigher(box.value); drawLook(); drawFront(); });
    return element("label", {}, `${title} `, box);
  };
  const tick = (title, key) => {
    const box = element("input", { type: "checkbox", "data-look": key, checked: state.look[key] });
    box.addEventListener("change", () => { state.look[key] = box.checked; drawFront(); });
    return element("label", {}, box, ` ${title}`);
  };
  const focused = document.activeElement?.dataset?.look;
  byId("look").replaceChildren(
    choice("Across", "x", metrics, nameOf), choice("Up", "y", metrics, nameOf),
    choice("Colour", "colour", ["", ...state.data.params], (name) => name || "by standing"),
    choice("Shape", "shape", shapes, (name) => name || "by standing"),
    tick("logarithmic across", "logX"), tick("logarithmic up", "logY"));
  if (focused) byId("look").querySelector(`[data-look="${focused}"]`)?.focus();
}
