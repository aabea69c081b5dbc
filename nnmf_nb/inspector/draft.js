// The bar of edits: the draft with its figures, commit and discard, refinement, undo and redo, the
// log, and what was refused.

import { h, percent } from "./elements.js";
import { levelName, levelNames } from "./payload.js";

const OTHERS = [
  ["pin", "stay as they are"],
  ["hold", "move a little"],
  ["free", "are trained freely"],
];

const WRITING =
  "This page writes edits down: send the log to whoever has the model; replay(model, X, path) makes them.";

/** What to do first, where nothing was done yet. */
function beginning({ data }) {
  const move = data.layers.length > 1 ? `, onto a ${levelName(data, 1)} to move it there` : "";
  return `Drag a topic onto another one to merge them${move}; the rest has buttons and keys. Every edit is a draft first: nothing changes until you commit it, and undo takes it back.`;
}

export function draftBar(view, editing) {
  const { guard } = view;
  const element = h("section", { class: "edits", "aria-label": "edits" });
  const said = h("p", { class: "picking quiet", role: "status" });
  const refused = h("p", { class: "refused", role: "alert" });
  const draft = h("div", { class: "draft" });
  const comparison = h("div", { class: "comparison", hidden: true });
  const tools = h("div", { class: "edit-tools" });
  const settings = refineSettings(view);
  let shownDraft = "";
  let note = editing.isWriting ? WRITING : "";

  const button = (name, label, work, more = {}) =>
    h("button", { class: `control ${name}`, type: "button", onclick: guard(work), ...more }, label);
  const does = (what) => () => editing.send({ do: what });
  const commit = button("commit", "commit", does("commit"), { title: "Enter" });
  const discard = button("discard", "discard", does("discard"), { title: "Escape" });
  const compare = button("compare", "compare with before", () => toggleComparison(), {
    "aria-expanded": "false",
  });
  const undo = button("undo", "undo", does("undo"), { title: "Ctrl+Z" });
  const redo = button("redo", "redo", does("redo"), { title: "Ctrl+Shift+Z" });
  const refine = button("refine", "refine", () => {
    editing.send(editing.state().refining ? { do: "interrupt" } : { do: "refine", ...settings.values() });
  });
  const progress = h("span", { class: "quiet num", role: "status" });
  const log = h("details", { class: "log" });
  const download = button("log-file", "download the log", () =>
    editing.send({ do: "log" }).then(guard(({ log: text }) => saveText(text))),
  );
  const parts = editing.isWriting ? [] : [compare];
  tools.append(undo, redo, ...parts, refine, settings.element, progress, download, log);
  element.append(said, refused, draft, comparison, tools);

  function drawBar() {
    const state = editing.state();
    const isRunning = Boolean(state.refining);
    refused.textContent = withNames(editing, state.refused);
    const isNew = !state.log.length && !state.undone && !state.draft && !isRunning;
    said.textContent = editing.picking ? pickingText(view, editing) : note || (isNew ? beginning(view) : "");
    drawDraft(state);
    undo.disabled = isRunning || !(editing.isWriting ? state.written : state.log.length);
    undo.title = undo.disabled ? "Ctrl+Z" : `Ctrl+Z: ${state.log[state.log.length - 1]}`;
    redo.disabled = isRunning || !state.undone;
    refine.textContent = isRunning ? "interrupt" : "refine";
    refine.disabled = Boolean(state.draft) || !(isRunning || state.log.length);
    progress.textContent = isRunning ? progressText(view, state.refining) : "";
    drawLog(state);
    if (!comparison.hidden) showComparison();
  }

  function drawDraft(state) {
    const text = JSON.stringify(state.draft);
    if (text === shownDraft) return;
    const hadFocus = element.contains(document.activeElement);
    shownDraft = text;
    draft.hidden = !state.draft;
    if (state.draft) {
      note = "";
      said.textContent = "";
      const { cut, topics } = state.draft;
      const cuts = cut === null ? null : button("cut", `cut small parts first: pins ${cut} below`, () => editing.look("pin", { topics, value: "cut" }), {
        title: "parts with less than 1% of its weights",
      });
      draft.replaceChildren(...drawFigures(view, editing, state.draft), h("div", { class: "controls" }, commit, cuts, discard));
      commit.focus();
    } else {
      draft.replaceChildren();
      if (hadFocus) editing.focusBack();
    }
  }

  function drawLog(state) {
    const n = state.log.length;
    const text = n ? `${n} edit${n === 1 ? "" : "s"} so far` : "no edits so far";
    const rows = state.log.map((one) => h("li", {}, one));
    log.replaceChildren(h("summary", {}, text), h("ol", {}, rows));
    download.hidden = !n;
  }

  function toggleComparison() {
    comparison.hidden = !comparison.hidden;
    compare.setAttribute("aria-expanded", String(!comparison.hidden));
    compare.textContent = comparison.hidden ? "compare with before" : "hide the comparison";
    if (!comparison.hidden) showComparison();
  }

  let asking = 0;
  function showComparison() {
    asking += 1;
    const own = asking;
    editing.ask({ do: "compare" }).then(
      guard(({ rows }) => own === asking && rows && comparison.replaceChildren(...drawComparison(view, editing, rows))),
    );
  }

  element.addEventListener(
    "keydown",
    guard((event) => {
      if (event.key !== "Escape" || !editing.state().draft) return;
      event.preventDefault();
      event.stopPropagation();
      editing.send({ do: "discard" });
    }),
  );
  editing.drawBar = drawBar;
  editing.markDraft = () => {
    const { topics = [], pins = [] } = editing.state().draft ?? {};
    for (const one of view.root.querySelectorAll(".node")) {
      const [l, j] = one.dataset.key.split(",").map(Number);
      one.classList.toggle("drafted", [...topics, ...pins].includes(editing.idOf(l, j)));
    }
  };
  editing.say = (text) => {
    note = text;
    drawBar();
  };
  editing.ask = (message) => view.ask({ edit: message });
  return element;
}

