// A topic of a tensor: one card for each mode, with bars or a line.

import { drawFeatures } from "./features.js";
import { h } from "./elements.js";
import { curve, peakPlaces } from "./pictures.js";

/** Draws the cards of all modes; lists of bars are kept in `lists` from one choice to the next. */
export function drawModes(view, topic, lists) {
  let first = 0;
  return view.data.modes.map((mode, m) => {
    const part = topic.modes[m];
    if (part.image !== undefined) return drawLine(mode, part, topic);
    lists[m] ||= h("div", { class: "features" });
    first += drawFeatures(view, lists[m], part, first).length;
    const shown = part.features.length < mode.size ? `strongest of ${mode.size.toLocaleString("en")}` : "";
    return card(mode, shown, lists[m]);
  });
}

/** Redraws the bars of all modes, for another place of the slider or another search. */
export function redrawModes(view, topic, lists) {
  let first = 0;
  topic.modes.forEach((part, m) => {
    if (part.features) first += drawFeatures(view, lists[m], part, first).length;
  });
}

const card = (mode, note, ...body) =>
  h(
    "section",
    { class: "mode", "aria-label": mode.title },
    h("h3", {}, mode.title, note ? h("span", { class: "quiet" }, ` ${note}`) : null),
    body,
  );

function drawLine(mode, part, topic) {
  const { names, axis } = mode;
  const tops = topic.dead ? "" : peakPlaces(part.image, 3).map((n) => names[n]).join(", ");
  const says = `${mode.title}: a line with peaks at ${tops}`;
  return card(
    mode,
    tops ? `peak${tops.includes(", ") ? "s" : ""} at ${tops}` : "",
    h(
      "div",
      { class: "spectrum" },
      h("div", { class: "plot", role: "img", "aria-label": says }, curve(part.image, axis, topic.color)),
      h("div", { class: "x num" }, h("span", {}, names[0]), h("span", {}, names[names.length - 1])),
    ),
  );
}
