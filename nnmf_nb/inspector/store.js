// All documents: where a pane gets lists, texts and words from. With a kernel they are asked for
// there; a page has them packed. Both answer alike: see `Documents` in nbs/inspector/documents.ipynb.

import { bytesOf, countedOn, inflated, stringsOf, textsOf } from "./packed.js";

export const PAGE_SIZE = 12; // documents on a page of a list
const OPENING = 160; // letters of a text that a list shows
const SURE = 0.4; // part of a word that belongs to a topic above which it speaks for it
const LIFT = 1.6; // how much more a topic uses a word that speaks for it than all topics do

/** Where documents come from; null when this page has none but the examples. */
export function storeOf(view) {
  if (view.hasKernel) return kernelStore(view);
  const packed = view.model.get("documents");
  return packed ? pageStore(view, packed) : null;
}

function kernelStore(view) {
  return {
    searched: "names and whole texts",
    canRead: Boolean(view.data.texts),
    list: (wanted) => view.ask({ list: wanted }),
    read: (m, l, j) => view.ask({ read: m, topic: [l, j] }),
    numbers: async (wanted) => (await view.ask({ numbers: wanted })).numbers,
    glance: (m, l, j) => view.ask({ glance: m, topic: [l, j] }),
    words: async (query) => (await view.ask({ words: query })).words,
    word: async (i, l) => (await view.ask({ word: i, layer: l })).parts,
  };
}

/** Which documents a list may have; null: all. */
const allowedIn = (view, wanted) =>
  wanted.chosen || wanted.bins ? view.points.allowed(wanted) : null;

function pageStore(view, packed) {
  const unpacked = unpack(view, packed);
  const seen = {
    whole: "names and whole texts",
    opening: `names and the first ${packed.opening} letters of each text; what comes later in a text is not on this page`,
  };
  return {
    unpacked,
    searched: seen[packed.kind] || "names; this page holds no texts",
    canRead: Boolean(packed.kind),
    list: async (wanted) => listed(await unpacked, wanted, await allowedIn(view, wanted)),
    numbers: async (wanted) => listOf(await unpacked, wanted, await allowedIn(view, wanted)).numbers,
    glance: async (m, l, j) => glanceOf(await unpacked, m, l, j),
    shares: async () => (await unpacked).shares,
    titles: async () => (await unpacked).titles,
    read: async (m, l, j) => readFrom(await unpacked, m, l, j),
    words: async (query) => wordsLike(await unpacked, query),
    word: async (i, l) => partsOf((await unpacked).parts[l], (await unpacked).names.length, i),
  };
}

// --- a page without a kernel --------------------------------------------------------------------

async function unpack({ data }, packed) {
  const { n, texts } = packed;
  const names = await stringsOf(packed.words);
  const ranking = await inflated(packed.ranking);
  const made = {
    n,
    names,
    numbers: new Map(names.map((name, i) => [name.toLowerCase(), i])),
    ranking: new Uint32Array(ranking.buffer),
    titles: countedOn(await stringsOf(packed.names)),
    shares: await Promise.all(packed.shares.map(inflated)),
    parts: await Promise.all(packed.parts.map(inflated)),
    topics: data.layers.map((layer) => layer.topics.map((topic) => topic.share)),
    first: Int32Array.from({ length: n }, (_, m) => m),
    copies: new Map(),
    texts: null,
    memory: {},
  };
  for (const [m, other] of packed.copies) {
    made.first[m] = other;
    made.copies.set(other, [...(made.copies.get(other) || []), m]);
  }
  if (texts) {
    const words = await stringsOf(texts.words);
    made.texts = textsOf(words, texts.lengths, bytesOf(texts.codes), n);
    made.cut = await inflated(texts.cut);
  }
  return made;
}

/** Which documents have every word of a search in their name or text; kept until another search. */
function matching(store, query) {
  if (store.memory.query !== query) store.memory.hits = matchingNow(store, query);
  store.memory.query = query;
  return store.memory.hits;
}

function matchingNow(store, query) {
  const terms = query.toLowerCase().split(/\s+/).filter(Boolean);
  store.memory.lower ||= store.titles.map((title, m) =>
    `${title}\n${store.texts ? store.texts[m] : ""}`.toLowerCase(),
  );
  return Uint8Array.from(store.memory.lower, (one) => terms.every((term) => one.includes(term)));
}

const tableColumn = (store, l, j) => store.shares[l].subarray(j * store.n, (j + 1) * store.n);

/** The numbers of documents from the largest percent to the smallest. */
function byPercent(chosen, column) {
  const buckets = Array.from({ length: 101 }, () => []);
  for (const m of chosen) buckets[100 - column[m]].push(m);
  return buckets.flat();
}

/** The list that was asked for, kept until another is. */
function listOf(store, { layer, topic, query, order, chosen }, allowed) {
  const key = JSON.stringify([layer, topic, query, order, chosen]);
  if (store.memory.key === key && !allowed) return store.memory.list;
  const column = tableColumn(store, layer, topic);
  const mainTopic = mainTopics(store, layer);
  const hits = query.trim() ? matching(store, query) : null;
  const isCandidate = (m) => (hits ? hits[m] : chosen || column[m]) > 0;
  const isListed = (m) => (!allowed || allowed[m] === 1) && isCandidate(m);
  const listed = [];
  const numbers = []; // near copies, too
  let main = 0;
  for (let m = 0; m < store.n; m++) {
    if (!isListed(m)) continue;
    numbers.push(m);
    if (column[m] > 0 && mainTopic[m] === topic) main += 1;
    // a copy whose first one is not listed stands for itself
    if (store.first[m] === m || !isListed(store.first[m])) listed.push(m);
  }
  const sorted = order === "share" ? byPercent(listed, column) : listed;
  store.memory.key = allowed ? null : key;
  store.memory.list = { sorted, copies: numbers.length - listed.length, main, numbers };
  return store.memory.list;
}

