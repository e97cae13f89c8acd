/* Small tools that know nothing of the chat. */

export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) name in node ? (node[name] = value) : node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function icon(path) {
  const [svg, line] = ["svg", "path"].map((name) => document.createElementNS("http://www.w3.org/2000/svg", name));
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/* Controls, invisible and direction-changing characters become their code: they can neither hide nor reorder a word.
   Tab, newline, soft hyphen and the joiners that emoji and scripts need stay. */
const HIDDEN = /[\0-\x08\x0b-\x1f\x7f-\x9f\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

export const inert = (text) =>
  String(text).replace(/\r\n?/g, "\n").replace(HIDDEN, (c) => `[U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);

export const bytes = (text) => new TextEncoder().encode(text).length;
export const jittered = (tries) => Math.min(30000, 500 * 2 ** tries) * (0.5 + Math.random() / 2);

export function uuid() { // crypto.randomUUID exists on secure pages only
  const hex = [...crypto.getRandomValues(new Uint8Array(16))].map((n, i) => (i === 6 ? (n & 15) | 64 : i === 8 ? (n & 63) | 128 : n).toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
