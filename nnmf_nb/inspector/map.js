// The map: every data point is a dot, dots of alike topics lie together. Dots have the color of
// their largest topic, or say how much there is of the chosen one; a lasso chooses data points.

import { between, channels, crowding, densestPlaces, dotBeside, drawDots } from "./dots.js";
import { fullColor, insideOf, nearestDot } from "./dots.js";
import { clamp, fitText, h, keyOf, rgb, s, sum, textWidth } from "./elements.js";
import { chosenCard, dotCard, emptyCard } from "./cards.js";
import { isPicture, levelName, levelNames } from "./payload.js";
import { pictureAddress } from "./pictures.js";

const HEAT = 50; // percent of a topic at which its color is full
const LABEL = 12; // height of letters in pixels
const SWATCH = 8; // side of the square before a label
const PICTURE = 26; // side of the picture of a topic in place of that square
const FADING = 34; // pixels from a pointer at which a label fades
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function mapPane(view) {
  const { data, guard, points } = view;
  const state = { zoom: 1, x: 0.5, y: 0.5, mode: "lasso", at: -1, path: null, hits: null };
  const canvas = h("canvas", { "aria-hidden": "true" });
  const over = s("svg", { class: "over", "aria-hidden": "true" });
  const unit = `${data.unit}s`;
  const dots = h(
    "div",
    {
      class: "dots",
      tabindex: 0,
      role: "application",
      "aria-label": `map of all ${unit}; arrows move from dot to dot, Enter opens, Space chooses`,
    },
    canvas,
    over,
  );
  const tools = h("div", { class: "listing" });
  const said = h("p", { class: "quiet placing", role: "status" });
  const marked = h("p", { class: "quiet placing", role: "status" });
  const spot = h("div", { class: "spot", role: "status" }, emptyCard(view));
  const choice = h("div", { class: "choice" });
  const element = h(
    "details",
    { class: "map", open: !view.hasKernel },
    h("summary", {}, `Map of all ${data.size.toLocaleString("en")} ${unit}`),
    tools,
    h(
      "div",
      { class: "atlas" },
      h("div", { class: "sheet" }, dots, drawKeys()),
      h("div", { class: "beside" }, said, marked, spot, choice),
    ),
  );
  const place = { width: 0, height: 0, ratio: 1, xs: null, ys: null, radius: 1 };
  let drawnWidth = 0;

  function drawKeys() {
    const keys = [["← ↑ → ↓", "next dot"], ["Enter", "read"], ["Space", "choose"], ["+ −", "zoom"]];
    const hints = keys.flatMap(([key, what]) => [h("kbd", {}, key), ` ${what}   `]);
    return h("div", { class: "hints" }, h("p", { class: "keys" }, hints));
  }

  // --- what is drawn ----------------------------------------------------------------------------

  function draw() {
    drawTools();
    if (!element.open) return;
    if (points.isReady()) {
      measure();
      paint();
      drawChoice();
      return;
    }
    if (!said.textContent) said.textContent = `Placing ${data.size.toLocaleString("en")} ${unit} …`;
    points.load().then(
      guard(() => {
        said.textContent = "";
        draw();
      }),
      (error) => {
        said.textContent = error.message;
      },
    );
  }

  function drawTools() {
    const [l] = view.selected();
    const focused = tools.contains(document.activeElement) ? document.activeElement.dataset.tool : null;
    const tab = (name, text, isOn, press, title) =>
      h(
        "button",
        {
          class: "tab",
          type: "button",
          "data-tool": name,
          "aria-pressed": isOn === null ? null : String(isOn),
          "aria-label": title,
          onclick: guard(press),
        },
        text,
      );
    const color = (heat) => () => {
      view.state.heat = heat;
      draw();
      view.panes.river.draw();
    };
    const mode = (name) => () => {
      state.mode = name;
      dots.classList.add("touched"); // from now on a finger draws, and does not scroll the page
      drawTools();
    };
    const levels = data.layers.length > 1 ? [...data.layers.keys()].reverse() : [];
    const level = (m) => {
      const text = data.layers.length > 2 ? `level ${m}` : levelNames(data, m);
      return tab(`level ${m}`, text, m === l, () => view.climb(m));
    };
    const groups = [
      levels.length ? group("level of the map", "show", levels.map(level), "level") : null,
      group("color of the dots", "color", [
        tab("all", `all ${levelNames(data, l)}`, !view.state.heat, color(false)),
        tab("heat", `the chosen ${levelName(data, l)}`, view.state.heat, color(true)),
      ]),
      group("what dragging does", "drag", [
        tab("lasso", "lasso", state.mode === "lasso", mode("lasso")),
        tab("move", "move", state.mode === "move", mode("move")),
      ]),
      group("zoom", "zoom", [
        tab("in", "+", null, () => zoom(1.5), "zoom in"),
        tab("out", "−", null, () => zoom(1 / 1.5), "zoom out"),
        tab("whole", "all", null, () => zoom(0), "all of the map"),
      ]),
    ];
    tools.replaceChildren(...groups.filter(Boolean));
    dots.dataset.mode = state.mode;
    if (focused) tools.querySelector(`[data-tool="${focused}"]`)?.focus();
  }

  const group = (title, text, buttons, name = "") =>
    h(
      "div",
      { class: `levels ${name}`, role: "group", "aria-label": title },
      h("span", { class: "quiet" }, text),
      buttons,
    );

  function measure() {
    const { n, x, y } = points.loaded;
    place.width = Math.max(dots.clientWidth, 200);
    const most = view.isAbreast ? 620 : 540;
    place.height = Math.round(clamp((view.isAbreast ? 1.12 : 0.64) * place.width, 260, most));
    place.ratio = Math.min(2, window.devicePixelRatio || 1);
    drawnWidth = place.width;
    dots.style.height = `${place.height}px`;
    canvas.width = Math.round(place.width * place.ratio);
    canvas.height = Math.round(place.height * place.ratio);
    over.setAttribute("viewBox", `0 0 ${place.width} ${place.height}`);
    place.background = getComputedStyle(dots).backgroundColor.match(/\d+/g).slice(0, 3).map(Number);
    place.gray = between(place.background, rgb(dots), 0.2);
    place.frame ||= { left: smallest(x), right: greatest(x), top: smallest(y), bottom: greatest(y) };
    const { left, right, top, bottom } = place.frame;
    const across = (place.width - 24) / Math.max(right - left, 1);
    const down = (place.height - 24) / Math.max(bottom - top, 1);
    place.scale = state.zoom * Math.min(across, down);
    place.left = place.width / 2 - (left + state.x * (right - left)) * place.scale;
    place.top = place.height / 2 - (top + state.y * (bottom - top)) * place.scale;
    place.xs = Float32Array.from(x, (one) => one * place.scale + place.left);
    place.ys = Float32Array.from(y, (one) => one * place.scale + place.top);
    const room = 0.36 * Math.sqrt((place.width * place.height) / n);
    place.radius = clamp(room * state.zoom ** 0.55, 1.1, 5) * place.ratio;
  }

  /** Dots that are not shown are gray and lie below the others. */
  function paint() {
    const [l, j] = view.selected();
    const visible = points.visible();
    const { background, gray } = place;
    const shown = [];
    const others = [];
    for (let m = 0; m < visible.length; m++) (visible[m] ? shown : others).push(m);
    const isFew = shown.length < points.loaded.n;
    const grow = clamp((points.loaded.n / Math.max(shown.length, 1)) ** 0.2, 1, 1.8);
    const radius = Math.min(place.radius * grow, 6 * place.ratio);
    const layers = [{ points: others, colorOf: () => 0, colors: [gray], radius: place.radius * 0.9 }];
    const colored = { radius: isFew ? radius : place.radius, ...coloring(l, j, shown, gray) };
    layers.push(colored, ...markedDots(colored, visible));
    const { xs, ys, ratio } = place;
    const scaled = ratio === 1 ? [xs, ys] : [xs, ys].map((one) => one.map((value) => value * ratio));
    drawDots(canvas, background, layers, ...scaled);
    dots.dataset.drawn = `${l},${view.state.heat ? j : "all"}`;
    drawOver(visible);
  }

  /** Dots that a search found lie on top, larger and with an edge. */
  function markedDots(colored, visible) {
    const hits = (state.hits || []).filter((m) => visible[m]);
    const radius = Math.max(colored.radius, 1.6 * place.ratio) + 0.6 * place.ratio;
    const edge = { points: hits, colorOf: () => 0, colors: [rgb(dots)] };
    return [
      { ...edge, radius: radius + 1.6 * place.ratio },
      { ...colored, points: hits, radius },
    ];
  }

  function coloring(l, j, shown, gray) {
    const { n, mains, shares } = points.loaded;
    if (!view.state.heat) {
      const colors = data.layers[l].topics.map((topic) => channels(topic.color));
      return { points: shown, colorOf: (m) => mains[l][m], colors: [...colors, gray] };
    }
    const full = fullColor(channels(view.colorOf(l, j)));
    const strong = between(full, rgb(dots), 0.25);
    const colors = Array.from({ length: 101 }, (_, part) => {
      const heat = Math.min(part / HEAT, 1);
      return heat < 1 ? between(gray, full, part ? 0.25 + 0.75 * heat : 0) : strong;
    });
    const column = shares[l].subarray(j * n, (j + 1) * n);
    const order = Array.from({ length: 101 }, () => []);
    for (const m of shown) order[column[m]].push(m); // the strongest on top
    return { points: order.flat(), colorOf: (m) => column[m], colors };
  }

  /** Labels, the lasso, and the dot that is pointed at. */
  function drawOver(visible = points.visible()) {
    const parts = [...drawLabels(visible)];
    if (state.path) parts.push(s("polygon", { class: "lasso", points: state.path.join(" ") }));
    if (state.at >= 0) {
      const ring = { cx: place.xs[state.at], cy: place.ys[state.at] };
      parts.push(s("circle", { class: "halo", ...ring, r: 8 }));
      parts.push(s("circle", { class: "ring", ...ring, r: 8 }));
    }
    over.replaceChildren(...parts);
  }

  function drawLabels(visible) {
    const [l, chosen] = view.selected();
    const k = data.layers[l].topics.length;
    const { xs, ys, width, height } = place;
    const isFewer = points.bins || points.chosen().length;
    const key = [l, width, height, state.zoom, state.x, state.y, points.version()].join();
    if (place.labelKey !== key) {
      place.spots = densestPlaces(xs, ys, points.loaded.mains[l], visible, k, width, height);
      place.coveredBy = crowding(xs, ys, visible, width, height, (2 * place.radius) / place.ratio);
      place.labelKey = key;
    }
    const few = isFewer ? 0.02 * sum(place.spots.map((spot) => (spot ? spot[2] : 0))) : 0;
    const order = [...data.layers[l].topics.keys()].filter((j) => place.spots[j]?.[2] > few);
    const first = (j) => (view.state.heat && j === chosen ? Infinity : place.spots[j][2]);
    order.sort((a, b) => first(b) - first(a));
    const boxes = [];
    const pointed = state.at < 0 ? null : [xs[state.at], ys[state.at]];
    return order.flatMap((j) => drawMapLabel(view, l, j, place, boxes, pointed));
  }

  function drawChoice() {
    choice.replaceChildren(...chosenCard(view));
  }

  // --- what is pointed at -----------------------------------------------------------------------

  let latest = 0;

  function point(m) {
    if (m === state.at) return;
    state.at = m;
    drawOver();
    dotCard(view, m, view.state.heat, spot, () => state.at === m, (latest += 1));
  }

  const at = (event) => {
    const box = dots.getBoundingClientRect();
    return [event.clientX - box.left - dots.clientLeft, event.clientY - box.top - dots.clientTop];
  };
  const under = ([x, y], most = 14) => nearestDot(place.xs, place.ys, points.visible(), x, y, most);

  function zoom(factor, [x, y] = [place.width / 2, place.height / 2]) {
    if (!points.isReady()) return;
    const { left, right, top, bottom } = place.frame;
    const [wide, tall] = [Math.max(right - left, 1), Math.max(bottom - top, 1)];
    const before = [(x - place.left) / place.scale, (y - place.top) / place.scale];
    const scale = place.scale / state.zoom;
    state.zoom = factor ? clamp(state.zoom * factor, 1, 40) : 1;
    if (state.zoom === 1) [state.x, state.y] = [0.5, 0.5];
    else {
      state.x = (before[0] - (x - place.width / 2) / (scale * state.zoom) - left) / wide;
      state.y = (before[1] - (y - place.height / 2) / (scale * state.zoom) - top) / tall;
    }
    state.path = null;
    measure();
    paint();
  }

  function pan(right, down) {
    const { left, right: end, top, bottom } = place.frame;
    state.x = clamp(state.x - right / place.scale / Math.max(end - left, 1), 0, 1);
    state.y = clamp(state.y - down / place.scale / Math.max(bottom - top, 1), 0, 1);
    measure();
    paint();
  }

  let drag = null;

  function press(event) {
    if (!points.isReady() || event.button > 0) return;
    event.preventDefault(); // no text is selected
    dots.focus({ preventScroll: true });
    const start = at(event);
    drag = { start, last: start, path: [...start], length: 0, moves: state.mode === "move" || event.shiftKey };
    dots.setPointerCapture(event.pointerId);
  }

  function move(event) {
    if (!points.isReady()) return;
    const [x, y] = at(event);
    if (!drag) {
      point(under([x, y]));
      return;
    }
    drag.length = Math.max(drag.length, Math.hypot(x - drag.start[0], y - drag.start[1]));
    if (drag.moves) pan(x - drag.last[0], y - drag.last[1]);
    else drag.path.push(x, y);
    drag.last = [x, y];
    if (drag.moves || drag.length < 5) return;
    state.path = drag.path;
    drawOver();
  }

  function release(event) {
    const done = drag;
    drag = null;
    if (!done || (done.moves && done.length >= 5)) return;
    if (done.length >= 5) {
      surround(done.path);
      return;
    }
    const m = under(at(event));
    if (m >= 0) view.panes.documents.open(m);
  }

  function surround(path) {
    const found = insideOf(path, place.xs, place.ys, points.inBins());
    state.path = found.length ? path : null;
    points.choose(found);
  }

  function pressKey(event) {
    if (!points.isReady() || event.ctrlKey || event.metaKey || event.altKey) return;
    const work = {
      Enter: () => state.at >= 0 && view.panes.documents.open(state.at, true),
      " ": () => state.at >= 0 && toggle(state.at),
      "+": () => zoom(1.5),
      "=": () => zoom(1.5),
      "-": () => zoom(1 / 1.5),
      0: () => zoom(0),
      Escape: () => points.choose([]),
    }[event.key];
    const way = MOVES[event.key];
    if (!work && !way) return;
    event.preventDefault();
    event.stopPropagation();
    if (work) work();
    else step(way);
  }

  function step(way) {
    const visible = points.visible();
    const { xs, ys, width, height } = place;
    const middle = nearestDot(xs, ys, visible, width / 2, height / 2, width + height);
    point(state.at < 0 ? middle : dotBeside(xs, ys, visible, state.at, way));
    const [x, y] = [xs[state.at], ys[state.at]];
    if (x < 0 || y < 0 || x > width || y > height) pan(width / 2 - x, height / 2 - y);
  }

  function toggle(m) {
    const chosen = new Set(points.chosen());
    if (!chosen.delete(m)) chosen.add(m);
    points.choose([...chosen].sort((a, b) => a - b));
  }

  dots.addEventListener("pointerdown", guard(press));
  dots.addEventListener("pointermove", guard(move));
  dots.addEventListener("pointerup", guard(release));
  dots.addEventListener("pointercancel", () => {
    drag = null;
  });
  dots.addEventListener("pointerleave", guard(() => drag || point(-1)));
  dots.addEventListener("keydown", guard(pressKey));
  const wheel = guard((event) => {
    if (!points.isReady() || !(event.ctrlKey || event.metaKey)) return; // else the page scrolls
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * 0.0016), at(event));
  });
  dots.addEventListener("wheel", wheel, { passive: false });
  element.addEventListener("toggle", guard(() => element.open && open()));

  function open() {
    draw();
    search();
  }

  /** Who chooses a topic wants to see where it is; who climbs a level keeps what was there. */
  function follow() {
    if (!view.state.climbing) view.state.heat = true;
    drawTools();
    if (!element.open || !points.isReady()) return;
    paint();
    drawChoice();
  }

  function filter() {
    if (!points.chosen().length) state.path = null;
    if (!element.open || !points.isReady()) return;
    paint();
    drawChoice();
  }

  let latestSearch = 0;

  /** Marks the dots that a search finds in names, texts and words. */
  function search() {
    const query = view.state.query.trim();
    latestSearch += 1;
    const own = latestSearch;
    if (!query || !view.store) {
      mark(null);
      return;
    }
    if (!element.open) return;
    const [layer, topic] = view.selected();
    const wanted = { layer, topic, query: view.state.query, order: "share", start: 0 };
    view.store.numbers(wanted).then(
      guard((numbers) => own === latestSearch && mark(numbers)),
      () => {}, // a kernel that does not answer has been spoken of in the list of documents
    );
  }

  function mark(hits) {
    if (!hits && !state.hits) return;
    state.hits = hits;
    const count = hits ? hits.length : 0;
    const found = `${count.toLocaleString("en")} ${data.unit}${count === 1 ? "" : "s"}`;
    marked.textContent = hits ? `${found} with “${view.state.query.trim()}” marked` : "";
    if (element.open && points.isReady()) paint();
  }

  const isResized = () => element.open && Math.abs((dots.clientWidth || drawnWidth) - drawnWidth) > 1;
  return { element, draw, follow, filter, search, isResized };
}

