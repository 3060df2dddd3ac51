// The alerts page: rule groups, their rules, and the alerts that are active.

import { address, call } from "./api.js";
import { el, link, notice, segmented, table } from "./dom.js";
import { formatAgo, formatDuration, formatElapsed } from "./format.js";
import { labelChips } from "./table.js";
import { queryHref } from "./url.js";

const STATES = { firing: "bad", pending: "unsure", inactive: "good" };
const ALERTS_SHOWN_MAX = 200;

/** Shows the page in `view`. */
export async function showAlerts(view, signal) {
  const { data } = await call("rules", { signal });
  const groups = data.groups ?? [];
  const filter = { state: "all", text: "" };
  const summary = el("span", { class: "meta", role: "status" });
  const list = el("div");

  const render = () => {
    const wanted = filter.text.toLowerCase();
    const matches = (rule) => (filter.state === "all" || stateOf(rule) === filter.state) && rule.name.toLowerCase().includes(wanted);
    const shown = groups.map((group) => ({ ...group, rules: group.rules.filter(matches) })).filter((group) => group.rules.length > 0);
    list.replaceChildren(...shown.map(groupNode));
    if (shown.length === 0) list.append(el("p", { class: "empty" }, groups.length ? "No rule matches." : "No rules are loaded."));
  };
  const rules = groups.flatMap((group) => group.rules);
  const count = (state) => rules.filter((rule) => stateOf(rule) === state).length;
  summary.textContent = `${count("firing")} firing · ${count("pending")} pending · ${rules.length} rules`;
  render();

  view.replaceChildren(el("div", { class: "heading" },
    el("h1", null, "Alerts and rules"),
    segmented("State", [["all", "All"], ["firing", "Firing"], ["pending", "Pending"], ["inactive", "Inactive"], ["recording", "Recording"]], "all",
      (state) => { filter.state = state; render(); }),
    el("input", { type: "search", placeholder: "Filter by rule name", "aria-label": "Filter", oninput: (event) => { filter.text = event.target.value; render(); } }),
    summary), list);
}

const stateOf = (rule) => (rule.type === "recording" ? "recording" : rule.state);

function groupNode(group) {
  return el("section", { class: "group" },
    el("div", { class: "group-head" }, el("strong", null, group.name), el("span", { class: "dim" }, group.file),
      el("span", { class: "meta" }, `every ${formatDuration(group.interval * 1000)} · evaluated ${formatAgo(group.lastEvaluation)} in ${formatElapsed(group.evaluationTime * 1000)}`)),
    group.rules.map(ruleNode));
}

function ruleNode(rule) {
  const state = stateOf(rule);
  const alerts = rule.alerts ?? [];
  const details = el("details", { class: "rule", open: state === "firing" || rule.health === "err" },
    el("summary", null,
      el("span", { class: `badge ${STATES[state] ?? "plain"}` }, state),
      el("span", { class: "rule-name" }, rule.name),
      alerts.length > 0 && el("span", { class: "dim" }, `${alerts.length} active`),
      rule.health === "err" && el("span", { class: "badge bad" }, "evaluation failed")));
  const fill = () => {
    if (details.open && details.childElementCount === 1) details.append(ruleBody(rule, alerts));
  };
  details.addEventListener("toggle", fill);
  fill();
  return details;
}

function ruleBody(rule, alerts) {
  const duration = (label, seconds) => (seconds ? el("span", { class: "dim" }, `${label} ${formatDuration(seconds * 1000)}`) : null);
  const facts = el("div", null, duration("for", rule.duration), duration("keep firing for", rule.keepFiringFor), Object.keys(rule.labels ?? {}).length > 0 && labelChips(rule.labels));
  return el("div", { class: "rule-body" },
    el("a", { class: "code", href: address(queryHref(rule.query)), title: "Open as a query" }, rule.query),
    facts.hasChildNodes() && facts,
    annotations(rule.annotations ?? {}),
    rule.lastError ? notice("error", rule.lastError) : null,
    alerts.length > 0 && table("rows", ["State", "Labels", "Annotations", "Since", "Value"], alerts.slice(0, ALERTS_SHOWN_MAX).map((alert) => [
      el("span", { class: `badge ${STATES[alert.state] ?? "plain"}` }, alert.state),
      labelChips(alert.labels), annotations(alert.annotations ?? {}),
      el("span", { title: alert.activeAt }, formatAgo(alert.activeAt)), alert.value,
    ])),
    alerts.length > ALERTS_SHOWN_MAX && notice("info", `The first ${ALERTS_SHOWN_MAX} of ${alerts.length} active alerts are shown.`));
}

function annotations(pairs) {
  return Object.keys(pairs).length > 0 && el("div", { class: "annotations" }, Object.entries(pairs).map(([name, text]) => el("div", null, el("span", { class: "dim" }, `${name} `), link(text))));
}
