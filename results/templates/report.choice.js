/* What `reid-pareto pick` chooses with the same limits: results/pick.py, wish.py, knee.py and front.py once more.
   tests/results/test_report_choice.py holds the two together over random studies and limits. */

const kindOf = (metric) => (isAccuracy(metric) ? "accuracy" : /^(latency|throughput)/.test(metric) ? "latency" : metric);
const excess = (wish, trial) => {
  const measured = trial.metrics[wish.metric];
  if (measured === undefined) return Infinity;
  return wish.operator === "<=" ? measured - wish.value : wish.value - measured;
};
const fits = (trial, wishes) => wishes.every((wish) => excess(wish, trial) <= 0);
const eligible = (trial, objectives) => (trial.kind === "front" || trial.kind === "dominated") && !trial.gone
  && Object.keys(objectives).every((name) => trial.metrics[name] !== undefined);

function wanted(objectives, wishes) {
  const limited = new Set(wishes.map((wish) => kindOf(wish.metric)));
  const names = Object.keys(objectives);
  const open = names.filter((name) => !limited.has(kindOf(name)));
  return open.length ? open : [names.find(isAccuracy) ?? names[0]];
}

/* Undominated trials, best in the first objective first, equal ones by number; equal points are all kept. */
function frontOf(trials, objectives) {
  const names = Object.keys(objectives);
  const gains = (trial) => names.map((name) => (objectives[name] === "maximize" ? 1 : -1) * trial.metrics[name]);
  const rows = trials.map((trial) => ({ trial, gains: gains(trial) }));
  const falling = (a, b) => {
    const at = a.gains.findIndex((gain, index) => gain !== b.gains[index]);
    return at < 0 ? a.trial.n - b.trial.n : b.gains[at] - a.gains[at];
  };
  const covers = (other, row) => row.gains.every((gain, index) => other.gains[index] >= gain);
  const equals = (other, row) => row.gains.every((gain, index) => other.gains[index] === gain);
  const front = [];
  let highest = -Infinity;
  for (const row of rows.sort(falling)) {
    const last = front.at(-1);
    if (last && equals(last, row)) front.push(row);
    // In falling order only earlier rows can dominate; of two objectives the second alone tells.
    else if (names.length === 2 ? row.gains[1] > highest : !front.some((other) => covers(other, row))) front.push(row);
    if (names.length === 2) highest = Math.max(highest, row.gains[1]);
  }
  return front.sort((a, b) => b.gains[0] - a.gains[0] || a.trial.n - b.trial.n).map((row) => row.trial);
}

/* As numpy rounds: halves go to the even neighbour. */
function rounded12(value) {
  const times = value * 1e12;
  const floor = Math.floor(times);
  const half = times - floor;
  const whole = half === 0.5 ? floor + (floor % 2 !== 0 ? 1 : 0) : Math.round(times);
  return whole / 1e12;
}
function scaledGain(values, direction) {
  const costs = direction === "minimize";
  const logged = costs && values.every((value) => value > 0);
  const gain = values.map((value) => (logged ? -Math.log(value) : costs ? -value : value));
  const low = gain.reduce((a, b) => Math.min(a, b));
  const high = gain.reduce((a, b) => Math.max(a, b));
  return gain.map((value) => (high === low ? 0 : (value - low) / (high - low)));
}
function fromTheKnee(front, objectives, names) {
  const parts = names.map((name) => scaledGain(front.map((trial) => trial.metrics[name]), objectives[name]));
  const sums = front.map((_, row) => rounded12(parts.reduce((sum, part) => sum + part[row], 0)));
  const first = Math.max(names.findIndex((name) => objectives[name] === "maximize"), 0);
  const order = front.map((_, row) => row);
  order.sort((a, b) => sums[b] - sums[a] || parts[first][b] - parts[first][a] || a - b);
  return order.map((row) => front[row]);
}

/* Trials within the limits, best first, and by what they were ordered. */
function choose(trials, objectives, wishes) {
  const candidates = trials.filter((trial) => eligible(trial, objectives));
  const within = candidates.filter((trial) => fits(trial, wishes));
  const names = wanted(objectives, wishes);
  if (!within.length) return { order: [], within, candidates, names };
  if (names.length > 1) {
    const open = Object.fromEntries(names.map((name) => [name, objectives[name]]));
    return { order: fromTheKnee(frontOf(within, open), open, names), within, candidates, names };
  }
  const ranked = [...names, ...Object.keys(objectives).filter((name) => !names.includes(name))];
  const cost = (trial, name) => (objectives[name] === "maximize" ? -1 : 1) * trial.metrics[name];
  const order = [...within].sort((a, b) => {
    const name = ranked.find((metric) => a.metrics[metric] !== b.metrics[metric]);
    return name ? cost(a, name) - cost(b, name) : a.n - b.n;
  });
  return { order, within, candidates, names };
}

/* Those that miss the limits least, by the sum of their relative misses. */
function nearest(candidates, wishes, most) {
  const miss = (wish, trial) => Math.max(excess(wish, trial), 0) / (Math.abs(wish.value) || 1);
  const distance = new Map(candidates.map((t) => [t, wishes.reduce((sum, wish) => sum + miss(wish, t), 0)]));
  return [...candidates].sort((a, b) => distance.get(a) - distance.get(b) || a.n - b.n).slice(0, most);
}
