// Fields for more texts: when the last one of a list is written in, another empty one comes after it.
for (const list of document.querySelectorAll("[data-texts]")) {
  list.addEventListener("input", () => {
    const last = list.lastElementChild;
    if (!last.value) return;
    const next = last.cloneNode();
    next.value = ""; // a clone has what was written in it
    const number = list.childElementCount + 1;
    next.id = next.id.replace(/\d+$/, number);
    next.ariaLabel = next.ariaLabel.replace(/\d+$/, number);
    next.rows = 1;
    list.append(next);
  });
}
