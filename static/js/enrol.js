// Takes the code out of the address, so that the history does not keep it, and asks whose it is.
const form = document.querySelector("[data-enrol]");
const take = () => {
  const code = location.hash.slice(1);
  if (!code) return;
  history.replaceState(null, "", location.pathname);
  form.elements.code.value = code;
  form.requestSubmit();
};
addEventListener("hashchange", take); // a newer link was put into the address of this page
take();
