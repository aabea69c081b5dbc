// The bar of edits: the draft with its figures, commit and discard, refinement, undo and redo, the
// log, and what was refused.

import { OTHERS, phraseOfEdit } from "./edit_log.js";
import { h, percent, saveFile } from "./elements.js";
import { levelName, levelNames } from "./payload.js";

const LONG = 60_000; // milliseconds in which a kernel writes a page

const WRITING =
  "This page writes edits down: download the log and send it to whoever has the model. A copy of the page has none of them.";

/** What to do first, where nothing was done yet. */
function beginning({ data }) {
  const move = data.layers.length > 1 ? `, onto a ${levelName(data, 1)} to move it there` : "";
  return `Drag a topic onto another one to merge them${move}; the rest has buttons and keys. Every edit is a draft first: nothing changes until you commit it, and undo takes it back.`;
}

/** What undo would take back, where there is no draft. */
function lastEdit({ log, draft, refining }) {
  return log.length && !draft && !refining ? `Last edit: ${log[log.length - 1]}. Ctrl+Z takes it back.` : "";
}

export function draftBar(view, editing) {
  const { guard } = view;
  const element = h("section", { class: "edits", "aria-label": "edits" });
  const said = h("p", { class: "picking quiet", role: "status" });
  const refused = h("p", { class: "refused", role: "alert" });
  const replacing = h("div", { class: "replacing", role: "alert", hidden: true });
  const draft = h("div", { class: "draft" });
  // as high without a draft as with one: the page does not move below the pointer
  const progress = h("p", { class: "quiet num", role: "status" });
  const board = h("div", { class: "board" }, said, progress, refused, replacing, draft);
  const naming = h("input", { type: "text", class: "naming", placeholder: "name (optional)", "aria-label": "name of the merged topic", maxlength: 200, spellcheck: "false" });
  const comparison = h("div", { class: "comparison", hidden: true });
  const tools = h("div", { class: "edit-tools" });
  const settings = refineSettings(view);
  let shownDraft = "";
  let note = editing.isWriting ? WRITING : "";

  const button = (name, label, work, more = {}) =>
    h("button", { class: `control ${name}`, type: "button", onclick: guard(work), ...more }, label);
  const does = (what) => () => editing.send({ do: what });
  const commit = button("commit", "commit", () => commitDraft(), { title: "Enter" });
  const discard = button("discard", "discard", does("discard"), { title: "Escape" });
  const compare = button("compare", "compare with before", () => toggleComparison(), {
    "aria-expanded": "false",
  });
  const undo = button("undo", "undo", does("undo"), { "aria-keyshortcuts": "Control+Z" });
  const redo = button("redo", "redo", does("redo"), { title: "make it again (Ctrl+Shift+Z)", "aria-keyshortcuts": "Control+Shift+Z" });
  const refine = button("refine", "refine", () => {
    editing.send(editing.state().refining ? { do: "interrupt" } : { do: "refine", ...settings.values() });
  });
  const log = h("details", { class: "log" });
  const download = button("log-file", "download the log", () =>
    editing.send({ do: "log" }).then(guard(({ log: text }) => saveFile("edits.json", text))),
  );
  const parts = editing.isWriting ? [] : [compare];
  const save = editing.isWriting ? [] : [savePage(view, editing)];
  const out = h("span", { class: "out" }, save, download, log);
  tools.append(undo, redo, ...parts, refine, settings.element, out);
  element.append(board, tools, comparison);
  board.classList.toggle("writes", editing.isWriting);

  /** Commits the draft, a merged topic with the name that was typed, and chooses it. */
  async function commitDraft() {
    const { kind, topics, new: made } = editing.state().draft ?? {};
    const name = naming.value.trim();
    if (kind === "merge" && name) {
      await editing.send({ do: "look", kind, topics, value: name });
      if (editing.state().refused) return;
    }
    await editing.send({ do: "commit" });
    if (kind !== "merge" || editing.state().draft) return;
    const l = editing.state().ids.findIndex((ids) => ids.includes(made[0]));
    if (l >= 0) view.select(l, editing.state().ids[l].indexOf(made[0]), true);
  }

  function drawBar() {
    const state = editing.state();
    const isRunning = Boolean(state.refining);
    refused.textContent = withNames(editing, state.refused);
    const isNew = !state.log.length && !state.undone && !state.draft && !isRunning;
    said.textContent = editing.picking ? pickingText(view, editing) : note || (isNew ? beginning(view) : lastEdit(state));
    drawDraft(state);
    drawReplacing(state);
    undo.disabled = isRunning || !(editing.isWriting ? state.written : state.log.length);
    const undone = undo.disabled ? "" : `: ${state.log[state.log.length - 1]}`;
    undo.title = `take the last edit back (Ctrl+Z)${undone}`;
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
      const cuts = cut === null ? null : button("cut", `cut small parts first: pins ${cut} below`, () => editing.send({ do: "look", kind: "pin", topics, value: "cut" }), {
        title: "parts with less than 1% of its weights",
      });
      naming.value = "";
      const name = state.draft.kind === "merge" ? naming : null;
      const [what, ...figures] = drawFigures(view, editing, state.draft);
      draft.replaceChildren(what, h("div", { class: "controls" }, name, commit, cuts, discard), ...figures);
      focusInSight(commit);
    } else {
      draft.replaceChildren();
      if (hadFocus) editing.focusBack();
    }
  }

  /** An edit that would take the place of the draft says so first. */
  function drawReplacing(state) {
    if (!state.draft) editing.waiting = null;
    const { waiting } = editing;
    if (Boolean(waiting) !== replacing.hidden) return;
    replacing.hidden = !waiting;
    if (!waiting) {
      replacing.replaceChildren();
      return;
    }
    const { kind, edit } = waiting;
    const replace = button("replace", "replace it", () => {
      editing.waiting = null;
      drawBar();
      editing.send({ do: "look", kind, ...edit });
    });
    const text = `The draft is not committed. Replace it by: ${phraseOfEdit(view, editing, kind, edit)}?`;
    replacing.replaceChildren(h("span", {}, text), replace, button("keep", "keep the draft", keepDraft, { title: "Escape" }));
    board.scrollTop = 0;
    focusInSight(replace);
  }

  function keepDraft() {
    editing.waiting = null;
    drawBar();
    focusInSight(commit);
  }

  function drawLog(state) {
    const n = state.log.length;
    const text = n ? `${n} edit${n === 1 ? "" : "s"} so far` : "no edits so far";
    const rows = state.log.map((one) => h("li", {}, one));
    log.replaceChildren(h("summary", {}, text), h("ol", {}, rows));
    download.disabled = !n;
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
      if (event.target === naming && event.key === "Enter") {
        event.preventDefault();
        commitDraft();
      }
      const { draft: isThere, refused: isRefused } = editing.state();
      if (event.key !== "Escape" || !isThere || (isRefused && !editing.waiting)) return;
      event.preventDefault();
      event.stopPropagation();
      if (editing.waiting) keepDraft();
      else editing.send({ do: "discard" });
    }),
  );
  editing.drawBar = drawBar;
  editing.markDraft = () => {
    const { topics = [], pins = [] } = editing.state().draft ?? {};
    for (const one of view.root.querySelectorAll(".node")) {
      const [l, j] = one.dataset.key.split(",").map(Number);
      one.classList.toggle("drafted", [...topics, ...pins].includes(editing.idOf(l, j)));
    }
    editing.markCrosses();
  };
  editing.say = (text) => {
    note = text;
    drawBar();
  };
  editing.ask = (message) => view.ask({ edit: message });
  return element;
}

