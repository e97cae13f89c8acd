/* Follows the conversation only for somebody who is at its end; nothing moves for a reader further up. */

export function makeFollower(log, below) {
  let pinned = true, height = 0;
  const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 48;
  const toEnd = () => { log.scrollTop = log.scrollHeight; };

  log.addEventListener("scroll", () => {
    if (log.clientHeight === height) pinned = atEnd(); // else nobody scrolled, the log has another height
    if (pinned) below().hidden = true;
  });
  new ResizeObserver(() => { // the box below grows with what is written in it
    height = log.clientHeight;
    if (pinned) toEnd();
  }).observe(log);

  function following(change) {
    const follow = atEnd() || (pinned && log.clientHeight !== height);
    change();
    if (follow) toEnd();
    return follow;
  }

  return { toEnd, following };
}
