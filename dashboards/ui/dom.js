// Elements. Text from outside enters the page as text nodes only: nothing here, or anywhere else in
// this folder, parses a string as markup, so a label value cannot become an element or a script.

/**
 * Creates an element: `on…` functions become listeners, other properties attributes, strings text nodes.
 * Properties and children that are false, null or undefined are left out.
 */
export function el(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** A link when the address is http or https, else its text: `javascript:` must not become clickable. */
export function link(address, text = address) {
  const isWeb = URL.canParse(address) && /^https?:$/.test(new URL(address).protocol);
  return isWeb ? el("a", { href: address, rel: "noreferrer" }, text) : el("span", null, text);
}

/** A message bar of one kind: error, warning, info or hint. */
export function notice(kind, ...content) {
  return el("p", { class: `notice ${kind}`, role: kind === "error" ? "alert" : null }, ...content);
}

/** A table with a head row; `rows` are arrays of cells (strings, nodes or arrays of them). */
export function table(className, head, rows) {
  const cells = (tag, row) => row.map((cell) => el(tag, tag === "th" && { scope: "col" }, cell));
  return el("div", { class: "scroll" }, el("table", { class: className },
    head && el("thead", null, el("tr", null, cells("th", head))),
    el("tbody", null, rows.map((row) => el("tr", null, cells("td", row))))));
}

/** A row of buttons of which one is pressed; `pick` gets the chosen key. */
export function segmented(label, options, chosen, pick) {
  const buttons = options.map(([key, text]) => el("button", {
    type: "button",
    "aria-pressed": String(key === chosen),
    onclick: () => {
      buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(options[i][0] === key)));
      pick(key);
    },
  }, text));
  return el("div", { class: "segmented", role: "group", "aria-label": label }, buttons);
}
