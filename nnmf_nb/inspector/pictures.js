// Pictures, curves and charts.

import { clamp, h, s } from "./elements.js";

/** A picture in one color on a transparent ground, so that it suits a light and a dark page. */
export function picture(pixels, shape, color) {
  return pictureOfBytes(Uint8Array.from(atob(pixels), (one) => one.charCodeAt(0)), shape, color);
}

export function pictureOfBytes(bytes, [rows, columns], color) {
  const canvas = h("canvas", { width: columns, height: rows });
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  for (let n = 0; n < rows * columns; n++) image.data.set([...color, bytes[n]], 4 * n);
  context.putImageData(image, 0, 0);
  return canvas;
}

const addresses = new Map();

/** A picture (see there) as an address, for elements of SVG; each is drawn once. */
export function pictureAddress(pixels, shape, color) {
  const key = `${color} ${shape} ${pixels}`;
  if (!addresses.has(key)) addresses.set(key, picture(pixels, shape, color).toDataURL());
  return addresses.get(key);
}

/** A curve over an ordered axis, filled below, on a transparent ground; its highest point has
 *  the byte 255. */
export function curve(pixels, axis, color) {
  return curveOfBytes(Uint8Array.from(atob(pixels), (one) => one.charCodeAt(0)), axis, color);
}

export function curveOfBytes(bytes, axis, color) {
  const low = Math.min(...axis);
  const span = Math.max(...axis) - low || 1;
  const x = axis.map((at) => ((300 * (at - low)) / span).toFixed(1));
  const points = x.map((at, i) => `${at} ${(98 - (94 * bytes[i]) / 255).toFixed(1)}`);
  const line = points.join("L");
  const area = `M${x[0]} 98L${line}L${x[x.length - 1]} 98Z`;
  const box = { viewBox: "0 0 300 100", preserveAspectRatio: "none", class: "curve" };
  return s(
    "svg",
    box,
    s("path", { d: area, fill: color, "fill-opacity": 0.25 }),
    s("path", {
      d: `M${line}`,
      fill: "none",
      stroke: color,
      "vector-effect": "non-scaling-stroke",
    }),
  );
}

/** Which points of a curve are its highest local maxima, from left to right. */
export function peakPlaces(pixels, most) {
  const bytes = [...atob(pixels)].map((c) => c.charCodeAt(0));
  const isTop = (v, n) => v > 12 && v >= (bytes[n - 1] ?? 0) && v > (bytes[n + 1] ?? 0);
  const tops = bytes.map((v, n) => [v, n]).filter(([v, n]) => isTop(v, n));
  const highest = tops.sort((a, b) => b[0] - a[0]).slice(0, most);
  return highest.map(([, n]) => n).sort((a, b) => a - b);
}

/** Where the highest local maxima of a curve are, from left to right. */
export function peaks(pixels, axis, most = 6) {
  return peakPlaces(pixels, most).map((n) => Number(axis[n].toPrecision(5)));
}

/** A number on an axis, with as many digits as it takes to tell the ends of the axis apart. */
function tick(v, range) {
  if (v !== 0 && (Math.abs(v) >= 1e4 || Math.abs(v) < 1e-3)) return v.toExponential(2);
  if (range <= 0) return v.toPrecision(3);
  return v.toFixed(clamp(Math.ceil(1.3 - Math.log10(range)), 0, 6));
}

/** Values over iterations with both axes labeled, and a dashed floor when one is known. It fills
 *  whatever height it is given. */
export function lineChart(iterations, values, floor, title, marks = []) {
  const low = Math.min(...values, floor ?? Infinity);
  const high = Math.max(...values);
  const first = iterations[0];
  const last = iterations[iterations.length - 1];
  const x = (i) => ((300 * (i - first)) / (last - first || 1)).toFixed(1);
  const y = (v) => (96 - (92 * (v - low)) / (high - low || 1)).toFixed(1);
  const line = `M${values.map((v, n) => `${x(iterations[n])} ${y(v)}`).join("L")}`;
  const seen = marks.filter((i) => i >= first && i <= last);
  const plot = s(
    "svg",
    {
      viewBox: "0 0 300 100",
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": `${title} from ${values[0]} to ${values[values.length - 1]}`,
    },
    s("path", { class: "gap", d: `${line}L300 ${y(floor ?? low)}H0Z` }),
    (floor ?? null) === null ? null : s("path", { class: "floor", d: `M0 ${y(floor)}H300` }),
    s("path", { class: "line", d: line }),
    seen.map((i) => s("path", { class: "mark", "data-iteration": i, d: `M${x(i)} 0V100` })),
  );
  const ends = [high, low].map((v) => h("span", {}, tick(v, high - low)));
  const times = [h("span", {}, first), h("span", {}, `iteration ${last}`)];
  return h(
    "div",
    { class: "chart" },
    h("div", { class: "y num" }, ends),
    h("div", { class: "plot" }, plot),
    h("div", { class: "x num" }, times),
  );
}
