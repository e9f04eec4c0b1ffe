/* The study as a whole: parallel coordinates, volume over time, importance, failures, cost. */

const MOST_LINES = 1000;

function card(title, words, ...content) {
  return element("div", { class: "card" }, element("h2", {}, title), ...(words ? [hint(words)] : []), ...content);
}

/* ---- parallel coordinates: one upright axis per parameter and objective */

function axisOf(name, read) {
  const values = state.trials.map(read).filter((value) => value !== undefined && value !== null);
  const numbers = values.length > 0 && values.every((value) => typeof value === "number");
  if (!numbers) {
    const groups = [...new Set(values.map(text))].sort();
    return { name, ticks: groups.map((group, i) => [(i + 0.5) / groups.length, group]),
      at: (trial) => { const i = groups.indexOf(text(read(trial) ?? null)); return i < 0 ? null : (i + 0.5) / groups.length; } };
  }
  const low = values.reduce((a, b) => Math.min(a, b));
  const high = values.reduce((a, b) => Math.max(a, b));
  const at = (trial) => { const v = read(trial); return v === undefined || v === null ? null : high === low ? 0.5 : (v - low) / (high - low); };
  return { name, at, ticks: high === low ? [[0.5, low]] : [[0, low], [1, high]] };
}

function parallelAxes() {
  const params = state.data.params.map((name) => axisOf(name, (trial) => trial.params[name])).map((axis) => ({ ...axis, say: (v) => text(v) }));
  const metrics = Object.keys(state.data.objectives).map((m) => ({ ...axisOf(nameOf(m), (trial) => trial.metrics[m]), say: (v) => shown(m, v) }));
  return [...params, ...metrics];
}

function drawParallel() {
  const place = byId("parallel");
  if (!place || !window.Plotly) return;
  const axes = state.axes;
  const complete = state.trials.filter((trial) => Object.keys(state.data.objectives).every((m) => trial.metrics[m] !== undefined));
  const some = state.drawnLines ??= complete.length <= MOST_LINES ? complete
    : [...complete.filter((t) => t.kind === "front").slice(0, MOST_LINES / 2), ...complete.filter((t, i) => t.kind !== "front" && i % Math.ceil((2 * complete.length) / MOST_LINES) === 0)];
  const bundle = (trials, shade, width, opacity, meta) => ({ type: "scatter", mode: "lines", meta, opacity, hoverinfo: "text", connectgaps: false,
    line: { color: colour(shade), width },
    x: trials.flatMap(() => [...axes.keys(), null]), y: trials.flatMap((trial) => [...axes.map((axis) => axis.at(trial)), null]),
    customdata: trials.flatMap((trial) => [...axes.map(() => trial.n), null]), text: trials.flatMap((trial) => [...axes.map(() => `trial ${trial.n}`), ""]) });
  const chosen = state.byNumber.get(state.selected);
  const rest = some.filter((trial) => trial.kind !== "front");
  const traces = [
    bundle(some.filter((trial) => !trial.fits), "faint", 1, 0.15, "dim"),
    bundle(rest.filter((trial) => trial.fits), "faint", 1, 0.5, "fits"),
    bundle(some.filter((trial) => trial.kind === "front" && trial.fits), "front", 1.8, 0.9, "front"),
    bundle(state.choice ? [state.choice] : [], "good", 2.5, 1, "named"),
    bundle(chosen ? [chosen] : [], "ink", 2.5, 1, "selected"),
  ];
  const shapes = axes.map((_, i) => ({ type: "line", x0: i, x1: i, y0: 0, y1: 1, line: { color: colour("soft"), width: 1 } }));
  const notes = axes.flatMap((axis, i) => [
    { x: i, y: 1.08, text: literal(axis.name), showarrow: false, yanchor: "bottom", font: { size: 12 } },
    ...axis.ticks.slice(0, 12).map(([at, value]) => ({ x: i, y: at, text: literal(axis.say(value)), showarrow: false, xanchor: i === axes.length - 1 ? "right" : "left",
      xshift: i === axes.length - 1 ? -5 : 5, font: { size: 10.5, color: colour("soft") }, bgcolor: colour("card"), opacity: 0.9 }))]);
  const first = !place.data;
  state.bundle = bundle;
  window.Plotly.react(place, traces, { ...plain(), height: 330, showlegend: false, margin: { l: 30, r: 40, t: 40, b: 16 }, shapes, annotations: notes,
    xaxis: { visible: false, range: [-0.15, axes.length - 0.85], fixedrange: true }, yaxis: { visible: false, range: [-0.05, 1.2], fixedrange: true } }, STILL);
  if (first) place.on("plotly_click", (event) => typeof event.points[0].customdata === "number" && select(event.points[0].customdata));
}

