// Live parts of a page, [data-live]: asks for those with data-every-s while the page is seen, says which is not
// up to date and since when. The shell is one of them: its lamp is never green when nobody knows.
(() => {
  "use strict";

  const GRACE_MS = 5000; // on top of how often a part is asked for
  const REFUSED = [4401, 4403]; // what a socket is closed with for good
  const find = (selector) => document.querySelector(selector);
  const clock = (ms) => new Date(ms).toISOString().slice(11, 19);
  const loadedAt = Date.now();
  const parts = new Map(); // by id: when it was right, and what is wrong since

  function partOf(id) {
    if (!parts.has(id)) parts.set(id, { at: loadedAt, why: "" });
    return parts.get(id);
  }

  // ---- saying it

  function darken(part) {
    const lamp = find("#lamp");
    if (!lamp || !part.why) return;
    lamp.className = "lamp plain";
    lamp.dataset.state = "unknown";
    lamp.firstElementChild.textContent = `State unknown since ${clock(part.at)} UTC`;
  }

  function show() {
    const wrong = [...parts].filter(([id, part]) => part.why && document.getElementById(id));
    for (const element of document.querySelectorAll("[data-stale]")) {
      if (!parts.get(element.id)?.why) delete element.dataset.stale;
    }
    for (const [id] of wrong) if (id !== "shell") document.getElementById(id).dataset.stale = "";
    const band = find("#band");
    if (band) band.toggleAttribute("data-stale", Boolean(parts.get("shell")?.why));
    darken(partOf("shell"));
    const note = find("#stale");
    const [, first] = wrong.find(([id]) => id !== "shell") ?? [];
    if (!note) return;
    note.hidden = !first && navigator.onLine;
    if (!navigator.onLine) say(note, "This computer is offline. What you see is from before.");
    else if (first) say(note, `Not up to date since ${clock(first.at)} UTC: ${first.why}. ${first.then}`);
  }

  function say(note, text) {
    const words = note.lastElementChild;
    if (words.textContent !== text) words.textContent = text;
  }

  function failed(id, why, isFinal = false) {
    Object.assign(partOf(id), { why, then: isFinal ? "Load the page again." : "Trying again." });
    show();
  }

  function updated(id) {
    Object.assign(partOf(id), { at: Date.now(), why: "" });
    show();
  }

  // ---- what htmx tells

  const partFrom = ({ detail }) => {
    const source = detail?.ctx?.sourceElement;
    return source?.matches?.("[data-live][id]") ? source.id : "";
  };
  const statusOf = ({ detail }) => detail?.ctx?.response?.status;

  document.addEventListener("htmx:response:error", (event) => {
    const id = partFrom(event);
    if (id) failed(id, `the server answered ${statusOf(event)}`);
  });
  document.addEventListener("htmx:error", (event) => {
    const id = partFrom(event);
    if (id) failed(id, "the server does not answer");
  });
  document.addEventListener("htmx:after:swap", (event) => {
    const id = partFrom(event);
    if (id && statusOf(event) < 400) updated(id);
  });

  // A socket closes by itself while the page is not seen, and when its part is replaced.
  document.addEventListener("htmx:ws:close", ({ target, detail }) => {
    const id = target.closest?.("[id]")?.id;
    if (!id || detail.reason === "removed" || document.hidden) return;
    const isRefused = REFUSED.includes(detail.code);
    failed(id, isRefused ? "you are signed out, or may no longer see this" : "the connection is lost", isRefused);
  });
  document.addEventListener("htmx:ws:after:message:incoming", ({ target }) => {
    const id = target.closest?.("[id]")?.id;
    if (id) updated(id);
  });

  // ---- asking

  function ask(element, now, atOnce) {
    const everyMs = Number(element.dataset.everyS) * 1000;
    const part = partOf(element.id);
    if (now - part.at > everyMs + GRACE_MS) failed(element.id, part.why || "the server does not answer");
    const isAsked = element.matches(".htmx-request") || now - (part.askedAt ?? loadedAt) < everyMs;
    if (isAsked && !atOnce) return;
    if (atOnce) htmx.trigger(element, "htmx:abort"); // what was asked before may never be answered
    part.askedAt = now;
    htmx.trigger(element, "live");
  }

  function askAll({ atOnce = false } = {}) {
    if (document.hidden) return;
    for (const element of document.querySelectorAll("[data-live][data-every-s]")) {
      ask(element, Date.now(), atOnce);
    }
  }

  const seenAgain = () => askAll({ atOnce: true });
  document.addEventListener("visibilitychange", seenAgain);
  addEventListener("pageshow", ({ persisted }) => persisted && seenAgain());
  addEventListener("online", () => { show(); seenAgain(); });
  addEventListener("offline", show);
  setInterval(askAll, 500);

  // What a person opened stays open when the part around it changes.
  htmx.registerExtension("keep-open", {
    htmx_before_morph_attr: (element, detail) =>
      !(detail.attrName === "open" && element.matches("details")),
  });
})();
