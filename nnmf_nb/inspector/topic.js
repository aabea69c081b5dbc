// The pane of the selected topic: its name, its kin, its strongest features.

import { chip } from "./chips.js";
import { fill, h, heading, keyOf, pane, percent, rgb } from "./elements.js";
import { drawFeatures } from "./features.js";
import { drawModes, redrawModes } from "./modes.js";
import { callOf, isCurve, label, levelName } from "./payload.js";
import { curve, peaks, picture } from "./pictures.js";
import { wordCard } from "./words.js";

export function topicPane(view) {
  const { data, state, guard } = view;
  const element = pane("topic", "topic");
  const features = h("div", { class: data.modes ? "modes" : "features" });
  const lists = {}; // the bars of each mode of a tensor
  const slider = drawSlider(view, () => drawBars());
  const card = wordCard(view);
  const control = h(
    "label",
    { class: "slider", title: SLIDER },
    h("span", {}, "distinctive"),
    slider,
    h("span", {}, "frequent"),
  );

  function draw() {
    const [l, j] = view.selected();
    const topic = data.layers[l].topics[j];
    const facts = h(
      "p",
      { class: "quiet num facts" },
      `${callOf(data, l, j)} · ${percent(topic.share)} of the whole`,
      topic.dead ? h("span", { class: "flag" }, " · dead: explains nothing") : null,
    );
    const title = state.renaming ? drawRenaming(view, l, j) : drawTitle(view, l, j);
    const tools = view.editing?.drawTopicTools(l, j);
    const kin = drawKin(view, l, j);
    const parts = [heading(levelName(data, l)), title, facts, ...(tools ? [tools] : []), kin];
    element.replaceChildren(...parts, ...drawBody(topic));
    if (data.shape || topic.dead) return;
    if (!data.modes) drawBars();
    card.draw();
  }

  function drawBars() {
    const [l, j] = view.selected();
    const topic = data.layers[l].topics[j];
    if (data.modes) {
      redrawModes(view, topic, lists);
      return;
    }
    const shown = drawFeatures(view, features, topic);
    view.editing?.drawCrosses(shown.map((i) => data.features[i]));
  }

  function drawBody(topic) {
    if (isCurve(data)) return [drawSpectrum(data, topic)];
    if (data.shape) return [drawFactor(view, topic)];
    if (topic.dead) return [];
    if (data.modes) {
      features.replaceChildren(...drawModes(view, topic, lists));
      const bars = topic.modes.some((part) => part.features);
      return [bars ? control : null, features, bars ? drawLegend(data, topic) : null, card.element].filter(Boolean);
    }
    const wordTools = view.editing?.drawWordTools(...view.selected());
    const list = view.editing ? h("div", { class: "with-crosses" }, features, view.editing.crosses) : features;
    return [control, list, drawLegend(data, topic), ...(wordTools ? [wordTools] : []), card.element];
  }

  listenForWords(view, features, card);
  view.editName = guard(() => {
    state.renaming = true;
    draw();
    const input = element.querySelector(".title input");
    input.focus();
    input.select();
  });
  view.nameEdited = () => {
    draw();
    element.querySelector(".rename").focus();
  };
  return { element, draw, follow: draw, search: draw, words: data.shape ? null : card };
}

const SLIDER =
  "right: features by their share of the topic; left: by how much more the topic uses them than " +
  "all data do";

/** The word under the mouse or the focus has its card; a click keeps it. Arrows go from word to
 *  word. */
function listenForWords(view, features, card) {
  const { data, guard } = view;
  const wordAt = (event) => {
    const row = event.target.closest?.(".feature");
    if (!row) return null;
    const i = Number(row.dataset.key.split(",")[2]);
    return [data.features[i], data.numbers[i]];
  };
  let last = null;
  const over = guard((event) => {
    const word = event.type === "mouseleave" || event.type === "focusout" ? null : wordAt(event);
    if (word?.[1] === last?.[1]) return;
    last = word;
    card.over(word);
  });
  for (const event of ["mouseover", "mouseleave", "focusin", "focusout"]) {
    features.addEventListener(event, over);
  }
  features.addEventListener(
    "click",
    guard((event) => wordAt(event) && card.choose(wordAt(event))),
  );
  features.addEventListener(
    "keydown",
    guard((event) => {
      if (view.editing && ["x", "Delete", "Backspace"].includes(event.key) && wordAt(event)) {
        event.preventDefault();
        view.editing.crossOut(...view.selected(), wordAt(event)[0]);
        return;
      }
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      const rank = Number(event.target.dataset.rank) + step;
      features.querySelector(`[data-rank="${rank}"]`)?.focus();
    }),
  );
}

