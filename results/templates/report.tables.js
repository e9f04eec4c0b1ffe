/* Every trial in a table by standing, sortable, two hundred rows at first. */

const ROWS_AT_FIRST = 200;

const column = (title, value, show, number) => ({ title, value, show: show || ((trial) => text(value(trial) ?? "-")), number: Boolean(number) });
const metricColumn = (metric) => column(nameOf(metric), (trial) => trial.metrics[metric], (trial) => shown(metric, trial.metrics[metric]), true);

function parameterColumns() {
  return state.data.params.map((name) => {
    const value = (trial) => trial.params[name];
    const number = state.trials.every((trial) => value(trial) === undefined || typeof value(trial) === "number");
    return column(name, value, (trial) => { const v = value(trial); return v === undefined ? "-" : typeof v === "number" ? brief(v) : text(v); }, number);
  });
}

function table(title, words, trials, columns) {
  let limit = ROWS_AT_FIRST;
  let sorted = [...trials];
  const body = element("tbody");
  const more = button("", () => { limit = Infinity; fill(); }, { class: "link" });
  const numbered = column("trial", (trial) => trial.n, null, true);

  function row(trial) {
    const open = button(String(trial.n), () => { select(trial.n); byId("detail").scrollIntoView({ block: "nearest" }); }, { class: "link" });
    const cells = columns.map((c) => element("td", { class: c.number ? "number" : c.wide ? "wide" : null }, bdi(c.show(trial))));
    return element("tr", { "data-trial": trial.n, class: trial.n === state.selected ? "chosen" : null }, element("td", { class: "number" }, open), ...cells);
  }
  function fill() {
    body.replaceChildren(...sorted.slice(0, limit).map(row));
    more.textContent = `Show all ${sorted.length.toLocaleString("en")}`;
    more.hidden = sorted.length <= limit;
  }
  function head(c) {
    function sort() {
      const down = cell.getAttribute("aria-sort") === "ascending";
      for (const other of headers.children) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      sorted = [...trials].sort((a, b) => (down ? -1 : 1) * byValue(c.value(a), c.value(b)));
      fill();
    }
    const cell = element("th", { class: c.number ? "number" : null, scope: "col" }, button("", sort, { class: "sort" }));
    cell.firstChild.append(bdi(c.title));
    return cell;
  }
  const headers = element("tr", {}, ...[numbered, ...columns].map(head));
  fill();
  return element("div", { class: "card" }, element("h2", {}, `${title} (${trials.length.toLocaleString("en")})`), hint(words),
    element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title },
      element("table", {}, element("thead", {}, headers), body)), more);
}

function drawTables() {
  const of = (...kinds) => state.trials.filter((trial) => kinds.includes(trial.kind));
  const along = (trials) => trials.sort((a, b) => byValue(a.metrics[state.data.x], b.metrics[state.data.x]));
  const asked = new Set([...Object.keys(state.data.objectives), "mAP", "rank1", "latency_ms", "latency_ratio", "size_bytes", "params"]);
  const figures = [...asked].filter((metric) => state.data.metrics.includes(metric)).map(metricColumn);
  const wide = (c) => ({ ...c, wide: true });
  const parameters = parameterColumns();
  const why = (trial) => problemsOf(trial).join("; ") || "-";
  const standing = column("standing", (trial) => KIND_NAMES[trial.kind]);
  const parts = [
    ["On the front", "No other trial is better in one objective without being worse in another.", along(of("front")), [...figures, ...parameters]],
    ["Dominated or untrusted", "Complete trials beside the front; an untrusted latency keeps a trial off it.",
      of("dominated", "untrusted"), [standing, ...figures, ...parameters]],
    ["Infeasible", "A limit of the study or a check of the artifact is broken.", of("infeasible"),
      [wide(column("why", why, why)), ...figures, ...parameters]],
    ["Stopped early", "Others did better after as many epochs; the figures are those of the last one evaluated.",
      of("stopped"), [...figures, ...parameters]],
    ["Failed", "These gave no result.", of("failed"), [wide(column("why", why, why)), ...parameters]],
  ];
  byId("tables").replaceChildren(...parts.filter(([, , trials]) => trials.length).map((part) => table(...part)));
}
