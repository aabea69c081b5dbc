// Edits on a page without a kernel: they are written down, and `replay` makes them. The page shows
// the topics as they were, and knows which of them were merged, split or deleted since.

import { inflated } from "./packed.js";

const NEW_TOPICS = { merge: 1, create: 1, split: 2 };
const EVERY = "*"; // in place of a topic: all topics of the first layer
const FIRST_WORDS = 10; // of a topic, for `apply`

/** Takes messages as the kernel does; `state` is what it would answer. */
export function logOfPage(view, first) {
  const { page, ...given } = first;
  const place = `nnmf_nb edits ${page.start.start} ${page.start.log.length} ${view.data.fit}`;
  const listOf = async (text) => JSON.parse(new TextDecoder().decode(await inflated(text)));
  const exact = Promise.all([listOf(page.words), listOf(page.points)]);
  let entries = storedEntries(place); // of this page: [record, numbers of its data points]
  let undone = [];
  let refused = "";

  function state() {
    const now = structuredClone(given);
    const more = given.ids.map(() => 0); // topics that have no bar
    for (const [record, points] of entries) follow(now, more, record, points);
    const log = [...given.log, ...entries.map(([record]) => phraseOf(view, given, record))];
    const present = { refused, log, undone: undone.length, pinned: protectedBy(now, page.parts) };
    return { ...now, ...present, more, draft: null, refining: null, written: entries.length };
  }

  function append(record, points = []) {
    entries = [...entries, [record, points]];
    undone = [];
  }

  async function look(message) {
    const [words, names] = await exact;
    const now = state();
    check(view, now, page.parts, message, words);
    const { kind, topics = [], points = [], value = "" } = message;
    const isEverywhere = kind === "stop_words";
    const record = {
      kind,
      topics: isEverywhere ? [EVERY] : topics,
      words: message.words || [],
      points: points.map((m) => names[m]),
      new: newIds(NEW_TOPICS[kind] || 0),
      value,
      iterations: [],
      shown: isEverywhere ? [[]] : topics.map((topic) => firstWords(view, given, topic)),
    };
    append(record, points);
  }

  function newIds(n) {
    const numbers = entries.flatMap(([record]) => record.new.map((id) => Number(id.slice(1))));
    const last = Math.max(page.n_given, ...numbers);
    return Array.from({ length: n }, (_, i) => `t${last + 1 + i}`);
  }

  function refine({ n, others }) {
    const empty = { topics: [], words: [], points: [], new: [], shown: [] };
    append({ kind: "refine", ...empty, value: others, iterations: given.ids.map(() => n) });
  }

  function undo() {
    if (!entries.length) throw new Error("There is nothing to undo on this page.");
    undone = [...undone, entries[entries.length - 1]];
    entries = entries.slice(0, -1);
  }

  function redo() {
    if (!undone.length) throw new Error("There is nothing to redo.");
    entries = [...entries, undone[undone.length - 1]];
    undone = undone.slice(0, -1);
  }

  const text = () =>
    JSON.stringify({ ...page.start, log: [...page.start.log, ...entries.map(([record]) => record)] });
  const dismiss = () => ({}); // every message takes back the refusal of the one before
  const answers = { look, refine, undo, redo, dismiss, log: () => ({ log: text() }) };

  async function hear(message) {
    let answer = {};
    refused = "";
    try {
      answer = (await answers[message.do](message)) || {};
    } catch (error) {
      refused = error.message;
    }
    store(place, entries);
    view.model.set("editing", state());
    return answer;
  }

  /** Names that were given on this page, by place. */
  function names() {
    const found = {};
    for (const [record] of entries) {
      if (record.kind !== "rename") continue;
      given.ids.forEach((ids, l) => {
        const j = ids.indexOf(record.topics[0]);
        if (j >= 0) found[`${l},${j}`] = record.value;
      });
    }
    return found;
  }

  return { hear, state, names };
}

function storedEntries(place) {
  try {
    return JSON.parse(localStorage.getItem(place)) || [];
  } catch {
    return []; // a page without storage keeps edits until it is closed
  }
}

function store(place, entries) {
  try {
    localStorage.setItem(place, JSON.stringify(entries));
  } catch {
    // as above
  }
}

// --- what became of the topics ------------------------------------------------------------------

function replaceIds(now, old, id) {
  now.ids = now.ids.map((ids) => ids.map((one) => (old.includes(one) ? id : one)));
}

const layerOf = (now, topic) => now.ids.findIndex((ids) => ids.includes(topic));