/* Only the line of the chosen trial moves. */
function markParallel() {
  const place = byId("parallel");
  if (!place?.data || !window.Plotly) return;
  const chosen = state.byNumber.get(state.selected);
  const { x, y, customdata, text: names } = state.bundle(chosen ? [chosen] : [], "ink", 2.5, 1, "selected");
  window.Plotly.restyle(place, { x: [x], y: [y], customdata: [customdata], text: [names] }, [place.data.length - 1]);
}

function parallelCard() {
  state.axes = parallelAxes();
  state.drawnLines = null;
  const scored = state.trials.filter((trial) => Object.keys(state.data.objectives).every((m) => trial.metrics[m] !== undefined)).length;
  if (!scored) return [];
  const words = scored > MOST_LINES ? ` Of ${scored.toLocaleString("en")} trials about ${MOST_LINES.toLocaleString("en")} are drawn, the front first.` : "";
  return [card("Parallel coordinates", `One line a trial: its parameters, then its objectives; strong lines are the front, faint ones do not fit the limits.${words}`,
    element("div", { id: "parallel", class: "wide-figure", role: "img", "aria-label": "Parallel coordinates of parameters and objectives; the tables hold the same figures" }))];
}

/* ---- hypervolume */

function volumeCard() {
  const line = state.data.hypervolume;
  if (!line || line.length < 2) return [];
  const [first, last] = [line[0], line.at(-1)];
  const words = `After ${count(last[0], "trial")} and ${duration(3600 * last[1])}: ${brief(last[2])}; after ${count(first[0], "trial")}: ${brief(first[2])}.`;
  return [card("Hypervolume over time", `How much of the objectives' space the front covers; it grows while the search still finds something. ${words}`,
    figure(`Hypervolume over committed trials. ${words}`, () => [{ type: "scatter", mode: "lines", line: { shape: "hv", color: colour("front"), width: 2 },
      x: line.map(([n]) => n), y: line.map(([, , volume]) => volume), text: line.map(([, hours]) => duration(3600 * hours)),
      hovertemplate: "%{x} trials, %{text}: %{y:.4g}<extra></extra>" }],
    () => small(230, { xaxis: { title: { text: "committed trials" }, gridcolor: colour("grid"), automargin: true, rangemode: "tozero" },
      yaxis: { title: { text: "hypervolume" }, gridcolor: colour("grid"), automargin: true, rangemode: "tozero" } })))];
}

/* ---- importance */

function importanceCard() {
  const found = Object.entries(state.data.importance);
  if (!found.length || !state.trials.length) return [];
  const percent = (share) => `${(100 * share).toFixed(0)} %`;
  const parts = found.map(([metric, { trials, shares }]) => {
    const title = element("h3", {}, `For ${nameOf(metric)}, ${count(trials, "trial")}`);
    if (!shares.length) return [title, hint(trials < 8 ? "Too few trials to say." : "Nothing varies.")];
    return [title, element("table", {}, element("thead", {}, element("tr", {}, ...["parameter", "share", "", "chance"].map((h) => element("th", { scope: "col" }, h)))),
      element("tbody", {}, ...shares.map(([name, share, chance]) => element("tr", { class: share > chance ? null : "faint" },
        element("th", { scope: "row" }, bdi(name)), element("td", { class: "number" }, percent(share)),
        element("td", {}, element("meter", { min: 0, max: 1, value: share, "aria-hidden": "true" })),
        element("td", { class: "number" }, percent(chance))))))];
  });
  return [card("Parameter importance", "Share of an objective's variance that one parameter explains alone (epsilon squared, the corrected correlation "
    + "ratio over its values or up to eight quantile bins; costs by their logarithm). Below the share that shuffled figures reach in 95 of 100 cases it says "
    + "nothing; what parameters only do together shows in none.", ...parts.flat())];
}

