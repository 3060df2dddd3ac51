// The status page: build, process, storage, flags and the configuration that runs. Each part fails on its own.

import { call } from "./api.js";
import { el, notice, table } from "./dom.js";
import { formatTime } from "./format.js";

const TOPS = [
  ["Series by metric name", "seriesCountByMetricName"], ["Values by label name", "labelValueCountByLabelName"],
  ["Bytes by label name", "memoryInBytesByLabelName"], ["Series by label pair", "seriesCountByLabelValuePair"],
];

/** Shows the page in `view`. */
export function showStatus(view, signal) {
  const part = (id, title, path, render) => {
    const body = el("div", { class: "part-body" }, el("p", { class: "dim" }, "Loading"));
    call(path, { signal })
      .then(({ data }) => body.replaceChildren(render(data)))
      .catch((error) => error.name !== "AbortError" && body.replaceChildren(notice("error", error.message)));
    return el("section", { class: "part", id }, el("h2", null, title), body);
  };
  view.replaceChildren(
    el("div", { class: "heading" }, el("h1", null, "Status")),
    el("div", { class: "columns" },
      part("build", "Build", "status/buildinfo", pairs),
      part("runtime", "Runtime", "status/runtimeinfo", pairs)),
    part("tsdb", "Storage head", "status/tsdb", head),
    part("flags", "Flags", "status/flags", pairs),
    part("config", "Configuration", "status/config", ({ yaml }) => el("pre", { tabindex: "0" }, yaml)));
}

const integer = (value) => Number(value).toLocaleString("en");

/** A map as a two-column table, in the order of the answer. */
function pairs(map) {
  return table("rows pairs", null, Object.entries(map).map(([name, value]) => [
    el("span", { class: "dim" }, name),
    typeof value === "object" ? JSON.stringify(value) : String(value),
  ]));
}

function head({ headStats = {}, ...tops }) {
  const { numSeries, numLabelPairs, chunkCount, minTime, maxTime } = headStats;
  const stat = (label, value) => el("div", { class: "stat" }, el("span", { class: "dim" }, label), el("strong", null, value));
  // An empty head has the extreme integers as its bounds.
  const time = (ms) => (Math.abs(ms) < 8.64e15 ? formatTime(ms) : "–");
  const span = minTime < maxTime ? [stat("Oldest sample", time(minTime)), stat("Newest sample", time(maxTime))] : [];
  return el("div", null,
    el("div", { class: "stats" }, stat("Series", integer(numSeries)), stat("Label pairs", integer(numLabelPairs)), stat("Chunks", integer(chunkCount)), span),
    el("div", { class: "columns" }, TOPS.map(([title, key]) => el("div", null, el("h3", null, title),
      table("rows pairs", null, (tops[key] ?? []).map(({ name, value }) => [name, el("span", { class: "number" }, integer(value))]))))));
}
