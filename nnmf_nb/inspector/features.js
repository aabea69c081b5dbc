// The strongest features of a topic as bars.

import { h, textWidth } from "./elements.js";
import { ranked } from "./payload.js";

const ROW = 24; // height of a feature

/** Draws features as bars; `part` is a topic, or it in one mode: its features and their weights.
 *  Rows are kept from one position of the slider to the next, so that they move instead of
 *  jumping. The first row has the rank `first`. Returns the features that are shown. */
export function drawFeatures(view, features, part, first = 0) {
  const { data } = view;
  const [l, j] = view.selected();
  const topic = data.layers[l].topics[j];
  const rows = ranked(data, part, view.state.lambda);
  const most = Math.max(...rows.map(([, phi, p]) => Math.max(phi, p)));
  const widths = rows.map(([i]) => textWidth(data.features[i], 13));
  const old = new Map([...features.children].map((row) => [row.dataset.key, row]));
  features.style.setProperty("--names", `${Math.ceil(Math.max(...widths)) + 2}px`);
  features.style.height = `${ROW * rows.length}px`;
  rows.forEach(([i, phi, p], n) => {
    const key = `${l},${j},${i}`;
    const row = old.get(key) || newFeature(data, key, i, topic, phi, p);
    old.delete(key);
    placeFeature(view, row, n, data.features[i], phi / most, p / most);
    row.dataset.rank = first + n;
    if (!row.parentNode) features.append(row);
  });
  for (const row of old.values()) row.remove();
  return rows.map(([i]) => i);
}

function placeFeature(view, row, n, feature, part, reference) {
  const text = view.state.query.trim().toLocaleLowerCase();
  const [name, track] = row.children;
  const hit = text && feature.toLocaleLowerCase().includes(text);
  name.replaceChildren(hit ? h("mark", {}, feature) : feature);
  row.style.transform = `translateY(${ROW * n}px)`;
  row.tabIndex = n ? -1 : 0;
  track.children[0].style.width = `${100 * part}%`;
  track.children[1].style.width = `${100 * reference}%`;
}

function newFeature(data, key, i, topic, phi, p) {
  const parts = [phi, p].map((part) => `${(100 * part).toPrecision(3)}%`);
  const title = `${data.features[i]}: ${parts[0]} of the topic, ${parts[1]} of ${data.reference}`;
  const bar = h("i", { style: { background: topic.color } });
  return h(
    "button",
    { class: "feature", type: "button", "data-key": key, title },
    h("span", {}, data.features[i]),
    h("span", { class: "track" }, bar, h("i", { class: "ghost" })),
    h("span", { class: "num" }, `${(100 * phi).toFixed(1)}%`),
  );
}
