// Completion of metric names and functions in an expression box. Names are fetched when it is first used.

import { call } from "./api.js";
import { el } from "./dom.js";

const SHOWN_MAX = 12;
const NAMES_MAX = 50_000;
const NAMES_FRESH_MS = 300e3;

const AGGREGATIONS = "avg bottomk count count_values group limit_ratio limitk max min quantile stddev stdvar sum topk".split(" ");
const FUNCTIONS = ("abs absent absent_over_time acos acosh asin asinh atan atanh avg_over_time ceil changes clamp clamp_max "
  + "clamp_min cos cosh count_over_time day_of_month day_of_week day_of_year days_in_month deg delta deriv "
  + "double_exponential_smoothing exp floor histogram_avg histogram_count histogram_fraction histogram_quantile "
  + "histogram_stddev histogram_stdvar histogram_sum hour idelta increase info irate label_join label_replace "
  + "last_over_time ln log10 log2 mad_over_time max_over_time min_over_time minute month pi predict_linear present_over_time "
  + "quantile_over_time rad rate resets round scalar sgn sin sinh sort sort_by_label sort_by_label_desc sort_desc sqrt "
  + "stddev_over_time stdvar_over_time sum_over_time tan tanh time timestamp vector year").split(" ");
const WORDS = [...AGGREGATIONS.map((word) => [word, "aggregation"]), ...FUNCTIONS.map((word) => [word, "function"]),
  ...["by", "without", "on", "ignoring", "group_left", "group_right", "offset", "bool"].map((word) => [word, "keyword"])];

let names = { list: [], at: -Infinity, pending: null };

/** Fetches the metric names unless they are fresh; on failure, completion simply has none. */
function refreshNames() {
  if (names.pending || performance.now() - names.at < NAMES_FRESH_MS) return names.pending;
  names.pending = call("label/__name__/values", { params: { limit: NAMES_MAX } })
    .then(({ data }) => { names = { list: data ?? [], at: performance.now(), pending: null }; })
    .catch(() => { names.pending = null; });
  return names.pending;
}

/** The word that ends at the caret; null inside strings, braces and numbers, where no metric name can stand. */
export function wordAt(text, caret) {
  const before = text.slice(0, caret).replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`/g, "");
  if (/["'`]/.test(before) || before.lastIndexOf("{") > before.lastIndexOf("}")) return null;
  if (before.lastIndexOf("[") > before.lastIndexOf("]")) return null;
  return /(?:^|[^\w:.])([a-zA-Z_:][\w:]*)$/.exec(before)?.[1] ?? null;
}

/** Candidates for a word, those that begin with it first. */
export function candidates(word, metricNames) {
  const wanted = word.toLowerCase();
  const first = [], second = [];
  const consider = (text, kind) => {
    const at = text.toLowerCase().indexOf(wanted);
    if (at === 0) first.push([text, kind]);
    else if (at > 0 && second.length < SHOWN_MAX) second.push([text, kind]);
    return first.length < SHOWN_MAX;
  };
  WORDS.forEach(([text, kind]) => { if (text.startsWith(wanted)) consider(text, kind); });
  metricNames.every((text) => consider(text, "metric"));
  const found = [...first, ...second].slice(0, SHOWN_MAX);
  return found.length === 1 && found[0][0] === word ? [] : found;
}

/** Attaches a list of candidates to a textarea; returns the list, to be placed after it. */
export function attachCompletion(input, id) {
  const list = el("ul", { class: "completions", id, role: "listbox", "aria-label": "Completions", hidden: true });
  let found = [], word = "", chosen = -1, turn = 0;
  for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-controls": id, "aria-expanded": "false" })) {
    input.setAttribute(name, value);
  }

  const close = () => { turn++; found = []; render(); };
  const render = () => {
    list.hidden = found.length === 0;
    input.setAttribute("aria-expanded", String(!list.hidden));
    list.replaceChildren(...found.map(([text, kind], i) => el("li", {
      id: `${id}-${i}`,
      role: "option",
      "aria-selected": String(i === chosen),
      onpointerdown: (event) => { event.preventDefault(); accept(i); },
    }, text, el("span", { class: "dim" }, kind))));
    if (chosen >= 0 && found.length) input.setAttribute("aria-activedescendant", `${id}-${chosen}`);
    else input.removeAttribute("aria-activedescendant");
  };
  const update = async () => {
    word = wordAt(input.value, input.selectionStart);
    if (!word) return close();
    const mine = ++turn;
    await refreshNames();
    if (mine !== turn) return;
    found = candidates(word, names.list);
    chosen = -1;
    render();
  };
  const accept = (i) => {
    const [text, kind] = found[i];
    const caret = input.selectionStart;
    const isCall = (kind === "function" || kind === "aggregation") && input.value[caret] !== "(";
    input.setRangeText(text + (isCall ? "(" : ""), caret - word.length, caret, "end");
    close();
  };

  input.addEventListener("focus", refreshNames);
  input.addEventListener("input", update);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const takes = (event.key === "Tab" && !event.shiftKey) || (event.key === "Enter" && chosen >= 0);
    if (!move && !takes && event.key !== "Escape") return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (move) {
      chosen = chosen < 0 && move < 0 ? found.length - 1 : (chosen + move + found.length) % found.length;
      render();
    } else if (takes) accept(Math.max(chosen, 0));
    else close();
  }, { capture: true });
  return list;
}
