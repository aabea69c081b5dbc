// What follows from the payload: kin, labels, order of features, what a search finds.

import { keyOf, sum } from "./elements.js";

export const EASE = 0.1; // part of a topic from which kin count as kin

/** Parents and children of every topic, each [other, part of the subtopic, part of the
 *  supertopic], the main ones first. */
export function kinship(data) {
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

/** Passes parts of topics on to a neighboring layer; what is too small is left out. */
function spread(from, to, links) {
  for (const [topic, part] of from) {
    for (const [other, up] of links[topic]) to.set(other, (to.get(other) || 0) + part * up);
  }
  for (const [topic, part] of to) if (part < EASE) to.delete(topic);
}

/** Ancestors and descendants of a topic: for every layer a map from topic to the part that
 *  links them. */
export function lineage(data, kin, l, j) {
  const lit = data.layers.map(() => new Map());
  lit[l].set(j, 1);
  for (let m = l; m + 1 < data.layers.length; m++) spread(lit[m], lit[m + 1], kin.parents[m]);
  for (let m = l; m > 0; m--) spread(lit[m], lit[m - 1], kin.children[m]);
  return lit;
}

/** What topics of a layer are called: topics and themes; by number when there are more layers. */
export function levelName(data, l) {
  if (data.layers.length > 2) return `topic of level ${l}`;
  return l ? "theme" : "topic";
}

export const levelNames = (data, l) =>
  data.layers.length > 2 ? `topics of level ${l}` : `${levelName(data, l)}s`;

/** How one topic is called by number. */
export function callOf(data, l, j) {
  return data.layers.length > 2 ? `level ${l}, topic ${j}` : `${levelName(data, l)} ${j}`;
}

/** How many topics a layer has, the longest way to say it first. */
export function countsOf(data, l) {
  const k = data.layers[l].topics.length;
  const many = k === 1 ? "" : "s";
  if (data.layers.length > 2) return [`level ${l} · ${k} topic${many}`, `level ${l} · ${k}`, `${k}`];
  return [`${k} ${levelName(data, l)}${many}`, `${k}`];
}

/** Topics may be words, pictures (shape: rows and columns) or curves (shape: one number). */
export const isCurve = (data) => data.shape?.length === 1;
export const isPicture = (data) => data.shape?.length === 2;

export function words(data, l, j) {
  return data.layers[l].topics[j].features.map((i) => data.features[i]);
}

/** The features that name a topic: the heaviest ones; of tensors those of one mode. */
export function naming(data, l, j) {
  if ((data.naming ?? null) === null) return words(data, l, j);
  return data.layers[l].topics[j].modes[data.naming].features.map((i) => data.features[i]);
}

/** The name of a topic: the given one, or the first n of its strongest features. */
export function label(data, names, l, j, n = 3) {
  const given = names[keyOf(l, j)];
  if (given) return given;
  if (data.layers[l].topics[j].dead) return "(dead)";
  if (isCurve(data)) return `peak at ${words(data, l, j)[0]}`;
  return isPicture(data) ? callOf(data, l, j) : naming(data, l, j).slice(0, n).join(" · ");
}

/** The features of a topic by relevance (Sievert and Shirley 2014): rows [feature, share of the
 *  topic, share of the reference]. */
export function ranked(data, topic, lambda) {
  const rows = topic.features.map((i, n) => [i, topic.weights[n], data.frequency[i]]);
  const relevance = ([, phi, p]) => Math.log(phi) - (1 - lambda) * Math.log(p);
  return rows.sort((a, b) => relevance(b) - relevance(a)).slice(0, data.top);
}

/** Topics that a search finds: for every layer a map from topic to the weight of what matched;
 *  null without a search. */
export function found(data, names, query) {
  const text = query.trim().toLocaleLowerCase();
  if (!text) return null;
  const matches = (name) => (name || "").toLocaleLowerCase().includes(text);
  const hits = new Set(data.features.flatMap((name, i) => (matches(name) ? [i] : [])));
  return data.layers.map((layer, l) => {
    const lit = new Map();
    layer.topics.forEach((topic, j) => {
      const weights = topic.features.map((i, n) => (hits.has(i) ? topic.weights[n] : 0));
      const weight = sum(weights) + (matches(names[keyOf(l, j)]) ? 1 : 0);
      if (weight > 0) lit.set(j, weight);
    });
    return lit;
  });
}