function refineSettings(view) {
  const n = h("input", { type: "number", min: 1, max: 100, value: 5, "aria-label": "iterations" });
  const options = OTHERS.map(([value, text]) => h("option", { value }, text));
  const others = h("select", { "aria-label": "other topics" }, options);
  const element = h(
    "span",
    { class: "refinement" },
    n,
    h("span", { class: "quiet" }, "iterations; other topics"),
    others,
  );
  const values = () => ({ n: Math.max(1, Math.round(Number(n.value)) || 1), others: others.value });
  return { element, values };
}

const progressText = (view, { layer, iteration, n }) =>
  `${levelNames(view.data, layer)}: iteration ${iteration} of ${n}`;

function pickingText(view, { picking }) {
  const above = picking[0] + 1 < view.data.layers.length;
  const move = above ? "; one of the level above takes it" : "";
  return `“${view.nameOf(...picking)}” is picked up. Choose a topic of its level to merge them${move}: click, or arrow keys and Enter. Esc puts it back.`;
}

// --- figures ------------------------------------------------------------------------------------

const SEEN = 0.00005; // a change that four digits show

/** The change between two numbers as they are shown, with four digits. */
function signed(before, after) {
  if (before === after) return "unchanged";
  const x = Number(after.toFixed(4)) - Number(before.toFixed(4));
  return Math.abs(x) < SEEN ? "nearly the same" : `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(4)}`;
}

/** A sentence of Python with names in place of ids; what stands in quotes stays. */
const withNames = (editing, text) =>
  text.replace(/'[^']*'|\b(?:\d+:\d+|t\d+)\b/g, (one) => {
    const name = editing.nameOfId(one);
    return name === null ? one : `“${name}”`;
  });

/** What the preview says, in the order in which one asks. */
function drawFigures(view, editing, draft) {
  const { data } = view;
  const unit = (n) => `${n.toLocaleString("en")} ${data.unit}${n === 1 ? "" : "s"}`;
  const errors = draft.depths.map(([before, after], l) =>
    figure(`error, ${levelNames(data, l)}`, `${before.toFixed(4)} → ${after.toFixed(4)}`, signed(before, after)),
  );
  const unstable = draft.depths.map(([, , change], l) => `${levelNames(data, l)} ${(100 * change).toFixed(1)}%`);
  const isStill = draft.depths.every(([, , change]) => change === 0);
  const figures = [
    ...errors,
    figure("new words in other topics", isStill ? "none" : unstable.join(", ")),
    figure("change their main topic", draft.moved ? unit(draft.moved) : "none", draft.points.join(", ")),
  ];
  if (draft.adherence < 1) figures.push(figure("does what it says", percent(draft.adherence)));
  if (draft.pins.length) figures.push(figure("pins below, too", `${draft.pins.length} topics`, draft.pins.map((id) => editing.nameOfId(id) ?? id).join(", ")));
  return [
    h("p", { class: "what" }, h("b", {}, "Draft: "), draft.text),
    h("dl", { class: "figures num" }, figures),
    ...draft.notes.map((note) => h("p", { class: "note" }, withNames(editing, note))),
  ];
}

const figure = (what, value, more = "") =>
  h("div", {}, h("dt", {}, what), h("dd", {}, value, more ? h("span", { class: "quiet more", title: more }, more) : null));

// --- before and after ---------------------------------------------------------------------------

function drawComparison(view, editing, rows) {
  if (!rows.length) return [h("p", { class: "quiet" }, "The first ten words of all topics are the same.")];
  const cell = (words, others, name) =>
    h("td", {}, words.length ? words.map((word) => [h("span", { class: others.includes(word) ? null : name }, word), " "]) : h("span", { class: "quiet" }, "–"));
  const called = ({ id, layer, name, before }) => {
    const kind = levelName(view.data, layer);
    return name || editing.nameOfId(id) || (before.length ? `${kind} that is gone` : `new ${kind}`);
  };
  const row = ({ before, after, ...one }) =>
    h("tr", {}, h("th", { scope: "row" }, called({ before, ...one })), cell(before, after, "lost"), cell(after, before, "gained"));
  const head = ["topic", "before", "after"].map((one) => h("th", { scope: "col" }, one));
  const table = h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows.map(row)));
  return [h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "topics before and after" }, table)];
}

function saveText(text) {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  h("a", { href: address, download: "edits.json" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
