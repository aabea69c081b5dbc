// The river: how much there is of each topic along an order, such as the year; or bars of groups.
// Parts of it that are brushed, or groups that are pressed, say which data points are shown.

import { chip } from "./chips.js";
import { clamp, fitText, h, keyOf, percent, rgb, s, sum, textWidth } from "./elements.js";
import { isPicture, levelName, levelNames } from "./payload.js";
import { pictureAddress } from "./pictures.js";

const TALL = 170; // height of the stream in pixels
const FOOT = 22; // and of what is below it
const RULE = 22; // most pixels of the rule that says how many data points a height is
const LEGEND = 24; // most topics in the legend of groups

export function riverPane(view) {
  const { data, guard, points } = view;
  const { by } = data;
  if (!by) return { element: h("div", { class: "river", hidden: true }), draw() {} };
  const isOrder = by.kind === "order";
  const name = by.name ? `: ${by.name}` : "";
  const title = isOrder ? `River of topics${name}` : `Topics of groups${name}`;
  const tools = h("div", { class: "listing" });
  const said = h("p", { class: "quiet", role: "status" });
  const body = h("div", { class: isOrder ? "stream" : "groups" });
  const attributes = { class: "river", open: !view.hasKernel };
  const element = h("details", attributes, h("summary", {}, title), tools, body, said);
  const tables = []; // of levels, and the numbers of data points
  const place = { width: 0 };
  let drag = null;

  function draw() {
    if (!element.open) return;
    if (points.isReady()) {
      place.width = Math.max(body.clientWidth || 600, 240);
      drawTools();
      drawBody();
      return;
    }
    said.textContent = "…";
    points.load().then(guard(draw), (error) => {
      said.textContent = error.message;
    });
  }

  function drawBody() {
    const [l] = view.selected();
    tables[l] ||= amountsOf(points.loaded, l, by.labels.length);
    if (isOrder) drawStream(l);
    else drawGroups(l);
    say();
  }

  function say() {
    const n = points.inBins().reduce((a, b) => a + b, 0);
    const count = `${n.toLocaleString("en")} ${data.unit}${n === 1 ? "" : "s"}`;
    const shown = points.describeBins();
    const how = isOrder ? "Draw along the river to see a part of it only." : "Press groups to see them only.";
    said.textContent = shown ? `${count} of ${shown} are shown on the map and in the lists.` : how;
  }

  // --- a stream ---------------------------------------------------------------------------------

  function drawStream(l) {
    const [, j] = view.selected();
    const own = view.state.heat;
    const [areas, texts] = own ? ownScale(l, j) : stack(l);
    const svg = s(
      "svg",
      {
        viewBox: `0 0 ${place.width} ${TALL + FOOT}`,
        width: place.width,
        height: TALL + FOOT,
        role: "img",
        "aria-label": own
          ? `mean share of ${view.nameOf(l, j)} along the order`
          : `amounts of all ${levelName(data, l)}s along the order`,
      },
      areas,
      drawTicks(),
      drawBrush(),
      texts,
    );
    body.replaceChildren(svg);
    body.dataset.drawn = `${l},${own ? j : "all"}`;
  }

  const binWidth = () => place.width / by.labels.length;

  /** All topics on each other around a middle line, the height is the number of data points. */
  function stack(l) {
    const high = Math.max(...tables.counts, 1);
    const scale = (TALL - 8) / high;
    const bottom = Array.from(tables.counts, (count, b) => {
      const all = sum(tables[l].map((row) => row[b]));
      return TALL / 2 + (all * scale) / 2;
    });
    const order = [...data.layers[l].order].reverse();
    const areas = order.flatMap((i) => {
      const low = [...bottom];
      tables[l][i].forEach((amount, b) => {
        bottom[b] -= amount * scale;
      });
      const path = areaPath(low, bottom, binWidth());
      const fill = view.colorOf(l, i);
      const pick = guard(() => !place.moved && view.select(l, i));
      const area = { class: "area", d: path, fill, "data-topic": i, onclick: pick };
      return [s("path", area, s("title", {}, view.nameOf(l, i, 5)))];
    });
    return [areas, drawStreamLabels(l)];
  }

  /** Names of topics where their bands are thickest, if they fit. */
  function drawStreamLabels(l) {
    const high = Math.max(...tables.counts, 1);
    const scale = (TALL - 8) / high;
    const total = (b) => sum(tables[l].map((row) => row[b]));
    const boxes = [];
    const order = [...data.layers[l].order].sort(
      (a, b) => Math.max(...tables[l][b]) - Math.max(...tables[l][a]),
    );
    return order.flatMap((i) => {
      const row = tables[l][i];
      const best = row.indexOf(Math.max(...row));
      const image = isPicture(data) && !view.names()[keyOf(l, i)] && data.layers[l].topics[i].image;
      const tall = image ? Math.min(26, row[best] * scale - 2) : 14;
      if (row[best] * scale < 15) return [];
      const above = sum(data.layers[l].order.slice(0, data.layers[l].order.indexOf(i)).map((k) => tables[l][k][best]));
      const y = TALL / 2 - (total(best) * scale) / 2 + (above + row[best] / 2) * scale;
      const text = fitText(view.nameOf(l, i, 2), 150, 11);
      const [rows, columns] = image ? data.shape : [1, 1];
      const wide = image ? (tall * columns) / rows : textWidth(text, 11) + 6;
      const half = wide / 2;
      const x = clamp((best + 0.5) * binWidth(), half, place.width - half);
      const box = [x - half, x + half, y - tall / 2, y + tall / 2];
      if (boxes.some((one) => box[0] < one[1] && one[0] < box[1] && box[2] < one[3] && one[2] < box[3])) return [];
      boxes.push(box);
      if (image) return [drawEmblem(l, i, { x: x - half, y: y - tall / 2, width: wide, height: tall })];
      return [s("text", { class: "label", x, y, "text-anchor": "middle" }, text)];
    });
  }

  /** The picture of a topic in place of its name. */
  function drawEmblem(l, i, box) {
    const href = pictureAddress(data.layers[l].topics[i].image, data.shape, rgb(view.root));
    return s(
      "g",
      { class: "face" },
      s("rect", { ...box, style: { fill: "var(--bg)", stroke: view.colorOf(l, i) } }),
      s("image", { ...box, class: "pixels", preserveAspectRatio: "none", href }),
    );
  }

  /** A line that says how many data points its height is. */
  function drawRule() {
    const scale = (TALL - 8) / Math.max(...tables.counts, 1);
    const most = Math.max(RULE / scale, 1);
    const power = 10 ** Math.floor(Math.log10(most));
    const size = Math.max(...[1, 2, 5].map((step) => step * power).filter((one) => one <= most));
    const tall = size * scale;
    const line = { width: 9, height: tall + 2, "aria-hidden": "true" };
    const text = `${size.toLocaleString("en")} ${data.unit}${size === 1 ? "" : "s"}`;
    return h(
      "span",
      { class: "scale quiet num" },
      s("svg", line, s("path", { d: `M1 1h7m-3.5 0v${tall}m-3.5 0h7` })),
      text,
    );
  }

  /** The mean share of one topic, from 0 to its largest; bins without data points are gaps. */
  function ownScale(l, j) {
    const part = tables[l][j].map((amount, b) => (tables.counts[b] ? amount / tables.counts[b] : 0));
    const high = Math.max(...part, 1e-9);
    const y = part.map((one) => TALL - (one / high) * (TALL - 30));
    const floor = y.map(() => TALL);
    const best = part.indexOf(Math.max(...part));
    const text = `${percent(part[best])} in ${by.labels[best]}`;
    const half = textWidth(text, 11) / 2 + 3;
    const x = clamp((best + 0.5) * binWidth(), half, place.width - half);
    const area = { class: "area one", d: areaPath(floor, y, binWidth()), fill: view.colorOf(l, j) };
    const label = s("text", { class: "small", x, y: y[best] - 10, "text-anchor": "middle" }, text);
    return [s("path", area), label];
  }

  function drawTicks() {
    const room = Math.max(...by.starts.map((text) => textWidth(text, 11))) + 18;
    const step = Math.max(1, Math.ceil(room / binWidth()));
    const ticks = [];
    for (let b = 0; b < by.starts.length; b += step) {
      const x = b * binWidth();
      if (b && x + room - 18 > place.width) break;
      ticks.push(s("path", { class: "tick", d: `M${x + 0.5} ${TALL}v4` }));
      ticks.push(s("text", { class: "small", x, y: TALL + 13 }, by.starts[b]));
    }
    return [s("path", { class: "tick", d: `M0 ${TALL + 0.5}H${place.width}` }), ...ticks];
  }

  /** What is not shown is veiled. */
  function drawBrush() {
    if (!points.bins) return [];
    const left = points.bins[0] * binWidth();
    const right = (points.bins[points.bins.length - 1] + 1) * binWidth();
    const veil = (x, width) => s("rect", { class: "veil", x, y: 0, width: Math.max(width, 0), height: TALL });
    const frame = { class: "brush", x: left, y: 1, width: right - left, height: TALL - 1 };
    return [veil(0, left), veil(right, place.width - right), s("rect", frame)];
  }

  const binAt = (event) => {
    const box = body.getBoundingClientRect();
    return clamp(Math.floor((event.clientX - box.left) / binWidth()), 0, by.labels.length - 1);
  };

  function brush(first, last) {
    const [a, b] = [Math.min(first, last), Math.max(first, last)];
    const bins = Array.from({ length: b - a + 1 }, (_, n) => a + n);
    const isAll = bins.length === by.labels.length;
    if (String(isAll ? null : bins) !== String(points.bins)) points.brush(isAll ? null : bins);
  }

  if (isOrder) {
    body.addEventListener("pointerdown", (event) => {
      if (event.button > 0 || !points.isReady()) return;
      drag = { x: event.clientX, bin: binAt(event) };
      place.moved = false;
    });
    const move = guard((event) => {
      if (!drag || (!place.moved && Math.abs(event.clientX - drag.x) < 5)) return;
      place.moved = true; // no click on a topic follows
      body.setPointerCapture(event.pointerId);
      brush(drag.bin, binAt(event));
    });
    body.addEventListener("pointermove", move);
    for (const end of ["pointerup", "pointercancel"]) {
      body.addEventListener(end, () => {
        drag = null;
      });
    }
  }

  /** The same without a pointer: where the part begins and ends. */
  function drawTools() {
    tables.counts ||= countsIn(points.loaded, by.labels.length);
    const bins = points.bins || [0, by.labels.length - 1];
    const [first, last] = [bins[0], bins[bins.length - 1]];
    const all = { class: "tab", type: "button", "data-tool": "all", disabled: !points.bins };
    all.onclick = guard(() => points.brush(null));
    const focused = tools.contains(document.activeElement) ? document.activeElement.dataset.tool : null;
    const parts = [h("button", all, isOrder ? "show all" : "show all groups")];
    if (isOrder) {
      const from = choice("from", first, (b) => brush(b, Math.max(b, last)));
      const to = choice("to", last, (b) => brush(Math.min(first, b), b));
      parts.unshift(from, to);
    }
    if (isOrder && !view.state.heat) parts.push(drawRule());
    tools.replaceChildren(...parts);
    if (focused) (tools.querySelector(`[data-tool="${focused}"]:enabled`) || tools.querySelector("select"))?.focus();
  }

  function choice(title, chosen, press) {
    const option = (label, b) => h("option", { value: b, selected: b === chosen }, label);
    const select = h("select", { "data-tool": title }, by.labels.map(option));
    select.addEventListener("change", guard(() => press(Number(select.value))));
    return h("label", { class: "quiet" }, `${title} `, select);
  }

  // --- groups -----------------------------------------------------------------------------------

  function drawGroups(l) {
    const [, j] = view.selected();
    const own = view.state.heat;
    const shares = by.labels.map((_, b) => tables[l].map((row) => row[b] / Math.max(tables.counts[b], 1)));
    const most = own ? Math.max(...shares.map((row) => row[j]), 1e-9) : 1;
    const focused = body.contains(document.activeElement) ? document.activeElement.dataset.group : null;
    const rows = by.labels.map((label, b) => {
      const isOn = Boolean(points.bins?.includes(b));
      const shown = own ? [j] : data.layers[l].order;
      const piece = (i) =>
        h("span", { style: { width: `${(100 * shares[b][i]) / most}%`, background: view.colorOf(l, i) } });
      const button = h(
        "button",
        {
          type: "button",
          class: "group-row",
          "data-group": b,
          "aria-pressed": String(isOn),
          onclick: guard(() => press(b)),
        },
        h("span", { class: "name", title: label }, label),
        h("span", { class: "stack" }, shown.map(piece)),
        h("span", { class: "quiet num" }, own ? percent(shares[b][j]) : tables.counts[b].toLocaleString("en")),
      );
      return h("li", { class: points.bins && !isOn ? "off" : null }, button);
    });
    body.replaceChildren(h("ul", {}, rows), drawLegend(l, own ? j : null, most));
    body.dataset.drawn = `${l},${own ? j : "all"}`;
    if (focused !== null) body.querySelector(`[data-group="${focused}"]`)?.focus();
  }

  /** What the colors of the bars are, or how long a bar is. */
  function drawLegend(l, one, most) {
    if (one !== null) {
      const says = `bar and number: mean share of ${view.nameOf(l, one)}; a whole bar is ${percent(most)}`;
      return h("p", { class: "quiet legend" }, says);
    }
    const { order, topics } = data.layers[l];
    const bySize = [...order].sort((a, b) => topics[b].share - topics[a].share);
    const shown = new Set(bySize.slice(0, LEGEND));
    const chips = order.filter((i) => shown.has(i)).map((i) => chip(view, l, i));
    const rest = order.length - shown.size;
    const more = rest ? h("span", { class: "quiet" }, `and ${rest} smaller ${levelNames(data, l)}`) : null;
    const attributes = { class: "key", role: "group", "aria-label": "topics of the bars" };
    return h("div", attributes, h("span", { class: "quiet" }, "bar: mean shares; number: data points"), chips, more);
  }

  function press(b) {
    const bins = new Set(points.bins || []);
    if (!bins.delete(b)) bins.add(b);
    points.brush(bins.size ? [...bins].sort((a, c) => a - c) : null);
  }

  element.addEventListener("toggle", guard(() => element.open && draw()));
  const isResized = () => element.open && isOrder && Math.abs((body.clientWidth || place.width) - place.width) > 1;
  const again = () => {
    if (!element.open || !points.isReady()) return;
    if (!place.width) draw();
    drawTools();
    drawBody();
  };
  return { element, draw, follow: again, filter: again, isResized };
}

/** Amounts of the topics of a level in each bin, in data points: a row for each topic. */
function amountsOf({ n, bin, shares }, l, size) {
  return Array.from({ length: shares[l].length / n }, (_, j) => {
    const row = new Array(size).fill(0);
    for (let m = 0; m < n; m++) row[bin[m]] += shares[l][j * n + m];
    return row.map((amount) => amount / 100);
  });
}

function countsIn({ n, bin }, size) {
  const counts = new Array(size).fill(0);
  for (let m = 0; m < n; m++) counts[bin[m]] += 1;
  return counts;
}

/** An area between two lines whose points are in the middles of bins; at the ends it is level. */
function areaPath(low, high, width) {
  const along = (line) => {
    const middle = line.map((y, b) => [(b + 0.5) * width, y]);
    return [[0, line[0]], ...middle, [line.length * width, line[line.length - 1]]];
  };
  const text = (corners) => corners.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
  return `M${text(along(high))}L${text(along(low).reverse())}Z`;
}
