/* Trials side by side: figures with their difference to the first, settings that differ marked. */

function pin(number) {
  state.pinned = state.pinned.includes(number) ? state.pinned.filter((n) => n !== number) : [...state.pinned, number];
  drawCompare();
  showTrial();
  redrawMarks();
}

function difference(metric, value, first) {
  if (value === undefined || first === undefined || value === first) return "";
  if (isAccuracy(metric)) return ` (${value > first ? "+" : "-"}${(100 * Math.abs(value - first)).toFixed(1)} points)`;
  return first ? ` (${(value / first).toFixed(2)} x)` : "";
}

function drawCompare() {
  const place = byId("compare");
  const trials = state.pinned.map((n) => state.byNumber.get(n)).filter(Boolean);
  place.hidden = !trials.length;
  if (!trials.length) return;
  const present = (metric) => trials.some((trial) => trial.metrics[metric] !== undefined);
  const heads = trials.map((trial) => element("th", { scope: "col" }, button(`Trial ${trial.n}`, () => select(trial.n), { class: "link" }), " ",
    button("Remove", () => pin(trial.n), { class: "plain", "aria-label": `Remove trial ${trial.n} from the comparison` })));
  const row = (name, cells, differs) => element("tr", { class: differs ? "differs" : null }, element("th", { scope: "row" }, bdi(name)),
    ...cells.map((cell) => element("td", {}, bdi(cell))));
  const values = (name) => trials.map((trial) => text(trial.params[name] ?? "-"));
  const seconds = trials.map((trial) => (trial.stages || []).reduce((sum, [, time]) => sum + time, 0));
  const rows = [
    row("standing", trials.map((trial) => KIND_NAMES[trial.kind]), false),
    ...state.data.metrics.filter(present).map((m) => row(nameOf(m), trials.map((trial) =>
      shown(m, trial.metrics[m]) + difference(m, trial.metrics[m], trials[0].metrics[m])), false)),
    ...state.data.params.map((name) => row(name, values(name), new Set(values(name)).size > 1)),
    row("time spent", seconds.map(duration), false),
  ];
  place.replaceChildren(element("h2", {}, "Compared trials"),
    hint(trials.length > 1 ? "Differences are to the first; settings that differ are marked." : "Compare another trial to see the differences."),
    element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Compared trials" },
      element("table", {}, element("thead", {}, element("tr", {}, element("th", { scope: "col" }, ""), ...heads)), element("tbody", {}, ...rows))));
}
