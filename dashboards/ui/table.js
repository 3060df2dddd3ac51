// An instant query's result as a table: vector, range vector, scalar or string.

import { el } from "./dom.js";
import { formatSi, formatTime, seriesParts } from "./format.js";

/** Rows added at once: a browser is slow long before a server is. */
const ROWS_PAGE = 500;
/** The newest samples of one series of a range vector that are shown. */
const SAMPLES_SHOWN_MAX = 120;

/** A series as an element, its parts coloured by kind. */
export function seriesNode(metric) {
  return el("span", { class: "series" }, seriesParts(metric).map(([kind, text]) => (kind ? el("span", { class: kind }, text) : text)));
}

/** The label pairs of a set as chips. */
export function labelChips(labels) {
  return el("span", { class: "chips" }, Object.entries(labels).map(([name, value]) =>
    el("span", { class: "chip" }, el("span", { class: "label" }, name), "=", el("span", { class: "value" }, value))));
}

const BRACKETS = [["(", "]"], ["[", ")"], ["(", ")"], ["[", "]"]];

/** A native histogram: count, sum and mean, its buckets on demand. */
function histogramNode({ count, sum, buckets = [] }) {
  const mean = Number(count) > 0 ? ` · mean ${formatSi(sum / count)}` : "";
  const largest = Math.max(...buckets.map((bucket) => Number(bucket[3])), 0);
  const rows = buckets.map(([rule, low, high, inside]) => {
    const [open, close] = BRACKETS[rule] ?? BRACKETS[0];
    const meter = el("meter", { max: largest, value: inside, "aria-hidden": "true" });
    return el("tr", null, el("td", null, `${open}${low}, ${high}${close}`), el("td", null, meter), el("td", { class: "number" }, inside));
  });
  return el("details", { class: "histogram" },
    el("summary", null, `count ${count} · sum ${sum}${mean}`),
    el("table", null, el("tbody", null, rows)));
}

/** The value cell of one result row. */
function valueNode({ value, histogram, values = [], histograms = [] }) {
  if (histogram) return histogramNode(histogram[1]);
  if (value) return el("span", null, value[1]);
  const at = (time) => el("span", { class: "dim" }, ` @ ${formatTime(time * 1000)}`);
  const hidden = values.length - SAMPLES_SHOWN_MAX;
  return [
    hidden > 0 && el("div", { class: "dim" }, `… ${hidden} earlier samples`),
    ...values.slice(-SAMPLES_SHOWN_MAX).map(([time, text]) => el("div", null, text, at(time))),
    ...histograms.slice(-SAMPLES_SHOWN_MAX).map(([time, content]) => el("div", null, histogramNode(content), at(time))),
  ];
}

const order = (row) => Number((row.value?.[1] ?? row.histogram?.[1].count ?? "NaN").replace("Inf", "Infinity"));

/** Renders `{ resultType, result }`; returns the element and what to count. */
export function resultTable({ resultType, result }) {
  if (resultType === "scalar" || resultType === "string") {
    const text = resultType === "string" ? JSON.stringify(result[1]) : result[1];
    const row = el("tr", null, el("td", { class: "dim" }, resultType), el("td", { class: "number" }, text));
    return { node: el("table", { class: "result" }, el("tbody", null, row)), count: resultType };
  }
  const count = `${result.length} series`;
  if (result.length === 0) return { node: el("p", { class: "empty" }, "No series match at this time."), count };
  return { node: seriesTable(result, resultType === "vector"), count };
}

function seriesTable(result, isSortable) {
  const body = el("tbody");
  const more = el("button", { type: "button", onclick: () => append() });
  let rows = result, shown = 0, direction = 0;

  const append = () => {
    const page = rows.slice(shown, shown + ROWS_PAGE);
    body.append(...page.map((row) => el("tr", null,
      el("td", null, seriesNode(row.metric)), el("td", { class: "number" }, valueNode(row)))));
    shown += page.length;
    more.hidden = shown === rows.length;
    more.textContent = `Show more (${shown} of ${rows.length})`;
  };
  const sort = (event) => {
    direction = direction === 0 ? -1 : direction === -1 ? 1 : 0;
    // NaN compares as smallest, so that the order is total.
    const rank = (row) => (Number.isNaN(order(row)) ? -Infinity : order(row));
    rows = direction === 0 ? result : [...result].sort((a, b) => (rank(a) < rank(b) ? -direction : rank(a) > rank(b) ? direction : 0));
    event.currentTarget.textContent = ["Value ↓", "Value", "Value ↑"][direction + 1];
    shown = 0;
    body.replaceChildren();
    append();
  };
  append();

  const value = isSortable ? el("button", { type: "button", class: "sort", title: "Sort by value", onclick: sort }, "Value") : "Samples";
  return el("div", { class: "scroll" },
    el("table", { class: "result" },
      el("thead", null, el("tr", null, el("th", { scope: "col" }, "Series"), el("th", { scope: "col", class: "number" }, value))),
      body),
    more);
}
