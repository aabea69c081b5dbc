// The last pane, folded: how good the fit is.

import { clamp, h, heading, percent } from "./elements.js";
import { levelNames } from "./payload.js";
import { TOGETHER, lineChart, rises } from "./pictures.js";

export function fitPane(view) {
  const element = h("details", { class: "fit" });
  element.addEventListener("toggle", () => element.open && drawCertificate(view, element));
  let drawn = null; // the layers that are shown
  const draw = () => {
    if (drawn === view.data.layers) return;
    drawn = view.data.layers;
    drawFit(view, element);
  };
  return { element, draw };
}

function drawCertificate(view, element) {
  showCertificate(view, element.querySelector(".certificate"));
}

const LIGHT = "The light judges the coefficients alone, the certificate the whole fit.";
const LIGHT_OF_TENSOR =
  "Of a tensor the floor is a bound that need not be in reach. The light says how training ended.";

function drawFit(view, element) {
  const { data } = view;
  const head = ["level", "topics", "error (bar), floor (tick)", "error", "floor"];
  const cells = [...head, "captured", data.modes ? "training" : "coefficients"].map((one) => h("th", { scope: "col" }, one));
  const table = h(
    "table",
    {},
    h("thead", {}, h("tr", {}, cells)),
    h(
      "tbody",
      {},
      data.layers.map(({ fit }, l) => drawRow(data, fit, l)),
    ),
  );
  const judged =
    "Error: length of what is left over, relative to the data; 0 is perfect. Floor: the lowest " +
    "error that any so many topics can have. Captured: what these topics explain, of what any so " +
    `many can. ${data.modes ? LIGHT_OF_TENSOR : LIGHT}`;
  const certificate = h("div", { class: "certificate" });
  const parts = [
    h("summary", {}, "How good is this fit? ", h("span", { class: "quiet" }, data.verdict)),
    h("p", { class: "quiet num model" }, data.facts),
    h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "errors" }, table),
    h("p", { class: "quiet legend" }, judged),
    drawScores(data.scores || []),
    certificate,
    data.history ? drawHistory(data, data.history) : null,
  ];
  element.replaceChildren(...parts.filter(Boolean));
  if (element.open) drawCertificate(view, element);
}

/** Label loss and accuracy, where there are labels. */
function drawScores(scores) {
  if (!scores.length) return null;
  const shown = (value, isPart) => (isPart ? percent(value) : value.toPrecision(3));
  const row = ([what, value, isPart]) => [h("dt", {}, what), h("dd", { class: "num" }, shown(value, isPart))];
  return h("div", { class: "scores" }, heading("labels"), h("dl", {}, scores.map(row)));
}

/** The certificate of the page, or of the kernel, which judges the model when it is asked. */
function showCertificate(view, element) {
  if (element.childElementCount) return;
  const show = ({ color, reasons }) => {
    const light = { green: "good", amber: "fair", red: "poor" }[color];
    const word = h("span", { class: light ? `light ${light}` : "quiet" }, color);
    const lines = reasons.map((reason) => h("li", {}, reason));
    element.replaceChildren(heading("certificate"), h("p", {}, word), h("ul", {}, lines));
  };
  const known = view.model.get("certificate");
  if (known) show(known);
  else if (view.hasKernel) view.ask({ certificate: true }).then(show, (error) => error.late?.then(show));
}

function drawRow(data, fit, l) {
  const known = (v, text) => (v === null ? "?" : text(v));
  const error = fit.error.toFixed(3);
  const shapes = data.modes ? fit.A.join(" × ") : `A ${fit.A.join(" × ")}, S ${fit.S.join(" × ")}`;
  const number = (text, title) => h("td", { class: "num", title }, text);
  const light = h("span", { class: `light ${fit.light}` }, fit.words);
  const row = h(
    "tr",
    {},
    number(levelNames(data, l)),
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
function drawHistory(data, { title, each, curves, lengths, floors }) {
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
        h("span", {}, curves.length > 1 ? levelNames(data, n) : ""),
        h("span", { class: "quiet num" }, floor),
      ),
      lineChart(iterations, values, floors[n], title),
    );
  });
  const own = each === "layer" && curves.length > 1 ? ", each level of the one below" : "";
  const dashed = floors.some((v) => v !== null) ? " · dashed: lowest possible" : "";
  const hasRise = each === "depth" && curves.length > 1 && curves.some(rises);
  return h(
    "div",
    { class: "history" },
    heading("training", `${title}${own}${dashed}`),
    hasRise ? h("p", { class: "quiet legend" }, TOGETHER) : null,
    h("div", { class: "depths" }, shown),
  );
}
