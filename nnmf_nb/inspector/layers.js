// The pane of layers: bars as high as shares, ribbons as wide as flows.

import { clamp, fill, fitText, h, heading, keyOf, pane, percent, rgb, s } from "./elements.js";
import { sum, textWidth } from "./elements.js";
import { BAR, bandPath, bands, layout } from "./layout.js";
import { EASE, callOf, countsOf, found, isCurve, levelNames, lineage } from "./payload.js";
import { naming } from "./payload.js";
import { curve, pictureAddress } from "./pictures.js";

const LOCK = "M1.5 5.5h7v5h-7zM3 5.5V3.6a2 2 0 0 1 4 0v1.9"; // of a pinned topic

/** Draws the pane anew whenever `draw` is called; `highlight` follows selection and search. */
export function layersPane(view) {
  const { data, state, guard } = view;
  const L = data.layers.length;
  const element = pane("layers", L > 1 ? "topics and what they belong to" : "topics");
  const open = new Set(); // layers all of whose topics have a bar
  let nodes = [];
  let ribbons = [];
  let svg = null;
  let levels = [];
  let drawnWidth = 0;
  let groups = []; // [layer, topics that share a bar, its element]

  function draw() {
    drawnWidth = element.clientWidth || 600;
    const family = lineage(data, view.kin, ...view.selected());
    const byPart = (map) => [...map].sort((a, b) => b[1] - a[1]).map(([j]) => j);
    const wanted = family.map(byPart);
    const place = layout(data, view.kin, Math.max(240, drawnWidth), open, wanted);
    svg = drawAll(place);
    const focused = element.contains(document.activeElement);
    const note = `bar: share of the whole${L > 1 ? " · ribbon: what belongs to what" : ""}`;
    const title = L === 2 ? "topics and themes" : "topics";
    element.replaceChildren(heading(title, note), ...drawLevels(), svg, drawHints(place));
    highlight();
    if (focused) focus();
  }

  function drawAll(place) {
    const all = s("svg", {
      width: Math.max(240, drawnWidth),
      height: place.height,
      role: "group",
      "aria-label": "all topics; arrow keys move",
    });
    ribbons = bands(data, place).map((band) => {
      const fillOf = view.colorOf(band.l, band.j);
      const path = s("path", { class: "band", d: bandPath(place, band), fill: fillOf });
      return { ...band, path };
    });
    all.append(...ribbons.map(({ path }) => path));
    all.append(...data.layers.map((_, l) => drawHeading(place, l)));
    nodes = data.layers.map((_, l) => {
      const made = [];
      for (const j of place.own[l]) made[j] = drawNode(view, place, l, j);
      all.append(...place.own[l].map((j) => made[j]));
      return made;
    });
    groups = place.groups.flatMap((group, l) =>
      group ? [[l, group.hidden, drawGroup(place, l, group)]] : [],
    );
    all.append(...groups.map(([, , element]) => element));
    all.addEventListener("mouseenter", guard(hover), true);
    all.addEventListener(
      "mouseleave",
      guard(() => hover(null)),
    );
    return all;
  }

  function hover(event) {
    const key = event?.target.closest?.(".node")?.dataset.key;
    state.hover = key ? key.split(",").map(Number) : null;
    highlight();
  }

  /** A button for each level. */
  function drawLevels() {
    if (L < 2) return [];
    const button = (_, l) => {
      const attributes = { class: "tab", type: "button", "data-level": l };
      attributes.onclick = guard(() => view.climb(l));
      return h("button", attributes, L > 2 ? `level ${l}` : levelNames(data, l));
    };
    const says = "level that all panes show";
    levels = data.layers.map(button);
    const group = { class: "levels", role: "group", "aria-label": says };
    return [h("div", group, h("span", { class: "quiet" }, "show "), [...levels].reverse())];
  }

  function drawHeading(place, l) {
    const outer = l === L - 1 && place.wide;
    const step = L > 1 ? Math.abs(place.x[0] - place.x[L - 1]) / (L - 1) : Infinity;
    const forms = countsOf(data, l);
    const text = forms.find((form) => textWidth(form, 11) + 8 < step) || forms[forms.length - 1];
    const width = Math.max(240, drawnWidth);
    const out = place.x[l] + textWidth(text, 11) + 4 > width; // at the right edge it ends there
    const x = out ? width : place.x[l] + (outer ? BAR : 0);
    const anchor = outer || out ? "end" : "start";
    return s("text", { class: "head", x, y: 9, "text-anchor": anchor }, text);
  }

  function toggle(l) {
    if (!open.delete(l)) open.add(l);
    draw();
  }

  /** The bar of all topics of a layer that are too small for one of their own. */
  function drawGroup(place, l, { top, tall, slot, hidden, share }) {
    const x = place.x[l];
    const y = top + tall / 2;
    const outer = l === L - 1 && place.wide;
    const space = outer ? x - 8 : l ? place.x[l - 1] - x - BAR - 10 : place.right - 4;
    const text = `${hidden.length} more · ${percent(share)}`;
    const attributes = { class: "name", x: outer ? x - 7 : x + BAR + 6, y };
    attributes["text-anchor"] = outer ? "end" : "start";
    const thick = Math.max(tall, 1.5);
    const hit = { class: "hit", x: outer ? 0 : x - 3, y: y - slot / 2, height: slot };
    hit.width = outer ? x + BAR : BAR + 6 + Math.max(20, space);
    return s(
      "g",
      { class: "group", "data-layer": l, onclick: guard(() => toggle(l)) },
      s("title", {}, `${hidden.length} more ${levelNames(data, l)}: show them all`),
      s("rect", hit),
      s("rect", { class: "bar", x, y: y - thick / 2, width: BAR, height: thick, rx: 2 }),
      s("text", attributes, fitText(text, space)),
    );
  }

  function drawHints(place) {
    const keys = [["↑ ↓", "next"]];
    if (view.editing) keys.push(["m", "merge"], ["s", "split"], ["p", "pin"], ["r", "rename"], ["Del", "delete"]);
    if (L > 1) keys.push(["← →", L === 2 ? "to a theme or topic" : "to another level"]);
    keys.push(["/", "find"], ["Esc", "clear"]);
    const toggles = data.layers.flatMap((layer, l) => {
      const k = layer.order.length;
      if (k <= place.most) return [];
      const text = `show ${open.has(l) ? "the largest" : `all ${k}`} ${levelNames(data, l)}`;
      const press = guard(() => toggle(l));
      return [h("button", { class: "plain", type: "button", onclick: press }, text)];
    });
    const hints = keys.flatMap(([key, what]) => [h("kbd", {}, key), ` ${what}   `]);
    const switches = toggles.length ? h("p", { class: "toggles" }, toggles) : null;
    return h("div", { class: "hints" }, switches, h("p", { class: "keys" }, hints));
  }

  function highlight() {
    const [l, j] = view.selected();
    const hits = found(data, view.names(), state.query);
    const over = state.hover;
    const lit = over || !hits ? lineage(data, view.kin, ...(over || [l, j])) : hits;
    svg.setAttribute("class", over || hits ? "busy" : "");
    nodes.forEach((row, m) =>
      row.forEach((node, i) => {
        const own = m === l && i === j;
        node.classList.toggle("lit", lit[m].has(i));
        node.classList.toggle("selected", own);
        node.setAttribute("aria-pressed", own);
        node.setAttribute("tabindex", own ? 0 : -1);
      }),
    );
    for (const [m, hidden, element] of groups) {
      element.classList.toggle("lit", hidden.some((i) => lit[m].has(i)));
    }
    levels.forEach((button, m) => button.setAttribute("aria-pressed", String(m === l)));
    for (const { path, up, l: m, i, j: to } of ribbons) {
      path.classList.toggle("lit", up >= EASE && lit[m].has(to) && lit[m - 1].has(i));
    }
    view.showCount(hits ? sum(hits.map((map) => map.size)) : null);
  }

  /** Follows the selection. Bars stay where they are, unless the chosen topic shares one: then it
   *  and its family get their own. */
  function follow() {
    const [l, j] = view.selected();
    if (nodes[l][j]) highlight();
    else draw();
  }

  function focus() {
    const [l, j] = view.selected();
    nodes[l][j].focus({ preventScroll: false });
  }

  /** Shows another level: the relative there of the chosen topic is chosen. */
  view.climb = (l) => {
    state.climbing = true;
    view.select(l, relative(view, ...view.selected(), l));
    state.climbing = false;
  };

  const isResized = () => Math.abs((element.clientWidth || drawnWidth) - drawnWidth) > 1;
  element.addEventListener(
    "keydown",
    guard((event) => moveByKey(view, event)),
  );
  return { element, draw, follow, search: highlight, focus, isResized };
}

