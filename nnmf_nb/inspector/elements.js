// Elements of a page, and the small helpers that every part of it uses. No library, no network.
// Text from the user is only ever written with textContent and setAttribute.

const template = document.createElement("template");
template.innerHTML = "<svg></svg>";
const SVG = template.content.firstChild.namespaceURI;

export const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
export const sum = (list) => list.reduce((a, b) => a + b, 0);
export const keyOf = (l, j) => `${l},${j}`;

/** A part between 0 and 1 as whole percent. */
export function percent(x) {
  if (x > 0 && x < 0.0095) return "<1%";
  return `${Math.round(100 * x)}%`;
}

const isShown = (value) => value !== null && value !== undefined && value !== false;

export function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (!isShown(value)) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(node.style, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter(isShown));
  return node;
}

/** An HTML element. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Offer a text as a file of this name. */
export function saveFile(name, text, type = "application/json") {
  const address = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000); // a busy browser reads it late
}

/** An SVG element. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** A section with a heading; what is drawn later goes below the heading. */
export function pane(name, title) {
  return h("section", { class: name, "aria-label": title });
}

export function heading(title, note) {
  return h("h2", { class: "eyebrow" }, title, note ? h("span", {}, note) : null);
}

const isPlain = (event) => !(event.ctrlKey || event.metaKey || event.altKey || event.shiftKey);

/** JupyterLab has its own use for plain keys: in command mode it would take the arrows from a
 *  slider and Enter from a button. */
export function keepKeys(root) {
  root.dataset.keepsKeys = "";
  root.addEventListener("keydown", (event) => {
    if (isPlain(event)) event.stopPropagation();
  });
}

// Notebook 7 takes keys on their way down to an element, before the element has them: M would make
// a cell of text of a view. It passes over a target with this attribute, which has no other keys of
// the notebook's then, so it has the attribute for our keys only: plain ones, and Ctrl+Z where there
// are edits to take back.
window.addEventListener(
  "keydown",
  (event) => {
    const root = event.target.closest?.("[data-keeps-keys]");
    if (!root) return;
    const isUndo = event.key.toLowerCase() === "z" && root.querySelector(".edits") !== null;
    event.target.toggleAttribute("data-lm-suppress-shortcuts", isPlain(event) || isUndo);
  },
  true,
);

/** Wraps functions so that their errors are shown in an element instead of the console. */
export function guardWith(alert) {
  return (work) =>
    (...given) => {
      try {
        return work(...given);
      } catch (error) {
        alert.textContent = `${error.name}: ${error.message}`;
        return undefined;
      }
    };
}

const ruler = document.createElement("canvas").getContext("2d");

const widths = new Map(); // of texts that were measured before: the same labels come again

export function textWidth(text, size = 12) {
  const key = `${size} ${text}`;
  let width = widths.get(key);
  if (width !== undefined) return width;
  ruler.font = `${size}px system-ui, "DejaVu Sans", sans-serif`;
  width = ruler.measureText(text).width;
  if (widths.size > 20_000) widths.clear();
  widths.set(key, width);
  return width;
}

/** As many of the words of a label as there is room for, and at least a part of the first. */
export function fitText(text, width, size = 12) {
  if (textWidth(text, size) <= width) return text;
  const parts = text.split(" · ");
  while (parts.length > 1) {
    parts.pop();
    if (textWidth(parts.join(" · "), size) <= width) return parts.join(" · ");
  }
  const cut = [...parts[0]];
  while (cut.length > 1 && textWidth(`${cut.join("")}…`, size) > width) cut.pop();
  if (cut.length === 1 && width <= 14) return "";
  return `${cut.join("").trimEnd()}…`;
}

/** The color of the text of an element as [red, green, blue]. */
export function rgb(element) {
  const numbers = getComputedStyle(element).color.match(/\d+/g) || [0, 0, 0];
  return numbers.slice(0, 3).map(Number);
}

/** Calls `draw` when the theme of the page has changed; returns a function that ends this.
 *  JupyterLab takes a moment to load a theme. */
export function onTheme(draw) {
  const later = () => setTimeout(draw, 600);
  const themed = new MutationObserver(later);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  themed.observe(document.body, {
    attributes: true,
    attributeFilter: ["data-jp-theme-light", "class"],
  });
  scheme.addEventListener("change", later);
  return () => {
    themed.disconnect();
    scheme.removeEventListener("change", later);
  };
}
