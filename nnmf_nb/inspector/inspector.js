// The layer inspector: an anywidget module, and the script of the file that View.to_html writes. No library, no network.
// Text from the user is only ever written with textContent and setAttribute.

const template = document.createElement("template");
template.innerHTML = "<svg></svg>";
const SVG = template.content.firstChild.namespaceURI;
const BAR = 11, HEAD = 26, EASE = 0.1; // width of a bar, height of a heading, part of a topic from which kin count as kin

const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
const sum = (list) => list.reduce((a, b) => a + b, 0);
const percent = (x) => (x >= 0.0095 || x <= 0 ? `${Math.round(100 * x)}%` : "<1%");
const keyOf = (l, j) => `${l},${j}`;

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(node.style, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
}
const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** JupyterLab has its own use for plain keys: in command mode it would take the arrows from a slider and Enter from a button. */
function keepKeys(root) {
  root.addEventListener("keydown", (event) => { if (!event.ctrlKey && !event.metaKey && !event.altKey && !event.shiftKey) event.stopPropagation(); });
}

// --- what follows from the payload ---------------------------------------------------------------------------------------

/** Parents and children of every topic, each [other, part of the subtopic, part of the supertopic], the main ones first. */
function kinship(data) {
  const parents = data.layers.map((layer) => layer.topics.map(() => []));
  const children = data.layers.map((layer) => layer.topics.map(() => []));
  data.layers.forEach((layer, l) => {
    for (const [i, j, up, down] of layer.flows) {
      parents[l - 1][i].push([j, up, down]);
      children[l][j].push([i, up, down]);
    }
  });
  for (const row of children.flat()) row.sort((a, b) => b[2] - a[2]);
  return { parents, children };
}

/** Ancestors and descendants of a topic: for every layer a map from topic to the part that links them. */
function lineage(data, kin, l, j) {
  const lit = data.layers.map(() => new Map());
  lit[l].set(j, 1);
  const spread = (from, to, step) => {
    for (const [topic, part] of lit[from]) for (const [other, up] of step[from][topic]) lit[to].set(other, (lit[to].get(other) || 0) + part * up);
    for (const [topic, part] of lit[to]) if (part < EASE) lit[to].delete(topic);
  };
  for (let m = l; m + 1 < data.layers.length; m++) spread(m, m + 1, kin.parents);
  for (let m = l; m > 0; m--) spread(m, m - 1, kin.children);
  return lit;
}

/** Topics may be words, pictures (shape: rows and columns) or curves (shape: one number). */
const isCurve = (data) => data.shape?.length === 1;
const words = (data, l, j) => data.layers[l].topics[j].features.map((i) => data.features[i]);

function label(data, names, l, j, n = 3) {
  const topic = data.layers[l].topics[j], given = names[keyOf(l, j)];
  if (given || topic.dead) return given || "(dead)";
  if (isCurve(data)) return `peak at ${words(data, l, j)[0]}`;
  return data.shape ? `topic ${j}` : words(data, l, j).slice(0, n).join(" · ");
}

/** The features of a topic by relevance (Sievert and Shirley 2014): rows [feature, share of the topic, share of the reference]. */
function ranked(data, topic, lambda) {
  const rows = topic.features.map((i, n) => [i, topic.weights[n], data.frequency[i]]);
  const relevance = ([, phi, p]) => Math.log(phi) - (1 - lambda) * Math.log(p);
  return rows.sort((a, b) => relevance(b) - relevance(a)).slice(0, data.top);
}

/** Topics that a search finds: for every layer a map from topic to the weight of what matched; null without a search. */
function found(data, names, query) {
  const text = query.trim().toLocaleLowerCase();
  if (!text) return null;
  const hits = new Set(data.features.flatMap((name, i) => (name.toLocaleLowerCase().includes(text) ? [i] : [])));
  return data.layers.map((layer, l) => {
    const lit = new Map();
    layer.topics.forEach((topic, j) => {
      let weight = sum(topic.features.map((i, n) => (hits.has(i) ? topic.weights[n] : 0)));
      if ((names[keyOf(l, j)] || "").toLocaleLowerCase().includes(text)) weight += 1;
      if (weight > 0) lit.set(j, weight);
    });
    return lit;
  });
}

// --- the layout of the layers --------------------------------------------------------------------------------------------

function slotTops(talls, low, gaps, room) {
  const sizes = talls.map((t) => Math.max(t, low)), spare = Math.max(0, room - sum(sizes) - sum(gaps));
  const more = gaps.length ? spare / gaps.length : 0;
  let y = gaps.length ? 0 : spare / 2;
  return sizes.map((size, n) => { const top = y + (size - talls[n]) / 2; y += size + (gaps[n] || 0) + more; return top; });
}

function unitHeight(shares, low, gaps, room) {
  let few = 0, many = room;
  for (let n = 0; n < 40; n++) {
    const unit = (few + many) / 2;
    if (sum(shares.map((x) => Math.max(x * unit, low))) + sum(gaps) <= room) few = unit; else many = unit;
  }
  return few;
}

