
// --- a fit while it runs: stands on the helpers above, which come from inspector.js ---------------------------------------

function renderLive({ model, el }) {
  const seen = new Map(); // words of each topic at the frame before, so that new ones can be marked
  const alert = h("div", { class: "alert", role: "alert" });
  const guard = (work) => (...given) => { try { return work(...given); } catch (error) { alert.textContent = `${error.name}: ${error.message}`; } };
  const say = (word, ...rest) => guard(() => model.send({ do: word, with: rest }));
  const button = (word, title) => h("button", { class: `control ${word}`, type: "button", title }, word);

  const title = h("h2"), facts = h("span", { class: "quiet facts num", role: "status" });
  const pause = button("pause", "hold training after this iteration"), step = button("step", "one iteration, then hold");
  const stop = button("stop", "end training with the best so far"), keep = button("keep", "keep this model for view.restore");
  pause.addEventListener("click", () => say(progress().state === "paused" ? "resume" : "pause")());
  for (const [one, word] of [[step, "step"], [stop, "stop"], [keep, "keep"]]) one.addEventListener("click", say(word));
  const controls = h("div", { class: "controls", role: "group", "aria-label": "training" }, pause, step, stop, keep);
  const settings = h("div", { class: "settings", role: "group", "aria-label": "parameters" }), known = new Map();
  const fit = h("section", { class: "fit", "aria-label": "errors" }), topics = h("section", { class: "topics", "aria-label": "topics" }), snapshots = h("section", { class: "kept", "aria-label": "kept iterations" });
  const root = h("div", { class: "nnmf live", role: "group", "aria-label": "live view of a fit" }, h("header", {}, title, facts, controls, settings, alert), h("div", { class: "panes" }, fit, topics), snapshots);
  const progress = () => model.get("progress") || {};
  const training = () => progress().looking === null && (progress().state === "running" || progress().state === "paused");

  function field(name) {
    const input = h("input", { type: "number", min: 0, step: "any", placeholder: "default", title: `another ${name} after this iteration` });
    input.addEventListener("change", guard(() => model.send({ do: "change", params: { [name]: input.value === "" ? null : Number(input.value) } })));
    return { input, value: undefined };
  }

  function drawSettings(now, running) {
    const names = Object.keys(now);
    if (names.join() !== [...known.keys()].join()) {
      known.clear();
      for (const name of names) known.set(name, field(name));
      settings.replaceChildren(...names.map((name) => h("label", {}, h("span", { class: "quiet" }, name), known.get(name).input)));
    }
    for (const name of names) {
      const one = known.get(name);
      if (one.value !== now[name]) one.input.value = now[name] ?? ""; // what is being typed stays
      one.value = now[name];
      one.input.disabled = !running;
    }
  }

  const drawProgress = guard(() => {
    const { state, iteration, most, looking, error, reason } = progress(), running = state === "running" || state === "paused";
    title.textContent = progress().title || "a fit";
    facts.textContent = `${state === "done" && reason ? `${state} (${reason})` : state} · iteration ${iteration}${most && running ? ` of at most ${most.toLocaleString("en")}` : ""}`;
    root.dataset.state = state;
    pause.textContent = state === "paused" ? "resume" : "pause";
    for (const one of [pause, step, stop, keep]) one.disabled = !running;
    alert.textContent = error || "";
    drawSettings(progress().settings || {}, running);
    const chip = (i, text) => h("button", { class: "chip num", type: "button", "aria-pressed": String(looking === i), "data-epoch": i === null ? "latest" : i, onclick: say("look", i) }, text);
    const focused = snapshots.contains(document.activeElement) ? document.activeElement.dataset.epoch : null;
    snapshots.replaceChildren(h("span", { class: "quiet" }, "kept iterations"), ...(progress().snapshots || []).map((i) => chip(i, String(i))), chip(null, running ? "live" : "last"));
    if (focused) snapshots.querySelector(`[data-epoch="${focused}"]`)?.focus();
  });

  function drawDepth(one, l, { iterations = [], errors = [], marks = [] }) {
    const drawn = (errors[l] || []).flatMap((v, n) => (v === null ? [] : [n])); // layers that are trained one by one come later
    const speed = typeof one.speed === "number" ? `moves ${(100 * one.speed).toPrecision(2)}% per iteration` : "";
    return h("div", { class: "depth", "data-depth": l }, h("div", { class: "line" }, h("span", {}, `depth ${l} `, h("span", { class: "quiet" }, `${one.rank} topics`)),
      h("span", { class: "num" }, one.error === null ? "?" : one.error.toFixed(4), h("span", { class: "quiet floor" }, one.floor === null ? "" : `lowest possible ${one.floor.toFixed(4)}`))),
      drawn.length > 1 ? lineChart(drawn.map((n) => iterations[n]), drawn.map((n) => errors[l][n]), one.floor, "error", marks) : h("div", { class: "blank" }),
      h("div", { class: "line quiet" }, one.light ? h("span", { class: `light ${one.light}` }, `coefficients ${one.words}`) : h("span"), h("span", { class: "num" }, speed)));
  }

  function drawTopic(l, one, shape) {
    const key = keyOf(l, one.topic), before = seen.get(key), dead = !(one.share > 0), isNew = (word) => training() && before && !before.includes(word);
    const what = one.image ? drawImage(one, shape)
      : h("span", { class: "words" }, dead ? "(dead)" : one.words.map((word, n) => h("span", {}, n ? " · " : "", h("span", isNew(word) ? { class: "new", style: { textDecorationColor: one.color } } : {}, word))));
    seen.set(key, one.words || []);
    return h("li", { title: `layer ${l}, topic ${one.topic}: ${(one.words || []).join(" · ")}` }, h("i", { style: { background: one.color } }), h("span", { class: "num quiet" }, percent(one.share)), what);
  }

  function drawImage(one, shape) {
    const drawn = shape.length === 1 ? curve(one.image, Array.from({ length: shape[0] }, (_, i) => i), one.color) : picture(one.image, shape, rgb(root));
    return fill(drawn, { class: "emblem", role: "img", "aria-label": `topic ${one.topic}`, style: { outlineColor: one.color } }, []);
  }

  const drawFrame = guard(() => {
    const layers = (model.get("frame") || {}).layers || [], curves = model.get("curves") || {}, shape = progress().shape;
    fit.replaceChildren(h("div", { class: "eyebrow" }, "relative error", h("span", {}, `dashed: lowest possible${(curves.marks || []).length ? " · upright: changed" : ""}`)), ...layers.map((one, l) => drawDepth(one, l, curves)));
    const shown = layers.map((one, l) => [one, l]).reverse().filter(([one]) => one.topics.length);
    topics.replaceChildren(...shown.map(([one, l]) => h("div", {}, h("div", { class: "eyebrow" }, `layer ${l}`, h("span", {}, [one.topics.length < one.rank ? `the largest ${one.topics.length} of ${one.rank}` : "", shape || !training() ? "" : "new features are underlined"].filter(Boolean).join(" · "))),
      h("ul", { class: shape ? "tiles" : "" }, one.topics.map((topic) => drawTopic(l, topic, shape))))));
  });

  model.on("change:progress", drawProgress);
  model.on("change:frame", drawFrame);
  keepKeys(root);
  el.replaceChildren(root);
  drawProgress();
  drawFrame();
  // Pictures are drawn in colors of the theme, which are known when the page has us, and which may change.
  const retint = () => progress().shape && setTimeout(drawFrame, 600), arrived = new ResizeObserver(() => progress().shape && drawFrame()), themed = new MutationObserver(retint);
  arrived.observe(root);
  themed.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
  return () => { arrived.disconnect(); themed.disconnect(); model.off("change:progress", drawProgress); model.off("change:frame", drawFrame); };
}

export default { render: renderLive };
