"""The looks of tests/browser.py find what is wrong: else a clean page would prove nothing."""

from playwright.sync_api import Browser

from tests.browser import BETWEEN, LOOKS, faults_of, in_chromium

PAGE = """<!doctype html><html lang="en"><title>x</title><style>
  body { color: #000; background: #fff }
  @media (prefers-color-scheme: dark) { body { color: #444; background: #333 } }
  @media (min-width: 700px) and (max-width: 800px) { p { width: 900px } }
</style><main><h1>x</h1><p>Text</p></main></html>"""


def test_looks_find_bad_colours_of_one_scheme_and_what_is_too_wide_at_one_width() -> (
    None
):
    def look(browser: Browser) -> list[str]:
        page = browser.new_context().new_page()
        page.set_content(PAGE)
        return faults_of(page)

    found = in_chromium(look)

    contrast = [fault for fault in found if "color-contrast" in fault]
    assert contrast
    assert all("px, dark" in fault for fault in contrast)
    wide = [fault for fault in found if "wider than its window" in fault]
    between = [scheme for width, scheme in LOOKS if width == BETWEEN]
    assert [fault.partition(" at ")[2] for fault in wide] == [
        f"{BETWEEN} px, {scheme}: wider than its window" for scheme in between
    ]
    assert len(contrast) + len(wide) == len(found)
