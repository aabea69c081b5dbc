// The last pane, folded: how good the fit is.

import { clamp, h, heading, percent } from "./elements.js";
import { lineChart } from "./pictures.js";

export function fitPane({ data }) {
  const head = ["depth", "topics", "error (bar), floor (tick)", "error", "floor"];
  const cells = [...head, "captured", "coefficients"].map((one) => h("th", { scope: "col" }, one));
  const table = h(
    "table",
    {},
    h("thead", {}, h("tr", {}, cells)),
    h(
      "tbody",
      {},
      data.layers.map(({ fit }, l) => drawRow(fit, l)),
    ),
  );
  const judged =
    "error: length of what is left over, relative to the data; floor: the lowest error that any " +
    "matrix of this rank can have; captured: explained, of what this rank can explain. The light " +
    "judges the coefficients alone; the whole fit is judged by model.certificate_ in Python.";
  const element = h(
    "details",
    { class: "fit" },
    h("summary", {}, "How good is this fit? ", h("span", { class: "quiet" }, data.verdict)),
    h("p", { class: "quiet num model" }, data.facts),
    h("div", { class: "wide" }, table),
    h("p", { class: "quiet legend" }, judged),
    data.history ? drawHistory(data.history) : null,
  );
  return { element };
}

function drawRow(fit, l) {
  const known = (v, text) => (v === null ? "?" : text(v));
  const error = fit.error.toFixed(3);
  const shapes = `A ${fit.A.join(" × ")}, S ${fit.S.join(" × ")}`;
  const number = (text, title) => h("td", { class: "num", title }, text);
  const light = h("span", { class: `light ${fit.light}` }, fit.words);
  const row = h(
    "tr",
    {},
    number(l),
    number(fit.rank, shapes),
    h("td", { style: { width: "30%" } }, drawGauge(fit)),
    number(error),
    number(known(fit.floor, (v) => v.toFixed(3))),
    number(known(fit.captured, percent)),
    h("td", {}, light),
  );
  if (fit.remarks === "none") return row;
  return [row, h("tr", { class: "remarks" }, h("td"), h("td", { colspan: 6 }, fit.remarks))];
}

function drawGauge({ error, floor }) {
  const bar = { width: `${clamp(100 * error, 0, 100)}%` };
  const left = `calc(${clamp(100 * floor, 0, 100)}% - 1px)`;
  return h(
    "div",
    { class: "gauge", role: "img", "aria-label": `error ${error}, floor ${floor ?? "unknown"}` },
    h("i", { style: bar }),
    floor === null ? null : h("b", { style: { left }, title: `floor ${floor}` }),
  );
}

/** Every curve on a scale of its own: depths differ more than iterations do. */
function drawHistory({ title, each, curves, lengths, floors }) {
  const shown = curves.map((values, n) => {
    if (values.length < 2) return null;
    const step = (lengths[n] - 1) / (values.length - 1);
    const iterations = values.map((_, t) => 1 + Math.round(t * step));
    const floor = floors[n] === null ? "" : `lowest possible ${floors[n].toPrecision(3)}`;
    return h(
      "div",
      { class: "depth" },
      h(
        "div",
        { class: "line" },
        h("span", {}, curves.length > 1 ? `${each} ${n}` : ""),
        h("span", { class: "quiet num" }, floor),
      ),
      lineChart(iterations, values, floors[n], title),
    );
  });
  const own = each === "layer" && curves.length > 1 ? " of each layer's own data" : "";
  const dashed = floors.some((v) => v !== null) ? " · dashed: lowest possible" : "";
  const rises = each === "depth" && curves.some((one) => one[one.length - 1] > one[0]);
  const why =
    "All depths are trained together for the sum of their errors, so the error of one depth may " +
    "rise a little while the others fall more. Each curve has an axis of its own.";
  return h(
    "div",
    { class: "history" },
    heading("training", `${title}${own}${dashed}`),
    rises ? h("p", { class: "quiet legend" }, why) : null,
    h("div", { class: "depths" }, shown),
  );
}
