/* The attributes of the script tag. A value that cannot be used is said once on the console, and a safe one taken instead. */

import { accentOf } from "./colour.js";
import { LANGUAGES, localeOf } from "./words.js";

const TITLE = 60; // characters

function choice(data, name, values, complain) {
  const given = (data[name] ?? "").trim().toLowerCase();
  if (!given || values.includes(given)) return given || values[0];
  complain(name, `is not one of ${values.join(", ")}`, values[0]);
  return values[0];
}

function socketUrl(src, given, complain) {
  const own = new URL("/ws/chat/", src).href.replace(/^http/, "ws");
  if (!given) return own;
  try {
    const url = new URL(given, src).href.replace(/^http/, "ws");
    if (/^wss?:/.test(url)) return url;
  } catch { /* said below */ }
  complain("socket", "is not the address of a socket", own);
  return own;
}

function accent(given, complain) {
  if (!given) return null;
  const found = accentOf(given.trim());
  if (!found) complain("accent", "is not a colour like #0a7 or #00aa77", "ink");
  return found;
}

function title(given, complain) {
  const text = given?.trim() || "Chat";
  if (text.length <= TITLE) return text;
  complain("title", `is longer than ${TITLE} characters`, "its beginning");
  return `${text.slice(0, TITLE - 1)}…`;
}

function language(given, complain) {
  const said = given?.trim();
  if (said && !localeOf(said)) complain("language", `is not one of ${LANGUAGES.join(", ")}`, "that of the page or the browser");
  return [said, document.documentElement.lang, ...navigator.languages].map(localeOf).find(Boolean) || "en";
}

export function optionsOf(src, data) {
  const complain = (name, problem, instead) => {
    const attribute = `data-${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    console.warn(`Chat: ${attribute}="${data[name]}" ${problem}; ${instead} is used.`);
  };
  return {
    token: data.token || null,
    tokenUrl: data.tokenUrl || "",
    tokenCredentials: choice(data, "tokenCredentials", ["omit", "same-origin", "include"], complain),
    socketUrl: socketUrl(src, data.socket, complain),
    title: title(data.title, complain),
    accent: accent(data.accent, complain),
    position: choice(data, "position", ["right", "left"], complain),
    theme: choice(data, "theme", ["auto", "light", "dark"], complain),
    locale: language(data.language, complain),
    open: choice(data, "open", ["false", "true"], complain) === "true",
  };
}
