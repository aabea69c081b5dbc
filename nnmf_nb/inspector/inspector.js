// The layer inspector: an anywidget module, and the script of the file that View.to_html writes.
// Modules are joined to one text when they are read (see `script` in nbs/inspector/view.ipynb).

import { guardWith, h, keepKeys, keyOf, onTheme } from "./elements.js";
import { documentsPane } from "./documents.js";
import { fitPane } from "./fit.js";
import { layersPane } from "./layers.js";
import { mapPane } from "./map.js";
import { namesOfPage, namesTools } from "./names.js";
import { found, kinship, label } from "./payload.js";
import { pointsOf } from "./points.js";
import { riverPane } from "./river.js";
import { storeOf } from "./store.js";
import { topicPane } from "./topic.js";

/** The panes in reading order, each a function of the view; a new one is one more line here. What
 *  it returns has an `element`, and `draw` for everything anew; and, where it wants to know,
 *  `follow` for another choice, `search` for other words in `view.state.query`, `filter` for other
 *  data points that are shown (`view.points`), `isResized`. Its place on the page is a rule for
 *  the class of its element in inspector.css or overview.css. */
const PANES = {
  layers: layersPane,
  topic: topicPane,
  map: mapPane,
  river: riverPane,
  documents: documentsPane,
  fit: fitPane,
};

/** Widths in pixels from which the map stands beside the ribbons, by the number of levels (1, 2, 3;
 *  more); below, ribbons would be too narrow for their labels. */
const ABREAST = [1100, 1100, 1250];
const ABREAST_DEEP = 1500;

const PATIENCE = 4000; // milliseconds after which a kernel that says nothing is said not to answer

/** What all panes know: the payload, what is selected and named, and how to change it. */
function createView(model, editingOf) {
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
    panes: {},
    state: { heat: false, hover: null, query: "", lambda: 1, renaming: false },
    hasKernel: Boolean(model.get("has_kernel")),
    selected: () => present(data, model.get("selected")),
    nameOf: (l, j, n) => label(data, view.names(), l, j, n),
    colorOf: (l, j) => data.layers[l].topics[j].color,
  };
  view.ask = asker(model);
  view.store = storeOf(view);
  view.points = pointsOf(view);
  view.rename = (l, j, name) => rename(view, l, j, name);
  view.editing = editingOf(view);
  return view;
}

/** A place that the topics have, though an edit may just have made them fewer. */
function present(data, [l, j]) {
  return [l, Math.min(j, data.layers[l].topics.length - 1)];
}

/** New topics take the place of the old ones, in the same object that all panes know. */
function renewData(view) {
  const { data } = view;
  for (const name of Object.keys(data)) delete data[name];
  Object.assign(data, view.model.get("payload"));
  Object.assign(view.kin, kinship(data));
  view.state.hover = null;
}

/** A function that asks the kernel and returns a promise of its answer. A kernel that says nothing
 *  for so long as `patience` is said not to answer; it may only be busy, so that error has a promise
 *  of the `late` answer. */
function asker(model) {
  const waiting = new Map();
  let last = 0;
  model.on("msg:custom", (message) => {
    waiting.get(message.answer)?.(message);
    waiting.delete(message.answer);
  });
  return (question, patience = PATIENCE) => {
    last += 1;
    const number = last;
    const late = new Promise((resolve) => {
      waiting.set(number, resolve);
      model.send({ ...question, ask: number }); // fails, and the promise with it, without a kernel
    });
    const silence = new Promise((_, reject) => {
      const error = Object.assign(new Error("the kernel does not answer yet"), { late });
      setTimeout(() => reject(error), patience);
    });
    return Promise.race([late, silence]);
  };
}

function rename(view, l, j, name) {
  if (view.editing?.rename) {
    view.editing.rename(l, j, name);
    return;
  }
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
  const saved = () => {
    if (view.alert.textContent === lost) view.alert.textContent = "";
  };
  view.ask({ saved: true }).then(saved, (error) => {
    view.alert.textContent = lost;
    error.late?.then(saved);
  });
}

// --- the header ---------------------------------------------------------------------------------

