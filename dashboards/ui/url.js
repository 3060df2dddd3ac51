// The state of the query page in its address, in the form that Prometheus' links have:
// `g0.expr`, `g0.tab` (0 graph, 1 table), `g0.range_input`, `g0.end_input`, `g0.step_input`, then `g1.…`.

import { formatDuration, formatTime, parseDuration, parseTime } from "./format.js";

const PANELS_MAX = 20;

/** A panel before anything was typed. `rangeMs` > 0; `end` null is now; `stepMs` null is automatic. */
export const emptyPanel = () => ({ expr: "", tab: "table", rangeMs: 3_600e3, end: null, stepMs: null });

const READERS = {
  expr: (panel, text) => { panel.expr = text; },
  tab: (panel, text) => { panel.tab = text === "0" || text === "graph" ? "graph" : "table"; },
  range_input: (panel, text) => { panel.rangeMs = parseDuration(text) ?? panel.rangeMs; },
  end_input: (panel, text) => { panel.end = parseTime(text, true) ?? panel.end; },
  moment_input: (panel, text) => { panel.end ??= parseTime(text, true); },
  step_input: (panel, text) => { panel.stepMs = parseDuration(text); },
  res_step: (panel, text) => { panel.stepMs ??= parseDuration(text); },
};

/** The panels of an address's query string, in order; one empty panel when there are none. */
export function readPanels(search) {
  const panels = new Map();
  for (const [key, value] of new URLSearchParams(search)) {
    const match = /^g(\d{1,3})\.(\w+)$/.exec(key);
    if (!match || !Object.hasOwn(READERS, match[2])) continue;
    const index = Number(match[1]);
    if (!panels.has(index)) panels.set(index, emptyPanel());
    READERS[match[2]](panels.get(index), value);
  }
  const ordered = [...panels].sort(([a], [b]) => a - b).map(([, panel]) => panel);
  return ordered.length ? ordered.slice(0, PANELS_MAX) : [emptyPanel()];
}

/** The query string of panels; the inverse of `readPanels`. */
export function writePanels(panels) {
  const params = new URLSearchParams();
  panels.forEach((panel, i) => {
    params.set(`g${i}.expr`, panel.expr);
    params.set(`g${i}.tab`, panel.tab === "graph" ? "0" : "1");
    params.set(`g${i}.range_input`, formatDuration(panel.rangeMs));
    if (panel.end !== null) {
      params.set(`g${i}.end_input`, formatTime(panel.end, true));
      params.set(`g${i}.moment_input`, formatTime(panel.end, true));
    }
    if (panel.stepMs !== null) params.set(`g${i}.step_input`, String(panel.stepMs / 1000));
  });
  return `?${params}`;
}

/** The address of a query page that shows one expression. */
export const queryHref = (expr, tab = "table") => `query${writePanels([{ ...emptyPanel(), expr, tab }])}`;
