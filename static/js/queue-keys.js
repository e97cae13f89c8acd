// The keys of the queue page. Each does what a link or a button there does.
(() => {
  "use strict";

  const find = (selector) => document.querySelector(selector);
  const decideForm = () => find("form.decide");
  const mode = (form) => form.elements.verdict.value;
  const isTyping = (element) => element.matches("textarea, select, input:not([type=radio], [type=checkbox]), [contenteditable]");

  function choose(form, verdict) {
    form.elements.verdict.value = verdict;
    const target = { edit: form.elements.text, reject: form.elements.preset[0] }[verdict];
    if (target) target.focus();
    else document.activeElement.blur();
  }

  function send(form) {
    if (!form.classList.contains("htmx-request")) form.requestSubmit(form.querySelector(".send"));
  }

  function move(step) {
    const held = [...document.querySelectorAll("#queue-list a.held")];
    const at = held.findIndex((link) => link.id === `row-${find("#item").dataset.open}`);
    const next = at < 0 ? held[0] : held[at + step];
    if (next) next.click();
  }

  const keys = {
    a: (form) => mode(form) === "approve" && send(form),
    e: (form) => choose(form, "edit"),
    r: (form) => choose(form, "reject"),
  };
  for (const digit of [1, 2, 3, 4]) {
    keys[digit] = (form) => mode(form) === "reject" && form.elements.preset[digit - 1].click();
  }
  const moves = { j: 1, k: -1, ArrowDown: 1, ArrowUp: -1 };

  function press(event) {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const form = decideForm();
    const isOnList = event.target === document.body || event.target.closest("#queue-list, h1");
    if (key === "?") find("#keys").togglePopover();
    else if (find(":popover-open")) return;
    else if (key in moves && (key.length === 1 || isOnList)) move(moves[key]);
    else if (key in keys && form) keys[key](form);
    else return;
    event.preventDefault();
  }

  document.addEventListener("keydown", (event) => {
    const form = decideForm();
    if (event.isComposing || event.repeat) return;
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
      if (form && !find(":popover-open")) send(form);
    } else if (event.key === "Escape") {
      if (form && !find(":popover-open")) choose(form, "approve");
    } else {
      const withModifier = (event.ctrlKey || event.metaKey || event.altKey) && !event.getModifierState("AltGraph");
      if (!withModifier && !isTyping(event.target)) press(event);
    }
  });
})();
