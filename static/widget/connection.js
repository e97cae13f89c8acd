/* One socket, and another when it is lost: greets with a token, watches for silence, tries again ever more rarely. */

import { jittered } from "./dom.js";

const ANSWER_WITHIN = 15000; // a socket that says nothing for so long after we spoke is dead
const STEADY = 10000; // a connection that lasted so long was a good one

export function makeConnection(chat) {
  const { options, words, panel } = chat;
  const owed = new Set(); // traces that this connection accepted and has said nothing of since
  let socket = null, token = options.token, ready = false, readyAt = 0, tries = 0, timer = null, watch = null, halted = false, renewed = false, fetching = false;

  async function connect() {
    if (socket || halted || fetching) return;
    clearTimeout(timer);
    if (!token && options.tokenUrl && !(await renew())) return lost();
    if (token) chat.recall(token);
    panel.tell(words.connecting, false);
    const mine = (socket = new WebSocket(options.socketUrl));
    watching();
    mine.onopen = () => mine === socket && transmit({ type: "hello", token, after: chat.last });
    mine.onmessage = (event) => mine === socket && received(event.data);
    mine.onclose = () => mine === socket && lost();
  }

  async function renew() {
    fetching = true;
    try {
      const answer = await fetch(options.tokenUrl, { credentials: options.tokenCredentials, cache: "no-store" });
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

  /* What the server does not answer. */
  function mention(frame) {
    socket.send(JSON.stringify(frame));
  }

  function watching() {
    clearTimeout(watch);
    watch = setTimeout(() => lost(), ANSWER_WITHIN);
  }

  function received(raw) {
    clearTimeout(watch);
    let frame;
    try {
      frame = JSON.parse(raw);
    } catch {
      return;
    }
    if (frame?.trace_id && frame.type !== "accepted" && frame.role !== "user") owed.delete(frame.trace_id);
    chat.received(frame);
    if (owed.size) watching();
  }

  function greeted() {
    [ready, readyAt, renewed] = [true, Date.now(), false];
    panel.tell(words.assistant);
    panel.warn("");
  }

  function hangUp() {
    const old = socket;
    [socket, ready] = [null, false];
    clearTimeout(watch);
    owed.clear();
    chat.outbox.hold();
    panel.tell(words.notConnected, false);
    if (old) old.close();
  }

  function lost(wait = null) {
    if (ready && Date.now() - readyAt > STEADY) tries = 0; // a server that greets and dies is not hammered
    hangUp();
    wait ??= jittered(tries);
    tries += 1;
    panel.warn(navigator.onLine ? words.reconnecting : words.offline);
    clearTimeout(timer);
    timer = setTimeout(connect, wait);
  }

  function unauthorized() {
    hangUp();
    token = null;
    if (options.tokenUrl && !renewed) {
      renewed = true;
      connect();
      return;
    }
    halted = true;
    const again = () => { [halted, renewed] = [false, false]; panel.warn(words.connectingAgain); connect(); };
    panel.warn(words.errors.unauthorized, "stop", options.tokenUrl ? { label: words.tryAgain, run: again } : { label: words.reload, run: () => location.reload() });
  }

  /* No other try would be answered otherwise. */
  function forbidden() {
    hangUp();
    halted = true;
    panel.warn(words.errors.forbidden_origin, "stop");
  }

  const wake = () => { if (!socket && (chat.conversation || panel.isOpen())) { tries = 0; connect(); } };
  addEventListener("online", () => { if (socket) lost(0); else wake(); });
  document.addEventListener("visibilitychange", () => document.hidden || wake());

  return { connect, transmit, mention, greeted, lost, unauthorized, forbidden, isReady: () => ready, owes: (trace) => owed.add(trace) };
}
