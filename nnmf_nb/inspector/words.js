// The card of a word: how much of it goes to which topic of the level that is shown.

import { emblem } from "./chips.js";
import { h, percent, sum } from "./elements.js";
import { levelNames } from "./payload.js";

const TOPICS_OF_WORD = 6; // topics that are listed

/** `over` shows a word while the mouse or the focus is on it, `choose` until another is chosen;
 *  `search` what a search means by its words. */
export function wordCard(view) {
  const hint = "Point at a word, or search one: how much of it goes to which topic.";
  const element = h("div", { class: "word", role: "group", "aria-label": "a word" });
  let chosen = null; // [name, number]
  let passing = null;
  let likely = [];
  let unknown = "";
  let latest = 0;

  function draw() {
    const word = passing || chosen;
    const [l] = view.selected();
    latest += 1;
    const own = latest;
    if (!word || !view.store) {
      element.replaceChildren(h("p", { class: "quiet" }, unknown || (view.store ? hint : "")));
      return;
    }
    view.store.word(word[1], l).then(
      view.guard((parts) => own === latest && show(word, parts, l)),
      () => own === latest && element.replaceChildren(),
    );
  }

  function show(word, parts, l) {
    const others = likely.filter(([, i]) => i !== word[1]);
    element.replaceChildren(
      h("h3", {}, h("b", {}, word[0]), h("span", { class: "quiet" }, " goes to")),
      drawPartsOfWord(view, parts, l),
      ...(others.length && !passing ? [drawOthers(others)] : []),
    );
  }

  const drawOthers = (others) =>
    h("p", { class: "others" }, h("span", { class: "quiet" }, "also "), others.map(drawOther));
  const drawOther = (word) =>
    h("button", { class: "chip", type: "button", onclick: () => choose(word) }, word[0]);

  function choose(word) {
    chosen = word;
    passing = null;
    draw();
  }

  function over(word) {
    passing = word;
    draw();
  }

  /** What a search means; the number of words that it found. */
  async function search(query) {
    passing = null;
    likely = query.trim() ? await view.store.words(query) : [];
    chosen = likely[0] || null;
    unknown = likely.length || !query.trim() ? "" : `“${query.trim()}” is in no word of the model.`;
    draw();
    return likely.length;
  }

  return { element, draw, choose, over, search };
}

/** The largest parts of a word with numbers and widths; all together 100%. */
function drawPartsOfWord(view, parts, l) {
  const shown = parts.slice(0, TOPICS_OF_WORD);
  const rest = 100 - sum(shown.map(([, part]) => Math.round(100 * part)));
  const row = (part, color, name) =>
    h(
      "li",
      {},
      h("span", { class: "num" }, percent(part)),
      h("span", { class: "track" }, h("i", { style: { width: `${100 * part}%`, ...color } })),
      name,
    );
  const topic = ([j, part]) => {
    const attributes = { type: "button", "data-key": `${l},${j}` };
    attributes.onclick = () => view.select(l, j);
    const name = h("button", attributes, emblem(view, l, j, 3));
    return row(part, { background: view.colorOf(l, j) }, name);
  };
  const others = rest > 0 && shown.length ? row(rest / 100, {}, `all other ${levelNames(view.data, l)}`) : null;
  const none = h("li", { class: "quiet" }, "the model never says it");
  return h("ul", {}, shown.length ? shown.map(topic) : none, others);
}
