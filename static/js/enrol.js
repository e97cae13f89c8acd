// Takes the code out of the address, so that the history does not keep it, and asks whose it is.
const form = document.querySelector("[data-enrol]");
const code = location.hash.slice(1);
if (code) {
  history.replaceState(null, "", location.pathname);
  form.elements.code.value = code;
  form.requestSubmit();
}
