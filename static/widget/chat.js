/* Puts the parts together, and hands each frame of the server to the part that it is for. */

import { makeConnection } from "./connection.js";
import { makeStore, nothing } from "./kept.js";
import { optionsOf } from "./options.js";
import { makeOutbox } from "./outbox.js";
import { makePanel } from "./panel.js";
import { makeReceived } from "./received.js";
import { makeTranscript } from "./transcript.js";
import { wordsFor } from "./words.js";

let started = false;

export function start(src, data) {
  if (started) return; // a second tag on the page
  started = true;
  const options = optionsOf(src, data);
  const words = wordsFor(options.locale);
  const store = makeStore(options.socketUrl);
  const chat = { options, words, kept: nothing(), conversation: null, last: 0, backlog: 0, skew: 0, keep, recall, typed, arrived, offerPerson, rate, received };
  const panel = (chat.panel = makePanel({ options, words, opened, typed, said: (text, isForPerson) => chat.outbox.say(text, isForPerson) }));
  const transcript = (chat.transcript = makeTranscript(chat));
  const outbox = (chat.outbox = makeOutbox(chat));
  const connection = (chat.connection = makeConnection(chat));
  const receipts = makeReceived(chat);
  const ratings = new Map(); // by number, what the server has not confirmed
  let unseen = 0;

  function mount() {
    panel.mount();
    if (options.token) recall(options.token);
    if (options.open) panel.open({ quietly: true });
    else if (chat.kept.pending.length || Object.keys(chat.kept.read).length) connection.connect(); // a chat goes on from page to page
  }

  function opened() {
    read();
    connection.connect();
  }

  // ---- what is kept ------------------------------------------------------------------------------------------------
  function keep() {
    store.write(chat.kept);
  }

  function typed(text) {
    chat.kept.draft = text;
    keep();
  }

  function recall(token) {
    if (store.isFor(token)) return;
    if (store.isOpen()) forget(); // another person: nothing of the first may be sent or shown
    chat.kept = store.open(token, chat.kept);
    panel.composer.put(chat.kept.draft);
    chat.kept.pending.forEach(outbox.show);
  }

  function forget() {
    transcript.clear();
    ratings.clear();
    [chat.last, unseen, chat.conversation] = [0, 0, null];
    chat.kept = nothing();
  }

  // ---- what comes --------------------------------------------------------------------------------------------------
  function received(frame) {
    if (Object.hasOwn(HANDLERS, frame?.type)) HANDLERS[frame.type](frame);
    offerPerson();
  }

  function shown(frame) {
    transcript.shown(frame);
    receipts.shown();
  }

  function welcomed(frame) {
    if (chat.conversation && chat.conversation !== frame.conversation) return moved();
    chat.conversation = frame.conversation;
    chat.skew = frame.now ? Date.parse(frame.now) - Date.now() : 0;
    chat.backlog = frame.seq;
    if (chat.last < frame.seq) panel.log.setAttribute("aria-busy", "true"); // the past is not read aloud as news
    connection.greeted();
    receipts.greeted();
    panel.answers(frame.answers || "flowing");
    outbox.resume();
    for (const each of ratings.values()) {
      each.answers = 1;
      connection.transmit(each.frame);
    }
    if (panel.isOpen()) read();
    outbox.pump();
  }

  /* The server began another conversation for this person: show that one from its start. */
  function moved() {
    const { draft, pending } = chat.kept;
    forget();
    Object.assign(chat.kept, { draft, pending });
    connection.lost(0);
  }

  function failed({ code, id, seq, retry_after_s: seconds }) {
    if (code === "unauthorized") return connection.unauthorized();
    if (code === "forbidden_origin") return connection.forbidden();
    if (ratings.delete(seq)) return transcript.rated(seq)?.refuse();
    const turn = transcript.byId.get(id);
    const wait = seconds ? seconds * 1000 : null;
    if (turn?.pending) return outbox.failed(turn, code, wait);
    if (code === "rate_limited") return connection.lost(wait || 5000);
    panel.warn(words.errors[code] || words.errors.unknown, "stop");
  }

  const HANDLERS = { ready: welcomed, accepted: outbox.accepted, status: transcript.status, message: shown, feedback: confirmed, answers: (frame) => panel.answers(frame.state), error: failed };

  // ---- ratings -----------------------------------------------------------------------------------------------------
  function rate(seq, rating, reason) {
    const answers = (ratings.get(seq)?.answers || 0) + 1;
    const frame = { type: "feedback", seq, rating, ...(reason && { reason }) };
    ratings.set(seq, { frame, answers }); // the last one counts, also after another connection
    if (connection.isReady()) connection.transmit(frame);
  }

  function confirmed({ seq, rating }) {
    const waiting = ratings.get(seq);
    if (waiting && (waiting.answers -= 1) > 0) return;
    ratings.delete(seq);
    transcript.rated(seq)?.confirm(rating);
  }

  // ---- what is new -------------------------------------------------------------------------------------------------
  function arrived(frame, follow) {
    if (panel.isOpen()) read();
    else if (frame.seq > (chat.kept.read[chat.conversation] || 0)) unseen += 1;
    panel.tellBelow(!follow && panel.isOpen());
    panel.unread(unseen);
    if (!panel.isOpen() && unseen) panel.announce((frame.correction ? words.newCorrection : words.newAnswer)(options.title));
  }

  function read() {
    unseen = 0;
    if (chat.conversation) chat.kept.read = { [chat.conversation]: chat.last };
    keep();
    panel.unread(0);
  }

  function offerPerson() {
    panel.composer.offerPerson(!transcript.waitsForPerson());
  }

  document.body ? mount() : addEventListener("DOMContentLoaded", mount);
}