// --- one topic ----------------------------------------------------------------------------------

function marksOf(topic) {
  const dead = topic.dead ? ", dead" : "";
  return topic.twins.length ? `${dead}, duplicate of ${topic.twins.join(", ")}` : dead;
}

function drawNode(view, place, l, j) {
  const { data } = view;
  const topic = data.layers[l].topics[j];
  const { top, tall, slot } = place.bars[l][j];
  const outer = l === data.layers.length - 1 && place.wide;
  const x = place.x[l];
  const y = top + tall / 2;
  const until = l ? place.x[l - 1] - x - BAR - 10 : place.right - 4;
  const isPinned = Boolean(view.editing?.isPinned(l, j));
  const spot = { x, y, slot, outer, space: outer ? x - 8 : until, isPinned };
  const thick = Math.max(tall, topic.dead ? Math.min(8, slot) : 1.5);
  const high = Math.max(tall, 3) + 6;
  const hit = { class: "hit", x: outer ? 0 : x - 3, y: y - slot / 2, height: Math.max(slot, 4) };
  hit.width = outer ? x + BAR : BAR + 6 + Math.max(20, until);
  const bar = { class: "bar", x, y: y - thick / 2, width: BAR, height: thick, fill: topic.color };
  const marks = marksOf(topic);
  const root = l > 0 && l === data.layers.length - 1;
  const face = data.shape ? drawPicture(view, topic, spot) : drawLabel(view, l, j, spot, root);
  const edited = view.editing ? becameOf(view.editing, l, j) : "";
  const title = `${callOf(data, l, j)}${isPinned ? ", pinned" : ""}: ${view.nameOf(l, j, 8)}`;
  return s(
    "g",
    {
      class: `node${topic.dead ? " dead" : ""}${root ? " root" : ""}${edited}`,
      role: "button",
      "data-key": keyOf(l, j),
      onclick: view.guard(() => view.select(l, j, true)),
    },
    s("title", {}, `${title}\n${percent(topic.share)} of the whole${marks}`),
    s("rect", hit),
    s("rect", { ...bar, rx: Math.min(2, thick / 3) }),
    isPinned ? drawLock(spot, l) : null,
    s("rect", { class: "ring", x: x - 3, y: y - high / 2, width: BAR + 6, height: high, rx: 4 }),
    face,
  );
}

