// Buttons that edit: those of a topic and its words, and those of documents.

import { h, s } from "./elements.js";
import { isCurve, levelName } from "./payload.js";

const SCISSORS = "M5.5 5.5 13 13M5.5 10.5 13 3M5.6 4a2 2 0 1 1-4 0a2 2 0 1 1 4 0zM5.6 12a2 2 0 1 1-4 0a2 2 0 1 1 4 0z";
const PIN = "M5.5 1.5h5M6.5 1.5v5l-3 3h9l-3-3v-5M8 9.5v5";

const drawing = (d) =>
  s("svg", { class: "icon", viewBox: "0 0 16 16", width: 13, height: 13, "aria-hidden": "true" }, s("path", { d }));

// --- a topic ------------------------------------------------------------------------------------

export function topicTools(view, editing) {
  const { data, guard } = view;
  const button = (name, label, key, work, more = {}) =>
    h(
      "button",
      { class: `control ${name}`, type: "button", title: `key: ${key}`, onclick: guard(work), ...more.attributes },
      more.icon ? drawing(more.icon) : null,
      label,
    );

  /** Below the name of topic j of layer l. */
  function drawTopicTools(l, j) {
    if (editing.isGone(l, j)) return h("p", { class: "quiet gone-note" }, "It was split or deleted on this page. What became of it shows after replay.");
    const isOwn = editing.state().pins.includes(editing.idOf(l, j));
    const isPart = !isOwn && editing.isPinned(l, j);
    const row = [
      button("split", "split", "s", () => editing.split(l, j), { icon: SCISSORS }),
      button("pin", isOwn ? "unpin" : "pin", "p", () => editing.pin(l, j), { icon: PIN, attributes: { "aria-pressed": String(isOwn) } }),
      button("pick", l + 1 < data.layers.length ? "merge or move …" : "merge …", "m", () => editing.pick(l, j)),
      button("delete", "delete", "Delete", () => editing.remove(l, j)),
    ];
    const others = editing.mergedWith(l, j).map((i) => `“${view.nameOf(l, i)}”`);
    const merged = others.length ? h("p", { class: "quiet" }, `Merged with ${others.join(", ")} on this page.`) : null;
    const note = isPart ? h("p", { class: "quiet" }, `Pinned as a part of “${editing.nameOfId(editing.state().pinned[editing.idOf(l, j)])}”.`) : null;
    return h("div", { class: "topic-tools" }, h("div", { class: "controls" }, row, drawParents(l, j)), note, merged);
  }

  function drawParents(l, j) {
    const above = data.layers[l + 1];
    if (!above) return null;
    const places = above.order.filter((i) => !editing.isGone(l + 1, i));
    const option = (i) => h("option", { value: i }, view.nameOf(l + 1, i));
    const first = h("option", { value: "" }, `move to a ${levelName(data, l + 1)} …`);
    const select = h("select", { class: "parents", "aria-label": `move to another ${levelName(data, l + 1)}` }, first, places.map(option));
    select.addEventListener("change", guard(() => {
      if (select.value === "") return;
      editing.put([l, j], [l + 1, Number(select.value)]);
      select.value = "";
    }));
    return select;
  }

  const crosses = h("div", { class: "crosses" });
  const entry = wordEntry(view, editing);

  /** A cross beside every word of the list, in its order; words of a supertopic have none. */
  function drawCrosses(names) {
    const [l, j] = view.selected();
    const isFree = l === 0 && !editing.isGone(l, j);
    crosses.replaceChildren(
      ...(isFree ? names.map((name) => drawCross(l, j, name)) : []),
    );
    markCrosses();
  }

  /** Words that the draft crosses out show it. */
  function markCrosses() {
    const { draft } = editing.state();
    const isHere = draft?.kind === "remove_words" && draft.topics[0] === editing.idOf(...view.selected());
    for (const one of crosses.children) {
      one.setAttribute("aria-pressed", String(isHere && draft.words.includes(one.dataset.word)));
    }
  }

  const drawCross = (l, j, name) => {
    const says = `cross out ${name}`;
    return h("button", { class: "cross", type: "button", "data-word": name, "aria-label": says, title: says, onclick: guard(() => editing.crossOut(l, j, name)) }, "×");
  };

  /** Below the words: those that were crossed out or added, and a field for others. */
  function drawWordTools(l, j) {
    if (isCurve(data) || data.shape || editing.isGone(l, j)) return null;
    const state = editing.state();
    const id = editing.idOf(l, j);
    const list = (what, words, name) =>
      words?.length ? h("p", { class: "bounds" }, h("span", { class: "quiet" }, what), words.map((word) => h("span", { class: name }, word))) : null;
    const lists = [
      list("crossed out here", state.removed[id], "lost"),
      list("crossed out everywhere", state.stopped, "lost"),
      list("added", state.added[id], "gained"),
    ];
    if (l > 0) {
      const says = `Words of a ${levelName(data, l)} follow from its topics: edit theirs, or move topics.`;
      return h("div", { class: "word-tools" }, h("p", { class: "quiet" }, says));
    }
    return h("div", { class: "word-tools" }, lists, entry);
  }

  return { drawTopicTools, drawCrosses, markCrosses, drawWordTools, crosses };
}

