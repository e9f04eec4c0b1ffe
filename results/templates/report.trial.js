/* One trial: what was set, what came of it, where its stages came from, how it trained and timed. */

/* content key -> the trial that computed the stage and all that used it. */
function stageOwners() {
  const owners = new Map();
  for (const trial of state.trials) {
    for (const [, , cached, key] of trial.stages || []) {
      if (key < 0) continue;
      const entry = owners.get(key) || { by: null, users: new Set() };
      if (cached === 0) entry.by ??= trial.n;
      entry.users.add(trial.n);
      owners.set(key, entry);
    }
  }
  return owners;
}

function lineage(trial) {
  const stages = trial.stages || [];
  const longest = Math.max(1e-9, ...stages.map(([, seconds]) => seconds));
  const rows = stages.map(([name, seconds, cached, key]) => {
    const owner = state.owners.get(key);
    const others = owner ? owner.users.size - 1 : 0;
    const from = cached === 2 ? "not finished" : cached ? (owner.by === null || owner.by === trial.n ? "from the cache" : "from trial ") : "computed";
    const link = cached === 1 && owner.by !== null && owner.by !== trial.n ? button(String(owner.by), () => select(owner.by), { class: "link" }) : null;
    const shared = others && !link ? `, shared with ${count(others, "trial")}` : "";
    return element("tr", {}, element("th", { scope: "row" }, bdi(state.data.stages[name])),
      element("td", { class: "number" }, duration(seconds)),
      element("td", {}, element("meter", { min: 0, max: longest, value: seconds, "aria-hidden": "true" })),
      element("td", {}, from, link, shared));
  });
  const total = stages.reduce((sum, [, seconds]) => sum + seconds, 0);
  rows.push(element("tr", { class: "total" }, element("th", { scope: "row" }, "all"), element("td", { class: "number" }, duration(total)),
    element("td"), element("td")));
  return element("table", { class: "lineage" }, element("tbody", {}, ...rows));
}

const small = (height, more) => ({ ...plain(), height, margin: { l: 46, r: 8, t: 6, b: 36 }, showlegend: false,
  xaxis: { gridcolor: colour("grid"), zeroline: false, automargin: true }, yaxis: { gridcolor: colour("grid"), zeroline: false, automargin: true }, ...more });
const STILL = { responsive: true, displayModeBar: false };

/* A small picture with its name for those who do not see it; drawn once it is on the page. */
function figure(description, traces, layout) {
  const place = element("div", { class: "small", role: "img", "aria-label": description });
  later(() => window.Plotly && place.isConnected && window.Plotly.newPlot(place, traces(), layout(), STILL), place);
  return place;
}

function curvePicture(curves) {
  const series = curves.flatMap(([stage, lines]) => Object.entries(lines).map(([name, values]) => ({ stage, name, values })));
  const offsets = new Map();
  let epochs = 0;
  for (const [stage, lines] of curves) {
    offsets.set(stage, epochs);
    epochs += Math.max(0, ...Object.values(lines).map((values) => values.length));
  }
  const last = series.map(({ stage, name, values }) => `${stage} ${name} ${values.at(-1)}`).join(", ");
  return figure(`Training curve, last values: ${last}`, () => series.map(({ stage, name, values }, index) => ({
    type: "scatter", mode: "lines+markers", name: literal(`${stage}: ${name}`), y: values, x: values.map((_, e) => offsets.get(stage) + e + 1),
    marker: { size: 5 }, line: { color: PALETTE[index % PALETTE.length] }, hovertemplate: "epoch %{x}: %{y:.4g}" })),
  () => small(190, { showlegend: series.length > 1, legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    xaxis: { title: { text: "epoch" }, gridcolor: colour("grid"), rangemode: "tozero", automargin: true } }));
}

function timingPicture(timing, trial) {
  const width = (timing.to - timing.from) / timing.counts.length;
  const total = timing.counts.reduce((a, b) => a + b, 0) + timing.above;
  const words = `${total} timings from ${shown("latency_ms", timing.from)}; 99 of 100 up to ${shown("latency_ms", timing.to)}`;
  return [figure(`Histogram of ${words}`, () => [{ type: "bar", x: timing.counts.map((_, i) => timing.from + (i + 0.5) * width), y: timing.counts,
    width, marker: { color: colour("front") }, hovertemplate: "%{x:.3g} ms: %{y}<extra></extra>" }],
  () => small(150, { bargap: 0, shapes: [{ type: "line", x0: trial.metrics.latency_ms, x1: trial.metrics.latency_ms, yref: "paper", y0: 0, y1: 1,
    line: { color: colour("ink"), width: 1.4 } }], xaxis: { title: { text: "ms (line: median)" }, automargin: true } })), hint(`${words}.`)];
}

