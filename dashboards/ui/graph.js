// A range query's result as lines on a canvas, with a crosshair on a second canvas above it.

import { el, notice } from "./dom.js";
import { axisFormat, formatTime } from "./format.js";
import { Legend } from "./legend.js";
import { nearest, timeTicks, valueRange, valueTicks } from "./scale.js";
import { seriesNode } from "./table.js";

/** Series drawn at most; a notice names the rest. */
const SERIES_MAX = 500;
/** Samples further apart than this many steps are not joined. */
const GAP_STEPS = 1.5;
const TOP = 12, RIGHT = 14, BOTTOM = 26;
const HUES = [45, 250, 150, 325, 95, 205, 15, 285];
const dark = matchMedia("(prefers-color-scheme: dark)");
// One listener for all graphs, found through the document: the media list would keep closed ones alive.
dark.addEventListener("change", () => document.querySelectorAll(".graph").forEach((node) => node.dispatchEvent(new Event("repaint"))));

/** Eight hues far apart, then the same ones lighter or darker and a little turned. */
function colour(i) {
  const tier = Math.floor(i / HUES.length);
  const lightness = (dark.matches ? 0.74 : 0.58) + [0, 0.1, -0.12][tier % 3];
  return `oklch(${lightness} ${tier % 2 ? 0.11 : 0.16} ${HUES[i % HUES.length] + tier * 13})`;
}

/** Columns of one result series; values that are not finite are gaps. */
function columns({ metric, values = [] }) {
  return {
    metric,
    hidden: false,
    times: Float64Array.from(values, (sample) => sample[0] * 1000),
    values: Float64Array.from(values, (sample) => Number(sample[1].replace("Inf", "Infinity"))),
  };
}

export class Graph {
  #series = [];
  #range = { start: 0, end: 1, stepMs: 1 };
  #frame = null;
  #cursor = null;
  #dragFrom = null;
  #pointed = null;
  #zoom;

