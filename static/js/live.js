// Live parts of a page, [data-live]: says so when one could not be brought up to date.
(() => {
  const note = () => document.getElementById("stale");
  const clock = () => new Date().toISOString().slice(11, 19);
  const isLive = (event) => event.target.closest?.("[data-live]");
  let staleSince = "";

  const failed = (event) => {
    if (!isLive(event) || !note()) return;
    staleSince ||= clock();
    const status = event.detail?.ctx?.response?.status;
    const why = status ? `the server answered ${status}` : "the server does not answer";
    note().textContent = `Not up to date since ${staleSince} UTC: ${why}. Trying again.`;
    note().hidden = false;
  };

  const updated = (event) => {
    if (!note() || !(event.detail?.ctx?.response?.status < 400)) return;
    staleSince = "";
    note().hidden = true;
  };

  document.addEventListener("htmx:response:error", failed);
  document.addEventListener("htmx:error", failed);
  document.addEventListener("htmx:after:swap", updated);

  // What a person opened stays open when the part around it changes.
  htmx.registerExtension("keep-open", {
    htmx_before_morph_attr: (element, detail) =>
      !(detail.attrName === "open" && element.matches("details")),
  });
})();
