// The query page: a list of panels, mirrored in the address so that links, back and forward work.

import { address, openPage } from "./api.js";
import { el } from "./dom.js";
import { Panel } from "./panel.js";
import { emptyPanel, readPanels, writePanels } from "./url.js";

/** Shows the page in `view`; returns what ends it. */
export function showQuery(view) {
  const list = el("div");
  let panels = [];

  const remember = () => {
    const search = writePanels(panels.map((panel) => panel.state));
    if (search === writePanels(readPanels(location.search))) return;
    // A link to `graph` stays one; the bare root becomes `query`.
    history.pushState(null, "", address((openPage() || "query") + search));
    retitle(panels);
  };
  const add = (state) => {
    const panel = new Panel(state, remember, () => {
      panel.stop();
      panels = panels.filter((other) => other !== panel);
      panel.element.remove();
      if (panels.length === 0) add(emptyPanel());
      remember();
    });
    panels.push(panel);
    list.append(panel.element);
    return panel;
  };

  readPanels(location.search).forEach(add);
  retitle(panels);
  view.replaceChildren(list, el("button", { class: "quiet", type: "button", onclick: () => add(emptyPanel()).expr.focus() }, "+ Add query"));
  if (!panels[0].state.expr && matchMedia("(hover: hover)").matches) panels[0].expr.focus();
  return () => panels.forEach((panel) => panel.stop());
}

function retitle(panels) {
  const expr = panels[0].state.expr.trim();
  document.title = expr ? `${expr.slice(0, 60)} · Hearth` : "Hearth";
}
