// Buttons that act only when they are kept pressed, [data-hold-ms]: by pointer, space or enter.
// Who can press but not hold, as a screen reader does, is asked once more instead.
(() => {
  "use strict";

  const says = (text) => { document.getElementById("hold-says").textContent = text; };
  const HINT = "Keep it pressed for a second, by mouse, touch, space or enter.";
  let holding = null;

  function begin(button) {
    if (holding || button.closest("form").ariaBusy === "true") return;
    button.classList.add("holding");
    says(`${button.firstElementChild.textContent}: keep it pressed …`);
    holding = { button, timer: setTimeout(() => send(button), Number(button.dataset.holdMs)) };
  }

  function end({ early }) {
    if (!holding) return;
    clearTimeout(holding.timer);
    holding.button.classList.remove("holding");
    holding = null;
    if (early) says(`Nothing was stopped. ${HINT}`);
  }

  function send(button) {
    end({ early: false });
    const form = button.closest("form");
    form.ariaBusy = "true";
    form.dataset.held = "";
    says(`${button.firstElementChild.textContent}: requested, waiting for the proof …`);
    form.requestSubmit(button);
  }

  const buttonOf = (event) => event.target.closest?.("[data-hold-ms]");
  const isKey = (event) => event.key === " " || event.key === "Enter";

  document.addEventListener("pointerdown", (event) => {
    const button = buttonOf(event);
    if (button && event.button === 0) begin(button);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    document.addEventListener(name, () => end({ early: true }));
  }
  document.addEventListener("pointerout", (event) => {
    if (holding && buttonOf(event) === holding.button && !holding.button.contains(event.relatedTarget)) end({ early: true });
  });
  document.addEventListener("keydown", (event) => {
    const button = buttonOf(event);
    if (!button || !isKey(event)) return;
    event.preventDefault();
    if (!event.repeat) begin(button);
  });
  document.addEventListener("keyup", (event) => {
    if (buttonOf(event) && isKey(event)) event.preventDefault();
    end({ early: true });
  });
  addEventListener("blur", () => end({ early: true }));

  // A click that no pointer and no key has made.
  document.addEventListener("click", (event) => {
    const button = buttonOf(event);
    if (!button || "held" in button.closest("form").dataset) return;
    event.preventDefault();
    const isMadeUp = event.detail === 0 && event.pointerType === "";
    if (isMadeUp && confirm(`${button.firstElementChild.textContent}: are you sure?`)) send(button);
  });
  document.addEventListener("contextmenu", (event) => { if (buttonOf(event)) event.preventDefault(); });
})();
