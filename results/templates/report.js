"use strict";
(() => {
  const ROWS_AT_FIRST = 200;
  let data = null;
  let byNumber = null;

  const NAMES = {
    rank1: "rank-1", rank5: "rank-5", rank10: "rank-10", mAP_trapezoid: "mAP, trapezoid", latency_ms: "latency",
    latency_p10_ms: "latency, p10", latency_p90_ms: "latency, p90", latency_ratio: "latency / baseline",
    size_bytes: "file size", macs: "multiply-adds", params: "parameters",
  };
  const isAccuracy = (metric) => metric.startsWith("mAP") || metric.startsWith("rank");
  const nameOf = (metric) => (Object.hasOwn(NAMES, metric) ? NAMES[metric] : metric);

  // Rates are kept as fractions; percent appears on pages for people only.
  const scaled = (metric, value) => (isAccuracy(metric) ? 100 * value : value);
  function unitOf(metric) {
    if (isAccuracy(metric)) return "%";
    return metric.endsWith("_ms") ? "ms" : "";
  }
  function shown(metric, value) {
    if (value === undefined || value === null) return "-";
    if (isAccuracy(metric)) return `${(100 * value).toFixed(1)} %`;
    if (metric.endsWith("_ms")) return `${value.toFixed(2)} ms`;
    if (metric.endsWith("_bytes")) return `${(value / 1e6).toFixed(2)} MB`;
    if (Math.abs(value) >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
    if (Math.abs(value) >= 1e4) return Math.round(value).toLocaleString("en");
    return Number(value.toPrecision(4)).toString();
  }
  const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));

  function element(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key === "click") node.addEventListener("click", value);
      else if (value !== null && value !== false) node.setAttribute(key, value);
    }
    node.append(...children);
    return node;
  }

  /* ---------------------------------------------------------------- tables */

  function column(title, value, show, number) {
    return { title, value, show: show || ((trial) => text(value(trial) ?? "-")), number: Boolean(number) };
  }
  const metricColumn = (metric) =>
    column(nameOf(metric), (trial) => trial.metrics?.[metric], (trial) => shown(metric, trial.metrics?.[metric]), true);

  function parameterColumns(trials) {
    const names = new Set(trials.flatMap((trial) => Object.keys(trial.params || {})));
    return [...names].map((name) => {
      const value = (trial) => (trial.params || {})[name];
      const number = trials.every((trial) => value(trial) === undefined || typeof value(trial) === "number");
      const show = (trial) => {
        const given = value(trial);
        if (given === undefined) return "-";
        return typeof given === "number" ? Number(given.toPrecision(4)).toString() : text(given);
      };
      return column(name, value, show, number);
    });
  }

  function compare(a, b) {
    if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
    if (typeof a === "number" && typeof b === "number") return a - b;
    return text(a) < text(b) ? -1 : Number(text(a) > text(b));
  }

  function table(title, hint, trials, columns) {
    let limit = ROWS_AT_FIRST;
    let sorted = [...trials];
    const body = element("tbody");
    const more = element("button", { class: "more", click: () => { limit = Infinity; fill(); } });
    const numbered = column("trial", (trial) => trial.n, null, true);

    function row(trial) {
      const open = element("button", { click: () => select(trial.n) }, String(trial.n));
      const cells = columns.map((c) =>
        element("td", { class: c.number ? "number" : c.wide ? "wide" : null }, element("bdi", {}, c.show(trial))));
      return element("tr", { "data-trial": trial.n }, element("td", { class: "number" }, open), ...cells);
    }
    function fill() {
      body.replaceChildren(...sorted.slice(0, limit).map(row));
      more.textContent = `Show all ${sorted.length}`;
      more.hidden = sorted.length <= limit;
    }
    function head(c) {
      function sort() {
        const down = cell.getAttribute("aria-sort") === "ascending";
        for (const other of headers.children) other.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", down ? "descending" : "ascending");
        sorted = [...trials].sort((a, b) => (down ? -1 : 1) * compare(c.value(a), c.value(b)));
        fill();
      }
      const button = element("button", { click: sort }, element("bdi", {}, c.title));
      const cell = element("th", { class: c.number ? "number" : null, scope: "col" }, button);
      return cell;
    }
    const headers = element("tr", {}, ...[numbered, ...columns].map(head));
    fill();
    return element("div", { class: "card" }, element("h2", {}, `${title} (${trials.length})`),
      element("p", { class: "hint" }, hint),
      element("div", { class: "scroll" }, element("table", {}, element("thead", {}, headers), body)), more);
  }

  function tables() {
    const of = (...kinds) => data.trials.filter((trial) => kinds.includes(trial.kind));
    const along = (trials) => trials.sort((a, b) => compare(a.metrics[data.x], b.metrics[data.x]));
    const present = (metric) => data.trials.some((trial) => trial.metrics?.[metric] !== undefined);
    const wanted = new Set([...Object.keys(data.objectives), "mAP", "rank1", "latency_ms", "latency_ratio",
      "size_bytes", "params"]);
    const figures = [...wanted].filter(present).map(metricColumn);
    const wide = (c) => ({ ...c, wide: true });
    const parameters = parameterColumns(data.trials);
    const broken = (trial) => Object.entries(trial.violations || {})
      .map(([limit, excess]) => `${limit}: by ${Number(excess.toPrecision(3))}`).join("; ");
    const why = (trial) => [broken(trial), trial.error].filter(Boolean).join("; ") || "-";
    const kinds = column("standing", (trial) => trial.kind);
    const parts = [
      ["On the front", "No other trial is better in one objective without being worse in another.", along(of("front")),
        [...figures, ...parameters]],
      ["Dominated or untrusted", "Complete trials beside the front; an untrusted latency keeps a trial off it.",
        of("dominated", "untrusted"), [kinds, ...figures, ...parameters]],
      ["Infeasible", "A limit of the study or a check of the artifact is broken.", of("infeasible"),
        [wide(column("why", why, why)), ...figures, ...parameters]],
      ["Failed", "These gave no result.", of("failed"), [wide(column("why", why, why)), ...parameters]],
    ];
    document.getElementById("tables").append(
      ...parts.filter(([, , trials]) => trials.length).map((part) => table(...part)));
  }

  /* ---------------------------------------------------------------- one trial */

  function pairs(entries) {
    const rows = entries.map(([name, value]) =>
      element("tr", {}, element("td", {}, element("bdi", {}, name)), element("td", {}, element("bdi", {}, value))));
    return element("table", {}, element("tbody", {}, ...rows));
  }

  function detail(trial) {
    const part = (title, entries) => (entries.length ? [element("h3", {}, title), pairs(entries)] : []);
    const metrics = Object.entries(trial.metrics || {});
    const settings = Object.entries({ ...data.shared, ...trial.config })
      .filter(([name]) => !Object.hasOwn(trial.params || {}, name)).map(([name, value]) => [name, text(value)]);
    const seconds = (trial.stages || []).map(([name, time, cached]) =>
      [name, cached ? `${time} s, from the cache` : `${time} s`]);
    const problems = [...Object.entries(trial.violations || {}).map(([limit, by]) => `${limit} is broken by ${by}`),
      ...(trial.error ? [trial.error] : [])];
    return element("div", { class: "detail" },
      element("h2", {}, `Trial ${trial.n} `, element("span", { class: `chip ${trial.kind}` }, trial.kind)),
      ...(trial.n === data.suggested ? [element("p", { class: "hint" }, "The knee of the front.")] : []),
      ...problems.map((problem) => element("p", { class: "message" }, element("bdi", {}, problem))),
      ...part("Configuration", Object.entries(trial.params || {}).map(([name, value]) => [name, text(value)])),
      ...part("Accuracy, size", metrics.filter(([m]) => !m.startsWith("latency")).map(([m, v]) => [nameOf(m), shown(m, v)])),
      ...part("Latency", metrics.filter(([m]) => m.startsWith("latency")).map(([m, v]) => [nameOf(m), shown(m, v)])),
      ...part("Stages", seconds),
      element("details", {}, element("summary", {}, "Settings that were not searched"), pairs(settings)));
  }

  function select(number) {
    const trial = byNumber.get(number);
    if (!trial) return;
    document.getElementById("detail").replaceChildren(detail(trial));
    document.querySelectorAll("tr.chosen").forEach((row) => row.classList.remove("chosen"));
    document.querySelectorAll(`tr[data-trial="${number}"]`).forEach((row) => row.classList.add("chosen"));
    mark(trial);
  }

  /* ---------------------------------------------------------------- the picture */

  const plot = document.getElementById("plot");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const hasPoint = (trial) => trial.metrics?.[data.x] !== undefined && trial.metrics?.[data.y] !== undefined;
  const x = (trial) => scaled(data.x, trial.metrics[data.x]);
  const y = (trial) => scaled(data.y, trial.metrics[data.y]);
  // Plotly reads a little markup in labels; names must stay what they are.
  const literal = (name) => name.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const axisName = (metric) => literal(unitOf(metric) ? `${nameOf(metric)} (${unitOf(metric)})` : nameOf(metric));

  function trace(name, kind, look) {
    const trials = data.trials.filter((trial) => trial.kind === kind && hasPoint(trial)).sort((a, b) => x(a) - x(b));
    return {
      type: "scatter", name: `${name} (${trials.length})`, x: trials.map(x), y: trials.map(y),
      customdata: trials.map((trial) => trial.n), visible: trials.length > 0,
      text: trials.map((t) => `trial ${t.n}: ${shown(data.y, t.metrics[data.y])}, ${shown(data.x, t.metrics[data.x])}`),
      hovertemplate: "%{text}<extra></extra>", ...look(trials),
    };
  }
  function spread(trials) {
    if (data.x !== "latency_ms") return {};
    const reach = (metric, sign) => trials.map((trial) =>
      Math.max(0, sign * ((trial.metrics[metric] ?? trial.metrics.latency_ms) - trial.metrics.latency_ms)));
    return { error_x: { type: "data", symmetric: false, array: reach("latency_p90_ms", 1),
      arrayminus: reach("latency_p10_ms", -1), thickness: 1.4, width: 4, color: colour("front") } };
  }
  function traces() {
    const dots = (name, size, extra) => ({ size, color: colour(name), ...extra });
    const result = [
      trace("dominated", "dominated", () => ({ mode: "markers", marker: dots("faint", 7, { opacity: 0.6 }) })),
      trace("latency not trusted", "untrusted", () => ({
        mode: "markers", marker: dots("doubt", 8, { symbol: "circle-open", line: { width: 1.5 } }) })),
      trace("front", "front", (trials) => ({
        mode: "lines+markers", line: { shape: data.objectives[data.y] === "maximize" ? "hv" : "vh", width: 1.6,
          color: colour("front") },
        marker: dots("front", 10, {}), ...spread(trials) })),
    ];
    const base = { metrics: data.baseline || {} };
    if (hasPoint(base)) {
      result.push({ type: "scatter", mode: "markers", name: "dense fp32 baseline", x: [x(base)], y: [y(base)],
        marker: dots("base", 12, { symbol: "diamond" }),
        text: [`baseline: ${shown(data.y, base.metrics[data.y])}, ${shown(data.x, base.metrics[data.x])}`],
        hovertemplate: "%{text}<extra></extra>" });
    }
    result.push({ type: "scatter", mode: "markers", name: "chosen", x: [], y: [], showlegend: false, hoverinfo: "skip",
      marker: { size: 20, symbol: "circle-open", color: colour("ink"), line: { width: 2 } } });
    return result;
  }

  function lines() {
    const shapes = [];
    const labels = [];
    function line(metric, value, name, shade, dash) {
      const across = metric === data.y;
      if (value === null || value === undefined || !(across || metric === data.x)) return;
      const at = scaled(metric, value);
      const logged = across ? at : Math.log10(at);
      shapes.push({ type: "line", layer: "below", line: { color: shade, width: 1.2, dash },
        ...(across ? { xref: "paper", x0: 0, x1: 1, y0: at, y1: at } : { yref: "paper", y0: 0, y1: 1, x0: at, x1: at }) });
      labels.push({ text: literal(name), showarrow: false, font: { size: 11, color: shade },
        ...(across ? { xref: "paper", x: 1, xanchor: "right", y: at, yanchor: "bottom" }
          : { yref: "paper", y: 0, yanchor: "bottom", x: logged, xanchor: "left", textangle: -90 }) });
    }
    for (const metric of [data.x, data.y]) line(metric, data.baseline?.[metric], "baseline", colour("base"), "dot");
    for (const limit of data.limits) line(limit.metric, limit.value, limit.text, colour("bad"), "dash");
    return { shapes, annotations: labels };
  }

  function layout() {
    const axis = { gridcolor: colour("grid"), linecolor: colour("rule"), zeroline: false, automargin: true };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
      font: { family: "system-ui, sans-serif", size: 12.5, color: colour("ink") },
      margin: { l: 58, r: 14, t: 8, b: 50 }, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      xaxis: { ...axis, type: "log", title: { text: axisName(data.x) }, dtick: "D1", exponentformat: "none" },
      yaxis: { ...axis, title: { text: axisName(data.y) } },
      hoverlabel: { bgcolor: colour("card"), bordercolor: colour("rule"), font: { color: colour("ink") } },
      ...lines(),
    };
  }

  let drawn = false;
  let chosen = null;
  function mark(trial) {
    chosen = trial;
    if (!drawn) return;
    const at = hasPoint(trial) ? [trial] : [];
    const last = plot.data.length - 1;
    window.Plotly.restyle(plot, { x: [at.map(x)], y: [at.map(y)] }, [last]);
  }
  async function draw() {
    const options = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] };
    await window.Plotly.react(plot, traces(), layout(), options);
    drawn = true;
    if (chosen) mark(chosen);
  }

  async function unpack(id) {
    const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  async function start() {
    if (typeof DecompressionStream === "undefined") {
      plot.textContent = "The picture and the tables need a browser of 2023 or later.";
      return;
    }
    data = JSON.parse(await unpack("data"));
    byNumber = new Map(data.trials.map((trial) => [trial.n, trial]));
    tables();
    select(data.suggested ?? data.trials[0]?.n);
    document.head.append(element("script", {}, await unpack("plotly")));
    await draw();
    plot.on("plotly_click", (event) => select(event.points[0].customdata));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    document.documentElement.dataset.ready = "true";
  }
  start();
})();
