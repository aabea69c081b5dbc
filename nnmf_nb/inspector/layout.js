// Where the bars and ribbons of the layers are. Nothing is drawn here.

import { clamp, sum } from "./elements.js";
import { isCurve } from "./payload.js";

export const BAR = 11; // width of a bar
const HEAD = 26; // height of a heading

/** Sizes in pixels: `low` of the slot of a topic, `item` of a slot with its gap, `limit` of a
 *  column; and how many topics of a layer have a bar of their own (`most`) until it is opened. */
function measures(data, narrow, isAbreast) {
  if (data.shape) return { low: 24, item: 30, most: 26, limit: 800 };
  if (isAbreast) return { low: 15, item: 30, most: 36, limit: 660 };
  if (narrow) return { low: 24, item: 27, most: 22, limit: 660 };
  return { low: 15, item: 25, most: 36, limit: 660 };
}

/** The topics of a layer with a bar of their own (those that are wanted, then the largest), in
 *  order, and those that share one bar. */
function ownBars(layer, most, wanted) {
  if (layer.order.length <= most) return { own: layer.order, hidden: [] };
  const bySize = [...layer.order].sort((a, b) => layer.topics[b].share - layer.topics[a].share);
  const chosen = new Set(wanted.slice(0, most - 1));
  for (const j of bySize) {
    if (chosen.size >= most - 1) break;
    chosen.add(j);
  }
  return {
    own: layer.order.filter((j) => chosen.has(j)),
    hidden: layer.order.filter((j) => !chosen.has(j)),
  };
}

/** Tops of the bars of a column: each in the middle of its slot, spare room between the slots. */
function slotTops(talls, low, gaps, room) {
  const sizes = talls.map((t) => Math.max(t, low));
  const spare = Math.max(0, room - sum(sizes) - sum(gaps));
  const more = gaps.length ? spare / gaps.length : 0;
  let y = gaps.length ? 0 : spare / 2;
  return sizes.map((size, n) => {
    const top = y + (size - talls[n]) / 2;
    y += size + (gaps[n] || 0) + more;
    return top;
  });
}

/** The largest number of pixels per share with which a column fits into the room. */
function unitHeight({ shares, low, gaps }, room) {
  let few = 0;
  let many = room;
  for (let n = 0; n < 40; n++) {
    const unit = (few + many) / 2;
    const size = sum(shares.map((x) => Math.max(x * unit, low))) + sum(gaps);
    if (size <= room) few = unit;
    else many = unit;
  }
  return few;
}

/** Horizontal places: where each layer is, and how much is left beside the outer ones. */
function columnPlaces(data, width, wide, isAbreast) {
  const L = data.layers.length;
  const curves = isCurve(data);
  let left = 3;
  const edge = data.shape ? 0.16 : isAbreast && L < 3 ? 0.29 : 0.24; // two words of most labels
  if (wide) left = curves ? 134 : Math.min(200, width * edge);
  let right = width - left - BAR;
  if (L > 1) {
    const two = isAbreast ? 0.39 : wide ? 0.34 : 0.45;
    const part = L > 3 ? 0.2 : L === 3 ? 0.29 : two;
    right = clamp(width * part, 60, 260);
    if (data.shape) right = curves ? 134 : clamp(width * 0.15, 84, 120);
  }
  const step = L > 1 ? (width - left - right - BAR) / (L - 1) : 0;
  return { x: data.layers.map((_, l) => left + (L - 1 - l) * step), right };
}

/** What a column needs: shares, gaps between families, and the least height of a slot. */
function columnOf(data, kin, l, bars, room, low) {
  const layer = data.layers[l];
  const outermost = l === data.layers.length - 1;
  const items = [...bars.own, ...(bars.hidden.length ? [null] : [])];
  const spare = (0.1 * room) / items.length;
  const family = (j) => (j === null ? null : (kin.parents[l][j][0] || [-1])[0]);
  const gaps = items.slice(1).map((j, n) => {
    const apart = outermost || family(j) !== family(items[n]);
    return apart ? Math.min(9, spare) : Math.min(1.5, spare / 5);
  });
  const others = sum(bars.hidden.map((j) => layer.topics[j].share));
  const shares = items.map((j) => (j === null ? others : layer.topics[j].share));
  return { items, gaps, shares, low: Math.min(low, (0.9 * room) / items.length) };
}

