// All data points at once: where they stand on the map, in which bin they are, and which of them
// are shown (chosen by a lasso, in some bins). See `Overview` in nbs/inspector/overview.ipynb.

import { inflated } from "./packed.js";

/** What the map and the river know of data points; `load` gets it when it is first wanted. */
export function pointsOf(view) {
  const { data, model } = view;
  const points = {
    bins: null, // numbers of the bins that are shown
    loaded: null, // n, x, y, bin, pictures or curves, shares and mains of levels, once they are there
    isReady: () => Boolean(points.loaded),
    chosen: () => model.get("selected_samples") || [],
    choose(numbers) {
      model.set("selected_samples", numbers);
      model.save_changes();
    },
  };
  let promise = null;
  let version = 0;
  const memory = {};
  /** A number that is another one when other data points are shown. */
  points.version = () => version;
  points.isChanged = () => {
    version += 1;
  };
  points.load = () => {
    if (promise) return promise;
    const mine = loadPoints(view).then((loaded) => {
      if (promise !== mine) return points.load(); // topics have changed meanwhile
      points.loaded = loaded;
      return loaded;
    });
    promise = mine;
    return promise;
  };
  /** Topics have changed: shares are other ones. */
  points.forget = () => {
    promise = null;
    points.loaded = null;
    points.isChanged();
  };
  points.brush = (bins) => {
    points.bins = bins;
    points.isChanged();
    for (const pane of Object.values(view.panes)) pane.filter?.();
  };
  /** 1 for data points in the bins that are shown (`wanted.bins`) and, if `wanted.chosen`,
   *  among the chosen ones. */
  points.allowed = async (wanted) =>
    allowedOf(await points.load(), wanted.bins, wanted.chosen ? points.chosen() : null);
  /** The same for what is shown now. */
  points.visible = () => {
    const chosen = points.chosen();
    if (memory.version !== version) {
      memory.allowed = allowedOf(points.loaded, points.bins, chosen.length ? chosen : null);
    }
    memory.version = version;
    return memory.allowed;
  };
  points.inBins = () => allowedOf(points.loaded, points.bins, null);
  points.describeBins = () => describeBins(data.by, points.bins);
  return points;
}

async function loadPoints(view) {
  const { hasKernel, model, data } = view;
  const packed = hasKernel ? await view.ask({ overview: true }, WAIT) : model.get("overview");
  const { n } = packed;
  const xy = numbersOf(await inflated(packed.positions), 2, n);
  const shares = packed.shares
    ? await Promise.all(packed.shares.map(inflated))
    : await view.store.shares();
  const made = { n, x: xy[0], y: xy[1], shares, bin: null };
  if (packed.pictures) {
    const { pixels, ...how } = packed.pictures;
    made.pictures = { ...how, bytes: await inflated(pixels) };
  }
  if (packed.bins) [made.bin] = numbersOf(await inflated(packed.bins), 1, n);
  made.mains = data.layers.map((layer, l) => largestTopics(shares[l], n, layer.topics.length));
  return made;
}

const WAIT = 120_000; // milliseconds: a kernel that makes a map of many data points takes a while

/** Columns of whole numbers whose low bytes come before their high bytes. */
function numbersOf(bytes, columns, n) {
  return Array.from({ length: columns }, (_, c) => {
    const low = 2 * c * n;
    return Uint16Array.from({ length: n }, (_, m) => bytes[low + m] + 256 * bytes[low + n + m]);
  });
}

/** The largest topic of each data point; as many as there are topics where nothing is explained. */
function largestTopics(shares, n, k) {
  const main = new Uint16Array(n).fill(k);
  const most = new Uint8Array(n);
  for (let j = 0; j < k; j++) {
    for (let m = 0; m < n; m++) {
      if (shares[j * n + m] <= most[m]) continue;
      most[m] = shares[j * n + m];
      main[m] = j;
    }
  }
  return main;
}

function allowedOf({ n, bin }, bins, chosen) {
  const allowed = new Uint8Array(n).fill(chosen ? 0 : 1);
  for (const m of chosen || []) allowed[m] = 1;
  if (!bins || !bin) return allowed;
  const isIn = new Set(bins);
  for (let m = 0; m < n; m++) if (!isIn.has(bin[m])) allowed[m] = 0;
  return allowed;
}

/** What bins are called together; empty when all are shown. */
function describeBins(by, bins) {
  if (!bins || !by) return "";
  if (by.kind === "group") return bins.map((b) => by.labels[b]).join(", ");
  const [first, last] = [by.labels[bins[0]], by.labels[bins[bins.length - 1]]];
  if (first === last) return first;
  return `${first.split("–")[0]}–${last.split("–").pop()}`;
}

/** Mean shares (0 to 1) of the topics of a level in data points: [topic, share], largest first. */
export function meanShares({ n, shares }, l, allowed) {
  const k = shares[l].length / n;
  const found = [];
  let count = 0;
  for (let m = 0; m < n; m++) count += allowed[m];
  for (let j = 0; j < k; j++) {
    let all = 0;
    for (let m = 0; m < n; m++) all += allowed[m] * shares[l][j * n + m];
    if (all) found.push([j, all / 100 / count]);
  }
  return found.sort((a, b) => b[1] - a[1]);
}
