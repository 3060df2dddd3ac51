// The legend of a graph: one button per series, which hides or shows it, with its value under the crosshair.

import { el } from "./dom.js";
import { formatSi, seriesText } from "./format.js";
import { seriesNode } from "./table.js";

export class Legend {
  #changed;
  #rows = [];

  /** `changed()` is called after series were hidden or shown, `pointed(series or null)` when one is pointed at. */
  constructor(changed, pointed) {
    this.#changed = changed;
    this.element = el("ul", { class: "legend", "aria-label": "Series" });
    this.pointed = pointed;
  }

  /** Lists series, each with `metric`, `colour(i)` and a flag `hidden` that this class sets. */
  show(series, colour) {
    this.#rows = series.map((one, i) => {
      const swatch = el("span", { class: "swatch" });
      swatch.style.setProperty("background", colour(i));
      const value = el("span", { class: "number" });
      const button = el("button", {
        type: "button",
        "aria-pressed": String(!one.hidden),
        title: `${seriesText(one.metric)}\nClick hides or shows, Ctrl-click shows only this one`,
        onclick: (event) => this.#toggle(one, event.ctrlKey || event.metaKey),
        onpointerenter: () => this.pointed(one),
        onpointerleave: () => this.pointed(null),
      }, swatch, seriesNode(one.metric), value);
      return { one, button, value };
    });
    this.element.replaceChildren(...this.#rows.map(({ button }) => el("li", null, button)));
  }

  /** Shows the value of each series, in order; `null` clears them. */
  values(values) {
    this.#rows.forEach(({ value }, i) => {
      value.textContent = values && Number.isFinite(values[i]) ? formatSi(values[i]) : "";
    });
  }

  #toggle(one, isOnly) {
    const others = this.#rows.filter((row) => row.one !== one);
    if (isOnly) {
      const isAlone = !one.hidden && others.every((row) => row.one.hidden);
      for (const row of others) row.one.hidden = !isAlone;
      one.hidden = false;
    } else {
      one.hidden = !one.hidden;
    }
    for (const { one: each, button } of this.#rows) button.setAttribute("aria-pressed", String(!each.hidden));
    this.#changed();
  }
}
