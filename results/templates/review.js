"use strict";
// Beside the report's own script, on the page that `reid-pareto review` serves: asks whether trials were committed,
// shows them without a reload, and has packages made.
(() => {
  const EVERY_MS = 2000;
  const make = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  const card = make("section", "", { id: "review", class: "card", "aria-label": "Packages" });
  const state = make("p", "Live.", { id: "live", class: "hint", "aria-live": "polite" });
  const byLimits = make("button", "Package what these limits take", { id: "pick-limits", type: "button" });
  const byTrial = make("button", "Package the trial shown", { id: "pick-trial", type: "button" });
  const answer = make("p", "", { id: "picked", "aria-live": "polite" });
  card.append(make("h2", "Take one"), state, byLimits, " ", byTrial, answer);
  document.querySelector("main").prepend(card);

  async function ask(path, options = {}) {
    const reply = await fetch(path, { cache: "no-store", ...options });
    const found = await reply.json();
    if (!reply.ok) throw new Error(found.error);
    return found;
  }

  let shown = document.documentElement.dataset.etag;
  async function look() {
    try {
      const now = await ask("state");
      if (now.etag !== shown && window.reidPareto) {
        const fresh = await ask("data");
        window.reidPareto.update(fresh.data);
        shown = fresh.etag;
      }
      state.textContent = `Live: ${now.trials} trial${now.trials === 1 ? "" : "s"} committed.`;
    } catch (error) {
      state.textContent = `Not live: ${error.message}. Is reid-pareto review still running?`;
    }
    setTimeout(look, EVERY_MS);
  }

  async function pick(wishes) {
    byLimits.disabled = byTrial.disabled = true;
    answer.textContent = "Timing the candidates again, evaluating and packaging; this may take minutes.";
    try {
      const body = JSON.stringify(wishes);
      const made = await ask("pick", { method: "POST", headers: { "Content-Type": "application/json" }, body });
      answer.textContent = `${made.reason} Package: ${made.package}, verified. ${[made.unchecked, ...made.doubts].join(" ")}`;
    } catch (error) {
      answer.textContent = `No package: ${error.message}`;
    }
    byLimits.disabled = byTrial.disabled = false;
  }

  byLimits.addEventListener("click", () => pick(window.reidPareto.limits()));
  byTrial.addEventListener("click", () => {
    const trial = window.reidPareto.selected();
    if (trial === null) answer.textContent = "No trial is shown.";
    else pick({ trial });
  });
  look();
})();
