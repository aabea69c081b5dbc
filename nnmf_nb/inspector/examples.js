// The pane of examples: the data points of the selected topic. All numbers are shares of the
// reconstruction at the layer of this topic.

import { h, heading, pane, percent, rgb, sum } from "./elements.js";
import { isCurve } from "./payload.js";
import { curve, picture } from "./pictures.js";
import { chip, emblem } from "./topic.js";

export function examplesPane(view) {
  const { data } = view;
  const element = pane("examples", "examples");

  function draw() {
    const [l, j] = view.selected();
    const listed = data.layers[l].topics[j].points;
    const where = data.layers.length > 1 ? ` of layer ${l}` : "";
    const from = l > 0 ? ", from its subtopics" : "";
    const note = `strongest data points${from}, and their topics${where}`;
    const list = h(
      "ol",
      {},
      listed.map(([m]) => drawExample(view, m, l, j)),
    );
    const none = h("p", { class: "quiet" }, "no data point has this topic");
    element.replaceChildren(heading("examples", note), listed.length ? list : none);
  }

  return { element, draw };
}

function drawExample(view, m, l, j) {
  const point = view.data.points[m];
  const shares = point.shares[l];
  const own = shares.find(([i]) => i === j)[1];
  const origin = point.main?.[l];
  const title = "share of this topic in the data point";
  return h(
    "li",
    { class: "example", "data-point": m },
    h(
      "div",
      { class: "line" },
      h("h3", { title: point.name }, point.name),
      h("span", { class: "quiet num", title }, percent(own)),
    ),
    point.text ? drawText(view, point, m, l, j) : null,
    view.data.shape ? drawStrip(view, point) : null,
    drawStack(view, shares, l),
    drawParts(view, shares, l, j),
    origin === undefined
      ? null
      : h("p", { class: "origin quiet" }, "mainly in subtopic ", chip(view, l - 1, origin)),
  );
}

// --- texts --------------------------------------------------------------------------------------

/** The opening of a text; the whole, with the words that speak for the topic marked, on demand. */
function drawText(view, point, m, l, j) {
  const text = h("p", { class: "text" }, point.text);
  const read = h("button", { class: "plain read", type: "button" }, invitation(point));
  read.setAttribute("aria-expanded", "false");
  const note = h("span", { class: "quiet", role: "status" });
  read.addEventListener(
    "click",
    view.guard(() => {
      if (read.getAttribute("aria-expanded") === "true") {
        fold(text, read, point);
        return;
      }
      note.textContent = " …";
      view.read(m, l, j).then(
        (whole) => {
          note.textContent = "";
          unfold(view, text, read, whole, view.colorOf(l, j));
        },
        (error) => {
          note.textContent = ` ${error.message}`;
        },
      );
    }),
  );
  return [text, view.canRead ? h("p", { class: "reading" }, read, note) : null];
}

/** What the button says while the text is folded. */
const invitation = (point) => (point.cut ? "read the whole text" : "mark its words");

function fold(text, read, point) {
  text.classList.remove("whole");
  text.replaceChildren(point.text);
  read.textContent = invitation(point);
  read.setAttribute("aria-expanded", "false");
}

function unfold(view, text, read, { text: whole, marks, rest }, color) {
  text.classList.add("whole");
  text.replaceChildren(...marked(whole, new Map(marks), color));
  const more = ` … and ${rest.toLocaleString("en")} more letters`;
  if (rest) text.append(h("span", { class: "quiet" }, more));
  read.textContent = "fold";
  read.setAttribute("aria-expanded", "true");
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
  const title = "topics of this data point at this layer; gray: all others";
  return h("div", { class: "stack", title }, shares.map(piece));
}

/** The topics of a data point at the layer; the rounded numbers add up to 100%. */
function drawParts(view, shares, l, j) {
  const rest = 100 - sum(shares.map(([, share]) => Math.round(100 * share)));
  const row = ([i, share]) =>
    h(
      "li",
      { class: i === j ? "on" : null },
      h("span", { class: "num" }, percent(share)),
      h(
        "button",
        {
          type: "button",
          "data-key": `${l},${i}`,
          title: `layer ${l}, topic ${i}: ${view.nameOf(l, i, 8)}`,
          onclick: () => view.select(l, i),
        },
        emblem(view, l, i, 3),
      ),
    );
  const others = h("li", {}, h("span", { class: "num" }, `${rest}%`), "all others");
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
    const caption = n ? `depth ${n - 1}${error}` : "data";
    return h("figure", {}, drawn, h("figcaption", { class: "num" }, caption));
  };
  return h("div", { class: "strip" }, point.images.map(figure));
}