const AFTER = {
  merge: (now, more, { topics, new: [id] }) => replaceIds(now, topics, id),
  split(now, more, { topics }) {
    more[layerOf(now, topics[0])] += 2;
    replaceIds(now, topics, null);
  },
  delete: (now, more, { topics }) => replaceIds(now, topics, null),
  create(now, more) {
    more[0] += 1;
  },
  pin(now, more, { topics }) {
    now.pins = [...new Set([...now.pins, ...topics])];
  },
  unpin(now, more, { topics }) {
    now.pins = now.pins.filter((one) => !topics.includes(one));
  },
  remove_words: (now, more, { topics, words }) => addTo(now.removed, topics[0], words),
  add_words: (now, more, { topics, words }) => addTo(now.added, topics[0], words),
  stop_words(now, more, { words }) {
    now.stopped = [...new Set([...now.stopped, ...words])];
  },
  label(now, more, { value }, points) {
    for (const m of points) now.labels[m] = value;
    now.classes = [...new Set([...now.classes, value])].sort();
  },
};

function addTo(table, topic, words) {
  table[topic] = [...new Set([...(table[topic] || []), ...words])];
}

function follow(now, more, record, points) {
  AFTER[record.kind]?.(now, more, record, points);
}

/** For every topic that must stay, the pinned one for which it does. */
function protectedBy(now, parts) {
  const found = Object.fromEntries(now.pins.map((one) => [one, one]));
  for (let l = now.ids.length - 1; l > 0; l--) {
    now.ids[l].forEach((above, j) => {
      if (!found[above]) return;
      for (const i of parts[l - 1][j]) {
        const below = now.ids[l - 1][i];
        if (below) found[below] ||= found[above];
      }
    });
  }
  return found;
}

// --- what cannot be done ------------------------------------------------------------------------

function refuse(sentence) {
  throw new Error(sentence);
}

const WORDS_OF_TOPIC = ["remove_words", "add_words"];
const CHANGES = ["merge", "split", "delete", "remove_words", "add_words"];

/** Throws the sentence that the kernel would say; what only numbers can show, `replay` says. */
function check(view, now, parts, message, vocabulary) {
  const { kind, topics = [], words = [], points = [], value = "" } = message;
  for (const topic of topics) {
    if (!topic || layerOf(now, topic) < 0) {
      refuse("This topic was split or deleted on this page; what became of it shows after replay.");
    }
  }
  const layers = topics.map((topic) => layerOf(now, topic));
  if (CHANGES.includes(kind)) refuseProtected(protectedBy(now, parts), topics, kind);
  if (layers[0] > 0 && (WORDS_OF_TOPIC.includes(kind) || words.length)) {
    refuseWords(now, parts, topics[0], layers[0]);
  }
  const unknown = words.find((word) => !vocabulary.includes(word));
  if (unknown !== undefined) refuse(`'${unknown}' is no word of this model.`);
  checkKind(now, parts, { kind, topics, words, points, value, layers });
  const fewer = { merge: 1, delete: 1 }[kind] || 0;
  if (fewer) refuseTooFew(now, layers[0], fewer);
}

function checkKind(now, parts, { kind, topics, words, points, value, layers }) {
  if (kind === "merge" && topics[0] === topics[1]) refuse("merge needs two different topics; name at least two.");
  if (kind === "merge" && layers[0] !== layers[1]) refuse("These topics lie in different layers; merge takes topics of one layer.");
  if (kind === "move") checkMove(now, parts, topics, layers);
  if (kind === "unpin" && !now.pins.includes(topics[0])) refuse(`${topics[0]} is not pinned; unpin what pins it: ${protectedBy(now, parts)[topics[0]] || "nothing"}.`);
  if (kind === "label" && !(points.length && value)) refuse("label needs data points and the name of a class.");
  if (kind === "remove_from" && !points.length) refuse("remove_from needs data points; name at least one.");
  if (kind === "create" && Boolean(words.length) === Boolean(points.length)) refuse("create needs either words or data points; name one kind.");
  if ([...WORDS_OF_TOPIC, "stop_words"].includes(kind) && !words.length) refuse(`${kind} needs words; name at least one.`);
  const clash = words.find((word) => clashes(now, kind, topics[0], word));
  if (clash !== undefined) refuse(`${clash} would be both added to and removed from a topic; undo one of the two first.`);
}

