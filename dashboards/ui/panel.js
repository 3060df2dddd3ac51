// One query panel: the expression, how to look at it, and its result.

import { ApiError, call } from "./api.js";
import { attachCompletion } from "./complete.js";
import { el, notice, segmented } from "./dom.js";
import { formatDuration, formatElapsed, formatTime, parseDuration, parseTime, timeZone } from "./format.js";
import { Graph } from "./graph.js";
import { resultTable } from "./table.js";

/** Series asked for at most; the API answers with a warning when there are more. */
const SERIES_LIMIT = { table: 10_000, graph: 2_000 };
const RANGES = ["1m", "5m", "15m", "30m", "1h", "2h", "6h", "12h", "1d", "2d", "1w", "2w", "4w", "12w", "1y"].map(parseDuration);
const EXAMPLES = ["up", "rate(prometheus_tsdb_head_samples_appended_total[5m])", "100 * (1 - avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[5m])))",
  "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "topk(10, count by (__name__) ({__name__!=\"\"}))"];

/** The step of a graph when none is asked for: about 250 steps, never under a second. */
export const autoStep = (rangeMs) => Math.max(1000, Math.floor(rangeMs / 250_000) * 1000);

let panelsMade = 0;

export class Panel {
  #abort = null;
  #graph = null;

  /** `state` is shared with the page; `changed()` follows each edit that belongs in the address. */
  constructor(state, changed, remove) {
    this.state = state;
    this.changed = changed;
    this.meta = el("span", { class: "meta", role: "status" });
    this.notices = el("div");
    this.output = el("div", { class: "output" });
    this.expr = this.#expressionBox();
    this.controls = el("div", { class: "controls" });
    const completions = attachCompletion(this.expr, `completions-${++panelsMade}`);
    this.element = el("section", { class: "panel", "aria-label": "Query" },
      el("form", { class: "ask", onsubmit: (event) => { event.preventDefault(); this.submit(); } },
        el("div", { class: "expr" }, this.expr, completions),
        el("button", { class: "primary", type: "submit" }, "Run"),
        el("button", { class: "quiet remove", type: "button", title: "Remove this query", "aria-label": "Remove this query", onclick: remove }, "×")),
      el("div", { class: "tools" },
        segmented("View", [["table", "Table"], ["graph", "Graph"]], state.tab, (tab) => { this.state.tab = tab; this.#renderControls(); this.submit(); }),
        this.controls, this.meta),
      this.notices, this.output);
    this.#renderControls();
    if (state.expr.trim()) this.run();
    else this.#showExamples();
  }

  /** Takes over what was typed, tells the page and runs. */
  submit() {
    this.state.expr = this.expr.value;
    this.changed();
    return this.run();
  }

  /** Forgets an answer still under way; called when the panel leaves the page. */
  stop() {
    this.#abort?.abort();
  }

  async run() {
    this.stop();
    if (!this.state.expr.trim()) return this.#showExamples();
    const abort = this.#abort = new AbortController();
    this.element.classList.add("busy");
    try {
      await (this.state.tab === "graph" ? this.#runRange(abort.signal) : this.#runInstant(abort.signal));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof ApiError)) console.error(error);
      this.#graph = null;
      this.output.replaceChildren();
      this.meta.textContent = "";
      this.notices.replaceChildren(notice("error", error.message));
    } finally {
      if (this.#abort === abort) this.element.classList.remove("busy");
    }
  }

  async #runInstant(signal) {
    const { expr, end } = this.state;
    const params = { query: expr, time: end === null ? null : end / 1000, limit: SERIES_LIMIT.table };
    const answer = await call("query", { params, post: true, signal });
    const { node, count } = resultTable(answer.data);
    this.#report(answer, count);
    this.#graph = null;
    this.output.replaceChildren(node);
  }

  async #runRange(signal) {
    const { expr, rangeMs, stepMs } = this.state;
    const end = this.state.end ?? Date.now();
    const range = { start: end - rangeMs, end, stepMs: stepMs ?? autoStep(rangeMs) };
    const params = { query: expr, start: range.start / 1000, end: end / 1000, step: range.stepMs / 1000, limit: SERIES_LIMIT.graph };
    const answer = await call("query_range", { params, post: true, signal });
    if (!this.#graph) {
      this.#graph = new Graph((from, to) => this.#setSpan(from, to));
      this.output.replaceChildren(this.#graph.element);
    }
    const count = this.#graph.show(answer.data.result, range);
    this.#report(answer, `${count} series · step ${formatDuration(range.stepMs)}`);
  }

  #report({ warnings, infos, elapsedMs }, count) {
    this.meta.textContent = `${count} · ${formatElapsed(elapsedMs)}`;
    this.notices.replaceChildren(...warnings.map((text) => notice("warning", text)), ...infos.map((text) => notice("info", text)));
  }

  #showExamples() {
    const pick = (expr) => { this.expr.value = expr; this.submit(); };
    this.#graph = null;
    this.meta.textContent = "";
    this.notices.replaceChildren();
    this.output.replaceChildren(el("div", { class: "examples" }, el("p", { class: "dim" }, "Type a PromQL expression, or begin with one of these:"),
      EXAMPLES.map((expr) => el("button", { type: "button", onclick: () => pick(expr) }, expr))));
  }

  #expressionBox() {
    const box = el("textarea", {
      rows: 1, spellcheck: "false", autocapitalize: "off", autocomplete: "off",
      "aria-label": "Expression", placeholder: "Expression (Enter runs, Shift+Enter starts a new line)",
    });
    box.value = this.state.expr;
    const fit = () => { box.rows = Math.min(12, box.value.split("\n").length); };
    box.addEventListener("input", fit);
    box.addEventListener("keydown", (event) => {
      // The completion list handles Enter first when something is chosen in it.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.defaultPrevented) return;
      event.preventDefault();
      box.dispatchEvent(new Event("blur"));
      this.submit();
    });
    fit();
    return box;
  }

  #setSpan(from, to) {
    this.state.end = Math.round(to / 1000) * 1000;
    this.state.rangeMs = Math.max(1000, Math.round((to - from) / 1000) * 1000);
    this.#renderControls();
    this.submit();
  }

  #renderControls() {
    const { state } = this;
    const isGraph = state.tab === "graph";
    const apply = (change) => () => { change(); this.#renderControls(); this.submit(); };
    const nextRange = (direction) => {
      const others = RANGES.filter((range) => (direction > 0 ? range > state.rangeMs : range < state.rangeMs));
      state.rangeMs = (direction > 0 ? others[0] : others.at(-1)) ?? state.rangeMs;
    };
    const shift = (direction) => {
      const end = (state.end ?? Date.now()) + (direction * (isGraph ? state.rangeMs : 300e3)) / 2;
      state.end = end >= Date.now() ? null : Math.round(end / 1000) * 1000;
    };
    const button = (text, label, change) => el("button", { type: "button", title: label, "aria-label": label, onclick: apply(change) }, text);
    const range = this.#field("Range", formatDuration(state.rangeMs), "1h", "short", parseDuration, (ms) => { if (ms !== null) state.rangeMs = ms; });
    const end = this.#field(isGraph ? "End" : "Time", state.end === null ? "" : formatTime(state.end), "now", "time", parseTime, (ms) => { state.end = ms; });
    const step = this.#field("Step", state.stepMs === null ? "" : formatDuration(state.stepMs), `auto ${formatDuration(autoStep(state.rangeMs))}`, "short", parseDuration, (ms) => { state.stepMs = ms; });
    this.controls.replaceChildren(...[
      isGraph && el("span", { class: "stepper" }, button("−", "Shorter range", () => nextRange(-1)), range, button("+", "Longer range", () => nextRange(1))),
      el("span", { class: "stepper" }, button("‹", "Earlier", () => shift(-1)), end, button("›", "Later", () => shift(1))),
      state.end !== null && button("now", "Follow the present", () => { state.end = null; }),
      isGraph && el("span", { class: "stepper" }, step),
    ].filter(Boolean));
  }

  /** A labelled text input; `set(parsed)` is called with null when it is empty, not at all when it cannot be read. */
  #field(label, value, placeholder, className, parse, set) {
    const title = className === "time" ? `${timeZone() === "utc" ? "UTC" : "Local time"}: 2026-01-31 12:00:00, or Unix seconds; empty is now`
      : "A duration such as 90s, 15m or 1h30m";
    const input = el("input", { class: className, value, placeholder, title, autocomplete: "off", onchange: () => {
      const parsed = input.value.trim() === "" ? null : parse(input.value);
      const isValid = parsed !== null || input.value.trim() === "";
      input.setAttribute("aria-invalid", String(!isValid));
      if (!isValid) return;
      set(parsed);
      this.#renderControls();
      this.submit();
    } });
    return el("label", null, el("span", null, label), input);
  }
}
