// Small things that stand for a topic in a line of text.

import { fill, h, keyOf, percent, rgb } from "./elements.js";
import { callOf, isPicture } from "./payload.js";
import { picture } from "./pictures.js";

/** What stands for a topic in a line of text: its name, or a small picture when it has no name
 *  of its own. */
export function emblem(view, l, j, n) {
  const { data } = view;
  const topic = data.layers[l].topics[j];
  if (!isPicture(data) || view.names()[keyOf(l, j)]) {
    return h("span", { class: "name" }, view.nameOf(l, j, n));
  }
  const drawn = picture(topic.image, data.shape, rgb(view.root));
  const outline = { outlineColor: topic.color };
  const attributes = { class: "emblem", role: "img", "aria-label": view.nameOf(l, j) };
  return fill(drawn, { ...attributes, style: outline }, []);
}

/** A button that selects a topic. */
export function chip(view, l, j, part) {
  const color = { background: view.colorOf(l, j) };
  return h(
    "button",
    {
      class: "chip",
      type: "button",
      "data-key": keyOf(l, j),
      title: `${callOf(view.data, l, j)}: ${view.nameOf(l, j, 8)}`,
      onclick: () => view.select(l, j),
    },
    isPicture(view.data) ? null : h("i", { style: color }),
    emblem(view, l, j, 2),
    part === undefined ? null : h("span", { class: "quiet num" }, percent(part)),
  );
}