/** What became of a topic on a page that writes edits down, as a class. */
function becameOf(editing, l, j) {
  if (editing.isGone(l, j)) return " gone";
  return editing.mergedWith(l, j).length ? " merged" : "";
}

/** A pinned topic has a lock: before its name, or beside the bar where the name ends there. */
function drawLock({ x, y, outer, space }, l) {
  const beside = !outer && l === 0 && space > 110 ? 34 : 0;
  const at = x + BAR + (outer ? 5 : 6 + beside);
  return s("path", { class: "lock", d: LOCK, transform: `translate(${at}, ${y - 6.5})` });
}

/** The share of a topic where there is room, its strongest words, and more on a second line. */
function drawLabel(view, l, j, { x, y, slot, outer, space, isPinned }, root) {
  const { data } = view;
  const topic = data.layers[l].topics[j];
  const at = outer ? x - 7 : x + BAR + 6;
  const away = outer ? -1 : 1;
  const beside = outer || (l === 0 && space > 110) ? 34 : 0;
  const lock = isPinned && !outer ? 15 : 0;
  const room = space - beside - lock - 4;
  const size = root && slot >= 28 ? 12.5 : 12;
  const own = view.nameOf(l, j, data.layers.length > 1 ? 6 : 12);
  const first = fitText((topic.twins.length ? "≈ " : "") + own, room, size);
  const more = outer && slot >= 30 && !topic.dead && !view.names()[keyOf(l, j)];
  const used = first.split(" · ").length;
  const rest = more ? naming(data, l, j).slice(used, 8).join(" · ") : "";
  const start = at + away * beside + lock;
  const line = (text, dy, name) => s("text", { class: name, x: start, y: y + dy }, text);
  const percentage = { class: "pc", x: outer ? at : at + 28, y, "text-anchor": "end" };
  return s(
    "g",
    { class: "text", "text-anchor": outer ? "end" : "start" },
    beside ? s("text", percentage, percent(topic.share)) : null,
    line(first, rest ? -7.5 : 0, size > 12 ? "name large" : "name"),
    rest ? line(fitText(rest, room, 11), 7.5, "small") : null,
  );
}

