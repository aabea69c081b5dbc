// The page of a comparison of two models: facing bars, what came back and what did not, errors and
// floors, and the data points that moved.

import { clamp, fitText, h, heading, percent, s, sum, textWidth } from "./elements.js";

const PAGE = 20; // data points on a page of the list
const SLOT = 24; // least height of a bar with its label, in pixels
const NAMES = ["a", "b"];

export function renderComparison(state, el) {
  const view = { state, chosen: null, start: 0 };
  const bars = h("section", { class: "facing", "aria-label": "facing topics" });
  const pairs = h("section", { class: "pairs", "aria-label": "pairs of topics" });
  const errors = h("section", { class: "errors", "aria-label": "errors and floors" });
  const moved = h("section", { class: "moved", "aria-label": "data points that moved" });
  const draw = () => {
    bars.replaceChildren(...drawBars(view, bars.clientWidth || 600));
    pairs.replaceChildren(...drawPairs(view));
    moved.replaceChildren(...drawMoved(view));
  };
  /** Chooses topic j of a side (0, 1), or nothing when it is chosen already. */
  view.choose = (side, j) => {
    const key = document.activeElement?.dataset?.key;
    const isSame = view.chosen && view.chosen[0] === side && view.chosen[1] === j;
    view.chosen = isSame || side === null ? null : [side, j];
    view.start = 0;
    draw();
    if (key) el.querySelector(`[data-key="${key}"]`)?.focus();
  };
  view.turnTo = (start) => {
    const key = document.activeElement?.dataset?.key;
    view.start = start;
    moved.replaceChildren(...drawMoved(view));
    if (key) (moved.querySelector(`[data-key="${key}"]:enabled`) || moved.querySelector("button:enabled"))?.focus();
  };
  errors.append(heading("errors and floors"), drawErrors(view), h("p", { class: "quiet legend" }, JUDGED));
  const head = h(
    "header",
    {},
    h("h1", { class: "heading" }, state.title),
    h("p", { class: "summary" }, `${state.verdict}.`),
    state.note ? h("p", { class: "note" }, state.note) : null,
  );
  const lower = h("div", { class: "two" }, pairs, errors);
  const root = h("div", { class: "nnmf comparison" }, head, bars, lower, state.n ? moved : null);
  root.addEventListener("keydown", (event) => event.key === "Escape" && view.choose(null));
  el.replaceChildren(root);
  draw();
  let drawnWidth = bars.clientWidth;
  new ResizeObserver(() => {
    if (Math.abs(bars.clientWidth - drawnWidth) < 2) return;
    drawnWidth = bars.clientWidth;
    draw();
  }).observe(bars);
}

const JUDGED =
  "Error: length of what is left over, relative to the data; 0 is perfect. Floor: the lowest error " +
  "that any so many topics can have. Captured: what these topics explain, of what any so many can.";

/** Topics of a side in the order of the pairs, those without a partner included. */
const orderOf = ({ pairs }, side) => pairs.map((pair) => pair[side]).filter((j) => j !== null);

const pairOf = ({ pairs }, side, j) => pairs.find((pair) => pair[side] === j);
const nameIn = (state, side, j) => pairOf(state, side, j)[2 + side];

// --- bars ---------------------------------------------------------------------------------------

function drawBars(view, width) {
  const { state } = view;
  const orders = [0, 1].map((side) => orderOf(state, side));
  const many = Math.max(...orders.map((order) => order.length));
  const height = Math.max(260, many * (SLOT + 8));
  const tops = orders.map((order, side) => placesOf(state.heights[side], order, height, many));
  const wide = width > 620;
  const edge = wide ? Math.round(width * 0.3) : Math.round(width * 0.36);
  const xs = [edge, width - edge];
  const svg = s("svg", { width, height: height + 26, role: "img", "aria-label": state.verdict });
  svg.append(...drawRibbons(view, orders, tops, xs, height));
  orders.forEach((order, side) => {
    const title = fitText(state.names[side], edge - 10, 13);
    const anchor = side ? "start" : "end";
    const x = xs[side] + (side ? 14 : -14);
    svg.append(s("text", { class: "side", x, y: 9, "text-anchor": anchor }, title));
    for (const j of order) svg.append(drawBar(view, side, j, tops[side], xs[side], edge));
  });
  const what = state.n ? `part of the ${state.n.toLocaleString("en")} data points` : "share of the reconstruction";
  const says = `height: ${what} · gray: did not come back · number: cosine of the pair · click a topic`;
  return [heading("topics", says), svg];
}