/** The largest topic of each document at a level, the first one of equals. */
function mainTopics(store, l) {
  store.memory.main ||= [];
  if (store.memory.main[l]) return store.memory.main[l];
  const { n, shares, topics } = store;
  const main = new Uint16Array(n);
  const most = shares[l].slice(0, n);
  for (let j = 1; j < topics[l].length; j++) {
    for (let m = 0; m < n; m++) {
      if (shares[l][j * n + m] <= most[m]) continue;
      most[m] = shares[l][j * n + m];
      main[m] = j;
    }
  }
  store.memory.main[l] = main;
  return main;
}

function listed(store, wanted, allowed) {
  if (wanted.only !== undefined) return alone(store, wanted);
  const { sorted, copies, main } = listOf(store, wanted, allowed);
  const start = Math.max(0, Math.min(wanted.start, sorted.length - 1));
  const rows = sorted.slice(start, start + PAGE_SIZE).map((m) => rowOf(store, m, wanted.layer));
  return { total: sorted.length, copies, main, start, rows };
}

/** One document as a list. */
function alone(store, { only, layer, topic }) {
  const has = tableColumn(store, layer, topic)[only] > 0;
  const main = Number(has && mainTopics(store, layer)[only] === topic);
  return { total: 1, copies: 0, main, start: 0, rows: [rowOf(store, only, layer)] };
}

/** What the map says of a document: name, topics, words of its opening that speak for a topic. */
function glanceOf(store, m, l, j) {
  const { name, shares, text } = rowOf(store, m, l);
  const marks = markedIn(store, m, l, j, text);
  const isBefore = (a, b) => (a < b ? -1 : 1);
  marks.sort((a, b) => b[1] - a[1] || isBefore(a[0], b[0]));
  return { name, shares, words: marks.map(([word]) => word) };
}

/** Parts of a row of a table that is stored by columns: [column, part], largest first. */
function partsOf(table, n, row) {
  const parts = [];
  for (let j = 0; j * n < table.length; j++) {
    if (table[j * n + row]) parts.push([j, table[j * n + row] / 100]);
  }
  return parts.sort((a, b) => b[1] - a[1]);
}

const isCut = (store, m) => Boolean((store.cut[m >> 3] >> (7 - (m & 7))) & 1);

function rowOf(store, m, l) {
  const text = store.texts ? store.texts[m] : "";
  return {
    m,
    name: store.titles[m],
    text: opening(text),
    cut: Boolean(store.texts) && (isCut(store, m) || onOneLine(text).length > OPENING),
    shares: partsOf(store.shares[l], store.n, m),
    copies: (store.copies.get(m) || []).map((other) => store.titles[other]),
  };
}

const onOneLine = (text) => text.split(/\s+/).filter(Boolean).join(" ");

/** The beginning of a text on one line, as `shorten` of Python makes it. */
function opening(text, most = OPENING) {
  const line = onOneLine(text).replaceAll(" …", "…");
  if (line.length <= most) return line;
  const cut = line.slice(0, most - 1);
  const whole = line[most - 1] === " " ? most : cut.lastIndexOf(" ");
  return `${(whole > Math.floor(most / 2) ? cut.slice(0, whole) : cut).trimEnd()}…`;
}

function readFrom(store, m, l, j) {
  const text = store.texts[m];
  return { text, rest: 0, isOpening: isCut(store, m), marks: markedIn(store, m, l, j, text) };
}

/** The words of a text that speak for a topic: [word, how surely]. */
function markedIn(store, m, l, j, text) {
  const { names, parts, n } = store;
  const k = store.topics[l].length;
  const words = new Set(text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) || []);
  const marks = [];
  for (const word of words) {
    const i = store.numbers.get(word);
    if (i === undefined) continue;
    const lifts = store.topics[l].map((share, a) =>
      share > 0 ? parts[l][a * names.length + i] / 100 / share : 0,
    );
    const weights = lifts.map((lift, a) => (lift * store.shares[l][a * n + m]) / 100);
    let all = 0;
    let best = 0;
    for (let a = 0; a < k; a++) {
      all += weights[a];
      if (weights[a] > weights[best]) best = a;
    }
    const sure = weights[j] / Math.max(all, 1e-300);
    if (best === j && sure > SURE && lifts[j] > LIFT) marks.push([word, sure]);
  }
  return marks;
}

/** The words of the model that a search means: equal ones first, then the most used. */
function wordsLike({ names, numbers, ranking }, query, most = 8) {
  const text = query.trim().toLowerCase();
  if (!text) return [];
  const hits = [...numbers].filter(([name]) => name.includes(text));
  const isOther = (name) => Number(name !== text);
  hits.sort((a, b) => isOther(a[0]) - isOther(b[0]) || ranking[a[1]] - ranking[b[1]]);
  return hits.slice(0, most).map(([, i]) => [names[i], i]);
}