function clashes(now, kind, topic, word) {
  const isIn = (table) => (table[topic] || []).includes(word);
  if (kind === "remove_words") return isIn(now.added);
  if (kind === "add_words") return isIn(now.removed) || now.stopped.includes(word);
  if (kind === "create") return now.stopped.includes(word);
  return kind === "stop_words" && Object.values(now.added).some((words) => words.includes(word));
}

function checkMove(now, parts, [topic, parent], [below, above]) {
  if (above !== below + 1) refuse(`Choose a topic of the level above; this one is of level ${above}.`);
  const i = now.ids[below].indexOf(topic);
  const parents = now.ids[above].filter((_, j) => parts[below][j].includes(i));
  refuseProtected(protectedBy(now, parts), [...parents, parent], "move");
}

function refuseProtected(found, topics, kind) {
  for (const topic of topics) {
    if (!found[topic]) continue;
    const part = found[topic] === topic ? "" : `, of which ${topic} is a part`;
    refuse(`${kind} would change the pinned topic ${found[topic]}${part}; unpin it first.`);
  }
}

function refuseWords(now, parts, topic, l) {
  const j = now.ids[l].indexOf(topic);
  const names = parts[l - 1][j].slice(0, 3).map((i) => now.ids[l - 1][i]).filter(Boolean);
  refuse(
    `Words belong to the first layer; ${topic} is made of ${names.join(", ")}: edit these, or move ` +
      "topics between supertopics.",
  );
}

function refuseTooFew(now, l, fewer) {
  const left = new Set(now.ids[l].filter(Boolean)).size + now.more[l] - fewer;
  const above = now.ids[l + 1] ? new Set(now.ids[l + 1].filter(Boolean)).size + now.more[l + 1] : 0;
  if (left < 1) refuse("This would delete the last topic of the layer; create another one first.");
  if (left < above) refuse(`${left} topics would be left for ${above} supertopics; merge supertopics first.`);
}

// --- records in words ---------------------------------------------------------------------------

function firstWords(view, given, topic) {
  const l = given.ids.findIndex((ids) => ids.includes(topic));
  if (l < 0) return [];
  const { features } = view.data.layers[l].topics[given.ids[l].indexOf(topic)];
  return features.slice(0, FIRST_WORDS).map((i) => view.data.features[i]);
}

const quoted = (texts) => texts.map((one) => `“${one}”`).join(", ");
const counted = (texts) => (texts.length > 3 ? `${texts.length} data points` : quoted(texts));

export const OTHERS = { pin: "stay as they are", hold: "move a little", free: "are trained freely" };

const SAYS = {
  merge: ({ topics, value }) => `merge ${topics.join(" and ")}${value ? ` as “${value}”` : ""}`,
  split: ({ topics, words }) => `split ${topics[0]}${words.length ? ` by ${quoted(words)}` : ""}`,
  delete: ({ topics }) => `delete ${topics[0]}`,
  create: ({ words, points }) => `new topic from ${quoted(words)}${counted(points)}`,
  move: ({ topics }) => `move ${topics.join(" under ")}`,
  remove_words: ({ topics, words }) => `cross out ${quoted(words)} in ${topics[0]}`,
  stop_words: ({ words }) => `cross out ${quoted(words)} everywhere`,
  add_words: ({ topics, words }) => `add ${quoted(words)} to ${topics[0]}`,
  pin: ({ topics }) => `pin ${topics[0]}`,
  unpin: ({ topics }) => `unpin ${topics[0]}`,
  remove_from: ({ topics, points }) => `take ${counted(points)} out of ${topics[0]}`,
  label: ({ points, value }) => `label ${counted(points)} as “${value}”`,
  rename: ({ topics, value }) => `call ${topics[0]} “${value}”`,
  refine: ({ iterations, value }) => `refine, ${Math.max(...iterations)} iterations, other topics ${OTHERS[value]}`,
};

/** An edit that a gesture asks for, in words. */
export function phraseOfEdit(view, editing, kind, { topics = [], words = [], points = [], value = "" }) {
  const named = topics.map((id) => `“${editing.nameOfId(id) ?? id}”`);
  const names = points.map((m) => view.data.points[m]?.name ?? `${view.data.unit} ${m}`);
  return SAYS[kind]({ topics: named, words, points: names, value });
}

function phraseOf(view, given, record) {
  const topics = record.topics.map((topic, n) => {
    const words = (record.shown[n] || []).slice(0, 3).join(" ");
    return `“${words || topic}”`;
  });
  return SAYS[record.kind]({ ...record, topics });
}