function drawSlider(view, follow) {
  const attributes = { type: "range", min: 0, max: 1, step: 0.1, value: 1 };
  attributes["aria-label"] = "relevance: from distinctive to frequent";
  const slider = h("input", attributes);
  slider.addEventListener(
    "input",
    view.guard(() => {
      view.state.lambda = Number(slider.value);
      follow();
    }),
  );
  return slider;
}

// --- the name -----------------------------------------------------------------------------------

const swatch = (view, l, j) =>
  h("span", { class: "swatch", style: { background: view.colorOf(l, j) } });

function drawTitle(view, l, j) {
  const press = { class: "plain rename", type: "button", onclick: () => view.editName() };
  const name = h("h3", {}, view.nameOf(l, j));
  return h("div", { class: "title" }, swatch(view, l, j), name, h("button", press, "rename"));
}

function drawRenaming(view, l, j) {
  const says = "name of the topic; empty for its features";
  const input = h("input", { type: "text", maxlength: 80, "aria-label": says });
  input.value = view.names()[keyOf(l, j)] || "";
  input.placeholder = label(view.data, {}, l, j);
  const finish = view.guard((keep) => {
    if (!view.state.renaming) return;
    view.state.renaming = false;
    if (keep) view.rename(l, j, input.value.trim());
    view.nameEdited();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault(); // or the key would press the button that gets the focus
    event.stopPropagation();
    finish(event.key === "Enter");
  });
  input.addEventListener("blur", () => finish(true));
  return h("div", { class: "title" }, swatch(view, l, j), input);
}

// --- kin ----------------------------------------------------------------------------------------

function drawKin(view, l, j) {
  const topic = view.data.layers[l].topics[j];
  const up = view.kin.parents[l][j];
  const down = view.kin.children[l][j].filter(([, , part]) => part >= 0.01).slice(0, 8);
  const rows = [
    ["belongs to", "quiet", up.map(([i, part]) => chip(view, l + 1, i, part))],
    ["made of", "quiet", down.map(([i, , part]) => chip(view, l - 1, i, part))],
    ["speaks for", "quiet", (topic.classes || []).map(drawClass)],
    ["duplicate of", "flag", topic.twins.map((i) => chip(view, l, i))],
  ].filter(([, , chips]) => chips.length);
  const drawn = rows.map(([what, kind, chips]) => [
    h("span", { class: kind }, what),
    h("div", {}, chips),
  ]);
  return h("div", { class: "kin" }, drawn);
}

function drawClass([name, part]) {
  const title = `${percent(part)} of what this topic adds to the scores of classes`;
  const share = h("span", { class: "quiet num" }, percent(part));
  return h("span", { class: "chip class", title }, h("span", { class: "name" }, name), share);
}

// --- features -----------------------------------------------------------------------------------

function drawLegend(data, topic) {
  const key = (name, color, text) => h("span", {}, h("i", { class: name, style: color }), text);
  return h(
    "p",
    { class: "legend" },
    key("", { background: topic.color }, "share of the topic"),
    key("ghost", {}, `share of ${data.reference}`),
  );
}

// --- pictures and curves ------------------------------------------------------------------------

function drawFactor(view, topic) {
  const canvas = picture(topic.image, view.data.shape, rgb(view.root));
  const attributes = { class: "factor", role: "img", "aria-label": "the topic as a picture" };
  return fill(canvas, { ...attributes, style: { borderColor: topic.color } }, []);
}

function drawSpectrum(data, topic) {
  const tops = peaks(topic.image, data.axis).join(", ");
  const says = `the topic as a curve with peaks at ${tops}`;
  const plot = curve(topic.image, data.axis, topic.color);
  return h(
    "div",
    { class: "spectrum" },
    h("div", { class: "plot", role: "img", "aria-label": says }, plot),
    h(
      "div",
      { class: "x num" },
      data.ends.map((end) => h("span", {}, end)),
    ),
    h("p", { class: "legend" }, topic.dead ? "" : `peaks at ${tops}`),
  );
}