/** For every topic the top of its bar and its height, and where its label stands. */
function placesOf(heights, order, height, many) {
  const gap = 6;
  const room = height - gap * (many - 1);
  const whole = Math.max(sum(heights), 1e-9);
  const slots = order.map((j) => Math.max((heights[j] / whole) * room * 0.98, 2));
  const scale = Math.min(1, room / sum(slots));
  const places = [];
  let top = 24;
  order.forEach((j, n) => {
    places[j] = { top, tall: slots[n] * scale };
    top += slots[n] * scale + gap;
  });
  spreadLabels(order.map((j) => places[j]), 24, height + 24);
  return places;
}

/** Labels at the middles of bars, moved as little as it takes that none covers the next. */
function spreadLabels(places, from, to) {
  let low = from;
  for (const one of places) {
    one.label = Math.max(one.top + one.tall / 2, low + SLOT / 2);
    low = one.label + SLOT / 2;
  }
  let high = to;
  for (const one of [...places].reverse()) {
    one.label = Math.min(one.label, high - SLOT / 2);
    high = one.label - SLOT / 2;
  }
}

function isLit({ chosen }, i, j) {
  return !chosen || (chosen[0] === 0 ? chosen[1] === i : chosen[1] === j);
}

function drawRibbons(view, orders, tops, xs) {
  const { state } = view;
  const used = [orders[0].map(() => 0), orders[1].map(() => 0)].map(() => new Map());
  const paths = [];
  for (const i of orders[0]) {
    for (const j of orders[1]) {
      const part = state.parts[i][j];
      if (!part) continue;
      const ends = [0, 1].map((side) => {
        const topic = side ? j : i;
        const { top, tall } = tops[side][topic];
        const size = (part / Math.max(state.heights[side][topic], 1e-9)) * tall;
        const at = top + (used[side].get(topic) || 0);
        used[side].set(topic, (used[side].get(topic) || 0) + size);
        return [at, at + size];
      });
      if (part < 0.003 && !view.chosen) continue;
      const isPair = pairOf(state, 0, i)[1] === j && pairOf(state, 0, i)[7];
      const middle = (xs[0] + xs[1]) / 2;
      const [[a, b], [c, d]] = ends;
      const curve = `M${xs[0]} ${a}C${middle} ${a} ${middle} ${c} ${xs[1]} ${c}V${d}C${middle} ${d} ${middle} ${b} ${xs[0]} ${b}Z`;
      const fill = isPair ? state.colors[0][i] : "#8a8a8a";
      const look = isLit(view, i, j) ? (isPair ? "lit" : "moves") : "";
      const says = `${percent(part)}: ${nameIn(state, 0, i)} → ${nameIn(state, 1, j)}`;
      paths.push(s("path", { class: `band ${look}`, d: curve, fill }, s("title", {}, says)));
    }
  }
  return paths;
}

function drawBar(view, side, j, tops, x, edge) {
  const { state, chosen } = view;
  const { top, tall, label } = tops[j];
  const pair = pairOf(state, side, j);
  const isPaired = pair[0] !== null && pair[1] !== null;
  const cosine = isPaired ? pair[6] : "no partner";
  const away = side ? 1 : -1;
  const room = edge - 26 - textWidth(cosine, 11);
  const own = chosen && chosen[0] === side && chosen[1] === j;
  const name = fitText(nameIn(state, side, j), Math.max(room, 30));
  const start = x + away * 22;
  const after = start + away * (textWidth(cosine, 11) + 6);
  const anchor = side ? "start" : "end";
  return s(
    "g",
    { class: `node${own ? " selected" : ""}${pair[7] ? "" : " gone"}`, onclick: () => view.choose(side, j) },
    s("title", {}, `${nameIn(state, side, j)}\n${percent(state.heights[side][j])}`),
    s("rect", { class: "hit", x: side ? x : 0, y: label - SLOT / 2, width: edge, height: SLOT }),
    s("rect", { class: "bar", x: side ? x : x - 9, y: top, width: 9, height: tall, fill: state.colors[side][j] }),
    s("path", { class: "link", d: `M${x + away * 10} ${top + tall / 2}L${x + away * 19} ${label}` }),
    s("text", { class: "small", x: start, y: label, "text-anchor": anchor }, cosine),
    s("text", { class: "name", x: after, y: label, "text-anchor": anchor }, name),
  );
}

