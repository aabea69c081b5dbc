// Corrections by hand: what gestures of the page mean, and where they go: to the kernel, which
// answers with a draft, or, without one, into a log.

import { callOf } from "./payload.js";
import { draftBar } from "./draft.js";
import { logOfPage } from "./edit_log.js";
import { drafts } from "./one_draft.js";
import { listenForGestures } from "./gestures.js";
import { pointTools, topicTools } from "./edit_tools.js";

const BUSY =
  "The kernel is busy or does not answer: the edit is done when the running cell has ended.";

/** All that the panes need for editing; null where the view shows a model and no edits. */
export function editingOf(view) {
  const first = view.model.get("editing");
  if (!first?.ids) return null;
  const log = view.hasKernel ? null : logOfPage(view, first);
  if (log) {
    view.model.set("editing", log.state());
    const before = view.names;
    view.names = () => ({ ...before(), ...log.names() });
  }
  const editing = { chosen: new Set(), isWriting: Boolean(log), returnTo: "layers" };
  editing.state = () => view.model.get("editing");
  editing.idOf = (l, j) => editing.state().ids[l]?.[j] ?? null;
  /** A name for the permanent id of a topic; null where the page shows none of it. */
  editing.nameOfId = (id) => {
    const l = editing.state().ids.findIndex((ids) => ids.includes(id));
    return l < 0 ? null : view.nameOf(l, editing.state().ids[l].indexOf(id));
  };
  editing.isPinned = (l, j) => Boolean(editing.state().pinned[editing.idOf(l, j)]);
  editing.isGone = (l, j) => editing.idOf(l, j) === null;
  editing.mergedWith = (l, j) => {
    const id = editing.idOf(l, j);
    return editing.state().ids[l].flatMap((one, i) => (one === id && i !== j ? [i] : []));
  };
  editing.send = (message) => send(view, log, message);
  editing.look = drafts(editing);
  Object.assign(editing, editsOfTopics(view, editing));
  editing.rename = log ? (l, j, value) => editing.look("rename", { topics: [editing.idOf(l, j)], value }) : null;
  editing.bar = draftBar(view, editing);
  Object.assign(editing, topicTools(view, editing), pointTools(view, editing));
  editing.listen = () => listenForGestures(view, editing);
  editing.follow = follower(view, editing);
  return editing;
}

function send(view, log, message) {
  if (log) return log.hear(message);
  const { alert } = view;
  const answered = (answer) => {
    if (alert.textContent === BUSY) alert.textContent = "";
    return answer;
  };
  return view.ask({ edit: message }).then(answered, (error) => {
    alert.textContent = BUSY;
    error.late?.then(answered);
    return {};
  });
}

/** Edits that need nothing but places of topics. */
function editsOfTopics(view, editing) {
  const look = (kind, l, j, more = {}) => {
    editing.returnTo = "layers";
    return editing.look(kind, { topics: [editing.idOf(l, j)], ...more });
  };
  return {
    split: (l, j, words = []) => look("split", l, j, { words }),
    remove: (l, j) => look("delete", l, j),
    pin(l, j) {
      const isOwn = editing.state().pins.includes(editing.idOf(l, j));
      return look(isOwn ? "unpin" : "pin", l, j);
    },
    crossOut: (l, j, word) => look("remove_words", l, j, { words: [word], isSwitch: true }),
    /** One topic was put on another one: they become one, or the lower one moves. */
    put([l, j], [m, i]) {
      editing.returnTo = "layers";
      const topics = [editing.idOf(l, j), editing.idOf(m, i)];
      if (l === m) return editing.look("merge", { topics }).then(() => editing.isWriting && view.select(m, i));
      if (m === l + 1) return editing.look("move", { topics });
      editing.say(`${callOf(view.data, l, j)} can be put on a topic of its own level (merge) or of the level above (move).`);
      return null;
    },
  };
}

/** What is drawn anew when the state of editing changes. */
function follower(view, editing) {
  const keyOfState = () => {
    const { ids, pinned, removed, added, stopped, labels } = editing.state();
    return JSON.stringify([ids, pinned, removed, added, stopped, labels, view.names()]);
  };
  let last = keyOfState();
  return () => {
    const key = keyOfState();
    editing.drawBar();
    if (key !== last) {
      last = key;
      view.panes.layers.draw();
      view.panes.topic.draw();
      view.panes.documents.draw();
    }
    editing.markDraft();
  };
}
