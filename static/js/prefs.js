// What a person chose for this browser: light or dark, keys of one letter. It runs before the page is drawn, so nothing flashes.
(() => {
  "use strict";
  const root = document.documentElement;
  const DEFAULTS = { theme: "system", letters: "on" };

  function read(name) {
    try {
      return localStorage.getItem(`interlock:${name}`) ?? DEFAULTS[name];
    } catch {
      return DEFAULTS[name]; // storage is switched off
    }
  }

  function write(name, value) {
    try {
      localStorage.setItem(`interlock:${name}`, value);
    } catch {
      // It holds for this page at least.
    }
    root.dataset[name] = value;
  }

  for (const name of Object.keys(DEFAULTS)) root.dataset[name] = read(name);

  function show() {
    for (const input of document.querySelectorAll("input[data-pref]")) {
      const value = root.dataset[input.dataset.pref];
      input.checked = input.type === "radio" ? input.value === value : value === "on";
    }
  }

  addEventListener("DOMContentLoaded", show);
  // Another tab of the same person.
  addEventListener("storage", ({ key }) => {
    const name = key?.replace("interlock:", "");
    if (!(name in DEFAULTS)) return;
    root.dataset[name] = read(name);
    show();
  });
  document.addEventListener("change", ({ target }) => {
    if (!target.matches("input[data-pref]")) return;
    write(target.dataset.pref, target.type === "radio" ? target.value : target.checked ? "on" : "off");
  });
})();
