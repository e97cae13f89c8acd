/* The chat on a customer's page: one script tag, no dependency, no style or handler that a strict CSP would refuse.
   <script src="https://HOST/static/widget/widget.js" data-token="JWT" data-title="Autohaus Stern" defer></script>
   data-socket          where to connect; /ws/chat/ on the script's own host unless given
   data-token-url       instead of data-token: answers {"token": …}, asked again when the token has expired
   data-token-credentials  what fetch sends there: "omit" unless given
   data-open="true"     open at the start
   A page with a Content-Security-Policy allows HOST in script-src and wss://HOST in connect-src, nothing else. */
(() => {
  "use strict";
  const script = document.currentScript;
  if (!script || document.querySelector("interlock-chat")) return;
  const data = script.dataset;
  const title = data.title || "Chat";
  const socketUrl = data.socket || new URL("/ws/chat/", script.src).href.replace(/^http/, "ws");
  const LIMIT = 8192; // bytes of UTF-8 in one message
  const ANSWER_WITHIN = 15000; // a socket that says nothing for so long after we spoke is dead
  const WORD_WITHIN = 2000; // of an accepted question its state is told; else the widget says itself that it is not
  const STEADY = 10000; // a connection that lasted so long was a good one
  const PROGRESS = {
    checking: ["plain busy", "Checking your message"],
    thinking: ["plain busy", "Thinking"],
    waiting_for_person: ["hold", "A colleague is checking this answer"],
    paused: ["soft", "Answers are paused. Yours will follow"],
    failed: ["stop", "This answer failed"],
  };
  const REFUSED = { too_long: "Too long to send", id_reused: "Could not be sent", bad_request: "Could not be sent" };

  // ---- style -------------------------------------------------------------------------------------------------------
  const CSS = `
:host { display: contents !important; }
.root { all: initial; direction: ltr; color-scheme: light dark; font: 400 14px/1.5 Inter, system-ui, sans-serif; color: var(--ink); overflow-wrap: anywhere;
  --paper: #f6f6f3; --surface: #fff; --sunk: #efeeea; --line: #e3e2dc; --line-strong: #c9c7be; --edge: #85827a; --ink: #1a1a17; --ink-2: #55534c; --ink-3: #6a685f; --on-ink: #fff;
  --hold: #5a45b5; --hold-bg: #eeebfb; --soft: #8a5200; --soft-bg: #fdf0d5; --stop: #b3261e; --stop-bg: #fce9e7; --lift: 0 12px 40px #1a1a1726; }
@media (prefers-color-scheme: dark) { .root { --paper: #121310; --surface: #1a1b18; --sunk: #282923; --line: #2d2e29; --line-strong: #45463f; --edge: #7d7b72; --ink: #edece6; --ink-2: #b7b5ab; --ink-3: #9c9a90; --on-ink: #151613;
  --hold: #b1a3f5; --hold-bg: #26213f; --soft: #e7b04c; --soft-bg: #35280d; --stop: #ff8a80; --stop-bg: #3d1714; --lift: 0 12px 40px #000a; } }
* { box-sizing: border-box; margin: 0; }
[hidden] { display: none !important; }
:focus-visible { outline: 2px solid var(--ink); outline-offset: 2px; }
.sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
svg { width: 20px; height: 20px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; flex: none; }
button { font: 560 13px/1 Inter, system-ui, sans-serif; min-height: 36px; padding: 0 12px; border-radius: 7px; border: 1px solid var(--edge); background: var(--surface); color: var(--ink); cursor: pointer; display: inline-flex; align-items: center; justify-content: center; gap: 8px; }
button:hover { background: var(--sunk); }
button.first { background: var(--ink); color: var(--on-ink); border-color: var(--ink); }
button.bare { border-color: transparent; background: none; width: 36px; padding: 0; }
button.bare:hover { background: var(--sunk); }
.launcher { position: fixed; right: 16px; bottom: 16px; z-index: 2147483000; height: 48px; padding: 0 18px 0 16px; border-radius: 24px; font-size: 15px; box-shadow: var(--lift); outline-offset: 3px; }
.launcher:hover, button.first:hover { background: color-mix(in srgb, var(--ink) 86%, var(--paper)); }
.launcher b { font-weight: 650; font-size: 12px; min-width: 20px; padding: 4px 6px; border-radius: 10px; background: var(--on-ink); color: var(--ink); font-variant-numeric: tabular-nums; }
dialog { position: fixed; inset: auto 16px 16px auto; z-index: 2147483000; width: 384px; max-width: calc(100vw - 32px); height: min(620px, calc(100dvh - 32px)); max-height: none; padding: 0; border: 1px solid var(--line-strong); border-radius: 12px; background: var(--paper); color: inherit; box-shadow: var(--lift); flex-direction: column; overflow: hidden; }
dialog[open] { display: flex; }
header { display: flex; align-items: center; gap: 8px; padding: 10px 8px 10px 16px; background: var(--surface); border-bottom: 1px solid var(--line); }
header div { flex: 1; min-width: 0; }
h2 { font-size: 16px; line-height: 1.3; font-weight: 620; letter-spacing: -.01em; }
.meta, .note, .strip { font-size: 12px; line-height: 1.4; color: var(--ink-3); }
.log { flex: 1; min-height: 0; overflow-y: auto; overscroll-behavior: contain; padding: 16px; display: flex; flex-direction: column; gap: 12px; outline-offset: -3px; }
.log:empty { flex: 0; padding: 0; }
.log:not(:empty) + .hello { display: none; }
.hello { flex: 1; display: grid; place-content: center; gap: 4px; padding: 24px 32px; text-align: center; color: var(--ink-2); text-wrap: balance; }
.hello strong { font-size: 16px; font-weight: 620; color: var(--ink); }
.turn { display: flex; flex-direction: column; align-items: flex-start; gap: 6px; max-width: 100%; }
.turn.user { align-items: flex-end; }
.text { white-space: pre-wrap; max-width: 86%; padding: 8px 12px; border: 1px solid var(--line); border-radius: 12px; background: var(--surface); unicode-bidi: plaintext; text-align: start; }
.user .text { background: var(--sunk); border-color: var(--line-strong); border-bottom-right-radius: 4px; }
.assistant .text { border-bottom-left-radius: 4px; }
.user.unsent .text { border-style: dashed; border-color: var(--edge); background: none; }
.quote { max-width: 86%; padding-left: 8px; border-left: 2px solid var(--line-strong); font-size: 12px; line-height: 1.4; color: var(--ink-2); display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical; overflow: hidden; unicode-bidi: plaintext; }
.reviewed { display: inline-flex; align-items: center; gap: 4px; font-size: 12px; color: var(--ink-2); }
.reviewed svg { width: 14px; height: 14px; }
.note { display: inline-flex; flex-wrap: wrap; align-items: center; gap: 4px 8px; max-width: 100%; }
.note.plain, .note.hold, .note.soft, .note.stop { align-self: flex-start; padding: 5px 10px; border-radius: 8px; font-weight: 560; color: var(--ink-2); background: var(--sunk); }
.note.user { align-self: flex-end; }
.note.hold { color: var(--hold); background: var(--hold-bg); }
.note.soft { color: var(--soft); background: var(--soft-bg); }
.note.stop { color: var(--stop); background: var(--stop-bg); }
.note time { font-weight: 450; font-variant-numeric: tabular-nums; white-space: nowrap; }
.note button { min-height: 28px; padding: 0 10px; font-size: 12px; }
.busy::before { content: ""; width: 7px; height: 7px; border-radius: 50%; background: currentColor; animation: breathe 1.6s ease-in-out infinite; }
@keyframes breathe { 50% { opacity: .25; } }
.below { position: absolute; right: 16px; bottom: 100%; margin-bottom: 8px; border-radius: 18px; }
.strip { display: flex; align-items: center; gap: 8px; padding: 8px 16px; color: var(--soft); background: var(--soft-bg); font-weight: 560; }
.strip.stop { color: var(--stop); background: var(--stop-bg); }
.strip span { flex: 1; }
form { position: relative; background: var(--surface); border-top: 1px solid var(--line); padding: 12px; padding-bottom: max(12px, env(safe-area-inset-bottom)); display: grid; grid-template-columns: 1fr auto; gap: 8px; align-items: end; }
textarea { font: inherit; font-size: 16px; line-height: 1.4; color: inherit; background: var(--surface); border: 1px solid var(--edge); border-radius: 7px; padding: 6px 10px; width: 100%; height: 58px; max-height: 140px; resize: none; field-sizing: content; }
@supports (field-sizing: content) { textarea { height: auto; min-height: 36px; } }
textarea:focus-visible { outline-offset: -1px; }
::placeholder { color: var(--ink-3); opacity: 1; }
.count { grid-column: 1 / -1; font-variant-numeric: tabular-nums; }
.count.over { color: var(--stop); font-weight: 560; }
@media (max-width: 480px) { dialog { inset: 0; width: 100%; max-width: none; height: 100dvh; border: 0; border-radius: 0; } }
@media (prefers-reduced-motion: reduce) { * { animation: none !important; } }
@media print { .root { display: none; } }`;

  // ---- small tools -------------------------------------------------------------------------------------------------
  function el(tag, props = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(props)) name in node ? (node[name] = value) : node.setAttribute(name, value);
    node.append(...children);
    return node;
  }

  function icon(path) {
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
  const inert = (text) =>
    String(text).replace(/\r\n?/g, "\n").replace(HIDDEN, (c) => `[U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);

  const bytes = (text) => new TextEncoder().encode(text).length;
  const jittered = (tries) => Math.min(30000, 500 * 2 ** tries) * (0.5 + Math.random() / 2);

  function uuid() { // crypto.randomUUID exists on secure pages only
    const hex = [...crypto.getRandomValues(new Uint8Array(16))].map((n, i) => (i === 6 ? (n & 15) | 64 : i === 8 ? (n & 63) | 128 : n).toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  }

  function lasting(milliseconds) {
    const s = Math.max(0, Math.floor(milliseconds / 1000));
    if (s >= 3600) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} m`;
    return s >= 60 ? `${Math.floor(s / 60)} m ${s % 60} s` : `${s} s`;
  }

  // ---- what outlives a reload: draft, messages not yet in the transcript, what was read; per tab and person ---------
  let kept = { draft: "", pending: [], read: {} };
  let keptAs = null;

  function owner(token) { // the token changes with every page, the person in it does not
    try {
      return JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).sub || token;
    } catch {
      return token;
    }
  }

  function recall(token) {
    const name = `interlock:${socketUrl}:${owner(token)}`;
    if (name === keptAs) return;
    if (keptAs) forget(); // another person: nothing of the first may be sent or shown
    keptAs = name;
    try {
      const old = JSON.parse(sessionStorage.getItem(name));
      if (old) kept = { draft: kept.draft || old.draft, pending: [...old.pending, ...kept.pending], read: old.read };
    } catch { /* storage is blocked: memory will do */ }
    input.value = kept.draft;
    count();
    kept.pending.forEach(showPending);
  }

  function keep() {
    try {
      if (keptAs) sessionStorage.setItem(keptAs, JSON.stringify(kept));
    } catch { /* as above */ }
  }

  // ---- the panel ---------------------------------------------------------------------------------------------------
  const badge = el("b", { hidden: true });
  const launcher = el("button", { className: "launcher first", type: "button", "aria-haspopup": "dialog", onclick: () => open() }, icon("M3 5.5A2.5 2.5 0 0 1 5.5 3h9A2.5 2.5 0 0 1 17 5.5v6a2.5 2.5 0 0 1-2.5 2.5H9l-4 3v-3A2.5 2.5 0 0 1 3 11.5z"), el("span", {}, "Chat"), badge);
  const log = el("div", { className: "log", role: "log", tabIndex: 0, "aria-live": "polite", "aria-label": "Conversation", onscroll: scrolled });
  const hello = el("div", { className: "hello" }, el("strong", {}, "What can we do for you?"), el("p", {}, "An AI assistant answers. Some answers are checked by a colleague first."));
  const strip = el("div", { className: "strip", hidden: true });
  const below = el("button", { className: "below", type: "button", hidden: true, onclick: () => { toEnd(); input.focus(); } }, "New below", icon("M10 4v12m-5-5 5 5 5-5"));
  const input = el("textarea", { rows: 1, placeholder: "Write a message", "aria-label": "Your message", "aria-describedby": "count", oninput: typed, onkeydown: enter });
  const counter = el("p", { className: "meta count", id: "count", hidden: true });
  const send = el("button", { className: "first", type: "submit" }, "Send");
  const form = el("form", { onsubmit: submitted }, below, input, send, counter);
  const state = el("p", { className: "meta" }, "AI assistant");
  const heard = [el("p", { className: "sr", role: "status" }), el("p", { className: "sr", role: "status" })]; // open, closed
  const shut = el("button", { className: "bare", type: "button", "aria-label": "Close chat", onclick: () => close() }, icon("M5 5l10 10M15 5 5 15"));
  const panel = el("dialog", { "aria-labelledby": "title", onkeydown: escape, oncancel: (event) => { event.preventDefault(); close(); }, onclose: () => { launcher.hidden = false; } },
    el("header", {}, el("div", {}, el("h2", { id: "title" }, title), state), shut), log, hello, strip, form, heard[0]);
  const host = document.createElement("interlock-chat");
  const shadow = host.attachShadow({ mode: "open" });

  function mount() {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
    shadow.adoptedStyleSheets = [sheet];
    shadow.append(el("div", { className: "root", lang: "en" }, launcher, panel, heard[1]));
    document.body.append(host);
    new ResizeObserver(resized).observe(log); // the box below grows with what is written in it
    unread();
    if (data.token) recall(data.token);
    if (data.open === "true") open({ quietly: true });
    else if (kept.pending.length || Object.keys(kept.read).length) connect(); // a chat goes on from page to page
  }

  function open({ quietly = false } = {}) {
    if (panel.open) return;
    if (quietly) panel.open = true; // takes no focus from the page
    else if (matchMedia("(max-width: 480px)").matches) panel.showModal(); // it covers the page: nothing behind it may be reached
    else panel.show();
    launcher.hidden = true;
    if (!quietly) input.focus();
    read();
    toEnd();
    connect();
  }

  function close() {
    const inside = panel.contains(shadow.activeElement);
    panel.close();
    launcher.hidden = false;
    if (inside) launcher.focus();
  }

  function escape(event) {
    if (event.key !== "Escape" || event.isComposing) return;
    event.preventDefault();
    event.stopPropagation();
    close();
  }

  function announce(text) {
    heard[panel.open ? 0 : 1].textContent = text;
  }

  let pinned = true, height = 0;
  const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 48;
  const toEnd = () => { log.scrollTop = log.scrollHeight; };

  function scrolled() {
    if (log.clientHeight === height) pinned = atEnd(); // else nobody scrolled, the log has another height
    if (pinned) below.hidden = true;
  }

  function resized() {
    height = log.clientHeight;
    if (pinned) toEnd();
  }

  /* Follows the conversation only for somebody who is at its end; nothing moves for a reader further up. */
  function following(change) {
    const follow = atEnd() || (pinned && log.clientHeight !== height);
    change();
    if (follow) toEnd();
    return follow;
  }

  function warn(text, tone = "", action = null) {
    strip.hidden = !text;
    strip.className = `strip ${tone}`;
    if (strip.dataset.text !== text) announce(text);
    strip.dataset.text = text;
    strip.replaceChildren(el("span", {}, text), ...(action ? [el("button", { type: "button", onclick: action.run }, action.label)] : []));
  }

  // ---- the transcript ----------------------------------------------------------------------------------------------
  const bySeq = new Map(), byId = new Map(), byTrace = new Map(), progress = new Map(), answered = new Set();
  const owed = new Set(); // traces that this connection accepted and has said nothing of since
  let last = 0, backlog = 0, unseen = 0, skew = 0, ticking = null;

  function forget() {
    for (const turn of byId.values()) clearTimeout(turn.timer);
    for (const known of [bySeq, byId, byTrace, progress, answered, owed]) known.clear();
    log.replaceChildren();
    [last, unseen, conversation] = [0, 0, null];
    kept = { draft: "", pending: [], read: {} };
  }

  function turnOf(role, text, { id, pending = null, question, reviewed }) {
    const turn = { role, text, id, pending, rank: Infinity };
    turn.note = el("div", { className: "note", hidden: true, "aria-live": "off" });
    turn.box = el("div", { className: `turn ${role}` }, el("span", { className: "sr" }, role === "user" ? "You:" : "Answer:"));
    if (question) turn.box.append(el("p", { className: "quote", dir: "auto" }, el("span", { className: "sr" }, "To your question: "), inert(question)));
    turn.box.append(el("p", { className: "text", dir: "auto", lang: "" }, inert(text)));
    if (reviewed) turn.box.append(el("span", { className: "reviewed" }, icon("M4 10.5l4 4 8-9"), "Reviewed by a colleague"));
    turn.box.turn = turn;
    if (role === "user") {
      turn.box.append(turn.note);
      if (id) byId.set(id, turn);
    }
    return turn;
  }

  /* By number; what has none yet comes last, in the order in which it was typed. */
  function place(turn) {
    let next = null;
    for (let box = log.lastElementChild; box; box = box.previousElementSibling) {
      if (box !== turn.box && box.turn.rank <= turn.rank) break;
      if (box !== turn.box) next = box;
    }
    if (turn.box.parentNode !== log || turn.box.nextElementSibling !== next) log.insertBefore(turn.box, next);
  }

  function note(turn, tone, text, { since = null, until = null, action = null } = {}) {
    const focused = turn.note.contains(shadow.activeElement);
    const spoken = turn.word !== text;
    Object.assign(turn, { word: text, since, until });
    turn.note.className = `note ${tone}`;
    turn.note.hidden = !text;
    turn.time = el("time");
    turn.note.replaceChildren(el("span", {}, text), ...(since || until ? [turn.time] : []), ...(action ? [el("button", { type: "button", onclick: action.run }, action.label)] : []));
    turn.box.classList.toggle("unsent", Boolean(turn.pending) && !turn.pending.trace);
    if (focused) input.focus();
    if (spoken && text && text !== "Sending…") announce(text);
    tick();
  }

  function tick() {
    const running = [...byId.values(), ...byTrace.values()].filter((turn) => turn.since || turn.until);
    for (const { since, until, time } of running) time.textContent = lasting(since ? Date.now() + skew - since : until - Date.now());
    if (running.length && !ticking) ticking = setInterval(tick, 1000);
    if (!running.length) ticking = clearInterval(ticking);
  }

  function sent(turn) {
    turn.sentAt ??= Date.now();
    const silent = () => following(() => note(turn, "soft", "Sent. Nothing heard back yet", { since: turn.sentAt + skew }));
    const left = turn.sentAt + WORD_WITHIN - Date.now();
    clearTimeout(turn.timer);
    if (left <= 0) return silent();
    note(turn, "", "Sent");
    turn.timer = setTimeout(silent, left);
  }

  function trace(turn, id) {
    turn.trace = id;
    byTrace.set(id, turn);
    if (progress.has(id)) showProgress(turn, progress.get(id));
  }

  function showProgress(turn, { state, since, trace_id }) {
    if (answered.has(trace_id) || !PROGRESS[state]) return;
    clearTimeout(turn.timer);
    const [tone, text] = PROGRESS[state];
    const counts = state === "waiting_for_person" || state === "paused";
    const again = { label: "Try again", run: () => { note(turn, "stop", "This answer failed. Asked again below"); say(turn.text); } };
    following(() => note(turn, tone, text, { since: counts && (Date.parse(since) || Date.now() + skew), action: state === "failed" ? again : null }));
  }

  function shown(frame) {
    if (!Number.isInteger(frame.seq)) return;
    last = Math.max(last, frame.seq);
    if (bySeq.has(frame.seq)) return;
    const turn = (frame.role === "user" && byId.get(frame.id)) || turnOf(frame.role, frame.text, frame);
    bySeq.set(frame.seq, turn);
    turn.rank = frame.seq;
    const follow = following(() => {
      settle(turn, frame);
      place(turn);
    });
    if (frame.role !== "user") arrived(frame, follow);
    if (last >= backlog) log.removeAttribute("aria-busy");
  }

  /* A message of one's own that came back has arrived; an answer ends the progress of its question. */
  function settle(turn, frame) {
    if (frame.role === "user") {
      drop(turn);
      if (turn.word && !progress.has(frame.trace_id)) sent(turn);
      if (frame.trace_id) trace(turn, frame.trace_id);
      return;
    }
    answered.add(frame.trace_id);
    owed.delete(frame.trace_id);
    const asked = byTrace.get(frame.trace_id) || byId.get(frame.in_reply_to);
    if (!asked) return;
    if (asked.rank === Infinity) asked.rank = frame.seq - 0.5;
    drop(asked);
    place(asked);
    note(asked, "", "");
  }

  function drop(turn) {
    clearTimeout(turn.timer);
    kept.pending = kept.pending.filter((each) => each !== turn.pending);
    turn.pending = null;
    turn.box.classList.remove("unsent");
    keep();
  }

  function arrived(frame, follow) {
    if (panel.open) read();
    else if (frame.seq > (kept.read[conversation] || 0)) unseen += 1;
    below.hidden = follow || !panel.open;
    unread();
    if (!panel.open && unseen) announce(`New answer from ${title}`);
  }

  function read() {
    unseen = 0;
    if (conversation) kept.read = { [conversation]: last };
    keep();
    unread();
  }

  function unread() {
    badge.hidden = !unseen;
    badge.textContent = unseen;
    launcher.setAttribute("aria-label", `Chat with ${title}${unseen ? `, ${unseen} new` : ""}`);
  }

  // ---- writing -----------------------------------------------------------------------------------------------------
  function typed() {
    kept.draft = input.value;
    keep();
    count();
  }

  function count() {
    const used = bytes(input.value.trim());
    counter.hidden = used < LIMIT * 0.9;
    counter.classList.toggle("over", used > LIMIT);
    counter.textContent = used > LIMIT ? `${(used - LIMIT).toLocaleString("en")} bytes too long to send` : `${used.toLocaleString("en")} of ${LIMIT.toLocaleString("en")} bytes`;
  }

  function enter(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) submitted(event);
  }

  function submitted(event) {
    event.preventDefault();
    const text = input.value.trim();
    if (bytes(text) > LIMIT) return announce(counter.textContent);
    if (!text) return;
    input.value = "";
    typed();
    say(text);
    input.focus();
  }

  function say(text) {
    const pending = { id: uuid(), text, conversation };
    kept.pending.push(pending);
    keep();
    if (ready) warn("");
    showPending(pending);
    toEnd();
    pump();
    connect();
  }

  function showPending(pending) {
    if (byId.has(pending.id)) return;
    const turn = turnOf("user", pending.text, { id: pending.id, pending });
    turn.sentAt = pending.sentAt;
    following(() => place(turn));
    if (pending.trace) trace(turn, pending.trace);
    if (pending.refused) refuse(turn, pending.refused);
    else if (!turn.word) pending.trace ? sent(turn) : note(turn, "", "Not sent yet");
  }

  /* One at a time, so that Kafka gets them in the order in which they were typed. */
  function pump() {
    const next = kept.pending.find((each) => each.conversation === conversation && !each.trace && !each.refused);
    const turn = next && byId.get(next.id);
    if (!ready || !turn || turn.sent || turn.until) return;
    turn.sent = true;
    note(turn, "", "Sending…");
    transmit({ type: "message", id: next.id, text: next.text });
  }

  function later(turn, text, wait) {
    turn.sent = false;
    const again = () => {
      unsent(turn);
      pump();
    };
    clearTimeout(turn.timer);
    turn.timer = setTimeout(again, wait);
    following(() => note(turn, "soft user", text, { until: Date.now() + wait + 999, action: { label: "Try again", run: again } }));
  }

  function refuse(turn, code) {
    turn.sent = false;
    turn.pending.refused = code;
    keep();
    const edit = () => {
      input.value = [turn.text, input.value].filter(Boolean).join("\n");
      drop(turn);
      byId.delete(turn.id);
      turn.box.remove();
      typed();
      input.focus();
    };
    following(() => note(turn, "stop user", REFUSED[code] || REFUSED.bad_request, { action: { label: "Edit", run: edit } }));
  }

  // ---- the connection ----------------------------------------------------------------------------------------------
  let socket = null, token = data.token || null, conversation = null, ready = false, readyAt = 0, tries = 0, timer = null, watch = null, halted = false, renewed = false, fetching = false;

  async function connect() {
    if (socket || halted || fetching) return;
    clearTimeout(timer);
    if (!token && data.tokenUrl && !(await renew())) return lost();
    if (token) recall(token);
    state.textContent = "AI assistant · connecting…";
    const mine = (socket = new WebSocket(socketUrl));
    watching();
    mine.onopen = () => mine === socket && transmit({ type: "hello", token, after: last });
    mine.onmessage = (event) => mine === socket && received(event.data);
    mine.onclose = () => mine === socket && lost();
  }

  async function renew() {
    fetching = true;
    try {
      const answer = await fetch(data.tokenUrl, { credentials: data.tokenCredentials || "omit", cache: "no-store" });
      token = answer.ok ? (await answer.json()).token : null;
    } catch {
      token = null;
    }
    fetching = false;
    return token;
  }

  function transmit(frame) {
    socket.send(JSON.stringify(frame));
    watching();
  }

  function watching() {
    clearTimeout(watch);
    watch = setTimeout(() => lost(), ANSWER_WITHIN);
  }

  function hangUp() {
    const old = socket;
    [socket, ready] = [null, false];
    clearTimeout(watch);
    owed.clear();
    for (const turn of byId.values()) unsent(turn);
    state.textContent = "AI assistant · not connected";
    if (old) old.close();
  }

  function unsent(turn) {
    if (!turn.pending || turn.pending.trace || turn.pending.refused) return;
    clearTimeout(turn.timer);
    turn.sent = false;
    note(turn, "", "Not sent yet");
  }

  function lost(wait = null) {
    if (ready && Date.now() - readyAt > STEADY) tries = 0; // a server that greets and dies is not hammered
    hangUp();
    wait ??= jittered(tries);
    tries += 1;
    warn(navigator.onLine ? "Reconnecting… What you write is kept and sent afterwards." : "You are offline. What you write is kept and sent afterwards.");
    clearTimeout(timer);
    timer = setTimeout(connect, wait);
  }

  function received(raw) {
    clearTimeout(watch);
    let frame;
    try {
      frame = JSON.parse(raw);
    } catch {
      return;
    }
    if (Object.hasOwn(HANDLERS, frame?.type)) HANDLERS[frame.type](frame);
    if (owed.size) watching();
  }

  function welcomed(frame) {
    if (conversation && conversation !== frame.conversation) return moved();
    conversation = frame.conversation;
    skew = frame.now ? Date.parse(frame.now) - Date.now() : 0;
    [ready, readyAt, renewed, backlog] = [true, Date.now(), false, frame.seq];
    if (last < backlog) log.setAttribute("aria-busy", "true"); // the past is not read aloud as news
    state.textContent = "AI assistant";
    warn("");
    for (const pending of kept.pending) if (!pending.conversation) pending.conversation = conversation;
    keep();
    for (const pending of kept.pending) pending.conversation === conversation ? showPending(pending) : byId.get(pending.id)?.box.remove();
    if (panel.open) read();
    pump();
  }

  /* The server began another conversation for this person: show that one from its start. */
  function moved() {
    const { draft, pending } = kept;
    forget();
    Object.assign(kept, { draft, pending });
    lost(0);
  }

  function accepted({ id, trace_id }) {
    const turn = byId.get(id);
    if (!turn) return;
    if (turn.pending) {
      sent(turn);
      Object.assign(turn.pending, { trace: trace_id, sentAt: turn.sentAt });
      keep();
    }
    if (!answered.has(trace_id) && !progress.has(trace_id)) owed.add(trace_id);
    trace(turn, trace_id);
    pump();
  }

  function status(frame) {
    progress.set(frame.trace_id, frame);
    owed.delete(frame.trace_id);
    const turn = byTrace.get(frame.trace_id);
    if (turn) showProgress(turn, frame);
  }

  function unauthorized() {
    hangUp();
    token = null;
    if (data.tokenUrl && !renewed) {
      renewed = true;
      connect();
      return;
    }
    halted = true;
    const again = () => { [halted, renewed] = [false, false]; warn("Connecting…"); connect(); };
    warn("Your sign-in for this chat has expired.", "stop", data.tokenUrl ? { label: "Try again", run: again } : { label: "Reload the page", run: () => location.reload() });
  }

  function failed({ code, detail, id, retry_after_s: seconds }) {
    if (code === "unauthorized") return unauthorized();
    const turn = byId.get(id);
    const wait = seconds ? seconds * 1000 : null;
    if (!turn?.pending) return code === "rate_limited" ? lost(wait || 5000) : warn(inert(detail || "Something went wrong."), "stop");
    turn.refusals = (turn.refusals || 0) + 1;
    if (code === "unconfirmed") later(turn, "Not sent yet. Trying again in", jittered(turn.refusals));
    else if (code === "rate_limited") later(turn, "Too many messages. Trying again in", wait || 5000);
    else refuse(turn, code);
    if (turn.pending.refused) pump();
  }

  const HANDLERS = { ready: welcomed, accepted, status, message: shown, error: failed };
  const wake = () => { if (!socket && (conversation || panel.open)) { tries = 0; connect(); } };
  addEventListener("online", () => { if (socket) lost(0); else wake(); });
  document.addEventListener("visibilitychange", () => document.hidden || wake());
  document.body ? mount() : addEventListener("DOMContentLoaded", mount);
})();