/** A field for words, and what can be done with them. */
function wordEntry(view, editing) {
  const { guard } = view;
  const term = view.data.term;
  const input = h("input", { type: "text", placeholder: `${term}s, with commas`, "aria-label": `${term}s for an edit, with commas`, spellcheck: "false" });
  const words = () => input.value.split(",").map((word) => word.trim()).filter(Boolean);
  const edit = (kind, withTopic) => () => {
    const given = words();
    if (!given.length) {
      editing.say(`Type ${term}s first, with commas between them.`);
      input.focus();
      return;
    }
    editing.returnTo = "layers";
    const topics = withTopic ? [editing.idOf(...view.selected())] : [];
    editing.look(kind, { topics, words: given }).then(() => {
      if (!editing.state().refused && !editing.waiting) input.value = "";
    });
  };
  const add = edit("add_words", true);
  input.addEventListener("keydown", guard((event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    add();
  }));
  const button = (name, label, work, title) =>
    h("button", { class: `control ${name}`, type: "button", title, onclick: guard(work) }, label);
  const buttons = [
    button("add", "add", add, "among the first words of this topic (Enter)"),
    button("split-by", "split by", edit("split", true), "these words go to the first part"),
    button("create", "new topic", edit("create", false), "a topic that begins with these words"),
    button("stop", "cross out everywhere", edit("stop_words", false), "stop words: no topic has them"),
  ];
  return h("div", { class: "entry" }, input, h("div", { class: "controls" }, buttons));
}

// --- documents ----------------------------------------------------------------------------------

export function pointTools(view, editing) {
  const { data, guard } = view;
  const unit = data.unit;
  const count = h("span", { class: "num", role: "status" });
  const input = h("input", { type: "text", placeholder: "class", "aria-label": `class of the chosen ${unit}s`, maxlength: 200, spellcheck: "false" });
  const known = h("datalist", { id: `classes-${Math.random().toString(36).slice(2)}` });
  input.setAttribute("list", known.id);
  const points = () => [...editing.chosen];
  const button = (name, label, work) =>
    h("button", { class: `control ${name}`, type: "button", onclick: guard(work) }, label);
  const look = (kind, more = {}) => {
    editing.returnTo = "points";
    editing.look(kind, { points: points(), ...more });
  };
  const label = () => {
    if (!input.value.trim()) {
      editing.say(`Type the class of the chosen ${unit}s first.`);
      input.focus();
      return;
    }
    look("label", { value: input.value.trim() });
  };
  input.addEventListener("keydown", guard((event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    label();
  }));
  const tools = h(
    "div",
    { class: "point-tools", role: "group", "aria-label": `edit the chosen ${unit}s` },
    count,
    known,
    input,
    button("label", "label", label),
    button("take-out", "take out of this topic", () => look("remove_from", { topics: [editing.idOf(...view.selected())] })),
    button("create-from", "new topic from them", () => look("create")),
    button("clear", "choose none", () => choose([])),
  );

  function drawPointTools() {
    const n = editing.chosen.size;
    count.textContent = n ? `${n.toLocaleString("en")} chosen` : `Check ${unit}s to label them.`;
    for (const one of tools.querySelectorAll("button, input")) one.disabled = !n;
    known.replaceChildren(...editing.state().classes.map((value) => h("option", { value })));
    return tools;
  }

  function choose(chosen) {
    editing.chosen = new Set(chosen);
    for (const box of view.root.querySelectorAll("input.choice")) {
      box.checked = editing.chosen.has(Number(box.dataset.point));
    }
    drawPointTools();
  }

  /** The box of one document, with its label. */
  function drawChoice(one) {
    const m = Number(one.m);
    const label = editing.state().labels[m];
    const box = h("input", { type: "checkbox", class: "choice", "data-point": m, "aria-label": `choose ${one.name}`, checked: editing.chosen.has(m) });
    box.addEventListener("change", guard(() => {
      if (box.checked) editing.chosen.add(m);
      else editing.chosen.delete(m);
      drawPointTools();
    }));
    return [box, label === undefined ? null : h("span", { class: "chip class" }, label)];
  }

  return { drawPointTools, drawChoice, choose, focusPoints: () => input.focus() };
}
