// Every change says by whom and why: a dialog that asks for both before it is made.

import { el, field } from "./dom.js";

const AUTHOR = "tutelage-author";

const author = () => sessionStorage.getItem(AUTHOR) ?? "";

/**
 * Ask for confirmation; `make({author, reason})` makes the change, and what it throws is shown.
 * Resolves to what it returns, or null where it was called off.
 */
export function sign({ title, text, action, make }) {
  return new Promise((resolve) => {
    const by = el("input", { required: true, autocomplete: "name", maxlength: 200, name: "author" });
    by.value = author();
    const why = el("input", { required: true, maxlength: 1000, autocomplete: "off", name: "reason" });
    const problem = el("p", { class: "note alert", role: "alert", hidden: true });
    const go = el("button", { class: "primary", text: action });
    let result = null;
    const form = el(
      "form",
      { method: "dialog" },
      el("h2", { id: "sign-title", text: title }),
      el("p", { text }),
      field("Your name", by),
      field("Reason", why, "Both are kept with the change."),
      problem,
      el("p", { class: "actions" }, el("button", { type: "button", text: "Cancel", on: { click: () => dialog.close() } }), go),
    );
    const dialog = el("dialog", { "aria-labelledby": "sign-title" }, form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      go.disabled = true;
      sessionStorage.setItem(AUTHOR, by.value.trim());
      try {
        result = await make({ author: by.value.trim(), reason: why.value.trim() });
        dialog.close();
      } catch (error) {
        problem.textContent = error.message;
        problem.hidden = false;
      }
      go.disabled = false;
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
    (by.value ? why : by).focus();
  });
}