/** Focus without a jump of the page, unless the element is out of sight. */
function focusInSight(element) {
  element.focus({ preventScroll: true });
  const { x, y, width, height } = element.getBoundingClientRect();
  const seen = element.getRootNode().elementFromPoint(x + width / 2, y + height / 2);
  if (seen !== element) element.scrollIntoView({ block: "nearest" });
}

/** Writes the page to a file: one that shows the topics, or one on which others correct them. */
function savePage(view, editing) {
  const choices = { read: "to read", correct: "to correct without Python" };
  const option = ([value, text]) => h("option", { value }, text);
  const first = h("option", { value: "" }, "save this page …");
  const select = h("select", { class: "save-page", "aria-label": "save this page" }, first, Object.entries(choices).map(option));
  const failed = () => editing.say("The kernel is busy or does not answer; save the page later.");
  select.addEventListener("change", view.guard(() => {
    const { value } = select;
    select.value = "";
    if (!value) return;
    const save = view.guard(({ page }) => saveFile(`topics-to-${value}.html`, page, "text/html"));
    view.ask({ page: value }, LONG).then(save, view.guard(failed));
  }));
  return select;
}

function refineSettings(view) {
  const n = h("input", { type: "number", min: 1, max: 100, value: 5, "aria-label": "iterations" });
  const options = Object.entries(OTHERS).map(([value, text]) => h("option", { value }, text));
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

/** What calls in Python are on the page. */
const DEEDS = {
  merge: "merging",
  split: "splitting",
  delete: "deleting",
  create: "a new topic",
  move: "moving",
  remove_words: "crossing out words",
  stop_words: "crossing out words everywhere",
  add_words: "adding words",
  pin: "pinning",
  unpin: "unpinning",
  remove_from: "taking out",
  label: "labeling",
};
const OF_PYTHON = new RegExp(
  `'[^']*'|\\b(?:\\d+:\\d+|t\\d+)\\b|\\b(?:${Object.keys(DEEDS).join("|")})\\b(?= (?:would change|takes|needs|names)\\b)`,
  "g",
);

/** A sentence of Python in words of the page: names in place of ids, what is done in place of
 *  calls; what stands in quotes stays. */
const withNames = (editing, text) =>
  text.replace(OF_PYTHON, (one, place) => {
    const deed = DEEDS[one];
    if (deed) return place ? deed : deed[0].toUpperCase() + deed.slice(1);
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
