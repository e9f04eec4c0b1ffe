/* Words, figures with their units, and elements; every foreign text becomes a text node. */

const NAMES = {
  rank1: "rank-1", rank5: "rank-5", rank10: "rank-10", mAP_trapezoid: "mAP, trapezoid", latency_ms: "latency",
  latency_p10_ms: "latency, p10", latency_p90_ms: "latency, p90", latency_ratio: "latency / baseline",
  size_bytes: "file size", macs: "multiply-adds", throughput_per_s: "throughput", params: "parameters",
};
const nameOf = (metric) => (Object.hasOwn(NAMES, metric) ? NAMES[metric] : metric);
const isAccuracy = (metric) => metric.startsWith("mAP") || metric.startsWith("rank");
const betterHigher = (metric) => isAccuracy(metric) || metric.startsWith("throughput");

/* Rates are kept as fractions and sizes in single units; people get percent and millions. */
const factorOf = (metric) => {
  if (isAccuracy(metric)) return 0.01;
  return metric.endsWith("_bytes") || metric === "macs" || metric === "params" ? 1e6 : 1;
};
const scaled = (metric, value) => value / factorOf(metric);
function unitOf(metric) {
  if (isAccuracy(metric)) return "%";
  if (metric.endsWith("_ms")) return "ms";
  if (metric.endsWith("_per_s")) return "/s";
  if (metric.endsWith("_bytes")) return "MB";
  return metric === "macs" || metric === "params" ? "M" : "";
}
function brief(value) {
  return Math.abs(value) >= 1e4 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(4)));
}
function shown(metric, value) {
  if (value === undefined || value === null) return "-";
  const unit = unitOf(metric);
  if (!unit) return brief(value);
  const figure = scaled(metric, value);
  if (unit !== "%" && figure !== 0 && Math.abs(figure) < 1) return `${figure.toPrecision(3)} ${unit}`;
  return `${figure.toFixed(unit === "%" ? 1 : figure >= 100 ? 0 : 2)} ${unit}`;
}
function duration(seconds) {
  if (seconds < 60) return `${brief(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
function text(value) {
  if (typeof value === "string") return value;
  return typeof value === "number" ? String(Number(value.toPrecision(6))) : JSON.stringify(value);
}
const count = (number, what) => `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;

function element(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
const bdi = (value) => element("bdi", {}, value);
const hint = (words) => element("p", { class: "hint" }, words);
const button = (words, click, attributes) => element("button", { type: "button", on: { click }, ...attributes }, words);
const byId = (id) => document.getElementById(id);

function pairs(entries) {
  const rows = entries.map(([name, value]) =>
    element("tr", {}, element("th", { scope: "row" }, bdi(name)), element("td", {}, value instanceof Node ? value : bdi(value))));
  return element("table", { class: "pairs" }, element("tbody", {}, ...rows));
}

/* Plotly reads a little markup in labels; names must stay what they are. */
const literal = (name) => name.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const axisName = (metric) => literal(unitOf(metric) ? `${nameOf(metric)} (${unitOf(metric)})` : nameOf(metric));
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function byValue(a, b) {
  const missing = (value) => value === undefined || value === null;
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  if (typeof a === "number" && typeof b === "number") return a - b;
  return text(a) < text(b) ? -1 : Number(text(a) > text(b));
}
