// Numbers, durations, times and series as text, and back. Times are milliseconds since the epoch.

const UNITS = [["y", 31_536e6], ["w", 604_800e3], ["d", 86_400e3], ["h", 3_600e3], ["m", 60e3], ["s", 1e3], ["ms", 1]];
const SI = ["y", "z", "a", "f", "p", "n", "µ", "m", "", "k", "M", "G", "T", "P", "E", "Z", "Y"];

let zone = localStorage.getItem("hearth.zone") === "local" ? "local" : "utc";

/** The time zone that times are shown and read in: "utc" or "local". */
export const timeZone = () => zone;

export function setTimeZone(name) {
  zone = name;
  localStorage.setItem("hearth.zone", name);
}

/** Milliseconds of a duration such as `1h30m`, or of plain seconds such as `15`; null when it is neither. */
export function parseDuration(text) {
  const trimmed = text.trim();
  const plain = /^\d+(\.\d+)?$/.test(trimmed);
  if (!plain && !/^(\d+(ms|[ywdhms]))+$/.test(trimmed)) return null;
  const parts = [...trimmed.matchAll(/(\d+)(ms|[ywdhms])/g)];
  const ms = plain ? Number(trimmed) * 1000
    : parts.reduce((sum, [, count, unit]) => sum + count * UNITS.find(([name]) => name === unit)[1], 0);
  return ms > 0 ? ms : null;
}

/** A duration such as `1h30m`; years and weeks only where they are whole. */
export function formatDuration(ms) {
  let rest = Math.round(ms), text = "";
  for (const [name, size] of UNITS) {
    if ((name === "y" || name === "w") && rest % size !== 0) continue;
    if (rest < size) continue;
    text += Math.floor(rest / size) + name;
    rest %= size;
  }
  return text || "0s";
}

/** A measured time, rounded to what a reader needs: `3.41 ms`, `2.10 s`, `4m12s`, `3d4h`. */
export function formatElapsed(ms) {
  if (!Number.isFinite(ms)) return "–";
  if (ms >= 60e3) return /^(\d+\D+){1,2}/.exec(formatDuration(Math.round(ms / 1000) * 1000))[0];
  return ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : `${ms.toPrecision(3)} ms`;
}

/** How long before `now` an RFC 3339 time was; "never" for the zero time. */
export function formatAgo(text, now = Date.now()) {
  const at = Date.parse(text);
  if (!(at > 0)) return "never";
  const elapsed = Math.round(Math.max(now - at, 0) / 1000) * 1000;
  return `${elapsed < 60e3 ? formatDuration(elapsed) : formatElapsed(elapsed)} ago`;
}

/** Milliseconds to add to UTC for the wall clock of the chosen zone at that instant. */
export const zoneOffset = (ms) => (zone === "utc" ? 0 : -new Date(ms).getTimezoneOffset() * 60e3);

/** `2026-11-20 14:23:05` in the chosen zone; `utc` overrides it, for addresses. */
export function formatTime(ms, utc = false) {
  const date = new Date(ms + (utc ? 0 : zoneOffset(ms)));
  return Number.isNaN(date.getTime()) ? "–" : date.toISOString().slice(0, 19).replace("T", " ");
}

/** Reads what `formatTime` writes, also without seconds or time of day, and Unix seconds; null when it is neither. */
export function parseTime(text, utc = false) {
  const trimmed = text.trim();
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Number(trimmed) * 1000;
  const match = /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d)?))?(Z?)$/.exec(trimmed);
  if (!match) return null;
  const [, day, clock = "00:00", isUtc] = match;
  const ms = Date.parse(`${day}T${clock}${utc || isUtc || zone === "utc" ? "Z" : ""}`);
  return Number.isNaN(ms) ? null : ms;
}

/** The index into `SI` that keeps a magnitude between 1 and 1000; null beyond the prefixes. */
function prefixOf(magnitude) {
  if (magnitude === 0) return 8;
  const index = Math.floor(Math.log10(magnitude) / 3 + 1e-9) + 8;
  return index in SI ? index : null;
}

/** A number with an SI prefix and up to four digits: `12.35k`, `1.5m`. */
export function formatSi(value) {
  if (!Number.isFinite(value)) return String(value).replace("Infinity", "Inf");
  // Rounded first, so that 999999 becomes 1M and not 1000k.
  const prefix = prefixOf(Math.abs(Number(value.toPrecision(4))));
  if (prefix === null) return value.toExponential(2);
  return Number((value / 1000 ** (prefix - 8)).toPrecision(4)) + SI[prefix];
}

/** Formats the ticks of one axis alike: one prefix, and just enough decimals to tell them apart. */
export function axisFormat(ticks) {
  const largest = Math.max(...ticks.map(Math.abs));
  const distance = ticks.length > 1 ? ticks[1] - ticks[0] : largest;
  const prefix = prefixOf(largest);
  if (prefix === null) return (value) => value.toExponential(2);
  const scale = 1000 ** (prefix - 8);
  const decimals = Math.max(0, -Math.floor(Math.log10(distance / scale) + 1e-9));
  if (decimals > 5) return (value) => String(Number(value.toPrecision(12)));
  return (value) => (value === 0 ? "0" : (value / scale).toFixed(decimals) + SI[prefix]);
}

const bare = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
const bareMetric = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

/** Pieces of a series in PromQL notation, as `[kind, text]` with kind "name", "label", "value" or "". */
export function seriesParts(metric) {
  const { __name__: name, ...labels } = metric;
  const parts = [];
  const quoted = name !== undefined && !bareMetric.test(name);
  if (name !== undefined && !quoted) parts.push(["name", name]);
  const pairs = Object.entries(labels);
  if (pairs.length === 0 && !quoted) return parts.length ? parts : [["", "{}"]];
  parts.push(["", "{"]);
  if (quoted) parts.push(["name", JSON.stringify(name)]);
  pairs.forEach(([label, value], i) => {
    if (i > 0 || quoted) parts.push(["", ", "]);
    parts.push(["label", bare.test(label) ? label : JSON.stringify(label)], ["", "="], ["value", JSON.stringify(value)]);
  });
  parts.push(["", "}"]);
  return parts;
}

/** A series in PromQL notation. */
export const seriesText = (metric) => seriesParts(metric).map(([, text]) => text).join("");
