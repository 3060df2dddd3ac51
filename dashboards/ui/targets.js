// The targets page: what is scraped, whether that works, and why not.

import { call } from "./api.js";
import { el, link, segmented, table } from "./dom.js";
import { formatAgo, formatElapsed } from "./format.js";
import { labelChips } from "./table.js";

/** Pools opened at once; with more, only those with a target that is not up. */
const POOLS_OPEN_MAX = 20;
const HEAD = ["Endpoint", "State", "Labels", "Last scrape", "Took", "Error"];

/** Shows the page in `view`. */
export async function showTargets(view, signal) {
  const { data } = await call("targets", { params: { state: "active" }, signal });
  const filter = { state: "all", text: "" };
  const summary = el("span", { class: "meta", role: "status" });
  const list = el("div");

  const render = () => {
    const wanted = filter.text.toLowerCase();
    const matches = (target) => (filter.state === "all" || (filter.state === "up") === (target.health === "up"))
      && `${target.scrapePool} ${target.scrapeUrl} ${Object.values(target.labels).join(" ")} ${target.lastError}`.toLowerCase().includes(wanted);
    const shown = data.activeTargets.filter(matches);
    const pools = Map.groupBy(shown, (target) => target.scrapePool);
    const dropped = Object.values(data.droppedTargetCounts ?? {}).reduce((sum, count) => sum + count, 0);
    summary.textContent = `${shown.length} of ${data.activeTargets.length} targets${dropped ? ` · ${dropped} dropped by relabelling` : ""}`;
    const names = [...pools.keys()].sort();
    list.replaceChildren(...names.map((name) => poolNode(name, pools.get(name), names.length <= POOLS_OPEN_MAX)));
    if (names.length === 0) list.append(el("p", { class: "empty" }, data.activeTargets.length ? "No target matches." : "No targets are configured."));
  };
  render();

  view.replaceChildren(el("div", { class: "heading" },
    el("h1", null, "Targets"),
    segmented("State", [["all", "All"], ["up", "Up"], ["down", "Not up"]], "all", (state) => { filter.state = state; render(); }),
    el("input", { type: "search", placeholder: "Filter by endpoint, label or error", "aria-label": "Filter", oninput: (event) => { filter.text = event.target.value; render(); } }),
    summary), list);
}

function poolNode(name, targets, isFew) {
  const up = targets.filter((target) => target.health === "up").length;
  const isWell = up === targets.length;
  const details = el("details", { class: "group", open: isFew || !isWell },
    el("summary", null, el("strong", null, name), el("span", { class: `badge ${isWell ? "good" : "bad"}` }, `${up} / ${targets.length} up`)));
  // The rows of a closed pool are made when it is opened: thousands of targets must not freeze the page.
  const fill = () => {
    if (details.open && details.childElementCount === 1) details.append(table("rows targets", HEAD, targets.map(row)));
  };
  details.addEventListener("toggle", fill);
  fill();
  return details;
}

const STATES = { up: "good", down: "bad" };

function row(target) {
  return [
    link(target.globalUrl || target.scrapeUrl, target.scrapeUrl),
    el("span", { class: `badge ${STATES[target.health] ?? "unsure"}` }, target.health),
    labelChips(target.labels),
    el("span", { title: `${target.lastScrape}, every ${target.scrapeInterval}, timeout ${target.scrapeTimeout}` }, formatAgo(target.lastScrape)),
    formatElapsed(target.lastScrapeDuration * 1000),
    el("span", { class: "error-text" }, target.lastError),
  ];
}