  /** `zoom(start, end)` is called when a span of time was chosen with the mouse. */
  constructor(zoom) {
    this.#zoom = zoom;
    this.plot = el("canvas", { "aria-hidden": "true" });
    this.overlay = el("canvas", {
      tabindex: "0",
      role: "img",
      onpointermove: (event) => this.#move(event),
      onpointerdown: (event) => this.#press(event),
      onpointerup: (event) => this.#release(event),
      onpointerleave: () => { this.#dragFrom = null; this.#point(null); },
      onblur: () => this.#point(null),
      onkeydown: (event) => this.#key(event),
    });
    this.tooltip = el("div", { class: "tooltip", hidden: true, "aria-live": "polite" });
    this.legend = new Legend(() => this.draw(), (one) => { this.#pointed = one; this.draw(); });
    this.notices = el("div");
    this.stage = el("div", { class: "stage" }, this.plot, this.overlay, this.tooltip);
    this.element = el("div", { class: "graph" }, this.notices, this.stage, this.legend.element);
    new ResizeObserver(() => this.draw()).observe(this.stage);
    this.element.addEventListener("repaint", () => { this.legend.show(this.#series, colour); this.draw(); });
  }

  /** Shows a matrix over `{ start, end, stepMs }`; returns the number of series it has. */
  show(result, range) {
    const drawable = result.filter((one) => one.values?.length);
    const histograms = result.length - drawable.length;
    this.#series = drawable.slice(0, SERIES_MAX).map(columns);
    this.#range = range;
    this.#cursor = null;
    const rest = drawable.length - this.#series.length;
    this.notices.replaceChildren(...[
      rest > 0 && notice("warning", `The first ${SERIES_MAX} of ${drawable.length} series are drawn. Aggregate or select fewer to see all.`),
      histograms > 0 && notice("info", `${histograms} native histogram series are not drawn: take histogram_quantile() or histogram_count() of them, or see the table.`),
      result.length === 0 && el("p", { class: "empty" }, "No series match in this time range."),
    ].filter(Boolean));
    this.stage.hidden = this.#series.length === 0;
    this.overlay.setAttribute("aria-label",
      `Graph of ${this.#series.length} series from ${formatTime(range.start)} to ${formatTime(range.end)}. Arrow keys move the crosshair.`);
    this.legend.show(this.#series, colour);
    this.draw();
    return result.length;
  }

  draw() {
    const width = this.stage.clientWidth, height = this.stage.clientHeight;
    if (!width || !height) return;
    const style = getComputedStyle(this.stage);
    const ink = (name) => style.getPropertyValue(name);
    const context = prepare(this.plot, width, height);
    prepare(this.overlay, width, height);
    const visible = this.#series.filter((one) => !one.hidden);
    const [low, high] = valueRange(visible);
    const ticks = valueTicks(low, high, Math.max(2, Math.floor(height / 45)));
    const format = axisFormat(ticks);
    context.font = `11px ${ink("--sans")}`;
    const left = Math.ceil(Math.max(24, ...ticks.map((tick) => context.measureText(format(tick)).width))) + 10;
    const { start, end } = this.#range;
    this.#frame = {
      left, right: width - RIGHT, top: TOP, bottom: height - BOTTOM,
      x: (t) => left + ((t - start) / (end - start)) * (width - RIGHT - left),
      y: (v) => height - BOTTOM - ((v - low) / (high - low)) * (height - BOTTOM - TOP),
      t: (x) => start + ((x - left) / (width - RIGHT - left)) * (end - start),
    };
    this.#grid(context, ticks, format, ink);
    this.#lines(context);
    if (this.#cursor !== null) this.#crosshair();
  }

  #grid(context, ticks, format, ink) {
    const { left, right, top, bottom, x, y } = this.#frame;
    context.fillStyle = ink("--dim");
    context.strokeStyle = ink("--grid");
    context.lineWidth = 1;
    context.textAlign = "right";
    context.textBaseline = "middle";
    const line = (x0, y0, x1, y1) => { context.beginPath(); context.moveTo(x0, y0); context.lineTo(x1, y1); context.stroke(); };
    for (const tick of ticks) {
      const at = Math.round(y(tick)) + 0.5;
      line(left, at, right, at);
      context.fillText(format(tick), left - 8, at);
    }
    const times = timeTicks(this.#range.start, this.#range.end, Math.max(2, Math.floor((right - left) / 80)));
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const tick of times.ticks) {
      const at = Math.round(x(tick)) + 0.5;
      line(at, top, at, bottom);
      if (left + 12 < at && at < right - 12) context.fillText(times.format(tick), at, bottom + 8);
    }
    context.strokeStyle = ink("--edge");
    line(left, bottom + 0.5, right, bottom + 0.5);
  }

  #lines(context) {
    const { left, right, top, bottom, x, y } = this.#frame;
    context.save();
    context.beginPath();
    context.rect(left, top - 2, right - left, bottom - top + 4);
    context.clip();
    context.lineJoin = "round";
    this.#series.forEach((one, i) => {
      if (one.hidden) return;
      context.globalAlpha = this.#pointed && this.#pointed !== one ? 0.15 : 1;
      context.lineWidth = this.#pointed === one ? 2.5 : 1.5;
      context.strokeStyle = context.fillStyle = colour(i);
      traceLine(context, one, this.#range.stepMs * GAP_STEPS, x, y);
    });
    context.restore();
  }

  #move(event) {
    this.#point(this.#frame?.t(event.offsetX), event.offsetY);
    if (this.#dragFrom === null || !this.#frame) return;
    const { top, bottom } = this.#frame;
    const context = this.overlay.getContext("2d");
    context.fillStyle = getComputedStyle(this.stage).getPropertyValue("--select");
    context.fillRect(this.#dragFrom, top, event.offsetX - this.#dragFrom, bottom - top);
  }

  #press(event) {
    if (event.pointerType !== "mouse" || event.button !== 0) return;
    this.#dragFrom = event.offsetX;
    this.overlay.setPointerCapture(event.pointerId);
  }

  #release(event) {
    const from = this.#dragFrom;
    this.#dragFrom = null;
    if (from === null || Math.abs(event.offsetX - from) < 8) return;
    const [start, end] = [from, event.offsetX].sort((a, b) => a - b).map((x) => this.#frame.t(x));
    this.#zoom(Math.max(start, this.#range.start), Math.min(end, this.#range.end));
  }

  #key(event) {
    const { start, end, stepMs } = this.#range;
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") this.#point(null);
    if (!direction) return;
    event.preventDefault();
    const from = this.#cursor?.t ?? (direction > 0 ? start - stepMs : end + stepMs);
    this.#point(from + direction * stepMs * (event.shiftKey ? 10 : 1), null);
  }

  /** Moves the crosshair to the step nearest to a time; `yAt` is the pointer's height, null for the keyboard's. */
  #point(t, yAt = null) {
    const { start, end, stepMs } = this.#range;
    if (t === null || t === undefined || this.#series.length === 0) {
      this.#cursor = null;
      this.tooltip.hidden = true;
      this.legend.values(null);
      this.overlay.getContext("2d").clearRect(0, 0, this.overlay.width, this.overlay.height);
      return;
    }
    const steps = Math.round((Math.min(Math.max(t, start), end) - start) / stepMs);
    this.#cursor = { t: start + steps * stepMs, yAt };
    this.#crosshair();
  }

  #crosshair() {
    const { left, right, top, bottom, x, y } = this.#frame;
    const { t, yAt } = this.#cursor;
    const context = this.overlay.getContext("2d");
    context.clearRect(0, 0, this.overlay.width, this.overlay.height);
    const at = Math.min(x(t), right);
    context.strokeStyle = getComputedStyle(this.stage).getPropertyValue("--dim");
    context.setLineDash([3, 3]);
    context.beginPath();
    context.moveTo(Math.round(at) + 0.5, top);
    context.lineTo(Math.round(at) + 0.5, bottom);
    context.stroke();
    context.setLineDash([]);

    let closest = null;
    const values = this.#series.map((one, i) => {
      const index = nearest(one.times, t, this.#range.stepMs / 2);
      const value = index < 0 ? NaN : one.values[index];
      if (one.hidden || !Number.isFinite(value)) return value;
      const distance = yAt === null ? i : Math.abs(y(value) - yAt);
      if (closest === null || distance < closest.distance) closest = { one, i, value, distance };
      dot(context, at, y(value), 2, colour(i));
      return value;
    });
    this.legend.values(values);
    if (closest) dot(context, at, y(closest.value), 4.5, colour(closest.i));
    this.#tip(t, at, closest, left, right);
  }