/* ---- failures */

function grouped(entries) {
  const groups = new Map();
  for (const [kind, message, trial] of entries) {
    const messages = groups.get(kind) || new Map();
    messages.set(message, [...(messages.get(message) || []), trial.n]);
    groups.set(kind, messages);
  }
  return [...groups].map(([kind, messages]) => [kind, [...messages].sort((a, b) => b[1].length - a[1].length)]);
}
function numbers(trials) {
  const links = trials.slice(0, 10).flatMap((n, i, all) => [button(String(n), () => select(n), { class: "link" }), i + 1 < all.length ? ", " : ""]);
  return element("span", {}, ...links, trials.length > 10 ? ` and ${trials.length - 10} more` : "");
}
function failureCard() {
  const failed = state.trials.filter((trial) => trial.error).map((trial) => [trial.error[0], trial.error[1], trial]);
  const broken = state.trials.flatMap((trial) => Object.keys(trial.violations || {}).map((limit) => ["Limit broken", limit, trial]));
  const doubted = state.trials.filter((trial) => trial.kind === "untrusted").map((trial) => ["Latency not trusted", state.details[trial.n]?.timing?.reason || "no reason kept", trial]);
  const kinds = grouped([...failed, ...broken, ...doubted]);
  if (!kinds.length) return [card("Failures", "None: every trial is complete, within the limits and trusted.")];
  const rows = kinds.flatMap(([kind, messages]) => messages.slice(0, 20).map(([message, trials]) => element("tr", {},
    element("th", { scope: "row" }, bdi(kind)), element("td", { class: "number" }, String(trials.length)),
    element("td", { class: "wide" }, bdi(message)), element("td", { class: "wide" }, numbers(trials)))));
  return [card("Failures by kind", null, element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Failures by kind" },
    element("table", {}, element("thead", {}, element("tr", {}, ...["kind", "trials", "message", "which"].map((h) => element("th", { scope: "col" }, h)))), element("tbody", {}, ...rows))))];
}

/* ---- cost */

function costCard() {
  const { stages, saved, wall, hosts } = state.data.ledger;
  if (!stages.length) return [];
  const total = stages.reduce((sum, [, , , seconds]) => sum + seconds, 0);
  const rows = stages.map(([name, runs, cached, seconds]) => element("tr", {}, element("th", { scope: "row" }, bdi(name)),
    ...[String(runs), String(cached), duration(seconds)].map((cell) => element("td", { class: "number" }, cell)),
    element("td", {}, element("meter", { min: 0, max: total || 1, value: seconds, "aria-hidden": "true" })),
    element("td", { class: "number" }, total ? `${((100 * seconds) / total).toFixed(0)} %` : "-")));
  return [card("Cost", `${duration(total)} of work in ${count(state.trials.length, "trial")}, over ${duration(wall)} by the clock, pauses included`
    + `${hosts.length ? `, on ${count(hosts.length, "machine")}` : ""}. Stages taken from the cache spared at least ${duration(saved)}.`,
  element("table", {}, element("thead", {}, element("tr", {}, ...["stage", "computed", "from cache", "time", "", "share"].map((h) =>
    element("th", { scope: "col" }, h)))), element("tbody", {}, ...rows)))];
}

function drawFigures() {
  byId("figures").replaceChildren(...parallelCard(), ...volumeCard(), ...importanceCard(), ...failureCard(), ...costCard());
  drawParallel();
}
