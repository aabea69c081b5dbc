// Dots on a canvas. They are written into one picture, pixel by pixel: no call of the canvas for
// each dot, so 20,000 take a few milliseconds.

import { clamp } from "./elements.js";

const packedColor = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;

/** A color between two ([red, green, blue]); 0: the first. */
export const between = (a, b, part) => a.map((value, c) => Math.round(value + (b[c] - value) * part));

/** The color of which another is a tint: as far from white as its darkest part allows, at most
 *  `most` times. A pale topic is seen among gray dots that way. */
export function fullColor(color, most = 3) {
  const depth = Math.max(...color.map((value) => 255 - value), 1);
  const factor = Math.min(255 / depth, most);
  return color.map((value) => Math.round(255 - factor * (255 - value)));
}

/** The color #rrggbb as three numbers. */
export const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** The pixels of a dot: [right, down, how much of it is covered]. */
function stampOf(radius) {
  const size = Math.ceil(radius + 0.5);
  const pixels = [];
  for (let a = -size; a <= size; a++) {
    for (let b = -size; b <= size; b++) {
      const cover = clamp(radius + 0.5 - Math.hypot(a, b), 0, 1);
      if (cover > 0.08) pixels.push([a, b, cover]);
    }
  }
  return pixels;
}

/** Draws dots. `layers`: what is drawn one after the other, each with `points` (numbers of dots),
 *  `colorOf` (number of a color of each), `colors` and `radius` (in pixels). `place(m)` says where
 *  a dot is, in pixels of the canvas. */
export function drawDots(canvas, background, layers, xs, ys) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const paper = packedColor(background);
  pixels.fill(paper);
  for (const { points, colorOf, colors, radius } of layers) {
    const stamp = stampOf(radius);
    const pad = Math.ceil(radius + 1);
    const offsets = Int32Array.from(stamp, ([a, b]) => a + b * width);
    const isFull = Uint8Array.from(stamp, ([, , cover]) => Number(cover > 0.85));
    const solid = Uint32Array.from(colors, packedColor);
    const edges = colors.map((color) =>
      Uint32Array.from(stamp, ([, , cover]) => packedColor(between(background, color, cover))),
    );
    for (const m of points) {
      const x = Math.round(xs[m]);
      const y = Math.round(ys[m]);
      if (x < pad || y < pad || x >= width - pad || y >= height - pad) continue;
      const at = y * width + x;
      const color = colorOf(m);
      const own = solid[color];
      const soft = edges[color];
      for (let q = 0; q < offsets.length; q++) {
        const pixel = at + offsets[q];
        if (isFull[q]) pixels[pixel] = own;
        else if (pixels[pixel] === paper) pixels[pixel] = soft[q]; // edges never cover a dot
      }
    }
  }
  context.putImageData(image, 0, 0);
}

/** Whether points are inside a closed line (flat list of x and y): numbers of those that are. */
export function insideOf(path, xs, ys, isWanted) {
  const found = [];
  const size = path.length / 2;
  const px = path.filter((_, q) => q % 2 === 0);
  const py = path.filter((_, q) => q % 2 === 1);
  const [left, right] = [Math.min(...px), Math.max(...px)];
  const [top, bottom] = [Math.min(...py), Math.max(...py)];
  for (let m = 0; m < xs.length; m++) {
    const x = xs[m];
    const y = ys[m];
    if (x < left || x > right || y < top || y > bottom || !isWanted[m]) continue;
    let isInside = false;
    for (let a = 0, b = size - 1; a < size; b = a++) {
      if (py[a] > y === py[b] > y) continue;
      if (x < ((px[b] - px[a]) * (y - py[a])) / (py[b] - py[a]) + px[a]) isInside = !isInside;
    }
    if (isInside) found.push(m);
  }
  return found;
}

/** The dot nearest to a place, at most `most` pixels away; -1 for none. */
export function nearestDot(xs, ys, isWanted, x, y, most) {
  let best = -1;
  let least = most * most;
  for (let m = 0; m < xs.length; m++) {
    if (!isWanted[m]) continue;
    const distance = (xs[m] - x) ** 2 + (ys[m] - y) ** 2;
    if (distance >= least) continue;
    least = distance;
    best = m;
  }
  return best;
}

/** The next dot in a direction (right, down) from dot m; m itself when there is none. */
export function dotBeside(xs, ys, isWanted, m, [right, down]) {
  let best = m;
  let least = Infinity;
  for (let other = 0; other < xs.length; other++) {
    if (!isWanted[other] || other === m) continue;
    const along = (xs[other] - xs[m]) * right + (ys[other] - ys[m]) * down;
    const across = Math.abs((xs[other] - xs[m]) * down) + Math.abs((ys[other] - ys[m]) * right);
    if (along < 0.5 || across > along) continue;
    const distance = along + 2 * across;
    if (distance >= least) continue;
    least = distance;
    best = other;
  }
  return best;
}

/** A function that says which part of the pixels of a box [left, right, top, bottom] has a dot, by
 *  squares of about the size of a dot (in pixels). */
export function crowding(xs, ys, isWanted, width, height, size) {
  const side = Math.max(size, 4);
  const columns = Math.ceil(width / side) + 1;
  const rows = Math.ceil(height / side) + 1;
  const isTaken = new Uint8Array(columns * rows);
  for (let m = 0; m < xs.length; m++) {
    if (!isWanted[m] || xs[m] < 0 || ys[m] < 0 || xs[m] >= width || ys[m] >= height) continue;
    isTaken[Math.floor(xs[m] / side) + columns * Math.floor(ys[m] / side)] = 1;
  }
  return ([left, right, top, bottom]) => {
    const [a, b] = [Math.floor(Math.max(left, 0) / side), Math.floor(Math.min(right, width) / side)];
    const [c, d] = [Math.floor(Math.max(top, 0) / side), Math.floor(Math.min(bottom, height) / side)];
    let taken = 0;
    for (let row = c; row <= d; row++) {
      for (let column = a; column <= b; column++) taken += isTaken[column + columns * row];
    }
    return taken / ((b - a + 1) * (d - c + 1));
  };
}

/** Where the dots of each of k groups are densest among those in a frame: [x, y, number of dots in
 *  view], null for groups without any there. */
export function densestPlaces(xs, ys, groups, isWanted, k, width, height, cells = 26) {
  const counts = Array.from({ length: k }, () => null);
  const all = new Uint32Array(k);
  const cellOf = new Int16Array(xs.length).fill(-1);
  for (let m = 0; m < xs.length; m++) {
    const a = Math.floor((xs[m] / width) * cells);
    const b = Math.floor((ys[m] / height) * cells);
    const j = groups[m];
    if (!isWanted[m] || j >= k || a < 0 || b < 0 || a >= cells || b >= cells) continue;
    cellOf[m] = a + cells * b;
    counts[j] ||= new Uint32Array(cells * cells);
    counts[j][cellOf[m]] += 1;
    all[j] += 1;
  }
  const fullest = counts.map((one) => (one ? one.indexOf(Math.max(...one)) : -1));
  const sums = counts.map((one) => (one ? [0, 0, 0] : null));
  for (let m = 0; m < xs.length; m++) {
    const j = groups[m];
    if (cellOf[m] < 0 || cellOf[m] !== fullest[j]) continue;
    sums[j][0] += xs[m];
    sums[j][1] += ys[m];
    sums[j][2] += 1;
  }
  return sums.map((one, j) => (one ? [one[0] / one[2], one[1] / one[2], all[j]] : null));
}
