/* What was written and is not in the transcript yet: sent one by one, again when it must be, never twice. */

import { jittered, uuid } from "./dom.js";

export function makeOutbox(chat) {
  const { words, panel, transcript } = chat;
  const { byId, note } = transcript;

  function say(text, isForPerson = false) {
    const pending = { id: uuid(), text, conversation: chat.conversation, ...(isForPerson && { person: true }) };
    chat.kept.pending.push(pending);
    chat.keep();
    if (chat.connection.isReady()) panel.warn("");
    show(pending);
    panel.toEnd();
    pump();
    chat.connection.connect();
  }

  function show(pending) {
    if (byId.has(pending.id)) return;
    const turn = transcript.turnOf("user", pending.text, { id: pending.id, pending });
    turn.sentAt = pending.sentAt;
    panel.following(() => transcript.place(turn));
    if (pending.trace) transcript.trace(turn, pending.trace);
    if (pending.refused) refuse(turn, pending.refused);
    else if (!turn.word) pending.trace ? transcript.sent(turn) : note(turn, "", words.unsent);
    chat.offerPerson();
  }

  /* One at a time, so that Kafka gets them in the order in which they were typed. */
  function pump() {
    const next = chat.kept.pending.find((each) => each.conversation === chat.conversation && !each.trace && !each.refused);
    const turn = next && byId.get(next.id);
    if (!chat.connection.isReady() || !turn || turn.sent || turn.until) return;
    turn.sent = true;
    note(turn, "", words.sending);
    chat.connection.transmit({ type: "message", id: next.id, text: next.text, ...(next.person && { person: true }) });
  }

  function accepted({ id, trace_id }) {
    const turn = byId.get(id);
    if (!turn) return;
    if (turn.pending) {
      transcript.sent(turn);
      Object.assign(turn.pending, { trace: trace_id, sentAt: turn.sentAt });
      chat.keep();
    }
    if (transcript.isOwed(trace_id)) chat.connection.owes(trace_id);
    transcript.trace(turn, trace_id);
    pump();
  }

  /* Kafka has not confirmed it, the server has no room for it, or it will never do. */
  function failed(turn, code, wait) {
    turn.refusals = (turn.refusals || 0) + 1;
    if (code === "unconfirmed") later(turn, code, jittered(turn.refusals));
    else if (code === "rate_limited") later(turn, code, wait || 5000);
    else refuse(turn, code);
    if (turn.pending.refused) pump();
  }

  function later(turn, code, wait) {
    turn.sent = false;
    const again = () => {
      unsent(turn);
      pump();
    };
    clearTimeout(turn.timer);
    turn.timer = setTimeout(again, wait);
    panel.following(() => note(turn, "soft user", words.later[code], { until: Date.now() + wait + 999, action: { label: words.tryAgain, run: again } }));
  }

  function refuse(turn, code) {
    turn.sent = false;
    turn.pending.refused = code;
    chat.keep();
    const edit = () => {
      panel.composer.put([turn.text, panel.composer.text()].filter(Boolean).join("\n"));
      transcript.drop(turn);
      transcript.remove(turn);
      chat.typed(panel.composer.text());
      panel.composer.focus();
    };
    const text = words.refused[code] || words.refused.bad_request;
    panel.following(() => note(turn, "stop user", text, { action: { label: words.edit, run: edit } }));
    chat.offerPerson();
  }

  function unsent(turn) {
    if (!turn.pending || turn.pending.trace || turn.pending.refused) return;
    clearTimeout(turn.timer);
    turn.sent = false;
    note(turn, "", words.unsent);
  }

  /* After hello: what was written before there was a conversation belongs to this one. */
  function resume() {
    const { pending } = chat.kept;
    for (const each of pending) if (!each.conversation) each.conversation = chat.conversation;
    chat.keep();
    for (const each of pending) each.conversation === chat.conversation ? show(each) : byId.get(each.id)?.box.remove();
  }

  return { say, show, pump, accepted, failed, resume, hold: () => byId.forEach(unsent) };
}
