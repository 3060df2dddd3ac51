// Routing: which page is shown for an address, and the bar above it.

import { address, openPage } from "./api.js";
import { showAlerts } from "./alerts.js";
import { notice } from "./dom.js";
import { setTimeZone, timeZone } from "./format.js";
import { showQuery } from "./query.js";
import { showStatus } from "./status.js";
import { showTargets } from "./targets.js";

/** Pages by their name in the address, Prometheus' names among them: the page, its part and its title. */
const ROUTES = {
  "": ["query"], query: ["query"], graph: ["query"],
  alerts: ["alerts"], rules: ["alerts"], targets: ["targets"],
  status: ["status"], "tsdb-status": ["status", "tsdb"], flags: ["status", "flags"], config: ["status", "config"],
};
const SHOW = { query: showQuery, alerts: showAlerts, targets: showTargets, status: showStatus };
const TITLES = { alerts: "Alerts · Hearth", targets: "Targets · Hearth", status: "Status · Hearth" };

const view = document.getElementById("view");
const zone = document.getElementById("zone");
let abort = new AbortController();
let leave = () => {};

async function show() {
  leave();
  abort.abort();
  abort = new AbortController();
  const { signal } = abort;
  const [page, part] = ROUTES[openPage()] ?? ["query"];
  for (const anchor of document.querySelectorAll("nav [data-route]")) {
    if (anchor.dataset.route === page) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  document.title = TITLES[page] ?? "Hearth";
  try {
    leave = () => {};
    const end = SHOW[page](view, signal);
    if (typeof end === "function") leave = end;
    else await end;
    if (part && !signal.aborted) document.getElementById(part)?.scrollIntoView();
  } catch (error) {
    if (error.name === "AbortError" || signal.aborted) return;
    console.error(error);
    view.replaceChildren(notice("error", error.message));
  }
}

function labelZone() {
  zone.textContent = timeZone() === "utc" ? "UTC" : "Local time";
}

document.addEventListener("click", (event) => {
  const anchor = event.target.closest?.("[data-route]");
  if (!anchor || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  history.pushState(null, "", address(anchor.dataset.route));
  view.replaceChildren();
  show();
});
zone.addEventListener("click", () => {
  setTimeZone(timeZone() === "utc" ? "local" : "utc");
  labelZone();
  show();
});
// The skip link changes the fragment only: nothing to show anew.
addEventListener("popstate", () => { if (location.hash !== "#view") show(); });

for (const anchor of document.querySelectorAll("[data-route]")) anchor.href = address(anchor.dataset.route);
labelZone();
show();