/** A topic as a small picture or curve, with its share beside. */
function drawPicture(view, topic, { x, y, slot, outer }) {
  const { data } = view;
  const side = clamp(slot - 3, 18, 44);
  const [rows, columns] = isCurve(data) ? [1, 2] : data.shape;
  const most = isCurve(data) ? 1 : Math.max(rows, columns);
  const wide = (side * columns) / most;
  const high = (side * rows) / most;
  const at = outer ? x - 6 - wide : x + BAR + 5;
  const box = { x: at, y: y - high / 2, width: wide, height: high };
  const image = isCurve(data)
    ? fill(curve(topic.image, data.axis, topic.color), box, [])
    : s("image", {
        ...box,
        class: "pixels",
        preserveAspectRatio: "none",
        href: pictureAddress(topic.image, data.shape, rgb(view.root)),
      });
  const beside = { class: "pc", x: outer ? at - 5 : at + wide + 6, y };
  beside["text-anchor"] = outer ? "end" : "start";
  return s(
    "g",
    { class: "text" },
    s("rect", { ...box, style: { fill: "var(--bg)" } }),
    image,
    s("rect", { ...box, class: "frame", style: { stroke: topic.color } }),
    s("text", beside, (topic.twins.length ? "≈ " : "") + percent(topic.share)),
  );
}

/** The topic of layer `to` that has most to do with topic j of layer l. */
function relative({ kin, data }, l, j, to) {
  let topic = j;
  for (let m = l; m < to; m++) topic = (kin.parents[m][topic][0] || [data.layers[m + 1].order[0]])[0];
  for (let m = l; m > to; m--) topic = (kin.children[m][topic][0] || [data.layers[m - 1].order[0]])[0];
  return topic;
}

// --- keys ---------------------------------------------------------------------------------------

/** The topic to which a key leads from topic j of layer l, as [layer, topic]; null for none. */
function neighbor({ data, kin }, key, l, j) {
  const { order } = data.layers[l];
  const n = order.indexOf(j);
  const main = (kinOf, m) => [m, (kinOf[0] || [data.layers[m].order[0]])[0]];
  if (key === "ArrowDown") return [l, order[Math.min(n + 1, order.length - 1)]];
  if (key === "ArrowUp") return [l, order[Math.max(n - 1, 0)]];
  if (key === "Home") return [l, order[0]];
  if (key === "End") return [l, order[order.length - 1]];
  if (key === "ArrowLeft" && l + 1 < data.layers.length) return main(kin.parents[l][j], l + 1);
  if (key === "ArrowRight" && l > 0) return main(kin.children[l][j], l - 1);
  return null;
}

function moveByKey(view, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("button")) return;
  const to = neighbor(view, event.key, ...view.selected());
  const press = (event.key === "Enter" || event.key === " ") && event.target.closest(".node");
  if (!to && !press && event.key !== "Escape") return;
  event.preventDefault();
  event.stopPropagation(); // the notebook has its own use for arrows
  view.state.hover = null;
  if (to) view.select(...to, true);
  else if (!press) view.clearSearch();
}
