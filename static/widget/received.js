/* Says to the server how far this page has the conversation: at once for what comes together, then at most once a second. */

const EVERY = 1000;

export function makeReceived(chat) {
  let told = 0, waiting = null;

  function shown() {
    waiting ??= setTimeout(tell, 0); // when all that came together is shown
  }

  function tell() {
    waiting = null;
    if (!chat.connection.isReady() || chat.last <= told) return;
    told = chat.last;
    chat.connection.mention({ type: "received", seq: told });
    waiting = setTimeout(tell, EVERY);
  }

  /* The greeting said it, of this conversation or of another. */
  function greeted() {
    told = chat.last;
  }

  return { shown, greeted };
}
