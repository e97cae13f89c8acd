// Puts the text of a chosen file into a field, so that it is seen before it is sent.
for (const part of document.querySelectorAll("[data-file-into]")) {
  const field = document.getElementById(part.dataset.fileInto);
  part.hidden = false;
  part.querySelector("input").addEventListener("change", async ({ target }) => {
    const [file] = target.files;
    if (!file) return;
    field.value = await file.text();
    field.focus();
  });
}
