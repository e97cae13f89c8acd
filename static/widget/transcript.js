/* What was said, in order, and under each question what becomes of it. */

import { el, icon, inert } from "./dom.js";
import { makeRating } from "./rating.js";

const WORD_WITHIN = 2000; // of an accepted question its state is told; else the widget says itself that it is not
const COUNTS_FROM = 3000; // a clock that runs for less than this only makes nervous
const TONES = { checking: "plain busy", thinking: "plain busy", waiting_for_person: "hold", paused: "soft", failed: "stop" };

export function makeTranscript(chat) {
  const { words, panel } = chat;
  const { log, following } = panel;
  const bySeq = new Map(), byId = new Map(), byTrace = new Map(), progress = new Map(), answered = new Set(), forPerson = new Set();
  let ticking = null;

  function clear() {
    for (const turn of byId.values()) clearTimeout(turn.timer);
    for (const known of [bySeq, byId, byTrace, progress, answered, forPerson]) known.clear();
    log.replaceChildren();
  }

  function turnOf(role, text, { id, pending = null, question, reviewed, correction }) {
    const turn = { role, text, id, pending, rank: Infinity };
    turn.note = el("div", { className: "note", hidden: true, "aria-live": "off" });
    turn.foot = el("div", { className: "meta foot", hidden: true, "aria-live": "off" });
    turn.box = el("div", { className: `turn ${role}${correction ? " correction" : ""}` }, correction ? labelled() : el("span", { className: "sr" }, role === "user" ? words.you : words.answer));
    if (question) turn.box.append(el("p", { className: "quote", dir: "auto" }, el("span", { className: "sr" }, words.toYourQuestion), inert(question)));
    turn.box.append(el("p", { className: "text", dir: "auto", lang: "" }, inert(text)));
    if (reviewed) turn.box.append(el("span", { className: "reviewed" }, icon("M4 10.5l4 4 8-9"), correction ? words.written : words.reviewed));
    turn.box.append(turn.foot);
    turn.box.turn = turn;
    if (role === "user") {
      turn.box.append(turn.note);
      if (id) byId.set(id, turn);
      if (pending?.person) forPerson.add(turn);
    }
    return turn;
  }

  /* What follows is no answer: it takes one back. */
  function labelled() {
    return el("strong", { className: "label" }, icon("M10 6.5v4.5M10 13.8v.1M10 2.5l8 14.5H2z"), words.correction);
  }

  function stamp(turn, at) {
    const date = new Date(at);
    if (!at || Number.isNaN(date.getTime())) return;
    turn.foot.prepend(el("time", { dateTime: at }, words.when(date)));
    turn.foot.hidden = false;
  }

  function rateable(turn, { seq, rating }) {
    turn.rating = makeRating({ words, panel, rate: (which, reason) => chat.rate(seq, which, reason) }, rating);
    turn.foot.append(turn.rating.box);
    turn.foot.hidden = false;
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

  function note(turn, tone, text, { since = null, until = null, from = 0, action = null } = {}) {
    const focused = panel.holds(turn.note);
    const spoken = turn.word !== text;
    Object.assign(turn, { word: text, since, until, from });
    turn.note.className = `note ${tone}`;
    turn.note.hidden = !text;
    turn.time = el("time");
    turn.note.replaceChildren(el("span", {}, text), ...(since || until ? [turn.time] : []), ...(action ? [el("button", { type: "button", onclick: action.run }, action.label)] : []));
    turn.box.classList.toggle("unsent", Boolean(turn.pending) && !turn.pending.trace);
    if (focused) panel.composer.focus();
    if (spoken && text && text !== words.sending) panel.announce(text);
    tick();
  }

  function tick() {
    const running = [...byId.values(), ...byTrace.values()].filter((turn) => turn.since || turn.until);
    for (const { since, until, from, time } of running) {
      const passed = since ? Date.now() + chat.skew - since : until - Date.now();
      time.textContent = passed < from ? "" : words.lasting(passed);
    }
    if (running.length && !ticking) ticking = setInterval(tick, 1000);
    if (!running.length) ticking = clearInterval(ticking);
  }

  function sent(turn) {
    turn.sentAt ??= Date.now();
    const silent = () => following(() => note(turn, "soft", words.silent, { since: turn.sentAt + chat.skew }));
    const left = turn.sentAt + WORD_WITHIN - Date.now();
    clearTimeout(turn.timer);
    if (left <= 0) return silent();
    note(turn, "", words.sent);
    turn.timer = setTimeout(silent, left);
  }

  function trace(turn, id) {
    turn.trace = id;
    byTrace.set(id, turn);
    if (progress.has(id)) showProgress(turn, progress.get(id));
  }

  function status(frame) {
    progress.set(frame.trace_id, frame);
    const turn = byTrace.get(frame.trace_id);
    if (turn) showProgress(turn, frame);
  }

  function showProgress(turn, { state, since, trace_id, person }) {
    if (answered.has(trace_id) || !Object.hasOwn(TONES, state)) return;
    clearTimeout(turn.timer);
    if (person) forPerson.add(turn);
    const isBusy = state === "checking" || state === "thinking";
    const text = state === "waiting_for_person" && forPerson.has(turn) ? words.progress.person : words.progress[state];
    const again = { label: words.tryAgain, run: () => { note(turn, "stop", words.askedAgain); chat.outbox.say(turn.text, forPerson.has(turn)); } };
    following(() => note(turn, TONES[state], text, state === "failed" ? { action: again } : { since: Date.parse(since) || Date.now() + chat.skew, from: isBusy ? COUNTS_FROM : 0 }));
  }

  function shown(frame) {
    if (!Number.isInteger(frame.seq)) return;
    chat.last = Math.max(chat.last, frame.seq);
    if (bySeq.has(frame.seq)) return;
    const turn = (frame.role === "user" && byId.get(frame.id)) || turnOf(frame.role, frame.text, frame);
    bySeq.set(frame.seq, turn);
    turn.rank = frame.seq;
    if (frame.role === "assistant" && !frame.correction) rateable(turn, frame);
    const follow = following(() => {
      stamp(turn, frame.at);
      settle(turn, frame);
      place(turn);
    });
    if (frame.role !== "user") chat.arrived(frame, follow);
    if (chat.last >= chat.backlog) log.removeAttribute("aria-busy");
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
    const asked = byTrace.get(frame.trace_id) || byId.get(frame.in_reply_to);
    if (!asked) return;
    if (asked.rank === Infinity) asked.rank = frame.seq - 0.5;
    drop(asked);
    place(asked);
    note(asked, "", "");
  }

  function drop(turn) {
    clearTimeout(turn.timer);
    chat.kept.pending = chat.kept.pending.filter((each) => each !== turn.pending);
    turn.pending = null;
    turn.box.classList.remove("unsent");
    chat.keep();
  }

  /* Somebody was asked for who has not answered, and the asking did not fail. */
  function waitsForPerson() {
    const over = (turn) => turn.pending?.refused || answered.has(turn.trace) || progress.get(turn.trace)?.state === "failed";
    return [...forPerson].some((turn) => !over(turn));
  }

  return {
    clear, turnOf, place, note, sent, trace, status, shown, drop, waitsForPerson, byId,
    isOwed: (id) => !answered.has(id) && !progress.has(id),
    rated: (seq) => bySeq.get(seq)?.rating,
    remove(turn) {
      byId.delete(turn.id);
      forPerson.delete(turn);
      turn.box.remove();
    },
  };
}
