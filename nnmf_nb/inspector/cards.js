// What stands beside the map: the data point that is pointed at, and those that are chosen.

import { chip } from "./chips.js";
import { h, percent, rgb, saveFile, sum } from "./elements.js";
import { callOf, levelNames } from "./payload.js";
import { curveOfBytes, pictureOfBytes } from "./pictures.js";
import { meanShares } from "./points.js";

const REST = 90; // milliseconds that a pointer rests before a kernel is asked

/** Shows data point m: its name, the words that speak for its topic (with `heat`: for the chosen
 *  one), its largest topics. `isStill` says whether it is still pointed at. */
export function dotCard(view, m, heat, spot, isStill) {
  if (m < 0) {
    spot.replaceChildren(...emptyCard(view));
    return;
  }
  const [l, chosen] = view.selected();
  const main = view.points.loaded.mains[l][m];
  const topic = heat || main >= view.data.layers[l].topics.length ? chosen : main;
  const show = view.guard((one) => {
    if (isStill()) spot.replaceChildren(...drawDotCard(view, { m, ...one }, l, topic));
  });
  const fail = (error) => {
    if (isStill()) spot.textContent = error.message;
  };
  const wait = view.hasKernel ? REST : 0;
  const look = () => isStill() && view.store.glance(m, l, topic).then(show, fail);
  if (wait) setTimeout(look, wait);
  else look();
}

export function emptyCard({ data }) {
  const one = data.unit;
  const sense = "Dots of alike topics lie together; far distances and empty areas mean nothing.";
  return [
    h("p", { class: "quiet" }, sense),
    h("p", { class: "quiet" }, `Point at a dot to see which ${one} it is, click to open it.`),
    h("p", { class: "quiet" }, `Draw around dots to choose their ${one}s.`),
  ];
}

/** The picture or curve of data point m where there is one, small. */
function drawThumbnail({ points, root }, m) {
  const { pictures } = points.loaded;
  if (!pictures) return null;
  const { shape, axis } = pictures;
  const size = shape.reduce((product, n) => product * n, 1);
  const bytes = pictures.bytes.subarray(m * size, (m + 1) * size);
  const ink = rgb(root);
  const drawn = axis ? curveOfBytes(bytes, axis, `rgb(${ink})`) : pictureOfBytes(bytes, shape, ink);
  return h("div", { class: "thumbnail" }, drawn);
}

function drawDotCard(view, { m, name, shares, words }, l, topic) {
  const rows = shares.slice(0, 3).map(([j, part]) =>
    h(
      "li",
      { class: j === topic ? "on" : null },
      h("i", { style: { background: view.colorOf(l, j) } }),
      h("span", { class: "num" }, percent(part)),
      h("span", { class: "name", title: callOf(view.data, l, j) }, view.nameOf(l, j, 3)),
    ),
  );
  const tint = `color-mix(in srgb, ${view.colorOf(l, topic)} 26%, transparent)`;
  const marks = words.slice(0, 8).map((word) => h("mark", { style: { background: tint } }, word));
  return [
    h("h3", {}, name),
    drawThumbnail(view, m),
    marks.length ? h("p", { class: "text" }, marks.flatMap((mark) => [mark, " "])) : null,
    h("ul", { class: "parts" }, rows),
  ].filter(Boolean);
}

/** How many are chosen, what they are made of, and what to do with them. */
export function chosenCard(view) {
  const { data, points, guard } = view;
  const chosen = points.chosen();
  if (!chosen.length) return [];
  const [l] = view.selected();
  const allowed = new Uint8Array(points.loaded.n);
  for (const m of chosen) allowed[m] = 1;
  const means = meanShares(points.loaded, l, allowed);
  const shown = means.slice(0, 5);
  const rest = 100 - sum(shown.map(([, part]) => Math.round(100 * part)));
  const count = `${chosen.length.toLocaleString("en")} ${data.unit}${chosen.length === 1 ? "" : "s"}`;
  const button = (text, press) =>
    h("button", { class: "tab", type: "button", onclick: guard(press) }, text);
  const piece = ([j, part]) =>
    h("span", { style: { width: `${100 * part}%`, background: view.colorOf(l, j) } });
  return [
    h("h3", {}, `${count} chosen`),
    h("div", { class: "stack", title: `their ${levelNames(data, l)}; gray: all others` }, shown.map(piece)),
    h("div", { class: "kin" }, h("span", { class: "quiet" }, "mean"), h("div", {}, chips(view, l, shown, rest))),
    h(
      "div",
      { class: "listing" },
      button("list them", () => view.panes.documents.list("chosen")),
      view.hasKernel ? null : button("download as table", () => downloadChosen(view, chosen, l)),
      button("choose none", () => points.choose([])),
    ),
    view.hasKernel
      ? h("p", { class: "quiet" }, "In Python: ", h("code", {}, "view.selected_samples"))
      : null,
  ].filter(Boolean);
}

function chips(view, l, shown, rest) {
  const others = rest > 0 ? h("span", { class: "quiet num" }, `${rest}% all others`) : null;
  return [...shown.map(([j, part]) => chip(view, l, j, part)), others];
}

/** The chosen data points as a file: number, name, percent of the topics of a level. */
async function downloadChosen(view, chosen, l) {
  const titles = await view.store.titles();
  const { n, shares } = view.points.loaded;
  const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
  const topics = [...view.data.layers[l].topics.keys()];
  const head = ["number", view.data.unit, ...topics.map((j) => view.nameOf(l, j))];
  const rows = chosen.map((m) => [m, titles[m], ...topics.map((j) => shares[l][j * n + m])]);
  const text = [head, ...rows].map((row) => row.map(quoted).join(",")).join("\n");
  saveFile(`chosen_${view.data.unit.replace(" ", "_")}s.csv`, `${text}\n`, "text/csv");
}
