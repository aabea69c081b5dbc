// Tables and texts of a page without a kernel, as nbs/inspector/documents.ipynb packs them.

const QUOTE = 34;
const SLASH = 92;
const LESS = 60;
const SIGNS = Array.from({ length: 94 }, (_, n) => n + 33);
const VALUES = new Uint8Array(128);
SIGNS.filter((sign) => ![QUOTE, SLASH, LESS].includes(sign)).forEach((sign, n) => {
  VALUES[sign] = n;
});

/** The bytes behind signs: the first says how many to drop at the end, two others are 13 bits. */
export function bytesOf(signs) {
  const pairs = (signs.length - 1) / 2;
  const bytes = new Uint8Array(Math.floor((13 * pairs) / 8) - VALUES[signs.charCodeAt(0)]);
  let bits = 0;
  let have = 0;
  let at = 0;
  for (let n = 1; n < signs.length; n += 2) {
    bits = (bits << 13) | (91 * VALUES[signs.charCodeAt(n)] + VALUES[signs.charCodeAt(n + 1)]);
    have += 13;
    while (have >= 8) {
      have -= 8;
      if (at < bytes.length) bytes[at++] = bits >> have;
      bits &= (1 << have) - 1;
    }
  }
  return bytes;
}

/** Bytes that were deflated. */
export async function inflated(signs) {
  const stream = new Blob([bytesOf(signs)]).stream();
  const whole = stream.pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(whole).arrayBuffer());
}

/** A list of strings that was deflated. */
export async function stringsOf(signs) {
  return new TextDecoder().decode(await inflated(signs)).split("\0");
}

/** Names, where an empty one is the one before with its last number counted on by one. */
export function countedOn(names) {
  let last = "";
  return names.map((name) => {
    last = name || last.replace(/(0|[1-9]\d{0,8})$/, (number) => Number(number) + 1);
    return last;
  });
}

/** The texts behind Huffman codes of words, those with short codes first; `lengths` says how many
 *  codes there are of each length. A text ends with the empty word. */
export function textsOf(words, lengths, bytes, n) {
  const texts = [];
  let text = "";
  let code = 0;
  let first = 0; // of the codes of this length
  let index = 0; // of the word with that code
  let length = 1;
  for (let bit = 0; texts.length < n; bit++) {
    code |= (bytes[bit >> 3] >> (7 - (bit & 7))) & 1;
    const count = lengths[length] || 0;
    if (code - first < count) {
      const word = words[index + code - first];
      text += word;
      if (!word) {
        texts.push(text.slice(1)); // the first word carries a space
        text = "";
      }
      code = first = index = 0;
      length = 1;
    } else {
      index += count;
      first = (first + count) << 1;
      code <<= 1;
      length += 1;
    }
  }
  return texts;
}
