// Says so when a live part of the page ([data-live]) could not be brought up to date.
(() => {
  const note = () => document.getElementById("stale");
  const clock = () => new Date().toISOString().slice(11, 19);
  let staleSince = "";

  const failed = (event) => {
    if (!event.target.closest?.("[data-live]") || !note()) return;
    staleSince ||= clock();
    const status = event.detail?.ctx?.response?.status;
    const why = status ? `the server answered ${status}` : "the server does not answer";
    note().textContent = `Not up to date since ${staleSince} UTC: ${why}. Trying again.`;
    note().hidden = false;
  };

  const updated = () => {
    staleSince = "";
    if (note()) note().hidden = true;
  };

  // What a person opened stays open when the part around it changes.
  document.addEventListener("htmx:before:morph:attr", (event) => {
    if (event.detail.attrName === "open" && event.target.matches("details")) event.preventDefault();
  });
  document.addEventListener("htmx:response:error", failed);
  document.addEventListener("htmx:error", failed);
  document.addEventListener("htmx:after:swap", updated);
})();