function widthPicture(widths) {
  const names = Object.keys(widths);
  const sum = (at) => names.reduce((total, name) => total + widths[name][at], 0);
  const words = `${count(names.length, "layer")}: ${sum(0).toLocaleString("en")} channels before, ${sum(1).toLocaleString("en")} after`;
  const bar = (at, name, shade) => ({ type: "bar", orientation: "h", name, y: names.map(literal), x: names.map((layer) => widths[layer][at]),
    marker: { color: colour(shade) }, hovertemplate: `%{y}: %{x} ${name}<extra></extra>` });
  return [figure(`Channel widths of ${words}`, () => [bar(0, "before", "faint"), bar(1, "after", "front")],
    () => small(Math.min(900, 60 + 13 * names.length), { barmode: "overlay", showlegend: true, legend: { orientation: "h", y: 1, yanchor: "bottom" },
      yaxis: { autorange: "reversed", automargin: true, tickfont: { size: 9 } }, xaxis: { title: { text: "channels" } } })), hint(`${words}.`)];
}

function detail(trial) {
  const known = state.details[trial.n];
  const more = known || {};
  const part = (title, ...content) => (content.flat().length ? [element("h3", {}, title), ...content.flat()] : []);
  const listed = (title, entries) => part(title, ...(entries.length ? [pairs(entries)] : []));
  const metrics = Object.entries(trial.metrics);
  const figures = (test) => metrics.filter(([m]) => test(m)).map(([m, v]) => [nameOf(m), `${shown(m, v)}${drop(m, v)}`]);
  const drop = (m, v) => (state.data.baseline?.[m] && m in state.data.objectives
    ? ` (${isAccuracy(m) ? `${(100 * (v - state.data.baseline[m])).toFixed(1)} points` : `${(v / state.data.baseline[m]).toFixed(2)} x`} the baseline)`.replace("points the", "points to the") : "");
  const settings = Object.entries({ ...state.data.shared, ...more.config }).filter(([name]) => !Object.hasOwn(trial.params, name));
  const isPinned = state.pinned.includes(trial.n);
  const layers = Object.entries(more.layers || {}).map(([kind, names]) => element("details", {},
    element("summary", {}, `${count(names.length, "layer")} ${kind}`), bdi(names.join(", "))));
  return [
    element("h2", {}, `Trial ${trial.n} `, element("span", { class: `chip ${trial.kind}` }, KIND_NAMES[trial.kind])),
    element("p", { class: "acts" }, button(isPinned ? "Compared" : "Compare", () => pin(trial.n), { "aria-pressed": String(isPinned) })),
    ...(trial.n === state.data.suggested ? [hint("What pick takes when nothing is asked for: the knee of the front.")] : []),
    ...problemsOf(trial).map((problem) => element("p", { class: "message" }, bdi(problem))),
    ...listed("Configuration", Object.entries(trial.params).map(([name, value]) => [name, text(value)])),
    ...listed("Accuracy and size, validation identities", figures((m) => !m.startsWith("latency"))),
    ...listed("On the test split", Object.entries(more.test || {}).map(([m, v]) => [nameOf(m), typeof v === "number" ? shown(m, v) : text(v)])),
    ...listed("Latency", figures((m) => m.startsWith("latency"))),
    ...(more.latency ? part("Timings", ...timingPicture(more.latency, trial)) : []),
    ...((trial.stages || []).length ? part("Stages: time, and where they came from", lineage(trial)) : []),
    ...((more.curves || []).length ? part("Training", curvePicture(more.curves)) : []),
    ...(more.widths ? part("Channel widths", ...widthPicture(more.widths)) : []),
    ...(layers.length ? part("Layers", ...layers) : []),
    ...(Object.keys(more.checks || {}).length || more.timing ? [element("details", {}, element("summary", {}, "Checks"),
      pairs(Object.entries({ ...more.checks, ...prefixed(more.timing) }).map(([name, value]) => [name, text(value)])))] : []),
    ...(settings.length ? [element("details", {}, element("summary", {}, "Settings that were not searched"),
      pairs(settings.map(([name, value]) => [name, text(value)])))] : []),
    ...(more.started ? [hint(`Began ${more.started}, ended ${more.finished} UTC${more.host ? ` on ${more.host}` : ""}${trial.attempt ? `, attempt ${trial.attempt}` : ""}.`)] : []),
    ...(known || !state.detailed ? [] : [hint(`Curves, timings and checks of this trial were left out to keep the page small; its record holds them.`)]),
  ];
}
const prefixed = (timing) => Object.fromEntries(Object.entries(timing || {}).map(([name, value]) => [`timing ${name}`, value]));
const problemsOf = (trial) => [...Object.entries(trial.violations || {}).map(([limit, by]) => `${limit} is broken by ${brief(by)}`),
  ...(trial.error ? [trial.error.join(": ")] : [])];

function showTrial() {
  const trial = state.byNumber.get(state.selected);
  if (!trial) return;
  byId("detail").replaceChildren(...detail(trial));
  document.querySelectorAll("tr.chosen").forEach((row) => row.classList.remove("chosen"));
  document.querySelectorAll(`tr[data-trial="${trial.n}"]`).forEach((row) => row.classList.add("chosen"));
}
function select(number) {
  if (!state.byNumber.has(number)) return;
  state.selected = number;
  showTrial();
  redrawMarks();
  markParallel();
}