  #tip(t, at, closest, left, right) {
    const swatch = closest && el("span", { class: "swatch" });
    swatch?.style.setProperty("background", colour(closest.i));
    this.tooltip.replaceChildren(
      el("div", { class: "dim" }, formatTime(t)),
      closest ? el("div", { class: "reading" }, swatch, el("strong", null, String(closest.value))) : el("div", { class: "dim" }, "no sample"),
      closest ? seriesNode(closest.one.metric) : "");
    this.tooltip.hidden = false;
    const isLeftHalf = at < (left + right) / 2;
    this.tooltip.style.setProperty("left", isLeftHalf ? `${at + 14}px` : "auto");
    this.tooltip.style.setProperty("right", isLeftHalf ? "auto" : `${this.stage.clientWidth - at + 14}px`);
  }
}

/** Sizes a canvas to its device pixels, clears it and returns its context in CSS pixels. */
function prepare(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

function dot(context, x, y, radius, fill) {
  context.fillStyle = fill;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}

/** Strokes one series, lifting the pen over gaps; a sample alone between two gaps becomes a dot. */
function traceLine(context, { times, values }, gapMs, x, y) {
  const joins = (i) => 0 < i && i < times.length && times[i] - times[i - 1] <= gapMs
    && Number.isFinite(values[i]) && Number.isFinite(values[i - 1]);
  const alone = [];
  context.beginPath();
  for (let i = 0; i < times.length; i++) {
    if (!Number.isFinite(values[i])) continue;
    if (joins(i)) context.lineTo(x(times[i]), y(values[i]));
    else if (joins(i + 1)) context.moveTo(x(times[i]), y(values[i]));
    else alone.push(i);
  }
  context.stroke();
  for (const i of alone) dot(context, x(times[i]), y(values[i]), 1.8, context.strokeStyle);
}
