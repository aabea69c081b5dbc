// The layer inspector: an anywidget module, and the script of the file that View.to_html writes.
// Modules are joined to one text when they are read (see `script` in nbs/inspector/view.ipynb).

import { guardWith, h, hideStill, keepKeys, keyOf, onTheme } from "./elements.js";
import { examplesPane } from "./examples.js";
import { fitPane } from "./fit.js";
import { layersPane } from "./layers.js";
import { namesOfPage, namesTools } from "./names.js";
import { found, kinship, label } from "./payload.js";
import { topicPane } from "./topic.js";

const PATIENCE = 4000; // milliseconds after which a kernel that says nothing is said not to answer

/** What all panes know: the payload, what is selected and named, and how to change it. */
function createView(model) {
  const data = model.get("payload");
  const alert = h("div", { class: "alert", role: "alert" });
  const guard = guardWith(alert);
  const names = () => model.get("names") || {};
  const view = {
    model,
    data,
    alert,
    guard,
    names,
    kin: kinship(data),
    state: { hover: null, query: "", lambda: 1, renaming: false },
    hasKernel: Boolean(model.get("has_kernel")),
    selected: () => model.get("selected"),
    nameOf: (l, j, n) => label(data, names(), l, j, n),
    colorOf: (l, j) => data.layers[l].topics[j].color,
  };
  view.canRead = view.hasKernel || Boolean(model.get("texts"));
  view.ask = asker(model);
  view.read = (m, l, j) => readText(view, m, l, j);
  view.rename = (l, j, name) => rename(view, l, j, name);
  return view;
}

/** A function that asks the kernel and returns a promise of its answer. */
function asker(model) {
  const waiting = new Map();
  let last = 0;
  model.on("msg:custom", (message) => {
    waiting.get(message.answer)?.(message);
    waiting.delete(message.answer);
  });
  return (question) =>
    new Promise((resolve, reject) => {
      last += 1;
      waiting.set(last, resolve);
      setTimeout(() => reject(new Error("the kernel does not answer")), PATIENCE);
      model.send({ ...question, ask: last });
    });
}

async function readText(view, m, l, j) {
  if (view.hasKernel) return view.ask({ read: Number(m), topic: [l, j] });
  const { text, marks, rest } = view.model.get("texts")[m];
  return { text, rest, marks: marks[keyOf(l, j)] || [] };
}

function rename(view, l, j, name) {
  const { [keyOf(l, j)]: old, ...others } = view.names();
  view.setNames(name ? { ...others, [keyOf(l, j)]: name } : others);
}

/** Names go to the kernel, which says that it has them, or stay with this page. */
function setNames(view, names) {
  view.model.set("names", names);
  view.model.save_changes();
  if (!view.hasKernel) return;
  const lost =
    "The kernel does not answer: names are on this page only. Download them, run inspect again, " +
    "and upload them there.";
  view.ask({ saved: true }).then(
    () => {
      if (view.alert.textContent === lost) view.alert.textContent = "";
    },
    () => {
      view.alert.textContent = lost;
    },
  );
}

// --- the header ---------------------------------------------------------------------------------

function drawSearch(view, panes) {
  const count = h("span", { class: "quiet num", role: "status" });
  const search = h("input", {
    type: "search",
    placeholder: "find a feature  ( / )",
    "aria-label": "highlight topics by feature",
    spellcheck: "false",
  });
  const show = (query) => {
    view.state.query = query;
    panes.layers.highlight();
    panes.topic.draw();
  };
  view.showCount = (n) => {
    const topics = `${n} topic${n > 1 ? "s" : ""}`;
    count.textContent = n === null ? "" : n ? topics : "no strong feature";
  };
  view.clearSearch = () => {
    search.value = "";
    show("");
  };
  search.addEventListener(
    "input",
    view.guard(() => show(search.value)),
  );
  const press = (event) => {
    if (event.key === "Enter") selectFound(view);
    if (event.key !== "Escape") return;
    view.clearSearch();
    panes.layers.focus();
  };
  search.addEventListener("keydown", view.guard(press));
  return { element: h("div", { class: "search" }, count, search), search };
}

/** Selects the topic with the largest weight of what the search found. */
function selectFound(view) {
  const lit = found(view.data, view.names(), view.state.query) || [];
  const hits = lit.flatMap((map, l) => [...map].map(([j, weight]) => [weight, l, j]));
  if (!hits.length) return;
  const [, l, j] = hits.reduce((best, one) => (one[0] > best[0] ? one : best));
  view.select(l, j, true);
}