/** Bars of one column: for every topic its top, height and slot; hidden topics divide the bar
 *  that they share, which is returned as `group`. */
function placeColumn(layer, column, hidden, unit, room) {
  const talls = column.shares.map((share) => share * unit);
  const tops = slotTops(talls, column.low, column.gaps, room);
  const bars = [];
  let group = null;
  column.items.forEach((j, n) => {
    const slot = Math.max(talls[n], column.low);
    const bar = { top: HEAD + tops[n], tall: talls[n], slot };
    if (j === null) group = { ...bar, hidden, share: column.shares[n] };
    else bars[j] = bar;
  });
  let top = group?.top;
  for (const j of hidden) {
    const tall = layer.topics[j].share * unit;
    bars[j] = { top, tall, slot: tall };
    top += tall;
  }
  return { bars, group };
}

/** Positions of all bars in `width` pixels: supertopics left, the finest topics right, as in
 *  plot_tree. `open`: layers all of whose topics have a bar; `wanted`: for every layer the topics
 *  that need one most, the first ones first; `isAbreast`: the map stands beside them. */
export function layout(data, kin, width, open, wanted, isAbreast = false) {
  const L = data.layers.length;
  const wide = L > 1 && (isAbreast || width >= 560);
  const { low, item, most, limit } = measures(data, width < 560, isAbreast);
  const chosen = data.layers.map((layer, l) =>
    ownBars(layer, open.has(l) ? Infinity : most, wanted[l]),
  );
  const count = ({ own, hidden }) => own.length + (hidden.length ? 1 : 0);
  const longest = Math.max(...chosen.map(count));
  const room = Math.max(isAbreast ? 560 : 300, open.size ? longest * item : Math.min(longest * item, limit));
  const columns = data.layers.map((_, l) => {
    const least = l === L - 1 && wide ? Math.max(low, 30) : low;
    return columnOf(data, kin, l, chosen[l], room, least);
  });
  const unit = Math.min(...columns.map((column) => unitHeight(column, room)));
  const placed = data.layers.map((layer, l) =>
    placeColumn(layer, columns[l], chosen[l].hidden, unit, room),
  );
  return {
    ...columnPlaces(data, width, wide, isAbreast),
    wide,
    most,
    own: chosen.map((one) => one.own),
    bars: placed.map((one) => one.bars),
    groups: placed.map((one) => one.group),
    height: HEAD + room + 4,
  };
}

/** The place of every topic in the order of its layer. */
function placesIn(order) {
  const place = [];
  order.forEach((j, n) => {
    place[j] = n;
  });
  return place;
}

/** The ribbons between two layers: where each leaves its supertopic and arrives at its
 *  subtopic. */
function bandsOf(data, place, l) {
  const below = placesIn(data.layers[l - 1].order);
  const own = placesIn(data.layers[l].order);
  const left = {};
  const arrived = {};
  const flows = [...data.layers[l].flows].sort((a, b) => below[a[0]] - below[b[0]]);
  const drawn = flows.map(([i, j, up, down]) => {
    const bar = place.bars[l][j];
    const start = left[j] || 0;
    left[j] = start + down * bar.tall;
    return { l, i, j, up, y0: bar.top + start, t0: down * bar.tall };
  });
  for (const band of [...drawn].sort((a, b) => own[a.j] - own[b.j])) {
    const bar = place.bars[l - 1][band.i];
    const start = arrived[band.i] || 0;
    band.y1 = bar.top + start;
    band.t1 = band.up * bar.tall;
    arrived[band.i] = start + band.t1;
  }
  return drawn;
}

export function bands(data, place) {
  return data.layers.flatMap((_, l) => (l ? bandsOf(data, place, l) : []));
}

/** The outline of a ribbon as the `d` of a path. */
export function bandPath(place, { l, y0, t0, y1, t1 }) {
  const start = place.x[l] + BAR;
  const end = place.x[l - 1];
  const middle = (start + end) / 2;
  const at = (...numbers) => numbers.map((v) => v.toFixed(1)).join(" ");
  const low0 = y0 + Math.max(t0, 0.6);
  const low1 = y1 + Math.max(t1, 0.6);
  return (
    `M${at(start, y0)}C${at(middle, y0)} ${at(middle, y1)} ${at(end, y1)}` +
    `V${at(low1)}C${at(middle, low1)} ${at(middle, low0)} ${at(start, low0)}Z`
  );
}
