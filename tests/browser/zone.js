// Opens views of a zone's page in a real browser, in four shapes, having signed in by a link; then waits, where it is told for what, until a
// fault appears on the page and goes again, without loading it anew.
//
// Started by tests/e2e/src/browser.rs with PAGE_URL, PAGE_LINK, PAGE_VIEWS (JSON: pairs of name and path) and, if it is to wait, PAGE_FAULT: words
// of the fault, and PAGE_FAULT_AT: the path of the page that is to show it. Says `watching` once it would see the fault, `found` and `gone`. Ends with 1 where something is not as it must be.
"use strict";
const { url, DEADLINE, SHAPES, context, listen, look, signInByLink, run } = require("./page.js");

const views = JSON.parse(process.env.PAGE_VIEWS);
const words = process.env.PAGE_FAULT;

run(`${views.length} views in ${SHAPES.length} shapes: all well`, async (browser) => {
  const made = await context(browser, null, { viewport: { width: 1280, height: 900 } });
  const page = await made.newPage();
  listen(page, () => "sign-in");
  await signInByLink(page);
  const session = await made.storageState();
  for (const shape of SHAPES) await look(browser, views, shape, null, session);
  if (words) {
    await page.goto(url + process.env.PAGE_FAULT_AT, { timeout: DEADLINE });
    await page.waitForFunction(() => document.querySelector("#age .n").textContent.includes("s old"), null, { timeout: DEADLINE });
    console.log("watching");
    await page.getByText(words).first().waitFor({ timeout: DEADLINE });
    console.log("found");
    await page.getByText(words).first().waitFor({ state: "detached", timeout: DEADLINE });
    console.log("gone");
  }
  await made.close();
});
