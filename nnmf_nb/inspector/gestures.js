// Gestures on the picture of the layers: a topic is dragged on another one, or picked up and put
// down by keys; keys for what the buttons do.

import { h } from "./elements.js";

const SLACK = 6; // pixels that a pointer may move in a click

export function listenForGestures(view, editing) {
  const { guard } = view;
  const { element } = view.panes.layers;

  editing.pick = (l, j) => {
    editing.picking = [l, j];
    view.root.classList.add("picks");
    editing.drawBar();
    view.panes.layers.focus();
  };
  editing.putBack = () => {
    editing.picking = null;
    view.root.classList.remove("picks");
    editing.drawBar();
  };
  editing.focusBack = () => {
    if (editing.returnTo === "layers") view.panes.layers.focus();
    else editing.focusPoints();
  };

  function putOn(place) {
    const from = editing.picking;
    editing.putBack();
    if (from.join() === place.join()) return;
    editing.put(from, place);
  }

  const keys = {
    m: editing.pick,
    s: (l, j) => editing.split(l, j),
    p: editing.pin,
    r: () => view.editName(),
    F2: () => view.editName(),
    Delete: editing.remove,
    Backspace: editing.remove,
  };

  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !event.target.closest(".node")) return;
    const work = editing.picking ? pickedKeys(event.key) : keys[event.key];
    if (!work) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    work(...view.selected());
  }

  function pickedKeys(key) {
    if (["Enter", " ", "m"].includes(key)) return (...place) => putOn(place);
    return key === "Escape" ? editing.putBack : null;
  }

  function click(event) {
    const place = placeOf(event.target);
    if (editing.isDropped) {
      editing.isDropped = false; // the end of a drag is no click
    } else if (editing.picking && place) {
      putOn(place);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  element.addEventListener("keydown", guard(press), true);
  element.addEventListener("click", guard(click), true);
  element.addEventListener("pointerdown", guard((event) => beginDrag(view, editing, event)));
  view.root.addEventListener("keydown", guard((event) => undoByKey(editing, event)));
  view.root.addEventListener("keydown", guard((event) => dismissByKey(view, editing, event)), true);
}

const placeOf = (target) => {
  const key = target?.closest?.(".node")?.dataset.key;
  return key ? key.split(",").map(Number) : null;
};

function undoByKey(editing, event) {
  if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
  if (event.target.matches("input:not([type=checkbox]):not([type=range])")) return;
  event.preventDefault();
  event.stopPropagation();
  editing.returnTo = "layers";
  editing.send({ do: event.shiftKey ? "redo" : "undo" });
}

function dismissByKey(view, editing, event) {
  if (event.key !== "Escape") return;
  view.alert.textContent = "";
  if (editing.state().refused) editing.send({ do: "dismiss" });
}

// --- drag ---------------------------------------------------------------------------------------

/** A finger scrolls the page; it has the button in place of a drag. */
function beginDrag(view, editing, event) {
  const from = placeOf(event.target);
  if (!from || event.button !== 0 || event.pointerType === "touch" || editing.picking) return;
  const start = [event.clientX, event.clientY];
  let ghost = null;
  let onto = null;

  const move = view.guard((now) => {
    const distance = Math.hypot(now.clientX - start[0], now.clientY - start[1]);
    if (!ghost && distance < SLACK) return;
    ghost ||= makeGhost(view, from);
    onto = placeOf(document.elementFromPoint(now.clientX, now.clientY));
    if (onto?.join() === from.join()) onto = null;
    showTarget(view, from, onto, ghost);
    Object.assign(ghost.style, { left: `${now.clientX + 12}px`, top: `${now.clientY + 10}px` });
  });
  const end = view.guard((now) => {
    for (const [name, work] of Object.entries(listeners)) removeEventListener(name, work, true);
    if (!ghost) return;
    ghost.remove();
    showTarget(view, from, null, null);
    editing.isDropped = now.type === "pointerup";
    setTimeout(() => {
      editing.isDropped = false;
    });
    if (onto && now.type === "pointerup") editing.put(from, onto);
  });
  const escape = (now) => {
    if (now.key === "Escape") end(now);
  };
  const listeners = { pointermove: move, pointerup: end, pointercancel: end, keydown: escape };
  for (const [name, work] of Object.entries(listeners)) addEventListener(name, work, true);
}

function makeGhost(view, from) {
  const color = h("i", { style: { background: view.colorOf(...from) } });
  const ghost = h("div", { class: "ghost-topic", popover: "manual", "aria-hidden": "true" }, color, h("span", {}));
  view.root.append(ghost);
  // in the top layer its place is that in the window, whatever contains or moves the page around it
  ghost.showPopover?.();
  return ghost;
}

/** Says what would happen, and marks where. */
function showTarget(view, from, onto, ghost) {
  for (const node of view.root.querySelectorAll(".node.target")) node.classList.remove("target");
  if (!ghost) return;
  const name = view.nameOf(...from);
  ghost.lastChild.textContent = onto ? whatHappens(view, from, onto, name) : name;
  if (onto) view.root.querySelector(`.node[data-key="${onto.join()}"]`)?.classList.add("target");
}

function whatHappens(view, from, onto, name) {
  const other = view.nameOf(...onto);
  if (onto[0] === from[0]) return `merge “${name}” and “${other}”`;
  if (onto[0] === from[0] + 1) return `move “${name}” under “${other}”`;
  return `“${name}” cannot be put here`;
}
