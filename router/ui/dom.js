// Building blocks. Everything from the data goes in as text: it is never markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. `properties`: class, text, on (event: handler), data (data-*), else attributes; true
 * sets a bare attribute, null and false leave it out.
 */
export function el(name, properties = {}, ...children) {
  return fill(document.createElement(name), properties, children);
}

export function shape(name, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

function fill(node, { text, on = {}, data = {}, ...attributes }, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(key, value === true ? "" : String(value));
  }
  for (const [key, value] of Object.entries(data)) node.dataset[key] = value;
  for (const [key, handler] of Object.entries(on)) node.addEventListener(key, handler);
  if (text !== undefined) node.textContent = text;
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Put `children` into `host` unless they say the same as before; returns whether they were put. */
export function showOnce(host, state, make) {
  const text = JSON.stringify(state);
  if (host.shownState === text) return false;
  host.shownState = text;
  host.replaceChildren(...[make()].flat().filter(Boolean));
  return true;
}

let fields = 0;
/** A control with its label above it. */
export function field(label, control, hint) {
  fields += 1;
  control.id ||= `field-${fields}`;
  const said = hint ? el("small", { id: `${control.id}-hint`, text: hint }) : null;
  if (said) control.setAttribute("aria-describedby", said.id);
  return el("p", { class: "field" }, el("label", { for: control.id, text: label }), control, said);
}

export function select(options, { value, ...more } = {}) {
  const node = el("select", more, ...options.map(([id, text]) => new Option(text, id)));
  if (value !== undefined) node.value = value;
  return node;
}

/** Rows of a description list: [term, value or nodes]. */
export function terms(rows, kind = "terms") {
  return el("dl", { class: kind }, ...rows.map(([term, ...value]) => el("div", {}, el("dt", { text: term }), el("dd", {}, ...value))));
}
