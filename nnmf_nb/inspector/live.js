// A fit while it runs. It stands on the same helpers as the inspector.

import { fill, guardWith, h, heading, keepKeys, keyOf } from "./elements.js";
import { onTheme, pane, percent, rgb } from "./elements.js";
import { callOf, levelNames } from "./payload.js";
import { curve, lineChart, picture } from "./pictures.js";

const BUTTONS = {
  pause: "hold training after this iteration",
  step: "one iteration, then hold",
  stop: "end training with the best so far",
  keep: "keep this model for view.restore",
};

function createLive(model) {
  const alert = h("div", { class: "alert", role: "alert" });
  const guard = guardWith(alert);
  const progress = () => model.get("progress") || {};
  return {
    model,
    alert,
    guard,
    progress,
    seen: new Map(), // words of each topic at the frame before, so that new ones can be marked
    isRunning: () => ["running", "paused"].includes(progress().state),
    say: guard((word, ...rest) => model.send({ do: word, with: rest })),
  };
}

// --- the header: state, buttons, parameters -----------------------------------------------------

function drawButtons(live) {
  const buttons = {};
  for (const [word, title] of Object.entries(BUTTONS)) {
    buttons[word] = h("button", { class: `control ${word}`, type: "button", title }, word);
    buttons[word].addEventListener("click", () => {
      const resumes = word === "pause" && live.progress().state === "paused";
      live.say(resumes ? "resume" : word);
    });
  }
  return buttons;
}

/** Fields for the parameters that may change during the fit. */
function settingsOf(live) {
  const element = h("div", { class: "settings", role: "group", "aria-label": "parameters" });
  const known = new Map();

  function newField(name) {
    const title = `another ${name} after this iteration`;
    const input = h("input", {
      type: "number",
      min: 0,
      step: "any",
      placeholder: "default",
      title,
    });
    const send = () => {
      const value = input.value === "" ? null : Number(input.value);
      live.model.send({ do: "change", params: { [name]: value } });
    };
    input.addEventListener("change", live.guard(send));
    return { input, value: undefined };
  }

  function draw(now, running) {
    const names = Object.keys(now);
    if (names.join() !== [...known.keys()].join()) {
      known.clear();
      for (const name of names) known.set(name, newField(name));
      const label = (name) => h("span", { class: "quiet" }, name);
      const fields = names.map((name) => h("label", {}, label(name), known.get(name).input));
      element.replaceChildren(...fields);
    }
    for (const name of names) {
      const field = known.get(name);
      if (field.value !== now[name]) field.input.value = now[name] ?? ""; // what is typed stays
      field.value = now[name];
      field.input.disabled = !running;
    }
  }

  return { element, draw };
}

/** One line: state, why it ended, and the iteration that is shown. */
function factsOf({ state, iteration, most, looking, reason }, running) {
  const ended = state === "done" && reason ? `${state} (${reason})` : state;
  if (looking !== null && looking !== undefined) {
    return `${ended} · iteration ${looking}, kept, of ${iteration}`;
  }
  const limit = most && running ? ` of at most ${most.toLocaleString("en")}` : "";
  return `${ended} · iteration ${iteration}${limit}`;
}

/** The kept iterations, each a button that shows it. */
function drawSnapshots(live, element) {
  const { looking, snapshots } = live.progress();
  const chip = (i, text) => {
    const attributes = { class: "chip num", type: "button", onclick: () => live.say("look", i) };
    attributes["aria-pressed"] = String(looking === i);
    attributes["data-epoch"] = i === null ? "latest" : i;
    return h("button", attributes, text);
  };
  const inside = element.contains(document.activeElement);
  const focused = inside ? document.activeElement.dataset.epoch : null;
  element.replaceChildren(
    h("span", { class: "quiet" }, "kept iterations"),
    ...(snapshots || []).map((i) => chip(i, String(i))),
    chip(null, live.isRunning() ? "live" : "last"),
  );
  if (focused) element.querySelector(`[data-epoch="${focused}"]`)?.focus();
}

// --- errors and topics --------------------------------------------------------------------------

function drawDepth(data, layer, l, { iterations = [], errors = [], marks = [] }) {
  const values = errors[l] || [];
  // layers that are trained one by one come later
  const drawn = values.flatMap((v, n) => (v === null ? [] : [n]));
  const moves = typeof layer.speed === "number";
  const speed = moves ? `moves ${(100 * layer.speed).toPrecision(2)}% per iteration` : "";
  const floor = layer.floor === null ? "" : `lowest possible ${layer.floor.toFixed(4)}`;
  const times = drawn.map((n) => iterations[n]);
  const heights = drawn.map((n) => values[n]);
  return h(
    "div",
    { class: "depth", "data-depth": l },
    h(
      "div",
      { class: "line" },
      h("span", {}, `${levelNames(data, l)} `, h("span", { class: "quiet" }, layer.rank)),
      h(
        "span",
        { class: "num" },
        layer.error === null ? "?" : layer.error.toFixed(4),
        h("span", { class: "quiet floor" }, floor),
      ),
    ),
    drawn.length > 1
      ? lineChart(times, heights, layer.floor, "error", marks)
      : h("div", { class: "blank" }),
    h(
      "div",
      { class: "line quiet" },
      layer.light
        ? h("span", { class: `light ${layer.light}` }, `coefficients ${layer.words}`)
        : h("span"),
      h("span", { class: "num" }, speed),
    ),
  );
}