// --- tables -------------------------------------------------------------------------------------

/** The pairs: what came back, then what did not. */
function drawPairs(view) {
  const { state, chosen } = view;
  const cell = (side, j, name) => {
    if (j === null) return h("td", { class: "quiet" }, "—");
    const isOn = Boolean(chosen && chosen[0] === side && chosen[1] === j);
    const press = { type: "button", "data-key": `${NAMES[side]}${j}`, "aria-pressed": String(isOn) };
    const swatch = h("i", { class: "swatch", style: { background: state.colors[side][j] } });
    return h("td", {}, h("button", { ...press, onclick: () => view.choose(side, j) }, swatch, h("span", {}, name)));
  };
  const row = ([a, b, nameA, nameB, , , cosine, back]) =>
    h(
      "tr",
      { class: back ? null : "gone" },
      cell(0, a, nameA),
      cell(1, b, nameB),
      h("td", { class: "num" }, a === null || b === null ? "" : cosine),
    );
  const table = (title, rows) => {
    if (!rows.length) return [];
    const head = [...state.names, "cosine"].map((one) => h("th", { scope: "col" }, one));
    const body = h("tbody", {}, rows.map(row));
    const inner = h("table", {}, h("thead", {}, h("tr", {}, head)), body);
    const wide = { class: "wide", tabindex: 0, role: "region", "aria-label": title };
    return [heading(title), h("div", wide, inner)];
  };
  const isBack = (pair) => pair[7];
  return [
    ...table(`came back (cosine of at least ${state.least})`, state.pairs.filter(isBack)),
    ...table("did not come back", state.pairs.filter((pair) => !isBack(pair))),
  ];
}

function drawErrors({ state }) {
  const head = ["model", "level", "topics", "error", "floor", "captured"];
  const shown = (value) => (value === null ? "—" : value.toFixed(3));
  const row = ([name, depth, rank, error, floor, captured]) =>
    h(
      "tr",
      {},
      [name, depth, rank].map((one) => h("td", {}, String(one))),
      [shown(error), shown(floor), captured === null ? "—" : percent(captured)].map((one) =>
        h("td", { class: "num" }, one),
      ),
    );
  const cells = head.map((one) => h("th", { scope: "col" }, one));
  const table = h("table", {}, h("thead", {}, h("tr", {}, cells)), h("tbody", {}, state.errors.map(row)));
  return h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "errors" }, table);
}

/** Data points whose largest topics are no pair that came back; of the chosen topic only. */
function drawMoved(view) {
  const { state, chosen } = view;
  const rows = chosen ? state.moved.filter((one) => one[1 + chosen[0]] === chosen[1]) : state.moved;
  const start = clamp(view.start, 0, Math.max(rows.length - 1, 0));
  const shown = rows.slice(start, start + PAGE);
  const topic = (side, j) => [
    h("i", { class: "swatch", style: { background: state.colors[side][j] } }),
    h("span", {}, nameIn(state, side, j)),
  ];
  const row = ([name, a, b]) =>
    h("li", {}, h("span", { class: "point", title: name }, name), h("span", { class: "from" }, topic(0, a)), h("span", { class: "to" }, topic(1, b)));
  const button = (text, to, can) =>
    h("button", { class: "plain", type: "button", "data-key": text, disabled: !can, onclick: () => view.turnTo(to) }, text);
  const last = start + shown.length;
  const range = `${(start + 1).toLocaleString("en")}–${last.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
  const many = rows.length > PAGE;
  const count = `${rows.length.toLocaleString("en")} of ${state.n.toLocaleString("en")}`;
  const of = chosen ? ` with “${nameIn(state, ...chosen)}” of ${state.names[chosen[0]]}` : "";
  return [
    heading("data points that moved"),
    h("p", { class: "quiet", role: "status" }, `${count} data points${of} have another topic in ${state.names[1]}, or one that did not come back.`),
    chosen ? h("button", { class: "tab", type: "button", "data-key": "all", onclick: () => view.choose(null) }, "show those of all topics") : null,
    h("ol", {}, shown.map(row)),
    many ? h("div", { class: "pager" }, button("previous", start - PAGE, start > 0), h("span", { class: "quiet num" }, range), button("next", start + PAGE, last < rows.length)) : null,
  ].filter(Boolean);
}
