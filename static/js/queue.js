// The queue page: clocks, how much was changed, and what to say when nothing comes back.
// Everything here can be done without it, by links and forms.
(() => {
  "use strict";

  const REST_MS = 600; // a second press on what has just appeared was meant for what was there before
  const desk = document.getElementById("desk");
  const ahead = Date.parse(desk.dataset.now) - Date.now(); // the server's clock counts
  const find = (selector) => document.querySelector(selector);
  let item = find("#item");
  let shownAt = -Infinity;

  // ---- clocks

  const minutes = (seconds) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;

  function spoken(seconds) {
    const parts = [];
    for (const [name, size] of [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]]) {
      const amount = Math.floor(seconds / size);
      seconds -= amount * size;
      if (amount || (name === "s" && !parts.length)) parts.push(`${amount} ${name}`);
    }
    return parts.slice(0, 2).join(" ");
  }

  function write(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function tick() {
    const now = Date.now() + ahead;
    for (const clock of document.querySelectorAll("[data-due]")) {
      const left = (Date.parse(clock.dataset.due) - now) / 1000;
      const state = left < 0 ? "past" : left < clock.dataset.length * 0.2 ? "near" : "fine";
      clock.className = `due ${state}`;
      write(clock, `${minutes(Math.floor(Math.abs(left)))} ${left < 0 ? "past its deadline" : "left"}`);
    }
    for (const clock of document.querySelectorAll("[data-since]")) {
      write(clock, spoken(Math.max(0, Math.floor((now - Date.parse(clock.dataset.since)) / 1000))));
    }
  }

  // ---- how much an edit changes

  function difference(before, after) {
    const [old, now] = [[...before], [...after]];
    let head = 0;
    while (head < Math.min(old.length, now.length) && old[head] === now[head]) head++;
    let tail = 0;
    while (tail < Math.min(old.length, now.length) - head && old.at(-1 - tail) === now.at(-1 - tail)) tail++;
    const [out, into] = [old.length - head - tail, now.length - head - tail];
    if (!out && !into) return "Nothing is changed yet.";
    return `${out} characters taken out, ${into} put in; ${now.length} of at most 8,000.`;
  }

  function showDifference(area) {
    const output = find(`output[for="${area.id}"]`);
    if (output) write(output, difference(area.dataset.draft, area.value));
  }

  document.addEventListener("input", (event) => {
    if (event.target.matches("textarea[data-draft]")) showDifference(event.target);
  });

  const rowsOf = (list) => [...list.querySelectorAll("a[id^='row-']")].map((row) => row.id).join();

  // ---- sending and what htmx brings

  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form.decide") || performance.now() - shownAt > REST_MS) return;
    event.preventDefault();
    event.stopPropagation();
  }, true);

  // Nothing moves under the pointer: what came by itself is announced, and taken in on a click.
  document.addEventListener("htmx:before:swap", ({ detail: { ctx, tasks } }) => {
    const isPushed = ctx.sourceElement === item && !ctx.request;
    const drop = (target) => {
      const at = tasks.findIndex((task) => task.target?.id?.startsWith(target) ?? false);
      if (at >= 0) tasks.splice(at, 1);
    };
    if (isPushed && find("form.decide.htmx-request")) drop("notice-"); // the answer to it says more
    const list = tasks.find((task) => task.target?.id === "queue-list");
    const moves = list && rowsOf(list.fragment) !== rowsOf(list.target);
    const isHeld = isPushed && moves && find("#queue-list:hover") !== null;
    if (isHeld) drop("queue-list");
    if (list) find("#queue-changed").hidden = !isHeld;
  });

  document.addEventListener("htmx:after:swap", () => {
    if (find("#item") !== item) {
      item = find("#item");
      shownAt = performance.now();
    }
    document.querySelectorAll("textarea[data-draft]").forEach(showDifference);
    tick();
  });

  function say(text) {
    const strip = Object.assign(document.createElement("p"), { className: "strip stop", textContent: text });
    find("#queue-said").replaceChildren(strip);
  }

  const isOurs = (ctx) => desk.contains(ctx?.sourceElement ?? null); // the shell asks by itself

  document.addEventListener("htmx:response:error", ({ detail: { ctx } }) => {
    if (!isOurs(ctx)) return;
    const status = ctx.response.status;
    if (status === 403) say("The server refused this, and nothing was sent. Open the page again; what you typed is still here to be copied.");
    else if (status === 404) say("This answer does not exist.");
    else if (status >= 500) say("The server failed. Whether it took this is not known; sending it again is safe, for only one decision counts.");
  });
  document.addEventListener("htmx:error", ({ detail: { ctx } }) => {
    if (isOurs(ctx)) say("No answer came. Whether it was taken is not known; sending it again is safe, for only one decision counts.");
  });
  document.addEventListener("htmx:ws:after:message:incoming", () => {
    desk.dataset.live = "";
  });

  document.querySelectorAll("textarea[data-draft]").forEach(showDifference);
  tick();
  setInterval(tick, 1000);
  // htmx may have begun before hx-ws had come, and have seen no socket.
  document.addEventListener("DOMContentLoaded", () => htmx.process(desk));
})();