const smallest = (numbers) => numbers.reduce((a, b) => Math.min(a, b), Infinity);
const greatest = (numbers) => numbers.reduce((a, b) => Math.max(a, b), -Infinity);

/** Places around a topic for its label, in parts of half its width and in lines, the near ones
 *  first. */
const AROUND = [0, -1, 1, -2, 2, -3, 3, -4, 4].flatMap((down) =>
  [0, -0.5, 0.5, -1.1, 1.1].map((right) => [right, down]),
);

/** The label of a topic near to where its dots are densest: where it covers few dots and no other
 *  label; none when there is no room. It fades when a dot below it is pointed at. */
function drawMapLabel(view, l, j, place, boxes, pointed) {
  const { spots, width, height, coveredBy } = place;
  const isHeat = view.state.heat;
  const isQuiet = isHeat && j !== view.selected()[1];
  const image = isPicture(view.data) && view.data.layers[l].topics[j].image;
  const isNamed = !image || view.names()[keyOf(l, j)]; // else the picture says all
  const text = isNamed ? fitText(view.nameOf(l, j, 2), Math.min(190, width * 0.45), LABEL) : "";
  const side = image ? PICTURE : SWATCH;
  const lead = isHeat && !image ? 0 : side + (isNamed ? 4 : 0);
  const tall = image ? PICTURE / 2 + 2 : LABEL * 0.8; // a font is up to 1.6 times as tall as its size
  const half = 0.56 * textWidth(text, LABEL) + 4 + lead / 2; // it is bold
  const boxAt = ([right, down]) => {
    const x = clamp(spots[j][0] + right * half, half, Math.max(half, width - half));
    const y = clamp(spots[j][1] + down * (LABEL + 3), LABEL, height - LABEL);
    return [x - half, x + half, y - tall, y + tall];
  };
  const cuts = (a, b) => a[0] < b[1] && b[0] < a[1] && a[2] < b[3] && b[2] < a[3];
  let best = null;
  let least = Infinity;
  for (const way of AROUND) {
    const box = boxAt(way);
    if (boxes.some((one) => cuts(box, one))) continue;
    const away = Math.hypot((box[0] + box[1]) / 2 - spots[j][0], (box[2] + box[3]) / 2 - spots[j][1]);
    const covered = coveredBy(box);
    const cost = 1.2 * covered + (covered ? 0.1 : 0) + (away / 60) ** 2;
    if (cost >= least) continue;
    least = cost;
    best = box;
  }
  if (!best) return [];
  boxes.push(best);
  const [left, right, top, bottom] = best;
  const y = (top + bottom) / 2;
  const isFaded =
    pointed &&
    pointed[0] > left - FADING && pointed[0] < right + FADING && pointed[1] > top - FADING && pointed[1] < bottom + FADING;
  const isMeant = isHeat && !isQuiet;
  const attributes = { class: `tag${isFaded ? " faded" : ""}${isMeant ? " meant" : ""}`, "data-topic": j };
  const at = { x: (left + right + lead) / 2, y, "text-anchor": "middle" };
  const square = { x: left + 3, y: y - side / 2, width: side, height: side, rx: 2 };
  const href = image && pictureAddress(image, view.data.shape, rgb(view.root));
  return [
    s(
      "g",
      attributes,
      lead && !image ? s("rect", { ...square, fill: view.colorOf(l, j) }) : null,
      image ? s("rect", { ...square, style: { fill: "var(--bg)", stroke: view.colorOf(l, j) } }) : null,
      image ? s("image", { ...square, class: "pixels", href }) : null,
      text ? s("text", { ...at, class: isQuiet ? "label quiet" : "label" }, text) : null,
    ),
  ];
}