/** Positions of all bars in `width` pixels: supertopics left, the finest topics right, as in plot_tree. */
function layout(data, kin, width) {
  const L = data.layers.length, most = Math.max(...data.layers.map((layer) => layer.topics.length)), slot = data.shape ? 34 : 20;
  const room = clamp(most * slot, 230, 660), wide = width >= 560 && L > 1;
  const left = !wide ? 3 : isCurve(data) ? 134 : Math.min(200, width * (data.shape ? 0.16 : 0.24));
  const beside = isCurve(data) ? 134 : data.shape ? clamp(width * 0.15, 84, 120) : clamp(width * (L > 3 ? 0.2 : 0.29), 60, 250), right = L > 1 ? beside : width - left - BAR;
  const x = data.layers.map((_, l) => left + (L > 1 ? ((L - 1 - l) * (width - left - right - BAR)) / (L - 1) : 0));
  const columns = data.layers.map((layer, l) => {
    const k = layer.order.length, spare = (0.1 * room) / k, family = (i) => (kin.parents[l][i][0] || [-1])[0];
    const gaps = layer.order.slice(1).map((i, n) => (l === L - 1 || family(i) !== family(layer.order[n]) ? Math.min(9, spare) : Math.min(1.5, spare / 5)));
    return { shares: layer.order.map((j) => layer.topics[j].share), low: Math.min(data.shape ? 30 : l === L - 1 && wide ? 30 : 15, (0.9 * room) / k), gaps };
  });
  const unit = Math.min(...columns.map((c) => unitHeight(c.shares, c.low, c.gaps, room)));
  const bars = data.layers.map((layer, l) => {
    const talls = columns[l].shares.map((share) => share * unit), tops = slotTops(talls, columns[l].low, columns[l].gaps, room), placed = [];
    layer.order.forEach((j, n) => { placed[j] = { top: HEAD + tops[n], tall: talls[n], slot: Math.max(talls[n], columns[l].low) }; });
    return placed;
  });
  return { x, bars, wide, right, height: HEAD + room + 4 };
}

/** Where each ribbon leaves its supertopic and arrives at its subtopic. */
function bands(data, place) {
  const drawn = [];
  data.layers.forEach((layer, l) => {
    if (!l) return;
    const rank = (order) => order.reduce((all, j, n) => ((all[j] = n), all), []);
    const below = rank(data.layers[l - 1].order), own = rank(layer.order), from = {}, to = {};
    for (const [i, j, up, down] of [...layer.flows].sort((a, b) => below[a[0]] - below[b[0]])) {
      const bar = place.bars[l][j], start = from[j] || 0;
      from[j] = start + down * bar.tall;
      drawn.push({ l, i, j, up, y0: bar.top + start, t0: down * bar.tall });
    }
    for (const band of drawn.filter((b) => b.l === l).sort((a, b) => own[a.j] - own[b.j])) {
      const bar = place.bars[l - 1][band.i], start = to[band.i] || 0;
      band.y1 = bar.top + start; band.t1 = band.up * bar.tall; to[band.i] = start + band.t1;
    }
  });
  return drawn;
}

function bandPath(place, { l, y0, t0, y1, t1 }) {
  const a = place.x[l] + BAR, b = place.x[l - 1], m = (a + b) / 2, r = (v) => v.toFixed(1);
  t0 = Math.max(t0, 0.6); t1 = Math.max(t1, 0.6);
  return `M${r(a)} ${r(y0)}C${r(m)} ${r(y0)} ${r(m)} ${r(y1)} ${r(b)} ${r(y1)}V${r(y1 + t1)}C${r(m)} ${r(y1 + t1)} ${r(m)} ${r(y0 + t0)} ${r(a)} ${r(y0 + t0)}Z`;
}

const ruler = document.createElement("canvas").getContext("2d");
function fitText(text, width, size = 12) {
  ruler.font = `${size}px system-ui, "DejaVu Sans", sans-serif`;
  if (ruler.measureText(text).width <= width) return text;
  const parts = text.split(" · ");
  while (parts.length > 1) { parts.pop(); if (ruler.measureText(parts.join(" · ")).width <= width) return parts.join(" · "); }
  let cut = [...parts[0]];
  while (cut.length > 1 && ruler.measureText(cut.join("") + "…").width > width) cut.pop();
  return cut.length > 1 || width > 14 ? cut.join("").trimEnd() + "…" : "";
}

// --- pictures ------------------------------------------------------------------------------------------------------------

