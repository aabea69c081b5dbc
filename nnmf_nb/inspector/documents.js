// The pane of documents: examples of the chosen topic, all its documents, what a search found, what
// was chosen on the map, or the one that was opened there.

import { h, heading, pane } from "./elements.js";
import { drawExample } from "./examples.js";
import { levelName } from "./payload.js";
import { PAGE_SIZE } from "./store.js";

export function documentsPane(view) {
  const { data, guard, store } = view;
  const unit = data.unit;
  const element = pane("documents", `${unit}s`);
  const controls = h("div", { class: "listing" });
  const said = h("p", { class: "quiet said", role: "status" });
  const list = h("ol", {});
  const pager = h("div", { class: "pager" });
  const shown = { mode: "examples", before: "examples", order: "share", start: 0 };
  let latest = 0;
  const points = view.editing ? [view.editing.drawPointTools()] : [];
  element.append(heading(`${unit}s`), controls, ...points, said, list, pager);

  function draw() {
    latest += 1;
    view.editing?.drawPointTools();
    drawControls();
    if (shown.mode === "examples") drawExamples();
    else ask(latest);
  }

  function follow() {
    shown.start = 0;
    draw();
  }

  /** A search shows what it finds; without one the list that was there before comes back. */
  function search() {
    const query = view.state.query.trim();
    if (query && shown.mode !== "found") shown.before = shown.mode;
    shown.mode = query && store ? "found" : shown.before;
    follow();
  }

  function choose(mode) {
    shown.mode = mode;
    if (mode !== "found") shown.before = mode;
    follow();
  }

  /** Other data points are shown. Examples are of all data, so they give way to a list. */
  function filter() {
    const { bins } = view.points;
    const isGone = shown.mode === "chosen" && !view.points.chosen().length;
    const isNew = view.points.chosen().length && String(view.points.chosen()) !== shown.chosen;
    shown.chosen = String(view.points.chosen());
    if (isNew) shown.mode = "chosen";
    else if (isGone || (bins && shown.mode === "examples")) shown.mode = "all";
    follow();
  }

  /** Shows data point m alone, with its text; by keys the focus goes there. */
  function open(m, focus = false) {
    shown.only = m;
    shown.focus = focus;
    choose("one");
  }

  function showOpened() {
    const row = list.querySelector(".example");
    if (shown.mode !== "one" || !row) return;
    row.querySelector(".read")?.click();
    row.scrollIntoView({ block: "nearest" });
    if (shown.focus) (row.querySelector(".read") || row.querySelector("button"))?.focus();
    shown.focus = false;
  }

  function drawControls() {
    const modes = [["all", `all of this ${levelName(data, view.selected()[0])}`]];
    if (!view.points.bins) modes.unshift(["examples", "examples"]);
    if (view.points.chosen().length) modes.push(["chosen", "chosen on the map"]);
    if (shown.mode === "one") modes.push(["one", "opened on the map"]);
    if (view.state.query.trim()) modes.push(["found", "found by the search"]);
    const tab = ([mode, text]) =>
      h("button", { class: "tab", type: "button", "data-mode": mode, "aria-pressed": String(mode === shown.mode), onclick: guard(() => choose(mode)) }, text);
    const focused = controls.contains(document.activeElement) ? document.activeElement.dataset.mode : null;
    const parts = store ? modes.map(tab) : [];
    if (!["examples", "one"].includes(shown.mode)) parts.push(drawOrder(), drawChoose());
    controls.replaceChildren(...parts);
    if (focused) controls.querySelector(`[data-mode="${focused}"]`)?.focus();
  }

  function drawOrder() {
    const option = ([value, text]) => h("option", { value, selected: value === shown.order }, text);
    const orders = [["share", "largest share first"], ["data", "as in the data"]];
    const select = h("select", { "aria-label": "order", "data-mode": "order" }, orders.map(option));
    select.addEventListener(
      "change",
      guard(() => {
        shown.order = select.value;
        follow();
      }),
    );
    return select;
  }

  /** What the list has, without its pages, becomes what is chosen on the map. */
  function drawChoose() {
    const press = () =>
      store.numbers(wantedNow()).then(
        guard((numbers) => view.points.choose(numbers)),
        (error) => {
          said.textContent = error.message;
        },
      );
    const attributes = { class: "plain", type: "button", "data-mode": "choose", onclick: guard(press) };
    return h("button", attributes, "choose these on the map");
  }

  function drawExamples() {
    const [l, j] = view.selected();
    const points = data.layers[l].topics[j].points;
    const from = l > 0 ? `, from all parts of the ${levelName(data, l)}` : "";
    const none = `No ${unit} has this ${levelName(data, l)}.`;
    wait(false);
    said.textContent = points.length ? `Those in which it is strongest${from}.` : none;
    list.replaceChildren(...points.map(([m]) => drawExample(view, exampleOf(view, m, l), l, j)));
    pager.replaceChildren();
  }

  function wantedNow() {
    const [layer, topic] = view.selected();
    const query = shown.mode === "found" ? view.state.query : "";
    const wanted = { layer, topic, query, order: shown.order, start: shown.start };
    if (shown.mode === "one") return { ...wanted, only: shown.only };
    return { ...wanted, chosen: shown.mode === "chosen", bins: view.points.bins };
  }

  function ask(own) {
    const wanted = wantedNow();
    const { layer, topic, query } = wanted;
    const show = guard((found) => {
      if (own !== latest) return;
      wait(false);
      said.replaceChildren(...headline(found, query, layer));
      list.replaceChildren(...found.rows.map((row) => drawExample(view, row, layer, topic)));
      drawPager(found);
      showOpened();
      if (query) view.showFound(found.total + found.copies);
    });
    wait(true);
    store.list(wanted).then(show, (error) => {
      if (own === latest) said.textContent = error.message;
      error.late?.then(show);
    });
  }

  /** The rows of another list take no clicks, which would be lost when the new one comes. */
  function wait(isWaiting) {
    list.inert = isWaiting;
    list.setAttribute("aria-busy", String(isWaiting));
  }

  /** How many there are, and what a search does not see. */
  function headline({ total, copies, main }, query, l) {
    const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
    const folded = copies ? ` + ${count(copies, "near copy").replace("copys", "copies")}` : "";
    const name = levelName(data, l);
    const bins = view.points.describeBins();
    const within = bins ? ` of ${bins}` : "";
    if (shown.mode === "one") return ["Opened on the map."];
    if (shown.mode === "chosen") return [`${count(total, unit)}${folded}${within}, chosen on the map.`];
    if (!query) {
      return [`${count(total, unit)}${folded}${within} with at least 4% of it; in ${main.toLocaleString("en")} it is the largest ${name}.`];
    }
    const order = shown.order === "share" ? `, those with most of this ${name} first` : "";
    return [`${count(total, unit)}${folded}${within} with “${query.trim()}”${total ? order : ""}. `, h("span", { class: "seen" }, `Searched: ${store.searched}.`)];
  }

  function drawPager({ total, start, rows }) {
    const move = (to) => guard(() => {
      shown.start = to;
      draw();
    });
    const button = (text, to, can) =>
      h("button", { class: "plain", type: "button", disabled: !can, "data-page": text, onclick: move(to) }, text);
    const last = start + rows.length;
    const inside = pager.contains(document.activeElement) ? document.activeElement.dataset.page : null;
    const range = `${(start + 1).toLocaleString("en")}–${last.toLocaleString("en")} of ${total.toLocaleString("en")}`;
    pager.replaceChildren(
      ...(total > PAGE_SIZE
        ? [button("previous", start - PAGE_SIZE, start > 0), h("span", { class: "quiet num" }, range), button("next", start + PAGE_SIZE, last < total)]
        : []),
    );
    if (!inside) return;
    const same = pager.querySelector(`[data-page="${inside}"]:enabled`);
    (same || pager.querySelector("button:enabled"))?.focus();
  }

  return { element, draw, follow, search, filter, open, list: choose };
}

/** An example of the payload as a list has its rows. */
function exampleOf({ data }, m, l) {
  const point = data.points[m];
  return { ...point, m: Number(m), shares: point.shares[l], main: point.main?.[l], copies: [] };
}
