// Nothing moves under the pointer: when a live part changes, what is pointed at stays where it is, and so does what
// has the focus. The page scrolls by as much as came in above; what cannot be scrolled away is made up for by space.
(() => {
  "use strict";

  const HELD = "a, button, summary, input, tr, li, h2, h3";
  let pointer = null; // where it rests; a finger rests only while it presses
  let held = null;

  const at = (event) => { pointer = { x: event.clientX, y: event.clientY }; };
  const gone = () => {
    pointer = null;
    space(0);
  };
  const space = (px) => { document.getElementById("main").style.paddingTop = px > 0 ? `${px}px` : ""; };
  const spaced = () => parseFloat(document.getElementById("main").style.paddingTop) || 0;
  const named = (element) => (element?.id ? element : element?.closest("[id]"));

  function restingOn(part) {
    const under = pointer && document.elementFromPoint(pointer.x, pointer.y)?.closest(HELD);
    const focused = document.activeElement;
    return [under, focused].find((element) => element && element !== part && part.contains(element));
  }

  const isOfPart = ({ detail }) => detail?.ctx?.target?.matches?.("[data-live]");

  document.addEventListener("htmx:before:swap", (event) => {
    const element = isOfPart(event) && restingOn(event.detail.ctx.target);
    held = element && { element, id: named(element).id, top: element.getBoundingClientRect().top };
  });

  document.addEventListener("htmx:after:swap", (event) => {
    if (!held || !isOfPart(event)) return;
    const element = held.element.isConnected ? held.element : document.getElementById(held.id);
    if (element) {
      const moved = () => element.getBoundingClientRect().top - held.top;
      space(spaced() - Math.min(spaced(), Math.max(0, moved())));
      scrollBy(0, moved());
      space(spaced() - moved());
    }
    held = null;
  });

  document.addEventListener("pointermove", at);
  document.addEventListener("pointerdown", at);
  document.addEventListener("pointerup", (event) => event.pointerType === "mouse" || gone());
  document.addEventListener("pointercancel", gone);
  document.documentElement.addEventListener("pointerleave", gone);
})();
