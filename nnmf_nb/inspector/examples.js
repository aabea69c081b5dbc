// One document: its name, its text with the words that speak for a topic, and all its topics. All
// numbers are shares of the reconstruction at the level of the chosen topic.

import { chip, emblem } from "./chips.js";
import { h, percent, rgb, sum } from "./elements.js";
import { callOf, isCurve, levelName, levelNames } from "./payload.js";
import { curve, picture } from "./pictures.js";

const LISTED = 5; // topics that are listed, besides the chosen one

/** A document (number m, name, text, shares of topics, names of near copies) below topic j of
 *  layer l. */
export function drawExample(view, one, l, j) {
  const own = one.shares.find(([i]) => i === j);
  const shares = one.shares.filter(([i], n) => n < LISTED || i === j);
  const title = `share of this ${levelName(view.data, l)} in the ${view.data.unit}`;
  const point = view.data.points[one.m];
  return h(
    "li",
    { class: "example", "data-point": one.m },
    h(
      "div",
      { class: "line" },
      h("h3", { title: one.name }, one.name),
      view.editing ? h("span", { class: "choosing" }, view.editing.drawChoice(one)) : null,
      h("span", { class: "quiet num", title }, own ? percent(own[1]) : "<4%"),
    ),
    one.text ? drawText(view, one, l, j) : null,
    view.data.shape && point ? drawStrip(view, point) : null,
    drawStack(view, shares, l),
    drawParts(view, shares, l, j),
    one.main === undefined
      ? null
      : h("p", { class: "origin quiet" }, "mainly in ", chip(view, l - 1, one.main)),
    one.copies.length ? drawCopies(one.copies) : null,
  );
}

/** What nearly repeats a document, folded. */
function drawCopies(names) {
  const count = `+ ${names.length} near ${names.length === 1 ? "copy" : "copies"}`;
  const rows = names.map((name) => h("li", {}, name));
  return h("details", { class: "copies" }, h("summary", {}, count), h("ul", {}, rows));
}

// --- texts --------------------------------------------------------------------------------------

/** The opening of a text; the whole, with the words that speak for the topic marked, on demand. */
function drawText(view, point, l, j) {
  const text = h("p", { class: "text" }, ...withHits(point.text, view.state.query));
  const read = h("button", { class: "plain read", type: "button" }, invitation(point));
  read.setAttribute("aria-expanded", "false");
  const note = h("span", { class: "quiet", role: "status" });
  read.addEventListener(
    "click",
    view.guard(() => {
      if (read.getAttribute("aria-expanded") === "true") {
        fold(view, text, read, point);
        return;
      }
      const show = (whole) => {
        note.textContent = "";
        unfold(view, text, read, whole, view.colorOf(l, j));
      };
      note.textContent = " …";
      view.store.read(point.m, l, j).then(show, (error) => {
        note.textContent = ` ${error.message}`;
        error.late?.then(show);
      });
    }),
  );
  return [text, view.store?.canRead ? h("p", { class: "reading" }, read, note) : null];
}

/** What the button says while the text is folded. */
const invitation = (point) => (point.cut ? "read the whole text" : "mark its words");

function fold(view, text, read, point) {
  text.classList.remove("whole");
  text.replaceChildren(...withHits(point.text, view.state.query));
  read.textContent = invitation(point);
  read.setAttribute("aria-expanded", "false");
}

function unfold(view, text, read, { text: whole, marks, rest, isOpening }, color) {
  text.classList.add("whole");
  text.replaceChildren(...marked(whole, new Map(marks), color));
  const more = ` … and ${rest.toLocaleString("en")} more letters`;
  if (rest) text.append(h("span", { class: "quiet" }, more));
  const only = " This page holds the opening only.";
  if (isOpening) text.append(h("span", { class: "quiet" }, only));
  read.textContent = "fold";
  read.setAttribute("aria-expanded", "true");
}

/** A text with what a search found underlined. */
function withHits(text, query) {
  const terms = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!terms.length) return [text];
  const escaped = terms.map((term) => term.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pieces = text.split(new RegExp(`(${escaped.join("|")})`, "iu"));
  return pieces.map((piece, n) => (n % 2 ? h("u", { class: "hit" }, piece) : piece));
}

/** A text with the words marked that speak for a topic; the tint follows how surely. */
function marked(text, marks, color) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(/[\p{L}\p{N}_]+/gu)) {
    const sure = marks.get(match[0].toLowerCase());
    if (sure === undefined) continue;
    const tint = `color-mix(in srgb, ${color} ${Math.round(8 + 26 * sure)}%, transparent)`;
    parts.push(text.slice(end, match.index), h("mark", { style: { background: tint } }, match[0]));
    end = match.index + match[0].length;
  }
  return [...parts, text.slice(end)];
}

// --- topics of a data point ---------------------------------------------------------------------

function drawStack(view, shares, l) {
  const piece = ([i, share]) =>
    h("span", { style: { width: `${100 * share}%`, background: view.colorOf(l, i) } });
  const title = `its ${levelNames(view.data, l)}; gray: all others`;
  return h("div", { class: "stack", title }, shares.map(piece));
}

/** The topics of a data point at the layer; the rounded numbers add up to 100%. */
function drawParts(view, shares, l, j) {
  const rest = 100 - sum(shares.map(([, share]) => Math.round(100 * share)));
  const row = ([i, share]) =>
    h(
      "li",
      { class: i === j ? "on" : null },
      h("i", { style: { background: view.colorOf(l, i) } }),
      h("span", { class: "num" }, percent(share)),
      h(
        "button",
        {
          type: "button",
          "data-key": `${l},${i}`,
          title: `${callOf(view.data, l, i)}: ${view.nameOf(l, i, 8)}`,
          onclick: () => view.select(l, i),
        },
        emblem(view, l, i, 3),
      ),
    );
  const others = h("li", {}, h("i"), h("span", { class: "num" }, `${rest}%`), "all others");
  return h("ul", { class: "parts" }, shares.map(row), rest > 0 ? others : null);
}

function drawStrip(view, point) {
  const { data } = view;
  const ink = rgb(view.root);
  const figure = (pixels, n) => {
    if (pixels === null) return null;
    const error = point.errors && n ? `: ${point.errors[n - 1].toFixed(2)}` : "";
    const drawn = isCurve(data)
      ? curve(pixels, data.axis, `rgb(${ink})`)
      : picture(pixels, data.shape, ink);
    const caption = n ? `${levelNames(data, n - 1)}${error}` : "data";
    return h("figure", {}, drawn, h("figcaption", { class: "num" }, caption));
  };
  return h("div", { class: "strip" }, point.images.map(figure));
}
