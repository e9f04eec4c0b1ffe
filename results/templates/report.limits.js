/* Sliders and fields for the limits, the answer to them, and the command that makes the same choice. */

const FIRST = ["latency_ms", "mAP", "rank1", "size_bytes", "macs", "params"];
const STEPS = 1000;

/* key -> {metric, operator, drop, low, high}: what may be limited in this study. */
function limitRows() {
  const candidates = state.trials.filter((trial) => eligible(trial, state.data.objectives));
  const known = new Set(candidates.flatMap((trial) => Object.keys(trial.metrics)));
  const wishable = [...new Set([...Object.keys(state.data.objectives), ...FIRST, ...known])].filter((m) => known.has(m));
  const main = wishable.filter((metric) => metric in state.data.objectives || FIRST.includes(metric));
  const row = (metric, drop) => {
    const values = candidates.map((trial) => trial.metrics[metric]).filter((value) => value !== undefined);
    const ends = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
    const base = state.data.baseline?.[metric];
    const [low, high] = drop ? [0, Math.max(base - ends[0], 1e-3)] : ends;
    return { key: drop ? `drop:${metric}` : metric, metric, drop, low, high,
      operator: betterHigher(metric) ? ">=" : "<=", main: main.includes(metric) && metric !== "rank1" };
  };
  const drops = wishable.filter((m) => m in state.data.objectives && isAccuracy(m) && state.data.baseline?.[m] !== undefined);
  return [...wishable.map((metric) => row(metric, false)), ...drops.map((metric) => ({ ...row(metric, true), main: true }))];
}

/* The slider's loose end sets no limit; costs go by ratio, as on the front. */
const loose = (row) => (row.operator === "<=" || row.drop ? STEPS : 0);
function atStep(row, step) {
  const part = step / STEPS;
  const byRatio = !row.drop && row.operator === "<=" && row.low > 0;
  const value = byRatio ? row.low * (row.high / row.low) ** part : row.low + (row.high - row.low) * part;
  if (row.drop) return Number(value.toFixed(3));
  // Rounded to the loose side: the best trial must fit the tightest position.
  if (row.operator === ">=") return Math.floor(value * 1000 + 1e-6) / 1000;
  const unit = 10 ** (Math.floor(Math.log10(Math.abs(value) || 1)) - 2);
  return Number((Math.ceil(value / unit - 1e-9) * unit).toPrecision(12));
}
function stepOf(row, value) {
  const byRatio = !row.drop && row.operator === "<=" && row.low > 0;
  const part = byRatio ? Math.log(value / row.low) / Math.log(row.high / row.low || 2) : (value - row.low) / (row.high - row.low);
  return Math.min(STEPS, Math.max(0, Math.round(STEPS * (Number.isFinite(part) ? part : 1))));
}

/* The limits in force as `pick` makes them absolute. */
function wishes() {
  const result = [];
  for (const [key, value] of state.limits) {
    const row = state.rows.find((candidate) => candidate.key === key);
    if (!row) continue;
    const base = state.data.baseline?.[row.metric];
    if (row.drop) result.push({ ...row, value: Number((base - value).toFixed(12)), given: value, words: `${row.metric} >= baseline - ${value}` });
    else result.push({ ...row, value, given: value, words: `${row.metric} ${row.operator} ${value}` });
  }
  return result;
}
function command(chosen) {
  const option = (wish) => (wish.drop ? "--max-drop" : wish.operator === "<=" ? "--max" : "--min");
  const limits = wishes().map((wish) => `${option(wish)} ${wish.metric}=${wish.given}`);
  return [state.data.command, ...limits, `--out ${state.data.out}-trial-${chosen.n}`].join(" ");
}