/** Whether what is shown is the present state of a fit that runs. */
function isTraining(live) {
  return (live.progress().looking ?? null) === null && live.isRunning();
}

function drawTopic(live, data, l, topic) {
  const key = keyOf(l, topic.topic);
  const before = isTraining(live) ? live.seen.get(key) : undefined;
  const list = topic.words || [];
  const what = topic.image ? drawImage(live, topic) : drawWords(topic, before);
  live.seen.set(key, list);
  return h(
    "li",
    { title: `${callOf(data, l, topic.topic)}: ${list.join(" · ")}` },
    h("i", { style: { background: topic.color } }),
    h("span", { class: "num quiet" }, percent(topic.share)),
    what,
  );
}

/** The strongest words of a topic; those that were not there `before` are underlined. */
function drawWords(topic, before) {
  if (!(topic.share > 0)) return h("span", { class: "words" }, "(dead)");
  const isNew = (word) => before && !before.includes(word);
  const line = { class: "new", style: { textDecorationColor: topic.color } };
  const drawn = topic.words.map((word, n) =>
    h("span", {}, n ? " · " : "", h("span", isNew(word) ? line : {}, word)),
  );
  return h("span", { class: "words" }, drawn);
}

function drawImage(live, topic) {
  const { shape } = live.progress();
  const axis = Array.from({ length: shape[0] }, (_, i) => i);
  const drawn =
    shape.length === 1
      ? curve(topic.image, axis, topic.color)
      : picture(topic.image, shape, rgb(live.root));
  const attributes = { class: "emblem", role: "img", "aria-label": `topic ${topic.topic}` };
  return fill(drawn, { ...attributes, style: { outlineColor: topic.color } }, []);
}

function drawLayer(live, data, layer, l) {
  const { shape } = live.progress();
  const cut = layer.topics.length < layer.rank;
  const notes = [
    cut ? `the largest ${layer.topics.length} of ${layer.rank}` : "",
    shape || !isTraining(live) ? "" : "new features are underlined",
  ];
  const topics = layer.topics.map((topic) => drawTopic(live, data, l, topic));
  return h(
    "div",
    {},
    heading(levelNames(data, l), notes.filter(Boolean).join(" · ")),
    h("ul", { class: shape ? "tiles" : "" }, topics),
  );
}

// --- the page -----------------------------------------------------------------------------------

function renderLive({ model, el }) {
  const live = createLive(model);
  const { guard, progress } = live;
  const buttons = drawButtons(live);
  const settings = settingsOf(live);
  const title = h("h2", { class: "heading" });
  const facts = h("span", { class: "quiet facts num", role: "status" });
  const controls = { class: "controls", role: "group", "aria-label": "training" };
  const fit = pane("fit", "errors");
  const topics = pane("topics", "topics");
  const snapshots = pane("kept", "kept iterations");
  live.root = h(
    "div",
    { class: "nnmf live", role: "group", "aria-label": "live view of a fit" },
    h(
      "header",
      {},
      title,
      facts,
      h("div", controls, Object.values(buttons)),
      settings.element,
      live.alert,
    ),
    h("div", { class: "panes" }, fit, topics),
    snapshots,
  );

  const drawProgress = guard(() => {
    const running = live.isRunning();
    const { state, error } = progress();
    title.textContent = progress().title || "a fit";
    facts.textContent = factsOf(progress(), running);
    live.root.dataset.state = state;
    buttons.pause.textContent = state === "paused" ? "resume" : "pause";
    for (const one of Object.values(buttons)) one.disabled = !running;
    live.alert.textContent = error || "";
    settings.draw(progress().settings || {}, running);
    drawSnapshots(live, snapshots);
  });

  const drawFrame = guard(() => {
    const layers = (model.get("frame") || {}).layers || [];
    const curves = model.get("curves") || {};
    const changed = (curves.marks || []).length ? " · upright: changed" : "";
    const depths = layers.map((layer, l) => drawDepth({ layers }, layer, l, curves));
    fit.replaceChildren(heading("error", `part that is left over · dashed: lowest possible${changed}`), ...depths);
    const shown = layers.map((layer, l) => [layer, l]).reverse();
    const drawn = shown.filter(([layer]) => layer.topics.length);
    topics.replaceChildren(...drawn.map(([layer, l]) => drawLayer(live, { layers }, layer, l)));
  });

  model.on("change:progress", drawProgress);
  model.on("change:frame", drawFrame);
  keepKeys(live.root);
  el.replaceChildren(live.root);
  drawProgress();
  drawFrame();
  // Pictures have colors of the theme, which are known when the page has us, and may change.
  const redraw = () => progress().shape && drawFrame();
  const arrived = new ResizeObserver(redraw);
  const endTheme = onTheme(redraw);
  arrived.observe(live.root);
  return () => {
    arrived.disconnect();
    endTheme();
    model.off("change:progress", drawProgress);
    model.off("change:frame", drawFrame);
  };
}

export default { render: renderLive };
