/* The button on the page and the panel that it opens: focus, keyboard, and what is said aloud. */

import { makeComposer } from "./composer.js";
import { el, icon } from "./dom.js";
import { makeFollower } from "./follower.js";
import { sheetsOf } from "./style.js";

const NARROW = "(max-width: 480px)"; // the panel covers the page

export function makePanel({ options, words, opened, said, typed }) {
  const { title } = options;
  const badge = el("b", { hidden: true });
  const launcher = el("button", { className: "launcher first", type: "button", "aria-haspopup": "dialog", onclick: () => open() }, icon("M3 5.5A2.5 2.5 0 0 1 5.5 3h9A2.5 2.5 0 0 1 17 5.5v6a2.5 2.5 0 0 1-2.5 2.5H9l-4 3v-3A2.5 2.5 0 0 1 3 11.5z"), el("span", {}, words.chat), badge);
  const log = el("div", { className: "log", role: "log", tabIndex: 0, "aria-live": "polite", "aria-label": words.conversation });
  const hello = el("div", { className: "hello" }, el("strong", {}, words.greeting), el("p", {}, words.greetingMore));
  const strip = el("div", { className: "strip", hidden: true });
  const prospects = el("p", { className: "prospects", hidden: true });
  const state = el("p", { className: "meta" }, words.assistant);
  const heard = [el("p", { className: "sr", role: "status" }), el("p", { className: "sr", role: "status" })]; // open, closed
  const shut = el("button", { className: "bare", type: "button", "aria-label": words.close, onclick: () => close() }, icon("M5 5l10 10M15 5 5 15"));
  const { toEnd, following } = makeFollower(log, () => composer.below);
  const composer = makeComposer({ words, said, typed, announce, toEnd });
  const panel = el("dialog", { "aria-labelledby": "title", onkeydown: escape, oncancel: (event) => { event.preventDefault(); close(); }, onclose: () => { launcher.hidden = false; } },
    el("div", { className: "top" }, el("div", {}, el("h2", { id: "title" }, title), state), shut), log, hello, prospects, strip, composer.form, heard[0]);
  const host = document.createElement("interlock-chat");
  const shadow = host.attachShadow({ mode: "open" });
  const root = el("div", { className: `root ${options.theme} ${options.position}`, lang: words.language }, launcher, panel, heard[1]);
  for (const kind of ["keydown", "keypress", "keyup"]) root.addEventListener(kind, (event) => event.stopPropagation()); // the page's shortcuts are not for what is written here
  shadow.adoptedStyleSheets = sheetsOf(options.accent);
  shadow.append(root);
  unread(0);

  function open({ quietly = false } = {}) {
    if (panel.open) return;
    if (quietly) panel.open = true; // takes no focus from the page
    else if (matchMedia(NARROW).matches) panel.showModal(); // nothing behind it may be reached
    else panel.show();
    launcher.hidden = true;
    if (!quietly) composer.focus();
    toEnd();
    opened();
  }

  function close() {
    const inside = panel.contains(shadow.activeElement);
    panel.close();
    launcher.hidden = false;
    if (inside) launcher.focus();
  }

  function escape(event) {
    if (event.key !== "Escape" || event.isComposing || event.defaultPrevented) return;
    event.preventDefault();
    close();
  }

  function announce(text) {
    heard[panel.open ? 0 : 1].textContent = text;
  }

  function warn(text, tone = "", action = null) {
    strip.hidden = !text;
    strip.className = `strip ${tone}`;
    if (strip.dataset.text !== text) announce(text);
    strip.dataset.text = text;
    strip.replaceChildren(el("span", {}, text), ...(action ? [el("button", { type: "button", onclick: action.run }, action.label)] : []));
  }

  /* What people have stopped, for as long as it lasts; said aloud when it changes. */
  function answers(now) {
    const before = prospects.dataset.answers || "flowing";
    if (now === before || !Object.hasOwn(words.answers, now)) return;
    prospects.dataset.answers = now;
    prospects.hidden = now === "flowing";
    prospects.className = `prospects ${now === "by_people" ? "hold" : ""}`;
    prospects.textContent = words.answers[now];
    announce(words.answers[now]);
  }

  function unread(count) {
    badge.hidden = !count;
    badge.textContent = count;
    launcher.setAttribute("aria-label", words.chatWith(title) + (count ? words.unread(count) : ""));
  }

  return {
    log, composer, open, announce, answers, warn, unread, toEnd, following,
    isOpen: () => panel.open,
    mount: () => document.body.append(host),
    holds: (node) => node.contains(shadow.activeElement),
    tell(text, isConnected = true) {
      state.textContent = text;
      panel.classList.toggle("away", !isConnected); // nobody knows who thinks meanwhile
    },
    tellBelow(isBelow) { composer.below.hidden = !isBelow; },
  };
}
