// Opens each view of the page in a real browser, in all its shapes, and does what a person does there.
//
// Started by crates/ovstunnel-manager/tests/browser.rs with PAGE_URL, PAGE_PKI (certificates of eve, a viewer, olga, an operator, and ada, an
// admin) and PAGE_LINK. PAGE_PICTURES=FOLDER keeps a picture of each view. Ends with 1 where something is not as it must be, having said what.
"use strict";
const { url, DEADLINE, SHAPES, axe, fault, expect, context, listen, look, signInByLink, run } = require("./page.js");

const views = [
  ["overview", "/"],
  ["networks", "/networks"],
  ["networks-none", "/networks?state=whole&search=nothing"],
  ["matrix", "/networks/acme-web"],
  ["matrix-pair", "/networks/db-7?from=h23&to=h2"],
  ["matrix-drawn", "/networks/wide"],
  ["graph", "/networks/acme-web?view=graph"],
  ["graph-broken", "/networks/db-7?view=graph"],
  ["graph-large", "/networks/wide?view=graph"],
  ["table", "/networks/wide?view=table"],
  ["proof", "/networks/wide?view=proof"],
  ["network-events", "/networks/acme-web?view=events"],
  ["reconcile", "/networks/db-7/reconcile"],
  ["hosts", "/hosts"],
  ["host", "/hosts/h23"],
  ["host-silent", "/hosts/h24"],
  ["host-tunnels", "/hosts/h1?view=tunnels"],
  ["host-events", "/hosts/h24?view=events"],
  ["resync", "/hosts/h1/resync"],
  ["faults", "/faults"],
  ["path", "/path"],
  ["path-asked", "/path?from=vm23&to=vm2&network=db-7"],
  ["path-refused", "/path?from=vm23&to=nobody"],
  ["keys", "/keys"],
  ["events", "/events"],
  ["holds", "/holds"],
  ["refusal", "/networks/nowhere"],
];

// All that the keyboard reaches by Tab, in order.
const tab = async (page, wanted, most = 200) => {
  for (let n = 0; n < most; n += 1) {
    await page.keyboard.press("Tab");
    const text = await page.evaluate(() => { const one = document.activeElement; return one ? `${one.tagName} ${one.textContent.trim()}` : ""; });
    if (text.includes(wanted)) return true;
  }
  return false;
};

const keyboard = async (browser) => {
  const made = await context(browser, "olga", { viewport: { width: 1280, height: 900 } });
  const page = await made.newPage();
  listen(page, () => "keyboard");
  await page.goto(`${url}/networks/db-7`, { timeout: DEADLINE });
  expect("keyboard", await tab(page, "Reconcile: show the plan"), "Tab does not reach the plan");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/reconcile", { timeout: DEADLINE });
  expect("keyboard", await tab(page, "Do it"), "Tab does not reach the act");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/db-7?said=*", { timeout: DEADLINE });
  expect("keyboard", (await page.locator("[role=status]").textContent()).includes("db-7"), "it is not said what was done");
  await page.keyboard.press("/");
  expect("keyboard", await page.evaluate(() => document.activeElement.id === "find"), "/ does not lead to the search");
  await page.keyboard.type("acme-web");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/networks/acme-web", { timeout: DEADLINE });
  await page.locator(".matrix tbody tr:nth-child(1) td a").first().focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowRight");
  const label = await page.evaluate(() => document.activeElement.getAttribute("aria-label"));
  expect("keyboard", label === "h3 to h4: proven", `the arrows lead to ${label}`);
  await page.keyboard.press("Enter");
  await page.waitForURL("**from=h3&to=h4", { timeout: DEADLINE });
  await page.keyboard.press("?");
  expect("keyboard", await page.locator("#help").isVisible(), "? does not show the keys");
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await page.keyboard.press("n");
  await page.waitForURL("**/networks", { timeout: DEADLINE });
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  const second = await page.locator(".rows tbody tr:nth-child(2) th a").textContent();
  expect("keyboard", await page.evaluate((text) => document.activeElement.textContent === text, second), "j does not lead to the next row");
  await made.close();
};

// The page changes by itself, and keeps the place of who reads it.
const liveness = async (browser) => {
  const made = await context(browser, "ada", { viewport: { width: 1280, height: 900 } });
  const [page, other] = [await made.newPage(), await made.newPage()];
  listen(page, () => "liveness");
  await page.goto(`${url}/holds`, { timeout: DEADLINE });
  await other.goto(`${url}/holds`, { timeout: DEADLINE });
  await page.locator("details").first().evaluate((one) => { one.open = true; });
  await page.locator("details a").first().focus();
  await page.waitForFunction(() => document.querySelector("#age .n").textContent.includes("s old"), null, { timeout: DEADLINE });
  await other.getByRole("button", { name: /^Refuse/ }).first().click();
  await other.waitForURL("**/holds?said=*", { timeout: DEADLINE });
  expect("liveness", (await other.locator("[role=status]").textContent()).includes("refused"), "it is not said what was done");
  await page.getByText("refused: it stays").waitFor({ timeout: DEADLINE });
  expect("liveness", await page.evaluate(() => document.querySelector("details").open), "what was open is shut");
  expect("liveness", await page.evaluate(() => document.activeElement.tagName === "A"), "the focus is lost");
  await made.close();
};

const signIn = async (browser) => {
  const made = await context(browser, null, { viewport: { width: 390, height: 800 } });
  const page = await made.newPage();
  listen(page, () => "sign-in");
  const first = await page.goto(`${url}/networks`, { timeout: DEADLINE });
  expect("sign-in", first.status() === 403 && (await page.textContent("h1")) === "Who are you?", "a stranger is not asked who they are");
  const found = await axe(page);
  for (const one of found.violations) fault("sign-in", `axe ${one.id}`);
  await signInByLink(page);
  expect("sign-in", (await page.textContent("footer")).includes("by link, operator"), "the link does not let in");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL("**/sign-in", { timeout: DEADLINE });
  expect("sign-in", (await page.goto(`${url}/`, { timeout: DEADLINE })).status() === 403, "the session goes on");
  await made.close();
};

// A page of another site cannot have the manager do anything, nor show it in a frame.
const foreign = async (browser) => {
  const made = await context(browser, "olga");
  const page = await made.newPage();
  await page.route("https://evil.example/**", (route) => route.fulfill({
    contentType: "text/html",
    body: `<form id="f" method="post" action="${url}/networks/db-7/reconcile"><input name="token" value="x"></form><iframe src="${url}/"></iframe>`,
  }));
  await page.goto("https://evil.example/", { timeout: DEADLINE });
  const [answer] = await Promise.all([
    page.waitForResponse((response) => response.request().method() === "POST", { timeout: DEADLINE }),
    page.evaluate(() => document.getElementById("f").submit()),
  ]);
  expect("foreign", answer.status() === 403, `a foreign form is answered ${answer.status()}`);
  await made.close();
};

run(`${views.length} views in ${SHAPES.length + 1} shapes, keys, liveness, sign-in: all well`, async (browser) => {
  // Two at a time: a machine has so many cores.
  const shapes = [...SHAPES, { width: 390, scheme: "light", script: false }];
  while (shapes.length) await Promise.all(shapes.splice(0, 2).map((shape) => look(browser, views, shape, "ada")));
  await keyboard(browser);
  await liveness(browser);
  await signIn(browser);
  await foreign(browser);
});
