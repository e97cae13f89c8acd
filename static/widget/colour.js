/* The page's accent, and what is readable on it. */

const HEX = /^#([0-9a-f]{3}|[0-9a-f]{6})$/i;
const FAINT = 3; // less than this, and a button cannot be told from what it stands on

function channels(hex) {
  const full = hex.length === 4 ? hex.replace(/[^#]/g, "$&$&") : hex;
  return [1, 3, 5].map((at) => parseInt(full.slice(at, at + 2), 16));
}

function luminance(hex) {
  const [r, g, b] = channels(hex).map((n) => (n / 255 <= 0.04045 ? n / 255 / 12.92 : ((n / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

export function contrast(one, other) {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

function mixed(hex, other, share) {
  const far = channels(other);
  return `#${channels(hex).map((n, i) => Math.round(n * (1 - share) + far[i] * share).toString(16).padStart(2, "0")).join("")}`;
}

/* Black or white is readable on any colour: the better of the two has a contrast of at least 4.58.
   Under the pointer the accent moves away from its text, so that the contrast only grows. */
export function accentOf(hex) {
  if (!HEX.test(hex)) return null;
  const text = contrast(hex, "#ffffff") >= contrast(hex, "#000000") ? "#ffffff" : "#000000";
  const away = text === "#ffffff" ? "#000000" : "#ffffff";
  const edge = (surface) => (contrast(hex, surface) < FAINT ? "var(--edge)" : hex);
  return { colour: hex, text, hover: mixed(hex, away, 0.14), edge };
}
