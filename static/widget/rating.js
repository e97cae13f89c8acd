/* Thumbs under an answer, and why: shown at once, and taken back if the server does not take it. */

import { el, icon } from "./dom.js";

const THUMB = "M6.5 9v8H3.5V9zm0 0 3-6c1.3 0 2.2 1 1.9 2.2L10.8 8h4.1a1.7 1.7 0 0 1 1.7 2l-1 5.5a1.8 1.8 0 0 1-1.8 1.5H6.5";
const REASON = 500; // characters that the server takes

export function makeRating({ words, panel, rate }, given) {
  const say = words.rating;
  const thumbs = { up: thumb("up"), down: thumb("down") };
  const problem = el("span", { hidden: true }, say.failed);
  const box = el("div", { className: "rate", role: "group", "aria-label": say.question }, thumbs.up, thumbs.down, problem);
  let confirmed = given, why = null;
  show(given);

  function thumb(which) {
    return el("button", { className: "bare thumb", type: "button", "aria-label": say[which], title: say[which], onclick: () => press(which) }, icon(THUMB));
  }

  function show(which) {
    for (const [name, button] of Object.entries(thumbs)) button.setAttribute("aria-pressed", String(name === which));
    problem.hidden = true;
  }

  /* The same thumb again only asks why again: what was said before stays. */
  function press(which) {
    if (thumbs[which].getAttribute("aria-pressed") !== "true") {
      show(which);
      rate(which, "");
      panel.announce(say.thanks);
    }
    panel.following(() => ask(which));
  }

  function ask(which) {
    leave();
    const choices = Object.entries(say.choices[which]).map(([value, label]) => el("label", {}, el("input", { type: "radio", name: "choice", value }), label));
    const more = el("textarea", { rows: 1, name: "more", placeholder: say.more, "aria-label": say.more, maxLength: REASON - 20 });
    const skip = el("button", { className: "quiet", type: "button", onclick: () => done(which) }, say.skip);
    why = el("form", { className: "why", onkeydown: (event) => escaped(event, which), onsubmit: (event) => sent(event, which) },
      el("fieldset", {}, el("legend", {}, say.why[which]), ...choices), more, el("p", {}, el("button", { className: "first", type: "submit" }, say.send), skip));
    box.parentNode.after(why);
    why.scrollIntoView({ block: "nearest" });
  }

  /* The choice goes in one language, whatever was read: it is for those who count. */
  function sent(event, which) {
    event.preventDefault();
    const { choice, more } = event.target.elements;
    const reason = [choice.value, more.value.trim()].filter(Boolean).join(": ");
    if (reason) {
      rate(which, reason);
      panel.announce(say.saved);
    }
    done(which);
  }

  function escaped(event, which) {
    if (event.key !== "Escape" || event.isComposing) return;
    event.preventDefault();
    done(which);
  }

  function done(which) {
    leave();
    thumbs[which].focus();
  }

  function leave() {
    why?.remove();
    why = null;
  }

  return {
    box,
    confirm(which) { confirmed = which; show(which); },
    refuse() { leave(); show(confirmed); problem.hidden = false; panel.announce(say.failed); },
  };
}