function drawHeader(view, search) {
  const { data, model } = view;
  const title = model.get("title") || data.heading;
  const day = model.get("written");
  const written = day ? h("span", { class: "quiet num" }, `written ${day}`) : null;
  return h(
    "header",
    {},
    h(view.hasKernel ? "h2" : "h1", { class: "heading" }, title),
    search,
    h("p", { class: "summary" }, data.summary),
    model.get("note") ? h("p", { class: "note" }, model.get("note")) : null,
    h("div", { class: "tools" }, drawGuide(view), namesTools(view), written),
    view.alert,
  );
}

/** How to read the page, folded. */
function drawGuide({ data }) {
  const deep = data.layers.length > 1;
  const lines = [
    "A topic is a group of features that occur together. Its share says how much of the data, " +
      "as the model rebuilds them, it makes up; the shares of a layer add up to 100%.",
    deep &&
      "Layers are read from left (few, wide topics) to right (many, fine ones). A ribbon says " +
        "how much of a fine topic belongs to a wide one.",
    "Choose a topic by click or arrow keys. Everything else on the page, numbers too, is then " +
      "about this topic and its layer.",
    !data.shape &&
      "The slider reorders its features: frequent ones at the right, those that other topics do " +
        "not have at the left.",
    "Examples are the data points in which it is strongest. The bar below each shows all its " +
      "topics and adds up to 100%.",
  ];
  const paragraphs = lines.filter(Boolean).map((line) => h("p", {}, line));
  return h("details", { class: "guide" }, h("summary", {}, "How to read this page"), paragraphs);
}

// --- the page -----------------------------------------------------------------------------------

/** Focus goes to the search field at a slash. A page of its own may listen everywhere, a cell of
 *  a notebook may not. */
function listenForSlash(view, search) {
  const slash = view.guard((event) => {
    if (event.target.matches("input:not([type=range])")) {
      event.stopPropagation();
      return;
    }
    if (event.key !== "/") return;
    event.preventDefault();
    event.stopPropagation();
    search.focus();
  });
  if (view.hasKernel) keepKeys(view.root);
  (view.hasKernel ? view.root : document).addEventListener("keydown", slash);
}

function render({ model, el }) {
  const view = createView(model);
  const { guard } = view;
  const panes = {};
  const { element: searchBox, search } = drawSearch(view, panes);
  view.root = h("div", { class: "nnmf", role: "group", "aria-label": "layer inspector" });
  view.setNames = (names) => setNames(view, names);
  view.select = guard((l, j, focus = false) => {
    model.set("selected", [l, j]);
    model.save_changes();
    if (focus) panes.layers.focus();
  });
  panes.layers = layersPane(view);
  panes.topic = topicPane(view);
  panes.examples = examplesPane(view);
  panes.fit = fitPane(view);
  const parts = [panes.layers, panes.topic, panes.examples, panes.fit].map((one) => one.element);
  view.root.append(drawHeader(view, searchBox), h("div", { class: "panes" }, parts));
  listenForSlash(view, search);
  el.replaceChildren(view.root);
  return followModel(view, panes);
}

/** Draws everything, and again when the model, the width or the theme changes; returns a function
 *  that ends this. */
function followModel(view, panes) {
  const { model, guard } = view;
  const all = guard(() => {
    panes.layers.draw();
    panes.topic.draw();
    panes.examples.draw();
  });
  const follow = guard(() => {
    view.state.renaming = false;
    panes.layers.follow();
    panes.topic.draw();
    panes.examples.draw();
  });
  const showError = () => {
    view.alert.textContent = model.get("error") || "";
  };
  const resize = guard(() => {
    hideStill(view.root);
    if (panes.layers.isResized()) panes.layers.draw();
  });
  const resized = new ResizeObserver(resize);
  const endTheme = onTheme(() => view.data.shape && all()); // only pictures have its colors
  const events = { "change:selected": follow, "change:names": all, "change:error": showError };
  for (const [event, work] of Object.entries(events)) model.on(event, work);
  all();
  showError();
  resized.observe(panes.layers.element);
  return () => {
    resized.disconnect();
    endTheme();
    for (const [event, work] of Object.entries(events)) model.off(event, work);
  };
}

/** What a page without a kernel has in place of the widget's model. Names that its reader gives
 *  are stored with the browser. */
export function standalone(state) {
  const listeners = {};
  const names = namesOfPage(state);
  return {
    get: (name) => (name === "names" ? names.get() : state[name]),
    set(name, value) {
      if (name === "names") names.set(value);
      else state[name] = value;
      for (const listener of listeners[`change:${name}`] || []) listener();
    },
    on(event, listener) {
      (listeners[event] ||= []).push(listener);
    },
    off(event, listener) {
      listeners[event] = (listeners[event] || []).filter((one) => one !== listener);
    },
    save_changes() {},
  };
}

export default { render };
