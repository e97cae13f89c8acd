/* The chat on a customer's page, by one script tag; docs/widget.md has its attributes.
   <script src="https://HOST/static/widget/widget.js" data-token="JWT" data-title="Autohaus Stern" defer></script>
   Only this file is a classic script: a module cannot see the tag that loaded it. */
(() => {
  "use strict";
  const script = document.currentScript;
  if (script) import(new URL("chat.js", script.src).href).then(({ start }) => start(script.src, script.dataset));
})();
