// Axes: where ticks go, and what range a set of series needs.

import { zoneOffset } from "./format.js";

const S = 1000, M = 60 * S, H = 60 * M, D = 24 * H;
const TIME_STEPS = [S, 2 * S, 5 * S, 10 * S, 15 * S, 30 * S, M, 2 * M, 5 * M, 10 * M, 15 * M, 30 * M,
  H, 2 * H, 3 * H, 6 * H, 12 * H, D, 2 * D, 7 * D, 14 * D, 28 * D, 91 * D, 182 * D, 364 * D];

/** Beyond this, differences of two values overflow. */
const VALUE_MAX = 8e307;

/** Ascending multiples of 1, 2 or 5 × 10ⁿ inside `[low, high]`, about `count` of them. */
export function valueTicks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => rough <= factor * power * (1 + 1e-9));
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9 && ticks.length < 50; k++) ticks.push(k * step);
  return ticks;
}

/** Times in `[start, end]` on round wall-clock steps of the chosen zone, at most `count`, and a formatter. */
export function timeTicks(start, end, count) {
  const step = TIME_STEPS.find((size) => (end - start) / size <= count) ?? 364 * D * Math.ceil((end - start) / (364 * D * count));
  const offset = zoneOffset(start);
  const ticks = [];
  for (let t = Math.ceil((start + offset) / step) * step - offset; t <= end; t += step) ticks.push(t);
  const format = (t) => {
    const text = new Date(t + zoneOffset(t)).toISOString();
    const clock = text.slice(11, step < M ? 19 : 16);
    return step >= D || /^00:00(:00)?$/.test(clock) ? text.slice(step > 90 * D ? 0 : 5, 10) : clock;
  };
  return { ticks, format };
}

/** The smallest and largest finite value of some series, widened so that lines do not touch the frame. */
export function valueRange(series) {
  let low = Infinity, high = -Infinity;
  for (const { values } of series) {
    for (const value of values) {
      if (!(Math.abs(value) <= VALUE_MAX)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return [0, 1];
  if (low === high) return low === 0 ? [0, 1] : [Math.min(0, low * 1.2), Math.max(0, high * 1.2)];
  // Near zero, show zero: a line's height then says how much, and not just how it moves.
  if (0 < low && low < high * 0.4) low = 0;
  if (high < 0 && low * 0.4 < high) high = 0;
  const margin = (high - low) * 0.06;
  return [low === 0 ? 0 : low - margin, high === 0 ? 0 : high + margin];
}

/** The index of the time nearest to `t` in an ascending array, or -1 when none is within `tolerance`. */
export function nearest(times, t, tolerance) {
  let from = 0, to = times.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if (times[middle] < t) from = middle + 1;
    else to = middle;
  }
  const best = from > 0 && (from === times.length || t - times[from - 1] < times[from] - t) ? from - 1 : from;
  return best < times.length && Math.abs(times[best] - t) <= tolerance ? best : -1;
}
