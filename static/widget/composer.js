/* Where one writes: the box, its counter, and the way to a person. */

import { bytes, el, icon } from "./dom.js";

const LIMIT = 8192; // bytes of UTF-8 in one message

export function makeComposer({ words, said, typed, announce, toEnd }) {
  const below = el("button", { className: "below", type: "button", hidden: true, onclick: () => { toEnd(); input.focus(); } }, words.newBelow, icon("M10 4v12m-5-5 5 5 5-5"));
  const input = el("textarea", { rows: 1, placeholder: words.write, "aria-label": words.yourMessage, "aria-describedby": "count", oninput: changed, onkeydown: enter });
  const counter = el("p", { className: "meta count", id: "count", hidden: true });
  const send = el("button", { className: "first", type: "submit" }, words.send);
  const person = el("button", { className: "quiet", type: "button", onclick: () => submit(true) }, icon("M10 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM4 17c.6-3 3-4.6 6-4.6s5.4 1.6 6 4.6"), words.person);
  const form = el("form", { onsubmit: (event) => { event.preventDefault(); submit(false); } }, below, input, send, el("div", { className: "last" }, person, counter));

  function changed() {
    count();
    typed(input.value);
  }

  function count() {
    const used = bytes(input.value.trim());
    counter.hidden = used < LIMIT * 0.9;
    counter.classList.toggle("over", used > LIMIT);
    counter.textContent = used > LIMIT ? words.tooLong(words.number(used - LIMIT)) : words.used(words.number(used), words.number(LIMIT));
  }

  function enter(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    submit(false);
  }

  /* Who asks for a person need not have written anything. */
  function submit(isForPerson) {
    const text = input.value.trim() || (isForPerson ? words.personAsked : "");
    if (bytes(text) > LIMIT) return announce(counter.textContent);
    if (!text) return;
    put("");
    typed("");
    said(text, isForPerson);
    input.focus();
  }

  function put(text) {
    input.value = text;
    count();
  }

  return {
    form,
    below,
    put,
    text: () => input.value,
    focus: () => input.focus(),
    offerPerson(isOffered) { person.disabled = !isOffered; },
  };
}