function drawSearch(view) {
  const { panes, state } = view;
  const count = h("span", { class: "quiet num", role: "status" });
  const search = h("input", {
    type: "search",
    placeholder: `find a ${view.data.term} or ${view.data.unit}  ( / )`,
    "aria-label": `find topics, ${view.data.term}s and ${view.data.unit}s`,
    spellcheck: "false",
  });
  let counts = {};
  const say = () => {
    const noun = (n, one) => `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`;
    const parts = Object.entries(counts).map(([one, n]) => noun(n, one));
    count.textContent = state.query.trim() ? parts.join(" · ") : "";
  };
  const show = (query) => {
    state.query = query;
    counts = {};
    for (const pane of Object.values(panes)) pane.search?.();
    say();
    panes.topic.words?.search(query).then(
      (n) => {
        counts[view.data.term] = n;
        say();
      },
      () => {}, // a kernel that does not answer has been spoken of in the list of documents
    );
  };
  view.showCount = (n) => {
    if (n !== null) counts.topic = n;
  };
  view.showFound = (n) => {
    counts[view.data.unit] = n;
    say();
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

const titleOf = ({ model, data }) => model.get("title") || data.heading;

function drawHeader(view, search) {
  const { data, model } = view;
  view.heading = h(view.hasKernel ? "h2" : "h1", { class: "heading" }, titleOf(view));
  view.summary = h("p", { class: "summary" }, data.summary);
  const day = model.get("written");
  const written = day ? h("span", { class: "quiet num" }, `written ${day}`) : null;
  return h(
    "header",
    {},
    view.heading,
    search,
    view.summary,
    model.get("note") ? h("p", { class: "note" }, model.get("note")) : null,
    h("div", { class: "tools" }, drawGuide(view), view.editing?.isWriting ? null : namesTools(view), written),
    view.alert,
  );
}

const GESTURES =
  "Drag a topic on another one to merge them, on one of the level above to move it there; or choose " +
  "it, press m, go to the other one and press Enter. Other keys on a topic: s splits, p pins, r " +
  "renames, Delete deletes; x on a word crosses it out. Ctrl+Z takes the last edit back, Ctrl+Shift+Z " +
  "makes it again, Esc clears a message.";
const MAKES_EDITS = `${GESTURES} Each edit is a draft first: its figures are above, Enter commits it, Esc discards it.`;
const WRITES_EDITS =
  `${GESTURES} This page writes edits down and shows the topics as they were: download the log and ` +
  "give it to nnmf_nb.replay(model, X, path), which makes the edits.";

/** How to read the page, folded. */
function drawGuide({ data, store, editing }) {
  const deep = data.layers.length > 1;
  const { unit, term } = data;
  const above = data.layers.length > 2 ? "topics of a level above" : "themes";
  const what = data.modes
    ? "A topic is a component of the tensor: entries of all modes that go together"
    : `A topic is a group of ${term}s that occur together`;
  const lines = [
    `${what}. Its share says how much of the data, as ` +
      "the model rebuilds them, it makes up; the shares of a level add up to 100%.",
    deep &&
      `Topics belong to ${above}: read from left (few, wide) to right (many, fine). A ribbon says ` +
        "how much of a fine one belongs to a wide one; one may belong to several.",
    "Choose by click, by arrow keys, or with the buttons of the levels. Everything else on the " +
      "page, numbers too, is then about this choice and its level.",
    data.modes &&
      "Each mode but that of the data points has a card: bars for names, a line for numbers and " +
        "dates, in parts of what the topic is in this mode; those of a mode add up to 100%. The " +
        "strongest entries of the first mode with names are the name of the topic. Data " +
        "points stand below, with how much of each the topic makes up.",
    data.remark,
    !data.shape &&
      `The slider reorders its ${term}s: at the right those it has most of, at the left those that ` +
        "others do not have.",
    `Examples are the ${unit}s in which it is strongest; beside them stand all that have at least ` +
      "4% of it. The bar below each shows all that it is made of and adds up to 100%. Near copies " +
      "are folded into the first of them.",
    "On the map every dot is one of them. Dots of alike topics lie together and have the color of " +
      "their largest topic, or say how much there is of the chosen one; far distances and empty " +
      "areas mean nothing.",
    data.texts &&
      "In an opened text those words are marked that speak for the choice: more than 40% of such a " +
        "word belong to it there, and it uses the word at least 1.6 times as much as all data do.",
    editing && (editing.isWriting ? WRITES_EDITS : MAKES_EDITS),
    store &&
      `A search looks in ${term}s, and in ${unit}s: ${store.searched}. The ${unit}s that it finds ` +
        "have an edge on the map.",
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

/** Makes a pane and puts it below those that are there. */
function mountPane(view, name, make) {
  view.panes[name] = make(view);
  view.grid.append(view.panes[name].element);
}

/** Puts the open map beside the ribbons where there is room. Tab follows the eye: then the card of
 *  the topic comes after the map. Only the card is moved, so the map keeps the focus. */
function arrange(view) {
  const { grid, panes, data } = view;
  const least = ABREAST[data.layers.length - 1] ?? ABREAST_DEEP;
  const isAbreast = panes.map.element.open && grid.clientWidth >= least;
  if (isAbreast === view.isAbreast) return;
  view.isAbreast = isAbreast;
  grid.classList.toggle("abreast", isAbreast);
  panes[isAbreast ? "map" : "layers"].element.after(panes.topic.element);
}

/** Shows a model; `editingOf` gives the means to edit topics, or null (see editor.js). */
export function render({ model, el }, editingOf = () => null) {
  const view = createView(model, editingOf);
  const { panes } = view;
  const { element: searchBox, search } = drawSearch(view);
  view.root = h("div", { class: "nnmf", role: "group", "aria-label": "inspector of topics" });
  view.grid = h("div", { class: "panes" });
  view.setNames = (names) => setNames(view, names);
  view.select = view.guard((l, j, focus = false) => {
    model.set("selected", [l, j]);
    model.save_changes();
    if (focus) panes.layers.focus();
  });
  view.root.append(drawHeader(view, searchBox), ...(view.editing ? [view.editing.bar] : []), view.grid);
  for (const [name, make] of Object.entries(PANES)) mountPane(view, name, make);
  listenForSlash(view, search);
  view.editing?.listen();
  el.replaceChildren(view.root);
  return followModel(view);
}

/** Draws everything, and again when the model, the width or the theme changes; returns a function
 *  that ends this. */
function followModel(view) {
  const { model, guard, data, editing } = view;
  const panes = Object.values(view.panes);
  const all = guard(() => {
    for (const pane of panes) pane.draw();
  });
  const renew = guard(() => {
    renewData(view);
    view.points.forget();
    view.summary.textContent = data.summary;
    view.heading.textContent = titleOf(view);
    all();
  });
  const follow = guard(() => {
    view.state.renaming = false;
    for (const pane of panes) pane.follow?.();
  });
  const filter = guard(() => {
    view.points.isChanged();
    for (const pane of panes) pane.filter?.();
  });
  const showError = () => {
    view.alert.textContent = model.get("error") || "";
  };
  const resize = guard(() => {
    arrange(view);
    for (const pane of panes) if (pane.isResized?.()) pane.draw();
  });
  const resized = new ResizeObserver(resize);
  // only pictures and the map have its colors
  const endTheme = onTheme(() => (view.data.shape ? all() : view.panes.map.draw()));
  const events = { "change:selected": follow, "change:names": all, "change:error": showError };
  if (editing) {
    const samples = () => {
      filter();
      editing.choose(model.get("selected_samples") || []);
    };
    Object.assign(events, { "change:payload": renew, "change:editing": guard(editing.follow) });
    events["change:selected_samples"] = guard(samples);
  } else {
    events["change:selected_samples"] = filter;
  }
  for (const [event, work] of Object.entries(events)) model.on(event, work);
  arrange(view);
  all();
  editing?.drawBar();
  showError();
  resized.observe(view.grid);
  view.grid.addEventListener("toggle", resize, true);
  view.store?.unpacked?.catch((error) => {
    view.alert.textContent = `The documents of this page cannot be read: ${error.message}`;
  });
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
