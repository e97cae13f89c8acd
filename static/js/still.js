// Nothing moves under the pointer: when a live part changes, what is pointed at stays where it is, else what has the
// focus, else what is read further down. The page scrolls by as much as came in above; what cannot be scrolled away is made up for by space.
(() => {
  "use strict";

  const HELD = "a, button, summary, input, tr, li, h2, h3";
  const main = document.getElementById("main");
  let pointer = null; // where it rests; a finger rests only while it presses
  let held = null;

  const gone = () => {
    pointer = null;
    space(0);
  };
  const at = (event) => {
    if (!event.target.closest?.("main [data-live]")) return gone();
    pointer = { x: event.clientX, y: event.clientY };
  };
  const space = (px) => { main.style.paddingTop = px > 0 ? `${px}px` : ""; };
  const spaced = () => parseFloat(main.style.paddingTop) || 0;
  const named = (element) => (element?.id ? element : element?.closest("[id]"));

  const heldAt = (x, y) => document.elementFromPoint(x, y)?.closest(HELD);

  function restingOn(part) {
    const under = pointer && heldAt(pointer.x, pointer.y);
    const focused = isSeen(document.activeElement) && document.activeElement;
    const read = scrollY > 0 && heldAt(innerWidth / 2, innerHeight / 3);
    return [under, focused, read].find((element) => element && element !== part && part.contains(element));
  }

  function isSeen(element) {
    const { top, bottom } = element.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  }

  const isOfPart = ({ detail }) => detail?.ctx?.target?.matches?.("main [data-live]");

  // Space that was made before goes first.
  function putBack(moved) {
    space(spaced() - Math.min(spaced(), Math.max(0, moved())));
    scrollBy(0, moved());
    space(spaced() - moved());
  }

  document.addEventListener("htmx:before:swap", (event) => {
    const element = isOfPart(event) && restingOn(event.detail.ctx.target);
    held = element && { element, id: named(element).id, top: element.getBoundingClientRect().top };
  });

  document.addEventListener("htmx:after:swap", (event) => {
    if (!held || !isOfPart(event)) return;
    const element = held.element.isConnected ? held.element : document.getElementById(held.id);
    if (element) putBack(() => element.getBoundingClientRect().top - held.top);
    held = null;
  });

  document.addEventListener("pointermove", at);
  document.addEventListener("pointerdown", at);
  document.addEventListener("pointerup", (event) => event.pointerType === "mouse" || gone());
  document.addEventListener("pointercancel", gone);
  document.documentElement.addEventListener("pointerleave", gone);
})();