function limitControl(row) {
  const unit = unitOf(row.metric);
  const label = row.drop ? `${nameOf(row.metric)} below the baseline by at most` : row.operator === "<="
    ? `${nameOf(row.metric)} at most` : `${nameOf(row.metric)} at least`;
  const field = element("input", { type: "number", step: "any", min: 0, placeholder: "any", "data-limit": row.key,
    "aria-label": unit ? `${label}, in ${unit === "%" ? "percent" : unit}` : label });
  const slider = element("input", { type: "range", min: 0, max: STEPS, step: 1, "data-limit": row.key, "aria-label": label });
  function show() {
    const value = state.limits.get(row.key);
    field.value = value === undefined ? "" : Number(scaled(row.metric, value).toPrecision(10));
    slider.value = value === undefined ? loose(row) : stepOf(row, value);
    slider.setAttribute("aria-valuetext", value === undefined ? "any" : shown(row.metric, value));
  }
  function set(value) {
    if (value === undefined || !Number.isFinite(value)) state.limits.delete(row.key);
    else state.limits.set(row.key, value);
    later(applyLimits);
  }
  slider.addEventListener("input", () => {
    const step = Number(slider.value);
    set(step === loose(row) ? undefined : atStep(row, step));
    const kept = slider.value;
    show();
    slider.value = kept;
  });
  field.addEventListener("input", () => {
    const given = field.value === "" ? undefined : Number(field.value);
    const value = given === undefined ? undefined : Number((given * factorOf(row.metric)).toPrecision(12));
    // `pick` refuses a rate above 1 and a negative drop.
    const wrong = value !== undefined && (!Number.isFinite(value) || (isAccuracy(row.metric) && value > 1) || (row.drop && value < 0));
    field.setAttribute("aria-invalid", String(wrong));
    if (wrong) return;
    set(value);
    slider.value = value === undefined ? loose(row) : stepOf(row, value);
    slider.setAttribute("aria-valuetext", value === undefined ? "any" : shown(row.metric, value));
  });
  row.show = show;
  show();
  return element("div", { class: "limit" }, element("span", { class: "name" }, bdi(label)), slider, field,
    element("span", { class: "unit" }, unit));
}

function drawLimits() {
  const open = byId("limits").querySelector("details")?.open ?? false;
  state.rows = limitRows();
  const [main, others] = [state.rows.filter((row) => row.main), state.rows.filter((row) => !row.main)];
  const clear = button("No limits", () => { state.limits.clear(); state.rows.forEach((row) => row.show()); applyLimits(); });
  byId("limits").replaceChildren(
    element("div", { class: "grid" }, ...main.map(limitControl)),
    ...(others.length ? [element("details", { open }, element("summary", {}, "More limits"),
      element("div", { class: "grid" }, ...others.map(limitControl)))] : []),
    ...(state.rows.length ? [clear] : [hint("Nothing can be picked yet.")]));
}

function answer(result, asked) {
  const { order, within, candidates, names } = result;
  const line = byId("answer");
  const limits = asked.map((wish) => wish.words).join(" and ");
  if (order.length) {
    const best = order[0];
    const figures = Object.keys(state.data.objectives).map((m) => `${nameOf(m)} ${shown(m, best.metrics[m])}`).join(", ");
    const how = names.length > 1 ? "the knee of the front" : `the ${betterHigher(names[0]) ? "highest" : "lowest"} ${nameOf(names[0])}`;
    line.replaceChildren(button(`Trial ${best.n}`, () => select(best.n), { class: "link", id: "named", "data-trial": best.n }),
      bdi(`: ${figures}; ${how} of ${count(within.length, "trial")} that ${within.length === 1 ? "fits" : "fit"}.`));
  } else if (!candidates.length) {
    line.textContent = "Nothing can be picked yet: no complete, feasible trial with a trusted latency.";
  } else {
    const misses = (trial) => asked.filter((wish) => excess(wish, trial) > 0)
      .map((w) => (Number.isFinite(excess(w, trial)) ? `${nameOf(w.metric)} by ${shown(w.metric, excess(w, trial))}` : `${nameOf(w.metric)} not measured`));
    const near = nearest(candidates, asked, 3).map((trial) => `trial ${trial.n} (${misses(trial).join(", ")})`);
    line.replaceChildren(bdi(`None of ${count(candidates.length, "trial")} meets ${limits}. Nearest, with what they miss by: ${near.join("; ")}.`));
  }
  byId("command").textContent = order.length ? command(order[0]) : "";
  byId("command").parentElement.hidden = !order.length;
}

async function copyCommand() {
  const code = byId("command");
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    getSelection().selectAllChildren(code);
    document.execCommand("copy");
  }
  byId("copy").textContent = "Copied";
  setTimeout(() => { byId("copy").textContent = "Copy"; }, 1500);
}

function applyLimits() {
  const asked = wishes();
  const result = choose(state.trials, state.data.objectives, asked);
  state.choice = result.order[0] ?? null;
  state.dimmed = asked.length > 0;
  for (const trial of state.trials) trial.fits = fits(trial, asked);
  answer(result, asked);
  drawFront();
  drawParallel();
}