/** A picture in one color on a transparent ground, so that it suits a light and a dark page. */
function picture(pixels, [rows, columns], color) {
  const canvas = h("canvas", { width: columns, height: rows }), bytes = atob(pixels), [r, g, b] = color;
  const image = canvas.getContext("2d").createImageData(columns, rows);
  for (let n = 0; n < rows * columns; n++) image.data.set([r, g, b, bytes.charCodeAt(n)], 4 * n);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
/** A curve over an ordered axis, filled below, on a transparent ground; its highest point has the byte 255. */
function curve(pixels, axis, color) {
  const bytes = atob(pixels), n = bytes.length, low = Math.min(...axis), span = Math.max(...axis) - low || 1;
  const points = axis.map((at, i) => `${((300 * (at - low)) / span).toFixed(1)} ${(98 - (94 * bytes.charCodeAt(i)) / 255).toFixed(1)}`);
  return s("svg", { viewBox: "0 0 300 100", preserveAspectRatio: "none", class: "curve" }, s("path", { d: `M${points[0].split(" ")[0]} 98L${points.join("L")}L${points[n - 1].split(" ")[0]} 98Z`, fill: color, "fill-opacity": 0.25 }),
    s("path", { d: `M${points.join("L")}`, fill: "none", stroke: color, "vector-effect": "non-scaling-stroke" }));
}

/** Where the highest local maxima of a curve are, from left to right. */
function peaks(pixels, axis, most = 6) {
  const bytes = [...atob(pixels)].map((c) => c.charCodeAt(0)), top = (v, n) => v > 12 && v >= (bytes[n - 1] ?? 0) && v > (bytes[n + 1] ?? 0);
  return bytes.map((v, n) => [v, n]).filter(([v, n]) => top(v, n)).sort((a, b) => b[0] - a[0]).slice(0, most).sort((a, b) => a[1] - b[1]).map(([, n]) => Number(axis[n].toPrecision(5)));
}

/** A number on an axis, with as many digits as it takes to tell the ends of the axis apart. */
function tick(v, range) {
  if (v !== 0 && (Math.abs(v) >= 1e4 || Math.abs(v) < 1e-3)) return v.toExponential(2);
  return range > 0 ? v.toFixed(clamp(Math.ceil(1.3 - Math.log10(range)), 0, 6)) : v.toPrecision(3);
}

/** Values over iterations with both axes labeled, and a dashed floor when one is known. It fills whatever height it is given. */
function lineChart(iterations, values, floor, title, marks = []) {
  const low = Math.min(...values, floor ?? Infinity), high = Math.max(...values), first = iterations[0], last = iterations[iterations.length - 1];
  const x = (i) => (300 * (i - first)) / (last - first || 1), y = (v) => 96 - (92 * (v - low)) / (high - low || 1);
  const line = "M" + values.map((v, n) => `${x(iterations[n]).toFixed(1)} ${y(v).toFixed(1)}`).join("L");
  const drawn = s("svg", { viewBox: "0 0 300 100", preserveAspectRatio: "none", role: "img", "aria-label": `${title} from ${values[0]} to ${values[values.length - 1]}` },
    s("path", { class: "gap", d: `${line}L300 ${y(floor ?? low).toFixed(1)}H0Z` }), floor === null || floor === undefined ? null : s("path", { class: "floor", d: `M0 ${y(floor).toFixed(1)}H300` }), s("path", { d: line }),
    ...marks.filter((i) => i >= first && i <= last).map((i) => s("path", { class: "mark", "data-iteration": i, d: `M${x(i).toFixed(1)} 0V100` })));
  return h("div", { class: "chart" }, h("div", { class: "y num" }, h("span", {}, tick(high, high - low)), h("span", {}, tick(low, high - low))), h("div", { class: "plot" }, drawn),
    h("div", { class: "x num" }, h("span", {}, first), h("span", {}, `iteration ${last}`)));
}
const rgb = (element) => (getComputedStyle(element).color.match(/\d+/g) || [0, 0, 0]).slice(0, 3).map(Number);

// --- the inspector -------------------------------------------------------------------------------------------------------

function render({ model, el }) {
  const data = model.get("payload"), kin = kinship(data), L = data.layers.length;
  const state = { hover: null, query: "", lambda: 1, renaming: false, nodes: [], bands: [] };
  const alert = h("div", { class: "alert", role: "alert" });
  const guard = (work) => (...given) => { try { return work(...given); } catch (error) { alert.textContent = `${error.name}: ${error.message}`; } };
  const names = () => model.get("names") || {};
  const selected = () => model.get("selected");
  const nameOf = (l, j, n) => label(data, names(), l, j, n);
  const colorOf = (l, j) => data.layers[l].topics[j].color;

  const select = guard((l, j, focus = false) => {
    model.set("selected", [l, j]);
    model.save_changes();
    if (focus) state.nodes[l][j].focus({ preventScroll: false });
  });

  // header
  const count = h("span", { class: "quiet num", role: "status" });
  const search = h("input", { type: "search", placeholder: "find a feature  ( / )", "aria-label": "highlight topics by feature", spellcheck: "false" });
  search.addEventListener("input", guard(() => { state.query = search.value; highlight(); drawTopic(); }));
  search.addEventListener("keydown", guard((event) => {
    if (event.key === "Escape") { search.value = state.query = ""; highlight(); drawTopic(); state.nodes[selected()[0]][selected()[1]].focus(); }
    if (event.key === "Enter") selectFound();
  }));
  const header = h("header", {}, h("h2", {}, data.title), h("span", { class: "quiet facts num" }, data.facts), h("div", { class: "search" }, count, search), alert);

  const pane = (name, title) => h("section", { class: name, "aria-label": title });
  const layers = pane("layers", "layers"), topic = pane("topic", "topic"), examples = pane("examples", "examples"), fit = pane("fit", "fit");
  const root = h("div", { class: "nnmf", role: "group", "aria-label": "layer inspector" }, header, h("div", { class: "panes" }, h("div", { class: "column" }, layers, examples), h("div", { class: "column" }, topic, fit)));

  function selectFound() {
    const lit = found(data, names(), state.query);
    if (!lit) return;
    const best = lit.flatMap((map, l) => [...map].map(([j, weight]) => [weight, l, j])).sort((a, b) => b[0] - a[0])[0];
    if (best) select(best[1], best[2], true);
  }

  // the layers
  function drawLayers() {
    const width = Math.max(240, layers.clientWidth || 600), place = layout(data, kin, width);
    state.width = width;
    const svg = s("svg", { width, height: place.height, role: "group", "aria-label": "topics of all layers; arrow keys move" });
    state.bands = bands(data, place).map((band) => {
      const path = s("path", { class: "band", d: bandPath(place, band), fill: colorOf(band.l, band.j) });
      svg.append(path);
      return { ...band, path };
    });
    data.layers.forEach((layer, l) => svg.append(drawHeading(place, l, layer.topics.length)));
    state.nodes = data.layers.map((layer, l) => {
      const labeled = roomy(layer, place.bars[l]), made = [];
      for (const j of layer.order) svg.append((made[j] = drawNode(place, l, j, labeled.has(j))));
      return made;
    });
    svg.addEventListener("mouseleave", guard(() => { state.hover = null; highlight(); }));
    state.svg = svg;
    const focused = layers.contains(document.activeElement);
    layers.replaceChildren(h("div", { class: "eyebrow" }, "layers", h("span", {}, L > 1 ? "bar: share of the reconstruction · ribbon: what flows up" : "bar: share of the reconstruction")), svg, keysHint());
    highlight();
    if (focused) state.nodes[selected()[0]][selected()[1]].focus();
  }

  function keysHint() {
    const keys = [["↑ ↓", "in a layer"], ...(L > 1 ? [["← →", "to a supertopic or subtopic"]] : []), ["/", "find"], ["Esc", "clear"]];
    return h("p", { class: "keys" }, keys.flatMap(([key, what]) => [h("kbd", {}, key), ` ${what}   `]));
  }

  function drawHeading(place, l, k) {
    const outer = l === L - 1 && place.wide, narrow = L > 1 && Math.abs(place.x[0] - place.x[L - 1]) / (L - 1) < 105;
    const text = narrow ? `${k}` : `layer ${l} · ${k} topic${k > 1 ? "s" : ""}`;
    ruler.font = '11px system-ui, "DejaVu Sans", sans-serif';
    const out = place.x[l] + ruler.measureText(text).width + 4 > state.width; // at the right edge it ends there
    return s("text", { class: "head", x: out ? state.width : place.x[l] + (outer ? BAR : 0), y: 9, "text-anchor": outer || out ? "end" : "start" }, text);
  }

  /** Topics whose label has room, the largest first. */
  function roomy(layer, bars) {
    const shown = new Set(), gap = data.shape ? 20 : 12;
    for (const j of [...layer.order].sort((a, b) => layer.topics[b].share - layer.topics[a].share)) {
      const y = bars[j].top + bars[j].tall / 2;
      if ([...shown].every((i) => Math.abs(bars[i].top + bars[i].tall / 2 - y) >= gap)) shown.add(j);
    }
    return shown;
  }

  function drawNode(place, l, j, labeled) {
    const one = data.layers[l].topics[j], { top, tall, slot } = place.bars[l][j], x = place.x[l], y = top + tall / 2, outer = l === L - 1 && place.wide;
    const until = l ? place.x[l - 1] - x - BAR - 10 : place.right - 4, space = outer ? x - 8 : until;
    const thick = Math.max(tall, one.dead ? Math.min(8, slot) : 1.5), marks = `${one.dead ? ", dead" : ""}${one.twins.length ? `, duplicate of ${one.twins.join(", ")}` : ""}`;
    const node = s("g", { class: `node${one.dead ? " dead" : ""}${l === L - 1 && L > 1 ? " root" : ""}`, role: "button", "data-key": keyOf(l, j),
      "aria-label": `layer ${l}, topic ${j}, ${nameOf(l, j, 6)}, ${percent(one.share)}${marks}` });
    node.append(s("title", {}, `layer ${l}, topic ${j}: ${nameOf(l, j, 8)}\n${percent(one.share)} of the reconstruction${marks}`));
    node.append(s("rect", { class: "hit", x: outer ? 0 : x - 3, y: y - slot / 2, width: outer ? x + BAR : BAR + 6 + Math.max(20, until), height: Math.max(slot, 4) }));
    node.append(s("rect", { class: "bar", x, y: y - thick / 2, width: BAR, height: thick, rx: Math.min(2, thick / 3), fill: one.color }));
    node.append(s("rect", { class: "ring", x: x - 3, y: y - Math.max(tall, 3) / 2 - 3, width: BAR + 6, height: Math.max(tall, 3) + 6, rx: 4 }));
    node.append(data.shape ? drawPicture(one, x, y, slot, outer, labeled) : drawLabel(l, j, x, y, slot, outer, space, labeled));
    node.addEventListener("click", guard(() => select(l, j, true)));
    node.addEventListener("mouseenter", guard(() => { state.hover = [l, j]; highlight(); }));
    return node;
  }

  function drawLabel(l, j, x, y, slot, outer, space, labeled) {
    const one = data.layers[l].topics[j], small = slot < 13.5, size = small ? 10.5 : 12, late = labeled ? "" : " late", mark = one.twins.length ? "≈ " : "";
    const at = outer ? x - 7 : x + BAR + 6, anchor = outer ? "end" : "start", group = s("g", { class: `text${late}`, "text-anchor": anchor });
    const share = percent(one.share), beside = outer || l === 0 && space > 110 ? 34 : 0, room = space - beside - 2;
    const first = fitText(mark + nameOf(l, j, L > 1 ? 6 : 12), room, size), rest = outer && slot >= 28 && !one.dead && !names()[keyOf(l, j)] ? words(data, l, j).slice(first.split(" · ").length, 8).join(" · ") : "";
    if (beside) group.append(s("text", { class: "pc", x: at + (outer ? 0 : 28), y, "text-anchor": "end" }, share));
    const start = at + (outer ? -beside : beside);
    group.append(s("text", { class: `name${small ? " small" : ""}`, x: start, y: rest ? y - 7.5 : y }, first));
    if (rest) group.append(s("text", { class: "small", x: start, y: y + 7.5 }, fitText(rest, room, 10.5)));
    return group;
  }

  function drawPicture(one, x, y, slot, outer, labeled) {
    const side = clamp(slot - 3, 18, 44), [rows, columns] = isCurve(data) ? [1, 2] : data.shape, most = isCurve(data) ? 1 : Math.max(rows, columns), wide = (side * columns) / most, high = (side * rows) / most;
    const at = outer ? x - 6 - wide : x + BAR + 5, group = s("g", { class: labeled ? "text" : "text late" });
    group.append(s("rect", { x: at, y: y - high / 2, width: wide, height: high, style: { fill: "var(--bg)" } }));
    group.append(isCurve(data) ? fill(curve(one.image, data.axis, one.color), { x: at, y: y - high / 2, width: wide, height: high }, [])
      : s("image", { class: "pixels", x: at, y: y - high / 2, width: wide, height: high, preserveAspectRatio: "none", href: picture(one.image, data.shape, rgb(root)).toDataURL() }));
    group.append(s("rect", { class: "frame", x: at, y: y - high / 2, width: wide, height: high, style: { stroke: one.color } }));
    group.append(s("text", { class: "pc", x: outer ? at - 5 : at + wide + 6, y, "text-anchor": outer ? "end" : "start" }, (one.twins.length ? "≈ " : "") + percent(one.share)));
    return group;
  }

  function highlight() {
    const [l, j] = selected(), hits = found(data, names(), state.query), over = state.hover;
    const lit = over ? lineage(data, kin, ...over) : hits || lineage(data, kin, l, j);
    state.svg.setAttribute("class", over || hits ? "busy" : "");
    state.nodes.forEach((row, m) => row.forEach((node, i) => {
      const own = m === l && i === j;
      node.classList.toggle("lit", lit[m].has(i));
      node.classList.toggle("selected", own);
      node.setAttribute("aria-pressed", own);
      node.setAttribute("tabindex", own ? 0 : -1);
    }));
    for (const band of state.bands) band.path.classList.toggle("lit", band.up >= EASE && lit[band.l].has(band.j) && lit[band.l - 1].has(band.i));
    const n = hits ? sum(hits.map((map) => map.size)) : 0;
    count.textContent = hits ? (n ? `${n} topic${n > 1 ? "s" : ""}` : "no strong feature") : "";
  }

  // keys
  function neighbor(key, l, j) {
    const order = data.layers[l].order, n = order.indexOf(j);
    if (key === "ArrowDown") return [l, order[Math.min(n + 1, order.length - 1)]];
    if (key === "ArrowUp") return [l, order[Math.max(n - 1, 0)]];
    if (key === "Home") return [l, order[0]];
    if (key === "End") return [l, order[order.length - 1]];
    if (key === "ArrowLeft" && l + 1 < L) return [l + 1, (kin.parents[l][j][0] || [data.layers[l + 1].order[0]])[0]];
    if (key === "ArrowRight" && l > 0) return [l - 1, (kin.children[l][j][0] || [data.layers[l - 1].order[0]])[0]];
    return null;
  }
  layers.addEventListener("keydown", guard((event) => {
    const to = event.ctrlKey || event.metaKey || event.altKey ? null : neighbor(event.key, ...selected());
    if (!to && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own use for arrows
    state.hover = null;
    if (to) select(...to, true); else { search.value = state.query = ""; highlight(); drawTopic(); }
  }));
  const slash = guard((event) => {
    if (event.target.matches("input:not([type=range])")) { event.stopPropagation(); return; }
    if (event.key === "/") { event.preventDefault(); event.stopPropagation(); search.focus(); }
  });
  if (model.get("has_kernel")) keepKeys(root);
  (model.get("has_kernel") ? root : document).addEventListener("keydown", slash); // a page of its own may listen everywhere, a cell may not

  // the topic
  /** What stands for a topic in a line of text: its name, or a small picture when it has no name of its own. */
  function emblem(l, j, n) {
    if (!data.shape || isCurve(data) || names()[keyOf(l, j)]) return h("span", { class: "name" }, nameOf(l, j, n));
    return fill(picture(data.layers[l].topics[j].image, data.shape, rgb(root)), { class: "emblem", role: "img", "aria-label": nameOf(l, j), style: { outlineColor: colorOf(l, j) } }, []);
  }
  const chip = (l, j, part) => h("button", { class: "chip", type: "button", title: `layer ${l}, topic ${j}: ${nameOf(l, j, 8)}`, onclick: () => select(l, j) },
    data.shape && !isCurve(data) ? null : h("i", { style: { background: colorOf(l, j) } }), emblem(l, j, 2), part === undefined ? null : h("span", { class: "quiet num" }, percent(part)));

  function kinRows(l, j) {
    const rows = [], up = kin.parents[l][j], down = kin.children[l][j].filter(([, , part]) => part >= 0.01).slice(0, 8), twins = data.layers[l].topics[j].twins;
    if (up.length) rows.push(h("span", { class: "quiet" }, "flows into"), h("div", {}, up.map(([i, part]) => chip(l + 1, i, part))));
    if (down.length) rows.push(h("span", { class: "quiet" }, "made of"), h("div", {}, down.map(([i, , part]) => chip(l - 1, i, part))));
    const classes = data.layers[l].topics[j].classes || [];
    if (classes.length) rows.push(h("span", { class: "quiet" }, "speaks for"), h("div", {}, classes.map(([name, part]) => h("span", { class: "chip class", title: `${percent(part)} of what this topic adds to the scores of classes` }, h("span", { class: "name" }, name), h("span", { class: "quiet num" }, percent(part))))));
    if (twins.length) rows.push(h("span", { class: "flag" }, "duplicate of"), h("div", {}, twins.map((i) => chip(l, i))));
    return rows.length ? h("div", { class: "kin" }, rows) : h("div", { style: { height: "8px" } });
  }

  function drawTitle(l, j) {
    const swatch = h("span", { class: "swatch", style: { background: colorOf(l, j) } });
    if (!state.renaming) {
      const button = h("button", { class: "plain rename", type: "button", onclick: guard(() => { state.renaming = true; drawTopic(); const input = topic.querySelector("input"); input.focus(); input.select(); }) }, "rename");
      return h("div", { class: "title" }, swatch, h("h3", {}, nameOf(l, j)), button);
    }
    const input = h("input", { type: "text", maxlength: 80, "aria-label": "name of the topic; empty for its features" });
    input.value = names()[keyOf(l, j)] || "";
    input.placeholder = label(data, {}, l, j);
    const done = guard((keep) => {
      if (!state.renaming) return;
      state.renaming = false;
      if (keep) rename(l, j, input.value.trim()); else drawTopic();
      topic.querySelector(".rename").focus();
    });
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault(); // or the key would press the button that gets the focus
      event.stopPropagation();
      done(event.key === "Enter");
    });
    input.addEventListener("blur", () => done(true));
    return h("div", { class: "title" }, swatch, input);
  }

  function rename(l, j, name) {
    const { [keyOf(l, j)]: old, ...others } = names();
    model.set("names", name ? { ...others, [keyOf(l, j)]: name } : others);
    model.save_changes();
    drawTopic();
  }

  const slider = h("input", { type: "range", min: 0, max: 1, step: 0.1, value: 1, "aria-label": "relevance: 0 distinctive, 1 frequent" });
  slider.addEventListener("input", guard(() => { state.lambda = Number(slider.value); drawFeatures(); }));
  const features = h("div", { class: "features" }), reading = h("span", { class: "num" });
  const control = h("label", { class: "slider" }, h("span", {}, "distinctive"), slider, h("span", {}, "frequent ", reading));

  function drawTopic() {
    const [l, j] = selected(), one = data.layers[l].topics[j];
    const facts = h("p", { class: "quiet num" }, `layer ${l}, topic ${j} · ${percent(one.share)} of the reconstruction`, one.dead ? h("span", { class: "flag" }, " · dead: explains nothing") : null,
      !model.get("has_kernel") && names()[keyOf(l, j)] ? " · name kept in this page only" : null);
    const body = data.shape ? drawFactor(one) : one.dead ? [] : [control, features, drawLegend(one)];
    topic.replaceChildren(h("div", { class: "eyebrow" }, "topic"), drawTitle(l, j), facts, kinRows(l, j), ...[body].flat());
    if (!data.shape && !one.dead) drawFeatures();
  }

  function drawFactor(one) {
    if (isCurve(data)) return drawSpectrum(one);
    const canvas = picture(one.image, data.shape, rgb(root));
    fill(canvas, { class: "factor", role: "img", "aria-label": "the topic as a picture", style: { borderColor: one.color } }, []);
    return canvas;
  }

  function drawSpectrum(one) {
    const tops = peaks(one.image, data.axis).join(", ");
    return h("div", { class: "spectrum" }, h("div", { class: "plot", role: "img", "aria-label": `the topic as a curve with peaks at ${tops}` }, curve(one.image, data.axis, one.color)),
      h("div", { class: "x num" }, h("span", {}, data.ends[0]), h("span", {}, data.ends[1])), h("p", { class: "legend" }, one.dead ? "" : `peaks at ${tops}`));
  }

  const drawLegend = (one) => h("p", { class: "legend" }, h("span", {}, h("i", { style: { background: one.color } }), "share of the topic"), h("span", {}, h("i", { class: "ghost" }), `share of ${data.reference}`));

  /** Rows are kept from one position of the slider to the next, so that they move instead of jumping. */
  function drawFeatures() {
    const [l, j] = selected(), one = data.layers[l].topics[j], rows = ranked(data, one, state.lambda), text = state.query.trim().toLocaleLowerCase();
    const most = Math.max(...rows.map(([, phi, p]) => Math.max(phi, p))), old = new Map([...features.children].map((row) => [row.dataset.key, row]));
    reading.textContent = `λ ${state.lambda.toFixed(1)}`;
    ruler.font = '13px system-ui, "DejaVu Sans", sans-serif';
    features.style.setProperty("--names", `${Math.ceil(Math.max(...rows.map(([i]) => ruler.measureText(data.features[i]).width))) + 2}px`);
    features.style.height = `${22 * rows.length}px`;
    rows.forEach(([i, phi, p], n) => {
      const key = `${l},${j},${i}`, row = old.get(key) || newFeature(key, i, one, phi, p);
      old.delete(key);
      const [name, track] = row.children, [bar, ghost] = track.children, hit = text && data.features[i].toLocaleLowerCase().includes(text);
      name.replaceChildren(hit ? h("mark", {}, data.features[i]) : data.features[i]);
      row.style.transform = `translateY(${22 * n}px)`;
      row.dataset.rank = n;
      bar.style.width = `${(100 * phi) / most}%`;
      ghost.style.width = `${(100 * p) / most}%`;
      if (!row.parentNode) features.append(row);
    });
    for (const row of old.values()) row.remove();
  }

  const newFeature = (key, i, one, phi, p) => h("div", { class: "feature", "data-key": key, title: `${data.features[i]}: ${(100 * phi).toPrecision(3)}% of the topic, ${(100 * p).toPrecision(3)}% of ${data.reference}` },
    h("span", {}, data.features[i]), h("span", { class: "track" }, h("i", { style: { background: one.color } }), h("i", { class: "ghost" })), h("span", { class: "num" }, `${(100 * phi).toFixed(1)}%`));

  // the examples
  function drawExamples() {
    const [l, j] = selected(), listed = data.layers[l].topics[j].points;
    const list = h("ol", {}, listed.map(([m, share]) => drawExample(data.points[m], share, l, j)));
    examples.replaceChildren(h("div", { class: "eyebrow" }, "examples", h("span", {}, L > 1 ? "strongest data points, and their paths" : "strongest data points, and their topics")), listed.length ? list : h("p", { class: "quiet" }, "no data point has this topic"));
  }

  function drawExample(point, share, l, j) {
    const errors = !data.shape && point.errors ? h("p", { class: "quiet num", style: { fontSize: "11.5px" } }, "relative error at depth ", point.errors.map((e, d) => `${d}: ${e.toFixed(2)}`).join(" · ")) : null;
    return h("li", { class: "example" }, h("div", { class: "line" }, h("h4", { title: point.name }, point.name), h("span", { class: "quiet num", title: "share of this topic in the data point" }, percent(share))),
      point.text ? h("p", {}, point.text) : null, data.shape ? drawStrip(point) : null, drawStack(point), drawPaths(point, l, j), errors);
  }

  function drawStrip(point) {
    return h("div", { class: "strip" }, point.images.map((pixels, n) => pixels === null ? null : h("figure", {}, isCurve(data) ? curve(pixels, data.axis, `rgb(${rgb(root)})`) : picture(pixels, data.shape, rgb(root)),
      h("figcaption", { class: "num" }, n ? `depth ${n - 1}${point.errors ? `: ${point.errors[n - 1].toFixed(2)}` : ""}` : "data"))));
  }

  const drawStack = (point) => h("div", { class: "stack", title: "the heaviest paths; gray: all others" }, point.paths.map(([path, share]) => h("span", { style: { width: `${100 * share}%`, background: colorOf(0, path[0]) } })));

  function drawPaths(point, l, j) {
    return h("ul", { class: "paths" }, point.paths.slice(0, 3).map(([path, share]) => {
      const steps = path.map((i, m) => [m, i]).reverse(), on = path[l] === j;
      const way = steps.flatMap(([m, i], n) => [n ? " › " : null, h("button", { type: "button", class: m === l && i === j ? "here" : null, title: `layer ${m}, topic ${i}: ${nameOf(m, i, 8)}`, onclick: () => select(m, i) }, emblem(m, i, L > 3 ? 1 : 2))]);
      return h("li", { class: on ? "on" : null }, h("span", { class: "num" }, percent(share)), h("span", { class: "way" }, way));
    }));
  }

  // the fit
  function drawFit() {
    const row = ({ fit: one }, l) => [h("tr", {}, h("td", { class: "num" }, `${l}`), h("td", { title: `A ${one.A.join(" × ")}, S ${one.S.join(" × ")}` }, one.rank),
      h("td", { style: { width: "34%" } }, gauge(one)), h("td", { class: "num" }, one.error.toFixed(3)), h("td", { class: "num" }, one.floor === null ? "?" : one.floor.toFixed(3)),
      h("td", {}, h("span", { class: `light ${one.light}`, title: `certificate: ${one.light}` }, one.words))),
      one.remarks === "none" ? null : h("tr", { class: "remarks" }, h("td"), h("td", { colspan: 5 }, one.remarks))];
    const head = ["depth", "topics", "error (bar), floor (tick)", "error", "floor", "certificate"].map((text) => h("th", { scope: "col" }, text));
    const shapes = data.layers.map(({ fit: one }, l) => `A${"₀₁₂₃₄₅₆₇₈₉"[l] || l} ${one.A.join(" × ")}`).join(", ");
    fit.replaceChildren(h("div", { class: "eyebrow" }, "fit", h("span", {}, "relative error, 0 is perfect")), h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, data.layers.map(row))),
      h("p", { class: "quiet num", style: { fontSize: "11.5px", marginTop: "6px" } }, shapes), data.history ? drawHistory(data.history) : "");
  }

  const gauge = (one) => h("div", { class: "gauge", role: "img", "aria-label": `error ${one.error}, floor ${one.floor}` }, h("i", { style: { width: `${clamp(100 * one.error, 0, 100)}%` } }),
    one.floor === null ? null : h("b", { style: { left: `calc(${clamp(100 * one.floor, 0, 100)}% - 1px)` }, title: `floor ${one.floor}` }));

  /** Every curve on a scale of its own: depths differ more than iterations do. */
  function drawHistory({ title, each, curves, lengths, floors }) {
    const drawn = curves.map((values, n) => values.length < 2 ? null : h("div", { class: "depth" }, h("div", { class: "line" }, h("span", {}, curves.length > 1 ? `${each} ${n}` : ""),
      h("span", { class: "quiet num" }, floors[n] === null ? "" : `lowest possible ${floors[n].toPrecision(3)}`)), lineChart(values.map((_, t) => 1 + Math.round((t * (lengths[n] - 1)) / (values.length - 1))), values, floors[n], title)));
    return h("div", { class: "history" }, h("div", { class: "eyebrow later" }, "training", h("span", {}, `${title}${each === "layer" && curves.length > 1 ? " of each layer's own data" : ""}${floors.some((v) => v !== null) ? " · dashed: lowest possible" : ""}`)), drawn);
  }

  // wiring
  const all = guard(() => { drawLayers(); drawTopic(); drawExamples(); });
  const moved = guard(() => { state.renaming = false; highlight(); drawTopic(); drawExamples(); });
  const failed = () => { alert.textContent = model.get("error") || ""; };
  model.on("change:selected", moved);
  model.on("change:names", all);
  model.on("change:error", failed);
  el.replaceChildren(root);
  const resized = new ResizeObserver(guard(() => { if (Math.abs((layers.clientWidth || state.width) - state.width) > 1) drawLayers(); }));
  // Only pictures are drawn in colors of the theme, and JupyterLab takes a moment to load one.
  const retint = () => data.shape && setTimeout(all, 600), themed = new MutationObserver(retint), scheme = matchMedia("(prefers-color-scheme: dark)");
  all();
  guard(drawFit)();
  failed();
  resized.observe(layers);
  themed.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
  scheme.addEventListener("change", retint);
  return () => {
    resized.disconnect(); themed.disconnect(); scheme.removeEventListener("change", retint);
    model.off("change:selected", moved); model.off("change:names", all); model.off("change:error", failed);
  };
}

/** What a page without a kernel has in place of the widget's model. */
function standalone(state) {
  const listeners = {};
  return {
    get: (name) => state[name],
    set(name, value) { state[name] = value; for (const tell of listeners[`change:${name}`] || []) tell(); },
    on(event, tell) { (listeners[event] ||= []).push(tell); },
    off(event, tell) { listeners[event] = (listeners[event] || []).filter((one) => one !== tell); },
    save_changes() {},
  };
}

export default { render };
