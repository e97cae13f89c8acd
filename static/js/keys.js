// Keys of a page: whatever has data-key="a" (or "a ctrl+enter") is pressed by that key, as if it were clicked. The list of them, for `?`,
// and the actions of the palette are made from the same attributes: data-says is their word, data-focus where to go then.
(() => {
  "use strict";

  const MODIFIED = { ctrl: "Ctrl", enter: "⏎", escape: "Esc" };
  const find = (selector) => document.querySelector(selector);
  const TYPING = "textarea, select, input:not([type=radio], [type=checkbox]), [contenteditable]";
  const isLetter = (key) => key.length === 1;
  const areLettersOn = () => document.documentElement.dataset.letters !== "off";

  // A link works wherever it is; what else is not shown belongs to a panel that is not open.
  const isUsable = (element) => !element.disabled && (element.matches("a") || element.checkVisibility());
  const words = (element) => element.dataset.says ?? element.textContent.trim();
  const shown = (keys) => keys.split(/[ +]/).map((key) => MODIFIED[key] ?? key.toUpperCase());

  function nameOf(event) {
    const key = event.key.toLowerCase();
    return event.ctrlKey || event.metaKey ? `ctrl+${key}` : key;
  }

  function press(key) {
    const owner = [...document.querySelectorAll(`[data-key~="${CSS.escape(key)}"]`)].find(isUsable);
    if (!owner) return false;
    owner.click();
    if (owner.dataset.focus) find(owner.dataset.focus)?.focus();
    if (key === "escape") document.activeElement.blur();
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.repeat || !event.key) return;
    const isAltGr = event.getModifierState("AltGraph");
    const key = isAltGr ? event.key.toLowerCase() : nameOf(event);
    if (event.altKey && !isAltGr) return;
    if (key === "ctrl+k" && find("#palette")) {
      event.preventDefault();
      document.dispatchEvent(new CustomEvent("palette"));
    }
    if (find("dialog[open], :popover-open")) return;
    if (isLetter(key) && (!areLettersOn() || event.target.matches(TYPING))) return;
    if (key === "?" ? open("keys") : press(key)) event.preventDefault();
  });

  // ---- the list

  function listOf(container) {
    const known = new Map(); // a key may have a word for each panel
    for (const element of document.querySelectorAll("[data-key]")) {
      known.set(`${element.dataset.key} ${words(element)}`, [element.dataset.key, words(element)]);
    }
    const kbd = (text) => Object.assign(document.createElement("kbd"), { textContent: text });
    container.replaceChildren(...[...known.values()].flatMap(([key, says]) => {
      const [term, told] = [document.createElement("dt"), document.createElement("dd")];
      term.append(...shown(key).map(kbd));
      told.textContent = says;
      return [term, told];
    }));
    return known.size;
  }

  function open(id) {
    const dialog = document.getElementById(id);
    if (!dialog) return false;
    if (id === "keys") find("#no-keys").hidden = listOf(find("#keys-here")) > 0;
    find(":popover-open")?.hidePopover();
    dialog.showModal();
    return true;
  }

  // ---- dialogs: opened by data-opens, closed by data-closes or a press beside them

  document.addEventListener("click", ({ target }) => {
    const opener = target.closest("[data-opens]");
    if (opener) open(opener.dataset.opens);
    if (target.closest("[data-closes]") || target.matches("dialog[open]")) target.closest("dialog").close();
  });

  // The row of places scrolls. Browsers leave what can be seen in part where it is.
  document.addEventListener("focusin", ({ target }) => {
    if (target.closest(".places")) target.scrollIntoView({ block: "nearest", inline: "nearest" });
  });

  // ---- for the palette

  window.interlockActions = () =>
    [...document.querySelectorAll("[data-key], [data-action]")]
      .filter((element) => isUsable(element) && !element.closest("dialog, [popover]"))
      .map((element) => ({ element, says: words(element), keys: shown(element.dataset.key ?? "") }));
})();
