// The palette: one field that goes to places, presses what this page offers and jumps to traces. A combobox: the focus
// stays in the field, aria-activedescendant says which option Enter takes.
(() => {
  "use strict";

  const dialog = document.getElementById("palette");
  if (!dialog) return;
  const field = dialog.querySelector("[role=combobox]");
  const list = dialog.querySelector("[role=listbox]");
  const here = dialog.querySelector("#palette-here");
  const nothing = dialog.querySelector("#palette-nothing");
  const options = () => [...list.querySelectorAll("[role=option]:not([hidden])")];
  const chosen = () => list.querySelector("[aria-selected=true]");

  function choose(option) {
    chosen()?.setAttribute("aria-selected", "false");
    if (!option) return field.removeAttribute("aria-activedescendant");
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    field.setAttribute("aria-activedescendant", option.id);
  }

  const plain = (text) => text.toLowerCase().normalize("NFKD");

  function narrow() {
    const asked = plain(field.value).split(/\s+/).filter(Boolean);
    for (const option of list.querySelectorAll("[role=option]:not([data-found])")) {
      const text = plain(option.textContent);
      option.hidden = !asked.every((word) => text.includes(word));
    }
    for (const group of list.querySelectorAll("[role=group]")) {
      group.hidden = !group.querySelector("[role=option]:not([hidden])");
    }
    nothing.hidden = options().length > 0;
    if (!chosen() || chosen().hidden) choose(options()[0]);
  }

  function offer({ element, says, keys }, number) {
    const option = document.createElement("div");
    Object.assign(option, { id: `palette-act-${number}`, className: "option", role: "option" });
    option.append(Object.assign(document.createElement("span"), { textContent: says }));
    if (element.dataset.key) {
      const hint = document.createElement("span");
      hint.append(...keys.map((key) => Object.assign(document.createElement("kbd"), { textContent: key })));
      option.append(hint);
    }
    option.addEventListener("click", () => {
      dialog.close();
      element.click();
      if (element.dataset.focus) document.querySelector(element.dataset.focus)?.focus();
    });
    return option;
  }

  function open() {
    if (dialog.open) return dialog.close();
    const acts = window.interlockActions().filter((act, at, all) => all.findIndex((one) => one.says === act.says) === at);
    here.replaceChildren(here.firstElementChild, ...acts.map(offer));
    document.querySelector(":popover-open")?.hidePopover();
    field.value = "";
    dialog.querySelector("#palette-found").replaceChildren();
    dialog.showModal();
    choose(null);
    narrow();
  }

  const STEPS = { ArrowDown: 1, ArrowUp: -1 };

  field.addEventListener("keydown", (event) => {
    const all = options();
    if (event.key in STEPS && all.length) {
      const at = all.indexOf(chosen()) + STEPS[event.key];
      choose(all[(at + all.length) % all.length]);
    } else if (event.key === "Enter" && !event.isComposing) chosen()?.click();
    else return;
    event.preventDefault();
  });
  field.addEventListener("input", () => { choose(null); narrow(); });
  list.addEventListener("pointermove", ({ target }) => {
    const option = target.closest("[role=option]");
    if (option && option !== chosen()) choose(option);
  });
  list.addEventListener("mousedown", (event) => event.preventDefault()); // the focus stays in the field
  document.addEventListener("htmx:after:swap", () => dialog.open && narrow());
  document.addEventListener("palette", open);
  document.querySelector("#find").addEventListener("click", open);
})();
